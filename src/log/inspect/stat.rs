//! What a data directory holds, in numbers: read from the indexes, and the open segment.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::{InspectError, readable};
use crate::ids::{PartitionId, StripeId};
use crate::log::catalog::Catalog;
use crate::log::directory::DataDirectory;
use crate::log::files::{StripeFiles, segment_path, stripe_folder};
use crate::log::recover::{RecoverError, RecoverOptions, recover};
use crate::log::state::{Recovered, RecoveredSegment};

/// How often a stripe is read anew because it changed while it was read.
const ATTEMPTS: usize = 5;

/// A data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stat {
    /// The directory.
    pub path: String,
    /// Its id.
    pub directory_id: String,
    /// Version of its format.
    pub format_version: u16,
    /// How often it was opened for writing.
    pub epoch: u32,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Its stripes.
    pub stripes: Vec<StripeStat>,
}

/// A stripe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StripeStat {
    /// Which.
    pub stripe: u16,
    /// Its last valid frame; 0 without any.
    pub frame_last: u64,
    /// Segments with frames, oldest first.
    pub segments: Vec<SegmentStat>,
    /// Files that wait for use: prepared segments and spares.
    pub files_waiting: u64,
    /// Its partitions, those without records included.
    pub partitions: Vec<PartitionStat>,
    /// State pairs of handlers.
    pub state: Vec<StatePair>,
    /// Where the incomplete last write starts (file and byte), if there is one.
    pub torn: Option<String>,
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentStat {
    /// Its file, relative to the data directory.
    pub path: String,
    /// Its first frame.
    pub frame_first: u64,
    /// Its last frame.
    pub frame_last: u64,
    /// Bytes up to the end of the last frame.
    pub bytes: u64,
    /// Batches in it.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// The largest timestamp, milliseconds since the Unix epoch.
    pub timestamp_max_ms: i64,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionStat {
    /// Its id.
    pub id: u32,
    /// Its topic.
    pub topic: String,
    /// Its number within the topic.
    pub index: u32,
    /// The first offset that is left.
    pub log_start: i64,
    /// The offset of the next record.
    pub next: i64,
    /// The committed position: the next offset to process.
    pub position: i64,
    /// Batches that are left.
    pub batches: u64,
    /// Bytes of the batches.
    pub bytes: u64,
}

/// A state pair of a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatePair {
    /// The key: text, or hexadecimal after `0x`.
    pub key: String,
    /// The value, likewise.
    pub value: String,
}

/// Reads the numbers of a data directory. Never changes anything.
///
/// # Errors
/// The directory cannot be opened, or a stripe is damaged: [`super::verify`] then tells all of it.
pub fn stat(path: &Path) -> Result<Stat, InspectError> {
    let directory = DataDirectory::open_read_only(path)?;
    let meta = directory.meta();
    let stripes = directory
        .stripes()
        .map(|stripe| stripe_stat(&directory, stripe));
    Ok(Stat {
        path: path.display().to_string(),
        directory_id: format!("{:032x}", meta.directory_id),
        format_version: crate::log::format::FORMAT_VERSION,
        epoch: meta.epoch,
        segment_bytes: meta.segment_bytes,
        stripes: stripes.collect::<Result<_, _>>()?,
    })
}

fn stripe_stat(directory: &DataDirectory, stripe: StripeId) -> Result<StripeStat, InspectError> {
    let files = directory.files();
    let recovered = look(directory, stripe)?;
    let found =
        StripeFiles::list(&files, stripe).map_err(InspectError::io(stripe_folder(stripe)))?;
    let in_log = recovered.segments.len();
    let torn = recovered.torn.as_ref().map(|torn| {
        let path = segment_path(stripe, torn.segment);
        format!("{path}, byte {}: {}", torn.position, torn.reason)
    });
    let state = recovered.state.values.iter().map(|(key, value)| StatePair {
        key: readable(key),
        value: readable(value),
    });
    Ok(StripeStat {
        stripe: stripe.0,
        frame_last: recovered.frame_last.0,
        segments: recovered
            .segments
            .iter()
            .map(|segment| segment_stat(stripe, segment))
            .collect(),
        files_waiting: (found.segments.len().saturating_sub(in_log) + found.spares.len()) as u64,
        partitions: partition_stats(&directory.catalog(), stripe, &recovered),
        state: state.collect(),
        torn,
    })
}

/// In a directory in use, files come and go and frames are under way: what looks like damage is
/// looked at again.
fn look(directory: &DataDirectory, stripe: StripeId) -> Result<Recovered, RecoverError> {
    let files = directory.files();
    let options = RecoverOptions::read_only(directory.meta().directory_id);
    for _ in 1..ATTEMPTS {
        if let Ok(recovered) = recover(&files, stripe, &options) {
            return Ok(recovered);
        }
    }
    recover(&files, stripe, &options)
}

fn segment_stat(stripe: StripeId, segment: &RecoveredSegment) -> SegmentStat {
    let index = &segment.index;
    let batches = || index.partitions.values().flatten();
    SegmentStat {
        path: segment_path(stripe, segment.seq),
        frame_first: index.frame_first.0,
        frame_last: index.frame_last.0,
        bytes: index.end_position.into(),
        batches: batches().count() as u64,
        records: batches().map(|batch| u64::from(batch.records)).sum(),
        timestamp_max_ms: index.timestamp_max.0,
    }
}

fn partition_stats(
    catalog: &Catalog,
    stripe: StripeId,
    recovered: &Recovered,
) -> Vec<PartitionStat> {
    let mut stored: BTreeMap<PartitionId, (u64, u64)> = BTreeMap::new();
    for segment in &recovered.segments {
        for (partition, batches) in &segment.index.partitions {
            let sum = stored.entry(*partition).or_default();
            sum.0 += batches.len() as u64;
            sum.1 += batches
                .iter()
                .map(|batch| u64::from(batch.bytes))
                .sum::<u64>();
        }
    }
    let stat = |id: PartitionId| {
        let meta = catalog.partition(id)?;
        let offsets = recovered
            .state
            .partitions
            .get(&id)
            .copied()
            .unwrap_or_default();
        let (batches, bytes) = stored.get(&id).copied().unwrap_or_default();
        Some(PartitionStat {
            id: id.0,
            topic: catalog.topic_by_id(meta.topic)?.name.clone(),
            index: meta.index.0,
            log_start: offsets.log_start.0,
            next: offsets.next.0,
            position: offsets.position.0,
            batches,
            bytes,
        })
    };
    catalog.partitions_in(stripe).filter_map(stat).collect()
}
