//! `corelane bench sweep`.
//!
//! Owns: its arguments. Never does: measuring.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::options::{self, OutputArgs, TargetArgs, TrafficArgs};
use crate::cli::outcome;

/// Arguments of `corelane bench sweep`.
#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Seconds for each point
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = options::duration)]
    seconds: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures.
pub(super) fn sweep(args: &SweepArgs) -> ExitCode {
    match args.target.options(&args.traffic) {
        Ok(_) => outcome::failed("nothing was measured"),
        Err(error) => outcome::wrong_usage(error),
    }
}
