//! The coordinator's front: requests and the ends of effects come in here.
//!
//! Owns: the table of transactional ids, tickets, requests that wait for producer ids. Never does: I/O,
//! reading a clock. Runs on: the core that owns stripe 0.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kafka_protocol::messages::RequestKind;

use super::answer::{Asker, Verdict};
use super::codec;
use super::initialize::Initialize;
use super::metadata::{Metadata, NO_EPOCH, Partition, Producer, State};
use super::options::TxnOptions;
use super::slot::{Change, Slots};
use crate::broker::coordinator::group::Groups;
use crate::broker::coordinator::ids::{self, ProducerIds};
use crate::broker::coordinator::{Call, Decision, Effect, Outcome, Pair};
use crate::clock::Now;
use crate::ids::Nanos;

/// Ids that one `tick` takes up, so that a cycle stays short however many are due.
const DUE_MAX: usize = 64;

/// A stored pair that this program did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Its key has no form that is known.
    #[error("the key of a stored fact about a transaction is not understood")]
    Key,
    /// Its value has not.
    #[error("the value of a stored fact about a transaction is not understood")]
    Value,
}

/// Whether facts can still be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    Sound,
    /// What was being stored may be durable or not; nothing is decided any more until a restart.
    Poisoned,
}

/// What a store was for.
#[derive(Debug)]
enum Stored {
    Ids,
    Change(Arc<str>),
}

/// All transactional ids and the producer ids. `R` says whom to answer.
///
/// Its tickets never have [`TICKET_BIT`](super::super::group::TICKET_BIT), so that they differ from
/// those of [`Groups`], whose effects may come out of [`Transactions::handle`] too.
#[derive(Debug)]
pub struct Transactions<R> {
    pub(super) options: TxnOptions,
    pub(super) slots: Slots<R>,
    pub(super) ids: ProducerIds,
    /// They wait for ids to be reserved.
    pub(super) waiting: VecDeque<(Asker<R>, Initialize)>,
    pub(super) storage: Storage,
    stores: BTreeMap<u64, Stored>,
    marks: BTreeMap<u64, (Arc<str>, Partition)>,
    last_ticket: u64,
}

impl<R: Copy> Transactions<R> {
    /// Knows nothing yet.
    pub fn new(options: TxnOptions) -> Transactions<R> {
        Transactions {
            options,
            slots: Slots::default(),
            ids: ProducerIds::default(),
            waiting: VecDeque::new(),
            storage: Storage::Sound,
            stores: BTreeMap::new(),
            marks: BTreeMap::new(),
            last_ticket: 0,
        }
    }

    /// One stored pair whose key begins with [`PREFIX`](super::PREFIX) or [`ids::PREFIX`], before
    /// anything else is called.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        if key == ids::PREFIX {
            return self.ids.restore(value).ok_or(RestoreError::Value);
        }
        let id: Arc<str> = codec::id_of(key).ok_or(RestoreError::Key)?.into();
        let fact = codec::decode(value).ok_or(RestoreError::Value)?;
        self.slots.of(&id).fact = Some(fact);
        Ok(())
    }

    /// After the last `restore`, also those of `groups`, and before the first request: goes on with what
    /// was under way, and counts what is left of timeouts by the wall clock.
    pub fn resume(&mut self, now: Now, groups: &Groups<R>, effects: &mut Vec<Effect<R>>) {
        for id in self.slots.ids() {
            let Some(fact) = self.slots.fact(&id) else {
                continue;
            };
            let (since, span_ms) = match fact.state {
                State::Ongoing => (fact.started, fact.timeout_ms.unsigned_abs().into()),
                State::Empty | State::CompleteCommit | State::CompleteAbort => {
                    (fact.updated, self.options.expiration_ms)
                }
                State::PrepareCommit | State::PrepareAbort => {
                    self.begin_marks(&id, now, groups, effects);
                    continue;
                }
            };
            // A wall clock that was set back must not make it longer than the whole.
            let gone_ms = u64::try_from(now.millis().0.saturating_sub(since.0)).unwrap_or(0);
            let until = now.mono.after(ns(span_ms.saturating_sub(gone_ms)));
            self.slots.of(&id).until = until;
            self.slots.arm(&id, Some(until));
        }
    }

    /// InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn, ListTransactions,
    /// DescribeTransactions. Each is answered with exactly one `Effect::Answer`, now or later.
    pub fn handle(
        &mut self,
        call: &Call<'_, R>,
        request: RequestKind,
        groups: &mut Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the protocol has many more requests"
        )]
        match request {
            RequestKind::InitProducerId(request) => self.init_producer_id(call, request, effects),
            RequestKind::AddPartitionsToTxn(request) => self.add_partitions(call, request, effects),
            RequestKind::AddOffsetsToTxn(request) => self.add_offsets(call, request, effects),
            RequestKind::TxnOffsetCommit(request) => {
                self.txn_offset_commit(call, request, groups, effects);
            }
            RequestKind::EndTxn(request) => self.end_txn(call, request, effects),
            RequestKind::ListTransactions(request) => self.list(call, request, effects),
            RequestKind::DescribeTransactions(request) => self.describe(call, request, effects),
            _ => debug_assert!(false, "not a request about transactions"),
        }
    }

    /// The end of an [`Effect::Store`] with a ticket of this coordinator.
    pub fn stored(
        &mut self,
        ticket: u64,
        outcome: Outcome,
        now: Now,
        groups: &mut Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        if outcome == Outcome::Lost {
            self.storage = Storage::Poisoned;
        }
        match self.stores.remove(&ticket) {
            Some(Stored::Ids) => self.ids_stored(outcome, now, effects),
            Some(Stored::Change(id)) => self.change_stored(&id, outcome, now, groups, effects),
            None => debug_assert!(false, "a ticket that was never given out"),
        }
    }

    /// The end of an [`Effect::Mark`]. For a partition that is gone it is [`Outcome::Durable`].
    pub fn marked(
        &mut self,
        ticket: u64,
        outcome: Outcome,
        now: Now,
        groups: &Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        if let Some((id, partition)) = self.marks.remove(&ticket) {
            self.partition_marked(&id, partition, outcome, now, groups, effects);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, groups: &Groups<R>, effects: &mut Vec<Effect<R>>) {
        if self.storage == Storage::Poisoned {
            return;
        }
        for _ in 0..DUE_MAX {
            let Some(id) = self.slots.take_due(now.mono) else {
                return;
            };
            let Some(fact) = self.slots.fact(&id) else {
                continue;
            };
            match fact.state {
                State::Ongoing => {
                    let next = fact.fence(NO_EPOCH, now.millis());
                    self.change(&id, Some(next), None, Vec::new(), effects);
                }
                State::Empty | State::CompleteCommit | State::CompleteAbort => {
                    self.change(&id, None, None, Vec::new(), effects);
                }
                State::PrepareCommit | State::PrepareAbort => {
                    self.carry_out(&id, now, groups, effects);
                }
            }
        }
    }

    /// When `tick` has something to do next.
    pub fn next_deadline(&self) -> Option<Nanos> {
        match self.storage {
            Storage::Sound => self.slots.next_deadline(),
            Storage::Poisoned => None,
        }
    }

    /// Stores a new fact about an id, and `others` with it.
    pub(super) fn change(
        &mut self,
        id: &Arc<str>,
        next: Option<Metadata>,
        answer: Option<(Asker<R>, Verdict)>,
        others: Vec<Pair>,
        effects: &mut Vec<Effect<R>>,
    ) {
        let pair = match &next {
            Some(next) => codec::pair(id, next),
            None => Pair {
                key: codec::key(id),
                value: Vec::new(),
            },
        };
        let mut pairs = vec![pair];
        pairs.extend(others);
        self.slots.of(id).change = Some(Change { next, answer });
        self.slots.arm(id, None);
        self.store(Stored::Change(Arc::clone(id)), pairs, effects);
    }

    /// Stores the end of a block of ids.
    pub(super) fn store_ids(&mut self, pair: Pair, effects: &mut Vec<Effect<R>>) {
        self.store(Stored::Ids, vec![pair], effects);
    }

    fn store(&mut self, what: Stored, pairs: Vec<Pair>, effects: &mut Vec<Effect<R>>) {
        let ticket = self.ticket();
        self.stores.insert(ticket, what);
        effects.push(Effect::Store { ticket, pairs });
    }

    /// Asks for a marker.
    pub(super) fn mark(
        &mut self,
        id: &Arc<str>,
        (topic, partition): Partition,
        producer: Producer,
        decision: Decision,
        effects: &mut Vec<Effect<R>>,
    ) {
        let ticket = self.ticket();
        self.marks
            .insert(ticket, (Arc::clone(id), (topic, partition)));
        effects.push(Effect::Mark {
            ticket,
            topic,
            partition,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            decision,
        });
    }

    fn ticket(&mut self) -> u64 {
        // 2^63 tickets, before the bit of groups would be reached, are never used up.
        self.last_ticket += 1;
        self.last_ticket
    }
}

/// Milliseconds as nanoseconds.
pub(super) const fn ns(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}
