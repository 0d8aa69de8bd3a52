//! What the administrator knows of the node besides its catalog.
//!
//! Owns: which topics are the engine's own, the node's settings by their names in Kafka, and the way
//! from a catalog to what cores and clients see of it. Never does: I/O. Runs on: any thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::settings::{MESSAGE_BYTES, RETENTION_BYTES, RETENTION_MS, Setting, topic_setting};
use crate::broker::admin::{AddedPartition, Change};
use crate::broker::view::{Endpoint, Home, TopicKind, TopicLimits, TopicView, View};
use crate::config::{self, Config, INLET};
use crate::ids::{CoreId, PartitionId, StripeId, TopicId};
use crate::log::catalog::{Catalog, PartitionMeta, Topic};
use crate::log::directory::Meta;
use crate::log::stripe::{PartitionSpec, Processing, ReadAt, TopicRetention};

/// The number of the inlet, which is in no catalog: no topic ever gets it.
pub const INLET_ID: TopicId = TopicId(u32::MAX);

/// How names begin that only the engine gives to topics.
pub const RESERVED: &str = "transactions-";

/// What the engine does with one of its own topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It writes transactions to it and processes them.
    Shard,
    /// It writes to it what could not be processed.
    DeadLetters,
    /// Handlers write to it.
    Output,
}

/// What is fixed while the node runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The broker's id.
    pub node_id: i32,
    /// The cluster's id.
    pub cluster_id: String,
    /// Where clients connect, by listener.
    pub endpoints: Vec<Endpoint>,
    /// The engine's own topics.
    pub roles: BTreeMap<TopicId, Role>,
    /// Partitions of a topic whose creator does not say how many.
    pub default_partitions: u32,
    /// Whether missing topics are created.
    pub auto_create: bool,
    /// What the node's configuration says, by names of the node's settings in Kafka.
    pub given: BTreeMap<&'static str, String>,
    /// Cores of the node.
    pub cores: u16,
    /// Stripes of the data directory.
    pub stripes: u16,
    inlet: Uuid,
    read_at: ReadAt,
}

/// Where a value comes from; the numbers are those of Kafka's `DescribeConfigs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// Set for the topic.
    Topic = 1,
    /// Set for the node by a client.
    Node = 2,
    /// Set by the node's configuration.
    Configuration = 4,
    /// Set by nobody.
    Default = 5,
}

/// A value on its way to a setting: the first that there is counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// The name that it was set under.
    pub name: &'static str,
    /// The value.
    pub value: String,
    /// Who set it.
    pub source: Source,
}

impl Facts {
    /// The facts of a node with this configuration and data directory, once its topics are there.
    pub fn new(
        config: &Config,
        meta: &Meta,
        catalog: &Catalog,
        cores: u16,
        endpoints: Vec<Endpoint>,
    ) -> Facts {
        let broker = &config.broker;
        Facts {
            node_id: broker.node_id,
            cluster_id: format!("{:032x}", meta.directory_id),
            given: given(config, meta, &endpoints),
            endpoints,
            roles: roles(config, catalog),
            default_partitions: broker.default_partitions,
            auto_create: broker.auto_create_topics,
            cores,
            stripes: meta.stripes,
            // As lasting and as random as the directory's own id.
            inlet: uuid::Builder::from_random_bytes(meta.directory_id.to_le_bytes()).into_uuid(),
            read_at: match config.log.read_at {
                config::ReadAt::Durable => ReadAt::Durable,
                config::ReadAt::Appended => ReadAt::Appended,
            },
        }
    }

    /// The core that owns a stripe.
    pub fn owner(&self, stripe: StripeId) -> CoreId {
        CoreId(stripe.0 % self.cores)
    }

    /// What clients see of this catalog.
    pub fn view(&self, catalog: &Catalog) -> View {
        let inlet = TopicView {
            name: INLET.into(),
            id: INLET_ID,
            uuid: self.inlet,
            kind: TopicKind::Inlet,
            partitions: self.inlet_homes(),
            limits: TopicLimits {
                message_bytes_max: self.message_bytes_max(catalog, &BTreeMap::new()),
            },
        };
        let topics = catalog
            .topics()
            .iter()
            // Left by an earlier configuration; the inlet hides it.
            .filter(|topic| topic.name != INLET)
            .map(|topic| self.topic_view(catalog, topic));
        let topics = std::iter::once(inlet).chain(topics).collect();
        View::new(
            self.node_id,
            self.cluster_id.clone(),
            self.endpoints.clone(),
            topics,
        )
    }

    /// Any core can route a transaction, so the inlet's partitions take turns.
    fn inlet_homes(&self) -> Vec<Home> {
        (0..self.default_partitions)
            .map(|index| Home {
                id: PartitionId(u32::MAX),
                owner: CoreId((index % u32::from(self.cores)) as u16),
            })
            .collect()
    }

    fn topic_view(&self, catalog: &Catalog, topic: &Topic) -> TopicView {
        let home = |id: &PartitionId| {
            let meta = catalog.partition(*id)?;
            Some(Home {
                id: *id,
                owner: self.owner(meta.stripe),
            })
        };
        TopicView {
            name: topic.name.as_str().into(),
            id: topic.id,
            uuid: topic.uuid,
            kind: self.kind(topic),
            partitions: topic.partitions.iter().filter_map(home).collect(),
            limits: TopicLimits {
                message_bytes_max: self.message_bytes_max(catalog, &topic.configs),
            },
        }
    }

    /// What a topic is to the engine. That of a shard that is not configured any more stays closed
    /// to writers: it may come back.
    fn kind(&self, topic: &Topic) -> TopicKind {
        match self.roles.get(&topic.id) {
            Some(Role::Shard) => TopicKind::Shard,
            Some(Role::DeadLetters | Role::Output) => TopicKind::Plain,
            None if topic.name.starts_with(RESERVED) && !topic.name.ends_with(".dlq") => {
                TopicKind::Shard
            }
            None => TopicKind::Plain,
        }
    }

    /// The values of a topic's setting, the one that counts first, the default last.
    pub fn levels(
        &self,
        setting: &Setting,
        catalog: &Catalog,
        configs: &BTreeMap<String, String>,
    ) -> Vec<Level> {
        let own = configs.get(setting.name).map(|value| Level {
            name: setting.name,
            value: value.clone(),
            source: Source::Topic,
        });
        let mut levels: Vec<Level> = own.into_iter().collect();
        levels.extend(self.node_levels(setting, catalog));
        levels
    }

    /// The same for a setting of the node.
    pub fn node_levels(&self, setting: &Setting, catalog: &Catalog) -> Vec<Level> {
        let level = |value: &str, source| Level {
            name: setting.node,
            value: value.to_owned(),
            source,
        };
        let set = catalog.settings().get(setting.node);
        let given = self.given.get(setting.node);
        let given = given.filter(|value| *value != setting.default);
        let mut levels: Vec<Level> = Vec::with_capacity(3);
        levels.extend(set.map(|value| level(value, Source::Node)));
        levels.extend(given.map(|value| level(value, Source::Configuration)));
        levels.push(level(setting.default, Source::Default));
        levels
    }

    fn number(
        &self,
        name: &str,
        catalog: &Catalog,
        configs: &BTreeMap<String, String>,
    ) -> Option<i64> {
        let levels = self.levels(topic_setting(name)?, catalog, configs);
        // What cannot be read counts as not set: values were checked when they were set.
        levels.iter().find_map(|level| level.value.parse().ok())
    }

    fn message_bytes_max(&self, catalog: &Catalog, configs: &BTreeMap<String, String>) -> u32 {
        let number = self.number(MESSAGE_BYTES, catalog, configs);
        number.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0)
    }

    /// How long a topic's partitions keep their records. Those of the shards are bounded by the log
    /// alone, which keeps what is not processed yet.
    pub fn retention(&self, catalog: &Catalog, topic: &Topic) -> TopicRetention {
        match self.kind(topic) {
            TopicKind::Shard | TopicKind::Inlet => TopicRetention::default(),
            TopicKind::Plain => {
                let bound = |name| {
                    let number = self.number(name, catalog, &topic.configs)?;
                    number.try_into().ok()
                };
                TopicRetention {
                    ms: bound(RETENTION_MS),
                    bytes: bound(RETENTION_BYTES),
                }
            }
        }
    }

    /// The retention of every partition, by id.
    pub fn retentions(&self, catalog: &Catalog) -> BTreeMap<PartitionId, TopicRetention> {
        let of_topic = |topic| {
            let retention = self.retention(catalog, topic);
            topic.partitions.iter().map(move |id| (*id, retention))
        };
        catalog.topics().iter().flat_map(of_topic).collect()
    }

    /// What cores have to do to get from one catalog to the next.
    pub fn change(&self, old: &Catalog, new: &Catalog) -> Change {
        let (before, after) = (self.retentions(old), self.retentions(new));
        let added = new
            .partitions()
            .filter(|(id, _)| old.partition(*id).is_none())
            .map(|(id, meta)| AddedPartition {
                stripe: meta.stripe,
                spec: self.spec(id, meta),
                retention: after.get(&id).copied().unwrap_or_default(),
            });
        let dropped = old
            .partitions()
            .filter(|(id, _)| new.partition(*id).is_none())
            .map(|(id, _)| id);
        let changed = after.iter().filter(|(id, retention)| {
            let earlier = before.get(id);
            earlier.is_some_and(|earlier| earlier != *retention)
        });
        Change {
            view: Arc::new(self.view(new)),
            added: added.collect(),
            dropped: dropped.collect(),
            retention: changed.map(|(id, retention)| (*id, *retention)).collect(),
        }
    }

    /// Partitions that clients make are not processed.
    fn spec(&self, id: PartitionId, meta: &PartitionMeta) -> PartitionSpec {
        PartitionSpec {
            id,
            topic: meta.topic,
            processing: Processing::None,
            read_at: self.read_at,
        }
    }
}

fn roles(config: &Config, catalog: &Catalog) -> BTreeMap<TopicId, Role> {
    let shards = config.shards.iter().flat_map(|shard| {
        [
            (shard.topic_name(), Role::Shard),
            (shard.dead_letter_topic(), Role::DeadLetters),
        ]
    });
    let outputs = config
        .topics
        .iter()
        .map(|it| (it.name.clone(), Role::Output));
    shards
        .chain(outputs)
        .filter_map(|(name, role)| Some((catalog.topic(&name)?.id, role)))
        .collect()
}

fn given(config: &Config, meta: &Meta, endpoints: &[Endpoint]) -> BTreeMap<&'static str, String> {
    let broker = &config.broker;
    let list = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",");
    let protocol = |index: usize| match (index < broker.listen.len(), broker.sasl.is_empty()) {
        (true, true) => "PLAINTEXT",
        (true, false) => "SASL_PLAINTEXT",
        (false, true) => "SSL",
        (false, false) => "SASL_SSL",
    };
    let bound = broker.listen.iter().chain(&broker.tls_listen).enumerate();
    BTreeMap::from([
        (
            "advertised.listeners",
            list(&mut endpoints.iter().enumerate().map(|(index, endpoint)| {
                format!("{}://{}:{}", protocol(index), endpoint.host, endpoint.port)
            })),
        ),
        (
            "listeners",
            list(&mut bound.map(|(index, it)| format!("{}://{it}", protocol(index)))),
        ),
        (
            "sasl.enabled.mechanisms",
            list(&mut broker.sasl.iter().map(ToString::to_string)),
        ),
        (
            "auto.create.topics.enable",
            broker.auto_create_topics.to_string(),
        ),
        ("broker.id", broker.node_id.to_string()),
        ("fetch.max.bytes", broker.fetch_bytes_max.to_string()),
        (
            "group.initial.rebalance.delay.ms",
            broker.group_initial_rebalance_delay_ms.to_string(),
        ),
        (
            "group.max.session.timeout.ms",
            broker.group_max_session_timeout_ms.to_string(),
        ),
        (
            "group.min.session.timeout.ms",
            broker.group_min_session_timeout_ms.to_string(),
        ),
        ("log.retention.bytes", broker.retention_bytes.to_string()),
        ("log.retention.ms", broker.retention_ms.to_string()),
        ("log.segment.bytes", meta.segment_bytes.to_string()),
        ("max.connections", broker.connections_max.to_string()),
        ("message.max.bytes", broker.message_bytes_max.to_string()),
        ("node.id", broker.node_id.to_string()),
        ("num.partitions", broker.default_partitions.to_string()),
        (
            "socket.request.max.bytes",
            broker.request_bytes_max.to_string(),
        ),
        (
            "transaction.max.timeout.ms",
            broker.transaction_timeout_max_ms.to_string(),
        ),
    ])
}
