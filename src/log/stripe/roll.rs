//! From one segment to the next, and what is asked of the keeper.
//!
//! Owns: the line to the keeper. Never does: making, recycling or deleting files: that is asked
//! of the keeper. Runs on: the stripe's core.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::part::Part;
use super::segments::{Checkpoint, File, Next};
use super::{Core, Stripe};
use crate::ids::SegmentSeq;
use crate::log::disk::{Disk, FileId, Op, Tag};
use crate::log::format::SEGMENT_HEADER_BYTES;
use crate::log::keeper::{Action, KeeperHandle, Reply, Request};
use crate::log::state::{PartitionOffsets, StripeState};
use crate::storage::StorageEvent;

/// The stripe's line to the keeper.
#[derive(Debug)]
pub(super) struct Keeping {
    handle: KeeperHandle,
    /// Requests that found the keeper's queue full.
    waiting: VecDeque<Request>,
    /// Requests that wait for space on the device.
    without_space: Vec<(Action, SegmentSeq)>,
}

impl Keeping {
    pub(super) fn new(handle: KeeperHandle) -> Keeping {
        Keeping {
            handle,
            waiting: VecDeque::with_capacity(4),
            without_space: Vec::new(),
        }
    }

    pub(super) fn ask(&mut self, request: Request) {
        self.waiting.push_back(request);
        self.send();
    }

    pub(super) fn is_without_space(&self) -> bool {
        !self.without_space.is_empty()
    }

    /// The request is carried out or given up: it no longer waits.
    fn is_over(&mut self, action: Action, seq: SegmentSeq) {
        self.without_space.retain(|waits| *waits != (action, seq));
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
        self.segments.begin(seq, file);
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
        let mut partitions = self.orphans.clone();
        partitions.extend(
            self.parts
                .iter()
                .filter(written)
                .map(|part| (part.id, offsets(part))),
        );
        let known = self.parts.iter().filter(|part| !part.producers.is_empty());
        StripeState {
            partitions,
            values: self.values.clone(),
            producers: known
                .map(|part| (part.id, part.producers.clone()))
                .collect(),
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
                    self.keeper.is_over(Action::Prepare, seq);
                    assert_eq!(
                        seq, self.segments.next_seq,
                        "only the next one is asked for"
                    );
                    self.segments.next = Next::Opening;
                    core.disk.open(self.id, seq, self.tag(Op::Open(seq)));
                }
                Reply::Sealed { seq } => {
                    self.keeper.is_over(Action::Seal, seq);
                    if let Some(segment) = self.segments.get_mut(seq) {
                        segment.checkpoint = Checkpoint::Durable;
                    }
                    self.cleaning.look_again();
                }
                Reply::Recycled { seq } => self.keeper.is_over(Action::Recycle, seq),
                Reply::NoSpace { action, seq } => {
                    self.keeper.without_space.push((action, seq));
                    tracing::warn!(stripe = %self.id, segment = %seq, "no space for a segment");
                }
                Reply::Failed { seq, action, error } => {
                    self.keeper.is_over(action, seq);
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
        if self.segments.list.is_empty() {
            // A new stripe takes its first segment at once, so that the keeper makes the second
            // one ready before there is anything to write.
            self.roll(file);
        }
        self.start_reads(seq, core);
    }
}
