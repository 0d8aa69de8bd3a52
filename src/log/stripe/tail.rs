//! The newest frames, kept in memory so that readers need no device.
//!
//! Owns: the sealed frames of a stripe, oldest first, bounded in bytes. Never does: I/O. Runs on:
//! the stripe's core.

use std::collections::VecDeque;

use super::frame::{FrameMeta, SealedFrame, Write};
use crate::ids::FrameSeq;

/// Frames whose memory is kept for the next one.
const META_SPARE_MAX: usize = 64;

/// Sealed frames without a gap in their numbers; those after the durable one are being written.
#[derive(Debug)]
pub(super) struct Tail<B> {
    frames: VecDeque<SealedFrame<B>>,
    /// Sum of the buffers' capacities.
    bytes: usize,
    bytes_max: usize,
    spare: Vec<FrameMeta>,
}

impl<B> Tail<B> {
    pub(super) fn new(bytes_max: usize) -> Tail<B> {
        Tail {
            frames: VecDeque::with_capacity(1024),
            bytes: 0,
            bytes_max,
            spare: Vec::with_capacity(META_SPARE_MAX),
        }
    }

    /// Memory for a new frame.
    pub(super) fn meta(&mut self) -> FrameMeta {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn push(&mut self, frame: SealedFrame<B>) {
        if let Some(last) = self.frames.back() {
            assert_eq!(last.seq.0 + 1, frame.seq.0, "frames follow each other");
        }
        self.bytes += frame.capacity;
        self.frames.push_back(frame);
    }

    fn index(&self, seq: FrameSeq) -> Option<usize> {
        let first = self.frames.front()?.seq;
        usize::try_from(seq.0.checked_sub(first.0)?).ok()
    }

    pub(super) fn get(&self, seq: FrameSeq) -> Option<&SealedFrame<B>> {
        self.frames.get(self.index(seq)?)
    }

    pub(super) fn get_mut(&mut self, seq: FrameSeq) -> Option<&mut SealedFrame<B>> {
        let index = self.index(seq)?;
        self.frames.get_mut(index)
    }

    /// Takes out the oldest frame if the bound is exceeded and the frame is durable.
    pub(super) fn evict(&mut self, durable: FrameSeq) -> Option<SealedFrame<B>> {
        let oldest = self.frames.front()?;
        if self.bytes <= self.bytes_max || oldest.seq > durable || oldest.write != Write::Done {
            return None;
        }
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.capacity;
        Some(frame)
    }

    /// Bytes of the frames' buffers.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes back a frame's lists for reuse.
    pub(super) fn recycle(&mut self, meta: FrameMeta) {
        if self.spare.len() < META_SPARE_MAX {
            self.spare.push(meta);
        }
    }
}
