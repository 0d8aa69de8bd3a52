//! The duplicate window of one core: which transaction ids were seen lately, and where they lie.
//!
//! Owns: one entry per id, bounded by count and by age, all memory allocated at creation. Never does:
//! allocate afterwards, touch memory before an id needs it, drop an id whose append is under way.

use super::Fingerprint;
use super::table::{BUCKET_BYTES, NONE, Slot, Table, buckets_for};
use crate::ids::{Nanos, Offset, PartitionId, UnixMillis};

/// Bounds of a [`Window`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowOptions {
    /// Ids remembered at the most, 1 to 2^31 - 1; must exceed what can be in flight at once.
    pub entries_max: usize,
    /// How long an id is remembered after it was stored, in nanoseconds.
    pub age_max_ns: u64,
}

/// What the window knows about an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Its append is under way.
    InFlight {
        /// The mark of the submission that is being appended.
        token: u32,
    },
    /// It lies in storage.
    Stored {
        /// Where.
        partition: PartitionId,
        /// At which offset.
        offset: Offset,
        /// The record's timestamp.
        timestamp: UnixMillis,
    },
}

/// Where an id sits in its window, from the moment that its append begins. Names the id until it is
/// dropped; then the seat may be another id's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat(pub u32);

/// Every entry is in flight, so none can make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the duplicate window is full: all {entries_max} entries are in flight")]
pub struct WindowFull {
    /// The window's capacity.
    pub entries_max: usize,
}

/// Remembers the transaction ids of the last while.
///
/// Holds at most [`WindowOptions::entries_max`] ids. Where one more comes, the id that was stored
/// first goes; an id in flight never goes by itself. [`Window::expire`] drops what is too old, so
/// an id is found for *at most* the age, rounded up to the next call.
///
/// Memory: 56 bytes an entry and 8 bytes a bucket, with 1.33 to 2.67 buckets an entry: 67 to 78
/// bytes. [`Window::bytes_for`] gives the exact number. It is allocated at creation and written to as
/// ids come, so the kernel hands its pages out one by one, each once in the window's life.
#[derive(Debug)]
pub struct Window {
    table: Table,
    entries_max: usize,
    /// Cells that were ever in use. Its capacity is `entries_max` from the start.
    cells: Vec<Cell>,
    /// First of those that are not any more, linked through `newer`.
    free: Slot,
    /// The stored cells in the order of their storing.
    oldest: Slot,
    newest: Slot,
    len: usize,
    age_max_ns: u64,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The fingerprint in two halves: as one number it would pad the cell to 64 bytes.
    fingerprint: [u64; 2],
    offset: Offset,
    timestamp: UnixMillis,
    stored_at: Nanos,
    /// The token while in flight, the partition once stored.
    mark: u32,
    /// Neighbours in the order of storing.
    older: Slot,
    newer: Slot,
    /// [`State::InFlight`] in a cell that is not in use, with a mark that is no token.
    state: State,
}

const _: () = assert!(size_of::<Cell>() == 56);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    Stored,
}

impl Cell {
    /// In no list.
    const UNUSED: Cell = Cell {
        fingerprint: [0; 2],
        offset: Offset::ZERO,
        timestamp: UnixMillis(0),
        stored_at: Nanos(0),
        mark: u32::MAX,
        older: NONE,
        newer: NONE,
        state: State::InFlight,
    };

    #[inline]
    fn is(&self, fingerprint: Fingerprint) -> bool {
        self.fingerprint == halves(fingerprint)
    }

    #[inline]
    fn is_in_flight(&self, token: u32) -> bool {
        self.state == State::InFlight && self.mark == token
    }

    fn entry(&self) -> Entry {
        match self.state {
            State::InFlight => Entry::InFlight { token: self.mark },
            State::Stored => Entry::Stored {
                partition: PartitionId(self.mark),
                offset: self.offset,
                timestamp: self.timestamp,
            },
        }
    }
}

#[inline]
const fn halves(fingerprint: Fingerprint) -> [u64; 2] {
    [fingerprint.0 as u64, (fingerprint.0 >> 64) as u64]
}

#[inline]
const fn whole(halves: [u64; 2]) -> Fingerprint {
    Fingerprint(halves[0] as u128 | (halves[1] as u128) << 64)
}

impl Window {
    /// Allocates all memory that the window will ever use.
    ///
    /// # Panics
    /// `entries_max` is 0 or above 2^31 - 1: the caller validates its configuration first.
    pub fn new(options: WindowOptions) -> Window {
        let entries_max = options.entries_max;
        assert!(
            (1..=i32::MAX as usize).contains(&entries_max),
            "entries_max {entries_max} is out of range"
        );
        Window {
            table: Table::new(entries_max),
            entries_max,
            cells: Vec::with_capacity(entries_max),
            free: NONE,
            oldest: NONE,
            newest: NONE,
            len: 0,
            age_max_ns: options.age_max_ns,
        }
    }

    /// Bytes that a window of this many entries takes.
    pub const fn bytes_for(entries_max: usize) -> usize {
        entries_max * size_of::<Cell>() + buckets_for(entries_max) * BUCKET_BYTES
    }

    /// Bytes that this window takes once it is full.
    pub fn bytes(&self) -> usize {
        Self::bytes_for(self.entries_max)
    }

    /// Ids remembered now.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no id is remembered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ids remembered at the most.
    pub fn capacity(&self) -> usize {
        self.entries_max
    }

    /// What is known about an id.
    #[inline]
    pub fn get(&self, fingerprint: Fingerprint) -> Option<Entry> {
        self.find(fingerprint).map(|slot| self.cell(slot).entry())
    }

    /// Notes that the append of an id begins, which the window does not know: the caller has asked. No
    /// other id in flight has this token, which is below 2^32 - 1.
    ///
    /// # Errors
    /// All entries are in flight; nothing changed.
    #[inline]
    pub fn insert_in_flight(
        &mut self,
        fingerprint: Fingerprint,
        token: u32,
    ) -> Result<Seat, WindowFull> {
        debug_assert_eq!(self.get(fingerprint), None);
        let slot = self.take_cell(fingerprint)?;
        self.cell_mut(slot).mark = token;
        Ok(Seat(slot))
    }

    /// Notes that an id lies in storage, whose append was begun with this token. Does nothing where it
    /// is in flight no more: then another record of it came into storage first, and that one counts.
    ///
    /// `now` should not lie before that of earlier calls: entries expire in the order of the calls.
    ///
    /// # Panics
    /// The seat is none of this window.
    #[inline]
    pub fn settle(
        &mut self,
        seat: Seat,
        token: u32,
        partition: PartitionId,
        offset: Offset,
        timestamp: UnixMillis,
        now: Nanos,
    ) {
        if self.cell(seat.0).is_in_flight(token) {
            self.store_in(seat.0, partition, offset, timestamp, now);
        }
    }

    #[inline]
    fn store_in(
        &mut self,
        slot: Slot,
        partition: PartitionId,
        offset: Offset,
        timestamp: UnixMillis,
        now: Nanos,
    ) {
        let older = std::mem::replace(&mut self.newest, slot);
        let cell = self.cell_mut(slot);
        cell.offset = offset;
        cell.timestamp = timestamp;
        cell.stored_at = now;
        cell.mark = partition.0;
        cell.state = State::Stored;
        cell.older = older;
        cell.newer = NONE;
        if older == NONE {
            self.oldest = slot;
        } else {
            self.cell_mut(older).newer = slot;
        }
    }

    /// Notes that an id lies in storage, whether its append was noted before or not. The first
    /// one wins: where the id is stored already, nothing changes. Returns what is there now.
    ///
    /// `now` as with [`Window::settle`].
    ///
    /// # Errors
    /// The id is new and all entries are in flight; nothing changed.
    pub fn store(
        &mut self,
        fingerprint: Fingerprint,
        partition: PartitionId,
        offset: Offset,
        timestamp: UnixMillis,
        now: Nanos,
    ) -> Result<Entry, WindowFull> {
        let slot = match self.find(fingerprint) {
            Some(slot) if self.cell(slot).state == State::Stored => {
                return Ok(self.cell(slot).entry());
            }
            Some(slot) => slot,
            None => self.take_cell(fingerprint)?,
        };
        self.store_in(slot, partition, offset, timestamp, now);
        Ok(self.cell(slot).entry())
    }

    /// Whether the id in this seat is stored at this place, and so is that of the record there: a
    /// record has one id, whatever else has sat in the seat meanwhile.
    #[inline]
    pub fn is_stored_at(&self, seat: Seat, partition: PartitionId, offset: Offset) -> bool {
        self.cells.get(seat.0 as usize).is_some_and(|cell| {
            let in_use = cell.state == State::Stored;
            in_use && cell.mark == partition.0 && cell.offset == offset
        })
    }

    /// Drops an id whose append was begun with this token and failed. Does nothing where it is in
    /// flight no more.
    ///
    /// # Panics
    /// The seat is none of this window.
    pub fn forget(&mut self, seat: Seat, token: u32) {
        if self.cell(seat.0).is_in_flight(token) {
            self.drop_cell(seat.0);
        }
    }

    /// Drops stored ids that are older than the window's age, oldest first, at most `budget` of
    /// them. Returns how many.
    pub fn expire(&mut self, now: Nanos, budget: usize) -> usize {
        let mut dropped = 0;
        while dropped < budget
            && self.oldest != NONE
            && now.since(self.cell(self.oldest).stored_at) > self.age_max_ns
        {
            self.drop_cell(self.oldest);
            dropped += 1;
        }
        dropped
    }

    #[inline]
    fn find(&self, fingerprint: Fingerprint) -> Option<Slot> {
        self.table
            .find(fingerprint, |slot| self.cell(slot).is(fingerprint))
    }

    #[inline]
    fn cell(&self, slot: Slot) -> &Cell {
        &self.cells[slot as usize]
    }

    #[inline]
    fn cell_mut(&mut self, slot: Slot) -> &mut Cell {
        &mut self.cells[slot as usize]
    }

    /// A cell for a new id, in flight and entered in the table. Drops the id that was stored first
    /// where no cell is free.
    fn take_cell(&mut self, fingerprint: Fingerprint) -> Result<Slot, WindowFull> {
        let fresh = self.cells.len();
        if self.free == NONE && fresh < self.entries_max {
            self.cells.push(Cell::UNUSED);
            // `new` checked the range, so the number fits.
            self.free = fresh as Slot;
        }
        if self.free == NONE {
            if self.oldest == NONE {
                return Err(WindowFull {
                    entries_max: self.entries_max,
                });
            }
            self.drop_cell(self.oldest);
        }
        let slot = self.free;
        self.free = self.cell(slot).newer;
        self.cell_mut(slot).fingerprint = halves(fingerprint);
        self.table.insert(fingerprint, slot);
        self.len += 1;
        Ok(slot)
    }

    fn drop_cell(&mut self, slot: Slot) {
        let Cell {
            fingerprint,
            older,
            newer,
            state,
            ..
        } = *self.cell(slot);
        self.table.remove(whole(fingerprint), slot);
        if state == State::Stored {
            match older {
                NONE => self.oldest = newer,
                _ => self.cell_mut(older).newer = newer,
            }
            match newer {
                NONE => self.newest = older,
                _ => self.cell_mut(newer).older = older,
            }
        }
        let free = std::mem::replace(&mut self.free, slot);
        let cell = self.cell_mut(slot);
        cell.state = State::InFlight;
        cell.mark = Cell::UNUSED.mark;
        cell.older = NONE;
        cell.newer = free;
        self.len -= 1;
    }
}
