//! What this host can do without us, in the units of every other figure.
//!
//! Owns: the form of it. Runs on: the thread that asks, and threads that it pins for a moment.

use serde::{Deserialize, Serialize};

/// The floor under all figures of a run, measured in the same run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// A write of 4 KiB and then fdatasync, one in flight.
    pub write_sync: Timing,
    /// A write of 4 KiB with O_DSYNC, one in flight, as the log does.
    pub dsync: Timing,
    /// Sequential O_DIRECT writes of 1 MiB, 8 in flight: bytes a second.
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
