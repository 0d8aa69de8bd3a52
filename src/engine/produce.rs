//! A routed transaction into storage, and storage's news back to the submitters.

mod failover;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::Now;
use crate::exactly_once::{Entry, Fingerprint, Fingerprinter, Window};
use crate::frame::ErrorCode;
use crate::ids::{Acks, Nanos, Offset, ShardId, UnixMillis};
use crate::storage::{Ack, Offer, Producer, Refusal, StorageEvent};
use crate::telemetry::{
    Counter, CounterWriter, Flight, Recorder, ShardCounter, Stage, StageWriter, Stamps, Traceparent,
};
use crate::transaction::Submission;

use super::message::{Answer, Destination, Inbound, Routed, Stored};
use super::pending::{NONE, Pending, Seen, Slot, Waiter};
use super::reply::Outbox;
use super::route::RouteTable;
use super::trace::Traces;

/// One of this many duty cycles with something to append is timed.
const APPEND_TIMED: u32 = 16;

/// What became of a transaction that was handed to [`Produce::accept`].
pub(super) enum Accepted {
    /// Taken, or answered.
    Done,
    /// Storage or the window is full: hand it over again later, before any other one.
    Later(Routed),
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
    /// that there is room for one more in flight and one more answer.
    pub fn accept(
        &mut self,
        routed: Routed,
        now: Nanos,
        storage: &mut impl Producer,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) -> Accepted {
        let start = routed.key.start as usize;
        let id = &routed.inbound.body[start..start + routed.key.len as usize];
        let fingerprint = self.fingerprinter.of(id);
        if let Some(first) = self.window.get(fingerprint) {
            self.count_duplicate(&routed, counters);
            self.answer_duplicate(first, waiter(&routed), outbox);
            return Accepted::Done;
        }
        let Some(destination) = self.place(&routed, storage) else {
            return Accepted::Later(routed);
        };
        let slot = slot(&routed, destination, fingerprint, now);
        let token = self.pending.insert(slot);
        if self.window.insert_in_flight(fingerprint, token).is_err() {
            counters.increment(Counter::WindowFull);
            self.pending.remove(token);
            return Accepted::Later(routed);
        }
        let Routed {
            inbound,
            key,
            destination: nearest,
            routed: routed_at,
        } = routed;
        let trace = self.begin_trace(&inbound, token);
        let offer = Offer {
            partition: destination.partition,
            value: inbound.body,
            key_start: key.start,
            key_len: key.len,
            taken: inbound.taken,
            trace,
            token,
        };
        let Err((offer, refusal)) = storage.offer(offer) else {
            self.offered = true;
            if destination != nearest {
                counters.increment(Counter::Failovers);
            }
            return Accepted::Done;
        };
        self.window.forget(fingerprint);
        let slot = self.pending.remove(token);
        self.traces.forget(slot.trace);
        let Some(code) = final_refusal(refusal) else {
            counters.increment(Counter::StorageFull);
            return Accepted::Later(Routed {
                inbound: Inbound {
                    body: offer.value,
                    ..inbound
                },
                key,
                destination: nearest,
                routed: routed_at,
            });
        };
        counters.increment(Counter::Failed);
        if inbound.acks != Acks::None {
            outbox.send(inbound.reply_to, Answer::Rejected(code));
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

    /// Takes storage's news about a record.
    pub fn on_event(
        &mut self,
        event: StorageEvent,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        match event {
            StorageEvent::Appended(ack) => {
                counters.increment(Counter::RecordsAppended);
                let slot = self.pending.get_mut(ack.token);
                slot.appended = Some((ack.offset, ack.timestamp));
                slot.appended_at = now.mono;
                let slot = *slot;
                self.stages
                    .record(Stage::Queue, now.mono.since(slot.accepted));
                self.settle(
                    &slot,
                    Acks::Leader,
                    Submission::First,
                    now,
                    outbox,
                    counters,
                );
                self.settle_chain_at_append(&slot, now, outbox, counters);
            }
            StorageEvent::Durable(ack) => {
                let slot = self.pending.get(ack.token);
                let commit_ns = now.mono.since(slot.appended_at);
                self.stages.record(Stage::Commit, commit_ns);
                debug_assert_eq!(slot.appended.map(|(offset, _)| offset), Some(ack.offset));
                self.settle_durable(ack.token, now, outbox, counters);
            }
            StorageEvent::Sent { token } => {
                let slot = self.pending.remove(token);
                self.traces.forget(slot.trace);
                // Where it lies is unknown: only processing can tell its duplicates.
                self.window.forget(slot.fingerprint);
                counters.increment(Counter::AckedNone);
                self.release_chain(slot.next, |_, later| fail(later, outbox, counters));
            }
            StorageEvent::Returned(offer) => self.returned.push_back(offer),
            StorageEvent::Written { took_ns } => self.stages.record(Stage::Sync, took_ns),
            StorageEvent::Group { written } => self.written = written,
            StorageEvent::Failed { token } => match self.pending.get(token).seen {
                // It was read back: only its acknowledgement was lost.
                Some(seen) => {
                    let ack = Ack {
                        token,
                        offset: seen.offset,
                        timestamp: seen.timestamp,
                    };
                    self.on_event(StorageEvent::Appended(ack), now, outbox, counters);
                    self.settle_durable(token, now, outbox, counters);
                }
                None => {
                    let slot = self.pending.remove(token);
                    self.traces.forget(slot.trace);
                    self.window.forget(slot.fingerprint);
                    fail(&slot, outbox, counters);
                    self.release_chain(slot.next, |_, later| fail(later, outbox, counters));
                }
            },
        }
    }

    /// Frees the slot of an appended record that is now durable, and answers all who wait for it.
    fn settle_durable(
        &mut self,
        token: u32,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        let slot = self.pending.remove(token);
        let (offset, timestamp) = slot.appended.expect("appended comes before durable");
        // What was processed is the record that counts.
        let counts = slot.seen.unwrap_or(Seen {
            partition: slot.destination.partition,
            offset,
            timestamp,
        });
        self.window
            .store(
                slot.fingerprint,
                counts.partition,
                counts.offset,
                counts.timestamp,
                now.mono,
            )
            .expect("the id is in flight, so it has its place");
        let took_ns = now.mono.since(slot.waiter.taken);
        if self.recorder.wants(took_ns) || slot.trace != NONE {
            self.tell(&slot, offset, now, counters);
        }
        self.settle(&slot, Acks::All, Submission::First, now, outbox, counters);
        self.release_chain(slot.next, |this, later| {
            let later = Slot {
                appended: slot.appended,
                ..*later
            };
            this.settle(
                &later,
                Acks::All,
                Submission::Duplicate,
                now,
                outbox,
                counters,
            );
        });
    }

    /// Keeps a transaction that is durable only now in the flight recorder, if it was slow, and tells
    /// of it, if it is traced.
    #[cold]
    fn tell(&mut self, slot: &Slot, offset: Offset, now: Now, counters: &mut CounterWriter) {
        let flight = Flight {
            shard: slot.destination.shard,
            index: slot.destination.index,
            partition: slot.destination.partition,
            offset,
            acks: Some(slot.waiter.acks),
            stamps: Stamps {
                taken: slot.waiter.taken,
                routed: slot.routed,
                accepted: slot.accepted,
                appended: slot.appended_at,
                written: self.written,
                durable: now.mono,
                ..Stamps::default()
            },
        };
        let is_slow = self.recorder.wants(flight.stamps.total_ns());
        let is_kept = is_slow && self.recorder.keep(flight);
        if slot.trace != NONE {
            self.traces.sent(slot.trace, flight, counters);
        } else if is_kept {
            self.traces.slow(flight, counters);
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
    /// that submission was taken in.
    pub fn recognise(&mut self, id: &[u8], record: Seen) -> Recognised {
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

    /// Answers a waiter if `level` is what it waits for, and records how long it waited.
    fn settle(
        &mut self,
        slot: &Slot,
        level: Acks,
        submission: Submission,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        let waiter = &slot.waiter;
        if waiter.acks == Acks::None && level == Acks::All && submission == Submission::First {
            counters.increment(Counter::AckedNone);
        }
        if waiter.acks != level {
            return;
        }
        if submission == Submission::First {
            self.stages
                .record(Stage::Produce, now.mono.since(waiter.taken));
            counters.increment(match level {
                Acks::Leader => Counter::AckedLeader,
                Acks::None | Acks::All => Counter::AckedAll,
            });
        }
        let stored = slot.appended.expect("settled only once appended");
        self.answer(waiter, slot.destination, stored, submission, outbox);
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

    /// Duplicates that only wanted `leader` are answered when the first one is appended; their
    /// slots stay until it is durable, where `settle` passes them over.
    fn settle_chain_at_append(
        &mut self,
        first: &Slot,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        let mut token = first.next;
        while token != NONE {
            let later = Slot {
                appended: first.appended,
                ..*self.pending.get(token)
            };
            self.settle(
                &later,
                Acks::Leader,
                Submission::Duplicate,
                now,
                outbox,
                counters,
            );
            token = later.next;
        }
    }

    fn release_chain(&mut self, mut token: u32, mut each: impl FnMut(&mut Produce, &Slot)) {
        while token != NONE {
            let slot = self.pending.remove(token);
            token = slot.next;
            each(self, &slot);
        }
    }
}

/// What is known of a transaction that is about to be offered.
fn slot(routed: &Routed, destination: Destination, fingerprint: Fingerprint, now: Nanos) -> Slot {
    Slot {
        waiter: waiter(routed),
        destination,
        fingerprint,
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
