//! `corelane tune revert`: takes back what `apply` changed, the latest first.
//!
//! Owns: its arguments, what is printed. Never does: the changing ([`crate::tuning`]). Runs on: the
//! main thread.

use clap::Args;

use super::open::print;
use super::plan::AllowArgs;
use super::{Exit, GlobalArgs};
use crate::cpu::HostSys;
use crate::tuning::host::Facts;
use crate::tuning::knobs::KNOBS;
use crate::tuning::plan::Allow;
use crate::tuning::render::revert_json;
use crate::tuning::revert::{Foreign, Line, Order, Undone, revert};

/// Arguments of `corelane tune revert`.
#[derive(Debug, Args)]
pub struct RevertArgs {
    #[command(flatten)]
    allow: AllowArgs,
    /// Also where somebody else has changed the value since
    #[arg(long)]
    force: bool,
}

/// Takes back and prints what came of it.
pub fn run(args: &RevertArgs, global: &GlobalArgs, sys: &HostSys) -> Result<Exit, Exit> {
    let opened = global.open(sys)?;
    let foreign = if args.force {
        Foreign::Overwrite
    } else {
        Foreign::Skip
    };
    let is_told = !global.json;
    let mut tell = |line: &Line| {
        if is_told && !(global.quiet && line.undone.is_fine()) {
            print(line, Exit::Ok);
        }
    };
    let wants = |id: &str| opened.selection.names(id, KNOBS);
    let boot_id = Facts::read(sys).boot_id;
    let order = Order {
        boot_id: &boot_id,
        foreign,
        allow: Allow::from(args.allow),
        wants: &wants,
    };
    let reverted =
        revert(opened.reach(), &order, &mut tell).map_err(|error| error.exit().saying(error))?;
    if global.json {
        return Ok(print(revert_json(&reverted), reverted.exit()));
    }
    let left = reverted.lines.iter().filter(|line| !line.undone.is_fine());
    let (count, left) = (reverted.lines.len(), left.count());
    let exit = reverted.exit();
    let is_withheld = |line: &&Line| matches!(line.undone, Undone::Withheld(_));
    let withheld = reverted.lines.iter().filter(is_withheld).count();
    let words = format!(
        "{count} changes, {left} left ({withheld} withheld)  exit {}",
        exit.code()
    );
    Ok(print(words, exit))
}
