//! A routed transaction into storage, and storage's news back to the submitters.

mod failover;
mod settle;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::Now;
use crate::exactly_once::{Entry, Fingerprinter, Seat, Window};
use crate::frame::ErrorCode;
use crate::ids::{Acks, Nanos, Offset, ShardId, UnixMillis};
use crate::storage::{Offer, Producer, Refusal};
use crate::telemetry::{Counter, CounterWriter, Recorder, ShardCounter, StageWriter, Traceparent};
use crate::transaction::Submission;

use super::message::{Answer, Destination, Inbound, Routed, Stored};
use super::pending::{NONE, Pending, Seen, Slot, Waiter};
use super::reply::Outbox;
use super::route::RouteTable;
use super::trace::Traces;

/// One of this many duty cycles with something to append is timed.
const APPEND_TIMED: u32 = 16;

/// What became of a transaction that was handed to [`Produce::accept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Taken, or answered: the transaction is spent.
    Done,
    /// Storage or the window is full: hand it over again later, before any other one.
    Later,
}

/// What is known of a record that is about to be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recognised {
    /// Its id was never met.
    New,
    /// It is the record of its id.
    Known {
        /// When it was taken in, where its submission still waits.
        taken: Option<Nanos>,
    },
    /// Another record of this id was processed or will be.
    Duplicate,
}

/// The producing side of a core.
pub(super) struct Produce {
    pub pending: Pending,
    /// Knows a record as stored only once it is durable, so that what is answered from it holds.
    pub window: Window,
    pub fingerprinter: Fingerprinter,
    pub stages: StageWriter,
    pub recorder: Recorder,
    pub traces: Traces,
    /// When the write was begun whose records become durable now.
    pub written: Nanos,
    /// Whether the flight recorder keeps one of that write's records.
    pub is_kept: bool,
    /// Flushes with something to append, to time one of many.
    pub flushes: u32,
    /// Whether something was offered since the last flush.
    pub offered: bool,
    pub table: Arc<RouteTable>,
    /// The strongest promise that storage keeps; no receipt claims more.
    pub acks_max: Acks,
    /// Records that came back unstored and look for another place, oldest first. Each still has
    /// its slot, so there are never more than slots.
    pub returned: VecDeque<Offer>,
    /// Shards by distance, for [`Produce::place_elsewhere`]; kept for its memory.
    pub by_distance: Vec<ShardId>,
}

impl Produce {
    /// Takes a transaction for this core's storage, unless its id is known. The caller has seen
    /// that there is room for one more in flight and one more answer. What is taken leaves `routed`
    /// without its body.
    #[inline]
    pub fn accept(
        &mut self,
        routed: &mut Routed,
        now: Nanos,
        storage: &mut impl Producer,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) -> Accepted {
        let start = routed.key.start as usize;
        let id = &routed.inbound.body[start..start + routed.key.len as usize];
        let fingerprint = self.fingerprinter.of(id);
        if let Some(first) = self.window.get(fingerprint) {
            self.count_duplicate(routed, counters);
            self.answer_duplicate(first, waiter(routed), outbox);
            return Accepted::Done;
        }
        let Some(destination) = self.place(routed, storage) else {
            return Accepted::Later;
        };
        let token = self.pending.next_token();
        let Ok(seat) = self.window.insert_in_flight(fingerprint, token) else {
            counters.increment(Counter::WindowFull);
            return Accepted::Later;
        };
        self.pending.insert(slot(routed, destination, seat, now));
        let trace = self.begin_trace(&routed.inbound, token);
        let offer = Offer {
            partition: destination.partition,
            value: std::mem::take(&mut routed.inbound.body),
            key_start: routed.key.start,
            key_len: routed.key.len,
            taken: routed.inbound.taken,
            trace,
            token,
            seat: seat.0,
        };
        if let Err((offer, refusal)) = storage.offer(offer) {
            let slot = self.pending.remove(token);
            self.traces.forget(slot.trace);
            self.window.forget(seat, token);
            routed.inbound.body = offer.value;
            return refused(routed, refusal, outbox, counters);
        }
        self.offered = true;
        if destination != routed.destination {
            counters.increment(Counter::Failovers);
        }
        Accepted::Done
    }

    /// The header of a record that belongs to a trace.
    fn begin_trace(&mut self, inbound: &Inbound, token: u32) -> Option<Box<Traceparent>> {
        let context = inbound.trace.as_deref()?;
        Some(self.traces.begin(context, &mut self.pending, token))
    }

    fn count_duplicate(&self, routed: &Routed, counters: &mut CounterWriter) {
        counters.increment(Counter::Duplicates);
        let shard = self.table.shard_place(routed.destination.partition);
        let shard = shard.expect("it was routed to a shard");
        counters.shards.add(shard, ShardCounter::Duplicates, 1);
    }

    /// A second submission of an id gets what the first one got or will get.
    fn answer_duplicate(&mut self, first: Entry, waiter: Waiter, outbox: &mut Outbox) {
        match first {
            Entry::Stored {
                partition,
                offset,
                timestamp,
            } => {
                // The first submission may have come from a place nearer to another shard.
                let destination = self
                    .table
                    .destination(partition)
                    .expect("only transactions enter the window");
                let stored = (offset, timestamp);
                self.answer(&waiter, destination, stored, Submission::Duplicate, outbox);
            }
            Entry::InFlight { token } => self.wait_for(token, waiter, outbox),
        }
    }

    /// A second submission of an id whose record is on its way waits for the same record.
    fn wait_for(&mut self, first: u32, waiter: Waiter, outbox: &mut Outbox) {
        let slot = *self.pending.get(first);
        match (waiter.acks, slot.appended) {
            (Acks::None, _) => {}
            (Acks::Leader, Some(stored)) => {
                self.answer(
                    &waiter,
                    slot.destination,
                    stored,
                    Submission::Duplicate,
                    outbox,
                );
            }
            (Acks::Leader | Acks::All, _) => {
                let later = self.pending.insert(Slot {
                    waiter,
                    trace: NONE,
                    ..slot
                });
                self.pending.chain(first, later);
            }
        }
    }

    /// Whether the flush that comes is timed: one of many with something to append.
    pub fn samples_append(&mut self) -> bool {
        let before = self.flushes;
        self.flushes = before.wrapping_add(u32::from(self.offered));
        self.offered = false;
        self.flushes != before && self.flushes.is_multiple_of(APPEND_TIMED)
    }

    /// Whether a record that is about to be processed repeats an id that was processed before, in
    /// another record. Notes it where its own submission is still in flight. Also returns when
    /// that submission was taken in. `seat` is where its id sat when it was offered to this process,
    /// if it was: mostly it still does, and then its hash is not needed again.
    #[inline]
    pub fn recognise(&mut self, id: &[u8], seat: Option<u32>, record: Seen) -> Recognised {
        let (partition, offset) = (record.partition, record.offset);
        if seat.is_some_and(|seat| self.window.is_stored_at(Seat(seat), partition, offset)) {
            return Recognised::Known { taken: None };
        }
        self.look_up(id, record)
    }

    fn look_up(&mut self, id: &[u8], record: Seen) -> Recognised {
        match self.window.get(self.fingerprinter.of(id)) {
            Some(Entry::Stored {
                partition, offset, ..
            }) if (partition, offset) != (record.partition, record.offset) => Recognised::Duplicate,
            Some(Entry::Stored { .. }) => Recognised::Known { taken: None },
            Some(Entry::InFlight { token }) => {
                let slot = self.pending.get_mut(token);
                let first = *slot.seen.get_or_insert(record);
                match first == record {
                    true => Recognised::Known {
                        taken: Some(slot.waiter.taken),
                    },
                    false => Recognised::Duplicate,
                }
            }
            None => Recognised::New,
        }
    }

    /// Remembers the id of a record that came into storage from elsewhere.
    pub fn remember(&mut self, id: &[u8], record: Seen, now: Now) {
        // Where everything is in flight, nothing makes room, and the id is only not remembered.
        let _ = self.window.store(
            self.fingerprinter.of(id),
            record.partition,
            record.offset,
            record.timestamp,
            now.mono,
        );
    }

    /// Sends a receipt at the level that the waiter asked for, or the highest that there is.
    fn answer(
        &self,
        waiter: &Waiter,
        destination: Destination,
        (offset, timestamp): (Offset, UnixMillis),
        submission: Submission,
        outbox: &mut Outbox,
    ) {
        if waiter.acks == Acks::None {
            return;
        }
        let stored = Stored {
            shard: destination.shard,
            partition: destination.index,
            offset,
            timestamp,
            acks: waiter.acks.min(self.acks_max),
            submission,
        };
        outbox.send(waiter.reply_to, Answer::Stored(stored));
    }
}

/// Tells the submitter of a transaction that storage refused for good.
fn refused(
    routed: &Routed,
    refusal: Refusal,
    outbox: &mut Outbox,
    counters: &mut CounterWriter,
) -> Accepted {
    let Some(code) = final_refusal(refusal) else {
        counters.increment(Counter::StorageFull);
        return Accepted::Later;
    };
    counters.increment(Counter::Failed);
    if routed.inbound.acks != Acks::None {
        outbox.send(routed.inbound.reply_to, Answer::Rejected(code));
    }
    Accepted::Done
}

/// What is known of a transaction that is about to be offered.
fn slot(routed: &Routed, destination: Destination, seat: Seat, now: Nanos) -> Slot {
    Slot {
        waiter: waiter(routed),
        destination,
        seat,
        appended: None,
        routed: routed.routed,
        accepted: now,
        appended_at: Nanos(0),
        seen: None,
        trace: NONE,
        next: NONE,
    }
}

/// What the submitter is told of a refusal; none where the offer may be made again.
fn final_refusal(refusal: Refusal) -> Option<ErrorCode> {
    match refusal {
        Refusal::Full | Refusal::Unavailable => None,
        Refusal::Poisoned => Some(ErrorCode::StorageUnavailable),
        Refusal::TooLarge => Some(ErrorCode::PayloadTooLarge),
    }
}

fn waiter(routed: &Routed) -> Waiter {
    let inbound = &routed.inbound;
    Waiter {
        reply_to: inbound.reply_to,
        acks: inbound.acks,
        taken: inbound.taken,
    }
}

fn fail(slot: &Slot, outbox: &mut Outbox, counters: &mut CounterWriter) {
    counters.increment(Counter::Failed);
    // A receipt for `leader` is already out when the record was appended.
    let answered = slot.waiter.acks == Acks::Leader && slot.appended.is_some();
    if slot.waiter.acks != Acks::None && !answered {
        outbox.send(
            slot.waiter.reply_to,
            Answer::Rejected(ErrorCode::StorageFailed),
        );
    }
}
