//! NVMe devices: queues that are polled, and naps of the controller.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist, Status};

use super::draft::{Draft, not_applicable, split};
use super::rule::Rule;
use super::{Knob, boot};

const POLL_QUEUES: &str = "/sys/module/nvme/parameters/poll_queues";
const CONTROLLERS: &str = "/sys/class/nvme";

/// Completions without interrupts.
pub const POLL: Knob = Knob {
    id: "nvme.poll",
    row: 8,
    group: Group::A,
    why: "a shard that polls its queue takes no completion interrupt",
    risk: "medium: fewer queues with interrupts for others; a shard with I/O in flight never parks",
    measured: "nvme rows of /proc/interrupts on shard CPUs; sync latency in corelane doctor",
    undone: "the line in our boot drop-in is removed; the next boot",
    persist: Persist::Boot,
    probe: poll,
};

/// Disks of NVMe: `nvme0n1`, and not the paths of multipath (`nvme0c0n1`), which have no queue.
fn disks(host: &Host<'_>) -> Vec<String> {
    let mut names = host.sys.list("/sys/block").unwrap_or_default();
    names.retain(|name| {
        name.strip_prefix("nvme")
            .is_some_and(|rest| rest.contains('n') && !rest.contains('c'))
    });
    names
}

pub(super) fn poll_parameters(host: &Host<'_>) -> Vec<String> {
    match split(host, &POLL) {
        Ok(split) if !disks(host).is_empty() => {
            vec![format!("nvme.poll_queues={}", split.shards.len())]
        }
        _ => Vec::new(),
    }
}

fn poll(host: &Host<'_>) -> Vec<Item> {
    let disks = disks(host);
    if disks.is_empty() {
        return not_applicable(host, &POLL, "no NVMe device");
    }
    let shards = match split(host, &POLL) {
        Ok(split) => split.shards.len(),
        Err(items) => return items,
    };
    let mut draft = Draft::new(host, &POLL);
    draft.path(POLL_QUEUES);
    let queues = match host.sys.read(POLL_QUEUES) {
        Ok(text) => text.trim().parse::<usize>().unwrap_or(0),
        Err(error) => {
            draft.unread("poll_queues", &error);
            draft.hint("the nvme driver does not tell its poll queues");
            return draft.items();
        }
    };
    draft.say("poll_queues", &queues.to_string(), &format!("≥{shards}"));
    let mut is_polled = true;
    for disk in &disks {
        let path = format!("/sys/block/{disk}/queue/io_poll");
        draft.path(&path);
        is_polled &= host.sys.read(&path).is_ok_and(|poll| poll.trim() == "1");
    }
    if queues >= shards && is_polled {
        draft.found(Status::Ok);
    } else if boot::check(&mut draft, host, &POLL) == Status::Ok {
        draft.found(Status::Drift);
        let why = "the command line asks for it and the driver has not made the queues";
        draft.error(why);
        draft.hint("devices with few queues cannot: nvme list-queues, or lower max_shards");
    }
    draft.items()
}

/// Controllers that do not nap.
pub const APST: Knob = Knob {
    id: "nvme.apst",
    row: 9,
    group: Group::A,
    why: "the driver's default lets a controller take up to 100 ms to wake from a power state",
    risk: "heat and power only",
    measured: "sync latency after idle: corelane doctor",
    undone: "the tolerance from before is written back",
    persist: Persist::Udev,
    probe: apst,
};

/// The file of one controller, where it can be set.
fn tolerance(controller: &str) -> String {
    format!("{CONTROLLERS}/{controller}/power/pm_qos_latency_tolerance_us")
}

/// Controllers with power states of their own accord.
pub(super) fn napping(host: &Host<'_>) -> Vec<String> {
    let mut names = host.sys.list(CONTROLLERS).unwrap_or_default();
    names.retain(|name| host.sys.exists(&tolerance(name)));
    names
}

fn apst(host: &Host<'_>) -> Vec<Item> {
    let controllers = host.sys.list(CONTROLLERS).unwrap_or_default();
    if controllers.is_empty() {
        return not_applicable(host, &APST, "no NVMe device");
    }
    let napping = napping(host);
    if napping.is_empty() {
        return not_applicable(host, &APST, "no controller has autonomous power states");
    }
    let one = |controller: &String| {
        let mut draft = Draft::new(host, &APST);
        draft.value(&tolerance(controller), controller, &Rule::Is("0"));
        draft.item()
    };
    napping.iter().map(one).collect()
}
