//! When records of a round are meant to be sent.

use std::num::NonZeroU64;

use corelane::bench::pace::Pace;
use corelane::clock;

/// `count` records at `rate` per second, at least 1, from a moment ahead of now.
pub fn start(rate: u64, count: usize) -> Pace {
    const AHEAD_NS: u64 = 1_000_000;
    let rate = NonZeroU64::new(rate).unwrap_or(NonZeroU64::MIN);
    Pace::counted(clock::monotonic().after(AHEAD_NS), rate, count as u64)
}
