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
    /// As `Again`, but let the kernel's own threads on this CPU go first: they may have to end what is
    /// awaited.
    Look,
    /// Sleep a little, then look again: what is awaited takes longer than it should.
    Doze,
    /// Nothing to do but what the kernel will report: let the executor look for it. Whoever has
    /// something for this core rings.
    Wait,
}

/// How long after the last work a core looks for the end of a write without a pause. Some times what a
/// device takes that is worth it: parking and being woken costs as much as the write.
const LOOK_NS: u64 = 500_000;

/// What a core that found no work waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Only for new work.
    Nothing,
    /// For room in a ring to another core: it must look, as nobody will tell.
    Ring,
    /// For reads or connections, whose news only the executor sees: there is no point in spinning
    /// here.
    Kernel,
    /// For the end of a write, which the next cycle sees and nobody tells.
    Look,
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

    /// Decides after a cycle that did `work`.
    pub fn step(&mut self, now: Nanos, work: usize, awaited: Awaited) -> Step {
        if work > 0 {
            self.idle_since = None;
            return Step::Again;
        }
        let since = *self.idle_since.get_or_insert(now);
        match (awaited, self.strategy) {
            (Awaited::Ring, _) => Step::Again,
            (Awaited::Kernel, _) => Step::Wait,
            (Awaited::Look, IdleStrategy::Spin) => Step::Look,
            (Awaited::Look, IdleStrategy::Adaptive { .. }) => match now.since(since) < LOOK_NS {
                true => Step::Look,
                false => Step::Doze,
            },
            (Awaited::Nothing, IdleStrategy::Spin) => Step::Again,
            (Awaited::Nothing, IdleStrategy::Adaptive { spin_ns }) => {
                if now.since(since) < spin_ns {
                    Step::Again
                } else {
                    Step::Wait
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_spins_for_its_time_after_work_and_then_waits() {
        let mut idle = Idle::new(IdleStrategy::Adaptive { spin_ns: 100 });
        assert_eq!(idle.step(Nanos(1000), 0, Awaited::Nothing), Step::Again);
        assert_eq!(idle.step(Nanos(1099), 0, Awaited::Nothing), Step::Again);
        assert_eq!(idle.step(Nanos(1100), 0, Awaited::Nothing), Step::Wait);
        assert_eq!(idle.step(Nanos(1200), 1, Awaited::Nothing), Step::Again);
        assert_eq!(idle.step(Nanos(1250), 0, Awaited::Nothing), Step::Again);
        assert_eq!(idle.step(Nanos(1251), 0, Awaited::Kernel), Step::Wait);
        assert_eq!(idle.step(Nanos(9999), 0, Awaited::Ring), Step::Again);
    }

    #[test]
    fn a_write_is_looked_for_at_once_and_a_stalled_one_now_and_then() {
        let mut idle = Idle::new(IdleStrategy::Adaptive { spin_ns: 100 });
        assert_eq!(idle.step(Nanos(1000), 0, Awaited::Look), Step::Look);
        let last = Nanos(1000 + LOOK_NS - 1);
        assert_eq!(idle.step(last, 0, Awaited::Look), Step::Look);
        assert_eq!(idle.step(last.after(1), 0, Awaited::Look), Step::Doze);
        assert_eq!(idle.step(last.after(2), 1, Awaited::Look), Step::Again);
        assert_eq!(idle.step(last.after(3), 0, Awaited::Look), Step::Look);
        let mut spinning = Idle::new(IdleStrategy::Spin);
        assert_eq!(spinning.step(Nanos(0), 0, Awaited::Look), Step::Look);
        assert_eq!(spinning.step(Nanos(u64::MAX), 0, Awaited::Look), Step::Look);
    }

    #[test]
    fn a_dedicated_core_never_parks_of_its_own() {
        let mut idle = Idle::new(IdleStrategy::Spin);
        assert_eq!(idle.step(Nanos(u64::MAX), 0, Awaited::Nothing), Step::Again);
    }
}
