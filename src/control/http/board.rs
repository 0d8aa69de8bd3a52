//! What the control port can see of a node.
//!
//! Owns: the readers of every core, and what is fixed once the node runs. Never does: asking a core;
//! it holds the way to do so ([`Recorders`]).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::config::ShardConfig;
use crate::control::slow::Recorders;
use crate::control::tracer::Counts;
use crate::engine::status::CoreStatus;
use crate::ids::ShardId;
use crate::telemetry::{CounterReader, ShardCounter, StageReader};

/// What can be seen. Filled in by the start, step by step, while it is already shown.
#[derive(Debug)]
pub(in crate::control) struct Board {
    started: Instant,
    /// What holds the partitions.
    pub holder: Holder,
    /// What became of spans.
    pub spans: Arc<Counts>,
    running: OnceLock<Running>,
    addresses: OnceLock<Addresses>,
}

/// What holds a node's partitions.
#[derive(Debug)]
pub(in crate::control) enum Holder {
    /// The embedded log, in this directory.
    Embedded(PathBuf),
    /// Clusters of these names.
    Clusters(Vec<String>),
}

/// What is there once the cores are made.
#[derive(Debug)]
pub(in crate::control) struct Running {
    /// The cores, in their order.
    pub cores: Vec<CoreView>,
    /// How many topics and partitions there are.
    pub topics: Arc<TopicCounts>,
    /// By their ids: the order of [`crate::telemetry::ShardReader`].
    pub shards: Vec<ShardView>,
    /// The one thing that is asked of the cores.
    pub recorders: Recorders,
}

/// What is fixed of a shard.
#[derive(Clone, Debug)]
pub(in crate::control) struct ShardView {
    pub id: ShardId,
    pub name: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

impl From<&ShardConfig> for ShardView {
    fn from(shard: &ShardConfig) -> ShardView {
        ShardView {
            id: shard.id,
            name: shard.name.clone(),
            latitude: shard.latitude,
            longitude: shard.longitude,
        }
    }
}

/// What can be read of one core at any time, at no cost to it.
#[derive(Debug)]
pub(in crate::control) struct CoreView {
    pub status: Arc<CoreStatus>,
    pub counters: CounterReader,
    pub stages: StageReader,
}

/// Where the node listens.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Addresses {
    /// For clients of the gateway.
    pub gateway: Vec<SocketAddr>,
    /// Unix sockets of the gateway.
    pub unix: Vec<PathBuf>,
    /// For Kafka clients.
    pub kafka: Vec<SocketAddr>,
}

/// How many topics and partitions there are; written by whoever changes them.
#[derive(Debug, Default)]
pub(in crate::control) struct TopicCounts {
    topics: AtomicU64,
    partitions: AtomicU64,
}

impl TopicCounts {
    /// There are so many now.
    pub fn set(&self, topics: u64, partitions: u64) {
        self.topics.store(topics, Ordering::Relaxed);
        self.partitions.store(partitions, Ordering::Relaxed);
    }

    /// Topics.
    pub fn topics(&self) -> u64 {
        self.topics.load(Ordering::Relaxed)
    }

    /// Partitions of all topics.
    pub fn partitions(&self) -> u64 {
        self.partitions.load(Ordering::Relaxed)
    }
}

impl Board {
    /// Of a node that is being started.
    pub fn new(holder: Holder) -> Board {
        Board {
            started: Instant::now(),
            holder,
            spans: Arc::default(),
            running: OnceLock::new(),
            addresses: OnceLock::new(),
        }
    }

    /// The cores are made.
    pub fn show(&self, running: Running) {
        // A node is started once.
        let _ = self.running.set(running);
    }

    /// Every core listens.
    pub fn show_addresses(&self, addresses: Addresses) {
        // As above.
        let _ = self.addresses.set(addresses);
    }

    /// None while the log is recovered or the clusters are asked.
    pub fn running(&self) -> Option<&Running> {
        self.running.get()
    }

    /// The cores; none while there are none yet.
    pub fn cores(&self) -> &[CoreView] {
        self.running().map_or(&[], |running| &running.cores)
    }

    /// The shards; none while there are no cores yet.
    pub fn shards(&self) -> &[ShardView] {
        self.running().map_or(&[], |running| &running.shards)
    }

    /// A shard's counter, summed over the cores.
    pub fn of_shard(&self, shard: usize, counter: ShardCounter) -> u64 {
        let cores = self.cores().iter();
        cores.map(|it| it.counters.shards.get(shard, counter)).sum()
    }

    /// Visible records of a shard that are not processed, summed over the cores.
    pub fn lag_of_shard(&self, shard: usize) -> u64 {
        let cores = self.cores().iter();
        cores.map(|it| it.counters.shards.lag(shard)).sum()
    }

    /// Where the node listens; none while it is started.
    pub fn addresses(&self) -> Option<&Addresses> {
        self.addresses.get()
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
