//! `corelane tune verify`: proof that tuning worked.
//!
//! Owns: its arguments. Never does: measuring ([`crate::tuning::verify`]).

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Exit, GlobalArgs};
use crate::cli::jitter::print;
use crate::cpu::HostSys;
use crate::tuning::verify::{Mode, verify as prove};

/// A day.
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
    let (number, unit) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    seconds
        .filter(|seconds| (1..=SECONDS_MAX).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "allowed: 1s to 24h".to_owned())
}

/// Measures and judges.
pub fn verify(args: &VerifyArgs, global: &GlobalArgs, sys: &HostSys) -> Exit {
    let opened = match global.open(sys) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let host = match opened.host() {
        Ok(host) => host,
        Err(exit) => return exit,
    };
    let mode = if args.live { Mode::Live } else { Mode::Quiet };
    match prove(&host, &opened.selection, mode, args.duration) {
        Ok(report) => {
            if print(&report, global.json) == ExitCode::SUCCESS {
                report.exit()
            } else {
                Exit::Error
            }
        }
        Err(error) if error.is_refusal() => Exit::Refused.saying(error),
        Err(error) => Exit::Error.saying(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_bounds() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("5m", 300),
            ("1h", 3600),
            ("24h", 86_400),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "0",
            "s",
            "25h",
            "-1",
            "1.5s",
            "1d",
            "é",
            "99999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
