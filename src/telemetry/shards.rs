//! Figures of each shard on one core: written by that core alone, once per batch, read from anywhere
//! without a lock.
//!
//! Owns: what is counted per shard, and a coarse histogram of latencies for each. Never does: anything
//! per record: what a batch came to is added when it is committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ShardCounter;
use super::latencies::{LATENCY_BITS_MAX, place, shortest};

/// Half of a bucket's linear part is 2^this: a latency is told to an eighth of itself. 2 KB a shard.
const HALF_BITS: u32 = 3;

/// Place of the longest latency, and one.
const LATENCIES: usize = place(HALF_BITS, (1 << LATENCY_BITS_MAX) - 1) + 1;

/// One shard's numbers, on cache lines that no other core writes.
#[derive(Debug)]
#[repr(align(128))]
struct Cells {
    counts: [AtomicU64; ShardCounter::COUNT],
    lag: AtomicU64,
    latencies: [AtomicU64; LATENCIES],
}

impl Cells {
    fn new() -> Cells {
        Cells {
            counts: [const { AtomicU64::new(0) }; ShardCounter::COUNT],
            lag: AtomicU64::new(0),
            latencies: [const { AtomicU64::new(0) }; LATENCIES],
        }
    }
}

/// Makes the figures of `shards` shards on one core, all at 0. A shard is named by its place: the
/// number of shards with a lower id.
pub fn shard_figures(shards: usize) -> (ShardWriter, ShardReader) {
    let cells: Arc<[Cells]> = (0..shards).map(|_| Cells::new()).collect();
    (ShardWriter(Arc::clone(&cells)), ShardReader(cells))
}

/// The one writer of a core's figures of shards. Not `Clone`, as
/// [`CounterWriter`](super::CounterWriter).
///
/// # Panics
/// Every method that takes a place panics where that is beyond the number of shards that it was made for.
#[derive(Debug)]
pub struct ShardWriter(Arc<[Cells]>);

impl ShardWriter {
    /// Adds `count`. Wraps at 2^64.
    #[inline]
    pub fn add(&mut self, shard: usize, counter: ShardCounter, count: u64) {
        add(&self.0[shard].counts[counter.index()], count);
    }

    /// Records a latency for `records` transactions of a batch.
    #[inline]
    pub fn record(&mut self, shard: usize, latency_ns: u64, records: u64) {
        let latency_ns = latency_ns.min((1 << LATENCY_BITS_MAX) - 1);
        add(
            &self.0[shard].latencies[place(HALF_BITS, latency_ns)],
            records,
        );
    }

    /// So many visible records of the shard are not processed on this core now.
    pub fn set_lag(&mut self, shard: usize, records: u64) {
        self.0[shard].lag.store(records, Ordering::Relaxed);
    }

    /// Bytes of the figures.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// Load and store instead of `fetch_add`: nobody else writes, so nothing can come between.
#[inline]
fn add(cell: &AtomicU64, amount: u64) {
    let value = cell.load(Ordering::Relaxed).wrapping_add(amount);
    cell.store(value, Ordering::Relaxed);
}

/// Reads a core's figures of shards. Of a shard that it was not made for all is 0.
#[derive(Clone, Debug)]
pub struct ShardReader(Arc<[Cells]>);

impl ShardReader {
    /// A counter's value.
    pub fn get(&self, shard: usize, counter: ShardCounter) -> u64 {
        let cells = self.0.get(shard);
        cells.map_or(0, |it| it.counts[counter.index()].load(Ordering::Relaxed))
    }

    /// Visible records that are not processed, a quarter of a second old at the most while the core
    /// works, half a second while it rests.
    pub fn lag(&self, shard: usize) -> u64 {
        let cells = self.0.get(shard);
        cells.map_or(0, |it| it.lag.load(Ordering::Relaxed))
    }

    /// Adds what was recorded so far to `sum`.
    pub fn add_latencies(&self, shard: usize, sum: &mut CoarseLatencies) {
        if let Some(cells) = self.0.get(shard) {
            for (sum, count) in sum.0.iter_mut().zip(&cells.latencies) {
                *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
            }
        }
    }
}

/// Latencies of a shard, each told to an eighth of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoarseLatencies(Box<[u64]>);

impl CoarseLatencies {
    /// None yet.
    pub fn new() -> CoarseLatencies {
        CoarseLatencies(vec![0; LATENCIES].into_boxed_slice())
    }

    /// What was recorded since `earlier`, the same shard's as it was then.
    pub fn since(&self, earlier: &CoarseLatencies) -> CoarseLatencies {
        let pairs = self.0.iter().zip(&earlier.0);
        CoarseLatencies(pairs.map(|(now, then)| now.wrapping_sub(*then)).collect())
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The latency in nanoseconds that a share of `quantile` (0 to 1) of all does not exceed, rounded up
    /// to the end of its bucket; `None` where there is none.
    pub fn at_quantile(&self, quantile: f64) -> Option<u64> {
        let wanted = (self.count() as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map(|at| shortest(HALF_BITS, at + 1) - 1)
    }
}

impl Default for CoarseLatencies {
    fn default() -> CoarseLatencies {
        CoarseLatencies::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_percentile_is_never_too_short_and_too_long_by_an_eighth_at_most(
            mut latencies_ns in proptest::collection::vec(1u64..60_000_000_000, 1..100),
            quantile in 0.0f64..=1.0,
        ) {
            let (mut writer, reader) = shard_figures(2);
            for latency_ns in &latencies_ns {
                writer.record(1, *latency_ns, 3);
            }
            let mut sum = CoarseLatencies::new();
            reader.add_latencies(1, &mut sum);
            prop_assert_eq!(sum.count(), latencies_ns.len() as u64 * 3);
            latencies_ns.sort_unstable();
            let rank = (sum.count() as f64 * quantile).ceil().max(1.0) as usize;
            let exact = latencies_ns[(rank - 1) / 3];
            let found = sum.at_quantile(quantile).unwrap();
            prop_assert!(found >= exact, "{} for {}", found, exact);
            prop_assert!(found <= exact + exact / 8, "{} for {}", found, exact);
        }
    }

    #[test]
    fn figures_of_one_shard_are_not_those_of_another() {
        let (mut writer, reader) = shard_figures(2);
        writer.add(0, ShardCounter::Processed, 5);
        writer.add(1, ShardCounter::Processed, 7);
        writer.add(1, ShardCounter::DeadLettered, 1);
        writer.set_lag(1, 9);
        assert_eq!(reader.get(0, ShardCounter::Processed), 5);
        assert_eq!(reader.get(1, ShardCounter::Processed), 7);
        assert_eq!(reader.get(1, ShardCounter::DeadLettered), 1);
        assert_eq!((reader.lag(0), reader.lag(1)), (0, 9));
        assert_eq!(reader.get(2, ShardCounter::Processed), 0);
    }

    #[test]
    fn a_difference_forgets_what_was_before_and_the_longest_still_counts() {
        let (mut writer, reader) = shard_figures(1);
        let seen = |reader: &ShardReader| {
            let mut sum = CoarseLatencies::new();
            reader.add_latencies(0, &mut sum);
            sum
        };
        writer.record(0, 1_000_000, 10);
        let before = seen(&reader);
        assert_eq!(before.since(&before).at_quantile(0.5), None);
        writer.record(0, u64::MAX, 2);
        let since = seen(&reader).since(&before);
        assert_eq!(since.count(), 2);
        assert!(since.at_quantile(0.5).unwrap() >= 60_000_000_000);
    }
}
