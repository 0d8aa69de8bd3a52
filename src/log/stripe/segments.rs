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
    /// Of the index's lists.
    index_bytes: usize,
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
    /// Of all segments' indexes.
    index_bytes: usize,
}

impl Segment {
    pub(super) fn new(seq: SegmentSeq, index: SegmentIndex, file: File) -> Segment {
        Segment {
            seq,
            index_bytes: index.partitions.values().map(list_bytes).sum(),
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
            index_bytes: list.iter().map(|segment| segment.index_bytes).sum(),
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
        let gone = self.list.pop_front()?;
        self.index_bytes -= gone.index_bytes;
        Some(gone)
    }

    /// Goes on in a new segment, in which nothing is yet.
    pub(super) fn begin(&mut self, seq: SegmentSeq, file: FileId) {
        let index = SegmentIndex::default();
        let segment = Segment::new(seq, index, File::Open(file));
        self.list.push_back(segment);
    }

    /// Bytes of all segments' indexes.
    pub(super) fn index_bytes(&self) -> usize {
        self.index_bytes
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
        let list = index.partitions.entry(partition).or_default();
        let before = list_bytes(list);
        list.push(IndexEntry {
            base_offset: batch.base_offset,
            records: batch.records,
            position,
            bytes: batch.bytes,
            timestamp_max: batch.timestamp,
        });
        let grown = list_bytes(list) - before;
        self.active_mut().0.index_bytes += grown;
        self.index_bytes += grown;
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

/// What a partition's list takes of memory.
fn list_bytes(list: &Vec<IndexEntry>) -> usize {
    list.capacity() * size_of::<IndexEntry>()
}

/// Whether no write to the segment can be under way any more.
fn is_checkpointed(checkpoint: &Checkpoint) -> bool {
    match checkpoint {
        Checkpoint::None | Checkpoint::Sent | Checkpoint::Durable => true,
        Checkpoint::Due(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UnixMillis;
    use crate::log::stripe::frame::{Slot, Source};

    #[test]
    fn the_bytes_of_the_indexes_are_those_of_their_lists() {
        let lists = |segments: &Segments| -> usize {
            let lists = segments.iter().flat_map(|it| it.index.partitions.values());
            lists.map(list_bytes).sum()
        };
        let entry = IndexEntry {
            base_offset: Offset::ZERO,
            records: 1,
            position: 0,
            bytes: 100,
            timestamp_max: UnixMillis(0),
        };
        let batch = BatchMeta {
            slot: Slot(0),
            source: Source::Broker,
            base_offset: entry.base_offset,
            records: entry.records,
            timestamp: entry.timestamp_max,
            start: 0,
            bytes: entry.bytes,
        };
        let index = SegmentIndex {
            partitions: [(PartitionId(7), vec![entry; 3])].into(),
            ..SegmentIndex::default()
        };
        let seq = SegmentSeq(0);
        let mut segments = Segments::new(vec![RecoveredSegment { seq, index }]);
        assert!(segments.index_bytes() >= 3 * size_of::<IndexEntry>());
        for seq in 1..4 {
            segments.begin(SegmentSeq(seq), FileId(0));
            for number in 0..100 {
                segments.note_batch(PartitionId(number % 3), &batch, 0);
            }
            assert_eq!(segments.index_bytes(), lists(&segments));
        }
        while segments.remove_oldest().is_some() {
            assert_eq!(segments.index_bytes(), lists(&segments));
        }
        assert_eq!(segments.index_bytes(), 0);
    }
}
