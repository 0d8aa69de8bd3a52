//! The disk as a stripe sees it while it runs: poll-based, so that it fits the duty cycle.
//!
//! Owns: the trait and the plain data that crosses it. Never does: I/O of its own. Runs on: the
//! core that owns the stripes.
//!
//! Segments are prepared elsewhere (off the hot path) and opened here so that one completed write
//! is durable: there is no separate sync. [`crate::log::dma`] is the real disk,
//! [`crate::log::sim`] the simulated one.

use std::ops::Deref;
use std::rc::Rc;
use std::{fmt, io};

use crate::ids::{FrameSeq, SegmentSeq, StripeId};

/// An open segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(pub u32);

/// What an operation was for; handed back with its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The stripe's number on this core.
    pub lane: u16,
    /// Which of the stripe's operations.
    pub op: Op,
}

/// The operations of a stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A segment is being opened.
    Open(SegmentSeq),
    /// A frame is being written.
    Write(FrameSeq),
    /// A chunk is being read.
    Read {
        /// Its segment.
        segment: SegmentSeq,
        /// Its first byte in the segment.
        position: u32,
    },
    /// An alarm was set.
    Alarm,
}

/// What a finished operation gives.
#[derive(Debug)]
pub enum Done<C> {
    /// The segment may be written and read.
    Opened(FileId),
    /// All bytes are durable.
    Written,
    /// The bytes asked for; fewer where the file ends.
    Read(C),
    /// The time is over.
    Alarm,
}

/// A finished operation.
#[derive(Debug)]
pub struct Completion<C> {
    /// As given when it was started.
    pub tag: Tag,
    /// What came of it.
    pub result: io::Result<Done<C>>,
}

/// The disk of one core. No call waits; operations complete in any order.
pub trait Disk: 'static {
    /// Memory to write from. Its address and length suit direct I/O.
    type Buffer: AsRef<[u8]> + AsMut<[u8]> + fmt::Debug;

    /// Memory that was read into.
    type Chunk: Deref<Target = [u8]> + fmt::Debug;

    /// A buffer of `bytes` bytes with any content, or somewhat fewer where one can be reused, but
    /// at least `bytes_min`. Both are multiples of [`crate::limits::BLOCK_BYTES`] and at most
    /// [`crate::limits::FRAME_BYTES_MAX`].
    fn allocate(&mut self, bytes_min: usize, bytes: usize) -> Rc<Self::Buffer>;

    /// Shortens a buffer to `bytes`, a multiple of the block. It cannot grow again.
    fn trim(buffer: &mut Self::Buffer, bytes: usize);

    /// Gives a buffer back; the disk may hand it out again once no write uses it.
    fn release(&mut self, buffer: Rc<Self::Buffer>);

    /// Bytes of the buffers that were given back and not handed out again.
    fn spare_bytes(&self) -> usize;

    /// Opens a prepared segment; completes with [`Done::Opened`].
    fn open(&mut self, stripe: StripeId, segment: SegmentSeq, tag: Tag);

    /// Writes the whole buffer at `position` (a multiple of the block); completes with
    /// [`Done::Written`] once all of it is durable.
    fn write(&mut self, file: FileId, position: u32, buffer: Rc<Self::Buffer>, tag: Tag);

    /// Reads `bytes` at `position`, both multiples of the block; completes with [`Done::Read`].
    fn read(&mut self, file: FileId, position: u32, bytes: u32, tag: Tag);

    /// Closes a segment on which nothing is under way.
    fn close(&mut self, file: FileId);

    /// Completes with [`Done::Alarm`] in about `ns` nanoseconds, so that a parked core wakes.
    fn alarm(&mut self, ns: u64, tag: Tag);

    /// Whether something is under way of whose end only [`Disk::poll`] has news: nobody wakes a core
    /// that sleeps.
    fn awaits_look(&self) -> bool;

    /// Whether something is under way that the executor has to see first.
    fn awaits_executor(&self) -> bool;

    /// The next finished operation, in the order in which they finished.
    fn poll(&mut self) -> Option<Completion<Self::Chunk>>;
}
