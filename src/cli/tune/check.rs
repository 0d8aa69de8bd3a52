//! `corelane tune check`: how the host stands. Changes nothing, and works without rights: what cannot
//! be read is said to be unreadable.
//!
//! Owns: its arguments. Never does: the looking ([`crate::tuning`]). Runs on: the main thread.

use clap::{Args, ValueEnum};

use super::open::print;
use super::{Exit, GlobalArgs};
use crate::cpu::HostSys;
use crate::tuning::check::{FailOn, check};
use crate::tuning::guard;
use crate::tuning::render::{Shown, check_json, check_table};

/// Arguments of `corelane tune check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// From where on a knob that is not as wanted is a failure
    #[arg(long, value_enum, default_value = "should")]
    fail_on: FailOnArg,
}

/// [`FailOn`] as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOnArg {
    /// Exit 2 for what must be set
    Must,
    /// Also exit 3 for what should be set
    Should,
    /// Exit 0 however the host stands
    Never,
}

impl From<FailOnArg> for FailOn {
    fn from(argument: FailOnArg) -> FailOn {
        match argument {
            FailOnArg::Must => FailOn::Must,
            FailOnArg::Should => FailOn::Should,
            FailOnArg::Never => FailOn::Never,
        }
    }
}

/// Looks and prints.
pub fn run(args: &CheckArgs, global: &GlobalArgs, sys: &HostSys) -> Result<Exit, Exit> {
    let opened = global.open(sys)?;
    let host = opened.host()?;
    let report = check(&host, &opened.selection);
    let fail_on = FailOn::from(args.fail_on);
    let exit = report.summary().exit(fail_on);
    if global.json {
        return Ok(print(check_json(&host, &report), exit));
    }
    for competitor in guard::mentioned(host.sys, host.commands) {
        eprintln!("note: {competitor}");
    }
    let shown = if global.quiet {
        Shown::Unmet
    } else {
        Shown::All
    };
    Ok(print(check_table(&host, &report, fail_on, shown), exit))
}
