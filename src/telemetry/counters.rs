//! Counters of one core: written by that core alone, read from anywhere without a lock.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counter, FlowReader, FlowWriter, ShardReader, ShardWriter, flows, shard_figures};

/// The numbers, on cache lines that no other core writes. 128 bytes: processors fetch lines in
/// pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Cells([AtomicU64; Counter::COUNT]);

/// Makes the counters of one core, all at 0, those of `shards` shards on it, and its flows. The writer goes to the
/// core, the reader to whoever wants to look.
pub fn counters(shards: usize) -> (CounterWriter, CounterReader) {
    let (shard_writer, shard_reader) = shard_figures(shards);
    let (flow_writer, flow_reader) = flows();
    let cells = Arc::new(Cells([const { AtomicU64::new(0) }; Counter::COUNT]));
    (
        CounterWriter {
            cells: cells.clone(),
            shards: shard_writer,
            flows: flow_writer,
        },
        CounterReader {
            cells,
            shards: shard_reader,
            flows: flow_reader,
        },
    )
}

/// The one writer of a core's counters. Not `Clone`: with a single writer a count needs no locked
/// instruction.
#[derive(Debug)]
pub struct CounterWriter {
    cells: Arc<Cells>,
    /// The same for each shard.
    pub shards: ShardWriter,
    /// From where to which shard.
    pub flows: FlowWriter,
}

impl CounterWriter {
    /// Adds `count`. Wraps at 2^64.
    #[inline]
    pub fn add(&mut self, counter: Counter, count: u64) {
        let cell = &self.cells.0[counter.index()];
        // Load and store instead of fetch_add: nobody else writes, so nothing can come between.
        let value = cell.load(Ordering::Relaxed).wrapping_add(count);
        cell.store(value, Ordering::Relaxed);
    }

    /// Adds 1.
    #[inline]
    pub fn increment(&mut self, counter: Counter) {
        self.add(counter, 1);
    }
}

/// Reads a core's counters.
#[derive(Debug, Clone)]
pub struct CounterReader {
    cells: Arc<Cells>,
    /// The same for each shard.
    pub shards: ShardReader,
    /// From where to which shard.
    pub flows: FlowReader,
}

impl CounterReader {
    /// The counter's value, at most a moment old.
    pub fn get(&self, counter: Counter) -> u64 {
        self.cells.0[counter.index()].load(Ordering::Relaxed)
    }

    /// All values. They are read one after the other, so two of them may be a moment apart.
    pub fn snapshot(&self) -> CounterSnapshot {
        CounterSnapshot(Counter::ALL.map(|counter| self.get(counter)))
    }
}

/// Values of all counters: of one core, or added up over several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterSnapshot([u64; Counter::COUNT]);

impl CounterSnapshot {
    /// The counter's value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter.index()]
    }

    /// What was counted since `earlier`, a snapshot of the same counters. Counters are never
    /// reset, so that the writer does not pay for it.
    pub fn since(&self, earlier: &CounterSnapshot) -> CounterSnapshot {
        CounterSnapshot(
            Counter::ALL.map(|counter| self.get(counter).wrapping_sub(earlier.get(counter))),
        )
    }
}

impl Default for CounterSnapshot {
    fn default() -> CounterSnapshot {
        CounterSnapshot([0; Counter::COUNT])
    }
}

impl AddAssign<&CounterSnapshot> for CounterSnapshot {
    fn add_assign(&mut self, other: &CounterSnapshot) {
        for (sum, value) in self.0.iter_mut().zip(other.0) {
            *sum = sum.wrapping_add(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_on_another_thread_sees_every_count_once() {
        let (mut writer, reader) = counters(0);
        let looker = std::thread::spawn(move || {
            let mut last = 0;
            while last < 100_000 {
                let seen = reader.get(Counter::Submitted);
                assert!(seen >= last, "a counter never goes back");
                last = seen;
            }
            reader.snapshot()
        });
        for _ in 0..100_000 {
            writer.increment(Counter::Submitted);
        }
        writer.add(Counter::SubmittedBytes, 4096);
        let seen = looker.join().unwrap();
        assert_eq!(seen.get(Counter::Submitted), 100_000);
        assert_eq!(seen.get(Counter::Processed), 0);
    }

    #[test]
    fn snapshots_add_up_over_cores_and_subtract_over_time() {
        let (mut writer, reader) = counters(0);
        writer.add(Counter::Processed, 5);
        let before = reader.snapshot();
        writer.add(Counter::Processed, 2);
        assert_eq!(reader.snapshot().since(&before).get(Counter::Processed), 2);

        let mut sum = CounterSnapshot::default();
        sum += &before;
        sum += &reader.snapshot();
        assert_eq!(sum.get(Counter::Processed), 12);
        assert_eq!(sum.get(Counter::Parks), 0);
    }

    #[test]
    fn the_counters_of_two_cores_share_no_cache_line() {
        assert!(align_of::<Cells>() >= 128);
        assert_eq!(size_of::<Cells>() % 128, 0);
    }
}
