//! Storage's news, to those who wait for it.

use crate::clock::Now;
use crate::ids::{Acks, Offset, UnixMillis};
use crate::storage::{Ack, StorageEvent};
use crate::telemetry::{Counter, CounterWriter, Flight, Stage, Stamps};
use crate::transaction::Submission;

use super::super::message::Destination;
use super::super::pending::{NONE, Seen, Slot, Waiter};
use super::super::reply::Outbox;
use super::{Produce, fail};

/// What a submission has come to, and at which level.
#[derive(Clone, Copy, Debug)]
struct Reached {
    destination: Destination,
    stored: (Offset, UnixMillis),
    level: Acks,
    submission: Submission,
}

impl Reached {
    /// The same for a later submission of the id.
    fn again(self, destination: Destination) -> Reached {
        Reached {
            destination,
            submission: Submission::Duplicate,
            ..self
        }
    }
}

impl Produce {
    /// Takes storage's news about a record. Inlined where storage tells it, so that the two kinds that
    /// each record has need neither the enum in memory nor a call to tell them apart.
    #[inline(always)]
    pub fn on_event(
        &mut self,
        event: StorageEvent,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        match event {
            StorageEvent::Appended(ack) => self.note_appended(ack, now, outbox, counters),
            StorageEvent::Durable(ack) => {
                let slot = self.pending.get(ack.token);
                let commit_ns = now.mono.since(slot.appended_at);
                debug_assert_eq!(slot.appended.map(|(offset, _)| offset), Some(ack.offset));
                self.stages.record(Stage::Commit, commit_ns);
                self.settle_durable(ack.token, now, outbox, counters);
            }
            StorageEvent::Returned(offer) => self.returned.push_back(offer),
            StorageEvent::Written { took_ns } => self.stages.record(Stage::Sync, took_ns),
            StorageEvent::Group { written } => {
                self.written = written;
                self.is_kept = false;
            }
            StorageEvent::Sent { token } => self.note_sent(token, outbox, counters),
            StorageEvent::Failed { token } => self.note_failed(token, now, outbox, counters),
        }
    }

    #[inline]
    fn note_appended(
        &mut self,
        ack: Ack,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        counters.increment(Counter::RecordsAppended);
        let slot = self.pending.get_mut(ack.token);
        slot.appended = Some((ack.offset, ack.timestamp));
        slot.appended_at = now.mono;
        self.stages
            .record(Stage::Queue, now.mono.since(slot.accepted));
        if slot.waiter.acks == Acks::Leader || slot.next != NONE {
            let slot = *slot;
            self.settle_appended(&slot, now, outbox, counters);
        }
    }

    fn note_sent(&mut self, token: u32, outbox: &mut Outbox, counters: &mut CounterWriter) {
        let slot = self.pending.remove(token);
        self.traces.forget(slot.trace);
        // Where it lies is unknown: only processing can tell its duplicates.
        self.window.forget(slot.seat, token);
        counters.increment(Counter::AckedNone);
        self.release_chain(slot.next, |_, later| fail(later, outbox, counters));
    }

    #[cold]
    fn note_failed(
        &mut self,
        token: u32,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        match self.pending.get(token).seen {
            // It was read back: only its acknowledgement was lost.
            Some(seen) => {
                let ack = Ack {
                    token,
                    offset: seen.offset,
                    timestamp: seen.timestamp,
                };
                self.note_appended(ack, now, outbox, counters);
                self.settle_durable(token, now, outbox, counters);
            }
            None => {
                let slot = self.pending.remove(token);
                self.traces.forget(slot.trace);
                self.window.forget(slot.seat, token);
                fail(&slot, outbox, counters);
                self.release_chain(slot.next, |_, later| fail(later, outbox, counters));
            }
        }
    }

    /// Frees the slot of an appended record that is now durable, and answers all who wait for it.
    #[inline]
    fn settle_durable(
        &mut self,
        token: u32,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        let slot = self.pending.get(token);
        let stored = slot.appended.expect("appended comes before durable");
        // What was processed is the record that counts.
        let counts = slot.seen.unwrap_or(Seen {
            partition: slot.destination.partition,
            offset: stored.0,
            timestamp: stored.1,
        });
        self.window.settle(
            slot.seat,
            token,
            counts.partition,
            counts.offset,
            counts.timestamp,
            now.mono,
        );
        let is_slow = self.is_slow(now.mono.since(slot.waiter.taken));
        if is_slow || slot.trace != NONE {
            let slot = *slot;
            self.tell(&slot, stored.0, now, counters);
        }
        let slot = self.pending.get(token);
        let (waiter, destination, next) = (slot.waiter, slot.destination, slot.next);
        self.pending.release(token);
        let reached = Reached {
            destination,
            stored,
            level: Acks::All,
            submission: Submission::First,
        };
        self.settle(&waiter, reached, now, outbox, counters);
        self.release_chain(next, |this, later| {
            let again = reached.again(later.destination);
            this.settle(&later.waiter, again, now, outbox, counters);
        });
    }

    /// Whether the flight recorder keeps a transaction that took so long to become durable. Of each
    /// write one is enough, once there are as many as are kept: its records were as slow as each other,
    /// and while work piles up every one of them is slower than all before.
    #[inline]
    fn is_slow(&self, took_ns: u64) -> bool {
        self.recorder.wants(took_ns) && !(self.is_kept && self.recorder.is_full())
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
        let is_slow = self.is_slow(flight.stamps.total_ns());
        let is_kept = is_slow && self.recorder.keep(flight);
        self.is_kept |= is_kept;
        if slot.trace != NONE {
            self.traces.sent(slot.trace, flight, counters);
        } else if is_kept {
            self.traces.slow(flight, counters);
        }
    }

    /// Answers a waiter if `level` is what it waits for, and records how long it waited.
    #[inline]
    fn settle(
        &mut self,
        waiter: &Waiter,
        reached: Reached,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        let Reached {
            destination,
            stored,
            level,
            submission,
        } = reached;
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
        self.answer(waiter, destination, stored, submission, outbox);
    }

    /// Who only wanted `leader` is answered when the first submission is appended, duplicates too;
    /// their slots stay until it is durable, where `settle` passes them over.
    fn settle_appended(
        &mut self,
        first: &Slot,
        now: Now,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) {
        let reached = Reached {
            destination: first.destination,
            stored: first.appended.expect("it has just been appended"),
            level: Acks::Leader,
            submission: Submission::First,
        };
        self.settle(&first.waiter, reached, now, outbox, counters);
        let mut token = first.next;
        while token != NONE {
            let later = *self.pending.get(token);
            let again = reached.again(later.destination);
            self.settle(&later.waiter, again, now, outbox, counters);
            token = later.next;
        }
    }

    pub(super) fn release_chain(
        &mut self,
        mut token: u32,
        mut each: impl FnMut(&mut Produce, &Slot),
    ) {
        while token != NONE {
            let slot = self.pending.remove(token);
            token = slot.next;
            each(self, &slot);
        }
    }
}
