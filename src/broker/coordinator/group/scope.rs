//! What a group is given to work with.
//!
//! Owns: settings, timers, stores and member ids, for all groups. Never does: anything of its own. Runs
//! on: the core that owns stripe 0.

use super::GroupOptions;
use super::ids::MemberIds;
use super::stores::Stores;
use super::timers::Timers;
use crate::broker::coordinator::Effect;
use crate::clock::Now;

/// What all groups share.
#[derive(Debug)]
pub(super) struct Core<R> {
    pub(super) options: GroupOptions,
    pub(super) timers: Timers,
    pub(super) stores: Stores<R>,
    pub(super) ids: MemberIds,
}

/// What a group may use while it handles something.
pub(super) struct Scope<'a, R> {
    pub(super) now: Now,
    pub(super) core: &'a mut Core<R>,
    pub(super) effects: &'a mut Vec<Effect<R>>,
}

impl<R: Copy> Core<R> {
    /// With nothing set or under way.
    pub(super) fn new(options: GroupOptions, seed: u64) -> Core<R> {
        Core {
            options,
            timers: Timers::default(),
            stores: Stores::default(),
            ids: MemberIds::new(seed),
        }
    }

    /// For the handling of one thing.
    pub(super) fn scope<'a>(
        &'a mut self,
        now: Now,
        effects: &'a mut Vec<Effect<R>>,
    ) -> Scope<'a, R> {
        let core = self;
        Scope { now, core, effects }
    }
}
