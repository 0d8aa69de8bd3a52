//! What this host can do without us, in the units of every other figure.
//!
//! Owns: its form, and which measurement makes which figure. Never does: leaving anything behind in
//! the directory. Runs on: the thread that asks, and threads that it pins for a moment.
//!
//! | figure | how |
//! |---|---|
//! | writes | [`crate::tuning::doctor::disk`]: blocks that were written before, in a file without a name |
//! | [`loopback`] | two blocking threads and one TCP connection |
//! | [`hop`] | two pinned threads that spin on memory they share |
//! | jitter | [`crate::tuning::jitter`]: a thread on each CPU reads its time-stamp counter all the time |

pub mod hop;
pub mod loopback;
mod measuring;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::tuning::doctor::disk::{Access, Latency};

pub use measuring::{FloorOptions, measure};

/// The 99.9th percentile is only told of at least so many samples.
const P999_COUNT_MIN: u64 = 10_000;

/// The floor under all figures of a run, measured in the same run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Whether the writes go past the page cache. Where a file system has no O_DIRECT they do not,
    /// and say less about the device.
    #[serde(default)]
    pub access: Access,
    /// A write of 4 KiB and then fdatasync, one in flight.
    pub write_sync: Timing,
    /// A write of 4 KiB with O_DSYNC, one in flight, as the log does.
    pub dsync: Timing,
    /// Sequential writes of 1 MiB, 8 in flight: bytes a second.
    pub write_bytes_per_s: f64,
    /// A message of the record's size there and back over loopback TCP, two blocking threads.
    pub loopback: Timing,
    /// Bytes a second of one loopback connection, in writes of 1 MiB.
    pub loopback_bytes_per_s: f64,
    /// From one core to another and back through shared memory; none on one CPU.
    pub hop: Option<Timing>,
    /// How long each CPU was taken away from a thread that spins.
    pub jitter: Vec<Jitter>,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile; none below 10,000 samples.
    pub p999_us: Option<f64>,
    /// The longest.
    pub max_us: f64,
}

/// Gaps in the time of one CPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jitter {
    /// Which CPU.
    pub cpu: u16,
    /// Share of the time that was lost.
    pub lost: f64,
    /// The longest gap, in microseconds.
    pub max_us: f64,
    /// How long work that arrives at any time waits: the 99.99th percentile, in microseconds.
    pub wait_p9999_us: f64,
}

impl Timing {
    /// The figures of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Timing {
        Timing::from(Latency::of(histogram))
    }
}

impl From<Latency> for Timing {
    fn from(latency: Latency) -> Timing {
        let us = |ns: u64| ns as f64 / 1e3;
        Timing {
            count: latency.count,
            p50_us: us(latency.p50_ns),
            p99_us: us(latency.p99_ns),
            p999_us: (latency.count >= P999_COUNT_MIN).then(|| us(latency.p999_ns)),
            max_us: us(latency.max_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::empty_histogram;

    #[test]
    fn few_samples_have_no_p999() {
        let mut histogram = empty_histogram();
        histogram.saturating_record_n(1_000, 9_999);
        assert_eq!(Timing::of(&histogram).p999_us, None);
        histogram.saturating_record(1_000);
        assert!(Timing::of(&histogram).p999_us.is_some());
    }
}
