//! `corelane tune apply`: changes the host, and writes down before each change what was there.
//!
//! Owns: its arguments, what is printed. Never does: the changing ([`crate::tuning`]). Runs on: the
//! main thread.

use clap::Args;

use super::open::print;
use super::plan::AllowArgs;
use super::{Exit, GlobalArgs};
use crate::cpu::HostSys;
use crate::tuning::apply::{Applied, ApplyError, Line, Order, apply};
use crate::tuning::check::Selection;
use crate::tuning::guard::Refusal;
use crate::tuning::knobs::KNOBS;
use crate::tuning::plan::Allow;
use crate::tuning::render::{apply_json, header, withheld};
use crate::tuning::state::State;

/// Arguments of `corelane tune apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    allow: AllowArgs,
    /// Again what was applied before, by the same profile and layout: for the service that runs at boot
    #[arg(long, conflicts_with_all = ["only", "skip", "layout"])]
    from_state: bool,
}

/// Changes the host and prints what came of it.
pub fn run(args: &ApplyArgs, global: &GlobalArgs, sys: &HostSys) -> Result<Exit, Exit> {
    let mut allow = Allow::from(args.allow);
    let mut profile = global.profile.clone();
    let (mut known, mut kept) = (None, None);
    if args.from_state {
        let state = State::read(sys).map_err(|error| Exit::Refused.saying(error))?;
        if state.knobs.is_empty() {
            return Ok(print("nothing was applied before", Exit::Ok));
        }
        // It was allowed when it was done first, and no engine runs yet.
        allow.link_reset |= state.link_reset;
        profile = profile.or_else(|| state.profile.clone());
        let is_known = |id: &&'static str| state.knobs.contains(*id);
        let ids = KNOBS.iter().map(|knob| knob.id).filter(is_known);
        known = Some(Selection::of(ids.collect()));
        kept = state.layout;
    }
    let opened = global.open_with(sys, profile.as_deref())?;
    let mut host = opened.host()?;
    if let Some(kept) = &kept {
        host.go_by(kept)
            .map_err(|error| Exit::Refused.saying(error))?;
    }
    let order = Order {
        catalogue: KNOBS,
        selection: known.as_ref().unwrap_or(&opened.selection),
        allow,
    };
    let is_told = !global.json;
    if is_told && !global.quiet {
        print(header(&host), Exit::Ok);
    }
    let mut tell = |line: &Line| {
        if is_told && !(global.quiet && line.done.is_fine()) {
            print(line, Exit::Ok);
        }
    };
    let applied = apply(&mut host, &order, &mut tell).map_err(|error| failed(&error))?;
    if global.json {
        return Ok(print(apply_json(&host, &applied), applied.exit()));
    }
    Ok(print(last_words(&applied), applied.exit()))
}

fn failed(error: &ApplyError) -> Exit {
    if let ApplyError::Refused(Refusal::State(_)) = error {
        eprintln!("what was changed so far stays as it is");
    }
    error.exit().saying(error)
}

/// What was left out, and what it all came to.
fn last_words(applied: &Applied) -> String {
    let denied = applied.denied();
    let denied = match denied.is_empty() {
        true => String::new(),
        false => format!("no permission: {}\n", denied.join(", ")),
    };
    let unmet = applied.lines.iter().filter(|line| !line.done.is_fine());
    format!(
        "{}{denied}{} changes, {} not made, {} withheld  exit {}",
        withheld(&applied.withheld),
        applied.lines.len(),
        unmet.count(),
        applied.withheld.len(),
        applied.exit().code()
    )
}
