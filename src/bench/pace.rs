//! When each record of an open loop is meant to be sent.
//!
//! Owns: the arithmetic. Never does: sleep or read a clock.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::ids::Nanos;

/// The send times of an open loop. Latencies count from these, so that whoever is late is charged for
/// all that it delays (Tene, "How NOT to Measure Latency": coordinated omission).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    start: Nanos,
    rate: NonZeroU64,
    count: u64,
}

impl Pace {
    /// `rate` records a second for `span`, the first at `start`.
    pub fn new(start: Nanos, rate: NonZeroU64, span: Duration) -> Pace {
        let count = u128::from(rate.get()) * span.as_nanos() / 1_000_000_000;
        Pace {
            start,
            rate,
            count: u64::try_from(count).unwrap_or(u64::MAX),
        }
    }

    /// Records in all.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// When the record is meant to be sent. Exact for every number: nothing adds up over time.
    #[inline]
    pub fn intended(&self, number: u64) -> Nanos {
        let ns = u128::from(number) * 1_000_000_000 / u128::from(self.rate.get());
        self.start.after(ns as u64)
    }

    /// When the record that follows `sent` others is due; none after the last.
    #[inline]
    pub fn next(&self, sent: u64) -> Option<Nanos> {
        (sent < self.count).then(|| self.intended(sent))
    }

    /// How many records are due at `now`.
    #[inline]
    pub fn due(&self, now: Nanos) -> u64 {
        if now < self.start {
            return 0;
        }
        let elapsed = u128::from(now.since(self.start));
        let due = elapsed * u128::from(self.rate.get()) / 1_000_000_000 + 1;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is due at a moment is what was meant to be sent by then, whatever the rate.
        #[test]
        fn records_are_due_when_they_are_intended(
            rate in 1u64..50_000_000,
            number in 0u64..10_000_000,
        ) {
            let rate = NonZeroU64::new(rate).expect("from 1");
            let pace = Pace::new(Nanos(7), rate, Duration::from_secs(1_000_000));
            prop_assume!(number < pace.count());
            let at = pace.intended(number);
            prop_assert!(pace.due(at.after(1)) > number);
            if number > 0 {
                prop_assert!(pace.intended(number - 1) <= at);
            }
        }
    }

    #[test]
    fn a_second_holds_as_many_records_as_the_rate_says() {
        let rate = NonZeroU64::new(3).expect("not 0");
        let pace = Pace::new(Nanos(0), rate, Duration::from_secs(2));
        assert_eq!(pace.count(), 6);
        assert_eq!(pace.intended(3), Nanos(1_000_000_000));
        assert_eq!(pace.next(6), None);
        assert_eq!(pace.due(Nanos(0)), 1);
        assert_eq!(pace.due(Nanos(u64::MAX)), 6);
    }
}
