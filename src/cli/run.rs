//! `corelane run`: a file of transactions through a node in this process.
//!
//! Owns: its arguments, the order of its steps, and what its figures mean. Never does: cores,
//! storage. The transactions are submitted by `feed`.

use std::collections::BTreeMap;
use std::error::Error;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::feed::{Feed, Tally};
use super::input::{InputError, InputReader, InputTransaction, OnError};
use super::outcome;
use super::progress::Progress;
use super::report::{LatencyReport, Percentiles, RunReport, ShardReport};
use super::settings::{self, Overrides};
use crate::config::{Config, ConfigError, HttpChoice, ShardConfig};
use crate::control::signals::StopSignal;
use crate::control::{Node, NodeOptions, NodeReport, logging};
use crate::engine::ledger::Ledger;
use crate::ids::Acks;
use crate::telemetry::{Counter, Stage, StageHistograms};

/// How long what was submitted may take to be processed once everything was submitted.
const DRAIN_MAX: Duration = Duration::from_secs(300);

/// Arguments of `corelane run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Transactions: JSON Lines, plain, .gz or .zst; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Configuration; the shipped default without it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory, made where it is missing
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Cores to run on
    #[arg(long, value_name = "N", value_parser = settings::cores)]
    pub cores: Option<u16>,
    /// What a receipt promises: none, leader (in memory) or all (durable)
    #[arg(long, value_name = "LEVEL")]
    pub acks: Option<Acks>,
    /// Transactions per second, whatever the answers; as fast as they are taken without it
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU64>,
    /// Times to submit the file, each time but the first with fresh ids
    #[arg(long, value_name = "N", default_value = "1")]
    pub repeat: NonZeroU32,
    /// What to do about a line that is no transaction
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub on_error: OnError,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Accept more cores than there are CPUs
    #[arg(long)]
    pub oversubscribe: bool,
    /// Start without the layout of CPUs where it does not hold
    #[arg(long)]
    pub allow_unplanned: bool,
}

impl RunArgs {
    /// The configuration that the arguments ask for.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn config(&self) -> Result<Config, ConfigError> {
        Overrides {
            data_dir: self.data_dir.as_deref(),
            cores: self.cores,
            acks: self.acks,
            oversubscribe: self.oversubscribe,
            allow_unplanned: self.allow_unplanned,
            ..Overrides::default()
        }
        .over(self.config.as_deref())
    }

    /// The transactions of the file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn transactions(&self, config: &Config) -> Result<InputReader, InputError> {
        let payload_bytes_max = config.transactions.payload_bytes_max as usize;
        InputReader::open(&self.input, payload_bytes_max, self.on_error)
    }
}

/// Runs the file through a node.
pub fn run(args: RunArgs) -> ExitCode {
    match execute(&args) {
        Ok(report) => {
            let text = if args.json {
                report.to_json()
            } else {
                report.to_string()
            };
            let printed = outcome::print(text);
            match report.lost {
                0 => printed,
                lost => outcome::failed(format_args!("{lost} transactions were lost")),
            }
        }
        Err(error) => outcome::failed(error),
    }
}

fn execute(args: &RunArgs) -> Result<RunReport, Box<dyn Error>> {
    // Everything that can be wrong with the arguments and the file is found before a core starts,
    // so that a bad line changes nothing.
    let mut config = args.config()?;
    logging::start(config.logging.format);
    // Nobody but this process submits.
    config.gateway.tcp.clear();
    config.gateway.unix.clear();
    config.broker.turn_off();
    config.control.http = HttpChoice::Off;
    let mut reader = args.transactions(&config)?;
    let transactions: Vec<InputTransaction> = reader.by_ref().collect::<Result<_, _>>()?;
    if transactions.is_empty() {
        return Err(format!("no transactions in {}", reader.file()).into());
    }
    let stop = StopSignal::listen()?;
    let mut node = Node::start(&config, NodeOptions { ports: 1 }, Ledger::new)?;
    node.stay_with_housekeeping();
    let _lines = logging::leave_to_thread()?;
    for (stripe, torn) in node.torn_tails() {
        eprintln!("note: stripe {stripe}: {torn}");
    }
    let submitter = node.submitter().expect("one port was asked for");
    let progress = Progress::start(Some(
        transactions.len() as u64 * u64::from(args.repeat.get()),
    ));
    let start = Instant::now();
    let feed = Feed {
        node: &node,
        stop: &stop,
        progress: &progress,
        transactions: &transactions,
        tally: Tally::default(),
    };
    let tally = feed.run(args, config.transactions.acks, submitter)?;
    node.drain(DRAIN_MAX)?;
    let elapsed = start.elapsed();
    drop(progress);
    let done = node.report().ok_or("a core does not answer")?;
    node.stop()?;
    let mut report = report(&tally, &done, &config);
    report.note_skipped(reader.skipped());
    report.set_elapsed(elapsed.as_secs_f64());
    Ok(report)
}

fn report(tally: &Tally, done: &NodeReport, config: &Config) -> RunReport {
    let count = |counter| done.counters.get(counter);
    let processed = count(Counter::Processed);
    let settled = processed + count(Counter::DeadLettered) + count(Counter::ProcessedDuplicates);
    let unprocessed = count(Counter::RecordsAppended).saturating_sub(settled);
    let unanswered = match config.transactions.acks {
        Acks::None => 0,
        Acks::Leader | Acks::All => tally.submitted - tally.acknowledged - tally.rejected,
    };
    let mut report = RunReport {
        submitted: tally.submitted,
        acknowledged: tally.acknowledged,
        processed: Some(processed),
        duplicates: count(Counter::Duplicates),
        dead_lettered: Some(count(Counter::DeadLettered)),
        rejected: tally.rejected,
        lost: unanswered + unprocessed,
        latency: LatencyReport {
            produce: done.histograms.summary(Stage::Produce).into(),
            consume: done.histograms.summary(Stage::Consume).into(),
            end_to_end: done.histograms.summary(Stage::EndToEnd).into(),
            stages: stages(&done.histograms),
        },
        ..RunReport::default()
    };
    report.set_shards(shards(done, config));
    report
}

/// What lies between the latencies that a user asks for first, as far as it was met.
fn stages(histograms: &StageHistograms) -> BTreeMap<&'static str, Percentiles> {
    let whole = [Stage::Produce, Stage::Consume, Stage::EndToEnd];
    let parts = Stage::ALL.iter().filter(|stage| !whole.contains(stage));
    let met = parts.filter(|stage| !histograms.stage(**stage).is_empty());
    met.map(|stage| (stage.name(), histograms.summary(*stage).into()))
        .collect()
}

/// The ledger's totals: of the data directory's whole life, not of this run alone.
fn shards(done: &NodeReport, config: &Config) -> Vec<ShardReport> {
    let shard = |shard: &ShardConfig| {
        let totals = done.ledger.get(&shard.id).copied().unwrap_or_default();
        ShardReport {
            id: shard.id,
            name: shard.name.clone(),
            transactions: totals.transactions,
            amount_total: totals.amount,
        }
    };
    config.shards.iter().map(shard).collect()
}
