//! `corelane bench workload`.
//!
//! Owns: its arguments, where its load goes, and the table. Never does: measuring
//! ([`crate::bench::workload`]).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::output::refused;
use crate::bench::embedded::Embedded;
use crate::bench::error::BenchError;
use crate::bench::kafka::{Gate, KafkaOptions, KafkaTarget, Place, Profile};
use crate::bench::steady;
use crate::bench::target::{Target, TargetKind, TargetOptions};
use crate::bench::traffic::Traffic;
use crate::bench::workload::driver::Driver;
use crate::bench::workload::file::Workload;
use crate::bench::workload::phases::Phases;
use crate::bench::workload::result::{Circumstances, to_json};
use crate::cli::kafka::json;
use crate::cli::report::new_table;
use crate::cli::{outcome, settings};
use crate::control::signals::StopSignal;
use crate::ids::Acks;

/// Arguments of `corelane bench workload`.
#[derive(Debug, Args)]
pub(super) struct WorkloadArgs {
    /// Workload of the OpenMessaging Benchmark, YAML
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Driver of the OpenMessaging Benchmark for Kafka, YAML: properties, and the brokers unless
    /// --target says otherwise
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// How much longer a minute of the workload takes, as 0.01
    #[arg(long, value_name = "X", default_value = "1", value_parser = scale)]
    duration_scale: f64,
    /// What the load is put on: listener, cluster or embedded [default: the driver's brokers, without
    /// them a listener that is started]
    #[arg(long, value_name = "NAME")]
    target: Option<TargetKind>,
    /// Configuration of the node, or of the one whose cluster it is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A listener that runs already, in place of one that is started
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<String>,
    /// Where a directory for temporary data is made; it is removed at the end
    #[arg(long, value_name = "PARENT", default_value = ".")]
    data_dir: PathBuf,
    /// Cores of the node that is started [default: half of the CPUs]
    #[arg(long, value_name = "N", value_parser = settings::cores)]
    cores: Option<u16>,
    /// Write the result as JSON, with the names of the OpenMessaging Benchmark
    #[arg(long, value_name = "FILE.json")]
    output: Option<PathBuf>,
    /// Print the same JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Measures.
pub(super) fn workload(args: &WorkloadArgs) -> ExitCode {
    match execute(args) {
        Ok((result, partial)) => {
            let text = match args.json {
                true => json(&result),
                false => table(&result),
            };
            let printed = outcome::print(text);
            match partial {
                Some(reason) => outcome::failed(format_args!("the result is partial: {reason}")),
                None => printed,
            }
        }
        Err(error) => refused(&error),
    }
}

fn execute(args: &WorkloadArgs) -> Result<(Value, Option<String>), BenchError> {
    let workload = Workload::load(&args.file)?;
    let driver = args.driver.as_deref().map(Driver::load).transpose()?;
    let acks = driver.as_ref().map_or(Acks::All, |driver| driver.acks);
    let traffic = workload.traffic(&args.file, acks)?;
    steady::check()?;
    let signal = StopSignal::listen().map_err(|source| BenchError::System {
        what: "listening for signals",
        source,
    })?;
    let note = |text: &str| eprintln!("{text}");
    for left_out in driver.iter().flat_map(|driver| &driver.notes) {
        note(left_out);
    }
    let (mut target, gate) = open(args, driver.as_ref(), traffic)?;
    let facts = target.facts();
    note(&format!("target {}: {}", facts.name, facts.durability));
    let phases = Phases {
        workload: &workload,
        scale: args.duration_scale,
        target: target.as_mut(),
        gate,
        is_interrupted: &|| signal.is_asked(),
        note: &note,
    };
    let mut tested = phases.run()?;
    for note in &tested.notes {
        eprintln!("note: {note}");
    }
    tested
        .notes
        .extend(driver.iter().flat_map(|driver| driver.notes.clone()));
    let circumstances = Circumstances {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        duration_scale: args.duration_scale,
        rate: tested.rate,
        partial: tested.partial.clone(),
        notes: tested.notes.clone(),
        target: facts,
    };
    let name = driver.map_or_else(|| circumstances.target.name.clone(), |driver| driver.name);
    let result = to_json(&workload, &name, &tested, &circumstances);
    if let Some(path) = &args.output {
        write(path, &json(&result))?;
    }
    Ok((result, tested.partial))
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, format!("{text}\n")).map_err(|source| BenchError::File {
        path: path.to_path_buf(),
        source,
    })
}

/// Starts the target, with what holds its consumers back where it has such.
fn open(
    args: &WorkloadArgs,
    driver: Option<&Driver>,
    traffic: Traffic,
) -> Result<(Box<dyn Target>, Option<Gate>), BenchError> {
    let not_allowed = |option, found: &str, allowed: &str| BenchError::Option {
        option,
        found: found.to_owned(),
        allowed: allowed.to_owned(),
    };
    let brokers = driver.filter(|driver| args.target.is_none() && driver.has_brokers());
    let kind = args.target.unwrap_or(TargetKind::Listener);
    if let (Some(to), true) = (&args.to, brokers.is_some() || kind != TargetKind::Listener) {
        return Err(not_allowed("to", to, "only with --target listener"));
    }
    if kind == TargetKind::Cluster && args.config.is_none() {
        return Err(not_allowed(
            "config",
            "nothing",
            "--target cluster needs one with [clusters]",
        ));
    }
    let place = match (brokers, kind) {
        (Some(driver), _) => Place::Brokers(driver.common.clone()),
        (None, TargetKind::Embedded) => return embedded(args, traffic),
        (None, _) => {
            let options = target_options(args, kind, traffic.clone());
            let of_kind = KafkaOptions::of(&options, Profile::Latency);
            of_kind
                .expect("embedded and a cluster without a file went before")
                .place
        }
    };
    let is_own = matches!(place, Place::Node { .. });
    let mut options = KafkaOptions::new(place, traffic, Profile::Latency);
    if let Some(driver) = driver {
        options.producer.clone_from(&driver.producer);
        options.consumer.clone_from(&driver.consumer);
        options.topic_config.clone_from(&driver.topic);
        // A node has one copy of a partition.
        options.replication = driver.replication.filter(|_| !is_own);
    }
    let target = KafkaTarget::open(&options)?;
    let gate = target.gate();
    Ok((Box::new(target), Some(gate)))
}

fn embedded(
    args: &WorkloadArgs,
    traffic: Traffic,
) -> Result<(Box<dyn Target>, Option<Gate>), BenchError> {
    if traffic.subscriptions != 1 {
        return Err(BenchError::Option {
            option: "target",
            found: "embedded".to_owned(),
            allowed: "more or less than one subscription needs listener or cluster".to_owned(),
        });
    }
    let options = target_options(args, TargetKind::Embedded, traffic);
    Ok((Box::new(Embedded::start(&options)?), None))
}

fn target_options(args: &WorkloadArgs, kind: TargetKind, traffic: Traffic) -> TargetOptions {
    TargetOptions {
        kind,
        config: args.config.clone(),
        to: args.to.clone(),
        data_parent: args.data_dir.clone(),
        idle: None,
        cores: args.cores,
        traffic,
    }
}

/// Parses the scale of durations.
fn scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok();
    scale
        .filter(|scale| (1e-5..=100.0).contains(scale))
        .ok_or_else(|| "allowed: 0.00001 to 100".to_owned())
}

/// The aggregated figures, for people.
fn table(result: &Value) -> String {
    let shown = |key: String| {
        let number = result[&key].as_number();
        let text = number.map(|number| match number.as_f64() {
            Some(value) if number.is_f64() => format!("{value:.3}"),
            Some(_) | None => number.to_string(),
        });
        text.unwrap_or_else(|| "-".to_owned())
    };
    let columns = ["Avg", "50pct", "95pct", "99pct", "999pct", "9999pct", "Max"];
    let header = [
        "latency", "mean", "p50", "p95", "p99", "p99.9", "p99.99", "max",
    ];
    let mut table = new_table(&header, 1);
    for (name, key) in [
        ("publish (ms)", "aggregatedPublishLatency"),
        ("publish delay (us)", "aggregatedPublishDelayLatency"),
        ("end to end (ms)", "aggregatedEndToEndLatency"),
    ] {
        let figures = columns.iter().map(|column| shown(format!("{key}{column}")));
        table.add_row(std::iter::once(name.to_owned()).chain(figures));
    }
    let mean = |key: &str| {
        let rates: Vec<f64> = result[key]
            .as_array()
            .map(|rates| rates.iter().filter_map(Value::as_f64).collect())
            .unwrap_or_default();
        match rates.len() {
            0 => "-".to_owned(),
            count => format!("{:.0}", rates.iter().sum::<f64>() / count as f64),
        }
    };
    format!(
        "workload {}\n{}\npublish rate {}/s of {}/s, consume rate {}/s, mean of the periods\n{table}",
        result["workload"].as_str().unwrap_or_default(),
        result["corelane"]["target"]["durability"]
            .as_str()
            .unwrap_or_default(),
        mean("publishRate"),
        result["corelane"]["rate"],
        mean("consumeRate"),
    )
}
