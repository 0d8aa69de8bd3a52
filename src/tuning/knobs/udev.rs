//! The rules that set devices as they appear.
//!
//! Owns: `/etc/udev/rules.d/60-corelane.rules`. Never does: naming devices that are not the engine's.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist};

use super::devices::data_disks;
use super::draft::{Draft, not_applicable};
use super::{Knob, block, irq, nvme, services};

/// Our file.
pub const UDEV_DROP_IN: &str = "/etc/udev/rules.d/60-corelane.rules";

/// Whether devices are set as they appear.
pub const KEEP: Knob = Knob {
    id: "keep.udev",
    row: 0,
    group: Group::B,
    why: "devices that appear later, or again, have the kernel's own settings",
    risk: "none: a file of ours beside those of others",
    measured: "check after a boot",
    undone: "the file is removed",
    persist: Persist::Udev,
    probe: keep,
};

fn keep(host: &Host<'_>) -> Vec<Item> {
    if !host.sys.exists("/etc/udev/rules.d") {
        return not_applicable(
            host,
            &KEEP,
            "udev does not run this host: run apply at each boot",
        );
    }
    let mut draft = Draft::new(host, &KEEP);
    let reload = ["udevadm", "control", "--reload"];
    draft.file(UDEV_DROP_IN, &drop_in(host), Some(&reload));
    draft.items()
}

/// The rules for this host's devices.
pub fn drop_in(host: &Host<'_>) -> String {
    let mut text =
        String::from("# Made by corelane tune apply, removed by corelane tune revert.\n");
    if super::is_set(host, &block::QUEUE) {
        for disk in data_disks(host) {
            text.push_str(&rule("add|change", "block", &disk));
            for (name, value) in block::attributes(host, &disk) {
                text.push_str(&format!(", ATTR{{queue/{name}}}=\"{value}\""));
            }
            text.push('\n');
        }
    }
    if super::is_set(host, &nvme::APST) {
        for controller in nvme::napping(host) {
            text.push_str(&rule("add", "nvme", &controller));
            text.push_str(", ATTR{power/pm_qos_latency_tolerance_us}=\"0\"\n");
        }
    }
    // New devices bring new interrupts; their places follow from the layout, which the service has.
    if super::is_set(host, &irq::MOVE) && services::has_systemd(host) {
        text.push_str(
            "ACTION==\"add\", SUBSYSTEM==\"net|nvme\", \
             RUN+=\"/usr/bin/systemctl --no-block try-restart corelane-tune.service\"\n",
        );
    }
    text
}

fn rule(action: &str, subsystem: &str, kernel: &str) -> String {
    format!("ACTION==\"{action}\", SUBSYSTEM==\"{subsystem}\", KERNEL==\"{kernel}\"")
}
