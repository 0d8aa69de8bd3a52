//! `corelane bench sweep`.
//!
//! Owns: its arguments. Never does: measuring.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::options::{self, OutputArgs, TargetArgs, TrafficArgs, values};
use super::output;
use crate::bench::error::BenchError;
use crate::bench::sweep::{self, Axes};
use crate::bench::target::{TargetKind, TargetOptions};
use crate::bench::trial::Options;
use crate::cli::settings;
use crate::cpu::allowed_cpus;
use crate::ids::Acks;

/// Arguments of `corelane bench sweep`.
#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// What is varied, separated by commas
    #[arg(
        long,
        value_enum,
        value_name = "AXIS",
        value_delimiter = ',',
        default_value = "partitions,cores,sizes,acks"
    )]
    axes: Vec<Axis>,
    /// Numbers of partitions
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,10,100,1000",
          value_parser = options::partitions)]
    axis_partitions: Vec<u32>,
    /// Numbers of cores [default: 1 to as many as there are CPUs]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = settings::cores)]
    axis_cores: Vec<u16>,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_value = "100,1024,10240",
          value_parser = options::size)]
    axis_sizes: Vec<usize>,
    /// Seconds for each point
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = options::duration)]
    seconds: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Axis {
    /// Partitions of each topic
    Partitions,
    /// Cores of the node that is started
    Cores,
    /// Bytes of a record's value
    Sizes,
    /// What an acknowledgement promises
    Acks,
}

/// Measures.
pub(super) fn sweep(args: &SweepArgs) -> ExitCode {
    let target = args.target.options(&args.traffic);
    let prepared = target.and_then(|target| Ok((args.axes(&target)?, target)));
    let (axes, target) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return output::refused(&error),
    };
    let options = Options {
        target,
        duration: args.seconds,
        warmup: sweep::warmup_of(args.seconds),
        runs: 1,
        floor: args.output.floor(),
    };
    output::measure(&args.output, |context| {
        sweep::sweep(&options, &axes, context)
    })
}

impl SweepArgs {
    fn axes(&self, target: &TargetOptions) -> Result<Axes, BenchError> {
        let mut axes = Axes::default();
        for axis in &self.axes {
            match axis {
                Axis::Partitions => axes.partitions.clone_from(&self.axis_partitions),
                Axis::Cores => axes.cores = self.cores(target)?,
                Axis::Sizes => axes.values = self.axis_sizes.iter().copied().map(values).collect(),
                Axis::Acks => axes.acks = vec![Acks::None, Acks::Leader, Acks::All],
            }
        }
        Ok(axes)
    }

    /// None where no node is started.
    fn cores(&self, target: &TargetOptions) -> Result<Vec<u16>, BenchError> {
        if target.kind == TargetKind::Cluster || target.to.is_some() {
            return Ok(Vec::new());
        }
        if !self.axis_cores.is_empty() {
            return Ok(self.axis_cores.clone());
        }
        let cpus = allowed_cpus().map_err(|error| BenchError::System {
            what: "asking which CPUs there are",
            source: std::io::Error::other(error),
        })?;
        Ok((1..=cpus.len() as u16).collect())
    }
}
