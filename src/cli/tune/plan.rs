//! `corelane tune plan`: what `apply` would do, for people, as JSON or as a shell script. Changes
//! nothing.
//!
//! Owns: its arguments. Never does: deciding what is to be done ([`crate::tuning`]). Runs on: the main
//! thread.

use clap::Args;

use super::open::print;
use super::{Exit, GlobalArgs};
use crate::cpu::HostSys;
use crate::tuning::check::check;
use crate::tuning::plan::{Allow, Plan};
use crate::tuning::render::{plan_json, plan_lines};
use crate::tuning::script::script;

/// Arguments of `corelane tune plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    allow: AllowArgs,
    /// Print the changes as a POSIX shell script
    #[arg(long, conflicts_with = "json")]
    script: bool,
}

/// What is allowed besides what disturbs nobody.
#[derive(Clone, Copy, Debug, Args)]
pub struct AllowArgs {
    /// Changes that take a network link down for seconds too
    #[arg(long)]
    allow_link_reset: bool,
    /// Changes to the next boot too
    #[arg(long)]
    allow_boot: bool,
}

impl From<AllowArgs> for Allow {
    fn from(args: AllowArgs) -> Allow {
        Allow {
            link_reset: args.allow_link_reset,
            boot: args.allow_boot,
        }
    }
}

/// Looks and prints.
pub fn run(args: &PlanArgs, global: &GlobalArgs, sys: &HostSys) -> Result<Exit, Exit> {
    let opened = global.open(sys)?;
    let host = opened.host()?;
    let report = check(&host, &opened.selection);
    let plan = Plan::of(&report, args.allow.into()).map_err(|error| Exit::Error.saying(error))?;
    let exit = plan.exit();
    Ok(if args.script {
        print(script(&plan).trim_end(), exit)
    } else if global.json {
        print(plan_json(&host, &plan), exit)
    } else {
        print(plan_lines(&host, &plan), exit)
    })
}
