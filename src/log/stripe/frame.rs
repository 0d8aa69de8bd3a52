//! A frame while it is filled and after it was sealed.
//!
//! Owns: the buffer of one frame and what is kept beside it in memory. Never does: I/O. Runs on:
//! the stripe's core.

use std::rc::Rc;

use crate::clock::Now;
use crate::ids::{FrameSeq, Nanos, Offset, PartitionId, SegmentSeq, StripeId, UnixMillis};
use crate::limits::BLOCK_BYTES;
use crate::log::disk::Disk;
use crate::log::format::{
    ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES, FrameHeader, align_up,
    entry_bytes, entry_checksum,
};

/// A partition's place in its stripe's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Slot(pub(in crate::log) u32);

impl Slot {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where the records of a batch come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// They were offered; what belongs to them starts here in the frame's list.
    Offers(u32),
    /// A handler put them out: nobody waits for them.
    Outputs,
    /// The broker brought the batch, and goes by the frame's mark.
    Broker,
}

/// A batch in a frame that is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchMeta {
    pub(super) slot: Slot,
    pub(super) source: Source,
    pub(super) base_offset: Offset,
    pub(super) records: u32,
    pub(super) timestamp: UnixMillis,
    /// First byte of the batch in the frame.
    pub(super) start: u32,
    pub(super) bytes: u32,
}

/// What is kept of an offer beside its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    pub(super) taken: Nanos,
    pub(super) token: u32,
    pub(super) seat: u32,
}

/// What is kept beside a frame's bytes. Reused from frame to frame.
#[derive(Debug, Default)]
pub(super) struct FrameMeta {
    pub(super) batches: Vec<BatchMeta>,
    pub(super) positions: Vec<(Slot, Offset)>,
    pub(super) offered: Vec<Offered>,
}

impl FrameMeta {
    fn clear(&mut self) {
        self.batches.clear();
        self.positions.clear();
        self.offered.clear();
    }
}

/// The frame that takes entries.
#[derive(Debug)]
pub(super) struct OpenFrame<B> {
    pub(super) seq: FrameSeq,
    pub(super) segment: SegmentSeq,
    /// Byte in the segment where the frame starts.
    pub(super) position: u32,
    pub(super) meta: FrameMeta,
    buffer: Rc<B>,
    used: usize,
    entries: u32,
    digest: u32,
    content: Content,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Data,
    Marker,
}

/// What sealing adds to a frame's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    pub(super) stripe: StripeId,
    pub(super) epoch: u32,
    pub(super) durable: FrameSeq,
    pub(super) at: Now,
}

/// A frame that is written or being written.
#[derive(Debug)]
pub(super) struct SealedFrame<B> {
    pub(super) seq: FrameSeq,
    pub(super) segment: SegmentSeq,
    pub(super) position: u32,
    pub(super) bytes: u32,
    /// What the buffer occupies in memory, which is more than was written of it.
    pub(super) capacity: usize,
    pub(super) buffer: Rc<B>,
    pub(super) meta: FrameMeta,
    pub(super) write: Write,
    /// When its write was begun.
    pub(super) sealed_at: Nanos,
    /// When it became durable; meaningless before.
    pub(super) durable_at: Nanos,
}

/// How far the write of a sealed frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Underway,
    Done,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> OpenFrame<B> {
    pub(super) fn new(
        seq: FrameSeq,
        segment: SegmentSeq,
        position: u32,
        buffer: Rc<B>,
        mut meta: FrameMeta,
    ) -> OpenFrame<B> {
        meta.clear();
        OpenFrame {
            seq,
            segment,
            position,
            meta,
            buffer,
            used: FRAME_HEADER_BYTES,
            entries: 0,
            digest: 0,
            content: Content::Marker,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        (*self.buffer).as_ref()
    }

    pub(super) fn content(&self) -> Content {
        self.content
    }

    /// Entry bytes that still fit.
    pub(super) fn room(&self) -> usize {
        self.bytes().len() - self.used
    }

    /// Adds an entry whose payload `fill` writes; it gets at most the room that is left and
    /// returns how many bytes it wrote. Returns where the payload starts and its length.
    ///
    /// The caller has checked that it fits, padding included.
    pub(super) fn push(
        &mut self,
        kind: EntryKind,
        partition: PartitionId,
        key_bytes: u16,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> (u32, u32) {
        let buffer = Rc::get_mut(&mut self.buffer).expect("nobody else holds an open frame");
        let out = &mut buffer.as_mut()[self.used..];
        let payload_bytes = fill(&mut out[ENTRY_HEADER_BYTES..]);
        let mut header = EntryHeader {
            payload_bytes: u32::try_from(payload_bytes).expect("bounded by FRAME_BYTES_MAX"),
            checksum: 0,
            partition,
            kind,
            key_bytes,
        };
        let payload_end = ENTRY_HEADER_BYTES + payload_bytes;
        header.checksum = entry_checksum(&header, &out[ENTRY_HEADER_BYTES..payload_end]);
        header.encode(out);
        // The buffer may hold a former frame's bytes.
        let end = entry_bytes(payload_bytes);
        out[payload_end..end].fill(0);
        self.digest = crc32c::crc32c_append(self.digest, &header.checksum.to_le_bytes());
        self.entries += 1;
        if kind != EntryKind::Marker {
            self.content = Content::Data;
        }
        let start = self.used + ENTRY_HEADER_BYTES;
        self.used += end;
        (start as u32, header.payload_bytes)
    }

    /// Completes the frame: header, padding, length.
    pub(super) fn seal<D: Disk<Buffer = B>>(self, seal: Seal) -> SealedFrame<B> {
        let mut buffer = self.buffer;
        let bytes = align_up(self.used, BLOCK_BYTES);
        let unique = Rc::get_mut(&mut buffer).expect("nobody else holds an open frame");
        let capacity = unique.as_mut().len();
        unique.as_mut()[self.used..bytes].fill(0);
        let header = FrameHeader {
            stripe: seal.stripe,
            seq: self.seq,
            segment: self.segment,
            position: self.position,
            body_bytes: (self.used - FRAME_HEADER_BYTES) as u32,
            entries: self.entries,
            digest: self.digest,
            epoch: seal.epoch,
            durable: seal.durable,
            sealed_at_us: seal.at.wall.0,
        };
        header.encode(unique.as_mut());
        D::trim(unique, bytes);
        SealedFrame {
            seq: self.seq,
            segment: self.segment,
            position: self.position,
            bytes: bytes as u32,
            capacity,
            buffer,
            meta: self.meta,
            write: Write::Underway,
            sealed_at: seal.at.mono,
            durable_at: Nanos(0),
        }
    }
}
