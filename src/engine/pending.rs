//! Transactions taken in by this core and not yet durable: a slab of fixed size.

use crate::exactly_once::Seat;
use crate::ids::{Acks, Nanos, Offset, PartitionId, UnixMillis};

use super::message::{Destination, ReplyTo};

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// One submission that waits for its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub reply_to: ReplyTo,
    pub acks: Acks,
    pub taken: Nanos,
}

/// A record of an id, met in processing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub partition: PartitionId,
    pub offset: Offset,
    pub timestamp: UnixMillis,
}

/// What is known of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub waiter: Waiter,
    pub destination: Destination,
    /// Where its id sits in the duplicate window.
    pub seat: Seat,
    /// Offset and timestamp once the record is appended.
    pub appended: Option<(Offset, UnixMillis)>,
    /// When it was routed.
    pub routed: Nanos,
    /// When this core took it.
    pub accepted: Nanos,
    /// When it was appended.
    pub appended_at: Nanos,
    /// The first record of this id that was processed while the slot was in use. Normally the
    /// slot's own, seen before its acknowledgement; otherwise one of an earlier submission whose
    /// acknowledgement was lost.
    pub seen: Option<Seen>,
    /// What [`super::trace::Traces`] keeps for it; [`NONE`] where it is not traced.
    pub trace: u32,
    /// In a slot in use: the next submission of the same id that waits for this record. In a free
    /// slot: the next free one.
    pub next: u32,
}

/// Slots by token. Its size bounds what one core has in flight.
#[derive(Debug)]
pub(super) struct Pending {
    slots: Vec<Slot>,
    free: u32,
    used: usize,
    capacity: usize,
}

impl Pending {
    pub fn new(capacity: usize) -> Pending {
        assert!(capacity < NONE as usize, "tokens are 32-bit numbers");
        Pending {
            slots: Vec::with_capacity(capacity),
            free: NONE,
            used: 0,
            capacity,
        }
    }

    /// Free slots.
    pub fn room(&self) -> usize {
        self.capacity - self.used
    }

    /// Slots in use.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Bytes of all slots.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// The token that [`Pending::insert`] gives next.
    pub fn next_token(&self) -> u32 {
        match self.free {
            NONE => self.slots.len() as u32,
            free => free,
        }
    }

    /// Takes a slot; the caller has seen that there is room.
    pub fn insert(&mut self, slot: Slot) -> u32 {
        assert!(
            self.used < self.capacity,
            "the caller checks for room first"
        );
        self.used += 1;
        let token = self.next_token();
        match self.slots.get_mut(token as usize) {
            Some(place) => {
                self.free = place.next;
                *place = slot;
            }
            None => self.slots.push(slot),
        }
        token
    }

    /// Frees a slot. Returns what it held.
    pub fn remove(&mut self, token: u32) -> Slot {
        let slot = self.slots[token as usize];
        self.release(token);
        slot
    }

    /// Frees a slot whose content was looked at before.
    pub fn release(&mut self, token: u32) {
        self.slots[token as usize].next = self.free;
        self.free = token;
        self.used -= 1;
    }

    pub fn get(&self, token: u32) -> &Slot {
        &self.slots[token as usize]
    }

    pub fn get_mut(&mut self, token: u32) -> &mut Slot {
        &mut self.slots[token as usize]
    }

    /// Hangs `later` behind `first`: both wait for the same record.
    pub fn chain(&mut self, first: u32, later: u32) {
        self.slots[later as usize].next = self.slots[first as usize].next;
        self.slots[first as usize].next = later;
    }
}
