//! The words in which the broker speaks with the log.
//!
//! Owns: plain data. Never does: anything. Runs on: the core.

use crate::exactly_once::producers::ProducerError;
use crate::ids::{FrameSeq, Offset, UnixMillis};
use crate::storage::ReadError;
use crate::wire::BatchError;

/// The frame that holds what was appended. It is durable once that frame is; frames of a lane
/// become durable in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The stripe's number on this core.
    pub lane: u16,
    /// The frame.
    pub frame: FrameSeq,
}

/// What has become of a [`Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not durable yet.
    Underway,
    /// It survives a crash.
    Durable,
    /// The stripe is poisoned from that frame on, or an earlier one: whether it survives is
    /// unknown.
    Lost,
}

/// Whether a batch was appended just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// It was.
    New,
    /// It was appended before: nothing was done.
    Duplicate,
}

/// Where a batch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The offset after its last record.
    pub next_offset: Offset,
    /// The first offset of the partition.
    pub log_start: Offset,
    /// When it is durable. Of a duplicate: everything appended so far, itself included.
    pub mark: Mark,
    /// Whether it is new.
    pub first: Submission,
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No room now: too many writes under way, or no segment is ready. Append again later.
    #[error("no room now")]
    Full,
    /// The stripe accepts nothing any more.
    #[error("the stripe is poisoned")]
    Poisoned,
    /// No frame can hold it.
    #[error("{bytes} bytes do not fit one frame; {bytes_max} do")]
    TooLarge {
        /// What it would take.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The partition was dropped.
    #[error("the partition is deleted")]
    Deleted,
    /// The bytes are not one batch that may be stored.
    #[error("{0}")]
    Invalid(#[from] BatchError),
    /// The producer's sequence, epoch or transaction forbids it.
    #[error("{0}")]
    Producer(#[from] ProducerError),
}

/// Why records were not deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// The offset is beyond what is visible, or beyond what a handler has processed.
    #[error("offset {before} is beyond {end}, up to which records can be deleted")]
    OutOfRange {
        /// The offset that was asked for.
        before: Offset,
        /// The largest one allowed.
        end: Offset,
    },
    /// It could not be stored.
    #[error("{0}")]
    Append(#[from] AppendError),
}

/// Offsets of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The first one kept.
    pub start: Offset,
    /// The last stable offset: the first offset of the oldest open transaction, else `visible`.
    pub stable: Offset,
    /// The offset after the last visible record: Kafka's high watermark.
    pub visible: Offset,
    /// The offset after the last durable record.
    pub durable: Offset,
    /// The offset that the next record gets: Kafka's log end offset.
    pub next: Offset,
}

/// Up to where a consumer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// [`Ends::visible`]: Kafka's `read_uncommitted`.
    Visible,
    /// [`Ends::stable`]: Kafka's `read_committed`.
    Stable,
}

/// Whether a batch that exceeds the bytes asked for is given nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLeastOne {
    /// The first one is (KIP-74): a consumer must get past it.
    Yes,
    /// No.
    No,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBounds {
    /// Bytes of batches at the most.
    pub bytes_max: usize,
    /// Up to where.
    pub end: ReadEnd,
    /// Whether the first batch may exceed `bytes_max`.
    pub at_least_one: AtLeastOne,
}

/// How a read of whole batches ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchesRead {
    /// Batches up to, but not including, this offset. None where it is the offset asked for: the
    /// batch there exceeds the bytes asked for.
    Batches {
        /// Where to go on.
        next: Offset,
    },
    /// Nothing can be read at or after the offset yet.
    Empty,
    /// The batch is on its way from the device: watch the partition and ask again once woken.
    Pending,
}

/// Why whole batches cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadBatchesError {
    /// The offset is before the first one kept, or after the next one to be given out.
    #[error("offset {offset} is not within {start} to {next}")]
    OutOfRange {
        /// The one asked for.
        offset: Offset,
        /// The first one kept.
        start: Offset,
        /// The next one to be given out.
        next: Offset,
    },
    /// The partition was dropped.
    #[error("the partition is deleted")]
    Deleted,
    /// What is stored is damaged, or the device refused.
    #[error("{0}")]
    Storage(#[from] ReadError),
}

/// The answer to a search by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLookup {
    /// A record. Of a compressed batch the first one stands for all.
    Found {
        /// Its offset.
        offset: Offset,
        /// Its timestamp.
        timestamp: UnixMillis,
    },
    /// There is none.
    None,
    /// The batch is on its way from the device: watch the partition and ask again once woken.
    Pending,
}
