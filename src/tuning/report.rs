//! Everything about a host that a bug report or a benchmark's result should carry, in one file.
//!
//! Owns: what belongs in it. Never does: judging, changing anything. Runs on: the main thread of a
//! command.

use serde_json::{Value, json};

use super::audit::Audit;
use super::check::{Selection, check};
use super::host::Host;
use super::knobs::{engines, interrupts};
use super::render;
use crate::cpu::Device;

/// The form of the JSON.
pub const REPORT_SCHEMA: u32 = 1;

/// The report, as one JSON object.
pub fn report(host: &Host<'_>, selection: &Selection) -> String {
    let found = check(host, selection);
    let check: Value =
        serde_json::from_str(&render::check_json(host, &found)).expect("JSON of our own");
    let layout = match &host.layout {
        Ok(layout) => json!(layout),
        Err(why) => json!({ "none": why }),
    };
    let report = json!({
        "schema": REPORT_SCHEMA,
        "tool": concat!("corelane ", env!("CARGO_PKG_VERSION")),
        "host": host.facts,
        "profile": host.profile,
        "kernel": lines(host, "/proc/version"),
        "command_line": lines(host, "/proc/cmdline"),
        "cpus": cpus(host),
        "memory": memory(host),
        "devices": devices(host),
        "mounts": lines(host, "/proc/self/mountinfo"),
        "layout": layout,
        "check": check,
        "interrupts": interrupts(host),
        "interrupt_counts": lines(host, "/proc/interrupts"),
        "softirq_counts": lines(host, "/proc/softirqs"),
        "threads": threads(host),
    });
    serde_json::to_string_pretty(&report).expect("text, numbers and lists only")
}

/// The lines of a file; why there are none where it cannot be read.
fn lines(host: &Host<'_>, path: &str) -> Value {
    match host.sys.read(path) {
        Ok(text) => json!(text.lines().collect::<Vec<_>>()),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn cpus(host: &Host<'_>) -> Value {
    let topology = &host.topology;
    let cores = topology.cores.iter().map(|core| {
        json!({ "cpus": core.cpus, "package": core.package, "node": core.node, "l3": core.l3 })
    });
    json!({
        "possible": topology.possible,
        "online": topology.online,
        "isolated": topology.isolated,
        "cores": cores.collect::<Vec<_>>(),
        "notes": topology.notes,
    })
}

fn memory(host: &Host<'_>) -> Value {
    let text = host.sys.read("/proc/meminfo").unwrap_or_default();
    let wanted = [
        "MemTotal",
        "MemAvailable",
        "SwapTotal",
        "HugePages_Total",
        "Mlocked",
    ];
    let is_wanted = |line: &&str| wanted.iter().any(|name| line.starts_with(name));
    json!(text.lines().filter(is_wanted).collect::<Vec<_>>())
}

fn devices(host: &Host<'_>) -> Value {
    let list = |devices: &[Device]| {
        let one = |device: &Device| json!({ "name": device.name, "node": device.node, "queues": device.queues.len() });
        devices.iter().map(one).collect::<Vec<_>>()
    };
    let topology = &host.topology;
    json!({ "nvme": list(&topology.nvme), "nics": list(&topology.nics) })
}

/// The audit of every engine that runs, or why there is none.
fn threads(host: &Host<'_>) -> Value {
    let audit = |pid: &String| {
        let pid = pid.parse().unwrap_or_default();
        match Audit::of(host.sys, pid, host.layout.as_ref().ok(), &host.topology) {
            Ok(audit) => json!(audit),
            Err(error) => json!({ "pid": pid, "error": error.to_string() }),
        }
    };
    engines(host).iter().map(audit).collect()
}
