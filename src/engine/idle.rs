//! What a core does when a cycle found nothing: spin, then yield to the executor, then park.

use crate::ids::Nanos;

/// How long a core keeps polling before it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleStrategy {
    /// Polls for `spin_ns` after the last work, then parks: for hosts that do other things too.
    Adaptive {
        /// Nanoseconds without work after which the core parks.
        spin_ns: u64,
    },
    /// Never parks: for hosts where the core has nothing else to do.
    Spin,
}

/// The next step of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run the next cycle at once, letting the executor in if it asks.
    Again,
    /// Nothing to do but what the kernel will report: let the executor look for it. Whoever has
    /// something for this core rings.
    Wait,
}

/// The ladder's state.
#[derive(Debug)]
pub struct Idle {
    strategy: IdleStrategy,
    idle_since: Option<Nanos>,
}

impl Idle {
    /// A ladder at its top.
    pub fn new(strategy: IdleStrategy) -> Idle {
        Idle {
            strategy,
            idle_since: None,
        }
    }

    /// Decides after a cycle that did `work`. `kernel_busy` says that reads or writes are under
    /// way, whose end only the executor sees: then there is no point in spinning here.
    pub fn step(&mut self, now: Nanos, work: usize, kernel_busy: bool) -> Step {
        if work > 0 {
            self.idle_since = None;
            return Step::Again;
        }
        let since = *self.idle_since.get_or_insert(now);
        if kernel_busy {
            return Step::Wait;
        }
        match self.strategy {
            IdleStrategy::Spin => Step::Again,
            IdleStrategy::Adaptive { spin_ns } if now.since(since) < spin_ns => Step::Again,
            IdleStrategy::Adaptive { .. } => Step::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_spins_for_its_time_after_work_and_then_waits() {
        let mut idle = Idle::new(IdleStrategy::Adaptive { spin_ns: 100 });
        assert_eq!(idle.step(Nanos(1000), 0, false), Step::Again);
        assert_eq!(idle.step(Nanos(1099), 0, false), Step::Again);
        assert_eq!(idle.step(Nanos(1100), 0, false), Step::Wait);
        assert_eq!(idle.step(Nanos(1200), 1, false), Step::Again);
        assert_eq!(idle.step(Nanos(1250), 0, false), Step::Again);
        assert_eq!(idle.step(Nanos(1251), 0, true), Step::Wait);
    }

    #[test]
    fn a_dedicated_core_never_parks_of_its_own() {
        let mut idle = Idle::new(IdleStrategy::Spin);
        assert_eq!(idle.step(Nanos(u64::MAX), 0, false), Step::Again);
    }
}
