//! A node's storage in the embedded log: the data directory, its recovery, its keeper, and what
//! each core is given of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::admin::{self, CoreEnd};
use crate::broker::view::{Endpoint, View};
use crate::config::Config;
use crate::exactly_once::Fingerprinter;
use crate::ids::{PartitionId, StripeId};
use crate::log::dma::DmaDisk;
use crate::log::keeper::{KeeperHandle, KeeperOptions, KeeperThread};
use crate::log::state::{RecentId, Recovered, TornTail};
use crate::log::storage::{LogStorage, StripeStart};
use crate::log::stripe::{Retention, StripeOptions, TopicRetention};
use crate::mesh::Bells;

use super::error::StartError;
use super::executor::{Patience, StorageSeed, WakeLoop};
use super::http::TopicCounts;
use super::layout::Layout;
use super::topics::{Administrator, Facts, Topics};

/// Recycled segments kept for reuse, per stripe.
const SPARES_MAX: usize = 2;

/// How long a core waits for its stripes' segments, so that the first transactions do not share the
/// device with the keeper. Where no space is left, the node then starts and pushes back.
const SEGMENTS_READY: Duration = Duration::from_secs(3);

/// The stripes of one core.
pub(super) struct LogSeed {
    stripes: Vec<StripeStart>,
    directory: PathBuf,
}

impl StorageSeed for LogSeed {
    type Storage = LogStorage<DmaDisk>;

    fn make(self, wake: WakeLoop) -> Result<LogStorage<DmaDisk>, String> {
        let disk = DmaDisk::new(self.directory, wake);
        let disk = disk.map_err(|error| format!("no io_uring for the log: {error}"))?;
        Ok(LogStorage::new(self.stripes, disk))
    }

    fn patience(&self) -> Patience {
        Patience::Ready(SEGMENTS_READY)
    }
}

/// The data directory of a node that is being started.
pub(super) struct Embedded<'a> {
    config: &'a Config,
    layout: Layout,
    /// What recovery found, and the line to the keeper, by stripe; each is taken by its owner.
    stripes: BTreeMap<StripeId, (Recovered, KeeperHandle)>,
    keeper: KeeperThread,
    torn: Vec<(StripeId, TornTail)>,
}

/// What the cores' brokers know of topics at the start, and their lines to the administrator.
pub(super) struct Administered {
    pub view: Arc<View>,
    pub retentions: Arc<[(PartitionId, TopicRetention)]>,
    /// By core.
    pub ends: Vec<CoreEnd>,
}

/// What lives as long as the node does.
pub(super) struct Kept {
    /// Dropped after the cores: stops once their last requests are carried out.
    _keeper: KeeperThread,
    /// Torn tails that recovery cut off.
    pub torn: Vec<(StripeId, TornTail)>,
    /// How many topics there are, kept by the administrator.
    pub topics: Arc<TopicCounts>,
    /// Holds the directory's lock.
    _administrator: Administrator,
}

impl<'a> Embedded<'a> {
    /// Opens the data directory and recovers it; the keeper runs from now on.
    pub fn open(
        config: &'a Config,
        layout: Layout,
        fingerprinter: &Fingerprinter,
        bells: &Bells,
        cores: u16,
    ) -> Result<Embedded<'a>, StartError> {
        let recovered = layout.recover(config, fingerprinter)?;
        let torn = recovered
            .iter()
            .filter_map(|r| Some((r.stripe, r.torn.clone()?)))
            .collect();
        let (keeper, keepers) = start_keeper(&layout, bells, cores)?;
        let stripes = recovered.into_iter().zip(keepers);
        Ok(Embedded {
            config,
            layout,
            stripes: stripes.map(|(r, k)| (r.stripe, (r, k))).collect(),
            keeper,
            torn,
        })
    }

    /// Where everything is.
    pub fn places(&self) -> &super::places::Places {
        &self.layout.places
    }

    /// What a core is given: its stripes, and the ids that recovery found in them.
    pub fn seed(&mut self, core: u16) -> (LogSeed, Vec<RecentId>) {
        let mut recent = Vec::new();
        let stripes = self.stripes_of(core, &mut recent);
        let directory = self.layout.directory.path().to_path_buf();
        (LogSeed { stripes, directory }, recent)
    }

    /// What is left once every core has its part: the catalog goes to the administrator.
    pub fn keep(
        self,
        cores: u16,
        endpoints: Vec<Endpoint>,
        bells: &Bells,
    ) -> Result<(Kept, Administered), StartError> {
        let directory = self.layout.directory;
        let catalog = directory.catalog();
        let facts = Facts::new(self.config, directory.meta(), &catalog, cores, endpoints);
        let topics = Topics::new(directory, facts);
        let (end, ends, stop) = admin::line(cores, bells);
        let administered = Administered {
            view: topics.view(),
            retentions: topics.retentions().collect(),
            ends,
        };
        let kept = Kept {
            _keeper: self.keeper,
            torn: self.torn,
            topics: topics.counts(),
            _administrator: Administrator::spawn(topics, end, stop)?,
        };
        Ok((kept, administered))
    }

    fn stripes_of(&mut self, core: u16, recent: &mut Vec<RecentId>) -> Vec<StripeStart> {
        let log = &self.config.log;
        let meta = self.layout.directory.meta();
        let some = |bound: u64| (bound > 0).then_some(bound);
        let options = StripeOptions {
            segment_bytes: meta.segment_bytes as u32,
            epoch: meta.epoch,
            tail_bytes: log.tail_bytes as usize,
            writes_in_flight_max: log.writes_in_flight_max.into(),
            offers_max: self.config.node.in_flight_max as usize,
            retention: Retention {
                bytes_max: some(log.retention_bytes),
                age_ms_max: some(log.retention_ms),
            },
        };
        let mut starts = Vec::new();
        for stripe in self.layout.stripes_of(core) {
            let found = self.stripes.remove(&stripe);
            let (mut recovered, keeper) = found.expect("every stripe has one owner");
            recent.append(&mut recovered.recent);
            let partitions = self.layout.partitions_in(stripe);
            starts.push(StripeStart {
                recovered,
                partitions,
                options,
                keeper,
            });
        }
        starts
    }
}

/// The housekeeping thread of the log. Its replies wake the stripe's owner.
fn start_keeper(
    layout: &Layout,
    bells: &Bells,
    cores: u16,
) -> Result<(KeeperThread, Vec<KeeperHandle>), StartError> {
    let meta = layout.directory.meta();
    let options = KeeperOptions {
        directory_id: meta.directory_id,
        epoch: meta.epoch,
        segment_bytes: meta.segment_bytes,
        stripes: layout.directory.stripes().collect(),
        spares_max: SPARES_MAX,
    };
    let bells = Arc::clone(bells);
    let wake = Arc::new(move |stripe: StripeId| {
        bells[usize::from(stripe.0 % cores)].ring();
    });
    KeeperThread::spawn(layout.directory.files(), options, wake).map_err(|error| {
        StartError::System {
            what: "starting the log's keeper",
            reason: error.to_string(),
        }
    })
}
