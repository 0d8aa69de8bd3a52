//! What gaps mean for work that arrives at any time.
//!
//! Owns: the random-arrival wait. Never does: measuring.
//!
//! Work that arrives at a uniformly random moment of a span `T` waits longer than `x` if it arrives
//! in a gap with more than `x` of it left: `P(W > x) = sum(max(0, g - x)) / T` over all gaps `g`.
//! That needs no patch for coordinated omission: a gap of 10 ms counts with all moments that fall
//! into it, although it was seen once.

/// Nanoseconds that a computed wait may lie above the true one.
const ROUNDING: f64 = 1e-3;

/// A quantile of the wait, in nanoseconds: the smallest `x` with `P(W > x) <= 1 - quantile`. 0 where
/// that much of the span lies in no gap at all.
///
/// `gaps` are lengths with how often each occurred, in any order; `quantile` lies between 0 and 1.
pub fn wait_ns(gaps: &[(u64, u64)], span_ns: u64, quantile: f64) -> u64 {
    let allowed = (1.0 - quantile) * span_ns as f64;
    let mut longest_first = gaps.to_vec();
    longest_first.sort_unstable_by_key(|(length, _)| std::cmp::Reverse(*length));
    let (mut count, mut sum) = (0.0, 0.0);
    for (at, (length, times)) in longest_first.iter().enumerate() {
        count += *times as f64;
        sum += *length as f64 * *times as f64;
        let shorter = longest_first.get(at + 1).map_or(0, |(length, _)| *length);
        // Between this length and the next, the sum falls by `count` for each nanosecond of x.
        if sum - count * shorter as f64 > allowed {
            let wait = (sum - allowed) / count;
            // The quantile has no exact binary form: what is whole but for that is whole.
            return ((wait - ROUNDING).ceil().max(shorter as f64) as u64).min(*length);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition: x counted up until few enough moments wait longer.
    fn by_counting(gaps: &[(u64, u64)], span_ns: u64, quantile: f64) -> u64 {
        let allowed = (1.0 - quantile) * span_ns as f64;
        (0..)
            .find(|x| {
                let over: u64 = gaps
                    .iter()
                    .map(|(length, times)| length.saturating_sub(*x) * times)
                    .sum();
                over as f64 <= allowed
            })
            .unwrap()
    }

    #[test]
    fn one_long_gap_counts_with_every_moment_in_it() {
        // 10 ms of 1 s: a hundredth of all moments.
        let gaps = [(10_000_000, 1)];
        assert_eq!(wait_ns(&gaps, 1_000_000_000, 0.99), 0);
        assert_eq!(wait_ns(&gaps, 1_000_000_000, 0.999), 9_000_000);
        assert_eq!(wait_ns(&gaps, 1_000_000_000, 0.9999), 9_900_000);
        assert_eq!(wait_ns(&[], 1_000_000_000, 0.9999), 0);
        assert_eq!(wait_ns(&[(10, 1)], 0, 0.5), 10, "no span: all of it is gap");
    }

    proptest! {
        #[test]
        fn it_is_what_counting_gives(
            gaps in prop::collection::vec((1_u64..500, 1_u64..20), 0..12),
            idle in 0_u64..100_000,
            quantile in prop::sample::select(vec![0.0, 0.5, 0.9, 0.99, 0.999, 0.9999]),
        ) {
            let span = idle + gaps.iter().map(|(length, times)| length * times).sum::<u64>();
            let exact = by_counting(&gaps, span, quantile);
            let found = wait_ns(&gaps, span, quantile);
            // Sums of floats: at a bound either side may be taken.
            prop_assert!(found.abs_diff(exact) <= 1, "{found} for {exact}");
        }

        #[test]
        fn order_and_splitting_do_not_matter(
            gaps in prop::collection::vec((1_u64..1_000_000, 1_u64..20), 1..12),
        ) {
            let span = 10_000_000_000;
            let split: Vec<(u64, u64)> = gaps
                .iter()
                .rev()
                .flat_map(|(length, times)| vec![(*length, 1); *times as usize])
                .collect();
            for quantile in [0.999, 0.9999] {
                let (whole, parts) = (wait_ns(&gaps, span, quantile), wait_ns(&split, span, quantile));
                prop_assert!(whole.abs_diff(parts) <= 1);
            }
        }
    }
}
