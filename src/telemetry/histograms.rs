//! Latencies of one core: a histogram per stage.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Stage;

/// The longest latency that is told apart: 60 s. What took longer is recorded as this.
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// Significant decimal digits: a percentile is off by at most a thousandth of itself.
const DIGITS: u8 = 3;

/// Nothing recorded yet, from 1 ns to [`LATENCY_NS_MAX`], with three significant digits.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS)
        .expect("constant bounds that hdrhistogram allows")
}

/// One histogram for each [`Stage`], from 1 ns to [`LATENCY_NS_MAX`].
///
/// All memory is taken at creation, about 220 KB a stage, so recording never allocates. Belongs to
/// whoever made it: a copy of what a core recorded ([`super::StageReader`]), or a client's own.
#[derive(Debug, Clone)]
pub struct StageHistograms {
    stages: [Histogram<u64>; Stage::COUNT],
}

/// What is shown of a stage's histogram. All latencies in microseconds, 0 where nothing was
/// recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many latencies were recorded.
    pub count: u64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl StageHistograms {
    /// Empty histograms.
    pub fn new() -> StageHistograms {
        StageHistograms {
            stages: Stage::ALL.map(|_| empty_histogram()),
        }
    }

    /// These histograms, in the order of [`Stage::ALL`]; all made by [`empty_histogram`].
    pub(super) fn of(stages: [Histogram<u64>; Stage::COUNT]) -> StageHistograms {
        StageHistograms { stages }
    }

    /// The histogram of a stage.
    pub fn stage(&self, stage: Stage) -> &Histogram<u64> {
        &self.stages[stage.index()]
    }

    /// Records one latency. Never allocates.
    #[inline]
    pub fn record(&mut self, stage: Stage, latency_ns: u64) {
        self.record_n(stage, latency_ns, 1);
    }

    /// Records the same latency for `count` transactions, as where one sync serves a group.
    #[inline]
    pub fn record_n(&mut self, stage: Stage, latency_ns: u64, count: u64) {
        // The range is fixed, so "saturating" means: longer ones count as the longest.
        self.stages[stage.index()].saturating_record_n(latency_ns, count);
    }

    /// Adds what another core recorded.
    pub fn merge(&mut self, other: &StageHistograms) {
        for (sum, histogram) in self.stages.iter_mut().zip(&other.stages) {
            sum.add(histogram)
                .expect("all histograms are made with the same range");
        }
    }

    /// What was recorded since `earlier`, which is a clone of these as they were.
    pub fn since(&self, earlier: &StageHistograms) -> StageHistograms {
        let mut rest = self.clone();
        for (histogram, before) in rest.stages.iter_mut().zip(&earlier.stages) {
            histogram
                .subtract(before)
                .expect("nothing was forgotten since, and all have the same range");
        }
        rest
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.stages.iter_mut().for_each(Histogram::reset);
    }

    /// The figures of a stage.
    pub fn summary(&self, stage: Stage) -> Summary {
        let histogram = &self.stages[stage.index()];
        let us = |ns: u64| ns as f64 / 1000.0;
        let at = |quantile: f64| us(histogram.value_at_quantile(quantile).min(histogram.max()));
        Summary {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(histogram.max()),
        }
    }
}

impl Default for StageHistograms {
    fn default() -> StageHistograms {
        StageHistograms::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_merged_cores_are_those_of_all_their_latencies() {
        let mut first = StageHistograms::new();
        let mut second = StageHistograms::new();
        for us in 1..=500 {
            first.record(Stage::Produce, us * 1000);
            second.record(Stage::Produce, (us + 500) * 1000);
        }
        first.merge(&second);
        let summary = first.summary(Stage::Produce);
        assert_eq!(summary.count, 1000);
        for (found, expected) in [
            (summary.p50_us, 500.0),
            (summary.p90_us, 900.0),
            (summary.p99_us, 990.0),
            (summary.p999_us, 999.0),
            (summary.max_us, 1000.0),
        ] {
            let off = (found - expected).abs() / expected;
            assert!(off <= 0.001, "{found} for {expected}");
        }
        assert_eq!(first.summary(Stage::Consume), Summary::default());
    }

    #[test]
    fn what_came_since_a_clone_is_without_what_came_before() {
        let mut histograms = StageHistograms::new();
        histograms.record_n(Stage::Produce, 9_000_000, 5);
        let before = histograms.clone();
        histograms.record_n(Stage::Produce, 1_000_000, 7);
        let summary = histograms.since(&before).summary(Stage::Produce);
        assert_eq!(summary.count, 7);
        assert!((summary.max_us / 1000.0 - 1.0).abs() <= 0.001);
        let nothing = histograms.since(&histograms);
        assert_eq!(nothing.summary(Stage::Produce), Summary::default());
    }

    #[test]
    fn latencies_outside_the_range_count_as_its_ends() {
        let mut histograms = StageHistograms::new();
        histograms.record(Stage::Commit, 0);
        histograms.record_n(Stage::Commit, u64::MAX, 3);
        let summary = histograms.summary(Stage::Commit);
        assert_eq!(summary.count, 4);
        let longest_us = LATENCY_NS_MAX as f64 / 1000.0;
        assert!((summary.max_us / longest_us - 1.0).abs() <= 0.001);
        histograms.clear();
        assert_eq!(histograms.summary(Stage::Commit), Summary::default());
    }
}
