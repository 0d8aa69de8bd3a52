//! `corelane tune verify`: proof that tuning worked.
//!
//! Owns: its arguments. Never does: measuring ([`crate::tuning::verify`]).

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::host::WithHost;
use super::{Exit, GlobalArgs};
use crate::cli::jitter::print;
use crate::cpu::HostSys;
use crate::tuning::verify::{Mode, verify};

/// An hour, for signing a host off.
const SECONDS_MAX: u64 = 86_400;

/// Arguments of `corelane tune verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// How long to measure at rest, as in 60s, 5m or 1h; half as long again under noise
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// Compare the kernel's counters only, beside an engine at work
    #[arg(long)]
    live: bool,
}

/// Parses `90`, `90s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => (text, 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    seconds
        .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "allowed: 1s to 24h".to_owned())
}
