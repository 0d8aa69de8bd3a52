//! Arguments that the subcommands of `corelane bench` share.
//!
//! Owns: their names, ranges and defaults. Never does: what needs a target to know.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::bench::error::BenchError;
use crate::bench::target::{TargetKind, TargetOptions};
use crate::bench::traffic::{Keys, Traffic, Values};
use crate::bench::trial::{Options, WithFloor};
use crate::cli::settings;
use crate::config::Idle;
use crate::ids::Acks;
use crate::limits::{PARTITIONS_MAX, PAYLOAD_BYTES_MAX};

/// More would be a mistake in the number of zeros.
const RATE_MAX: u64 = 1_000_000_000;

/// A day.
const SECONDS_MAX: f64 = 86_400.0;

/// Below, a load is over before it has begun.
const SECONDS_MIN: f64 = 0.1;

/// Values that records take in turn, at the most.
const VALUES_MAX: usize = 1024;

/// Bytes of these together, unless one alone has more.
const VALUES_BYTES: usize = 4 << 20;

/// Topics, at the most: each is a shard of the embedded target.
const TOPICS_MAX: u32 = 64;

/// Threads that send, at the most.
const PRODUCERS_MAX: u32 = 64;

/// What a load is put on.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArgs {
    /// What the load is put on: embedded (a node in this process), listener (its log over Kafka's
    /// protocol) or cluster (the brokers that --config names)
    #[arg(long, value_name = "NAME", default_value_t)]
    pub target: TargetKind,
    /// Configuration of the node, or of the one whose cluster it is
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A listener that runs already, in place of one that is started (--target listener)
    #[arg(long, value_name = "HOST:PORT")]
    pub to: Option<String>,
    /// Where a directory for temporary data is made; it is removed at the end
    #[arg(long, value_name = "PARENT", default_value = ".")]
    pub data_dir: PathBuf,
}

/// What a load is made of.
#[derive(Clone, Debug, Args)]
pub(super) struct TrafficArgs {
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value = "100", value_parser = size)]
    pub size: usize,
    /// What an acknowledgement promises: none, leader (in memory) or all (durable)
    #[arg(long, value_name = "LEVEL", default_value_t)]
    pub acks: Acks,
    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value = "1", value_parser = partitions)]
    pub partitions: u32,
    /// Topics; each is a shard of the embedded target
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(TOPICS_MAX)))]
    pub topics: u32,
    /// Cores of the node that is started [default: half of the CPUs]
    #[arg(long, value_name = "N", value_parser = settings::cores)]
    pub cores: Option<u16>,
    /// What cores, and senders in process, do when they have nothing to do: adaptive (sleep after a
    /// while) or spin (where each has a CPU of its own) [default: as configured]
    #[arg(long, value_name = "HOW", value_parser = idle)]
    pub idle: Option<Idle>,
    /// Threads that send
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(PRODUCERS_MAX)))]
    pub producers: u32,
}

/// Where results go.
#[derive(Clone, Debug, Args)]
pub(super) struct OutputArgs {
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Write a page with curves, which needs nothing else to be shown
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Write the end-to-end latencies as a percentile table for HdrHistogram's tools
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Write all latencies over time as a log for HdrHistogram's tools
    #[arg(long, value_name = "FILE")]
    pub hdr_log: Option<PathBuf>,
    /// Do not measure what the host can do without us
    #[arg(long)]
    pub no_floor: bool,
}

/// How long is measured, and how often.
#[derive(Clone, Debug, Args)]
pub(super) struct TimeArgs {
    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = duration)]
    pub duration: Duration,
    /// Seconds before, which are not
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = warmup)]
    pub warmup: Duration,
    /// Times to repeat it, each time from the start
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
}

impl TimeArgs {
    /// What a benchmark is told.
    pub fn options(&self, target: TargetOptions, floor: WithFloor) -> Options {
        Options {
            target,
            duration: self.duration,
            warmup: self.warmup,
            runs: self.runs,
            floor,
        }
    }
}

impl TargetArgs {
    /// What the target is started with.
    ///
    /// # Errors
    /// Options that contradict each other.
    pub fn options(&self, traffic: &TrafficArgs) -> Result<TargetOptions, BenchError> {
        if self.target == TargetKind::Cluster && self.config.is_none() {
            return Err(BenchError::Option {
                option: "config",
                found: "nothing".to_owned(),
                allowed: "--target cluster needs a configuration with [clusters]".to_owned(),
            });
        }
        if let (Some(to), TargetKind::Embedded | TargetKind::Cluster) = (&self.to, self.target) {
            return Err(BenchError::Option {
                option: "to",
                found: to.clone(),
                allowed: "only with --target listener".to_owned(),
            });
        }
        Ok(TargetOptions {
            kind: self.target,
            config: self.config.clone(),
            to: self.to.clone(),
            data_parent: self.data_dir.clone(),
            cores: traffic.cores,
            idle: traffic.idle,
            traffic: traffic.traffic(),
        })
    }
}

impl TrafficArgs {
    /// One reader of each topic; keys as the client chooses; values that no codec makes shorter.
    fn traffic(&self) -> Traffic {
        Traffic {
            topics: self.topics,
            partitions: self.partitions,
            producers: self.producers,
            subscriptions: 1,
            consumers: 1,
            keys: Keys::None,
            values: values(self.size),
            acks: self.acks,
        }
    }
}

/// Random values of this size.
pub(super) fn values(bytes: usize) -> Values {
    let count = (VALUES_BYTES / bytes.max(1)).clamp(1, VALUES_MAX);
    Values::generate(bytes, count, 1.0)
}

/// Parses a rate.
pub(super) fn rate(text: &str) -> Result<NonZeroU64, String> {
    let rate = text.parse().ok().filter(|rate| *rate <= RATE_MAX);
    rate.and_then(NonZeroU64::new)
        .ok_or_else(|| format!("allowed: 1 to {RATE_MAX} records a second"))
}

/// Parses the size of a value.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok();
    size.filter(|size| (1..=PAYLOAD_BYTES_MAX).contains(size))
        .ok_or_else(|| format!("allowed: 1 to {PAYLOAD_BYTES_MAX} bytes"))
}

/// Parses a number of partitions.
pub(super) fn partitions(text: &str) -> Result<u32, String> {
    let partitions = text.parse().ok();
    partitions
        .filter(|partitions| (1..=PARTITIONS_MAX as u32).contains(partitions))
        .ok_or_else(|| format!("allowed: 1 to {PARTITIONS_MAX} partitions"))
}

/// Parses what an idle core does.
fn idle(text: &str) -> Result<Idle, String> {
    match text {
        "adaptive" => Ok(Idle::Adaptive),
        "spin" => Ok(Idle::Spin),
        _ => Err("allowed: adaptive or spin".to_owned()),
    }
}

/// Parses a length of time.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    seconds(text, SECONDS_MIN)
}

fn warmup(text: &str) -> Result<Duration, String> {
    seconds(text, 0.0)
}

fn seconds(text: &str, least: f64) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    // A range check is false for NaN, so NaN is refused here as well.
    let seconds = seconds.filter(|seconds| (least..=SECONDS_MAX).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("allowed: {least} to {SECONDS_MAX} seconds"))
}
