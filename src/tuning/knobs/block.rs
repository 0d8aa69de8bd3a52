//! Block devices: the work per request, and what the device does with a sync.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist, Status};

use super::Knob;
use super::devices::data_disks;
use super::draft::{Draft, not_applicable};
use super::rule::Rule;

/// Requests that go straight to the device.
pub const QUEUE: Knob = Knob {
    id: "blk.queue",
    row: 30,
    group: Group::A,
    why: "schedulers, merging, throttling of writes and accounting are work per request",
    risk: "low: several users of one device are no longer ordered among each other",
    measured: "sync latency and its tail: corelane doctor",
    undone: "the values from before are written back",
    persist: Persist::Udev,
    probe: queue,
};

/// Attributes of a queue, and what they should be. `C` ones only where the profile asks.
const ATTRIBUTES: &[(Group, &str, &str)] = &[
    (Group::A, "scheduler", "none"),
    (Group::A, "nomerges", "2"),
    (Group::A, "add_random", "0"),
    (Group::A, "wbt_lat_usec", "0"),
    (Group::C, "iostats", "0"),
    (Group::C, "rq_affinity", "1"),
];

/// Attributes as this host's profile wants them, of one disk: those that are there.
pub(super) fn attributes(host: &Host<'_>, disk: &str) -> Vec<(&'static str, &'static str)> {
    let asked = ATTRIBUTES
        .iter()
        .filter(|(group, ..)| *group != Group::C || host.profile.sets(Group::C));
    asked
        .filter(|(_, name, _)| host.sys.read(&path(disk, name)).is_ok())
        .map(|(_, name, value)| (*name, *value))
        .collect()
}

fn path(disk: &str, name: &str) -> String {
    format!("/sys/block/{disk}/queue/{name}")
}

fn queue(host: &Host<'_>) -> Vec<Item> {
    let disks = data_disks(host);
    if disks.is_empty() {
        return not_applicable(host, &QUEUE, "no disk");
    }
    let one = |disk: &String| {
        let mut draft = Draft::new(host, &QUEUE);
        draft.say("", disk, "");
        for (name, value) in attributes(host, disk) {
            let path = path(disk, name);
            if name == "scheduler" {
                draft.value(&path, name, &Rule::Selected(&[value]));
            } else {
                draft.value(&path, name, &Rule::Is(value));
            }
        }
        draft.item()
    };
    disks.iter().map(one).collect()
}

/// What a sync costs the device.
pub const FLUSH: Knob = Knob {
    id: "blk.flush",
    row: 31,
    group: Group::R,
    why: "with a volatile cache every sync makes the device write it out: milliseconds",
    risk: "none: reported. Declaring the cache safe when it is not loses data",
    measured: "sync latency: corelane doctor",
    undone: "nothing is changed",
    persist: Persist::None,
    probe: flush,
};

fn flush(host: &Host<'_>) -> Vec<Item> {
    let disks = data_disks(host);
    if disks.is_empty() {
        return not_applicable(host, &FLUSH, "no disk");
    }
    let one = |disk: &String| {
        let path = path(disk, "write_cache");
        let mut draft = Draft::new(host, &FLUSH);
        draft.path(&path);
        match host.sys.read(&path) {
            Ok(cache) => {
                draft.say(disk, cache.trim(), "write through");
                if cache.trim() == "write back" {
                    draft.found(Status::Drift);
                    draft.hint(
                        "a volatile cache: each sync flushes it. Devices with power-loss protection \
                         have none; the setting itself must stay",
                    );
                } else {
                    draft.found(Status::Ok);
                }
            }
            Err(error) => {
                draft.unread(disk, &error);
            }
        }
        draft.item()
    };
    disks.iter().map(one).collect()
}
