//! Segments: the one that is written, the next one, and those that are only read.
//!
//! Owns: the segments' indexes and open files. Never does: making, recycling or deleting files:
//! that is asked of the keeper. Runs on: the stripe's core.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::frame::{BatchMeta, SealedFrame};
use super::part::Part;
use super::{Core, Stripe};
use crate::ids::{FrameSeq, PartitionId, SegmentSeq, StripeId};
use crate::log::disk::{Disk, FileId, Op, Tag};
use crate::log::format::SEGMENT_HEADER_BYTES;
use crate::log::keeper::{Action, KeeperHandle, Reply, Request};
use crate::log::state::{
    IndexEntry, PartitionOffsets, RecoveredSegment, SegmentIndex, StripeState,
};
use crate::storage::StorageEvent;

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
enum Next {
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
    list: VecDeque<Segment>,
    next_seq: SegmentSeq,
    next: Next,
    /// A frame found no segment to go to.
    blocked: bool,
    clock: u64,
}

/// The stripe's line to the keeper.
#[derive(Debug)]
pub(super) struct Keeping {
    handle: KeeperHandle,
    /// Requests that found the keeper's queue full.
    waiting: VecDeque<Request>,
}

impl Keeping {
    pub(super) fn new(handle: KeeperHandle) -> Keeping {
        Keeping {
            handle,
            waiting: VecDeque::with_capacity(4),
        }
    }

    pub(super) fn ask(&mut self, request: Request) {
        self.waiting.push_back(request);
        self.send();
    }

    fn send(&mut self) {
        while let Some(request) = self.waiting.pop_front() {
            if let Err(request) = self.handle.request(request) {
                self.waiting.push_front(request);
                return;
            }
        }
    }
}

impl Segment {
    fn new(seq: SegmentSeq, index: SegmentIndex, file: File) -> Segment {
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

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.list.iter()
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

    fn active_mut(&mut self) -> (&mut Segment, SegmentSeq) {
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
    fn opened(&mut self, seq: SegmentSeq, file: FileId) {
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

impl<D: Disk> Stripe<D> {
    /// Where the next frame goes: a segment that is open, the byte, and the bytes left from there.
    /// `None` where no segment is ready; the stripe is blocked until one is.
    pub(super) fn space_for(&mut self, capacity_min: usize) -> Option<(SegmentSeq, u32, usize)> {
        let segment_bytes = self.options.segment_bytes;
        if let Some(active) = self.segments.list.back() {
            let position = active.index.end_position.max(SEGMENT_HEADER_BYTES as u32);
            let space = segment_bytes.saturating_sub(position) as usize;
            if space >= capacity_min {
                let is_open = matches!(active.file, File::Open(_));
                // A smaller group may still fit while a larger one waits: that stays blocked.
                self.segments.blocked |= !is_open;
                return is_open.then_some((active.seq, position, space));
            }
        }
        let Next::Ready(file) = self.segments.next else {
            self.segments.blocked = true;
            return None;
        };
        self.roll(file);
        let position = SEGMENT_HEADER_BYTES as u32;
        let space = (segment_bytes - position) as usize;
        let seq = self.segments.active_mut().1;
        Some((seq, position, space))
    }

    /// Goes on in the next segment. No frame is open, so the state is that of the segment's end.
    fn roll(&mut self, file: FileId) {
        let state = self.snapshot();
        if let Some(sealed) = self.segments.list.back_mut() {
            sealed.checkpoint = Checkpoint::Due(state);
        }
        let seq = self.segments.next_seq;
        let index = SegmentIndex::default();
        let segment = Segment::new(seq, index, File::Open(file));
        self.segments.list.push_back(segment);
        self.segments.next_seq = SegmentSeq(seq.0 + 1);
        self.segments.next = Next::Asked;
        self.keeper.ask(Request::PrepareSegment {
            seq: self.segments.next_seq,
        });
        self.send_checkpoints();
    }

    fn snapshot(&self) -> StripeState {
        let written = |part: &&Part| part.next.0 > 0 || part.position.0 > 0;
        let offsets = |part: &Part| PartitionOffsets {
            log_start: part.log_start,
            next: part.next,
            position: part.position,
        };
        StripeState {
            partitions: self
                .parts
                .iter()
                .filter(written)
                .map(|part| (part.id, offsets(part)))
                .collect(),
            values: self.values.clone(),
        }
    }

    /// Hands sealed segments whose frames are all durable to the keeper.
    pub(super) fn send_checkpoints(&mut self) {
        for segment in &mut self.segments.list {
            if segment.index.frame_last > self.writer.durable {
                break;
            }
            if !matches!(segment.checkpoint, Checkpoint::Due(_)) {
                continue;
            }
            let due = std::mem::replace(&mut segment.checkpoint, Checkpoint::Sent);
            if let Checkpoint::Due(state) = due {
                self.keeper.ask(Request::Seal {
                    seq: segment.seq,
                    index: Arc::clone(&segment.index),
                    state,
                });
            }
        }
    }

    /// Opens the segment to go on writing and asks for the next one.
    pub(super) fn start(&mut self, core: &mut Core<D>) {
        let stripe = self.id;
        let lane = self.lane;
        if let Some(active) = self.segments.list.back_mut() {
            active.file = File::Opening;
            let op = Op::Open(active.seq);
            core.disk.open(stripe, active.seq, Tag { lane, op });
        }
        self.keeper.ask(Request::PrepareSegment {
            seq: self.segments.next_seq,
        });
    }

    /// Hands requests to the keeper and takes what it has done. Returns the amount of work done.
    pub(in crate::log) fn talk_to_keeper(
        &mut self,
        core: &mut Core<D>,
        on: &mut impl FnMut(StorageEvent),
    ) -> usize {
        self.keeper.send();
        let mut work = 0;
        while let Some(reply) = self.keeper.handle.poll() {
            work += 1;
            match reply {
                Reply::Prepared { seq } => {
                    assert_eq!(
                        seq, self.segments.next_seq,
                        "only the next one is asked for"
                    );
                    self.segments.next = Next::Opening;
                    core.disk.open(self.id, seq, self.tag(Op::Open(seq)));
                }
                Reply::Sealed { seq } => {
                    if let Some(segment) = self.segments.get_mut(seq) {
                        segment.checkpoint = Checkpoint::Durable;
                    }
                }
                Reply::Recycled { .. } => {}
                Reply::NoSpace { seq } => {
                    tracing::warn!(stripe = %self.id, segment = %seq, "no space for a segment");
                }
                Reply::Failed { seq, action, error } => {
                    self.on_keeper_failed(seq, action, &error, on);
                }
            }
        }
        work
    }

    fn on_keeper_failed(
        &mut self,
        seq: SegmentSeq,
        action: Action,
        error: &str,
        on: &mut impl FnMut(StorageEvent),
    ) {
        match action {
            // Without a next segment the stripe cannot go on, and nobody would say why.
            Action::Prepare => {
                let text = format!(
                    "stripe {}: preparing segment {seq} failed: {error}",
                    self.id
                );
                self.fail_from_next(text, on);
            }
            // The segment stays; nothing is lost.
            Action::Seal | Action::Recycle => {
                tracing::warn!(stripe = %self.id, segment = %seq, error, "keeper: {action:?} failed");
            }
        }
    }

    /// A segment's file cannot be opened. Without a segment to write to the stripe is poisoned;
    /// readers of an older one are told.
    pub(in crate::log) fn on_open_failed(
        &mut self,
        seq: SegmentSeq,
        error: &io::Error,
        core: &mut Core<D>,
        on: &mut impl FnMut(StorageEvent),
    ) {
        let is_next = seq == self.segments.next_seq;
        let is_active = self.segments.list.back().is_some_and(|s| s.seq == seq);
        if let Some(segment) = self.segments.get_mut(seq) {
            segment.file = File::Closed;
        }
        self.on_read_refused(seq, &error.to_string(), core);
        if is_next || is_active {
            let text = format!("stripe {}: opening segment {seq} failed: {error}", self.id);
            self.fail_from_next(text, on);
        }
    }

    /// A segment's file is open.
    pub(in crate::log) fn on_opened(&mut self, seq: SegmentSeq, file: FileId, core: &mut Core<D>) {
        self.segments.opened(seq, file);
        self.start_reads(seq, core);
    }
}
