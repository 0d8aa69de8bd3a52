//! Ids of the newest records, read back for the duplicate window.
//!
//! Owns: which batches hold them. Never does: changes. Runs on: housekeeping threads.

use crate::ids::{PartitionId, StripeId};
use crate::log::files::{Files, segment_path};
use crate::log::format::{ENTRY_HEADER_BYTES, EntryHeader};
use crate::log::recover::{RecoverError, RecoverOptions};
use crate::log::scan::{Payload, SegmentReader, check_payload};
use crate::log::state::{IndexEntry, RecentId, RecoveredSegment};

/// Where the wanted batches lie: the segment's place in the list, and its index entries in the
/// order of their bytes.
type Wanted = Vec<(usize, Vec<(PartitionId, IndexEntry)>)>;

/// The ids of the newest `window_records_max` records of the wanted partitions, oldest first.
/// Every batch that is read is checked.
///
/// # Errors
/// A batch is damaged, or a file cannot be read.
pub(super) fn recent_ids<F: Files + ?Sized>(
    files: &F,
    stripe: StripeId,
    segments: &[RecoveredSegment],
    options: &RecoverOptions<'_>,
) -> Result<Vec<RecentId>, RecoverError> {
    let (wanted, records) = newest_batches(segments, options);
    let mut surplus = records.saturating_sub(options.window_records_max as u64);
    let mut recent = Vec::with_capacity((records - surplus) as usize);
    let mut reader = SegmentReader::new(files);
    for (at, batches) in wanted.iter().rev() {
        let path = segment_path(stripe, segments[*at].seq);
        reader.open(path.clone());
        for (partition, batch) in batches {
            let skip = surplus.min(batch.records.into());
            surplus -= skip;
            read_batch(
                &mut reader,
                *partition,
                batch,
                options,
                skip as usize,
                &mut recent,
            )
            .map_err(|reason| match reason {
                Unreadable::Io(source) => RecoverError::Io {
                    path: path.clone(),
                    source,
                },
                Unreadable::Damaged(reason) => RecoverError::DamagedBatch {
                    path: path.clone(),
                    position: batch.position,
                    partition: *partition,
                    offset: batch.base_offset,
                    reason,
                },
            })?;
        }
    }
    Ok(recent)
}

/// From the end backwards until enough records are found: segments newest first, each with its
/// batches oldest first; and the number of records in them.
fn newest_batches(segments: &[RecoveredSegment], options: &RecoverOptions<'_>) -> (Wanted, u64) {
    let mut wanted = Wanted::new();
    let mut records = 0;
    for (at, segment) in segments.iter().enumerate().rev() {
        if records >= options.window_records_max as u64 {
            break;
        }
        let partitions = segment.index.partitions.iter();
        let mut batches: Vec<(PartitionId, IndexEntry)> = partitions
            .filter(|(partition, _)| (options.window_partitions)(**partition))
            .flat_map(|(partition, batches)| batches.iter().map(|batch| (*partition, *batch)))
            .collect();
        batches.sort_unstable_by_key(|(_, batch)| std::cmp::Reverse(batch.position));
        let enough = batches.iter().position(|(_, batch)| {
            records += u64::from(batch.records);
            records >= options.window_records_max as u64
        });
        batches.truncate(enough.map_or(batches.len(), |last| last + 1));
        batches.reverse();
        wanted.push((at, batches));
    }
    (wanted, records)
}

enum Unreadable {
    Io(std::io::Error),
    Damaged(String),
}

fn read_batch<F: Files + ?Sized>(
    reader: &mut SegmentReader<'_, F>,
    partition: PartitionId,
    batch: &IndexEntry,
    options: &RecoverOptions<'_>,
    skip: usize,
    recent: &mut Vec<RecentId>,
) -> Result<(), Unreadable> {
    let damaged = |reason: &dyn std::fmt::Display| Unreadable::Damaged(reason.to_string());
    // From the entry's header on: it covers the base offset, which the batch's CRC does not.
    let start = u64::from(batch.position).saturating_sub(ENTRY_HEADER_BYTES as u64);
    let bytes = reader.bytes(start, ENTRY_HEADER_BYTES + batch.bytes as usize);
    let bytes = bytes.map_err(Unreadable::Io)?;
    let header = EntryHeader::decode(bytes).map_err(|error| damaged(&error))?;
    let payload =
        check_payload(&header, &bytes[ENTRY_HEADER_BYTES..]).map_err(|error| damaged(&error))?;
    let Payload::Batch(view) = payload else {
        return Err(damaged(&"no batch lies there"));
    };
    if header.partition != partition || view.base_offset() != batch.base_offset {
        return Err(damaged(&"another batch lies there"));
    }
    // What ends a Kafka transaction has a key that is no id.
    if view.is_control() {
        return Ok(());
    }
    // The broker may have stored a compressed batch; such partitions have no duplicate window.
    for record in view.records().map_err(|error| damaged(&error))?.skip(skip) {
        let record = record.map_err(|error| damaged(&error))?;
        // Only records with a key are transactions.
        if let Some(key) = record.key {
            recent.push(RecentId {
                fingerprint: (options.fingerprint)(key),
                partition,
                offset: record.offset,
                timestamp: record.timestamp,
            });
        }
    }
    Ok(())
}
