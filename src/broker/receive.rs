//! What a connection receives into, and where that memory comes from.
//!
//! Owns: the receive buffers of one core, free and in use. Never does: I/O. Runs on: the core; the last
//! one that lets go of a request may do so on any.
//!
//! A connection has a buffer only while bytes lie in it. A long request leaves as a slice of its buffer,
//! so that its batches are copied once, into the log; a short one is copied out, so that a request that
//! waits for long holds no more memory than it has bytes. Buffers serve again: fresh memory costs a page
//! fault for every 4 KiB.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of most buffers.
const BUFFER_BYTES: usize = 64 << 10;

/// The longest buffer that is made because the request before was as long.
const USUAL_BYTES_MAX: usize = 4 << 20;

/// A request that is announced gets room for so many times the bytes that came of it, and no more:
/// its length alone takes no memory.
const GROWTH: usize = 8;

/// The least that is read at once where there is as much, and the most.
const WINDOW_BYTES_MIN: usize = 16 << 10;
const WINDOW_BYTES_MAX: usize = 256 << 10;

/// The beginning of a request that is no longer than this waits for the rest in memory of its own.
const BEGINNING_BYTES_MAX: usize = 2 << 10;

/// What lies on the shelf for the next connection that reads.
const SHELF_BYTES_MAX: usize = 8 << 20;
const SHELF_BUFFERS_MAX: usize = 32;

/// A buffer, or what is left of one when requests were cut off its front.
#[derive(Debug, Default)]
struct Buffer {
    /// As many bytes as were written to before.
    rest: BytesMut,
    /// Bytes of the whole.
    whole: usize,
}

impl Buffer {
    fn new(bytes: usize) -> Buffer {
        Buffer {
            rest: BytesMut::with_capacity(bytes),
            whole: bytes,
        }
    }

    /// Whether it has room for so many bytes, now that what was in it is of no use any more.
    fn recover(&mut self, bytes: usize) -> bool {
        if self.rest.capacity() >= bytes {
            return true;
        }
        self.rest.clear();
        // Only when nobody holds a request that was cut off it.
        self.rest.try_reclaim(bytes)
    }
}

/// The buffers that no connection of a core receives into now.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    buffers: RefCell<VecDeque<Buffer>>,
}

impl Shelf {
    fn take(&self, bytes: usize) -> Buffer {
        let mut buffers = self.buffers.borrow_mut();
        let fits = |buffer: &mut Buffer| {
            // One that is much too long is for others.
            (bytes..=bytes.saturating_mul(4)).contains(&buffer.whole) && buffer.recover(bytes)
        };
        let found = buffers.iter_mut().position(fits);
        found
            .and_then(|index| buffers.swap_remove_back(index))
            .unwrap_or_else(|| Buffer::new(bytes))
    }

    fn give(&self, buffer: Buffer) {
        if buffer.whole < BUFFER_BYTES || buffer.whole > SHELF_BYTES_MAX {
            return;
        }
        let mut buffers = self.buffers.borrow_mut();
        buffers.push_back(buffer);
        let mut bytes: usize = buffers.iter().map(|buffer| buffer.whole).sum();
        while bytes > SHELF_BYTES_MAX || buffers.len() > SHELF_BUFFERS_MAX {
            bytes -= buffers.pop_front().map_or(0, |buffer| buffer.whole);
        }
    }
}

/// What one connection has received and not yet parsed.
#[derive(Debug, Default)]
pub(super) struct Received {
    buffer: Buffer,
    /// `start..end` of the buffer was received.
    start: usize,
    end: usize,
    /// Bytes of the last long request: the next one may be as long.
    usual: usize,
}

impl Received {
    /// What was received.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer.rest[self.start..self.end]
    }

    /// Room to read into, for a request of `need` bytes of which a part may be there. Nothing of the
    /// next request is read with the rest of a long one, so that it begins a buffer.
    pub fn room(&mut self, need: usize, shelf: &Shelf) -> &mut [u8] {
        let have = self.end - self.start;
        if have == 0 {
            (self.start, self.end) = (0, 0);
        }
        let missing = need.saturating_sub(have);
        let free = self.buffer.rest.capacity() - self.end;
        let least = match have {
            0 => self.usual,
            _ => missing.min(WINDOW_BYTES_MIN),
        };
        if free < least.max(1) {
            self.renew(need, shelf);
        }
        let window = missing.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let end = (self.end + window).min(self.buffer.rest.capacity());
        if self.buffer.rest.len() < end {
            self.buffer.rest.resize(end, 0);
        }
        &mut self.buffer.rest[self.end..end]
    }

    /// So many bytes were read into the room.
    pub fn read(&mut self, count: usize) {
        self.end += count;
    }

    /// Takes a request of so many bytes off the front.
    pub fn take(&mut self, bytes: usize) -> Bytes {
        let taken = self.start..self.start + bytes;
        if bytes * 4 < self.buffer.whole {
            self.start = taken.end;
            return Bytes::copy_from_slice(&self.buffer.rest[taken]);
        }
        self.usual = bytes.min(USUAL_BYTES_MAX);
        self.buffer.rest.advance(self.start);
        self.end -= taken.end;
        self.start = 0;
        self.buffer.rest.split_to(bytes).freeze()
    }

    /// Nothing more is there to be read now: the memory is for others.
    pub fn pause(&mut self, shelf: &Shelf) {
        let have = self.end - self.start;
        if have <= BEGINNING_BYTES_MAX && self.buffer.whole >= BUFFER_BYTES {
            let mut beginning = Buffer::default();
            if have > 0 {
                beginning = Buffer::new(have);
                beginning.rest.extend_from_slice(self.bytes());
            }
            shelf.give(std::mem::replace(&mut self.buffer, beginning));
            (self.start, self.end) = (0, have);
        }
    }

    /// Goes on in another buffer.
    fn renew(&mut self, need: usize, shelf: &Shelf) {
        let have = self.end - self.start;
        let grown = need
            .min(have.saturating_mul(GROWTH))
            .max(have + WINDOW_BYTES_MIN);
        let mut buffer = shelf.take(grown.max(self.usual).max(BUFFER_BYTES));
        if buffer.rest.len() < have {
            buffer.rest.resize(have, 0);
        }
        buffer.rest[..have].copy_from_slice(self.bytes());
        shelf.give(std::mem::replace(&mut self.buffer, buffer));
        (self.start, self.end) = (0, have);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of so many bytes, its own number in each.
    fn request(bytes: usize, number: u8) -> Vec<u8> {
        vec![number; bytes]
    }

    /// Receives all of `bytes`, at most `piece` at once, towards a request of `need`.
    fn receive(to: &mut Received, shelf: &Shelf, bytes: &[u8], piece: usize, need: usize) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = to.room(need, shelf);
            let count = room.len().min(rest.len()).min(piece);
            room[..count].copy_from_slice(&rest[..count]);
            to.read(count);
            rest = &rest[count..];
        }
    }

    #[test]
    fn requests_come_whole_however_their_bytes_come() {
        for piece in [1, 7, 1000, 20_000, 300_000] {
            let shelf = Shelf::default();
            let mut received = Received::default();
            let mut held = Vec::new();
            for (number, bytes) in [(1, 5), (2, 200_000), (3, 70_000), (4, 4), (5, 250_000)] {
                let sent = request(bytes, number);
                let (first, second) = sent.split_at(bytes / 2);
                receive(&mut received, &shelf, first, piece, bytes);
                received.pause(&shelf);
                receive(&mut received, &shelf, second, piece, bytes);
                assert_eq!(received.bytes(), sent);
                held.push((received.take(bytes), sent));
                assert!(received.bytes().is_empty());
            }
            for (taken, sent) in held {
                assert_eq!(taken, sent, "what came later has not touched it");
            }
        }
    }

    #[test]
    fn requests_that_come_together_are_taken_one_by_one() {
        let shelf = Shelf::default();
        let mut received = Received::default();
        let sent: Vec<u8> = (0..10_000).map(|byte| (byte / 100) as u8).collect();
        receive(&mut received, &shelf, &sent, usize::MAX, 4);
        let taken: Vec<Bytes> = (0..100).map(|_| received.take(100)).collect();
        assert_eq!(taken.concat(), sent);
    }

    #[test]
    fn memory_serves_again_once_nobody_holds_a_request_in_it() {
        const BYTES: usize = 1 << 20;
        let shelf = Shelf::default();
        let mut received = Received::default();
        let mut next = |number| {
            receive(
                &mut received,
                &shelf,
                &request(BYTES, number),
                100_000,
                BYTES,
            );
            let taken = received.take(BYTES);
            received.pause(&shelf);
            taken
        };
        let first = next(1);
        let first_at = next(2).as_ptr();
        let kept = next(3);
        assert_eq!(kept.as_ptr(), first_at, "the second request is gone");
        assert_ne!(next(4).as_ptr(), first_at, "the third is still held");
        assert_eq!(first, request(BYTES, 1));
        assert_eq!(kept, request(BYTES, 3));
    }

    #[test]
    fn a_short_request_holds_no_more_than_its_bytes() {
        let shelf = Shelf::default();
        let mut received = Received::default();
        receive(&mut received, &shelf, &request(100, 1), 100, 100);
        let buffer = received.bytes().as_ptr();
        let taken = received.take(100);
        received.pause(&shelf);
        let mut another = Received::default();
        receive(&mut another, &shelf, &request(3_000, 2), 3_000, 3_000);
        assert_eq!(another.bytes().as_ptr(), buffer, "it serves another");
        another.pause(&shelf);
        assert_eq!(another.bytes().as_ptr(), buffer, "much came already");
        assert_eq!(taken, request(100, 1));
    }

    #[test]
    fn a_length_alone_takes_no_memory() {
        let shelf = Shelf::default();
        let mut received = Received::default();
        let need = 1 << 30;
        let mut have = 0;
        for piece in [4, 1_000, 60_000, 200_000, 1_000_000] {
            receive(&mut received, &shelf, &request(piece, 1), piece, need);
            have += piece;
            let most = (have * GROWTH).max(BUFFER_BYTES);
            assert!(received.buffer.whole <= most, "{have} bytes came");
        }
        received = Received::default();
        receive(&mut received, &shelf, &request(4, 1), 4, need);
        received.pause(&shelf);
        assert_eq!(received.buffer.whole, 4, "the rest does not come");
    }
}
