//! What lies where: topics, partitions, stripes and their owners, and the stripes' recovery.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{self, Config};
use crate::engine::route::{RouteTable, ShardPartitions};
use crate::exactly_once::Fingerprinter;
use crate::ids::{CoreId, PartitionId, StripeId};
use crate::log::directory::{DataDirectory, Options};
use crate::log::recover::{Access, RecoverOptions, recover};
use crate::log::state::Recovered;
use crate::log::stripe::{PartitionSpec, Processing, ReadAt};

use super::error::StartError;
use super::places::{Places, shard_manager};

/// What control knows of the data directory once its topics are there.
pub(super) struct Layout {
    pub directory: DataDirectory,
    pub places: Places,
    cores: u16,
    read_at: ReadAt,
    processed: Vec<bool>,
}

impl Layout {
    /// Opens the data directory, makes missing topics and decides who owns what.
    pub fn open(config: &Config, cores: u16) -> Result<Layout, StartError> {
        let geo = shard_manager(config)?;
        let stripes = if config.log.stripes == 0 {
            cores
        } else {
            config.log.stripes
        };
        let options = Options {
            stripes,
            segment_bytes: config.log.segment_bytes,
        };
        let mut directory = DataDirectory::open(&config.log.directory, &options)?;
        let stripes = directory.meta().stripes;
        let asked = config.transactions.partitions;
        let partitions = partitions_of("transactions", asked, stripes)?;
        let mut shards = Vec::new();
        let mut dead_letters = BTreeMap::new();
        for shard in &config.shards {
            let topic = directory.ensure_topic(&shard.topic_name(), partitions)?;
            let name = shard.dead_letter_topic();
            // One per stripe: a dead letter is in the same atomic group as its position.
            dead_letters.insert(shard.id, directory.ensure_topic(&name, stripes.into())?);
            shards.push((shard.id, topic));
        }
        let mut topics = BTreeMap::new();
        for topic in &config.topics {
            let partitions = partitions_of(&topic.name, topic.partitions, stripes)?;
            let id = directory.ensure_topic(&topic.name, partitions)?;
            topics.insert(topic.name.clone(), id);
        }
        let catalog = directory.catalog();
        let owner = |stripe: StripeId| CoreId(stripe.0 % cores);
        // Of deleted partitions nobody asks.
        let mut owners = vec![CoreId(0); catalog.next_partition().index()];
        for (id, meta) in catalog.partitions() {
            owners[id.index()] = owner(meta.stripe);
        }
        let mut processed = vec![false; owners.len()];
        let shards: Vec<ShardPartitions> = shards
            .into_iter()
            .map(|(shard, topic)| {
                let partitions = catalog.partitions_of(topic).to_vec();
                partitions.iter().for_each(|p| processed[p.index()] = true);
                ShardPartitions { shard, partitions }
            })
            .collect();
        Ok(Layout {
            directory,
            places: Places {
                table: Arc::new(RouteTable::new(geo, shards, owners)),
                topics: Arc::new(topics),
                dead_letters: Arc::new(dead_letters),
            },
            cores,
            read_at: match config.log.read_at {
                config::ReadAt::Durable => ReadAt::Durable,
                config::ReadAt::Appended => ReadAt::Appended,
            },
            processed,
        })
    }

    /// The stripes that a core owns.
    pub fn stripes_of(&self, core: u16) -> impl Iterator<Item = StripeId> + use<> {
        let cores = self.cores;
        self.directory
            .stripes()
            .filter(move |stripe| stripe.0 % cores == core)
    }

    /// The partitions of a stripe, in ascending order within each topic.
    pub fn partitions_in(&self, stripe: StripeId) -> Vec<PartitionSpec> {
        let catalog = self.directory.catalog();
        catalog
            .partitions_in(stripe)
            .map(|id| {
                let meta = catalog.partition(id).expect("listed by the catalog itself");
                let processing = match self.processed[id.index()] {
                    true => Processing::Handler,
                    false => Processing::None,
                };
                PartitionSpec {
                    id,
                    topic: meta.topic,
                    processing,
                    read_at: self.read_at,
                }
            })
            .collect()
    }

    /// Recovers every stripe, each on a thread of its own.
    pub fn recover(
        &self,
        config: &Config,
        fingerprinter: &Fingerprinter,
    ) -> Result<Vec<Recovered>, StartError> {
        let is_processed =
            |partition: PartitionId| self.processed.get(partition.index()) == Some(&true);
        let fingerprint = |key: &[u8]| fingerprinter.of(key);
        let one = |stripe: StripeId| {
            let options = RecoverOptions {
                directory_id: self.directory.meta().directory_id,
                access: Access::Repair,
                window_records_max: config.transactions.duplicate_window_records as usize,
                window_partitions: &is_processed,
                fingerprint: &fingerprint,
            };
            recover(&self.directory.files(), stripe, &options).map_err(|source| {
                StartError::Recover {
                    stripe,
                    source: Box::new(source),
                }
            })
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .directory
                .stripes()
                .map(|stripe| scope.spawn(move || one(stripe)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("recovery does not panic"))
                .collect()
        })
    }
}

/// Partitions of a topic as configured: 0 stands for one per stripe, as each stripe's handler writes
/// to the topic's partitions in its own stripe.
fn partitions_of(topic: &str, configured: u32, stripes: u16) -> Result<u32, StartError> {
    match configured {
        0 => Ok(u32::from(stripes)),
        count if count.is_multiple_of(u32::from(stripes)) => Ok(count),
        partitions => Err(StartError::Partitions {
            topic: topic.to_owned(),
            partitions,
            stripes,
        }),
    }
}
