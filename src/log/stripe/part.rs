//! One partition of a stripe, as its owner knows it.
//!
//! Owns: the partition's offsets and where its newest batches lie in memory. Never does: I/O.
//! Runs on: the stripe's core.

use std::collections::VecDeque;

use super::frame::Slot;
use super::options::TopicRetention;
use crate::exactly_once::producers::Producers;
use crate::ids::{FrameSeq, Offset, PartitionId, SegmentSeq};

/// Where a partition's visible end lies. The words are defined at [`crate::log`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadAt {
    /// Records are visible once they are durable.
    #[default]
    Durable,
    /// Records are visible once they are appended: a reader may see what a crash takes back.
    Appended,
}

/// What is done with a partition's records here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processing {
    /// A handler processes them, and its position is committed.
    Handler,
    /// Nothing; they are only stored and read by others.
    #[default]
    None,
}

/// End of a list through a vector.
pub(super) const NIL: u32 = u32::MAX;

/// A list of records through a vector of links, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: u32,
    pub(super) tail: u32,
}

impl List {
    pub(super) const EMPTY: List = List {
        head: NIL,
        tail: NIL,
    };

    pub(super) fn is_empty(self) -> bool {
        self.head == NIL
    }
}

/// A batch that lies in a frame in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailRef {
    pub(super) base_offset: Offset,
    pub(super) frame: FrameSeq,
    /// Its number among the frame's batches.
    pub(super) batch: u32,
}

/// Where the last read left off, so that going on needs no search and no second check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) segment: SegmentSeq,
    /// Number of the batch among the partition's in that segment.
    pub(super) entry: usize,
    /// Whether the batch's checksums were found right.
    pub(super) checked: Checked,
}

/// Whether a stored batch was checked since it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    Yes,
    No,
}

/// Whether somebody wants to be told of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    On,
    Off,
}

/// Whether a partition is still in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Live,
    /// Its batches are still in the segments, and nobody can reach them.
    Deleted,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: PartitionId,
    pub(super) log_start: Offset,
    /// The offset of the next record: the appended end.
    pub(super) next: Offset,
    /// The offset after the last durable record.
    pub(super) durable: Offset,
    /// The next offset to process.
    pub(super) position: Offset,
    /// The same, as a crash would leave it.
    pub(super) position_durable: Offset,
    pub(super) processing: Processing,
    pub(super) read_at: ReadAt,
    /// It is in the queue of ready partitions.
    pub(super) queued: bool,
    /// A read is under way; queued again when it has arrived.
    pub(super) waiting: bool,
    /// Offered records that are not yet appended.
    pub(super) offers: List,
    /// Outputs of the commit being formed.
    pub(super) outputs: List,
    /// Batches in memory, oldest first.
    pub(super) recent: VecDeque<TailRef>,
    pub(super) cursor: Option<Cursor>,
    /// Where the last read of whole batches ended on the device.
    pub(super) batches_cursor: Option<Cursor>,
    pub(super) life: Life,
    pub(super) watch: Watch,
    pub(super) producers: Producers,
    pub(super) retention: TopicRetention,
    /// Bytes of the batches that end after `log_start`.
    pub(super) bytes: u64,
}

impl Part {
    pub(super) fn new(id: PartitionId, processing: Processing, read_at: ReadAt) -> Part {
        Part {
            id,
            log_start: Offset::ZERO,
            next: Offset::ZERO,
            durable: Offset::ZERO,
            position: Offset::ZERO,
            position_durable: Offset::ZERO,
            processing,
            read_at,
            queued: false,
            waiting: false,
            offers: List::EMPTY,
            outputs: List::EMPTY,
            recent: VecDeque::new(),
            cursor: None,
            batches_cursor: None,
            life: Life::Live,
            watch: Watch::Off,
            producers: Producers::default(),
            retention: TopicRetention::default(),
            bytes: 0,
        }
    }

    /// The offset after the last visible record.
    pub(super) fn visible(&self) -> Offset {
        match self.read_at {
            ReadAt::Durable => self.durable,
            ReadAt::Appended => self.next,
        }
    }

    /// The batch in memory that holds `offset`, if one does.
    pub(super) fn in_memory(&self, offset: Offset) -> Option<TailRef> {
        let after = self.recent.partition_point(|r| r.base_offset <= offset);
        self.recent.get(after.checked_sub(1)?).copied()
    }

    /// Visible records that were not yet processed.
    pub(super) fn backlog(&self) -> u64 {
        match self.processing {
            Processing::Handler => {
                u64::try_from(self.visible().0 - self.position.0).unwrap_or_default()
            }
            Processing::None => 0,
        }
    }

    /// Whether a handler has something to do.
    pub(super) fn is_ready(&self) -> bool {
        !self.queued && !self.waiting && self.backlog() > 0
    }
}

/// A partition's slot and list during one flush or commit.
pub(super) type Touched = Vec<Slot>;
