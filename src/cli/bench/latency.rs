//! `corelane bench latency`.
//!
//! Owns: its arguments. Never does: measuring.

use std::num::NonZeroU64;
use std::process::ExitCode;

use clap::Args;

use super::options::{self, OutputArgs, TargetArgs, TimeArgs, TrafficArgs};
use super::output;
use crate::bench::latency::{self, WithSaturation};

/// Arguments of `corelane bench latency`.
#[derive(Debug, Args)]
pub(super) struct LatencyArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Records a second in all, whatever the answers
    #[arg(long, value_name = "N", value_parser = options::rate)]
    rate: NonZeroU64,
    #[command(flatten)]
    time: TimeArgs,
    /// Do not measure how much is taken at the most, of which the rate is a share
    #[arg(long)]
    no_saturation: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Measures.
pub(super) fn latency(args: &LatencyArgs) -> ExitCode {
    let target = match args.target.options(&args.traffic) {
        Ok(target) => target,
        Err(error) => return output::refused(&error),
    };
    let options = args.time.options(target, args.output.floor());
    let saturation = match args.no_saturation {
        true => WithSaturation::LeftOut,
        false => WithSaturation::Measured,
    };
    output::measure(&args.output, |context| {
        latency::latency(&options, args.rate, saturation, context)
    })
}
