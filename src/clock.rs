//! Time: monotonic nanoseconds for everything that is measured, wall time for what is shown.
//!
//! Owns: the process's one time origin. Never does: sleeping. Runs on: any thread.
//!
//! Each core reads the clock once per duty cycle and passes [`Now`] down, so that the code below
//! never reads a clock of its own and runs unchanged on simulated time.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::ids::{Nanos, UnixMicros, UnixMillis};

/// One reading of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic; comparable between all threads of this process.
    pub mono: Nanos,
    /// Wall time. May step; never used to measure.
    pub wall: UnixMicros,
}

impl Now {
    /// Wall time as Kafka stamps records.
    #[inline]
    pub const fn millis(&self) -> UnixMillis {
        UnixMillis(self.wall.0 / 1000)
    }
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Monotonic nanoseconds since the process first asked. About 20 ns: one vDSO read.
#[inline]
pub fn monotonic() -> Nanos {
    // 2^64 ns are 584 years, so the cast keeps every bit that can be set.
    Nanos(origin().elapsed().as_nanos() as u64)
}

/// Wall time, microseconds since the Unix epoch; 0 where the machine's clock lies before it.
pub fn wall() -> UnixMicros {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMicros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// A clock that reads the monotonic counter each time and the wall clock only now and then.
#[derive(Debug)]
pub struct Clock {
    anchor: Now,
}

impl Clock {
    /// How long a reading of the wall clock is carried forward by the monotonic one. Bounds how
    /// late a step of the wall clock shows.
    const ANCHOR_NS: u64 = 10_000_000;

    /// A clock anchored now.
    pub fn new() -> Clock {
        Clock {
            anchor: Now {
                mono: monotonic(),
                wall: wall(),
            },
        }
    }

    /// Reads the clock.
    #[inline]
    pub fn now(&mut self) -> Now {
        let mono = monotonic();
        let mut age_ns = mono.since(self.anchor.mono);
        if age_ns > Self::ANCHOR_NS {
            self.anchor = Now { mono, wall: wall() };
            age_ns = 0;
        }
        Now {
            mono,
            wall: UnixMicros(self.anchor.wall.0 + (age_ns / 1000) as i64),
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_runs_backwards_and_agrees_with_the_wall() {
        let mut clock = Clock::new();
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now.mono >= last.mono);
            last = now;
        }
        assert!(
            (wall().0 - last.wall.0).abs() < 1_000_000,
            "within a second of the wall clock"
        );
    }
}
