//! The segments of a stripe: the one that is written, the next one, and those that are only read.
//!
//! Owns: the segments' indexes and open files. Never does: deciding when to roll or what to drop.
//! Runs on: the stripe's core.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Core;
use super::frame::{BatchMeta, SealedFrame};
use crate::ids::{FrameSeq, Offset, PartitionId, SegmentSeq, StripeId};
use crate::log::disk::{Disk, FileId, Op, Tag};
use crate::log::state::{IndexEntry, RecoveredSegment, SegmentIndex, StripeState};

/// Files of sealed segments that stay open for readers.
const OPEN_FILES_MAX: usize = 32;

/// A segment's file on this core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    Closed,
    Opening,
    Open(FileId),
}

/// How far the index of a segment is on its way to the device.
#[derive(Debug)]
pub(super) enum Checkpoint {
    /// The segment is written, or nothing is known of its index file.
    None,
    /// To be sent once all frames of the segment are durable.
    Due(StripeState),
    Sent,
    Durable,
}

/// A segment with frames, or the one that is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) seq: SegmentSeq,
    pub(super) index: Arc<SegmentIndex>,
    pub(super) file: File,
    pub(super) checkpoint: Checkpoint,
    /// Reads that are under way.
    pub(super) reads: u32,
    /// Counts up with each use by a reader.
    used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The keeper was asked to prepare it.
    Asked,
    /// It is prepared and being opened.
    Opening,
    Ready(FileId),
}

/// The segments of a stripe.
#[derive(Debug)]
pub(super) struct Segments {
    /// Oldest first; the last one is written.
    pub(super) list: VecDeque<Segment>,
    pub(super) next_seq: SegmentSeq,
    pub(super) next: Next,
    /// A frame found no segment to go to.
    pub(super) blocked: bool,
    clock: u64,
}

impl Segment {
    pub(super) fn new(seq: SegmentSeq, index: SegmentIndex, file: File) -> Segment {
        Segment {
            seq,
            index: Arc::new(index),
            file,
            checkpoint: Checkpoint::None,
            reads: 0,
            used: 0,
        }
    }
}

impl Segments {
    pub(super) fn new(recovered: Vec<RecoveredSegment>) -> Segments {
        let list: VecDeque<Segment> = recovered
            .into_iter()
            .map(|s| Segment::new(s.seq, s.index, File::Closed))
            .collect();
        let next_seq = list
            .back()
            .map_or(SegmentSeq(0), |s| SegmentSeq(s.seq.0 + 1));
        Segments {
            list,
            next_seq,
            next: Next::Asked,
            blocked: false,
            clock: 0,
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether there is a segment to write to and one to go on in.
    pub(super) fn is_prepared(&self) -> bool {
        let is_open = |segment: &Segment| matches!(segment.file, File::Open(_));
        self.list.back().is_some_and(is_open) && matches!(self.next, Next::Ready(_))
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.list.iter()
    }

    /// The batches of a partition that end after `from`, in order.
    pub(super) fn entries(
        &self,
        partition: PartitionId,
        from: Offset,
    ) -> impl Iterator<Item = &IndexEntry> {
        self.list
            .iter()
            .filter_map(move |segment| segment.index.partitions.get(&partition))
            .flat_map(move |entries| {
                let gone = entries.partition_point(|e| e.base_offset.plus(e.records) <= from);
                &entries[gone..]
            })
    }

    pub(super) fn get(&self, seq: SegmentSeq) -> Option<&Segment> {
        let index = self.list.binary_search_by_key(&seq, |s| s.seq).ok()?;
        self.list.get(index)
    }

    pub(super) fn get_mut(&mut self, seq: SegmentSeq) -> Option<&mut Segment> {
        let index = self.list.binary_search_by_key(&seq, |s| s.seq).ok()?;
        self.list.get_mut(index)
    }

    /// The oldest segment, unless it is the one that is written.
    pub(super) fn oldest_sealed(&self) -> Option<&Segment> {
        (self.list.len() > 1).then(|| self.list.front()).flatten()
    }

    pub(super) fn remove_oldest(&mut self) -> Option<Segment> {
        self.list.pop_front()
    }

    pub(super) fn active_mut(&mut self) -> (&mut Segment, SegmentSeq) {
        let active = self.list.back_mut().expect("a frame was opened in it");
        let seq = active.seq;
        (active, seq)
    }

    fn active_index(&mut self) -> &mut SegmentIndex {
        let (active, _) = self.active_mut();
        Arc::get_mut(&mut active.index).expect("only a sealed segment's index is shared")
    }

    /// Enters a batch at byte `position` of the segment that is written.
    pub(super) fn note_batch(&mut self, partition: PartitionId, batch: &BatchMeta, position: u32) {
        let index = self.active_index();
        index.timestamp_max = index.timestamp_max.max(batch.timestamp);
        index
            .partitions
            .entry(partition)
            .or_default()
            .push(IndexEntry {
                base_offset: batch.base_offset,
                records: batch.records,
                position,
                bytes: batch.bytes,
                timestamp_max: batch.timestamp,
            });
    }

    /// Enters a sealed frame; gives the file that it is to be written to.
    pub(super) fn note_frame<B>(&mut self, frame: &SealedFrame<B>) -> FileId {
        let index = self.active_index();
        if index.frame_first == FrameSeq(0) {
            index.frame_first = frame.seq;
        }
        index.frame_last = frame.seq;
        index.end_position = frame.position + frame.bytes;
        let (active, seq) = self.active_mut();
        assert_eq!(seq, frame.segment, "a frame is written where it was opened");
        match active.file {
            File::Open(file) => file,
            File::Closed | File::Opening => unreachable!("a frame is opened in an open file"),
        }
    }

    /// A prepared segment has been opened, or one for reading.
    pub(super) fn opened(&mut self, seq: SegmentSeq, file: FileId) {
        if seq == self.next_seq && self.next == Next::Opening {
            self.next = Next::Ready(file);
            self.blocked = false;
        } else if let Some(segment) = self.get_mut(seq) {
            segment.file = File::Open(file);
            self.blocked = false;
        }
    }

    /// The file of a segment for a read; opens it where it is closed.
    pub(super) fn file_for_read<D: Disk>(
        &mut self,
        seq: SegmentSeq,
        stripe: StripeId,
        lane: u16,
        core: &mut Core<D>,
    ) -> Option<FileId> {
        self.clock += 1;
        let clock = self.clock;
        let segment = self.get_mut(seq)?;
        segment.used = clock;
        match segment.file {
            File::Open(file) => Some(file),
            File::Opening => None,
            File::Closed => {
                segment.file = File::Opening;
                let op = Op::Open(seq);
                core.disk.open(stripe, seq, Tag { lane, op });
                self.close_one(core);
                None
            }
        }
    }

    /// Keeps the number of open files bounded.
    fn close_one<D: Disk>(&mut self, core: &mut Core<D>) {
        let is_open = |s: &&mut Segment| matches!(s.file, File::Open(_));
        let sealed = self.list.len().saturating_sub(1);
        let open = self.list.iter_mut().take(sealed).filter(is_open).count();
        if open < OPEN_FILES_MAX {
            return;
        }
        let idle = |s: &&mut Segment| s.reads == 0 && is_checkpointed(&s.checkpoint);
        let oldest = self
            .list
            .iter_mut()
            .take(sealed)
            .filter(is_open)
            .filter(idle)
            .min_by_key(|s| s.used);
        if let Some(segment) = oldest
            && let File::Open(file) = segment.file
        {
            segment.file = File::Closed;
            core.disk.close(file);
        }
    }
}

/// Whether no write to the segment can be under way any more.
fn is_checkpointed(checkpoint: &Checkpoint) -> bool {
    match checkpoint {
        Checkpoint::None | Checkpoint::Sent | Checkpoint::Durable => true,
        Checkpoint::Due(_) => false,
    }
}
