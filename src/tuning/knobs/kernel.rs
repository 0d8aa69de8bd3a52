//! The kernel's own work: workqueues, ticks, RCU, watchdogs, timers, clocks.

use crate::cpu::CpuSet;
use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist, Status};

use super::cpu::isolated;
use super::draft::{Draft, not_applicable, policy, split};
use super::rule::{Form, Rule};
use super::{Knob, boot, sysctl};

const WORKQUEUES: &str = "/sys/devices/virtual/workqueue";
const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0";
const RCU_NORMAL: &str = "/sys/kernel/rcu_normal";
const NOHZ_FILE: &str = "/sys/devices/system/cpu/nohz_full";

/// How long the TSC must have kept up with another clock before that check may be given up.
const TSC_PROVEN_SECONDS: u64 = 3_600;

/// Deferred work away from shards.
pub const WORKQUEUES_MASK: Knob = Knob {
    id: "wq.mask",
    row: 21,
    group: Group::A,
    why: "unbound work items run on shards",
    risk: "low: they run on housekeeping instead",
    measured: "kworker/u* in tune audit; sched_switch on shard CPUs",
    undone: "the masks from before are written back",
    persist: Persist::Unit,
    probe: workqueues,
};

fn workqueues(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &WORKQUEUES_MASK) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let rule = Rule::Avoids {
        avoid: &split.quiet,
        to: &split.housekeeping,
        form: Form::Mask,
    };
    let mut draft = Draft::new(host, &WORKQUEUES_MASK);
    draft.value(&format!("{WORKQUEUES}/cpumask"), "", &rule);
    // Each of the rest is a workqueue that may be set apart from the mask of all.
    for name in host.sys.list(WORKQUEUES).unwrap_or_default() {
        let path = format!("{WORKQUEUES}/{name}/cpumask");
        if host.sys.exists(&path) {
            draft.value(&path, &name, &rule);
        }
    }
    draft.items()
}

/// Shards without the timer tick.
pub const NOHZ_FULL: Knob = Knob {
    id: "tick.nohz_full",
    row: 23,
    group: Group::C,
    why: "250 to 1,000 ticks a second, 1 to 5 µs each",
    risk: "may raise the median: every system call and interrupt becomes dearer",
    measured: "LOC in /proc/interrupts on shard CPUs; the bench's p50 and p99.99 with and without",
    undone: "the line in our boot drop-in is removed; the next boot",
    persist: Persist::Boot,
    probe: nohz,
};

pub(super) fn nohz_parameters(host: &Host<'_>) -> Vec<String> {
    match split(host, &NOHZ_FULL) {
        Ok(split) if host.profile.nohz && host.sys.exists(NOHZ_FILE) => {
            vec![format!("nohz_full={}", split.quiet)]
        }
        _ => Vec::new(),
    }
}

/// CPUs without the tick.
fn tickless(host: &Host<'_>) -> CpuSet {
    let text = host.sys.read(NOHZ_FILE).unwrap_or_default();
    CpuSet::parse_list(&text).unwrap_or_default()
}

fn nohz(host: &Host<'_>) -> Vec<Item> {
    let running = tickless(host);
    if !host.profile.nohz {
        let current = if running.is_empty() {
            "off".to_owned()
        } else {
            running.to_string()
        };
        return policy(host, &NOHZ_FULL, &current, "off");
    }
    let split = match split(host, &NOHZ_FULL) {
        Ok(split) => split,
        Err(items) => return items,
    };
    if !host.sys.exists(NOHZ_FILE) {
        return not_applicable(host, &NOHZ_FULL, "this kernel has no CONFIG_NO_HZ_FULL");
    }
    let mut draft = Draft::new(host, &NOHZ_FULL);
    draft.path(NOHZ_FILE);
    let current = if running.is_empty() {
        "none".to_owned()
    } else {
        running.to_string()
    };
    draft.say("", &current, &split.quiet.to_string());
    if split.quiet.is_subset(&running) {
        draft.found(Status::Ok);
    } else if boot::check(&mut draft, host, &NOHZ_FULL) == Status::Ok {
        draft.found(Status::Drift);
        draft.error("the command line asks for it and the kernel has not done it");
    }
    draft.items()
}

/// RCU's callbacks away from shards.
pub const RCU_NOCB: Knob = Knob {
    id: "rcu.nocb",
    row: 24,
    group: Group::B,
    why: "batches of RCU callbacks run in softirq on shards; expedited grace periods interrupt them",
    risk: "low: some administrative operations take longer",
    measured: "RCU in /proc/softirqs on shard CPUs; IPIs in /proc/interrupts",
    undone: "rcu_normal is written back; the line in our boot drop-in is removed",
    persist: Persist::Boot,
    probe: rcu,
};

pub(super) fn rcu_parameters(host: &Host<'_>) -> Vec<String> {
    match split(host, &RCU_NOCB) {
        Ok(split) => vec![
            format!("rcu_nocbs={}", split.quiet),
            "rcupdate.rcu_normal_after_boot=1".to_owned(),
        ],
        Err(_) => Vec::new(),
    }
}

fn rcu(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &RCU_NOCB) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let mut early = Draft::new(host, &RCU_NOCB);
    let value = boot::running_value(host, "rcu_nocbs");
    let current = value.unwrap_or_else(|| "none".to_owned());
    early.say("rcu_nocbs", &current, &split.quiet.to_string());
    if split.quiet.is_subset(&tickless(host)) {
        early.found(Status::Ok);
        early.hint("implied by nohz_full");
    } else {
        boot::check(&mut early, host, &RCU_NOCB);
    }
    let mut running = Draft::new(host, &RCU_NOCB).kept_by(Persist::Unit);
    running.value(RCU_NORMAL, "rcu_normal", &Rule::Is("1"));
    vec![early.item(), running.item()]
}

/// Watchdogs away from shards, and still there for the rest.
pub const WATCHDOG: Knob = Knob {
    id: "watchdog",
    row: 25,
    group: Group::B,
    why: "performance-counter NMIs and a stopper thread on every CPU",
    risk: "low: a shard that hangs in the kernel is not reported; housekeeping still is",
    measured: "NMI and PMI in /proc/interrupts on shard CPUs",
    undone: "the values from before are written back",
    persist: Persist::Sysctl,
    probe: watchdog,
};

fn watchdog(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &WATCHDOG);
    sysctl::check(&mut draft, host, &WATCHDOG);
    draft.items()
}

/// Timers stay where they were armed.
pub const TIMER_MIGRATE: Knob = Knob {
    id: "timer.migrate",
    row: 26,
    group: Group::B,
    why: "a core that polls looks busy and is given the timers of idle ones",
    risk: "low: idle CPUs wake for their own timers",
    measured: "timer softirqs on shard CPUs; LOC",
    undone: "the value from before is written back",
    persist: Persist::Sysctl,
    probe: timer_migrate,
};

/// Newer kernels move no timers to isolated CPUs (timer_migration: exclude isolated CPUs).
pub(super) fn timers_avoid_isolated(host: &Host<'_>) -> bool {
    let Ok(split) = split(host, &TIMER_MIGRATE) else {
        return false;
    };
    split.quiet.is_subset(&tickless(host))
        || (split.quiet.is_subset(&isolated(host)) && release(host) >= (6, 19))
}

/// Major and minor number of the kernel; zeros where it does not tell.
fn release(host: &Host<'_>) -> (u32, u32) {
    let text = host
        .sys
        .read("/proc/sys/kernel/osrelease")
        .unwrap_or_default();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    (next(), next())
}

fn timer_migrate(host: &Host<'_>) -> Vec<Item> {
    if timers_avoid_isolated(host) {
        let current = host.sys.read("/proc/sys/kernel/timer_migration");
        let current = current.unwrap_or_else(|_| "absent".to_owned());
        let want = "any: shards take no part";
        return policy(host, &TIMER_MIGRATE, &current, want);
    }
    let mut draft = Draft::new(host, &TIMER_MIGRATE);
    sysctl::check(&mut draft, host, &TIMER_MIGRATE);
    draft.items()
}

/// Ticks that do not meet, and no watchdog for a clock that is proven.
pub const TIMER_BOOT: Knob = Knob {
    id: "timer.boot",
    row: 27,
    group: Group::B,
    why: "ticks of all CPUs contend for one lock; the clock's watchdog visits each CPU in turn",
    risk: "tsc=reliable hides a broken TSC: asked for only after an hour in which it held",
    measured: "LOC and jitter at the tick's period and at 2 Hz",
    undone: "the line in our boot drop-in is removed; the next boot",
    persist: Persist::Boot,
    probe: timer_boot,
};

const TSC_RELIABLE: &str = "tsc=reliable";

pub(super) fn timer_parameters(host: &Host<'_>) -> Vec<String> {
    let mut parameters = vec!["skew_tick=1".to_owned()];
    // Once asked for, it stays: the first hour after each boot must not take it back.
    let tsc = boot::running_value(host, "tsc");
    if boot::is_asked(host, TSC_RELIABLE) || (tsc.is_none() && is_tsc_proven(host)) {
        parameters.push(TSC_RELIABLE.to_owned());
    }
    parameters
}

/// The kernel drops the TSC as soon as its watchdog finds it off, so that it is still in use after
/// an hour says that it held for an hour.
fn is_tsc_proven(host: &Host<'_>) -> bool {
    let uptime = host.sys.read("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split('.').next().and_then(|s| s.parse::<u64>().ok());
    is_tsc(host) && is_tsc_steady(host) && seconds.is_some_and(|s| s >= TSC_PROVEN_SECONDS)
}

fn is_tsc(host: &Host<'_>) -> bool {
    let clock = host.sys.read(&format!("{CLOCK}/current_clocksource"));
    clock.is_ok_and(|clock| clock.trim() == "tsc")
}

/// Whether the processor says that its TSC runs at one rate and never stops.
fn is_tsc_steady(host: &Host<'_>) -> bool {
    let text = host.sys.read("/proc/cpuinfo").unwrap_or_default();
    let flags = text.lines().find(|line| line.starts_with("flags"));
    let has = |wanted| flags.is_some_and(|f| f.split_whitespace().any(|flag| flag == wanted));
    has("constant_tsc") && has("nonstop_tsc")
}

fn timer_boot(host: &Host<'_>) -> Vec<Item> {
    let wanted = timer_parameters(host);
    let mut draft = Draft::new(host, &TIMER_BOOT);
    let running = |key| boot::running_value(host, key).unwrap_or_else(|| "none".to_owned());
    let current = format!("skew_tick={} tsc={}", running("skew_tick"), running("tsc"));
    draft.say("", &current, &wanted.join(" "));
    boot::check(&mut draft, host, &TIMER_BOOT);
    if wanted.len() == 1 {
        draft.hint("tsc=reliable: not before the TSC held for an hour as the clock");
    }
    draft.items()
}

/// The clock that is read without a system call.
pub const CLOCK_SOURCE: Knob = Knob {
    id: "clock.source",
    row: 28,
    group: Group::A,
    why: "reading HPET or the ACPI timer is a system call of microseconds",
    risk: "low: the kernel offers the TSC only where it trusts it",
    measured: "nanoseconds per clock reading: corelane doctor",
    undone: "the clock from before is written back",
    persist: Persist::Unit,
    probe: clock_source,
};

fn clock_source(host: &Host<'_>) -> Vec<Item> {
    let offered = host.sys.read(&format!("{CLOCK}/available_clocksource"));
    let offered = offered.unwrap_or_default();
    let mut draft = Draft::new(host, &CLOCK_SOURCE);
    let path = format!("{CLOCK}/current_clocksource");
    if is_tsc(host) || (is_tsc_steady(host) && offered.split_whitespace().any(|o| o == "tsc")) {
        draft.value(&path, "", &Rule::Is("tsc"));
        return draft.items();
    }
    let current = host.sys.read(&path).unwrap_or_else(|_| "absent".to_owned());
    let why = format!("the kernel does not offer a steady TSC here; {current} stays");
    not_applicable(host, &CLOCK_SOURCE, &why)
}
