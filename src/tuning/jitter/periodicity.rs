//! What the rhythm of gaps says about where they come from.
//!
//! Owns: the autocorrelation of the moments at which gaps began, and the meaning of known periods.
//! Never does: proof; a hint says where to look.

use serde::{Deserialize, Serialize};

use super::meter::Gap;

/// How many other periods of the tick are looked for.
const SHARING_TICKS_MAX: u64 = 6;

/// Share of gaps that must have a follower one period later.
const SHARE_MIN: f64 = 0.5;

/// How often a follower must be likelier than by chance.
const OVER_CHANCE_MIN: f64 = 3.0;

/// Gaps that can have a follower, at the least: two are no rhythm.
const EVENTS_MIN: usize = 4;

/// Rates of the kernel's tick (CONFIG_HZ).
pub const TICK_RATES_HZ: [u64; 4] = [1000, 300, 250, 100];

/// A rhythm that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hint {
    /// Nanoseconds from one gap to the next.
    pub period_ns: u64,
    /// Share of the gaps that have a follower one period later, 0 to 1.
    pub share: f64,
    /// What has this rhythm.
    pub likely: String,
}

struct Candidate {
    period_ns: u64,
    likely: String,
}

/// What repeats in `gaps`, which are in order of time; the shortest period first, its multiples left
/// out. `tick_hz` is the kernel's tick, where it is known.
pub fn hints(gaps: &[Gap], tick_hz: Option<u64>) -> Vec<Hint> {
    let mut found: Vec<Hint> = Vec::new();
    for candidate in candidates(tick_hz) {
        let is_multiple = found
            .iter()
            .any(|hint| is_multiple(candidate.period_ns, hint.period_ns));
        if is_multiple {
            continue;
        }
        if let Some(share) = share(gaps, candidate.period_ns) {
            found.push(Hint {
                period_ns: candidate.period_ns,
                share,
                likely: candidate.likely,
            });
        }
    }
    found
}

/// Shortest first, so that multiples are known as such.
fn candidates(tick_hz: Option<u64>) -> Vec<Candidate> {
    let candidate = |period_ns, likely: &str| Candidate {
        period_ns,
        likely: likely.to_owned(),
    };
    let mut all: Vec<Candidate> = TICK_RATES_HZ
        .into_iter()
        .filter(|hz| tick_hz.is_none_or(|known| known == *hz))
        .map(|hz| candidate(1_000_000_000 / hz, &format!("the tick of {hz} Hz")))
        .collect();
    if let Some(hz) = tick_hz {
        all.extend((2..=SHARING_TICKS_MAX).map(|ticks| {
            candidate(
                ticks * 1_000_000_000 / hz,
                &format!("{ticks} ticks: another runnable thread shares the CPU"),
            )
        }));
    }
    all.extend([
        candidate(
            500_000_000,
            "the clock source's watchdog, which visits each CPU in turn",
        ),
        candidate(
            1_000_000_000,
            "once a second: the residual tick, the vmstat worker, or the throttling of real-time threads \
             (then 50 ms long)",
        ),
        candidate(300_000_000_000, "the poll for machine checks"),
    ]);
    all.sort_by_key(|candidate| candidate.period_ns);
    all
}

fn is_multiple(period_ns: u64, of_ns: u64) -> bool {
    let rest = period_ns % of_ns;
    // 300 Hz has no whole period.
    rest.min(of_ns - rest) * 100 < of_ns
}

/// The share of gaps with a follower one period later, where that is no chance.
fn share(gaps: &[Gap], period_ns: u64) -> Option<f64> {
    let (first, last) = (gaps.first()?.at_ns, gaps.last()?.at_ns);
    // A timer is late by what its CPU does meanwhile; a period is never met to the nanosecond.
    let slack_ns = (period_ns / 50).min(1_000_000);
    let mut able = 0_usize;
    let mut followed = 0_usize;
    let mut next = 0;
    for gap in gaps {
        let expected = gap.at_ns + period_ns;
        if expected > last {
            break;
        }
        able += 1;
        while gaps[next].at_ns + slack_ns < expected {
            next += 1;
        }
        // `next` cannot run past the end: the last gap lies at or behind what is expected.
        followed += usize::from(gaps[next].at_ns <= expected + slack_ns);
    }
    if able < EVENTS_MIN {
        return None;
    }
    let share = followed as f64 / able as f64;
    // With gaps at random moments, a window of twice the slack holds one with this probability.
    let in_window = gaps.len() as f64 * 2.0 * slack_ns as f64 / (last - first) as f64;
    let chance = 1.0 - (-in_window).exp();
    (share >= SHARE_MIN && share >= OVER_CHANCE_MIN * chance).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn gaps(moments: impl IntoIterator<Item = u64>) -> Vec<Gap> {
        let mut moments: Vec<u64> = moments.into_iter().collect();
        moments.sort_unstable();
        let gap = |at_ns| Gap { at_ns, len_ns: 1 };
        moments.into_iter().map(gap).collect()
    }

    fn periods(gaps: &[Gap], tick_hz: Option<u64>) -> Vec<u64> {
        let hints = hints(gaps, tick_hz);
        hints.iter().map(|hint| hint.period_ns).collect()
    }

    /// Moments without a rhythm, the same each time.
    fn noise(count: u64, span_ns: u64) -> Vec<u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % span_ns
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn the_tick_is_found_and_its_multiples_are_not_told() {
        let tick = gaps((0..1000).map(|n| n * 4 * MS + n % 7 * 300));
        assert_eq!(periods(&tick, None), [4 * MS]);
        assert_eq!(periods(&tick, Some(250)), [4 * MS]);
        let fast = gaps((0..1000).map(|n| n * MS));
        assert_eq!(periods(&fast, None), [MS]);
    }

    #[test]
    fn sharing_a_cpu_shows_as_some_ticks() {
        let sharing = gaps((0..500).map(|n| n * 8 * MS));
        let hints = hints(&sharing, Some(250));
        assert_eq!(hints[0].period_ns, 8 * MS);
        assert!(hints[0].likely.contains("2 ticks"), "{hints:?}");
        assert_eq!(hints.len(), 1);
    }

    #[test]
    fn slow_rhythms_are_found_among_noise() {
        let seconds = (0..30).map(|n| n * 1000 * MS + 5 * MS);
        let all = gaps(seconds.chain(noise(20, 30_000 * MS)));
        assert_eq!(periods(&all, None), [1000 * MS]);
        let watchdog = gaps((0..30).map(|n| n * 500 * MS));
        assert_eq!(periods(&watchdog, None), [500 * MS]);
        let poll = gaps((0..8).map(|n| n * 300_000 * MS));
        assert_eq!(periods(&poll, None), [300_000 * MS]);
    }

    #[test]
    fn what_has_no_rhythm_gives_no_hint() {
        assert!(periods(&gaps(noise(5000, 10_000 * MS)), Some(250)).is_empty());
        assert!(periods(&gaps(noise(40, 10_000 * MS)), None).is_empty());
        assert!(periods(&gaps([0, 1000 * MS, 2000 * MS]), None).is_empty());
        assert!(periods(&[], None).is_empty());
    }
}
