//! `corelane tune`: how the host is laid out, what about it is wrong, and how it is set right.
//!
//! Owns: options that all its subcommands share, exit codes. Never does: the work itself
//! ([`crate::cpu`], [`crate::tuning`]). Runs on: the main thread.

mod apply;
mod audit;
mod capture;
mod check;
mod layout;
mod open;
mod plan;
mod report;
mod revert;
mod root;
mod table;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cpu::HostSys;

pub use crate::tuning::exit::Exit;

/// Arguments of `corelane tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: TuneCommand,
}

#[derive(Debug, Subcommand)]
enum TuneCommand {
    /// Split the host's CPUs between shards, housekeeping and I/O
    Layout(layout::LayoutArgs),
    /// Say how the host stands; changes nothing
    Check(check::CheckArgs),
    /// Say what apply would do; changes nothing
    Plan(plan::PlanArgs),
    /// Change the host to what is wanted, and note what was there before
    Apply(apply::ApplyArgs),
    /// Take back what apply changed
    Revert(revert::RevertArgs),
    /// Prove by measuring that what was changed works
    Verify(verify::VerifyArgs),
    /// Name the threads of a running node that may run where they should not; changes nothing
    Audit(audit::AuditArgs),
    /// Print all about the host that a bug report or a benchmark should carry; changes nothing
    Report,
    /// Keep the files that a check looks at in a tar file, to be looked at elsewhere
    Capture(capture::CaptureArgs),
}

/// Options of every subcommand of `corelane tune`.
#[derive(Debug, Args)]
pub struct GlobalArgs {
    /// Layout to go by; without it, the one that 'tune layout --write' has left
    #[arg(long, global = true, value_name = "FILE")]
    pub layout: Option<String>,
    /// Only these knobs, by id or group
    #[arg(long, global = true, value_name = "ID,GROUP", value_delimiter = ',')]
    pub only: Vec<String>,
    /// All knobs but these, by id or group
    #[arg(long, global = true, value_name = "ID,GROUP", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Where the host's files are [env: TUNING_ROOT] [default: /]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only what is not as it should be
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Seconds that each program that is run may take
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10)]
    pub timeout: u64,
    /// What the host is for: metal, vm, laptop, or a file
    #[arg(long, global = true, value_name = "NAME|FILE")]
    pub profile: Option<String>,
}

/// Does what was asked for.
pub fn tune(args: &TuneArgs) -> ExitCode {
    let sys = match args.global.sys() {
        Ok(sys) => sys,
        Err(error) => return Exit::Usage.saying(error).into(),
    };
    match &args.command {
        TuneCommand::Layout(layout) => layout::layout(layout, &args.global, &sys),
        TuneCommand::Verify(verify) => verify::verify(verify, &args.global, &sys),
        TuneCommand::Check(check) => ended(check::run(check, &args.global, &sys)),
        TuneCommand::Plan(plan) => ended(plan::run(plan, &args.global, &sys)),
        TuneCommand::Apply(apply) => ended(apply::run(apply, &args.global, &sys)),
        TuneCommand::Revert(revert) => ended(revert::run(revert, &args.global, &sys)),
        TuneCommand::Audit(audit) => audit::audit(audit, &args.global, &sys),
        TuneCommand::Report => ended(report::run(&args.global, &sys)),
        TuneCommand::Capture(capture) => ended(capture::run(capture, &args.global, &sys)),
    }
    .into()
}

/// Both are ends; an error is one that came before there was anything to print.
fn ended(result: Result<Exit, Exit>) -> Exit {
    result.unwrap_or_else(|exit| exit)
}

impl GlobalArgs {
    /// The host's files.
    ///
    /// # Errors
    /// The environment and the option name different places: changing one while the other is meant
    /// must not happen.
    fn sys(&self) -> Result<HostSys, String> {
        root::root(self.root.clone(), std::env::var_os(root::ROOT_VARIABLE)).map(HostSys::new)
    }
}
