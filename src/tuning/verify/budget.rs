//! How much may interrupt a CPU that a shard spins on.
//!
//! Owns: the budgets and what exceeds them. Never does: counting.

use std::fmt;

use serde::Serialize;

use crate::tuning::jitter::counters::Delta;
use crate::tuning::jitter::report::Figures;

/// Rows of `/proc/interrupts` that CPUs send each other, with how often a second is fine.
const BETWEEN_CPUS: [(&str, f64); 3] = [("RES", 1.0), ("CAL", 1.0), ("TLB", 1.0)];

/// Starting and ending the meter itself costs a few of those, whatever the time.
const GRACE: f64 = 10.0;

/// The fastest tick that kernels have, and some.
const TICK_PER_S: f64 = 1010.0;

/// With nohz_full a tick is left now and then.
const NO_TICK_PER_S: f64 = 2.0;

/// A CPU that nothing shares switches away once a minute at most.
const SWITCHES_PER_S: f64 = 1.0 / 60.0;

/// Work that arrives at any time waits no longer, in 9,999 of 10,000 cases,
pub const WAIT_P9999_NS: u64 = 10_000;

/// no gap is longer,
pub const GAP_MAX_NS: u64 = 50_000;

/// and no more of the time is lost.
pub const LOST_PPM: f64 = 200.0;

/// Noise on other CPUs may make the wait longer by this factor.
pub const STRESSED_RATIO: f64 = 2.0;

/// Whether a CPU has a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// CONFIG_HZ times a second.
    Runs,
    /// It is in `nohz_full`.
    Stopped,
}

/// What a CPU went through while its counters were compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// For how long.
    pub seconds: f64,
    /// Whether it has a tick.
    pub tick: Tick,
    /// How often the thread that spun on it was taken off.
    pub nonvoluntary: u64,
}

/// What exceeded its budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// A row of the kernel's counters, or a figure of the meter.
    pub name: String,
    /// What it is, in the kernel's words; empty where the name says it all.
    pub what: String,
    /// What was found.
    pub found: f64,
    /// What may be.
    pub budget: f64,
    /// What both count.
    pub unit: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if !self.what.is_empty() {
            write!(f, " {}", self.what)?;
        }
        let (found, budget) = (self.found, self.budget);
        write!(f, " ({found:.1} {}, budget {budget:.1})", self.unit)
    }
}

/// What of a CPU's counters exceeds its budget; each is named.
pub fn violations(delta: &Delta, load: Load) -> Vec<Violation> {
    let seconds = load.seconds.max(f64::MIN_POSITIVE);
    let mut found = Vec::new();
    // A shard's own NVMe queue interrupts for its own I/O only, and the kernel places it.
    for device in delta
        .devices()
        .filter(|device| !device.what.contains("nvme"))
    {
        found.push(Violation {
            name: format!("irq {}", device.row),
            what: device.what.clone(),
            found: device.times as f64 / seconds,
            budget: 0.0,
            unit: "per s",
        });
    }
    let mut row = |name: &str, budget: f64, grace: f64| {
        let times = delta.interrupts_of(name) as f64;
        if times > budget * seconds + grace {
            let moved = delta.interrupts.iter().find(|moved| moved.row == name);
            found.push(Violation {
                name: name.to_owned(),
                what: moved.map_or(String::new(), |moved| moved.what.clone()),
                found: times / seconds,
                budget,
                unit: "per s",
            });
        }
    };
    for (name, budget) in BETWEEN_CPUS {
        row(name, budget, GRACE);
    }
    row("NMI", 0.0, 0.0);
    match load.tick {
        Tick::Runs => row("LOC", TICK_PER_S, GRACE),
        Tick::Stopped => row("LOC", NO_TICK_PER_S, GRACE),
    }
    if load.nonvoluntary as f64 > (SWITCHES_PER_S * seconds).max(1.0) {
        found.push(Violation {
            name: "switches".into(),
            what: "another thread ran on the CPU".into(),
            found: load.nonvoluntary as f64 / seconds,
            budget: SWITCHES_PER_S,
            unit: "per s",
        });
    }
    if let Some(times) = delta.smi.filter(|times| *times > 0) {
        found.push(Violation {
            name: "SMI".into(),
            what: "system management interrupts: firmware, see hw.smi".into(),
            found: times as f64,
            budget: 0.0,
            unit: "times",
        });
    }
    found
}

/// What of the meter's figures exceeds the gates for tuned metal.
pub fn jitter_violations(figures: &Figures) -> Vec<Violation> {
    let us = |ns: u64| ns as f64 / 1000.0;
    let gates = [
        (
            "wait p99.99",
            us(figures.wait_p9999_ns),
            us(WAIT_P9999_NS),
            "us",
        ),
        ("longest gap", us(figures.gap_max_ns), us(GAP_MAX_NS), "us"),
        ("lost", figures.lost_ppm, LOST_PPM, "ppm"),
    ];
    let exceeded = gates
        .into_iter()
        .filter(|(_, found, budget, _)| found > budget);
    exceeded
        .map(|(name, found, budget, unit)| Violation {
            name: name.to_owned(),
            what: String::new(),
            found,
            budget,
            unit,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::jitter::counters::Moved;

    fn delta(rows: &[(&str, &str, u64)]) -> Delta {
        let moved = |(row, what, times): &(&str, &str, u64)| Moved {
            row: (*row).to_owned(),
            what: (*what).to_owned(),
            times: *times,
        };
        Delta {
            interrupts: rows.iter().map(moved).collect(),
            ..Delta::default()
        }
    }

    fn minute(tick: Tick) -> Load {
        Load {
            seconds: 60.0,
            tick,
            nonvoluntary: 1,
        }
    }

    fn names(delta: &Delta, load: Load) -> Vec<String> {
        let found = violations(delta, load);
        found.into_iter().map(|violation| violation.name).collect()
    }

    #[test]
    fn a_quiet_cpu_keeps_its_budgets() {
        let quiet = delta(&[
            ("CAL", "Function call interrupts", 70),
            ("LOC", "Local timer interrupts", 60_000),
            ("RES", "Rescheduling interrupts", 70),
            ("TLB", "TLB shootdowns", 70),
            ("130", "nvme0q5", 4_000),
        ]);
        assert!(violations(&quiet, minute(Tick::Runs)).is_empty());
    }

    #[test]
    fn every_violator_is_named() {
        let device = "PCI-MSIX mlx5_comp9@pci:0000:41:00.0";
        for (row, what, times, name) in [
            ("88", device, 1, "irq 88"),
            ("CAL", "Function call interrupts", 71, "CAL"),
            ("RES", "Rescheduling interrupts", 71, "RES"),
            ("TLB", "TLB shootdowns", 71, "TLB"),
            ("NMI", "Non-maskable interrupts", 1, "NMI"),
        ] {
            let delta = delta(&[(row, what, times)]);
            assert_eq!(names(&delta, minute(Tick::Runs)), [name]);
            assert!(
                violations(&delta, minute(Tick::Runs))[0]
                    .to_string()
                    .contains(what)
            );
        }
        let smi = Delta {
            smi: Some(2),
            ..Delta::default()
        };
        assert_eq!(names(&smi, minute(Tick::Runs)), ["SMI"]);
        let shared = Load {
            nonvoluntary: 2,
            ..minute(Tick::Runs)
        };
        assert_eq!(names(&Delta::default(), shared), ["switches"]);
    }

    #[test]
    fn a_stopped_tick_has_a_budget_of_its_own() {
        let ticks = delta(&[("LOC", "Local timer interrupts", 131)]);
        assert!(names(&ticks, minute(Tick::Runs)).is_empty());
        assert_eq!(names(&ticks, minute(Tick::Stopped)), ["LOC"]);
    }

    #[test]
    fn the_gates_of_metal_are_inclusive() {
        let mut figures = Figures {
            span_ns: 1,
            gaps: 0,
            gaps_per_s: 0.0,
            gaps_at_least: Default::default(),
            gap_p50_ns: 0,
            gap_p99_ns: 0,
            gap_p999_ns: 0,
            gap_max_ns: GAP_MAX_NS,
            lost_ppm: LOST_PPM,
            lost_worst_second_ppm: 0.0,
            wait_p999_ns: 0,
            wait_p9999_ns: WAIT_P9999_NS,
        };
        assert!(jitter_violations(&figures).is_empty());
        figures.wait_p9999_ns += 1;
        figures.gap_max_ns += 1;
        figures.lost_ppm += 0.1;
        assert_eq!(jitter_violations(&figures).len(), 3);
    }
}
