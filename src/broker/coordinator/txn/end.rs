//! How transactions end: EndTxn, markers, the last store; and what follows from each durable change.
//!
//! Owns: the way from a decision to its end. Never does: change a decision. Runs on: the core that owns
//! stripe 0.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::EndTxnRequest;

use super::add::check_producer;
use super::answer::{Api, Asker, Verdict};
use super::coordinator::{Storage, Transactions, ns};
use super::initialize::transactional_id;
use super::metadata::{Metadata, Partition, Producer, State};
use super::slot::MarkState;
use crate::broker::coordinator::group::Groups;
use crate::broker::coordinator::{Call, Decision, Effect, Outcome, Pair};
use crate::clock::Now;

impl<R: Copy> Transactions<R> {
    pub(super) fn end_txn(
        &mut self,
        call: &Call<'_, R>,
        request: EndTxnRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let asker = Asker {
            to: call.to,
            version: call.version,
            api: Api::EndTxn,
        };
        match self.decide(&request, call.now) {
            Err(error) => effects.push(asker.answer(Verdict::Error(error))),
            Ok((_, None)) => effects.push(asker.answer(Verdict::Done)),
            Ok((id, Some(next))) => {
                let answer = (asker, Verdict::Done);
                self.change(&id, Some(next), Some(answer), Vec::new(), effects);
            }
        }
    }

    fn decide(
        &self,
        request: &EndTxnRequest,
        now: Now,
    ) -> Result<(Arc<str>, Option<Metadata>), ResponseError> {
        let id = transactional_id(&request.transactional_id)?;
        if self.storage == Storage::Poisoned {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let producer = Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        };
        let decision = if request.committed {
            Decision::Commit
        } else {
            Decision::Abort
        };
        let (slot, fact) = check_producer(self.slots.get(&id), producer)?;
        if slot.change.is_some() && fact.state.deciding().is_none() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        Ok((id, fact.end(decision, now.millis())?))
    }

    /// The end of the store of a change.
    pub(super) fn change_stored(
        &mut self,
        id: &Arc<str>,
        outcome: Outcome,
        now: Now,
        groups: &mut Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        let Some(change) = slot.change.take() else {
            return;
        };
        if outcome != Outcome::Durable {
            let error = Verdict::Error(ResponseError::CoordinatorNotAvailable);
            effects.extend(change.answer.map(|(asker, _)| asker.answer(error)));
            return self.change_failed(id, now, effects);
        }
        effects.extend(change.answer.map(|(asker, verdict)| asker.answer(verdict)));
        let parked = slot.parked.take();
        let before = std::mem::replace(&mut slot.fact, change.next);
        if let Some(before) = &before
            && let Some(decision) = before.state.deciding()
        {
            let left = slot.fact.as_ref().map(|fact| &fact.groups);
            let is_left = |group: &&String| left.is_some_and(|left| left.contains(*group));
            for group in before.groups.iter().filter(|group| !is_left(group)) {
                groups.applied(before.producer.id, group, decision);
            }
        }
        self.entered(id, before.map(|fact| fact.state), now, groups, effects);
        if let Some((asker, add)) = parked {
            self.add(asker, add, now, effects);
        }
    }

    /// Does what the new fact asks for.
    fn entered(
        &mut self,
        id: &Arc<str>,
        before: Option<State>,
        now: Now,
        groups: &Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        let Some(fact) = self.slots.fact(id) else {
            return self.slots.remove(id);
        };
        let until = match fact.state {
            State::Ongoing if before == Some(State::Ongoing) => None,
            State::Ongoing => Some(now.mono.after(ns(fact.timeout_ms.unsigned_abs().into()))),
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                Some(now.mono.after(ns(self.options.expiration_ms)))
            }
            State::PrepareCommit | State::PrepareAbort => {
                return self.begin_marks(id, now, groups, effects);
            }
        };
        let slot = self.slots.of(id);
        slot.until = until.unwrap_or(slot.until);
        let until = slot.until;
        self.slots.arm(id, Some(until));
    }

    /// Nothing was changed. What the clock or a decision asked for is tried again.
    fn change_failed(&mut self, id: &Arc<str>, now: Now, effects: &mut Vec<Effect<R>>) {
        self.dismiss_parked(id, effects);
        let Some(slot) = self.slots.get(id) else {
            return;
        };
        let retry = now.mono.after(ns(self.options.retry_ms));
        let at = match slot.fact.as_ref().map(|fact| fact.state) {
            None => return self.slots.remove(id),
            Some(State::PrepareCommit | State::PrepareAbort) => retry,
            Some(State::Empty | State::Ongoing | State::CompleteCommit | State::CompleteAbort) => {
                slot.until.max(retry)
            }
        };
        self.slots.arm(id, Some(at));
    }

    /// What waited for a change to end will not see its end soon.
    fn dismiss_parked(&mut self, id: &Arc<str>, effects: &mut Vec<Effect<R>>) {
        let parked = self.slots.get_mut(id).and_then(|slot| slot.parked.take());
        let again = Verdict::Error(ResponseError::ConcurrentTransactions);
        effects.extend(parked.map(|(asker, _)| asker.answer(again)));
    }

    /// A decision is durable: every partition must know it.
    pub(super) fn begin_marks(
        &mut self,
        id: &Arc<str>,
        now: Now,
        groups: &Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        if let Some(slot) = self.slots.get_mut(id)
            && let Some(fact) = &slot.fact
        {
            let each = fact.partitions.iter();
            slot.unmarked = each.map(|place| (*place, MarkState::Due)).collect();
        }
        self.carry_out(id, now, groups, effects);
    }

    /// Sends the markers that are due; once every partition has its own, stores what the end means for
    /// groups, and the end with the last of them. Offsets of many groups may be more than one atomic
    /// store holds: as in Kafka, one group may see its own before another does.
    pub(super) fn carry_out(
        &mut self,
        id: &Arc<str>,
        now: Now,
        groups: &Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        let Some(fact) = &slot.fact else {
            return;
        };
        let Some(decision) = fact.state.deciding() else {
            return;
        };
        let producer = fact.producer;
        if slot.unmarked.is_empty() {
            let mut pairs = Vec::new();
            let mut bytes = 0;
            let mut left = fact.groups.clone();
            for group in &fact.groups {
                let more = groups.end_transaction(producer.id, group, decision);
                bytes += more.iter().map(Pair::bytes).sum::<usize>();
                // The groups see to it that one always fits.
                if bytes > self.options.end_bytes_max && !pairs.is_empty() {
                    break;
                }
                pairs.extend(more);
                left.remove(group);
            }
            let next = fact.carried_out(decision, left, now.millis());
            return self.change(id, Some(next), None, pairs, effects);
        }
        let mut due: Vec<Partition> = Vec::new();
        for (place, state) in &mut slot.unmarked {
            if *state == MarkState::Due {
                *state = MarkState::Underway;
                due.push(*place);
            }
        }
        for place in due {
            self.mark(id, place, producer, decision, effects);
        }
    }

    /// The end of a marker.
    pub(super) fn partition_marked(
        &mut self,
        id: &Arc<str>,
        partition: Partition,
        outcome: Outcome,
        now: Now,
        groups: &Groups<R>,
        effects: &mut Vec<Effect<R>>,
    ) {
        let Some(slot) = self.slots.get_mut(id) else {
            return;
        };
        match outcome {
            Outcome::Durable => {
                slot.unmarked.remove(&partition);
                if !slot.unmarked.is_empty() {
                    return;
                }
                match self.storage {
                    Storage::Sound => self.carry_out(id, now, groups, effects),
                    Storage::Poisoned => self.dismiss_parked(id, effects),
                }
            }
            Outcome::Refused => {
                slot.unmarked.insert(partition, MarkState::Due);
                self.dismiss_parked(id, effects);
                let retry = now.mono.after(ns(self.options.retry_ms));
                self.slots.arm(id, Some(retry));
            }
            Outcome::Lost => {
                slot.unmarked.insert(partition, MarkState::Lost);
                self.dismiss_parked(id, effects);
            }
        }
    }
}
