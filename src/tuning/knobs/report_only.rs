//! What is reported and left to people: firmware, mitigations, file systems, clocks, services.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist, Status};

use super::Knob;
use super::devices::data_mount;
use super::draft::{Draft, not_applicable, policy};
use super::rule::Rule;
use super::services::{has_systemd, state};

const NOTHING: &str = "nothing is changed";

/// Polling for corrected machine checks.
pub const MCE: Knob = Knob {
    id: "mce",
    row: 39,
    group: Group::C,
    why: "each CPU polls for corrected errors every 300 s; storms of them interrupt",
    risk: "hides memory that begins to fail",
    measured: "MCE and MCP in /proc/interrupts; jitter at 300 s",
    undone: "the values from before are written back",
    persist: Persist::Unit,
    probe: mce,
};

fn mce(host: &Host<'_>) -> Vec<Item> {
    let folder = "/sys/devices/system/machinecheck";
    let names = host.sys.list(folder).unwrap_or_default();
    let machines: Vec<&String> = names
        .iter()
        .filter(|name| name.starts_with("machinecheck"))
        .collect();
    let Some(first) = machines.first() else {
        return not_applicable(host, &MCE, "the kernel shows no machine-check banks");
    };
    if !host.profile.sets(Group::C) {
        let every = host.sys.read(&format!("{folder}/{first}/check_interval"));
        let every = every.map_or("not readable".to_owned(), |s| format!("every {s} s"));
        return policy(host, &MCE, &every, "asked for by group C only");
    }
    let mut draft = Draft::new(host, &MCE);
    for machine in &machines {
        draft.value(&format!("{folder}/{machine}/ignore_ce"), "", &Rule::Is("1"));
        draft.value(
            &format!("{folder}/{machine}/check_interval"),
            "",
            &Rule::Is("0"),
        );
    }
    if draft.status() != Status::NotApplicable {
        let current = format!("{} values to set", draft.actions());
        draft.replace_said(&current, "ignore_ce=1 check_interval=0");
    }
    draft.items()
}

/// Interrupts that no system sees.
pub const SMI: Knob = Knob {
    id: "hw.smi",
    row: 42,
    group: Group::R,
    why: "firmware takes the CPU for up to milliseconds, and nothing in Linux can forbid it",
    risk: "none: reported; the firmware's settings decide",
    measured: "MSR 0x34 over time; hwlatdetect",
    undone: NOTHING,
    persist: Persist::None,
    probe: smi,
};

fn smi(host: &Host<'_>) -> Vec<Item> {
    let path = "/dev/cpu/0/msr";
    if !host.sys.exists(path) {
        return not_applicable(
            host,
            &SMI,
            "no MSR device: modprobe msr, then corelane tune verify",
        );
    }
    let mut draft = Draft::new(host, &SMI);
    draft.path(path);
    draft.say("", "counted over time", "0 per hour");
    draft.hint("corelane tune verify counts them");
    draft.found(Status::Ok);
    draft.items()
}

/// What system calls cost for safety.
pub const MITIGATIONS: Knob = Knob {
    id: "hw.mitig",
    row: 42,
    group: Group::R,
    why: "mitigations of processor bugs make every entry into the kernel dearer",
    risk: "none: reported; what may be given up is the operator's decision",
    measured: "nanoseconds per system call: corelane doctor",
    undone: NOTHING,
    persist: Persist::None,
    probe: mitigations,
};

fn mitigations(host: &Host<'_>) -> Vec<Item> {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let names = host.sys.list(folder).unwrap_or_default();
    if names.is_empty() {
        return not_applicable(host, &MITIGATIONS, "the kernel does not tell");
    }
    let mitigated = |name: &&String| {
        let text = host.sys.read(&format!("{folder}/{name}"));
        text.is_ok_and(|text| text.starts_with("Mitigation"))
    };
    let active = names.iter().filter(mitigated).count();
    let mut draft = Draft::new(host, &MITIGATIONS);
    draft.path(folder);
    draft.say(
        "",
        &format!("{active} of {} mitigated", names.len()),
        "known",
    );
    draft.found(Status::Ok);
    draft.items()
}

/// What lies beneath the engine's data.
pub const FILE_SYSTEM: Knob = Knob {
    id: "fs.xfs",
    row: 42,
    group: Group::R,
    why: "XFS appends beside reads and takes direct I/O without surprises; discard stalls deletes",
    risk: "none: reported; a file system is chosen when it is made",
    measured: "sync latency and its tail: corelane doctor",
    undone: NOTHING,
    persist: Persist::None,
    probe: file_system,
};

fn file_system(host: &Host<'_>) -> Vec<Item> {
    if host.profile.data_dir.is_none() {
        return not_applicable(host, &FILE_SYSTEM, "the profile names no data_dir");
    }
    let Some(mount) = data_mount(host) else {
        return not_applicable(
            host,
            &FILE_SYSTEM,
            "no mount is known above the data directory",
        );
    };
    let mut draft = Draft::new(host, &FILE_SYSTEM);
    draft.path("/proc/self/mountinfo");
    let discards = mount.options.split(',').any(|option| option == "discard");
    let suffix = if discards { ", discard" } else { "" };
    let current = format!("{} at {}{suffix}", mount.kind, mount.point);
    draft.say("", &current, "xfs without discard");
    draft.found(Status::Ok);
    if mount.kind != "xfs" {
        draft.found(Status::Drift);
        draft.hint("the engine is built for XFS");
    }
    if discards {
        draft.found(Status::Drift);
        draft.hint("mount without discard and let fstrim.timer do it");
    }
    draft.items()
}

/// Whether somebody keeps the clock.
pub const TIME_SYNC: Knob = Knob {
    id: "time.sync",
    row: 42,
    group: Group::R,
    why: "latencies across hosts and retention by time need a clock that is right",
    risk: "none: reported",
    measured: "timedatectl, chronyc tracking",
    undone: NOTHING,
    persist: Persist::None,
    probe: time_sync,
};

fn time_sync(host: &Host<'_>) -> Vec<Item> {
    if !has_systemd(host) {
        return not_applicable(
            host,
            &TIME_SYNC,
            "systemd does not run this host and cannot tell",
        );
    }
    let show = ["show", "--property=NTPSynchronized", "--value"];
    let Ok(ran) = host.commands.run("timedatectl", &show) else {
        return not_applicable(
            host,
            &TIME_SYNC,
            "timedatectl is not installed and cannot tell",
        );
    };
    let mut draft = Draft::new(host, &TIME_SYNC);
    let is_synchronized = ran.output.trim() == "yes";
    let current = if is_synchronized {
        "synchronized"
    } else {
        "not synchronized"
    };
    draft.say("", current, "synchronized");
    draft.found(if is_synchronized {
        Status::Ok
    } else {
        Status::Drift
    });
    draft.items()
}

/// Whether freed blocks are told to the device, now and then.
pub const FSTRIM: Knob = Knob {
    id: "fstrim",
    row: 42,
    group: Group::R,
    why: "a device that is not told what is free slows down as it fills; weekly is enough",
    risk: "none: reported",
    measured: "systemctl is-active fstrim.timer",
    undone: NOTHING,
    persist: Persist::None,
    probe: fstrim,
};

fn fstrim(host: &Host<'_>) -> Vec<Item> {
    let Some(state) = state(host, "fstrim.timer") else {
        return not_applicable(host, &FSTRIM, "systemd does not run this host");
    };
    let mut draft = Draft::new(host, &FSTRIM);
    draft.say("", &state.to_string(), "active");
    draft.found(if state.is_active() {
        Status::Ok
    } else {
        Status::Drift
    });
    draft.items()
}
