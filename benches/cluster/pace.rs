//! When records are meant to be sent.

use std::num::NonZeroU64;

use corelane::clock;
use corelane::ids::Nanos;
use rustix::thread::set_current_timer_slack;

use crate::Failure;

/// The send times of an open loop: whoever is late is late against these.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Nanos,
    rate: u64,
    /// Records of the round.
    pub count: usize,
}

impl Pace {
    /// `count` records at `rate` per second, from a moment ahead of now.
    pub fn start(rate: u64, count: usize) -> Pace {
        const AHEAD_NS: u64 = 1_000_000;
        Pace {
            start: clock::monotonic().after(AHEAD_NS),
            rate,
            count,
        }
    }

    /// When the record is meant to be sent.
    pub fn intended(&self, number: usize) -> Nanos {
        let ns = number as u128 * 1_000_000_000 / u128::from(self.rate);
        self.start.after(ns as u64)
    }

    /// When the record that follows `sent` others is due; none after the last.
    pub fn next(&self, sent: usize) -> Option<Nanos> {
        (sent < self.count).then(|| self.intended(sent))
    }
}

/// While it lives, the calling thread is woken when it asked to be, and not up to 50 us later. To be
/// started after clients are made, since threads inherit it.
pub struct Punctual(());

impl Punctual {
    pub fn start() -> Result<Punctual, Failure> {
        set_current_timer_slack(NonZeroU64::new(1))?;
        Ok(Punctual(()))
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        // None stands for the default; what worked once with another number works with it.
        let _ = set_current_timer_slack(None);
    }
}
