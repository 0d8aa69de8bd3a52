//! What a stripe knows besides its batches, and where those lie.
//!
//! Owns: the plain data that recovery makes, the running stripe keeps and an index file stores.

use std::collections::BTreeMap;

use crate::exactly_once::Fingerprint;
use crate::exactly_once::producers::{Membership, ProducerBatch, Producers};
use crate::ids::{FrameSeq, Offset, PartitionId, SegmentSeq, StripeId, UnixMillis};
use crate::storage::RESERVED_KEY;
use crate::wire::BatchView;

/// Offsets of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionOffsets {
    /// The first offset that retention has left.
    pub log_start: Offset,
    /// The offset that the next record gets.
    pub next: Offset,
    /// The committed position: the next offset to process.
    pub position: Offset,
}

/// A stripe's state as of some point of its log: the last value of everything wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StripeState {
    /// Only partitions that were ever written to.
    pub partitions: BTreeMap<PartitionId, PartitionOffsets>,
    /// State pairs of handlers, and those with reserved keys, which are the broker's.
    pub values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Only partitions that Kafka's idempotent producers wrote to.
    pub producers: BTreeMap<PartitionId, Producers>,
}

/// Bytes of the key under which a partition's log start is kept once records were deleted on
/// request.
pub const LOG_START_KEY_BYTES: usize = 6;

/// That key. The value is the offset, i64, little endian.
pub fn log_start_key(partition: PartitionId) -> [u8; LOG_START_KEY_BYTES] {
    let [a, b, c, d] = partition.0.to_be_bytes();
    [RESERVED_KEY, b's', a, b, c, d]
}

/// Where one batch lies in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Records, so offsets `base_offset` to `base_offset + records - 1`.
    pub records: u32,
    /// Byte in the segment where the batch (not its entry header) starts.
    pub position: u32,
    /// Bytes of the batch.
    pub bytes: u32,
    /// The batch's largest timestamp.
    pub timestamp_max: UnixMillis,
}

/// Where each partition's batches lie in one segment, in offset order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentIndex {
    /// Partitions with at least one batch in this segment.
    pub partitions: BTreeMap<PartitionId, Vec<IndexEntry>>,
    /// First frame in it; 0 where it has none.
    pub frame_first: FrameSeq,
    /// Last frame in it; 0 where it has none.
    pub frame_last: FrameSeq,
    /// Byte after the last frame.
    pub end_position: u32,
    /// The largest timestamp of all batches.
    pub timestamp_max: UnixMillis,
}

/// An id found in the log by recovery, for the duplicate window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentId {
    /// Of the record's key.
    pub fingerprint: Fingerprint,
    /// Where it lies.
    pub partition: PartitionId,
    /// Where it lies.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: UnixMillis,
}

/// A torn tail that recovery cut: bytes that nobody had been promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment in which the cut is.
    pub segment: SegmentSeq,
    /// The first byte that was cut.
    pub position: u32,
    /// The frame that should have started there.
    pub frame: FrameSeq,
    /// What was wrong with it.
    pub reason: String,
}

impl std::fmt::Display for TornTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TornTail {
            segment,
            position,
            frame,
            reason,
        } = self;
        write!(
            f,
            "cut a torn tail in segment {segment} at byte {position}, frame {frame}: {reason}"
        )
    }
}

/// A sealed or active segment, as recovery found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredSegment {
    /// Its number.
    pub seq: SegmentSeq,
    /// Where its batches lie.
    pub index: SegmentIndex,
}

/// Everything a stripe needs to go on after a restart. Made by [`crate::log::recover`] on a
/// housekeeping thread, then sent to the stripe's owner.
#[derive(Debug)]
pub struct Recovered {
    /// Which stripe.
    pub stripe: StripeId,
    /// State at the end of the log.
    pub state: StripeState,
    /// Segments with frames, oldest first; the last one is still open for appending.
    pub segments: Vec<RecoveredSegment>,
    /// The last valid frame; 0 where there is none.
    pub frame_last: FrameSeq,
    /// Ids of the newest records of the partitions that asked for a duplicate window, oldest
    /// first.
    pub recent: Vec<RecentId>,
    /// What was cut, if anything.
    pub torn: Option<TornTail>,
}

/// What the producer rules go by; none where no idempotent producer wrote the batch.
pub(super) fn producer_batch(batch: &BatchView<'_>) -> Option<ProducerBatch> {
    let counts = batch.producer_id() >= 0 && !batch.is_control();
    counts.then(|| ProducerBatch {
        producer_id: batch.producer_id(),
        epoch: batch.producer_epoch(),
        first_sequence: batch.base_sequence(),
        records: batch.last_offset_delta() + 1,
        membership: if batch.is_transactional() {
            Membership::Transactional
        } else {
            Membership::Plain
        },
        timestamp_max: batch.max_timestamp(),
    })
}
