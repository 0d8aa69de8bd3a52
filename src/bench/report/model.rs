//! What a benchmark reports: the one form that the terminal, JSON, the page and the comparison read.
//!
//! Its keys in JSON are an interface: keys may come, none is renamed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::bench::floor::Floor;
use crate::bench::meters::{Count, Snapshot, Span};
use crate::bench::target::{TargetFacts, Usage};

/// A percentile is only told where at least so many samples lie beyond it.
const SAMPLES_BEYOND_MIN: f64 = 10.0;

/// What `corelane bench` was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Open loop at a rate.
    Latency,
    /// How much is taken.
    Throughput,
    /// Several of these, side by side.
    Sweep,
}

/// A whole report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was asked for.
    pub bench: Kind,
    /// Version of this program.
    pub corelane: String,
    /// When it was begun: milliseconds since 1970.
    pub started_ms: u64,
    /// What it ran on.
    pub machine: Machine,
    /// What the host can do without us, measured in the same run; none where it was left out.
    pub floor: Option<Floor>,
    /// One run for each repetition, or for each point of a sweep.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// What the load was put on.
    pub target: TargetFacts,
    /// What was asked for.
    pub settings: Settings,
    /// Why it ended early; what is told then is of the part before. None for a whole run.
    pub partial: Option<String>,
    /// What came of it.
    pub load: Reached,
    /// By the names of [`Span`], without the warm-up.
    pub latency: BTreeMap<String, Latencies>,
    /// In order of time, warm-up included.
    pub series: Vec<Point>,
    /// What it cost.
    pub usage: Used,
    /// Figures divided by those of the floor, by name, as in `produce_p50_per_write_sync_p50`.
    pub ratio_to_floor: BTreeMap<String, f64>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Records a second in all; none for as fast as they are taken.
    pub rate: Option<u64>,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// What the values are made of.
    pub payload: String,
    /// `none`, `leader` or `all`.
    pub acks: String,
    /// Seconds that are measured.
    pub duration_s: f64,
    /// Seconds before, which are not.
    pub warmup_s: f64,
    /// Topics.
    pub topics: u32,
    /// Partitions of each.
    pub partitions: u32,
    /// Cores of the node in this process; none where there is none.
    pub cores: Option<u16>,
    /// Threads that send.
    pub producers: u32,
    /// Threads that read; 0 where the engine's handler does.
    pub consumers: u32,
}

/// The load that came about, after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Records handed over, a second.
    pub sent_per_s: f64,
    /// Records acknowledged, a second.
    pub acked_per_s: f64,
    /// Bytes of their values, a second.
    pub bytes_per_s: f64,
    /// Records consumed, a second.
    pub received_per_s: f64,
    /// Records refused or given up.
    pub failed: u64,
    /// The rate asked for by the rate at which this target is saturated; none where that was not
    /// measured.
    pub share_of_saturation: Option<f64>,
    /// Records a second at saturation, from the same run.
    pub saturation_per_s: Option<f64>,
    /// Whether the sender kept to its pace: it sent at least 99 % of what was asked for, and what it
    /// had not sent at the end was due less than 100 ms ago. Latencies of a run that did not are
    /// those of a growing queue.
    pub kept_pace: bool,
}

/// Latencies in microseconds. A percentile that has fewer than ten samples beyond it is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// How many were measured.
    pub count: u64,
    /// Their mean.
    pub mean_us: Option<f64>,
    /// Half took no longer.
    pub p50_us: Option<f64>,
    /// 75 of 100.
    pub p75_us: Option<f64>,
    /// 90 of 100.
    pub p90_us: Option<f64>,
    /// 95 of 100.
    pub p95_us: Option<f64>,
    /// 99 of 100.
    pub p99_us: Option<f64>,
    /// 999 of 1,000.
    pub p999_us: Option<f64>,
    /// 9,999 of 10,000.
    pub p9999_us: Option<f64>,
    /// The longest.
    pub max_us: Option<f64>,
    /// For curves: share of samples, and the latency that these did not exceed; ascending, up to
    /// the longest.
    pub curve: Vec<(f64, f64)>,
}

impl Latencies {
    /// The figures of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Latencies {
        let count = histogram.len();
        if count == 0 {
            return Latencies::default();
        }
        let us = |ns: u64| ns as f64 / 1e3;
        let value = |quantile| us(histogram.value_at_quantile(quantile).min(histogram.max()));
        let at = |quantile: f64| {
            let beyond = (1.0 - quantile) * count as f64;
            (beyond + 1e-9 >= SAMPLES_BEYOND_MIN).then(|| value(quantile))
        };
        Latencies {
            count,
            mean_us: Some(histogram.mean() / 1e3),
            p50_us: at(0.5),
            p75_us: at(0.75),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: Some(us(histogram.max())),
            curve: curve(histogram),
        }
    }

    /// The percentile told under this name, as in `p999`.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "p50" => self.p50_us,
            "p75" => self.p75_us,
            "p90" => self.p90_us,
            "p95" => self.p95_us,
            "p99" => self.p99_us,
            "p999" => self.p999_us,
            "p9999" => self.p9999_us,
            "max" => self.max_us,
            "mean" => self.mean_us,
            _ => None,
        }
    }
}

/// Five steps for each halving of what lies beyond, as HdrHistogram's own tools print.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let steps = histogram.iter_quantiles(5);
    steps
        .map(|step| {
            let value = step.value_iterated_to().min(histogram.max());
            (step.quantile_iterated_to(), value as f64 / 1e3)
        })
        .collect()
}

/// What a short while of a run was like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its end: seconds since the load began; below 0 in the warm-up.
    pub at_s: f64,
    /// Records acknowledged, a second.
    pub acked_per_s: f64,
    /// Records consumed, a second.
    pub received_per_s: f64,
    /// By the names of [`Span`].
    pub latency: BTreeMap<String, PointLatency>,
}

/// Latencies of a short while, in microseconds; none where there are too few samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PointLatency {
    /// Median.
    pub p50_us: Option<f64>,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// 99.9th percentile.
    pub p999_us: Option<f64>,
    /// The longest.
    pub max_us: Option<f64>,
}

/// What a run cost, after the warm-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// Share of the time that each core of a node of this process had work.
    pub core_busy: Vec<f64>,
    /// CPUs that this process kept busy on average, spinning included.
    pub cpus: f64,
    /// Memory of this process at the end, in bytes.
    pub resident_bytes: u64,
    /// Bytes written to devices for each byte of the values acknowledged.
    pub written_per_byte: Option<f64>,
    /// Bytes written to devices, a second.
    pub written_bytes_per_s: f64,
}

impl Used {
    /// Between two looks, `seconds` apart, in which `bytes` of values were acknowledged.
    pub fn between(before: &Usage, after: &Usage, seconds: f64, bytes: f64) -> Used {
        let written = after.written_bytes.saturating_sub(before.written_bytes) as f64;
        let busy = before.busy_ns.iter().zip(&after.busy_ns);
        Used {
            core_busy: busy
                .map(|(before, after)| after.saturating_sub(*before) as f64 / 1e9 / seconds)
                .collect(),
            cpus: (after.cpu_s - before.cpu_s) / seconds,
            resident_bytes: after.resident_bytes,
            written_per_byte: (bytes > 0.0).then(|| written / bytes),
            written_bytes_per_s: written / seconds,
        }
    }
}

impl Point {
    /// What came in `seconds` that ended at `at_s`.
    pub fn of(snapshot: &Snapshot, at_s: f64, seconds: f64) -> Point {
        let latency = |span: Span| {
            let of = Latencies::of(snapshot.span(span));
            let point = PointLatency {
                p50_us: of.p50_us,
                p99_us: of.p99_us,
                p999_us: of.p999_us,
                max_us: of.max_us,
            };
            (span.name().to_owned(), point)
        };
        Point {
            at_s,
            acked_per_s: snapshot.count(Count::Acked) as f64 / seconds,
            received_per_s: snapshot.count(Count::Received) as f64 / seconds,
            latency: Span::ALL.into_iter().map(latency).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::empty_histogram;

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        let mut histogram = empty_histogram();
        for us in 1..=999 {
            histogram.saturating_record(us * 1000);
        }
        let few = Latencies::of(&histogram);
        assert!(few.p95_us.is_some() && few.p99_us.is_none());
        histogram.saturating_record(1_000_000);
        let enough = Latencies::of(&histogram);
        assert!((enough.p99_us.unwrap() - 990.0).abs() < 1.0);
        assert_eq!(enough.p999_us, None);
        assert!((enough.max_us.unwrap() - 1000.0).abs() < 1.0);
        let (share, longest) = *enough.curve.last().unwrap();
        assert_eq!((share, longest), (1.0, enough.max_us.unwrap()));
        assert_eq!(Latencies::of(&empty_histogram()), Latencies::default());
    }
}
