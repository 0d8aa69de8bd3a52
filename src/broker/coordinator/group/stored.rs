//! What was stored: at the start, and as it becomes so.
//!
//! Owns: how stored facts become what readers see, and how transactions end for a group. Never does:
//! asking for more stores. Runs on: the core that owns stripe 0.

use std::collections::BTreeSet;

use super::commit::{key, pair};
use super::format::{Fact, Key, read_entry};
use super::state::Group;
use super::stores::Change;
use super::timers::Timer;
use super::words::Recorded;
use super::{Groups, Name, RestoreError};
use crate::broker::coordinator::offsets::{Entry, Origin, Place};
use crate::broker::coordinator::{Decision, Effect, Outcome, Pair};
use crate::clock::Now;

/// When a group's standing that could not be stored is stored again, in milliseconds.
const RECORD_AGAIN_MS: i64 = 1_000;

impl<R: Copy> Groups<R> {
    /// Takes one stored pair whose key begins with [`super::PREFIX`], in any order, before anything else
    /// is called.
    ///
    /// # Errors
    ///
    /// If this program did not write it; nothing is changed then.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        match Key::read(key)? {
            Key::Offset(group, topic, partition) => {
                let entry = read_entry(value)?;
                self.restore_entry(&group, Origin::Plain, (topic, partition), entry);
            }
            Key::Pending(producer, group, topic, partition) => {
                let entry = read_entry(value)?;
                let origin = Origin::Transaction(producer);
                self.restore_entry(&group, origin, (topic, partition), entry);
            }
            Key::Standing(name) => {
                let fact = Fact::read(value)?;
                let group = self.made(&name);
                group.protocol_type = Some(Name::clone(&fact.protocol_type));
                // Of those that had members nothing more is known than that they have none now.
                group.since = fact.empty_since;
                group.subscribed = Some(BTreeSet::new());
                group.recorded = Recorded::Fact(fact);
            }
        }
        Ok(())
    }

    fn restore_entry(&mut self, group: &Name, origin: Origin, place: Place, entry: Entry) {
        self.core.stores.order_seen(entry.order);
        self.made(group).offsets.restore(origin, place, entry);
    }

    fn made(&mut self, name: &Name) -> &mut Group<R> {
        let new = || Group::new(Name::clone(name));
        self.groups.entry(Name::clone(name)).or_insert_with(new)
    }

    /// Groups that were restored with members have lost them now.
    pub(super) fn begin_absence(&mut self, now: Now, effects: &mut Vec<Effect<R>>) {
        for group in self.groups.values_mut() {
            if group.since.is_none() {
                group.since = Some(now.millis());
                group.record(&mut self.core.scope(now, effects));
            }
        }
    }

    /// The end of an [`Effect::Store`] whose ticket has [`super::TICKET_BIT`]; another is ignored.
    pub fn stored(
        &mut self,
        ticket: u64,
        outcome: Outcome,
        now: Now,
        effects: &mut Vec<Effect<R>>,
    ) {
        let Some(change) = self.core.stores.end(ticket, outcome, effects) else {
            return;
        };
        let name = match outcome {
            Outcome::Durable => self.apply(change),
            Outcome::Refused | Outcome::Lost => self.revoke(change, now),
        };
        self.remove_if_void(&name);
    }

    fn apply(&mut self, change: Change) -> Name {
        match change {
            Change::Commit(name, origin, entries) => {
                let group = self.made(&name);
                for (place, entry) in entries {
                    group.offsets.settle(origin, place, entry);
                }
                name
            }
            Change::Delete(name, order, places) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    for place in &places {
                        group.offsets.forget(place, order);
                    }
                }
                name
            }
            Change::Drop(name) => {
                let has_nothing =
                    |group: &Group<R>| group.is_removable() && group.recorded == Recorded::Nothing;
                if self.groups.get(&name).is_some_and(has_nothing) {
                    self.groups.remove(&name);
                }
                name
            }
            Change::Record(name) => name,
        }
    }

    fn revoke(&mut self, change: Change, now: Now) -> Name {
        match change {
            Change::Commit(name, origin, entries) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    for (place, entry) in &entries {
                        group.offsets.revoke(origin, place, entry.order);
                    }
                }
                name
            }
            Change::Delete(name, order, places) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    for place in &places {
                        group.offsets.revoke(Origin::Plain, place, order);
                    }
                }
                name
            }
            Change::Drop(name) | Change::Record(name) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    group.recorded = Recorded::Unknown;
                    let timer = Timer::Record(Name::clone(&name));
                    self.core.timers.set(timer, now.mono, RECORD_AGAIN_MS);
                }
                name
            }
        }
    }

    /// The pairs that end a transaction's part in a group, to be stored together with the fact that the
    /// transaction has ended; then [`Groups::applied`] is called. Nothing is changed before.
    ///
    /// A commit with [`Decision::Commit`] does not undo what was committed to a partition after the
    /// transaction's offset for it.
    pub fn end_transaction(&self, producer_id: i64, group: &str, decision: Decision) -> Vec<Pair> {
        let Some(group) = self.groups.get(group) else {
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (place, entry) in group.offsets.pending_of(producer_id) {
            match decision {
                Decision::Commit if group.offsets.would_stand(place, entry) => {
                    pairs.push(pair(&group.name, Origin::Plain, place, entry));
                }
                Decision::Commit | Decision::Abort => {}
            }
            let origin = Origin::Transaction(producer_id);
            pairs.push(key(&group.name, origin, place).removal());
        }
        pairs
    }

    /// What [`Groups::end_transaction`] gave is durable: readers see it.
    pub fn applied(&mut self, producer_id: i64, group: &str, decision: Decision) {
        let Some(found) = self.groups.get_mut(group) else {
            return;
        };
        match decision {
            Decision::Commit => found.offsets.commit_pending(producer_id),
            Decision::Abort => found.offsets.abort_pending(producer_id),
        }
        self.remove_if_void(group);
    }
}
