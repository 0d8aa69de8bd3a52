//! Two reports side by side: whether something became slower.
//!
//! Owns: pairing runs, ratios, their confidence intervals, the verdict. Never does: measuring. Runs
//! on: the main thread of a command.
//!
//! Runs with the same target and settings are repetitions of each other. A figure is the median over
//! them, a ratio is B's by A's. Its interval comes from the bootstrap (Efron and Tibshirani, "An
//! Introduction to the Bootstrap", 13.3): both sides are drawn again with replacement many times, and
//! the middle 95 % of the ratios that come of it count. The seed is fixed: the same two files always
//! give the same answer. Of a single run on either side there is a ratio and no interval.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::meters::Span;
use super::report::model::{Report, Run, Settings};
use super::traffic::splitmix;

/// Times that both sides are drawn again.
const DRAWS: usize = 4_000;

/// Of all draws, left out at either end.
const TAIL: f64 = 0.025;

/// Facts of a machine that change from minute to minute.
const PASSING: &str = "load_average";

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// A percentile of a latency: less is better.
    Latency(Span, Percentile),
    /// Records a second: more is better.
    Rate(Rate),
}

/// Percentiles that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Percentile {
    /// Median.
    P50,
    /// 99th.
    P99,
    /// 99.9th.
    P999,
}

/// Rates that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Records acknowledged.
    Acked,
    /// Records consumed.
    Received,
    /// Records at saturation, where that was measured.
    Saturation,
}

impl Percentile {
    const ALL: [Percentile; 3] = [Percentile::P50, Percentile::P99, Percentile::P999];

    const fn name(self) -> &'static str {
        match self {
            Percentile::P50 => "p50",
            Percentile::P99 => "p99",
            Percentile::P999 => "p999",
        }
    }
}

impl Metric {
    /// All: the percentiles of each span, then the rates.
    pub fn all() -> Vec<Metric> {
        let of_span = |span| Percentile::ALL.map(|percentile| Metric::Latency(span, percentile));
        let latencies = Span::ALL.into_iter().flat_map(of_span);
        let rates = [Rate::Acked, Rate::Received, Rate::Saturation].map(Metric::Rate);
        latencies.chain(rates).collect()
    }

    /// As in `produce_p99` and `acked_per_s`.
    pub fn name(self) -> String {
        match self {
            Metric::Latency(span, percentile) => format!("{}_{}", span.name(), percentile.name()),
            Metric::Rate(Rate::Acked) => "acked_per_s".to_owned(),
            Metric::Rate(Rate::Received) => "received_per_s".to_owned(),
            Metric::Rate(Rate::Saturation) => "saturation_per_s".to_owned(),
        }
    }

    /// The metric of this name.
    pub fn named(name: &str) -> Option<Metric> {
        Metric::all()
            .into_iter()
            .find(|metric| metric.name() == name)
    }

    fn of(self, run: &Run) -> Option<f64> {
        match self {
            Metric::Latency(span, percentile) => {
                // What only went as fast as it was answered has no latency to speak of.
                run.settings.rate?;
                run.latency.get(span.name())?.get(percentile.name())
            }
            Metric::Rate(Rate::Acked) => Some(run.load.acked_per_s),
            Metric::Rate(Rate::Received) => Some(run.load.received_per_s),
            Metric::Rate(Rate::Saturation) => run.load.saturation_per_s,
        }
    }

    /// What a ratio means. `low` and `high` bound it; both are the ratio where it has no interval.
    fn verdict(self, low: f64, high: f64, tolerance: f64) -> Verdict {
        let (is_less, is_more) = (high < 1.0 - tolerance, low > 1.0 + tolerance);
        match (self, is_less, is_more) {
            (Metric::Latency(..), _, true) | (Metric::Rate(_), true, _) => Verdict::Worse,
            (Metric::Latency(..), true, _) | (Metric::Rate(_), _, true) => Verdict::Better,
            (_, false, false) => Verdict::Alike,
        }
    }
}

/// What a ratio means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Worse by more than is tolerated: a regression.
    Worse,
    /// No more than is tolerated, or not certain to be more.
    Alike,
    /// Better by as much.
    Better,
}

/// One figure of runs with the same settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The metric's name.
    pub metric: String,
    /// Median over A's runs: microseconds, or records a second.
    pub a: f64,
    /// Median over B's runs.
    pub b: f64,
    /// B by A.
    pub ratio: f64,
    /// Where the ratio lies with 95 % confidence; none of single runs.
    pub interval: Option<(f64, f64)>,
    /// What it means.
    pub verdict: Verdict,
}

/// Runs that have their like in the other report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// What the load was put on.
    pub target: String,
    /// With what.
    pub settings: Settings,
    /// Runs of A.
    pub runs_a: usize,
    /// Runs of B.
    pub runs_b: usize,
    /// What both have.
    pub figures: Vec<Figure>,
}

/// Two reports side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// How much worse is not yet a regression, as a share.
    pub tolerance: f64,
    /// What was compared.
    pub pairs: Vec<Pair>,
    /// Figures that are worse.
    pub regressions: usize,
    /// What makes the comparison doubtful.
    pub warnings: Vec<String>,
}

/// Why two reports cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// No run of one has its like in the other.
    #[error(
        "nothing can be compared: no whole run of A ({runs_a}) has the target and settings of one of B \
         ({runs_b}); {differing}"
    )]
    NothingCommon {
        /// Whole runs of A.
        runs_a: usize,
        /// Whole runs of B.
        runs_b: usize,
        /// In what the first of each differ.
        differing: String,
    },
    /// There are common runs, and none has any of the metrics on both sides.
    #[error("nothing can be compared: neither report has any of {0} where the other has it")]
    NoFigures(String),
}

/// Compares. `tolerance` is a share: 0.05 for 5 %.
///
/// # Errors
/// There is nothing that both have.
pub fn compare(
    a: &Report,
    b: &Report,
    metrics: &[Metric],
    tolerance: f64,
) -> Result<Comparison, CompareError> {
    let mut warnings = machine_warnings(a, b);
    let groups_a = groups("A", a, &mut warnings);
    let mut groups_b = groups("B", b, &mut warnings);
    let (runs_a, runs_b) = (count(&groups_a), count(&groups_b));
    let mut pairs = Vec::new();
    let mut alone = 0;
    for (key, of_a) in groups_a {
        match groups_b.remove(&key) {
            Some(of_b) => {
                warnings.extend(target_warnings(of_a[0], of_b[0]));
                pairs.push(pair(&of_a, &of_b, metrics, tolerance));
            }
            None => alone += of_a.len(),
        }
    }
    alone += count(&groups_b);
    if pairs.is_empty() {
        return Err(CompareError::NothingCommon {
            runs_a,
            runs_b,
            differing: differing(a.runs.first(), b.runs.first()),
        });
    }
    if pairs.iter().all(|pair| pair.figures.is_empty()) {
        let names: Vec<String> = metrics.iter().map(|metric| metric.name()).collect();
        return Err(CompareError::NoFigures(names.join(", ")));
    }
    if alone > 0 {
        warnings.push(format!("{alone} runs have no like in the other report"));
    }
    let figures = pairs.iter().flat_map(|pair| &pair.figures);
    let worse = figures.filter(|figure| figure.verdict == Verdict::Worse);
    Ok(Comparison {
        tolerance,
        regressions: worse.count(),
        pairs,
        warnings,
    })
}

type Groups<'a> = BTreeMap<String, Vec<&'a Run>>;

/// Whole runs by what they are repetitions of.
fn groups<'a>(name: &str, report: &'a Report, warnings: &mut Vec<String>) -> Groups<'a> {
    let mut groups = Groups::new();
    for (number, run) in report.runs.iter().enumerate() {
        if let Some(reason) = &run.partial {
            let number = number + 1;
            warnings.push(format!(
                "{name}: run {number} is left out, it is partial: {reason}"
            ));
            continue;
        }
        if run.settings.rate.is_some() && !run.load.kept_pace {
            let number = number + 1;
            warnings.push(format!("{name}: run {number} did not keep its rate"));
        }
        let key = (&run.target.name, &run.settings);
        let key = serde_json::to_string(&key).expect("text and numbers only");
        groups.entry(key).or_default().push(run);
    }
    groups
}

fn count(groups: &Groups<'_>) -> usize {
    groups.values().map(Vec::len).sum()
}

fn pair(a: &[&Run], b: &[&Run], metrics: &[Metric], tolerance: f64) -> Pair {
    let figures = metrics.iter().filter_map(|metric| {
        let values =
            |runs: &[&Run]| -> Vec<f64> { runs.iter().filter_map(|run| metric.of(run)).collect() };
        figure(*metric, &values(a), &values(b), tolerance)
    });
    Pair {
        target: a[0].target.name.clone(),
        settings: a[0].settings.clone(),
        runs_a: a.len(),
        runs_b: b.len(),
        figures: figures.collect(),
    }
}

/// None where a side has no such figure, or where it is 0 in A: there is no ratio to nothing.
fn figure(metric: Metric, a: &[f64], b: &[f64], tolerance: f64) -> Option<Figure> {
    if b.is_empty() || a.is_empty() || a.iter().any(|value| *value <= 0.0) {
        return None;
    }
    let (median_a, median_b) = (median(a.to_vec()), median(b.to_vec()));
    let ratio = median_b / median_a;
    let interval = (a.len() > 1 && b.len() > 1).then(|| interval(a, b));
    let (low, high) = interval.unwrap_or((ratio, ratio));
    Some(Figure {
        metric: metric.name(),
        a: median_a,
        b: median_b,
        ratio,
        interval,
        verdict: metric.verdict(low, high, tolerance),
    })
}

/// The middle 95 % of the ratios of both sides drawn again.
fn interval(a: &[f64], b: &[f64]) -> (f64, f64) {
    let mut state = 1;
    let mut drawn = |from: &[f64]| {
        let mut one = || from[(splitmix(&mut state) % from.len() as u64) as usize];
        median((0..from.len()).map(|_| one()).collect())
    };
    let mut ratios: Vec<f64> = (0..DRAWS).map(|_| drawn(b) / drawn(a)).collect();
    ratios.sort_by(f64::total_cmp);
    let cut = (DRAWS as f64 * TAIL) as usize;
    (ratios[cut], ratios[DRAWS - 1 - cut])
}

/// Of at least one value.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    f64::midpoint(values[low], values[high])
}

fn machine_warnings(a: &Report, b: &Report) -> Vec<String> {
    let (of_a, of_b) = (fields(&a.machine), fields(&b.machine));
    let differ = of_a
        .iter()
        .filter(|(key, value)| key.as_str() != PASSING && of_b.get(key.as_str()) != Some(value));
    let told = differ.map(|(key, value)| {
        let other = of_b.get(key).unwrap_or(&Value::Null);
        format!("the machines differ in {key}: {value} and {other}")
    });
    told.collect()
}

fn target_warnings(a: &Run, b: &Run) -> Option<String> {
    let names = differing_fields(&fields(&a.target), &fields(&b.target));
    let name = &a.target.name;
    (!names.is_empty()).then(|| format!("target {name} differs in {}", names.join(", ")))
}

fn differing(a: Option<&Run>, b: Option<&Run>) -> String {
    let (Some(a), Some(b)) = (a, b) else {
        return "a report has no run at all".to_owned();
    };
    let mut names = differing_fields(&fields(&a.settings), &fields(&b.settings));
    if a.target.name != b.target.name {
        names.insert(0, "target".to_owned());
    }
    if names.is_empty() {
        return "their first runs have the same, but not both are whole".to_owned();
    }
    format!("their first runs differ in {}", names.join(", "))
}

fn fields(of: &impl Serialize) -> serde_json::Map<String, Value> {
    match serde_json::to_value(of) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

fn differing_fields(
    a: &serde_json::Map<String, Value>,
    b: &serde_json::Map<String, Value>,
) -> Vec<String> {
    let differ = a
        .iter()
        .filter(|(key, value)| b.get(key.as_str()) != Some(value));
    differ.map(|(key, _)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const P99: Metric = Metric::Latency(Span::Produce, Percentile::P99);
    const ACKED: Metric = Metric::Rate(Rate::Acked);

    #[test]
    fn every_metric_is_found_by_its_name() {
        for metric in Metric::all() {
            assert_eq!(Metric::named(&metric.name()), Some(metric));
        }
        assert_eq!(Metric::named("produce_p98"), None);
        assert_eq!(P99.name(), "produce_p99");
    }

    #[test]
    fn an_interval_holds_the_ratio_and_is_the_same_each_time() {
        let (a, b) = (
            [100.0, 101.0, 99.0, 102.0, 98.0],
            [118.0, 121.0, 120.0, 119.0, 122.0],
        );
        let found = figure(P99, &a, &b, 0.05).unwrap();
        assert_eq!((found.a, found.b, found.ratio), (100.0, 120.0, 1.2));
        let (low, high) = found.interval.unwrap();
        assert!(
            1.15 < low && low <= 1.2 && (1.2..1.25).contains(&high),
            "{low} {high}"
        );
        assert_eq!(found.verdict, Verdict::Worse);
        assert_eq!(figure(P99, &a, &b, 0.05), Some(found));
        assert_eq!(figure(P99, &b, &a, 0.05).unwrap().verdict, Verdict::Better);
        assert_eq!(
            figure(ACKED, &a, &b, 0.05).unwrap().verdict,
            Verdict::Better
        );
        assert_eq!(figure(ACKED, &b, &a, 0.05).unwrap().verdict, Verdict::Worse);
        assert_eq!(figure(P99, &a, &b, 0.3).unwrap().verdict, Verdict::Alike);
    }

    #[test]
    fn noise_that_reaches_the_tolerance_is_no_regression() {
        let (a, b) = (
            [100.0, 150.0, 80.0, 120.0, 95.0],
            [120.0, 90.0, 180.0, 130.0, 100.0],
        );
        let found = figure(P99, &a, &b, 0.05).unwrap();
        assert!(found.ratio > 1.05, "{}", found.ratio);
        assert_eq!(found.verdict, Verdict::Alike);
    }

    #[test]
    fn single_runs_have_a_ratio_and_no_interval() {
        let found = figure(P99, &[100.0], &[106.0, 107.0], 0.05).unwrap();
        assert_eq!(found.interval, None);
        assert_eq!(found.verdict, Verdict::Worse);
        assert_eq!(
            figure(P99, &[100.0], &[104.0], 0.05).unwrap().verdict,
            Verdict::Alike
        );
    }

    #[test]
    fn there_is_no_ratio_to_nothing() {
        assert_eq!(figure(P99, &[0.0], &[1.0], 0.05), None);
        assert_eq!(figure(P99, &[], &[1.0], 0.05), None);
        assert_eq!(figure(P99, &[1.0], &[], 0.05), None);
        assert_eq!(
            figure(P99, &[1.0], &[0.0], 0.05).unwrap().verdict,
            Verdict::Better
        );
    }

    #[test]
    fn a_median_of_two_lies_between() {
        assert_eq!(median(vec![3.0, 1.0]), 2.0);
        assert_eq!(median(vec![5.0, 1.0, 3.0]), 3.0);
    }
}
