//! When a host is not changed.
//!
//! Owns: the reasons, and how to go on for each. Never does: changing anything. Runs on: the main
//! thread of a command.

use super::check::{Report, Selection};
use super::commands::Commands;
use super::competitors::{self, Against, Competitor, IRQBALANCE};
use super::host::Host;
use super::item::Status;
use super::plan::Plan;
use super::running::{self, Engine};
use super::state::{LockError, StateError};
use crate::cpu::Sys;

/// The knob that keeps irqbalance away from interrupts.
const IRQBALANCE_KNOB: &str = "irq.balance";

/// Why a host is not changed. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The kernel's settings belong to the host around.
    #[error(
        "{path} is mounted read-only, as in a container: the kernel's settings belong to the host \
         around it; run corelane tune there"
    )]
    Container {
        /// Which tree.
        path: &'static str,
    },
    /// An engine runs, and would be disturbed.
    #[error(
        "{0} runs: it was placed by the layout that it found, and moving interrupts and queues \
         under it disturbs it; stop it first"
    )]
    Engine(Engine),
    /// Somebody else tunes this host.
    #[error(
        "{unit} is at work and {does}; stop and disable it first, or leave out what it sets (--skip {skip})"
    )]
    Competitor {
        /// Its service.
        unit: &'static str,
        /// What it does.
        does: &'static str,
        /// Knobs that it gets in the way of.
        skip: String,
    },
    /// The same, where nothing of ours is safe from it.
    #[error(
        "{unit} is at work and {does}; stop and disable it first (systemctl disable --now {unit})"
    )]
    Rival {
        /// Its service.
        unit: &'static str,
        /// What it does.
        does: &'static str,
    },
    /// This process may not.
    #[error("no permission to change this host; it takes root. These would be set: {knobs}")]
    Denied {
        /// Knobs that would have been set.
        knobs: String,
    },
    /// The host cannot be split.
    #[error("{0}\n  to set what needs no layout, name it with --only")]
    Topology(String),
    /// Somebody else changes the host now.
    #[error(transparent)]
    Lock(LockError),
    /// What was changed before is not known.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Whether what a plan says may be done now.
///
/// # Errors
/// It may not.
pub fn before_apply(
    host: &Host<'_>,
    selection: &Selection,
    report: &Report,
    plan: &Plan,
) -> Result<(), Refusal> {
    if plan.steps.is_empty() {
        return Ok(());
    }
    if let Err(why) = &host.layout
        && !selection.is_explicit()
    {
        return Err(Refusal::Topology(why.clone()));
    }
    if let Some(path) = read_only(host.sys) {
        return Err(Refusal::Container { path });
    }
    if let Some(engine) = engine(host.sys) {
        return Err(Refusal::Engine(engine));
    }
    for competitor in competitors::at_work(host.sys, host.commands) {
        against(competitor, report, plan)?;
    }
    Ok(())
}

/// Whether changes may be taken back now.
///
/// # Errors
/// They may not.
pub fn before_revert(sys: &dyn Sys) -> Result<(), Refusal> {
    if let Some(path) = read_only(sys) {
        return Err(Refusal::Container { path });
    }
    match engine(sys) {
        Some(engine) => Err(Refusal::Engine(engine)),
        None => Ok(()),
    }
}

/// Competitors at work that only are to be mentioned.
pub fn mentioned(sys: &dyn Sys, commands: &dyn Commands) -> Vec<String> {
    competitors::at_work(sys, commands)
        .into_iter()
        .map(|competitor| format!("{} is at work and {}", competitor.unit, competitor.does))
        .collect()
}

fn against(competitor: &Competitor, report: &Report, plan: &Plan) -> Result<(), Refusal> {
    match competitor.against {
        Against::Everything => Err(Refusal::Rival {
            unit: competitor.unit,
            does: competitor.does,
        }),
        Against::Knobs(knobs) => {
            let set: Vec<&str> = knobs
                .iter()
                .copied()
                .filter(|id| plan.steps.iter().any(|step| step.id == *id))
                .collect();
            let is_kept_away =
                competitor.unit == IRQBALANCE && irqbalance_is_kept_away(report, plan);
            if set.is_empty() || is_kept_away {
                return Ok(());
            }
            Err(Refusal::Competitor {
                unit: competitor.unit,
                does: competitor.does,
                skip: set.join(","),
            })
        }
        Against::Mentioned => Ok(()),
    }
}

/// Whether irqbalance leaves the shards alone already, or will once the plan is done.
fn irqbalance_is_kept_away(report: &Report, plan: &Plan) -> bool {
    let is_about = |id: &str| id == IRQBALANCE_KNOB;
    plan.steps.iter().any(|step| is_about(step.id))
        || report
            .items
            .iter()
            .any(|item| is_about(item.id) && item.status == Status::Ok)
}

/// The kernel's tree that cannot be written here, by the mount table (proc(5), `mounts`). A later
/// mount covers an earlier one.
fn read_only(sys: &dyn Sys) -> Option<&'static str> {
    let mounts = sys.read("/proc/self/mounts").unwrap_or_default();
    ["/sys", "/proc/sys"].into_iter().find(|tree| {
        let last = mounts
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .rfind(|fields| fields.get(1) == Some(tree));
        let options = last.and_then(|fields| fields.get(3).copied());
        options.is_some_and(|options| options.split(',').any(|option| option == "ro"))
    })
}

/// An engine, other than this process.
fn engine(sys: &dyn Sys) -> Option<Engine> {
    let mut found = running::engines(sys).into_iter();
    found.find(|engine| engine.pid != std::process::id())
}
