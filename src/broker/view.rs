//! What clients may know of the node: its addresses, its topics, where each partition lives.
//!
//! Owns: one immutable snapshot, replaced as a whole by the administrator. Never does: change. Runs on:
//! any thread; every core holds the newest one by reference count.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::ids::{CoreId, PartitionId, PartitionIndex, TopicId};

/// Where one listener can be reached, as clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What a topic is to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    /// Clients write and read it.
    Plain,
    /// The engine writes it, so clients only read it: `transactions-{shard}`.
    Shard,
    /// What is written to it is routed like any other transaction: `transactions`. It holds nothing
    /// itself.
    Inlet,
}

/// A partition and the core that owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The partition; meaningless for [`TopicKind::Inlet`].
    pub id: PartitionId,
    /// Its owner.
    pub owner: CoreId,
}

/// A topic's settings that the cores obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicLimits {
    /// Longest batch that is taken, in bytes.
    pub message_bytes_max: u32,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct TopicView {
    /// Its name.
    pub name: Arc<str>,
    /// Its number in this data directory.
    pub id: TopicId,
    /// Its id as Kafka's; new for each topic, also for one of a former name.
    pub uuid: Uuid,
    /// What it is to the engine.
    pub kind: TopicKind,
    /// Its partitions, by [`PartitionIndex`].
    pub partitions: Vec<Home>,
    /// What the cores obey.
    pub limits: TopicLimits,
}

impl TopicView {
    /// A partition by its number as on the wire.
    pub fn home(&self, index: i32) -> Option<Home> {
        self.partitions.get(usize::try_from(index).ok()?).copied()
    }
}

/// The snapshot.
#[derive(Debug, Default)]
pub struct View {
    /// The broker's id.
    pub node_id: i32,
    /// The cluster's id: the data directory's.
    pub cluster_id: String,
    /// By listener.
    pub endpoints: Vec<Endpoint>,
    by_name: BTreeMap<Arc<str>, Arc<TopicView>>,
    by_uuid: BTreeMap<Uuid, Arc<TopicView>>,
    by_id: BTreeMap<TopicId, Arc<TopicView>>,
}

impl View {
    /// A snapshot of these topics.
    pub fn new(
        node_id: i32,
        cluster_id: String,
        endpoints: Vec<Endpoint>,
        topics: Vec<TopicView>,
    ) -> View {
        let topics: Vec<Arc<TopicView>> = topics.into_iter().map(Arc::new).collect();
        let each = || topics.iter().map(Arc::clone);
        View {
            node_id,
            cluster_id,
            endpoints,
            by_name: each()
                .map(|topic| (Arc::clone(&topic.name), topic))
                .collect(),
            by_uuid: each().map(|topic| (topic.uuid, topic)).collect(),
            by_id: each().map(|topic| (topic.id, topic)).collect(),
        }
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicView>> {
        self.by_name.values()
    }

    /// A topic by its name.
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicView>> {
        self.by_name.get(name)
    }

    /// A topic by Kafka's id.
    pub fn topic_by_uuid(&self, uuid: Uuid) -> Option<&Arc<TopicView>> {
        self.by_uuid.get(&uuid)
    }

    /// A topic by its number.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicView>> {
        self.by_id.get(&id)
    }

    /// Where a partition lives.
    pub fn home(&self, topic: TopicId, index: PartitionIndex) -> Option<Home> {
        self.by_id
            .get(&topic)?
            .partitions
            .get(index.index())
            .copied()
    }
}
