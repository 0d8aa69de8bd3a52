//! The circuit breaker of one cluster, as one core sees it. Pure: time comes in as an argument.
//!
//! A cluster counts as unreachable when records are under way and none was acknowledged for a
//! while. It is looked at again with a probe: while records are still under way to it they are the
//! probe, since librdkafka goes on trying them; otherwise a metadata request is. So the way home
//! opens only once the cluster has answered.

use crate::ids::Nanos;

/// Time between two probes of a cluster that is away.
const PROBE_INTERVAL_NS: u64 = 500_000_000;

/// Whether a cluster takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reachable,
    /// Unreachable; when the next probe is due.
    Away {
        probe_at: Nanos,
    },
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Rest,
    /// The cluster has just become unreachable.
    Opened,
    /// Ask the cluster whether it is there, and tell [`Breaker::answered`].
    Probe,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    unreachable_ns: u64,
    /// The last acknowledgement, or when the first of the records under way was sent.
    progress: Nanos,
}

impl Breaker {
    /// A breaker of a cluster that answers; it opens after `unreachable_ns` nanoseconds.
    pub fn new(unreachable_ns: u64) -> Breaker {
        Breaker {
            state: State::Reachable,
            unreachable_ns,
            progress: Nanos(0),
        }
    }

    /// Whether the cluster takes records.
    #[inline]
    pub fn is_reachable(&self) -> bool {
        self.state == State::Reachable
    }

    /// A record was handed over while none was under way.
    pub fn first_sent(&mut self, now: Nanos) {
        self.progress = now;
    }

    /// The cluster has acknowledged something, or answered a probe.
    pub fn answered(&mut self, now: Nanos) {
        self.progress = now;
        self.state = State::Reachable;
    }

    /// To be called in every cycle; `outstanding` records are under way.
    pub fn step(&mut self, now: Nanos, outstanding: usize) -> Step {
        match self.state {
            State::Reachable if outstanding == 0 => Step::Rest,
            State::Reachable => {
                if now.since(self.progress) < self.unreachable_ns {
                    return Step::Rest;
                }
                self.state = State::Away {
                    probe_at: now.after(PROBE_INTERVAL_NS),
                };
                Step::Opened
            }
            State::Away { probe_at } if outstanding > 0 || now < probe_at => Step::Rest,
            State::Away { .. } => {
                self.state = State::Away {
                    probe_at: now.after(PROBE_INTERVAL_NS),
                };
                Step::Probe
            }
        }
    }

    /// When [`Breaker::step`] may next have something to say.
    pub fn next_wake(&self, outstanding: usize) -> Option<Nanos> {
        match self.state {
            State::Reachable if outstanding == 0 => None,
            State::Reachable => Some(self.progress.after(self.unreachable_ns)),
            State::Away { probe_at } => (outstanding == 0).then_some(probe_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_cluster_that_acknowledges_stays_reachable_whatever_is_under_way() {
        let mut breaker = Breaker::new(1000 * MS);
        breaker.first_sent(Nanos(0));
        for ms in (0..60_000).step_by(900) {
            assert_eq!(breaker.step(Nanos(ms * MS), 5), Step::Rest);
            breaker.answered(Nanos(ms * MS));
        }
        assert!(breaker.is_reachable());
    }

    #[test]
    fn silence_with_nothing_under_way_says_nothing() {
        let mut breaker = Breaker::new(1000 * MS);
        assert_eq!(breaker.step(Nanos(90_000 * MS), 0), Step::Rest);
        assert_eq!(breaker.next_wake(0), None);
    }

    #[test]
    fn silence_opens_it_once_and_an_acknowledgement_closes_it() {
        let mut breaker = Breaker::new(1000 * MS);
        breaker.first_sent(Nanos(7 * MS));
        assert_eq!(breaker.next_wake(1), Some(Nanos(1007 * MS)));
        assert_eq!(breaker.step(Nanos(1006 * MS), 1), Step::Rest);
        assert_eq!(breaker.step(Nanos(1007 * MS), 1), Step::Opened);
        assert!(!breaker.is_reachable());
        // The record under way is the probe.
        assert_eq!(breaker.step(Nanos(9000 * MS), 1), Step::Rest);
        breaker.answered(Nanos(9001 * MS));
        assert!(breaker.is_reachable());
    }

    #[test]
    fn with_nothing_under_way_it_probes_at_intervals() {
        let mut breaker = Breaker::new(1000 * MS);
        breaker.first_sent(Nanos(0));
        assert_eq!(breaker.step(Nanos(1000 * MS), 1), Step::Opened);
        assert_eq!(breaker.step(Nanos(1499 * MS), 0), Step::Rest);
        assert_eq!(breaker.step(Nanos(1500 * MS), 0), Step::Probe);
        assert_eq!(breaker.step(Nanos(1501 * MS), 0), Step::Rest);
        assert_eq!(breaker.next_wake(0), Some(Nanos(2000 * MS)));
        assert_eq!(breaker.step(Nanos(2000 * MS), 0), Step::Probe);
    }
}
