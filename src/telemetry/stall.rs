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
    had_work: bool,
    report: StallReport,
}

/// What is known of the cycle that just ended. Nothing of the first one, and of the last one before a
/// sleep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cycle {
    /// How long it took if it had work, and 0 if it only looked for some: nanoseconds.
    pub busy_ns: u64,
    /// Whether it was longer than the threshold.
    pub has_stalled: bool,
}

impl StallTracker {
    /// A cycle longer than `threshold_ns` counts as a stall.
    pub fn new(threshold_ns: u64) -> StallTracker {
        StallTracker {
            threshold_ns,
            cycle_started: None,
            had_work: false,
            report: StallReport::default(),
        }
    }

    /// A cycle starts, and with it the one before ends.
    #[inline]
    pub fn start_cycle(&mut self, now: Nanos) -> Cycle {
        let Some(started) = self.cycle_started.replace(now) else {
            return Cycle::default();
        };
        let took_ns = now.since(started);
        self.report.worst_ns = self.report.worst_ns.max(took_ns);
        let has_stalled = took_ns > self.threshold_ns;
        self.report.stalls += u64::from(has_stalled);
        Cycle {
            busy_ns: if self.had_work { took_ns } else { 0 },
            has_stalled,
        }
    }

    /// The cycle that was started found so much work.
    #[inline]
    pub fn note_work(&mut self, work: usize) {
        self.had_work = work > 0;
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
        assert_eq!(tracker.start_cycle(Nanos(1_000)), Cycle::default());
        tracker.note_work(3);
        let worked = tracker.start_cycle(Nanos(1_100));
        assert_eq!((worked.busy_ns, worked.has_stalled), (100, false));
        tracker.note_work(0);
        let looked = tracker.start_cycle(Nanos(1_301));
        assert_eq!((looked.busy_ns, looked.has_stalled), (0, true));
        tracker.park();
        assert_eq!(tracker.start_cycle(Nanos(9_000)), Cycle::default());
        assert_eq!(
            tracker.report(),
            StallReport {
                worst_ns: 201,
                stalls: 1
            }
        );
    }
}
