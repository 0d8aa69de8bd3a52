//! The settings of topics and of the node, in Kafka's names: what each may be, and what it does here.
//!
//! Owns: the tables, and judging a value. Never does: keeping values (the catalog does); obeying
//! them (the cores do). Runs on: any thread.

use crate::limits::BATCH_BYTES_MAX;

/// What a value is, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A 32-bit number from the first to the second.
    Int(i32, i32),
    /// A 64-bit number, at least this.
    Long(i64),
    /// A number from 0 to 1.
    Ratio,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any of these words, separated by commas.
    Words(&'static [&'static str]),
    /// Any text.
    Text,
    /// Any words, separated by commas.
    Texts,
}

impl Kind {
    /// The number of this type in a description of settings (KIP-569).
    pub const fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::Word(_) | Kind::Text => 2,
            Kind::Int(..) => 3,
            Kind::Long(_) => 5,
            Kind::Ratio => 6,
            Kind::Words(_) | Kind::Texts => 7,
        }
    }

    /// Whether values are lists, to which words can be added.
    pub const fn is_list(self) -> bool {
        matches!(self, Kind::Words(_) | Kind::Texts)
    }
}

/// What a setting does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is obeyed.
    Obeyed,
    /// It is kept and described, and changes nothing: what it tunes works in another way here, or is
    /// not there. What it promises holds all the same.
    Kept,
    /// Nothing but the default is possible, for this reason.
    Fixed(&'static str),
    /// The node's configuration decides, by this key.
    Node(&'static str),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name for a topic, or for the node in [`NODE`].
    pub name: &'static str,
    /// The node's setting that a topic's falls back to; the same as `name` in [`NODE`].
    pub node: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it is where nobody says anything.
    pub default: &'static str,
    /// What it does.
    pub effect: Effect,
    /// One sentence about it.
    pub about: &'static str,
}

const fn setting(
    (name, node): (&'static str, &'static str),
    kind: Kind,
    default: &'static str,
    effect: Effect,
    about: &'static str,
) -> Setting {
    Setting {
        name,
        node,
        kind,
        default,
        effect,
        about,
    }
}

const FOREVER: &str = "9223372036854775807";
const NO_EFFECT: &str = "Kept, without effect here.";
const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// Name of the setting that bounds a batch.
pub const MESSAGE_BYTES: &str = "max.message.bytes";
/// Name of the setting that bounds how long records are kept.
pub const RETENTION_MS: &str = "retention.ms";
/// Name of the setting that bounds how much is kept.
pub const RETENTION_BYTES: &str = "retention.bytes";

/// The settings of a topic.
#[rustfmt::skip]
pub const TOPIC: &[Setting] = &[
    setting(("cleanup.policy", "log.cleanup.policy"), Kind::Words(&["delete", "compact"]), "delete",
        Effect::Fixed("compaction is not supported"), "What happens to old records: they are deleted."),
    setting(("compression.type", "compression.type"), Kind::Word(CODECS), "producer",
        Effect::Kept, "Batches are stored as producers sent them; kept, without effect here."),
    setting(("delete.retention.ms", "log.cleaner.delete.retention.ms"), Kind::Long(0), "86400000", Effect::Kept, NO_EFFECT),
    setting(("file.delete.delay.ms", "log.segment.delete.delay.ms"), Kind::Long(0), "60000", Effect::Kept, NO_EFFECT),
    setting(("flush.messages", "log.flush.interval.messages"), Kind::Long(1), "1",
        Effect::Kept, "Records are flushed by group commit, before acks=all is answered: at least as often as this says."),
    setting(("flush.ms", "log.flush.interval.ms"), Kind::Long(0), FOREVER,
        Effect::Kept, "Records are flushed by group commit, not by time; kept, without effect here."),
    setting(("follower.replication.throttled.replicas", "follower.replication.throttled.replicas"), Kind::Texts, "", Effect::Kept, NO_EFFECT),
    setting(("index.interval.bytes", "log.index.interval.bytes"), Kind::Int(0, i32::MAX), "4096", Effect::Kept, NO_EFFECT),
    setting(("leader.replication.throttled.replicas", "leader.replication.throttled.replicas"), Kind::Texts, "", Effect::Kept, NO_EFFECT),
    setting(("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"), Kind::Long(1), FOREVER, Effect::Kept, NO_EFFECT),
    setting((MESSAGE_BYTES, "message.max.bytes"), Kind::Int(1, BATCH_BYTES_MAX as i32), "1048588",
        Effect::Obeyed, "Bytes of the longest batch of records, as compressed."),
    setting(("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"), Kind::Long(0), FOREVER,
        Effect::Fixed("timestamps of records are not checked"), "Timestamps of records are not checked."),
    setting(("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"), Kind::Long(0), FOREVER,
        Effect::Fixed("timestamps of records are not checked"), "Timestamps of records are not checked."),
    setting(("message.timestamp.type", "log.message.timestamp.type"), Kind::Word(&["CreateTime", "LogAppendTime"]), "CreateTime",
        Effect::Fixed("records keep the time that their producer gave them"), "Records keep the time that their producer gave them."),
    setting(("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"), Kind::Ratio, "0.5", Effect::Kept, NO_EFFECT),
    setting(("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"), Kind::Long(0), "0", Effect::Kept, NO_EFFECT),
    setting(("min.insync.replicas", "min.insync.replicas"), Kind::Int(1, i32::MAX), "1",
        Effect::Fixed("there is one replica"), "Replicas that must have a record before acks=all is answered: the one that there is."),
    setting(("preallocate", "log.preallocate"), Kind::Boolean, "false", Effect::Kept, NO_EFFECT),
    setting(("remote.storage.enable", "remote.log.storage.system.enable"), Kind::Boolean, "false",
        Effect::Fixed("there is no remote storage"), "There is no remote storage."),
    setting((RETENTION_BYTES, "log.retention.bytes"), Kind::Long(-1), "-1",
        Effect::Obeyed, "Bytes that each partition keeps; -1 = no bound."),
    setting((RETENTION_MS, "log.retention.ms"), Kind::Long(-1), "-1",
        Effect::Obeyed, "Milliseconds that records are kept; -1 = no bound."),
    setting(("segment.bytes", "log.segment.bytes"), Kind::Int(14, i32::MAX), "67108864",
        Effect::Kept, "Segments hold records of many topics, and log.segment_bytes is their size; kept, without effect here."),
    setting(("segment.index.bytes", "log.index.size.max.bytes"), Kind::Int(4, i32::MAX), "10485760", Effect::Kept, NO_EFFECT),
    setting(("segment.jitter.ms", "log.roll.jitter.ms"), Kind::Long(0), "0", Effect::Kept, NO_EFFECT),
    setting(("segment.ms", "log.roll.ms"), Kind::Long(1), "604800000", Effect::Kept, NO_EFFECT),
    setting(("unclean.leader.election.enable", "unclean.leader.election.enable"), Kind::Boolean, "false", Effect::Kept, NO_EFFECT),
];

const fn of_node(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    effect: Effect,
    about: &'static str,
) -> Setting {
    setting((name, name), kind, default, effect, about)
}

/// The settings of the node that no topic has.
#[rustfmt::skip]
pub const NODE: &[Setting] = &[
    of_node("advertised.listeners", Kind::Texts, "", Effect::Node("broker.advertised"), "What clients connect to."),
    of_node("auto.create.topics.enable", Kind::Boolean, "true", Effect::Node("broker.auto_create_topics"), "Whether missing topics are created."),
    of_node("background.threads", Kind::Int(1, i32::MAX), "10", Effect::Kept, NO_EFFECT),
    of_node("broker.id", Kind::Int(-1, i32::MAX), "-1", Effect::Node("broker.node_id"), "The broker's id."),
    of_node("default.replication.factor", Kind::Int(1, 1), "1", Effect::Fixed("there is one broker"), "Replicas of a partition."),
    of_node("delete.topic.enable", Kind::Boolean, "true", Effect::Fixed("topics can be deleted"), "Whether topics can be deleted."),
    of_node("fetch.max.bytes", Kind::Int(1024, i32::MAX), "57671680", Effect::Node("broker.fetch_bytes_max"), "Bytes of records in one answer."),
    of_node("group.initial.rebalance.delay.ms", Kind::Int(0, i32::MAX), "3000", Effect::Node("broker.group_initial_rebalance_delay_ms"), "How long the first members of a group wait for others."),
    of_node("group.max.session.timeout.ms", Kind::Int(1, i32::MAX), "1800000", Effect::Node("broker.group_max_session_timeout_ms"), "Longest session timeout of a member."),
    of_node("group.min.session.timeout.ms", Kind::Int(1, i32::MAX), "6000", Effect::Node("broker.group_min_session_timeout_ms"), "Shortest session timeout of a member."),
    of_node("listeners", Kind::Texts, "PLAINTEXT://:9092", Effect::Node("broker.listen and broker.tls_listen"), "Where clients connect."),
    of_node("log.cleaner.threads", Kind::Int(0, i32::MAX), "1", Effect::Kept, NO_EFFECT),
    of_node("max.connections", Kind::Int(0, i32::MAX), "2147483647", Effect::Node("broker.connections_max"), "Connections of each core."),
    of_node("node.id", Kind::Int(0, i32::MAX), "0", Effect::Node("broker.node_id"), "The broker's id."),
    of_node("num.io.threads", Kind::Int(1, i32::MAX), "8", Effect::Kept, NO_EFFECT),
    of_node("num.network.threads", Kind::Int(1, i32::MAX), "3", Effect::Kept, NO_EFFECT),
    of_node("num.partitions", Kind::Int(1, i32::MAX), "1", Effect::Node("broker.default_partitions"), "Partitions of a topic whose creator does not say how many."),
    of_node("offsets.topic.replication.factor", Kind::Int(1, 1), "1", Effect::Fixed("there is one broker"), "Replicas of committed offsets."),
    of_node("sasl.enabled.mechanisms", Kind::Texts, "", Effect::Node("broker.sasl"), "How clients authenticate."),
    of_node("sasl.kerberos.min.time.before.relogin", Kind::Long(0), "60000", Effect::Kept, NO_EFFECT),
    of_node("socket.request.max.bytes", Kind::Int(1, i32::MAX), "104857600", Effect::Node("broker.request_bytes_max"), "Bytes of the longest request."),
    of_node("transaction.max.timeout.ms", Kind::Int(1, i32::MAX), "900000", Effect::Node("broker.transaction_timeout_max_ms"), "Longest timeout of a transaction."),
    of_node("transaction.state.log.min.isr", Kind::Int(1, 1), "1", Effect::Fixed("there is one broker"), "Replicas that must have a transaction's state."),
    of_node("transaction.state.log.replication.factor", Kind::Int(1, 1), "1", Effect::Fixed("there is one broker"), "Replicas of transactions' state."),
];

/// A topic's setting by its name.
pub fn topic_setting(name: &str) -> Option<&'static Setting> {
    TOPIC.iter().find(|setting| setting.name == name)
}

/// Every setting of the node: its own, and those that topics fall back to, under the node's name and
/// with what a client can do about it there.
pub fn node_settings() -> impl Iterator<Item = Setting> {
    let shared = TOPIC.iter().map(|topic| Setting {
        name: topic.node,
        effect: match (topic.effect, topic.name) {
            (Effect::Obeyed, MESSAGE_BYTES) => Effect::Node("broker.message_bytes_max"),
            (Effect::Obeyed, RETENTION_MS) => Effect::Node("broker.retention_ms"),
            (Effect::Obeyed, _) => Effect::Node("broker.retention_bytes"),
            (Effect::Kept, "segment.bytes") => Effect::Node("log.segment_bytes"),
            (effect @ (Effect::Kept | Effect::Fixed(_) | Effect::Node(_)), _) => effect,
        },
        ..*topic
    });
    NODE.iter().copied().chain(shared)
}

/// A setting of the node by its name.
pub fn node_setting(name: &str) -> Option<Setting> {
    node_settings().find(|setting| setting.name == name)
}

impl Setting {
    /// Judges a value that a client wants to set.
    ///
    /// # Errors
    /// Why it cannot be, in words for the client.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let refuse = |reason: &str| {
            let name = self.name;
            Err(format!(
                "Invalid value {value} for configuration {name}: {reason}"
            ))
        };
        match self.effect {
            Effect::Obeyed | Effect::Kept => {}
            Effect::Fixed(_) if value == self.default => {}
            Effect::Fixed(reason) => return refuse(reason),
            Effect::Node(key) => {
                return Err(format!(
                    "Cannot change {} while the node runs: its configuration decides ({key})",
                    self.name
                ));
            }
        }
        match self.kind {
            Kind::Boolean if matches!(value, "true" | "false") => Ok(()),
            Kind::Boolean => refuse("Expected value to be either true or false"),
            Kind::Int(min, max) => match value.parse::<i32>() {
                Err(_) => refuse("Not a number of type INT"),
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                Ok(_) => refuse(&format!("Value must be {min} to {max}")),
            },
            Kind::Long(min) => match value.parse::<i64>() {
                Err(_) => refuse("Not a number of type LONG"),
                Ok(number) if number >= min => Ok(()),
                Ok(_) => refuse(&format!("Value must be at least {min}")),
            },
            Kind::Ratio => match value.parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
                Ok(_) => refuse("Value must be 0 to 1"),
                Err(_) => refuse("Not a number of type DOUBLE"),
            },
            Kind::Word(words) if words.contains(&value) => Ok(()),
            Kind::Words(words)
                if !value.is_empty() && items(value).all(|item| words.contains(&item)) =>
            {
                Ok(())
            }
            Kind::Word(words) | Kind::Words(words) => {
                refuse(&format!("String must be one of: {}", words.join(", ")))
            }
            Kind::Text | Kind::Texts => Ok(()),
        }
    }
}

/// The words of a list.
pub fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}
