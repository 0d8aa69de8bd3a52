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
    /// Of all parts together.
    rate: NonZeroU64,
    count: u64,
    /// Its own first record among those of all parts, and from one to the next.
    first: u64,
    step: u64,
}

impl Pace {
    /// `rate` records a second for `span`, the first at `start`.
    pub fn new(start: Nanos, rate: NonZeroU64, span: Duration) -> Pace {
        let count = u128::from(rate.get()) * span.as_nanos() / 1_000_000_000;
        Pace::counted(start, rate, u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// `count` records at `rate` a second, the first at `start`.
    pub fn counted(start: Nanos, rate: NonZeroU64, count: u64) -> Pace {
        Pace {
            start,
            rate,
            count,
            first: 0,
            step: 1,
        }
    }

    /// What one of `parts` senders sends: each of them takes the next record in turn, so that together
    /// they send exactly what one would.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn part(&self, part: u32, parts: u32) -> Pace {
        assert!(part < parts, "parts count from 0");
        let (part, parts) = (u64::from(part), u64::from(parts));
        Pace {
            count: self.count.saturating_sub(part).div_ceil(parts),
            first: self.first + part * self.step,
            step: self.step * parts,
            ..*self
        }
    }

    /// Nanoseconds from one record to the next.
    pub fn gap_ns(&self) -> u64 {
        (u128::from(self.step) * 1_000_000_000 / u128::from(self.rate.get())) as u64
    }

    /// Records in all.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// When the record is meant to be sent. Exact for every number: nothing adds up over time.
    #[inline]
    pub fn intended(&self, number: u64) -> Nanos {
        let number = self.first + number * self.step;
        let ns = match number.checked_mul(1_000_000_000) {
            // Half the time of the other division, and this is on every record's way.
            Some(product) => product / self.rate,
            None => (u128::from(number) * 1_000_000_000 / u128::from(self.rate.get())) as u64,
        };
        self.start.after(ns)
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
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let own = due.saturating_sub(self.first).div_ceil(self.step);
        own.min(self.count)
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

    proptest! {
        /// Otherwise more senders would be another load.
        #[test]
        fn parts_send_together_what_one_sends(
            rate in 1u64..100_000,
            parts in 1u32..9,
            count in 0u64..200,
        ) {
            let rate = NonZeroU64::new(rate).expect("from 1");
            let whole = Pace::counted(Nanos(7), rate, count);
            let mut times = Vec::new();
            for part in (0..parts).map(|part| whole.part(part, parts)) {
                let own: Vec<Nanos> = (0..part.count()).map(|n| part.intended(n)).collect();
                for (sent, at) in own.iter().enumerate() {
                    prop_assert!(part.due(at.after(1)) > sent as u64);
                }
                times.extend(own);
            }
            times.sort_unstable();
            let expected: Vec<Nanos> = (0..count).map(|n| whole.intended(n)).collect();
            prop_assert_eq!(times, expected);
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
