//! Figures of a run, and how they are printed.

use corelane::ids::Nanos;
use hdrhistogram::Histogram;
use serde::Serialize;

/// One part of the bench.
#[derive(Serialize)]
pub struct Section {
    pub part: &'static str,
    pub settings: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub latencies: Vec<LatencyRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<RateRow>,
    pub checks: Vec<Check>,
}

/// A contender's latencies, round by round.
pub struct Latencies {
    name: &'static str,
    rounds: Vec<Histogram<u64>>,
}

/// Microseconds: the median over rounds of each round's percentile, and the longest of all.
#[derive(Serialize)]
pub struct LatencyRow {
    pub name: String,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    pub records: u64,
}

impl Latencies {
    pub fn new(name: &'static str) -> Latencies {
        Latencies {
            name,
            rounds: Vec::new(),
        }
    }

    pub fn add(&mut self, round: Histogram<u64>) {
        self.rounds.push(round);
    }

    /// A percentile of each round, in microseconds.
    pub fn percentiles(&self, quantile: f64) -> Vec<f64> {
        let of_round = |round: &Histogram<u64>| round.value_at_quantile(quantile) as f64 / 1e3;
        self.rounds.iter().map(of_round).collect()
    }

    pub fn row(&self) -> LatencyRow {
        let at = |quantile| median(self.percentiles(quantile));
        let max_ns = self.rounds.iter().map(Histogram::max).max();
        LatencyRow {
            name: self.name.to_owned(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: max_ns.unwrap_or(0) as f64 / 1e3,
            records: self.rounds.iter().map(Histogram::len).sum(),
        }
    }
}

/// The median over rounds of one contender's percentile by another's of the same round.
pub fn percentile_ratio(of: &Latencies, to: &Latencies, quantile: f64) -> f64 {
    let (of, to) = (of.percentiles(quantile), to.percentiles(quantile));
    median(of.iter().zip(to).map(|(of, to)| of / to).collect())
}

/// A contender's rates, round by round, in records per second.
pub struct Rates {
    name: &'static str,
    rounds: Vec<f64>,
}

/// Records and bytes of values per second: the median over rounds, and the range.
#[derive(Serialize)]
pub struct RateRow {
    pub name: String,
    pub records_per_second: f64,
    pub lowest: f64,
    pub highest: f64,
    pub bytes_per_second: f64,
}

impl Rates {
    pub fn new(name: &'static str) -> Rates {
        Rates {
            name,
            rounds: Vec::new(),
        }
    }

    pub fn add(&mut self, records: usize, seconds: f64) {
        self.rounds.push(records as f64 / seconds);
    }

    pub fn median(&self) -> f64 {
        median(self.rounds.clone())
    }

    pub fn row(&self, record_bytes: usize) -> RateRow {
        let (mut lowest, mut highest) = (f64::INFINITY, 0.0_f64);
        for rate in &self.rounds {
            lowest = lowest.min(*rate);
            highest = highest.max(*rate);
        }
        RateRow {
            name: self.name.to_owned(),
            records_per_second: self.median(),
            lowest,
            highest,
            bytes_per_second: self.median() * record_bytes as f64,
        }
    }
}

/// The median over rounds of one contender's rate by another's of the same round.
pub fn rate_ratio(of: &Rates, to: &Rates) -> f64 {
    median(
        of.rounds
            .iter()
            .zip(&to.rounds)
            .map(|(of, to)| of / to)
            .collect(),
    )
}

pub fn seconds(from: Nanos, to: Nanos) -> f64 {
    to.since(from) as f64 / 1e9
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let Some(last) = figures.len().checked_sub(1) else {
        return f64::NAN;
    };
    (figures[last / 2] + figures[last.div_ceil(2)]) / 2.0
}

/// What a figure has to be.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure beside its target.
#[derive(Serialize)]
pub struct Check {
    what: String,
    figure: f64,
    /// None where the figure is told and nothing is asked of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_met: Option<bool>,
}

impl Check {
    pub fn new(what: &str, figure: f64, bound: Bound) -> Check {
        let (target, is_met) = match bound {
            Bound::AtMost(most) => (format!("<= {most}"), figure <= most),
            Bound::AtLeast(least) => (format!(">= {least}"), figure >= least),
        };
        Check {
            what: what.to_owned(),
            figure,
            target: Some(target),
            is_met: Some(is_met),
        }
    }

    /// A figure without a target.
    pub fn told(what: &str, figure: f64) -> Check {
        Check {
            what: what.to_owned(),
            figure,
            target: None,
            is_met: None,
        }
    }
}

impl Section {
    /// Leaves the figures without their targets, where they mean nothing.
    pub fn forget_targets(&mut self) {
        for check in &mut self.checks {
            (check.target, check.is_met) = (None, None);
        }
    }

    pub fn print(&self) {
        println!("\n{}\n  {}", self.part, self.settings);
        if !self.latencies.is_empty() {
            println!(
                "  {:<48} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                "latency (us)", "p50", "p90", "p99", "p99.9", "max", "n"
            );
        }
        for row in &self.latencies {
            println!(
                "  {:<48} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>9}",
                row.name, row.p50_us, row.p90_us, row.p99_us, row.p999_us, row.max_us, row.records
            );
        }
        if !self.rates.is_empty() {
            println!(
                "  {:<48} {:>12} {:>12} {:>12} {:>9}",
                "rate", "records/s", "lowest", "highest", "MB/s"
            );
        }
        for row in &self.rates {
            println!(
                "  {:<48} {:>12.0} {:>12.0} {:>12.0} {:>9.1}",
                row.name,
                row.records_per_second,
                row.lowest,
                row.highest,
                row.bytes_per_second / 1e6
            );
        }
        for check in &self.checks {
            let verdict = match (&check.target, check.is_met) {
                (Some(target), Some(true)) => format!("target {target}: met"),
                (Some(target), _) => format!("target {target}: MISSED"),
                (None, _) => String::new(),
            };
            println!("  {:<48} {:>9.3}  {verdict}", check.what, check.figure);
        }
    }
}
