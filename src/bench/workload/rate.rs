//! The search's next step: which rate is tried after one that held or did not.
//!
//! Owns: the rule, which is the OpenMessaging Benchmark's: double while nothing piles up, and go back to
//! what was done, in ever smaller steps, when something does. Never does: send.

/// Records that may pile up, at producers or consumers, before a rate counts as too high.
const BACKLOG_MAX: u64 = 1_000;

/// The smallest share by which a rate is raised.
const RAISE_MIN: f64 = 0.05;

/// What a rate came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// Seconds that it was tried for.
    pub seconds: f64,
    /// Records acknowledged by their end.
    pub published: u64,
    /// Records acknowledged and not consumed by their end, of all subscriptions.
    pub unread: u64,
}

/// Looks for the highest rate that holds.
#[derive(Clone, Debug)]
pub struct Search {
    rate: f64,
    raise: f64,
    /// The highest that held.
    held: f64,
    /// How often a rate was too high.
    misses: u32,
}

impl Search {
    /// From a rate that holds, as one hopes.
    pub fn new(rate: f64) -> Search {
        Search {
            rate,
            raise: 1.0,
            held: 0.0,
            misses: 0,
        }
    }

    /// What is to be tried.
    pub fn rate(&self) -> u64 {
        (self.rate as u64).max(1)
    }

    /// The highest rate that held; none so far if none did.
    pub fn held(&self) -> Option<u64> {
        (self.held >= 1.0).then_some(self.held as u64)
    }

    /// Takes what became of [`Search::rate`]. Whether there is sense in going on.
    pub fn next(&mut self, tried: Tried) -> bool {
        let expected = (self.rate * tried.seconds) as u64;
        let behind = expected.saturating_sub(tried.published);
        if tried.unread.max(behind) > BACKLOG_MAX {
            let excess = tried.unread.max(behind).min(expected);
            let actual = tried.published as f64 / tried.seconds;
            let kept = (expected - excess) as f64 / tried.seconds;
            self.raise = (self.raise / 4.0).max(RAISE_MIN);
            self.misses += 1;
            self.rate = 0.2 * actual + 0.8 * kept;
        } else {
            self.held = self.held.max(self.rate);
            self.rate *= 1.0 + self.raise;
        }
        // Each miss makes the next raise smaller; after three it is the smallest.
        self.misses < 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_ends_close_below_what_a_target_takes() {
        for limit in [800.0, 12_345.0, 700_000.0, 9e6] {
            let mut search = Search::new(10_000.0);
            let mut steps = 0;
            loop {
                let seconds = 3.0;
                let rate = search.rate() as f64;
                let published = (rate.min(limit) * seconds) as u64;
                let tried = Tried {
                    seconds,
                    published,
                    unread: 0,
                };
                steps += 1;
                if !search.next(tried) || steps == 100 {
                    break;
                }
            }
            let held = search.held().unwrap_or(0) as f64;
            // A backlog of a thousand records in three seconds passes for none.
            assert!(held <= limit + 334.0, "{held} of {limit}");
            assert!(held > 0.85 * limit, "{held} of {limit}");
            assert!(steps < 60, "{steps} steps to {limit}");
        }
    }

    #[test]
    fn consumers_that_fall_behind_make_a_rate_too_high() {
        let mut search = Search::new(10_000.0);
        let tried = Tried {
            seconds: 1.0,
            published: 10_000,
            unread: 5_000,
        };
        assert!(search.next(tried));
        assert_eq!(search.rate(), 6_000);
        assert_eq!(search.held(), None);
    }
}
