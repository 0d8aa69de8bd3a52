//! `corelane bench compare`: whether one report is worse than another.
//!
//! Owns: its arguments, its table and exit codes, which are those of `diff`: 0 nothing is worse, 1
//! something is, 2 the two cannot be compared. Never does: comparing ([`crate::bench::compare`]).

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::bench::compare::{Comparison, Figure, Metric, Pair, Verdict, compare as compared};
use crate::bench::report::read::read;
use crate::cli::{jitter, outcome};

/// Arguments of `corelane bench compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is worse, 1 something is, 2 the two cannot be compared."
)]
pub(super) struct CompareArgs {
    /// A result of another 'corelane bench ... --json': what is compared with
    #[arg(value_name = "A.json")]
    a: PathBuf,
    /// The one that is judged
    #[arg(value_name = "B.json")]
    b: PathBuf,
    /// How much worse is no regression yet, in percent
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = tolerance)]
    tolerance: f64,
    /// What to compare, as in produce_p99,acked_per_s; all without it
    #[arg(long = "metric", value_name = "NAME", value_delimiter = ',', value_parser = metric)]
    metrics: Vec<Metric>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    let percent = text.parse().ok();
    // A range check is false for NaN, so NaN is refused here as well.
    percent
        .filter(|percent| (0.0..=1_000.0).contains(percent))
        .ok_or_else(|| "allowed: 0 to 1000 percent".to_owned())
}

fn metric(name: &str) -> Result<Metric, String> {
    Metric::named(name).ok_or_else(|| {
        let names: Vec<String> = Metric::all().into_iter().map(Metric::name).collect();
        format!("allowed: {}", names.join(", "))
    })
}

/// Compares.
pub(super) fn compare(args: &CompareArgs) -> ExitCode {
    let incomparable = |error: &dyn fmt::Display| {
        eprintln!("error: {error}");
        ExitCode::from(outcome::USAGE)
    };
    let (a, b) = match read(&args.a).and_then(|a| Ok((a, read(&args.b)?))) {
        Ok(both) => both,
        Err(error) => return incomparable(&error),
    };
    let metrics = if args.metrics.is_empty() {
        Metric::all()
    } else {
        args.metrics.clone()
    };
    let comparison = match compared(&a, &b, &metrics, args.tolerance / 100.0) {
        Ok(comparison) => comparison,
        Err(error) => return incomparable(&error),
    };
    for warning in &comparison.warnings {
        eprintln!("warning: {warning}");
    }
    let printed = jitter::print(&comparison, args.json);
    if printed == ExitCode::SUCCESS && comparison.regressions > 0 {
        return ExitCode::from(outcome::FAILED);
    }
    printed
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pair in &self.pairs {
            writeln!(f, "{}", heading(pair))?;
            writeln!(f, "{}", table(pair))?;
        }
        let percent = self.tolerance * 100.0;
        match self.regressions {
            0 => write!(f, "nothing is worse by more than {percent} %"),
            1 => write!(f, "1 figure is worse by more than {percent} %"),
            many => write!(f, "{many} figures are worse by more than {percent} %"),
        }
    }
}

fn heading(pair: &Pair) -> String {
    let settings = &pair.settings;
    let rate = settings
        .rate
        .map_or("as fast as taken".to_owned(), |rate| format!("{rate}/s"));
    let mut text = format!(
        "{}: {rate}, {} bytes, acks {}, {} x {} partitions; {} runs of A, {} of B",
        pair.target,
        settings.record_bytes,
        settings.acks,
        settings.topics,
        settings.partitions,
        pair.runs_a,
        pair.runs_b,
    );
    if pair.runs_a < 2 || pair.runs_b < 2 {
        text.push_str("; single runs have no confidence interval");
    }
    text
}

fn table(pair: &Pair) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header(["figure", "A", "B", "B/A", "95 % interval", "verdict"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for figure in &pair.figures {
        table.add_row(row(figure));
    }
    table
}

fn row(figure: &Figure) -> [String; 6] {
    let unit = if figure.metric.ends_with("_per_s") {
        ""
    } else {
        " µs"
    };
    let verdict = match figure.verdict {
        Verdict::Worse => "worse",
        Verdict::Alike => "",
        Verdict::Better => "better",
    };
    let interval = figure.interval;
    [
        figure.metric.clone(),
        format!("{:.1}{unit}", figure.a),
        format!("{:.1}{unit}", figure.b),
        format!("{:.3}", figure.ratio),
        interval.map_or("-".to_owned(), |(low, high)| {
            format!("{low:.3} to {high:.3}")
        }),
        verdict.to_owned(),
    ]
}
