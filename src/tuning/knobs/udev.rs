//! The rules that set devices as they appear.
//!
//! Owns: `/etc/udev/rules.d/60-corelane.rules`. Never does: naming devices that are not the engine's.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist};
use crate::tuning::sections::Sections;

use super::devices::data_disks;
use super::draft::{Draft, not_applicable};
use super::{Knob, block, nvme};

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
    let file = shared(host);
    if file.is_empty() && !host.sys.exists(UDEV_DROP_IN) {
        return not_applicable(host, &KEEP, "no knob that is meant sets a device");
    }
    let mut draft = Draft::new(host, &KEEP);
    let reload = ["udevadm", "control", "--reload"];
    draft.file(UDEV_DROP_IN, &file.text(), Some(&reload));
    draft.items()
}

/// The rules for this host's devices. None of them applies the host anew when a device appears: an
/// engine may run by then, and containers add network devices all the time. Interrupts that are born
/// later go where `irq.default` says.
pub fn drop_in(host: &Host<'_>) -> String {
    shared(host).text()
}

fn shared(host: &Host<'_>) -> Sections {
    let head = "# Made by corelane tune apply, removed by corelane tune revert.\n";
    let knobs = [&block::QUEUE, &nvme::APST].into_iter();
    super::shared_file(host, UDEV_DROP_IN, head, knobs, |knob| {
        if knob.id == block::QUEUE.id {
            queue_rules(host)
        } else {
            nap_rules(host)
        }
    })
}

fn queue_rules(host: &Host<'_>) -> String {
    let mut text = String::new();
    for disk in data_disks(host) {
        text.push_str(&rule("add|change", "block", &disk));
        for (name, value) in block::attributes(host, &disk) {
            text.push_str(&format!(", ATTR{{queue/{name}}}=\"{value}\""));
        }
        text.push('\n');
    }
    text
}

fn nap_rules(host: &Host<'_>) -> String {
    let mut text = String::new();
    for controller in nvme::napping(host) {
        text.push_str(&rule("add", "nvme", &controller));
        text.push_str(", ATTR{power/pm_qos_latency_tolerance_us}=\"0\"\n");
    }
    text
}

fn rule(action: &str, subsystem: &str, kernel: &str) -> String {
    format!("ACTION==\"{action}\", SUBSYSTEM==\"{subsystem}\", KERNEL==\"{kernel}\"")
}
