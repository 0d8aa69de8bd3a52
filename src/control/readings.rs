//! What the cores of a node count and time, for whoever wants to look at it beside them.
//!
//! Owns: nothing but ways to look. Runs on: any thread; the cores lose no time by it.

use crate::telemetry::{Counter, CounterReader, CounterSnapshot, StageHistograms, StageReader};

/// Counters and latencies of the cores of a node. Still tells of them when the node is gone.
#[derive(Clone, Debug)]
pub struct Readings(pub(super) Vec<(CounterReader, StageReader)>);

impl Readings {
    /// Counters of all cores, summed.
    pub fn counters(&self) -> CounterSnapshot {
        let mut sum = CounterSnapshot::default();
        let cores = self.0.iter();
        cores.for_each(|(counters, _)| sum += &counters.snapshot());
        sum
    }

    /// One counter of each core.
    pub fn by_core(&self, counter: Counter) -> Vec<u64> {
        let cores = self.0.iter();
        cores
            .map(|(counters, _)| counters.snapshot().get(counter))
            .collect()
    }

    /// Latencies of all cores since they started, merged.
    pub fn latencies(&self) -> StageHistograms {
        let mut sum = StageHistograms::new();
        let cores = self.0.iter();
        cores.for_each(|(_, stages)| sum.merge(&stages.snapshot()));
        sum
    }
}
