//! A node's storage on clusters: the topics, who owns what, and what each core is given.
//!
//! Everything here runs on housekeeping threads before the first core starts, librdkafka's clients
//! included: the threads that they start belong to the CPUs for I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ClusterConfig, Config, Delivery, Failover, MembershipMode, ShardConfig};
use crate::cpu::Plan;
use crate::engine::guest::Alone;
use crate::engine::route::{RouteTable, ShardPartitions};
use crate::ids::{CoreId, CpuId, PartitionId, ShardId, TopicId};
use crate::kafka::admin::{Create, TopicAdmin, TopicSpec};
use crate::kafka::cluster::{
    self, Assignment, Cluster, ClusterOptions, Guarantee, OutputTopic, ShardTopic,
};
use crate::kafka::fence::fence;
use crate::kafka::native::Wake;
use crate::kafka::properties::admin_properties;
use crate::kafka::storage::KafkaStorage;
use crate::mesh::Bells;

use super::error::StartError;
use super::executor::{Patience, StorageSeed, WakeLoop};
use super::http::TopicCounts;
use super::places::{Places, shard_manager};
use super::seeds::Given;

/// One core's ends of all clusters.
pub(super) struct KafkaSeed {
    storage: KafkaStorage,
    patience: Duration,
}

impl StorageSeed for KafkaSeed {
    type Storage = KafkaStorage;

    fn make(self, _wake: WakeLoop) -> Result<KafkaStorage, String> {
        Ok(self.storage)
    }

    fn patience(&self) -> Patience {
        Patience::Needed(self.patience)
    }
}

/// How many cores the partitions allow, as many as are configured or there are CPUs.
///
/// The owner of partition i is core (i mod lanes) mod cores, with lanes the greatest common
/// divisor of all shards' partitions: then the hash of an id alone decides its core, whatever the
/// shard, as in the embedded log.
pub(super) fn cores_of(config: &Config, cpus: usize) -> Result<u16, StartError> {
    let lanes = lanes(config);
    let asked = u32::from(config.node.cores);
    match asked {
        // Both fit: a core has a CPU, of which there are fewer than 65,536.
        0 => Ok((cpus as u32).min(lanes).min(u32::from(u16::MAX)) as u16),
        asked if asked <= lanes => Ok(config.node.cores),
        cores => Err(StartError::Lanes { cores, lanes }),
    }
}

fn lanes(config: &Config) -> u32 {
    let partitions = config.shards.iter().map(|s| config.shard_partitions(s));
    partitions.fold(0, gcd).max(1)
}

fn gcd(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        b => gcd(b, a % b),
    }
}

/// What control knows of the clusters once their topics are there.
pub(super) struct Clusters<'a> {
    config: &'a Config,
    cores: u16,
    /// Where librdkafka's threads and the helpers run.
    io: Vec<CpuId>,
    bells: Bells,
    places: Places,
    /// By shard: its partitions.
    partitions: BTreeMap<ShardId, Vec<PartitionId>>,
    /// By cluster: what processing writes to.
    outputs: BTreeMap<&'a str, Vec<OutputTopic>>,
}

impl<'a> Clusters<'a> {
    /// Makes missing topics and decides who owns what.
    pub fn open(
        config: &'a Config,
        plan: &Plan,
        bells: &Bells,
    ) -> Result<Clusters<'a>, StartError> {
        let cores = plan.shard_cpus.len() as u16;
        let lanes = lanes(config);
        let (mut shards, mut owners) = (Vec::new(), Vec::new());
        let mut partitions = BTreeMap::new();
        for shard in &config.shards {
            let first = owners.len() as u32;
            let count = config.shard_partitions(shard);
            // Below the number of cores, which is a u16.
            let owner = |index: u32| CoreId((index % lanes % u32::from(cores)) as u16);
            owners.extend((0..count).map(owner));
            let ids: Vec<_> = (first..first + count).map(PartitionId).collect();
            partitions.insert(shard.id, ids.clone());
            shards.push(ShardPartitions {
                shard: shard.id,
                partitions: ids,
            });
        }
        let (dead_letters, topics) = topic_ids(config);
        let mut outputs = BTreeMap::new();
        for name in config.clusters.keys() {
            let found = ensure(config, name, &dead_letters, &topics)?;
            outputs.insert(name.as_str(), found);
        }
        Ok(Clusters {
            config,
            cores,
            io: plan.io.clone(),
            bells: Arc::clone(bells),
            places: Places {
                table: Arc::new(RouteTable::new(shard_manager(config)?, shards, owners)),
                topics: Arc::new(topics),
                dead_letters: Arc::new(dead_letters),
            },
            partitions,
            outputs,
        })
    }

    /// Where everything is.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// How many topics of shards there are, and partitions of them.
    pub fn topics(&self) -> Arc<TopicCounts> {
        let counts = TopicCounts::default();
        let partitions: usize = self.partitions.values().map(Vec::len).sum();
        counts.set(self.partitions.len() as u64, partitions as u64);
        Arc::new(counts)
    }

    /// What each core is given, in their order. The ids of the last records come later, from the
    /// clusters themselves.
    pub fn seeds(&self) -> Result<Vec<Given<KafkaSeed, Alone>>, StartError> {
        for (name, cluster) in &self.config.clusters {
            self.fence_predecessor(name, cluster)?;
        }
        let clusters = self.config.clusters.values();
        let patience = clusters.clone().map(|c| c.start_timeout_ms).max();
        let patience = Duration::from_millis(patience.unwrap_or_default().into());
        let acks = clusters.map(|cluster| cluster.producer().acks).min();
        let mut seeds = Vec::new();
        for core in 0..self.cores {
            let ends = self.config.clusters.iter();
            let ends = ends.map(|(name, cluster)| self.end(core, name, cluster));
            let ends = ends.collect::<Result<Vec<_>, _>>()?;
            let storage = KafkaStorage::new(ends, acks.unwrap_or_default());
            seeds.push(Given {
                storage: KafkaSeed { storage, patience },
                recent: Vec::new(),
                guest: Alone,
            });
        }
        Ok(seeds)
    }

    /// One core's end of one cluster.
    fn end(&self, core: u16, name: &str, cluster: &ClusterConfig) -> Result<Cluster, StartError> {
        let config = self.config;
        let shards: Vec<_> = config.shards_on(name).collect();
        let all = shards.iter().map(|shard| self.partitions[&shard.id].len());
        let all: usize = all.sum();
        let mine = self.partitions_of(core, &shards);
        // A core of a group may be given any partition.
        let count = match config.membership.mode {
            MembershipMode::Static => mine.len().max(1),
            MembershipMode::Group => all,
        };
        let properties = config
            .client_properties(name, cluster, CoreId(core), count as u32)
            .map_err(|error| failed(name, error))?;
        // The later entry wins.
        let mut reader = properties.consumer.clone();
        let mut set = |name: &str, value: &str| reader.push((name.to_owned(), value.to_owned()));
        // What is read back at the start must not show what never held.
        set("isolation.level", "read_committed");
        set("enable.partition.eof", "true");
        // The end of a partition is only told by an answer without records, which must not be
        // held back in the hope of some.
        set("fetch.wait.max.ms", "5");
        let bells = Arc::clone(&self.bells);
        let wake: Wake = Arc::new(move || {
            bells[usize::from(core)].ring();
        });
        let in_flight_max = config.node.in_flight_max as usize;
        let options = ClusterOptions {
            name: name.to_owned(),
            core,
            shards: shards.iter().map(|shard| self.shard_topic(shard)).collect(),
            outputs: self.outputs[name].clone(),
            producer: properties.producer,
            transactional: properties.transactional_producer,
            consumer: properties.consumer,
            reader,
            cpus: self.io.clone(),
            wake,
            guarantee: guarantee(cluster),
            failover: match cluster.failover {
                Failover::Wait => cluster::Failover::Wait,
                Failover::NextNearest => cluster::Failover::NextNearest,
            },
            assignment: match config.membership.mode {
                MembershipMode::Static => Assignment::Static(mine),
                MembershipMode::Group => Assignment::Group,
            },
            acks: cluster.producer().acks,
            // So that a cluster that is away does not hold every slot of the core.
            outstanding_max: (in_flight_max / config.clusters.len()).max(1),
            // A quarter; see `ClusterConfig::settings`.
            read_ahead_max: cluster.memory_per_partition as usize / 4 * count,
            poll_records_max: cluster.consumer(Vec::new()).max_poll_records as usize,
            history_records_max: self.history_of_partition(),
            unreachable_ns: u64::from(cluster.unreachable_ms) * 1_000_000,
        };
        Cluster::new(options).map_err(|error| failed(name, error))
    }

    /// The partitions that a core processes under static assignment.
    fn partitions_of(&self, core: u16, shards: &[&ShardConfig]) -> Vec<PartitionId> {
        let mine = shards.iter().filter(|s| self.config.processes(s.id));
        let ids = mine.flat_map(|shard| &self.partitions[&shard.id]);
        let owned = ids.filter(|id| self.places.table.owner(**id).0 == core);
        owned.copied().collect()
    }

    /// Ids that a core reads of each of its partitions at the start: together they fill its window.
    fn history_of_partition(&self) -> u64 {
        let partitions: usize = self.partitions.values().map(Vec::len).sum();
        let of_core = partitions.div_ceil(usize::from(self.cores)) as u64;
        u64::from(self.config.transactions.duplicate_window_records) / of_core.max(1)
    }

    fn shard_topic(&self, shard: &ShardConfig) -> ShardTopic {
        ShardTopic {
            name: shard.topic_name(),
            state: shard.state_topic(),
            partitions: self.partitions[&shard.id].clone(),
        }
    }

    /// Fences every core of a predecessor, and ends what it left open, before any core of this node
    /// begins: with another number of cores a partition belongs to another transactional id.
    fn fence_predecessor(&self, name: &str, cluster: &ClusterConfig) -> Result<(), StartError> {
        let is_fenced = cluster.processing == Delivery::ExactlyOnce
            && self.config.membership.mode == MembershipMode::Static;
        if !is_fenced {
            return Ok(());
        }
        let lanes = u16::try_from(lanes(self.config)).unwrap_or(u16::MAX);
        for core in 0..lanes {
            let properties = self
                .config
                .client_properties(name, cluster, CoreId(core), 1);
            let properties = properties.map_err(|error| failed(name, error))?;
            let transactional = properties.transactional_producer.unwrap_or_default();
            let timeout = Duration::from_millis(cluster.start_timeout_ms.into());
            fence(&transactional, &self.io, timeout).map_err(|error| failed(name, error))?;
        }
        Ok(())
    }
}

fn guarantee(cluster: &ClusterConfig) -> Guarantee {
    let transaction = &cluster.transaction;
    match cluster.processing {
        Delivery::AtLeastOnce => Guarantee::AtLeastOnce,
        Delivery::ExactlyOnce => Guarantee::ExactlyOnce {
            interval_ns: (transaction.interval_ms * 1e6) as u64,
            records_max: transaction.records_max as usize,
            timeout: Duration::from_millis(transaction.timeout_ms.into()),
        },
    }
}

/// The engine's numbers of the topics that processing writes to: the dead letters of each shard,
/// then those that are configured, which are on every cluster.
fn topic_ids(config: &Config) -> (BTreeMap<ShardId, TopicId>, BTreeMap<String, TopicId>) {
    let shards = config.shards.iter().map(|shard| shard.id);
    let dead_letters: BTreeMap<_, _> = shards.zip((0..).map(TopicId)).collect();
    let first = dead_letters.len() as u32;
    let names = config.topics.iter().map(|topic| topic.name.clone());
    let topics = names.zip((first..).map(TopicId)).collect();
    (dead_letters, topics)
}

/// Makes the missing topics of a cluster. Returns those that processing writes to.
fn ensure(
    config: &Config,
    name: &str,
    dead_letters: &BTreeMap<ShardId, TopicId>,
    topics: &BTreeMap<String, TopicId>,
) -> Result<Vec<OutputTopic>, StartError> {
    let ensurer = Ensurer::new(config, name)?;
    let mut outputs = Vec::new();
    for shard in config.shards_on(name) {
        let partitions = config.shard_partitions(shard);
        let copies = shard.replication;
        ensurer.topic(&shard.topic_name(), partitions, copies, &[])?;
        // Only the last value of each key is needed, and it must never go.
        let compact = [("cleanup.policy", "compact")];
        ensurer.topic(&shard.state_topic(), partitions, copies, &compact)?;
        let dead_letter = shard.dead_letter_topic();
        ensurer.topic(&dead_letter, partitions, copies, &[])?;
        outputs.push(OutputTopic {
            id: dead_letters[&shard.id],
            name: dead_letter,
            partitions,
        });
    }
    for topic in &config.topics {
        let copies = topic.replication;
        let partitions = ensurer.topic(&topic.name, topic.partitions, copies, &[])?;
        outputs.push(OutputTopic {
            id: topics[&topic.name],
            name: topic.name.clone(),
            partitions,
        });
    }
    Ok(outputs)
}

/// Makes missing topics of one cluster.
struct Ensurer<'a> {
    cluster: &'a str,
    admin: TopicAdmin,
    create: Create,
    timeout: Duration,
}

impl<'a> Ensurer<'a> {
    fn new(config: &Config, name: &'a str) -> Result<Ensurer<'a>, StartError> {
        let cluster = &config.clusters[name];
        let settings = cluster.settings(&config.client_id(CoreId(0)), 1);
        let settings = settings.map_err(|error| failed(name, error))?;
        let properties = admin_properties(&cluster.brokers, &settings);
        let properties = properties.map_err(|error| failed(name, error))?;
        Ok(Ensurer {
            cluster: name,
            admin: TopicAdmin::new(&properties).map_err(|error| failed(name, error))?,
            create: match cluster.create_topics {
                true => Create::Allowed,
                false => Create::Never,
            },
            timeout: Duration::from_millis(cluster.start_timeout_ms.into()),
        })
    }

    /// Returns the topic's partitions; `partitions` 0 takes what there is.
    fn topic(
        &self,
        name: &str,
        partitions: u32,
        copies: u16,
        settings: &[(&str, &str)],
    ) -> Result<u32, StartError> {
        let spec = TopicSpec {
            name,
            partitions: Some(partitions).filter(|partitions| *partitions > 0),
            replication: Some(copies).filter(|copies| *copies > 0),
            config: settings,
        };
        let ensured = self.admin.ensure(&spec, self.create, self.timeout);
        ensured.map_err(|error| failed(self.cluster, error))
    }
}

fn failed(cluster: &str, error: impl std::fmt::Display) -> StartError {
    StartError::Cluster {
        cluster: cluster.to_owned(),
        reason: error.to_string(),
    }
}
