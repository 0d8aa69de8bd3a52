//! One transactional id, and the table of all.
//!
//! Owns: the durable fact, the change of it that is under way, the markers still missing, when
//! something is due. Never does: decide what changes. Runs on: the core that owns stripe 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::add::Add;
use super::answer::{Asker, Verdict};
use super::metadata::{Metadata, Partition};
use crate::ids::Nanos;

/// One transactional id.
#[derive(Debug)]
pub struct Slot<R> {
    /// What is durable; `None` while the id's first fact is on its way.
    pub fact: Option<Metadata>,
    /// What is being stored.
    pub change: Option<Change<R>>,
    /// In `PrepareCommit` and `PrepareAbort`: the partitions that do not durably know it yet.
    pub unmarked: BTreeMap<Partition, MarkState>,
    /// A request that waits until no change is under way.
    pub parked: Option<(Asker<R>, Add)>,
    /// When the state's time is up: the transaction's timeout, or the idle id's expiry.
    pub until: Nanos,
    /// Its place among the deadlines.
    armed: Option<Nanos>,
}

/// A store under way.
#[derive(Debug)]
pub struct Change<R> {
    /// The fact from then on; `None` forgets the id.
    pub next: Option<Metadata>,
    /// Who hears what once it is durable.
    pub answer: Option<(Asker<R>, Verdict)>,
}

/// How far a marker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkState {
    /// To be sent, or to be sent again.
    Due,
    /// On its way.
    Underway,
    /// The partition's storage is poisoned: only a restart can bring it there.
    Lost,
}

impl<R> Default for Slot<R> {
    fn default() -> Slot<R> {
        Slot {
            fact: None,
            change: None,
            unmarked: BTreeMap::new(),
            parked: None,
            until: Nanos(0),
            armed: None,
        }
    }
}

impl<R> Slot<R> {
    /// Whether a change is under way, or a decision is being carried out.
    pub fn is_busy(&self) -> bool {
        let deciding = self
            .fact
            .as_ref()
            .is_some_and(|fact| fact.state.deciding().is_some());
        self.change.is_some() || deciding
    }

    /// Whether what keeps it busy goes on by itself.
    pub fn is_moving(&self) -> bool {
        self.unmarked
            .values()
            .all(|state| *state == MarkState::Underway)
    }
}

/// All transactional ids and their deadlines.
#[derive(Debug)]
pub struct Slots<R> {
    by_id: BTreeMap<Arc<str>, Slot<R>>,
    deadlines: BTreeSet<(Nanos, Arc<str>)>,
}

impl<R> Default for Slots<R> {
    fn default() -> Slots<R> {
        Slots {
            by_id: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }
}

impl<R> Slots<R> {
    pub fn get(&self, id: &str) -> Option<&Slot<R>> {
        self.by_id.get(id)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Slot<R>> {
        self.by_id.get_mut(id)
    }

    /// The slot, a new one if need be.
    pub fn of(&mut self, id: &Arc<str>) -> &mut Slot<R> {
        self.by_id.entry(Arc::clone(id)).or_default()
    }

    /// The fact about an id.
    pub fn fact(&self, id: &str) -> Option<&Metadata> {
        self.by_id.get(id)?.fact.as_ref()
    }

    /// All facts, by id.
    pub fn facts(&self) -> impl Iterator<Item = (&Arc<str>, &Metadata)> {
        self.by_id
            .iter()
            .filter_map(|(id, slot)| Some((id, slot.fact.as_ref()?)))
    }

    /// All ids.
    pub fn ids(&self) -> Vec<Arc<str>> {
        self.by_id.keys().cloned().collect()
    }

    /// Forgets an id.
    pub fn remove(&mut self, id: &Arc<str>) {
        self.arm(id, None);
        self.by_id.remove(id);
    }

    /// From `at` on the id is due; never with `None`.
    pub fn arm(&mut self, id: &Arc<str>, at: Option<Nanos>) {
        let Some(slot) = self.by_id.get_mut(id) else {
            return;
        };
        if let Some(before) = slot.armed {
            self.deadlines.remove(&(before, Arc::clone(id)));
        }
        slot.armed = at;
        if let Some(at) = at {
            self.deadlines.insert((at, Arc::clone(id)));
        }
    }

    /// The first moment at which an id is due.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes an id that is due.
    pub fn take_due(&mut self, now: Nanos) -> Option<Arc<str>> {
        let (at, id) = self.deadlines.first()?;
        if *at > now {
            return None;
        }
        let id = Arc::clone(id);
        self.arm(&id, None);
        Some(id)
    }
}
