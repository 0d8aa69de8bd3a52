//! From the open frame to the device, and what is durable.
//!
//! Owns: the policy of group commit. Never does: waiting. Runs on: the stripe's core.
//!
//! Nothing under way: the open frame is sealed and written at the end of the cycle. A write under
//! way: what arrives meanwhile is the next frame, which is written when that write ends, or at once
//! where that write is a single small one: a device overlaps two of them, and a record that comes in
//! the middle of one need not wait for its end. A frame that reaches the target size is written at
//! once, up to `writes_in_flight_max`, so that bandwidth is the device's. The target follows the
//! load: it grows while frames fill before the write under way ends.
//!
//! Writes end in any order. Durable is the longest prefix of frames whose writes ended.

use std::io;

use super::frame::{Content, Offered, OpenFrame, Seal, SealedFrame, Source, Write};
use super::{Core, Stripe};
use crate::clock::Now;
use crate::ids::{FrameSeq, Nanos, PartitionId};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};
use crate::log::disk::{Disk, Op};
use crate::log::format::{EntryKind, entry_bytes, frame_bytes};
use crate::storage::{Ack, StorageError, StorageEvent};

/// Smallest and largest target size of a frame.
const TARGET_BYTES_MIN: usize = 16 << 10;
const TARGET_BYTES_MAX: usize = 1 << 20;

/// A frame of this size at the most, one block, lets the next one be written beside it. Measured, 10,000
/// transactions/s of 100 bytes, `acks=all`: produce p50 118 and 132 us without, 113 and 94 us with; four
/// at once give no more, and at 50,000/s there is no difference.
const SMALL_BYTES_MAX: usize = BLOCK_BYTES;

/// So many frames in a row below a quarter of the target halve it.
const SMALL_FRAMES_MAX: u32 = 16;

/// How long a stripe is idle before a marker witnesses its last frame.
pub(super) const WITNESS_IDLE_NS: u64 = 10_000_000;

const _: () = assert!(TARGET_BYTES_MAX <= FRAME_BYTES_MAX);

/// The writing end of a stripe.
#[derive(Debug)]
pub(super) struct Writer<B> {
    pub(super) open: Option<OpenFrame<B>>,
    /// The last sealed frame.
    pub(super) sealed: FrameSeq,
    /// The last durable frame; all before it are durable too.
    pub(super) durable: FrameSeq,
    target_bytes: usize,
    small_frames: u32,
    /// Bytes of the last sealed frame.
    sealed_bytes: usize,
    /// The last frame that holds more than a marker.
    data_last: FrameSeq,
    /// The largest `durable` that a sealed frame carries.
    witnessed: FrameSeq,
    idle_since: Nanos,
    alarm: Alarm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    Set,
    Off,
}

impl<B> Writer<B> {
    pub(super) fn new(frame_last: FrameSeq) -> Writer<B> {
        Writer {
            open: None,
            sealed: frame_last,
            durable: frame_last,
            target_bytes: TARGET_BYTES_MIN,
            small_frames: 0,
            sealed_bytes: 0,
            // Whether the last frame of the former run is witnessed is not known: assume not.
            data_last: frame_last,
            witnessed: FrameSeq(0),
            idle_since: Nanos(0),
            alarm: Alarm::Off,
        }
    }

    /// Frames that are sealed but not durable.
    pub(super) fn in_flight(&self) -> usize {
        (self.sealed.0 - self.durable.0) as usize
    }

    /// Whether the open frame may be written now.
    fn may_start(&self, in_flight_max: usize) -> bool {
        match self.in_flight() {
            0 => true,
            1 => in_flight_max > 1 && self.sealed_bytes <= SMALL_BYTES_MAX,
            _ => false,
        }
    }

    /// Whether every frame is durable and the open one, if any, is empty.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight() == 0 && self.open.is_none()
    }

    fn is_witnessed(&self) -> bool {
        self.witnessed >= self.data_last
    }

    fn note_size(&mut self, bytes: usize) {
        if bytes >= self.target_bytes / 4 {
            self.small_frames = 0;
            return;
        }
        self.small_frames += 1;
        if self.small_frames >= SMALL_FRAMES_MAX {
            self.small_frames = 0;
            self.target_bytes = (self.target_bytes / 2).max(TARGET_BYTES_MIN);
        }
    }
}

/// Whether a group of entries can be added to the open frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// Not now: too many frames under way, or no segment is ready.
    Full,
    /// No frame is that long.
    TooLarge,
}

impl<D: Disk> Stripe<D> {
    /// Sees to it that the open frame has room for `bytes` of entries, all in one frame.
    pub(super) fn reserve(&mut self, bytes: usize, now: Now, core: &mut Core<D>) -> Room {
        if bytes > self.group_bytes_max() {
            return Room::TooLarge;
        }
        if let Some(open) = &self.writer.open {
            if open.room() >= bytes {
                return Room::Enough;
            }
            if self.writer.in_flight() >= self.options.writes_in_flight_max {
                return Room::Full;
            }
            if self.writer.in_flight() > 0 {
                self.writer.target_bytes = (self.writer.target_bytes * 2).min(TARGET_BYTES_MAX);
            }
            self.seal(now, core);
        }
        self.open_frame(frame_bytes(bytes), core)
    }

    fn open_frame(&mut self, capacity_min: usize, core: &mut Core<D>) -> Room {
        let Some((segment, position, space)) = self.space_for(capacity_min) else {
            return Room::Full;
        };
        let capacity = self.writer.target_bytes.max(capacity_min).min(space);
        let buffer = core.disk.allocate(capacity_min, capacity);
        let seq = FrameSeq(self.writer.sealed.0 + 1);
        let meta = self.tail.meta();
        self.writer.open = Some(OpenFrame::new(seq, segment, position, buffer, meta));
        Room::Enough
    }

    /// Seals the open frame, if there is one, and starts its write.
    pub(super) fn seal(&mut self, now: Now, core: &mut Core<D>) {
        let Some(open) = self.writer.open.take() else {
            return;
        };
        let content = open.content();
        let frame = open.seal::<D>(Seal {
            stripe: self.id,
            epoch: self.options.epoch,
            durable: self.writer.durable,
            at: now,
        });
        let file = self.segments.note_frame(&frame);
        let tag = self.tag(Op::Write(frame.seq));
        let buffer = std::rc::Rc::clone(&frame.buffer);
        core.disk.write(file, frame.position, buffer, tag);
        self.writer.sealed = frame.seq;
        self.writer.sealed_bytes = frame.bytes as usize;
        self.writer.witnessed = self.writer.durable;
        if content == Content::Data {
            self.writer.data_last = frame.seq;
            self.writer.note_size(frame.bytes as usize);
        }
        self.tail.push(frame);
    }

    /// Starts the next write where what is under way lets it. Returns the amount of work done.
    pub(in crate::log) fn start_write(&mut self, now: Now, core: &mut Core<D>) -> usize {
        let may_start = self.writer.may_start(self.options.writes_in_flight_max);
        if self.writer.open.is_none() || !may_start || self.poison.is_some() {
            return 0;
        }
        self.seal(now, core);
        1
    }

    /// Takes the result of a frame's write.
    pub(in crate::log) fn on_written(
        &mut self,
        seq: FrameSeq,
        result: io::Result<()>,
        now: Now,
        core: &mut Core<D>,
        on: &mut impl FnMut(StorageEvent),
    ) {
        let frame = self
            .tail
            .get_mut(seq)
            .expect("a frame stays in memory until it is durable");
        frame.write = Write::Done;
        if let Err(error) = result {
            let text = format!(
                "stripe {}: writing {} bytes at byte {} of segment {} failed: {error}",
                self.id, frame.bytes, frame.position, frame.segment
            );
            self.fail(seq, text, on);
            return;
        }
        let took_ns = now.mono.since(frame.sealed_at);
        on(StorageEvent::Written { took_ns });
        while self.advance(now, core, on) {}
        self.after_durable(core);
        if self.writer.is_idle() {
            self.writer.idle_since = now.mono;
        }
    }

    /// Makes the next frame durable if its write has ended.
    fn advance(&mut self, now: Now, core: &mut Core<D>, on: &mut impl FnMut(StorageEvent)) -> bool {
        let seq = FrameSeq(self.writer.durable.0 + 1);
        if self.failed_from.is_some_and(|failed| seq >= failed) {
            return false;
        }
        let Some(frame) = self.tail.get_mut(seq) else {
            return false;
        };
        if frame.write == Write::Underway {
            return false;
        }
        frame.durable_at = now.mono;
        core.counts.frames += 1;
        core.counts.frame_bytes += frame.bytes as u64;
        for batch in &frame.meta.batches {
            let part = &mut self.parts[batch.slot.index()];
            core.update(part, |part| {
                part.durable = batch.base_offset.plus(batch.records);
            });
        }
        for (slot, position) in &frame.meta.positions {
            self.parts[slot.index()].position_durable = *position;
        }
        on(StorageEvent::Group {
            written: frame.sealed_at,
        });
        frame.for_each_ack(|ack| on(StorageEvent::Durable(ack)));
        self.writer.durable = seq;
        true
    }

    fn after_durable(&mut self, core: &mut Core<D>) {
        while let Some(frame) = self.tail.evict(self.writer.durable) {
            for batch in &frame.meta.batches {
                self.parts[batch.slot.index()].recent.pop_front();
            }
            core.disk.release(frame.buffer);
            self.tail.recycle(frame.meta);
        }
        self.send_checkpoints();
    }

    /// Poisons the stripe: frames from `seq` on, the open one and all offers are lost.
    fn fail(&mut self, seq: FrameSeq, text: String, on: &mut impl FnMut(StorageEvent)) {
        // Frames from an earlier failure on were reported then.
        let end = self
            .failed_from
            .unwrap_or(FrameSeq(self.writer.sealed.0 + 1));
        for lost in seq.0..end.0 {
            if let Some(frame) = self.tail.get(FrameSeq(lost)) {
                frame.for_each_ack(|ack| on(StorageEvent::Failed { token: ack.token }));
            }
        }
        self.failed_from = Some(seq.min(end));
        if self.poison.is_some() {
            return;
        }
        self.poison = Some(StorageError::Poisoned(text));
        if let Some(open) = &self.writer.open {
            for Offered { token, .. } in &open.meta.offered {
                on(StorageEvent::Failed { token: *token });
            }
        }
        self.fail_offers(on);
    }

    /// Poisons the stripe although every frame so far may still become durable.
    pub(super) fn fail_from_next(&mut self, text: String, on: &mut impl FnMut(StorageEvent)) {
        self.fail(FrameSeq(self.writer.sealed.0 + 1), text, on);
    }

    /// Bytes of the open frame's buffer and of those in memory.
    pub(in crate::log) fn frame_bytes(&self) -> usize {
        let open = self.writer.open.as_ref().map_or(0, |it| it.bytes().len());
        open + self.tail.bytes()
    }

    /// Whether anything is under way that may still become durable.
    pub(in crate::log) fn is_busy(&self) -> bool {
        match self.failed_from {
            Some(failed) => self.writer.durable.0 + 1 < failed.0,
            None => self.writer.open.is_some() || self.writer.in_flight() > 0 || self.has_offers(),
        }
    }

    /// Writes a marker once the stripe has been idle for a while, so that the last frame with
    /// data is witnessed: damage to it is then told apart from a torn tail.
    pub(in crate::log) fn witness_when_idle(&mut self, now: Now, core: &mut Core<D>) -> usize {
        if !self.writer.is_idle() || self.writer.is_witnessed() || self.poison.is_some() {
            return 0;
        }
        if now.mono.since(self.writer.idle_since) >= WITNESS_IDLE_NS {
            return self.witness(now, core);
        }
        if self.writer.alarm == Alarm::Off {
            self.writer.alarm = Alarm::Set;
            core.disk.alarm(WITNESS_IDLE_NS, self.tag(Op::Alarm));
        }
        0
    }

    pub(in crate::log) fn on_alarm(&mut self) {
        self.writer.alarm = Alarm::Off;
    }

    /// Writes what is open, then a marker where one is needed. Returns the amount of work done; 0
    /// once there is nothing left to do.
    pub(in crate::log) fn finish(&mut self, now: Now, core: &mut Core<D>) -> usize {
        if self.poison.is_some() || self.writer.in_flight() > 0 {
            return 0;
        }
        if self.writer.open.is_some() {
            return self.start_write(now, core);
        }
        if self.writer.is_witnessed() {
            return 0;
        }
        self.witness(now, core)
    }

    fn witness(&mut self, now: Now, core: &mut Core<D>) -> usize {
        if self.reserve(entry_bytes(0), now, core) != Room::Enough {
            return 0;
        }
        let open = self.writer.open.as_mut().expect("room was reserved in it");
        open.push(EntryKind::Marker, PartitionId(0), 0, |_| 0);
        self.start_write(now, core)
    }
}

impl<B> SealedFrame<B> {
    /// Visits what the submitters of this frame's records are told.
    fn for_each_ack(&self, mut visit: impl FnMut(Ack)) {
        for batch in &self.meta.batches {
            let first = match batch.source {
                Source::Offers(first) => first as usize,
                Source::Outputs | Source::Broker => continue,
            };
            let offered = &self.meta.offered[first..first + batch.records as usize];
            for (delta, offered) in (0u32..).zip(offered) {
                visit(Ack {
                    token: offered.token,
                    offset: batch.base_offset.plus(delta),
                    timestamp: batch.timestamp,
                });
            }
        }
    }
}
