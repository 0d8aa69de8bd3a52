//! `corelane bench throughput`.
//!
//! Owns: its arguments. Never does: measuring.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::options::{self, OutputArgs, TargetArgs, TimeArgs, TrafficArgs};
use super::output;
use crate::bench::throughput;

/// Arguments of `corelane bench throughput`.
#[derive(Debug, Args)]
pub(super) struct ThroughputArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    time: TimeArgs,
    /// Seconds for which each rate that is tried has to hold
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = options::duration)]
    step: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures.
pub(super) fn throughput(args: &ThroughputArgs) -> ExitCode {
    let target = match args.target.options(&args.traffic) {
        Ok(target) => target,
        Err(error) => return output::refused(&error),
    };
    let options = args.time.options(target, args.output.floor());
    output::measure(&args.output, |context| {
        throughput::throughput(&options, args.step, context)
    })
}
