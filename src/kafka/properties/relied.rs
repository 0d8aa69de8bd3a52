//! What users may not set under `extra`, since corelane's guarantees rest on it.
//!
//! Owns: the list, and which side of a client a property belongs to. Never does: anything else.
//! Runs on: any thread.

/// An entry of `extra` that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("extra: '{property}' may not be set here: {instead}")]
pub struct ExtraError {
    /// librdkafka's name.
    pub property: String,
    /// What to do instead.
    pub instead: &'static str,
}

/// Properties with what to use instead. Aliases are listed like the names they stand for.
pub(super) const RELIED_ON: &[(&str, &str)] = &[
    ("bootstrap.servers", "use brokers"),
    ("metadata.broker.list", "use brokers"),
    ("client.id", "it is derived from the node and the core"),
    ("acks", "use acks"),
    ("request.required.acks", "use acks"),
    ("enable.idempotence", "it follows acks: on for all"),
    (
        "enable.gapless.guarantee",
        "order is kept by idempotence: use acks = all",
    ),
    (
        "max.in.flight.requests.per.connection",
        "it follows acks, so that order is kept",
    ),
    ("max.in.flight", "it follows acks, so that order is kept"),
    ("queuing.strategy", "order per key needs fifo"),
    (
        "transactional.id",
        "use processing = \"exactly_once\"; the id is derived",
    ),
    (
        "transaction.timeout.ms",
        "use the transaction timeout of processing",
    ),
    (
        "delivery.report.only.error",
        "every record needs its report",
    ),
    ("group.id", "use group_id"),
    ("group.protocol", "membership supports the classic protocol"),
    (
        "enable.auto.commit",
        "positions are committed with what was processed",
    ),
    (
        "auto.commit.enable",
        "positions are committed with what was processed",
    ),
    (
        "enable.auto.offset.store",
        "positions are committed with what was processed",
    ),
    (
        "enable.partition.eof",
        "the end of a partition is asked for where it matters",
    ),
    ("isolation.level", "use isolation_level"),
    ("partition.assignment.strategy", "use membership"),
    (
        "allow.auto.create.topics",
        "topics are created with the shard's partitions and replication",
    ),
    ("queue.buffering.max.kbytes", "use memory_per_partition"),
    ("queued.max.messages.kbytes", "use memory_per_partition"),
    ("log.queue", "log lines go to the program's log"),
    ("enabled_events", "it is not for configuration"),
];

pub(super) fn check(property: &str) -> Result<(), ExtraError> {
    match RELIED_ON.iter().find(|(name, _)| *name == property) {
        None => Ok(()),
        Some((_, instead)) => Err(ExtraError {
            property: property.to_owned(),
            instead,
        }),
    }
}

/// Which kind of client properties are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Producer,
    Consumer,
    Admin,
}

/// Properties that only producers have. `extra` is one table for a cluster, and librdkafka warns
/// of each property that a client has no use for.
const PRODUCERS: &[&str] = &[
    "message.send.max.retries",
    "retries",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queue.buffering.backpressure.threshold",
    "linger.ms",
    "compression.codec",
    "compression.type",
    "compression.level",
    "batch.num.messages",
    "batch.size",
    "sticky.partitioning.linger.ms",
    "request.timeout.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "partitioner",
];

/// Properties that only consumers have.
const CONSUMERS: &[&str] = &[
    "group.instance.id",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol.type",
    "group.remote.assignor",
    "coordinator.query.interval.ms",
    "max.poll.interval.ms",
    "queued.min.messages",
    "fetch.wait.max.ms",
    "fetch.queue.backoff.ms",
    "fetch.message.max.bytes",
    "max.partition.fetch.bytes",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.error.backoff.ms",
    "check.crcs",
    "auto.offset.reset",
];

impl Side {
    /// Whether a client of this kind has any use for the property.
    pub fn takes(self, property: &str) -> bool {
        let is_producers = PRODUCERS.contains(&property);
        let is_consumers = CONSUMERS.contains(&property);
        match self {
            Side::Producer => !is_consumers,
            Side::Consumer => !is_producers,
            Side::Admin => !is_producers && !is_consumers,
        }
    }
}

/// Whether a value must not be shown.
pub(super) fn is_secret(property: &str) -> bool {
    [
        "password",
        "passphrase",
        "secret",
        "key.pem",
        "oauthbearer.config",
    ]
    .iter()
    .any(|part| property.contains(part))
}
