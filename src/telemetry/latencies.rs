//! Latencies that one thread records and any other may read meanwhile, without a lock.
//!
//! The buckets are those of a HDR histogram of three significant digits, so that a copy of them is
//! one: see <https://hdrhistogram.github.io/HdrHistogram/>.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use super::{LATENCY_NS_MAX, Stage, StageHistograms, empty_histogram};

/// [`LATENCY_NS_MAX`] has so many bits.
pub(super) const LATENCY_BITS_MAX: u32 = u64::BITS - LATENCY_NS_MAX.leading_zeros();

/// Half of a bucket's linear part is 2^this: latencies below 2^11 ns are told apart exactly, others by
/// one part in 2^10, which is three significant digits.
const HALF_BITS: u32 = 10;

/// Place of the longest latency, and one.
const CELLS: usize = place(HALF_BITS, LATENCY_NS_MAX) + 1;

/// Which cell counts a latency, where half of a bucket's linear part is 2^`half_bits`.
pub(super) const fn place(half_bits: u32, latency_ns: u64) -> usize {
    let bits = u64::BITS - latency_ns.leading_zeros();
    let shift = bits.saturating_sub(half_bits + 1);
    ((shift as usize) << half_bits) + (latency_ns >> shift) as usize
}

/// The shortest latency that the cell counts.
pub(super) const fn shortest(half_bits: u32, place: usize) -> u64 {
    let shift = (place >> half_bits).saturating_sub(1);
    ((place - (shift << half_bits)) as u64) << shift
}

/// Bounds of the exported buckets, in nanoseconds: 1, 2 and 5 of each decade from 1 µs to 10 s.
pub const BUCKET_NS: [u64; 22] = {
    let mut bounds = [0; 22];
    let mut at = 0;
    let mut decade = 1000;
    while at < bounds.len() {
        bounds[at] = decade * [1, 2, 5][at % 3];
        at += 1;
        if at.is_multiple_of(3) {
            decade *= 10;
        }
    }
    bounds
};

const _: () = assert!(BUCKET_NS[21] == 10_000_000_000 && BUCKET_NS[21] < LATENCY_NS_MAX);

/// Latencies by bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// How many latencies were at most as long as each of [`BUCKET_NS`] and longer than the one
    /// before; the last one counts the rest. Bounds beyond 2 µs are off by a thousandth at the most.
    pub counts: [u64; BUCKET_NS.len() + 1],
    /// The sum of all latencies in nanoseconds; wraps at 2^64.
    pub sum_ns: u64,
}

impl Buckets {
    /// How many latencies there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// Not shared with what another thread writes: 220 KB apiece, and nothing else beside them.
#[derive(Debug)]
#[repr(align(128))]
struct Cells {
    counts: [AtomicU64; CELLS],
    sum_ns: AtomicU64,
}

impl Cells {
    fn new() -> Arc<Cells> {
        Arc::new(Cells {
            counts: [const { AtomicU64::new(0) }; CELLS],
            sum_ns: AtomicU64::new(0),
        })
    }
}

/// Makes a histogram of latencies from 1 ns to [`LATENCY_NS_MAX`]. The writer goes to the thread
/// that records, the reader to whoever wants to look. All memory, 220 KB, is taken here.
pub fn latencies() -> (LatencyWriter, LatencyReader) {
    let cells = Cells::new();
    let writer = LatencyWriter(Arc::clone(&cells));
    (writer, LatencyReader(cells))
}

/// The one writer of a histogram. Not `Clone`: with a single writer a count needs no locked
/// instruction.
#[derive(Debug)]
pub struct LatencyWriter(Arc<Cells>);

impl LatencyWriter {
    /// Records a latency. One out of the range counts as the range's end.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        self.record_n(latency_ns, 1);
    }

    /// Records the same latency `count` times.
    #[inline]
    pub fn record_n(&mut self, latency_ns: u64, count: u64) {
        let latency_ns = latency_ns.clamp(1, LATENCY_NS_MAX);
        add(&self.0.counts[place(HALF_BITS, latency_ns)], count);
        add(&self.0.sum_ns, latency_ns.wrapping_mul(count));
    }
}

/// Load and store instead of `fetch_add`: nobody else writes, so nothing can come between.
#[inline]
fn add(cell: &AtomicU64, amount: u64) {
    let value = cell.load(Ordering::Relaxed).wrapping_add(amount);
    cell.store(value, Ordering::Relaxed);
}

/// Reads a histogram.
#[derive(Clone, Debug)]
pub struct LatencyReader(Arc<Cells>);

impl LatencyReader {
    /// What was recorded so far. Cells are read one after the other: what is recorded meanwhile may
    /// be in it or not.
    pub fn snapshot(&self) -> Histogram<u64> {
        let mut copy = empty_histogram();
        for (place, count) in self.0.counts.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                copy.saturating_record_n(shortest(HALF_BITS, place), count);
            }
        }
        copy
    }

    /// What was recorded so far, by [`BUCKET_NS`].
    pub fn buckets(&self) -> Buckets {
        let mut buckets = Buckets {
            sum_ns: self.sum_ns(),
            ..Buckets::default()
        };
        let mut from = 0;
        for (count, bound) in buckets.counts.iter_mut().zip(BUCKET_NS) {
            let end = place(HALF_BITS, bound) + 1;
            *count = self.sum_of(from..end);
            from = end;
        }
        buckets.counts[BUCKET_NS.len()] = self.sum_of(from..CELLS);
        buckets
    }

    fn sum_of(&self, cells: Range<usize>) -> u64 {
        let cells = self.0.counts[cells].iter();
        cells.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The sum of all latencies so far, in nanoseconds. Wraps at 2^64.
    pub fn sum_ns(&self) -> u64 {
        self.0.sum_ns.load(Ordering::Relaxed)
    }
}

/// Makes a histogram for each [`Stage`] of one core.
pub fn stages() -> (StageWriter, StageReader) {
    let pairs = Stage::ALL.map(|_| latencies());
    let readers = pairs.each_ref().map(|(_, reader)| reader.clone());
    (
        StageWriter {
            writers: pairs.map(|(writer, _)| writer),
            runs: [Run::default(); Stage::COUNT],
        },
        StageReader(readers),
    )
}

/// Where one core records the latencies of its stages.
///
/// Transactions of a group have most of their stages' latencies in common, since they count from one
/// duty cycle to another. So the same latency again is only counted, and written down once.
#[derive(Debug)]
pub struct StageWriter {
    writers: [LatencyWriter; Stage::COUNT],
    runs: [Run; Stage::COUNT],
}

/// A latency that was recorded so often in a row, and not yet written down.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    latency_ns: u64,
    count: u64,
}

impl StageWriter {
    /// Records one latency. Readers see it after [`StageWriter::end_cycle`] at the latest.
    #[inline]
    pub fn record(&mut self, stage: Stage, latency_ns: u64) {
        let run = &mut self.runs[stage.index()];
        if run.latency_ns == latency_ns {
            run.count += 1;
            return;
        }
        let next = Run {
            latency_ns,
            count: 1,
        };
        let last = std::mem::replace(run, next);
        if last.count > 0 {
            self.writers[stage.index()].record_n(last.latency_ns, last.count);
        }
    }

    /// Bytes of the histograms.
    pub fn bytes(&self) -> usize {
        self.writers.len() * size_of::<Cells>()
    }

    /// Lets readers see all that was recorded.
    #[inline]
    pub fn end_cycle(&mut self) {
        for (run, writer) in self.runs.iter_mut().zip(&mut self.writers) {
            if run.count > 0 {
                writer.record_n(run.latency_ns, run.count);
                run.count = 0;
            }
        }
    }
}

/// Reads the latencies of a core's stages.
#[derive(Clone, Debug)]
pub struct StageReader([LatencyReader; Stage::COUNT]);

impl StageReader {
    /// The histogram of a stage.
    pub fn of(&self, stage: Stage) -> &LatencyReader {
        &self.0[stage.index()]
    }

    /// What was recorded so far.
    pub fn snapshot(&self) -> StageHistograms {
        StageHistograms::of(Stage::ALL.map(|stage| self.of(stage).snapshot()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A copy is what the crate itself would have recorded.
        #[test]
        fn a_snapshot_is_the_histogram_of_the_same_latencies(
            latencies_ns in proptest::collection::vec((0u32..37, any::<u64>()), 1..200)
        ) {
            let (mut writer, reader) = latencies();
            let mut expected = empty_histogram();
            let mut sum = 0;
            for (bits, random) in latencies_ns {
                let latency_ns = random & ((1 << bits) - 1);
                writer.record(latency_ns);
                expected.saturating_record(latency_ns.clamp(1, LATENCY_NS_MAX));
                sum += latency_ns.clamp(1, LATENCY_NS_MAX);
            }
            let found = reader.snapshot();
            prop_assert_eq!(found.len(), expected.len());
            for quantile in [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
                prop_assert_eq!(
                    found.value_at_quantile(quantile),
                    expected.value_at_quantile(quantile)
                );
            }
            prop_assert_eq!(reader.sum_ns(), sum);
        }
    }

    #[test]
    fn buckets_count_what_is_at_most_their_bound() {
        let (mut writer, reader) = latencies();
        for latency_ns in [1, 1000, 1001, 2000, 4_990_000, 6_000_000, u64::MAX] {
            writer.record(latency_ns);
        }
        let buckets = reader.buckets();
        assert_eq!(buckets.counts[0], 2, "1 µs is in the first one");
        assert_eq!(buckets.counts[1], 2);
        let place = |bound| BUCKET_NS.iter().position(|at| *at == bound).unwrap();
        assert_eq!(buckets.counts[place(5_000_000)], 1);
        assert_eq!(buckets.counts[place(10_000_000)], 1);
        assert_eq!(buckets.counts[BUCKET_NS.len()], 1);
        assert_eq!(buckets.count(), 7);
        assert_eq!(buckets.sum_ns, reader.sum_ns());
    }

    #[test]
    fn every_cell_is_the_place_of_its_shortest_latency() {
        for at in 0..CELLS {
            assert_eq!(place(HALF_BITS, shortest(HALF_BITS, at)), at);
        }
        assert_eq!(place(HALF_BITS, LATENCY_NS_MAX), CELLS - 1);
    }

    #[test]
    fn runs_of_one_latency_count_each_time() {
        let (mut writer, reader) = stages();
        for (latency_ns, times) in [(5_000, 3), (7_000, 1), (5_000, 2), (0, 4)] {
            for _ in 0..times {
                writer.record(Stage::Commit, latency_ns);
            }
        }
        writer.end_cycle();
        writer.end_cycle();
        let seen = reader.of(Stage::Commit).snapshot();
        let counts = [1, 5_000, 7_000].map(|latency_ns| seen.count_at(latency_ns));
        assert_eq!(counts, [4, 5, 1]);
        assert_eq!(reader.of(Stage::Commit).sum_ns(), 5 * 5_000 + 7_000 + 4);
    }

    #[test]
    fn a_reader_sees_what_another_thread_records() {
        let (mut writer, reader) = stages();
        let recording = std::thread::spawn(move || {
            for us in 1..=1000 {
                writer.record(Stage::Produce, us * 1000);
            }
            writer.end_cycle();
        });
        while reader.of(Stage::Produce).snapshot().len() < 1000 {
            std::thread::yield_now();
        }
        recording.join().unwrap();
        let seen = reader.snapshot();
        assert!((seen.summary(Stage::Produce).p50_us - 500.0).abs() < 1.0);
        assert_eq!(seen.summary(Stage::Commit).count, 0);
    }
}
