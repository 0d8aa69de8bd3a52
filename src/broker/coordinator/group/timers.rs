//! When something is due.
//!
//! Owns: one moment per timer, the earliest of all at hand. Never does: reading a clock, deciding what
//! a timer means. Runs on: the core that owns stripe 0.

use std::collections::{BTreeMap, BTreeSet};

use super::Name;
use crate::ids::Nanos;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The group's members had long enough to rejoin.
    Join(Name),
    /// They had long enough to ask for their assignment.
    Sync(Name),
    /// The group's member, or who was told an id for it, was not heard of for too long.
    Member(Name, Name),
    /// What is stored of the group is to be stored again, as that failed.
    Record(Name),
    /// Offsets that nobody has used for long are looked for.
    Retention,
}

/// All timers. Each is set at most once.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Nanos, Timer)>,
    set: BTreeMap<Timer, Nanos>,
}

impl Timers {
    /// Sets a timer, anew if it is set already, `ms` from now. It is never due at once, so that what a
    /// timer sets off cannot keep [`Timers::pop`] busy for ever.
    pub(super) fn set(&mut self, timer: Timer, now: Nanos, ms: i64) {
        let ms = u64::try_from(ms).unwrap_or(0).max(1);
        let at = now.after(ms.saturating_mul(1_000_000));
        if let Some(former) = self.set.insert(timer.clone(), at) {
            self.due.remove(&(former, timer.clone()));
        }
        self.due.insert((at, timer));
    }

    /// Unsets a timer; nothing happens if it is not set.
    pub(super) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.set.remove(&timer) {
            self.due.remove(&(at, timer));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Nanos> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest that is due.
    pub(super) fn pop(&mut self, now: Nanos) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.due.pop_first()?;
        self.set.remove(&timer);
        Some(timer)
    }

    /// Whether it is set.
    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.set.contains_key(timer)
    }
}
