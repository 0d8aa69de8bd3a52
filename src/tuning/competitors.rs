//! Other programs that set what we set: while they run, what was set does not stay.
//!
//! Owns: which there are, how they are noticed, what they get in the way of. Never does: stopping one.
//! Runs on: the main thread of a command.

use super::commands::Commands;
use crate::cpu::Sys;

/// Another program that sets what we set.
#[derive(Debug, PartialEq, Eq)]
pub struct Competitor {
    /// Its service.
    pub unit: &'static str,
    /// The name of its process as the kernel keeps it: 15 bytes at most; none where it does not stay.
    pub comm: Option<&'static str>,
    /// What it does.
    pub does: &'static str,
    /// What it gets in the way of.
    pub against: Against,
}

/// What a competitor gets in the way of.
#[derive(Debug, PartialEq, Eq)]
pub enum Against {
    /// All of it.
    Everything,
    /// These knobs.
    Knobs(&'static [&'static str]),
    /// Some knobs, but it is there for the host's safety: it is only mentioned.
    Mentioned,
}

/// Those that are known.
pub const COMPETITORS: &[Competitor] = &[
    Competitor {
        unit: "tuned.service",
        comm: Some("tuned"),
        does: "sets the values of its profile, again whenever it starts, and takes them back when it \
               stops",
        against: Against::Everything,
    },
    Competitor {
        unit: "redpanda-tuner.service",
        comm: None,
        does: "tunes the host for a broker of its own; two of them on one host have no CPUs of their \
               own",
        against: Against::Everything,
    },
    Competitor {
        unit: "power-profiles-daemon.service",
        comm: Some("power-profiles-"),
        does: "sets frequencies and idle states",
        against: Against::Knobs(&["cpu.governor", "cpu.boost", "cpu.idle"]),
    },
    Competitor {
        unit: IRQBALANCE,
        comm: Some("irqbalance"),
        does: "moves interrupts every ten seconds",
        against: Against::Knobs(&["irq.move", "irq.default"]),
    },
    Competitor {
        unit: "thermald.service",
        comm: Some("thermald"),
        does: "slows CPUs that get hot",
        against: Against::Mentioned,
    },
];

/// The service that moves interrupts, which has a knob of its own (`irq.balance`).
pub const IRQBALANCE: &str = "irqbalance.service";

/// Those that are at work on this host.
pub fn at_work(sys: &dyn Sys, commands: &dyn Commands) -> Vec<&'static Competitor> {
    let running = running(sys);
    let is_running = |competitor: &&Competitor| {
        competitor
            .comm
            .is_some_and(|comm| running.iter().any(|name| name == comm))
    };
    let is_active = |competitor: &&Competitor| {
        let asked = commands.run("systemctl", &["is-active", competitor.unit]);
        asked.is_ok_and(|ran| ran.output.trim() == "active")
    };
    COMPETITORS
        .iter()
        .filter(|competitor| is_running(competitor) || is_active(competitor))
        .collect()
}

/// The names of all processes. One that ends meanwhile is none.
fn running(sys: &dyn Sys) -> Vec<String> {
    let folders = sys.list("/proc").unwrap_or_default();
    folders
        .iter()
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|pid| sys.read(&format!("/proc/{pid}/comm")).ok())
        .collect()
}
