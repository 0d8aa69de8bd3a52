//! Duty cycles that took too long.
//!
//! While a core is in one cycle it serves nothing else, so its longest cycle bounds every latency
//! from below. Fed with the time that each cycle reads anyway.

use crate::ids::Nanos;

/// What the tracker found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StallReport {
    /// The longest cycle, in nanoseconds.
    pub worst_ns: u64,
    /// Cycles longer than the threshold.
    pub stalls: u64,
}

/// Measures each duty cycle from its start to the start of the next.
#[derive(Debug)]
pub struct StallTracker {
    threshold_ns: u64,
    cycle_started: Option<Nanos>,
    report: StallReport,
}

/// Whether the cycle that just ended was too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// Within the threshold, or the first one.
    InTime,
    /// Longer than the threshold.
    Stalled,
}

impl StallTracker {
    /// A cycle longer than `threshold_ns` counts as a stall.
    pub fn new(threshold_ns: u64) -> StallTracker {
        StallTracker {
            threshold_ns,
            cycle_started: None,
            report: StallReport::default(),
        }
    }

    /// A cycle starts, and with it the one before ends.
    #[inline]
    pub fn start_cycle(&mut self, now: Nanos) -> Cycle {
        let Some(started) = self.cycle_started.replace(now) else {
            return Cycle::InTime;
        };
        let took_ns = now.since(started);
        self.report.worst_ns = self.report.worst_ns.max(took_ns);
        if took_ns <= self.threshold_ns {
            return Cycle::InTime;
        }
        self.report.stalls += 1;
        Cycle::Stalled
    }

    /// The core goes to sleep: the time from the start of this cycle, which found no work, to the
    /// next one is no stall.
    #[inline]
    pub fn park(&mut self) {
        self.cycle_started = None;
    }

    /// What was found so far.
    pub fn report(&self) -> StallReport {
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cycles_are_stalls_and_sleep_is_not() {
        let mut tracker = StallTracker::new(100);
        assert_eq!(tracker.start_cycle(Nanos(1_000)), Cycle::InTime);
        assert_eq!(tracker.start_cycle(Nanos(1_100)), Cycle::InTime);
        assert_eq!(tracker.start_cycle(Nanos(1_301)), Cycle::Stalled);
        tracker.park();
        assert_eq!(tracker.start_cycle(Nanos(9_000)), Cycle::InTime);
        assert_eq!(
            tracker.report(),
            StallReport {
                worst_ns: 201,
                stalls: 1
            }
        );
    }
}
