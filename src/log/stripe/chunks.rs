//! Parts of segments that were read back from the device, shared by all readers of the stripe.
//!
//! Owns: a bounded cache of aligned chunks and who waits for which. Never does: I/O. Runs on: the
//! stripe's core.
//!
//! A chunk that somebody waits for stays until it has been read from, so that many partitions
//! that catch up at once cannot push each other's chunks out for ever. Who finds no free place
//! waits for one.

use std::collections::VecDeque;

use crate::ids::{Nanos, SegmentSeq};
use crate::limits::FRAME_BYTES_MAX;
use crate::log::disk::{Op, Tag};

use super::frame::Slot;

/// Size of a chunk.
pub(super) const CHUNK_BYTES: u32 = 256 << 10;

/// Chunks kept at once: two of the largest batches, wherever they start.
const CHUNKS_MAX: usize = 2 * (FRAME_BYTES_MAX / CHUNK_BYTES as usize + 1);

/// With more chunks than this waited for, nothing is read ahead.
const WANTED_MAX: usize = 4;

/// A range of bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) segment: SegmentSeq,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Byte up to which the segment may be read now.
    pub(super) limit: u32,
}

/// A read to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) segment: SegmentSeq,
    pub(super) position: u32,
    pub(super) bytes: u32,
}

impl Fetch {
    pub(super) fn tag(self, lane: u16) -> Tag {
        Tag {
            lane,
            op: Op::Read {
                segment: self.segment,
                position: self.position,
            },
        }
    }
}

#[derive(Debug)]
enum State<C> {
    /// Waits for its segment's file to be opened.
    Queued,
    Loading,
    Ready(C),
    Failed(String),
}

/// Whether somebody counts on a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    Wanted,
    Free,
}

#[derive(Debug)]
struct Chunk<C> {
    segment: SegmentSeq,
    position: u32,
    /// Byte of the segment up to which it is valid: the segment may have grown since.
    end: u32,
    state: State<C>,
    claim: Claim,
    used: u64,
    waiting: Vec<Slot>,
}

enum Found {
    /// It is there or on its way.
    Held,
    Missing,
}

/// How a demand was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// All of it is in memory.
    Ready,
    /// It is on its way, or waits for a place.
    Waits,
    /// The device refused.
    Failed(String),
}

/// The cache.
#[derive(Debug)]
pub(super) struct Chunks<C> {
    chunks: Vec<Chunk<C>>,
    /// Counts up with each use.
    clock: u64,
    clock_seen: u64,
    seen_at: Nanos,
    /// Readers that found no place.
    starved: VecDeque<Slot>,
    /// A batch that lies across chunks, put together.
    joined: Vec<u8>,
    joined_from: Option<(SegmentSeq, u32)>,
}

impl<C: std::ops::Deref<Target = [u8]>> Chunks<C> {
    pub(super) fn new() -> Chunks<C> {
        Chunks {
            chunks: Vec::new(),
            clock: 0,
            clock_seen: 0,
            seen_at: Nanos(0),
            starved: VecDeque::new(),
            joined: Vec::new(),
            joined_from: None,
        }
    }

    fn find(&self, segment: SegmentSeq, position: u32) -> Option<usize> {
        self.chunks
            .iter()
            .position(|c| c.segment == segment && c.position == position)
    }

    /// Wants a range for the reader `slot`. What is missing waits for [`Chunks::start`].
    pub(super) fn demand(&mut self, range: Range, slot: Slot) -> Demand {
        self.clock += 1;
        let mut missing = 0;
        for position in positions(range) {
            match self.claim(range, position) {
                Ok(Found::Held) => {}
                Ok(Found::Missing) => missing += 1,
                Err(error) => return Demand::Failed(error),
            }
        }
        if !self.make_places(missing) {
            self.release(range);
            if !self.starved.contains(&slot) {
                self.starved.push_back(slot);
            }
            return Demand::Waits;
        }
        for position in positions(range) {
            if self.find(range.segment, position).is_none() {
                self.insert(range, position, Claim::Wanted);
            }
        }
        let absent = positions(range).find_map(|position| {
            let index = self.find(range.segment, position)?;
            (!matches!(self.chunks[index].state, State::Ready(_))).then_some(index)
        });
        match absent {
            Some(index) => {
                let waiting = &mut self.chunks[index].waiting;
                // A partition may have many readers; one word is enough for all.
                if !waiting.contains(&slot) {
                    waiting.push(slot);
                }
                Demand::Waits
            }
            None => Demand::Ready,
        }
    }

    /// Whether all of a range is in memory.
    pub(super) fn holds(&self, range: Range) -> bool {
        positions(range).all(|position| {
            self.find(range.segment, position).is_some_and(|index| {
                let chunk = &self.chunks[index];
                matches!(chunk.state, State::Ready(_))
                    && chunk.end >= range.end.min(position + CHUNK_BYTES)
            })
        })
    }

    /// Looks for one chunk of a range and keeps it from being pushed out.
    fn claim(&mut self, range: Range, position: u32) -> Result<Found, String> {
        let Some(index) = self.find(range.segment, position) else {
            return Ok(Found::Missing);
        };
        if let Some(error) = self.take_failed(index) {
            return Err(error);
        }
        let chunk = &mut self.chunks[index];
        chunk.used = self.clock;
        chunk.claim = Claim::Wanted;
        let is_ready = matches!(chunk.state, State::Ready(_));
        if is_ready && chunk.end < range.end.min(position + CHUNK_BYTES) {
            // The segment has grown since it was read.
            self.chunks.swap_remove(index);
            return Ok(Found::Missing);
        }
        Ok(Found::Held)
    }

    /// Fetches a chunk ahead of need if there is a place for it.
    pub(super) fn fetch_ahead(&mut self, segment: SegmentSeq, byte: u32, limit: u32) {
        let position = byte - byte % CHUNK_BYTES;
        // With many readers their own demands keep the device busy; reading ahead for each would
        // push out what the others are about to read.
        let wanted = self.chunks.iter().filter(|c| c.claim == Claim::Wanted);
        if wanted.count() > WANTED_MAX
            || self.find(segment, position).is_some()
            || !self.make_places(1)
        {
            return;
        }
        let range = Range {
            segment,
            start: position,
            end: (position + CHUNK_BYTES).min(limit),
            limit,
        };
        self.clock += 1;
        self.insert(range, position, Claim::Free);
    }

    fn insert(&mut self, range: Range, position: u32, claim: Claim) {
        self.chunks.push(Chunk {
            segment: range.segment,
            position,
            end: range.limit.min(position + CHUNK_BYTES),
            state: State::Queued,
            claim,
            used: self.clock,
            waiting: Vec::new(),
        });
    }

    fn take_failed(&mut self, index: usize) -> Option<String> {
        if !matches!(self.chunks[index].state, State::Failed(_)) {
            return None;
        }
        match self.chunks.swap_remove(index).state {
            State::Failed(error) => Some(error),
            State::Queued | State::Loading | State::Ready(_) => None,
        }
    }

    fn is_evictable(chunk: &Chunk<C>) -> bool {
        match chunk.state {
            State::Ready(_) | State::Failed(_) => chunk.claim == Claim::Free,
            State::Queued | State::Loading => false,
        }
    }

    /// Chunks that could be fetched now.
    fn places(&self) -> usize {
        let old = self.chunks.iter().filter(|c| Self::is_evictable(c)).count();
        CHUNKS_MAX - self.chunks.len() + old
    }

    /// Sees to it that `count` more chunks may be held; pushes out the least recently used.
    fn make_places(&mut self, count: usize) -> bool {
        if self.places() < count {
            return false;
        }
        while CHUNKS_MAX - self.chunks.len() < count {
            let oldest = self
                .chunks
                .iter()
                .enumerate()
                .filter(|(_, c)| Self::is_evictable(c))
                .min_by_key(|(_, c)| c.used)
                .map(|(index, _)| index);
            let Some(index) = oldest else {
                return false;
            };
            self.chunks.swap_remove(index);
        }
        true
    }

    /// Lets go of the chunks of a range, unless others wait for them.
    fn release(&mut self, range: Range) {
        for position in positions(range) {
            if let Some(index) = self.find(range.segment, position) {
                let chunk = &mut self.chunks[index];
                if chunk.waiting.is_empty() {
                    chunk.claim = Claim::Free;
                }
            }
        }
    }

    /// The bytes of a range that is [`Demand::Ready`].
    pub(super) fn bytes(&mut self, range: Range) -> &[u8] {
        self.release(range);
        let first = range.start - range.start % CHUNK_BYTES;
        if range.end <= first + CHUNK_BYTES {
            let chunk = self.ready(range.segment, first);
            return &chunk[(range.start - first) as usize..(range.end - first) as usize];
        }
        let from = (range.segment, range.start);
        if self.joined_from != Some(from) {
            let mut joined = std::mem::take(&mut self.joined);
            joined.clear();
            for position in positions(range) {
                let chunk = self.ready(range.segment, position);
                let start = range.start.max(position) - position;
                let end = range.end.min(position + CHUNK_BYTES) - position;
                joined.extend_from_slice(&chunk[start as usize..end as usize]);
            }
            self.joined = joined;
            self.joined_from = Some(from);
        }
        &self.joined
    }

    fn ready(&self, segment: SegmentSeq, position: u32) -> &[u8] {
        let index = self.find(segment, position);
        match index.map(|index| &self.chunks[index].state) {
            Some(State::Ready(bytes)) => bytes,
            Some(State::Queued | State::Loading | State::Failed(_)) | None => {
                unreachable!("the demand for it was met just now")
            }
        }
    }

    /// Whether reads of a segment wait for its file.
    pub(super) fn has_queued(&self, segment: SegmentSeq) -> bool {
        let queued = |c: &Chunk<C>| c.segment == segment && matches!(c.state, State::Queued);
        self.chunks.iter().any(queued)
    }

    /// Fails the reads that wait for a segment's file.
    pub(super) fn refuse(&mut self, segment: SegmentSeq, error: &str, mut wake: impl FnMut(Slot)) {
        for chunk in &mut self.chunks {
            if chunk.segment == segment && matches!(chunk.state, State::Queued) {
                chunk.state = State::Failed(error.to_owned());
                chunk.waiting.drain(..).for_each(&mut wake);
            }
        }
    }

    /// The reads to be started in a segment whose file is open.
    pub(super) fn start(&mut self, segment: SegmentSeq, mut read: impl FnMut(Fetch)) {
        for chunk in &mut self.chunks {
            if chunk.segment == segment && matches!(chunk.state, State::Queued) {
                chunk.state = State::Loading;
                read(Fetch {
                    segment,
                    position: chunk.position,
                    bytes: chunk.end - chunk.position,
                });
            }
        }
    }

    /// Takes what the device gave. Calls `wake` for every reader that may go on.
    pub(super) fn loaded(
        &mut self,
        segment: SegmentSeq,
        position: u32,
        result: Result<C, String>,
        wake: impl FnMut(Slot),
    ) {
        if let Some(index) = self.find(segment, position) {
            let chunk = &mut self.chunks[index];
            let bytes = (chunk.end - chunk.position) as usize;
            chunk.state = match result {
                Ok(data) if data.len() >= bytes => State::Ready(data),
                Ok(data) => State::Failed(format!(
                    "segment {segment} ends at byte {} instead of {}",
                    position as usize + data.len(),
                    chunk.end
                )),
                Err(error) => State::Failed(error),
            };
            chunk.waiting.drain(..).for_each(wake);
        }
    }

    /// The next reader that found no place and may try again, now that `woken` others were told
    /// so.
    pub(super) fn next_starved(&mut self, woken: usize) -> Option<Slot> {
        if self.starved.is_empty() || self.places() <= woken {
            return None;
        }
        self.starved.pop_front()
    }

    /// Gives the memory back once nobody has read for `idle_ns`, and lets go of chunks that a
    /// reader asked for and did not come back for in that time. Returns whether it let go of any.
    pub(super) fn expire(&mut self, now: Nanos, idle_ns: u64) -> bool {
        if self.chunks.is_empty() {
            self.clock_seen = self.clock;
            self.seen_at = now;
        } else if now.since(self.seen_at) > idle_ns {
            let used = self.clock != self.clock_seen;
            let seen = std::mem::replace(&mut self.clock_seen, self.clock);
            self.seen_at = now;
            if used || !self.starved.is_empty() {
                return self.abandon(seen);
            }
            let is_busy = |c: &Chunk<C>| matches!(c.state, State::Loading) || !c.waiting.is_empty();
            self.chunks.retain(is_busy);
            self.joined = Vec::new();
            self.joined_from = None;
        }
        false
    }

    /// Lets go of the chunks that are there and were not asked for since the clock showed `seen`:
    /// a consumer that went away never reads what it waited for.
    fn abandon(&mut self, seen: u64) -> bool {
        let mut abandoned = false;
        for chunk in &mut self.chunks {
            let is_there = matches!(chunk.state, State::Ready(_) | State::Failed(_));
            if is_there && chunk.claim == Claim::Wanted && chunk.used <= seen {
                chunk.claim = Claim::Free;
                abandoned = true;
            }
        }
        abandoned
    }

    /// Bytes of the chunks that are there or on their way, and of the batch put together. Looks at each
    /// chunk: there are [`CHUNKS_MAX`] at the most.
    pub(super) fn held_bytes(&self) -> usize {
        let bytes = |chunk: &Chunk<C>| match &chunk.state {
            State::Ready(data) => data.len(),
            State::Loading => (chunk.end - chunk.position) as usize,
            State::Queued | State::Failed(_) => 0,
        };
        self.chunks.iter().map(bytes).sum::<usize>() + self.joined.capacity()
    }

    /// Whether a reader waits for something of this segment.
    pub(super) fn is_wanted(&self, segment: SegmentSeq) -> bool {
        let wanted = |c: &Chunk<C>| c.claim == Claim::Wanted || matches!(c.state, State::Queued);
        self.chunks
            .iter()
            .any(|c| c.segment == segment && wanted(c))
    }

    /// Drops what is held of a segment.
    pub(super) fn forget(&mut self, segment: SegmentSeq) {
        self.chunks.retain(|c| c.segment != segment);
        self.joined_from = None;
    }
}

/// Where the chunks that hold a range start.
fn positions(range: Range) -> impl Iterator<Item = u32> {
    let first = range.start - range.start % CHUNK_BYTES;
    (first..range.end).step_by(CHUNK_BYTES as usize)
}
