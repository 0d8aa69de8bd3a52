//! Interrupts: which CPUs take them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cpu::{CpuSet, SysError};
use crate::ids::CpuId;
use crate::tuning::host::Host;
use crate::tuning::item::{Action, Group, Item, Persist, Status};

use super::draft::{Draft, Split, not_applicable, split};
use super::rule::{Form, Rule};
use super::{Knob, boot, services};

const IRQS: &str = "/proc/irq";

/// Device interrupts away from shards.
pub const MOVE: Knob = Knob {
    id: "irq.move",
    row: 5,
    group: Group::A,
    why: "an interrupt and its softirq on a shard's CPU take 5 to 100 µs",
    risk: "low: CPUs of housekeeping and I/O take them instead",
    measured: "device rows of /proc/interrupts on shard CPUs: tune verify",
    undone: "the affinity from before is written back",
    persist: Persist::Unit,
    probe: probe_move,
};

/// An interrupt as a report shows it. What cannot be read is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interrupt {
    /// Its number.
    pub irq: String,
    /// Who raises it.
    pub device: String,
    /// Where it may go.
    pub allowed: String,
    /// Where it goes.
    pub effective: String,
    /// Whether the kernel alone says where.
    pub is_managed: bool,
}

/// The interrupts of a host, by number.
pub fn interrupts(host: &Host<'_>) -> Vec<Interrupt> {
    let numbers = host.sys.list(IRQS).unwrap_or_default();
    let is_number = |name: &String| name.parse::<u32>().is_ok();
    let one = |irq: String| {
        let read = |name: &str| {
            host.sys
                .read(&format!("{IRQS}/{irq}/{name}"))
                .unwrap_or_default()
        };
        let device = device(host, &irq);
        Interrupt {
            allowed: read("smp_affinity_list"),
            effective: read("effective_affinity_list"),
            is_managed: is_managed(host, &irq, &device),
            device,
            irq,
        }
    };
    numbers.into_iter().filter(is_number).map(one).collect()
}

/// One interrupt that may be moved and has to be.
struct Stray {
    number: String,
    device: String,
    path: String,
    before: String,
    to: CpuSet,
}

fn probe_move(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &MOVE) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let Ok(names) = host.sys.list(IRQS) else {
        return not_applicable(host, &MOVE, "the host shows no interrupts");
    };
    let queues = queue_cpus(host);
    let mut movable = Draft::new(host, &MOVE);
    let mut strays = Vec::new();
    let mut managed: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = 0;
    for number in names.iter().filter(|name| name.parse::<u32>().is_ok()) {
        let device = device(host, number);
        if is_managed(host, number, &device) {
            *managed.entry(family(&device)).or_default() += 1;
            continue;
        }
        seen += 1;
        let wanted = queues.get(number.as_str());
        match stray(host, number, device, &split, wanted) {
            Ok(stray) => strays.extend(stray),
            Err(error) if error.is_managed() => {
                *managed.entry("other".to_owned()).or_default() += 1
            }
            Err(error) => {
                movable.unread("", &error);
            }
        }
    }
    let mut items = Vec::new();
    if seen > 0 {
        sum_up(&mut movable, strays, seen);
        items.push(movable.item());
    }
    if !managed.is_empty() {
        items.push(kept(host, &managed));
    }
    items
}

/// CPUs of the layout for the queues of the network interface, by interrupt.
fn queue_cpus(host: &Host<'_>) -> BTreeMap<String, CpuId> {
    let queues = host
        .layout
        .as_ref()
        .map(|layout| layout.nic_queues.as_slice());
    let queues = queues.unwrap_or_default().iter();
    queues
        .map(|queue| (queue.irq.to_string(), queue.cpu))
        .collect()
}

/// The interrupt as one to be moved; none where it is fine.
fn stray(
    host: &Host<'_>,
    number: &str,
    device: String,
    split: &Split,
    wanted: Option<&CpuId>,
) -> Result<Option<Stray>, SysError> {
    let path = format!("{IRQS}/{number}/smp_affinity_list");
    let before = host.sys.read(&path)?;
    let allowed = CpuSet::parse_list(&before).unwrap_or_default();
    // What the hardware was told; empty where the interrupt is not started.
    let effective = match host
        .sys
        .read(&format!("{IRQS}/{number}/effective_affinity_list"))
    {
        Ok(list) => CpuSet::parse_list(&list).unwrap_or_default(),
        Err(error) if error.is_missing() => allowed.clone(),
        Err(error) => return Err(error),
    };
    let to = match wanted {
        Some(cpu) => CpuSet::from_iter([*cpu]),
        None => split.housekeeping.clone(),
    };
    let is_fine = match wanted {
        Some(cpu) => effective.is_empty() || effective == CpuSet::from_iter([*cpu]),
        None => effective.intersection(&split.quiet).is_empty(),
    };
    Ok((!is_fine).then(|| Stray {
        number: number.to_owned(),
        device,
        path,
        before,
        to,
    }))
}

fn sum_up(draft: &mut Draft<'_, '_>, strays: Vec<Stray>, seen: usize) {
    draft.path(IRQS);
    draft.found(Status::Ok);
    let numbers: Vec<&str> = strays.iter().map(|stray| stray.number.as_str()).collect();
    let current = match shorten(&numbers) {
        none if none.is_empty() => format!("0 of {seen} astray"),
        list => format!("{} of {seen} astray (irq {list})", strays.len()),
    };
    draft.say("", &current, "0 astray");
    if strays.is_empty() {
        return;
    }
    let devices: Vec<&str> = strays.iter().map(|stray| stray.device.as_str()).collect();
    draft.hint(shorten(&devices));
    draft.found(Status::Drift);
    for stray in strays {
        draft.path(&stray.path);
        draft.act(Action::Write {
            path: stray.path,
            before: stray.before,
            after: stray.to.to_string(),
        });
    }
}

/// The first few of a list; a host may have hundreds.
fn shorten(names: &[&str]) -> String {
    const SHOWN: usize = 6;
    let mut text = names[..names.len().min(SHOWN)].join(",");
    if names.len() > SHOWN {
        text.push_str(",…");
    }
    text
}

fn kept(host: &Host<'_>, managed: &BTreeMap<String, usize>) -> Item {
    let mut draft = Draft::new(host, &MOVE);
    draft.path(IRQS);
    for (family, count) in managed {
        draft.say("", &format!("{count} {family} vectors"), "");
    }
    draft.say("", "", "each CPU's own queue");
    draft.found(Status::Unmanageable);
    draft.hint("kernel-managed, fine");
    draft.item()
}

/// Who raises an interrupt.
fn device(host: &Host<'_>, number: &str) -> String {
    let actions = host.sys.read(&format!("/sys/kernel/irq/{number}/actions"));
    if let Ok(actions) = actions
        && !actions.trim().is_empty()
    {
        return actions.trim().to_owned();
    }
    // The folder of an interrupt has one folder per handler.
    let names = host
        .sys
        .list(&format!("{IRQS}/{number}"))
        .unwrap_or_default();
    let is_folder = |name: &&String| host.sys.list(&format!("{IRQS}/{number}/{name}")).is_ok();
    names
        .iter()
        .find(is_folder)
        .cloned()
        .unwrap_or_else(|| format!("irq {number}"))
}

/// Whether the kernel alone says where an interrupt goes. debugfs tells; without it the name does:
/// the I/O queues of NVMe devices (nvme0q1 and up; q0 is the admin queue) are always managed.
fn is_managed(host: &Host<'_>, number: &str, device: &str) -> bool {
    if let Ok(text) = host
        .sys
        .read(&format!("/sys/kernel/debug/irq/irqs/{number}"))
    {
        return text.contains("IRQD_AFFINITY_MANAGED");
    }
    let queue = device
        .strip_prefix("nvme")
        .and_then(|rest| rest.split_once('q'));
    queue.is_some_and(|(_, queue)| queue.parse::<u32>().is_ok_and(|queue| queue > 0))
}

/// `nvme` of `nvme0q12`.
fn family(device: &str) -> String {
    let letters = device.chars().take_while(|c| c.is_ascii_alphabetic());
    letters.collect()
}

/// Interrupts that are not there yet.
pub const DEFAULT: Knob = Knob {
    id: "irq.default",
    row: 6,
    group: Group::A,
    why: "interrupts that are born later (hotplug, a driver that is loaded again) land on shards",
    risk: "low",
    measured: "/proc/irq/default_smp_affinity; device rows of /proc/interrupts",
    undone: "the mask from before is written back; the line in our boot drop-in is removed",
    persist: Persist::Unit,
    probe: default,
};

pub(super) fn default_parameters(host: &Host<'_>) -> Vec<String> {
    match split(host, &DEFAULT) {
        Ok(split) => vec![format!("irqaffinity={}", split.housekeeping)],
        Err(_) => Vec::new(),
    }
}

fn default(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &DEFAULT) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let mut running = Draft::new(host, &DEFAULT);
    let rule = Rule::Avoids {
        avoid: &split.quiet,
        to: &split.housekeeping,
        form: Form::Mask,
    };
    running.value("/proc/irq/default_smp_affinity", "", &rule);
    let mut early = Draft::new(host, &DEFAULT).kept_by(Persist::Boot);
    let wanted = split.housekeeping.to_string();
    let value = boot::running_value(host, "irqaffinity");
    let current = value.as_deref().unwrap_or("none");
    early.say("irqaffinity", current, &wanted);
    boot::check(&mut early, host, &DEFAULT);
    vec![running.item(), early.item()]
}

/// The daemon that moves interrupts back.
pub const BALANCE: Knob = Knob {
    id: "irq.balance",
    row: 7,
    group: Group::A,
    why: "irqbalance undoes what irq.move did, seconds later",
    risk: "low on a host for one service: interrupts stay where they were put",
    measured: "systemctl is-active irqbalance; /proc/interrupts over time",
    undone: "the service is enabled and started again, as it was",
    persist: Persist::Unit,
    probe: balance,
};

const UNIT: &str = "irqbalance.service";

fn balance(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &BALANCE);
    if let Ok(split) = split(host, &BALANCE)
        && let Some((path, banned)) = banned(host)
        && split.quiet.is_subset(&banned)
    {
        draft.path(path);
        draft.say("", &format!("bans {banned}"), "inactive, or shards banned");
        draft.found(Status::Ok);
        return draft.items();
    }
    match services::state(host, UNIT) {
        Some(state) => {
            draft.say("", &state.to_string(), "inactive, or shards banned");
            if state.is_off() {
                draft.found(Status::Ok);
            } else {
                draft.found(Status::Drift);
                draft.act(services::disable(UNIT, &state));
            }
        }
        None if services::is_running(host, "irqbalance") => {
            draft.say("", "running", "not running");
            draft.found(Status::Drift);
            draft.hint("there is no systemd to stop it: stop irqbalance and keep it from starting");
        }
        None => {
            draft.say("", "not running", "not running");
            draft.found(Status::Ok);
        }
    }
    draft.items()
}

/// CPUs that irqbalance leaves alone, by its configuration on Debian and on Red Hat.
fn banned(host: &Host<'_>) -> Option<(&'static str, CpuSet)> {
    for path in ["/etc/default/irqbalance", "/etc/sysconfig/irqbalance"] {
        let Ok(text) = host.sys.read(path) else {
            continue;
        };
        for line in text.lines().map(str::trim) {
            let line = line.trim_start_matches("export ");
            let value = |key: &str| {
                let value = line.strip_prefix(key)?.strip_prefix('=')?;
                Some(value.trim().trim_matches(['"', '\'']))
            };
            let list = value("IRQBALANCE_BANNED_CPULIST").map(CpuSet::parse_list);
            let mask = value("IRQBALANCE_BANNED_CPUS").map(CpuSet::parse_mask);
            if let Some(Ok(banned)) = list.or(mask) {
                return Some((path, banned));
            }
        }
    }
    None
}
