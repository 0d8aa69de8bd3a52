//! The result of a workload as JSON, with the names of the OpenMessaging Benchmark.
//!
//! Owns: these names and their units: milliseconds, and microseconds for the publish delay. Never
//! does: decide what is measured. A percentile with fewer than ten samples beyond it is `null`; what the
//! original does not have stands in the object `corelane`.

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::file::Workload;
use crate::bench::meters::{Count, Snapshot, Span};
use crate::bench::target::TargetFacts;

/// Samples beyond a percentile that is told.
const SAMPLES_BEYOND_MIN: f64 = 10.0;

/// What a short while of the test was like.
#[derive(Clone, Debug)]
pub struct Period {
    /// Its length.
    pub seconds: f64,
    /// What came in it.
    pub recorded: Snapshot,
    /// Records acknowledged and not consumed at its end, summed over all subscriptions.
    pub backlog: u64,
}

/// What came of a test.
#[derive(Clone, Debug, Default)]
pub struct Tested {
    /// In order of time.
    pub periods: Vec<Period>,
    /// All that was recorded, also of records whose answers came after the last period.
    pub total: Snapshot,
    /// Records a second that were asked for in the end.
    pub rate: u64,
    /// Why it ended early.
    pub partial: Option<String>,
    /// What somebody who reads the figures should know.
    pub notes: Vec<String>,
}

/// What the original has no name for.
#[derive(Clone, Debug, Serialize)]
pub struct Circumstances {
    /// Version of this program.
    pub version: String,
    /// What the load was put on.
    pub target: TargetFacts,
    /// How much longer a minute of the workload took.
    pub duration_scale: f64,
    /// Records a second that were asked for.
    pub rate: u64,
    /// Why the test ended early; none for a whole one.
    pub partial: Option<String>,
    /// What somebody who reads the figures should know.
    pub notes: Vec<String>,
}

/// In which unit latencies are told.
#[derive(Clone, Copy)]
enum Unit {
    Millis,
    WholeMicros,
}

/// Names of the percentiles, with their shares.
const PERCENTILES: &[(&str, f64)] = &[
    ("50pct", 0.5),
    ("75pct", 0.75),
    ("95pct", 0.95),
    ("99pct", 0.99),
    ("999pct", 0.999),
    ("9999pct", 0.9999),
    ("99999pct", 0.99999),
];

/// What is timed, by the names of the original: of each period, and of all.
const TIMED: &[(&str, &str, Span, Unit)] = &[
    (
        "publishLatency",
        "aggregatedPublishLatency",
        Span::Produce,
        Unit::Millis,
    ),
    (
        "publishDelayLatency",
        "aggregatedPublishDelayLatency",
        Span::PublishDelay,
        Unit::WholeMicros,
    ),
    (
        "endToEndLatency",
        "aggregatedEndToEndLatency",
        Span::EndToEnd,
        Unit::Millis,
    ),
];

/// The result.
pub fn to_json(
    workload: &Workload,
    driver: &str,
    tested: &Tested,
    circumstances: &Circumstances,
) -> Value {
    let mut map = Map::new();
    let mut set = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    set("workload", json!(workload.name));
    set("driver", json!(driver));
    set("messageSize", json!(workload.message_size));
    set("topics", json!(workload.topics));
    set("partitions", json!(workload.partitions_per_topic));
    set("producersPerTopic", json!(workload.producers_per_topic));
    set(
        "consumersPerTopic",
        json!(workload.consumer_per_subscription),
    );
    let rates = |count: Count| -> Value {
        let periods = tested.periods.iter();
        let rate = |period: &Period| period.recorded.count(count) as f64 / period.seconds;
        periods.map(rate).collect::<Vec<f64>>().into()
    };
    set("publishRate", rates(Count::Acked));
    set("publishErrorRate", rates(Count::Failed));
    set("consumeRate", rates(Count::Received));
    let backlog = tested.periods.iter().map(|period| period.backlog);
    set("backlog", backlog.collect::<Vec<u64>>().into());
    for (of_period, of_all, span, unit) in TIMED {
        let histograms = tested.periods.iter().map(|it| it.recorded.span(*span));
        let each: Vec<Vec<Value>> = histograms.map(|it| stats(it, *unit)).collect();
        let total = tested.total.span(*span);
        for (at, (name, value)) in stat_names().zip(stats(total, *unit)).enumerate() {
            let series: Vec<Value> = each.iter().map(|stats| stats[at].clone()).collect();
            set(&format!("{of_period}{name}"), series.into());
            set(&format!("{of_all}{name}"), value);
        }
        set(&format!("{of_all}Quantiles"), quantiles(total, *unit));
    }
    set("corelane", json!(circumstances));
    Value::Object(map)
}

fn stat_names() -> impl Iterator<Item = &'static str> {
    let percentiles = PERCENTILES.iter().map(|(name, _)| *name);
    ["Avg"].into_iter().chain(percentiles).chain(["Max"])
}

/// Mean, percentiles and maximum, in the order of [`stat_names`].
fn stats(histogram: &Histogram<u64>, unit: Unit) -> Vec<Value> {
    let count = histogram.len();
    let of_any = |value: Value| if count == 0 { Value::Null } else { value };
    let at = |share: f64| {
        let beyond = (1.0 - share) * count as f64;
        // What is exactly ten must not fail by the last bit.
        if beyond + 1e-6 < SAMPLES_BEYOND_MIN {
            return Value::Null;
        }
        let value = histogram.value_at_quantile(share);
        unit.told(value.min(histogram.max()))
    };
    let mean = match unit {
        Unit::Millis => json!(histogram.mean() / 1e6),
        Unit::WholeMicros => json!(histogram.mean() / 1e3),
    };
    let mut stats = vec![of_any(mean)];
    stats.extend(PERCENTILES.iter().map(|(_, share)| at(*share)));
    stats.push(of_any(unit.told(histogram.max())));
    stats
}

/// By percentile, a hundred steps for each halving of what lies beyond.
fn quantiles(histogram: &Histogram<u64>, unit: Unit) -> Value {
    let mut map = Map::new();
    for step in histogram.iter_quantiles(100) {
        // Steps add up to 10.000000000000002 and the like.
        let percentile = (step.quantile_iterated_to() * 1e11).round() / 1e9;
        let value = step.value_iterated_to().min(histogram.max());
        map.insert(format!("{percentile:?}"), unit.told(value));
    }
    Value::Object(map)
}

impl Unit {
    fn told(self, ns: u64) -> Value {
        match self {
            Unit::Millis => json!(ns as f64 / 1e6),
            Unit::WholeMicros => json!(ns / 1_000),
        }
    }
}
