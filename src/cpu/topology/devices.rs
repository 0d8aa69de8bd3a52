//! NVMe controllers, network interfaces, their memory nodes and queues, and what file systems lie on.

use std::collections::BTreeSet;

use super::{Device, Mount, Queue, number};
use crate::cpu::sys::Sys;

const NVME_CLASS: &str = "/sys/class/nvme";
const NET_CLASS: &str = "/sys/class/net";
const BLOCK_CLASS: &str = "/sys/block";

/// How deep devices may stand on each other (partition on md on dm on …) before we stop looking.
const STACK_MAX: usize = 8;

/// NVMe controllers.
pub(super) fn nvme(sys: &dyn Sys, notes: &mut Vec<String>) -> Vec<Device> {
    let names = sys.list(NVME_CLASS).unwrap_or_default();
    let blocks = sys.list(BLOCK_CLASS).unwrap_or_default();
    let device = |name: String| {
        let node = node_of(sys, &format!("{NVME_CLASS}/{name}"), &name, notes);
        let poll = blocks
            .iter()
            .filter(|block| controller_of(block).as_deref() == Some(&name))
            .any(|block| number(sys, &format!("{BLOCK_CLASS}/{block}/queue/io_poll")) == Some(1));
        Device {
            name,
            node,
            poll,
            is_physical: true,
            ..Device::default()
        }
    };
    names.into_iter().map(device).collect()
}

/// Network interfaces but the loopback.
pub(super) fn nics(sys: &dyn Sys, notes: &mut Vec<String>) -> Vec<Device> {
    let interrupts = sys.read("/proc/interrupts").unwrap_or_default();
    let mut nics = Vec::new();
    for name in sys.list(NET_CLASS).unwrap_or_default() {
        let path = format!("{NET_CLASS}/{name}");
        // `bonding_masters` is a file among the interfaces.
        if name == "lo" || !sys.exists(&format!("{path}/ifindex")) {
            continue;
        }
        let is_physical = sys.exists(&format!("{path}/device"));
        let (node, queues) = if is_physical {
            let device = format!("{path}/device");
            (
                node_of(sys, &path, &name, notes),
                queues(sys, &device, &name, &interrupts),
            )
        } else {
            (None, Vec::new())
        };
        nics.push(Device {
            node,
            queues,
            lower: lower(sys, &name),
            is_physical,
            name,
            ..Device::default()
        });
    }
    nics
}

/// What an interface stands on: the members of a bond (Documentation/networking/bonding.rst:
/// `bonding_masters`, `bonding/slaves`), else what `lower_*` links lead to.
fn lower(sys: &dyn Sys, name: &str) -> Vec<String> {
    let path = format!("{NET_CLASS}/{name}");
    let masters = sys
        .read(&format!("{NET_CLASS}/bonding_masters"))
        .unwrap_or_default();
    let mut lower = BTreeSet::new();
    if masters.split_whitespace().any(|master| master == name) {
        let slaves = sys
            .read(&format!("{path}/bonding/slaves"))
            .unwrap_or_default();
        lower.extend(slaves.split_whitespace().map(str::to_owned));
    }
    let entries = sys.list(&path).unwrap_or_default();
    lower.extend(
        entries
            .iter()
            .filter_map(|entry| Some(entry.strip_prefix("lower_")?.to_owned())),
    );
    lower.into_iter().collect()
}

/// A device's memory node: its own or that of the nearest device above it, as virtio devices leave
/// it to the PCI function that carries them.
fn node_of(sys: &dyn Sys, path: &str, name: &str, notes: &mut Vec<String>) -> Option<u32> {
    for folder in ancestors(sys, &format!("{path}/device")) {
        let Ok(text) = sys.read(&format!("{folder}/numa_node")) else {
            continue;
        };
        let node = text.trim().parse().ok();
        if node.is_none() {
            notes.push(format!(
                "{name}: the kernel knows no memory node (numa_node {}); it counts as node 0's",
                text.trim()
            ));
        }
        return node;
    }
    notes.push(format!(
        "{name}: the kernel tells no memory node; it counts as node 0's"
    ));
    None
}

/// A device's folder and those above it, up to the root of all devices.
fn ancestors(sys: &dyn Sys, path: &str) -> Vec<String> {
    let mut folders = Vec::new();
    let mut folder = sys.canonical(path).unwrap_or_default();
    while folder.starts_with("/sys/devices/") {
        folders.push(folder.clone());
        folder.truncate(folder.rfind('/').unwrap_or(0));
    }
    folders
}

/// An interface's receive queues with their interrupts, by number. Which interrupts are the
/// device's is told by `msi_irqs` of the nearest PCI function; which queue an interrupt serves, only
/// by the name that the driver gave it. The folder is empty on some machines; then nothing is known.
fn queues(sys: &dyn Sys, device: &str, name: &str, interrupts: &str) -> Vec<Queue> {
    let irqs: Vec<u32> = ancestors(sys, device)
        .iter()
        .find_map(|folder| sys.list(&format!("{folder}/msi_irqs")).ok())
        .unwrap_or_default()
        .iter()
        .filter_map(|irq| irq.parse().ok())
        .collect();
    let mut queues: Vec<Queue> = interrupts
        .lines()
        .filter_map(|line| {
            let (irq, rest) = line.split_once(':')?;
            let irq = irq.trim().parse().ok().filter(|irq| irqs.contains(irq))?;
            let queue = queue_number(rest.split_whitespace().next_back()?, name)?;
            Some(Queue { queue, irq })
        })
        .collect();
    queues.sort_by_key(|queue| (queue.queue, queue.irq));
    queues.dedup_by_key(|queue| queue.queue);
    queues
}

/// The receive queue that an interrupt's name speaks of: `virtio2-input.0`, `mlx5_comp9@pci:…`,
/// `eth0-TxRx-3`, `eth0-rx-3`, `eth0-3`, `mana_q3@pci:…`. None for other interrupts of a device
/// (configuration, transmission, firmware events).
fn queue_number(action: &str, nic: &str) -> Option<u32> {
    let action = action.split('@').next().unwrap_or(action);
    let digits = action.len() - action.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (words, number) = action.split_at(action.len() - digits);
    let words = words.strip_prefix(nic).unwrap_or(words).to_lowercase();
    let words = words.trim_matches(['-', '.', '_']);
    let serves_queue = words.is_empty()
        || ["input", "txrx", "rx", "comp", "_q", "queue"]
            .iter()
            .any(|word| words.ends_with(word));
    number.parse().ok().filter(|_| serves_queue)
}

/// The interface of the default route, if there is one.
pub(super) fn default_nic(sys: &dyn Sys) -> Option<String> {
    let routes = sys.read("/proc/net/route").ok()?;
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (nic, destination) = (fields.next()?, fields.next()?);
        (destination == "00000000").then(|| nic.to_owned())
    })
}

/// The file systems of this process, with the NVMe controllers under them
/// (Documentation/filesystems/proc.rst, `mountinfo`).
pub(super) fn mounts(sys: &dyn Sys) -> Vec<Mount> {
    let text = sys.read("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let (number, point) = (fields.next()?, fields.nth(1)?);
        Some(Mount {
            point: unescape(point),
            nvme: controllers(sys, number),
        })
    };
    text.lines().filter_map(mount).collect()
}

/// The controllers behind a block device named by its numbers, through device mapper and RAID.
fn controllers(sys: &dyn Sys, number: &str) -> Vec<String> {
    let Ok(path) = sys.canonical(&format!("/sys/dev/block/{number}")) else {
        return Vec::new();
    };
    let mut found = BTreeSet::new();
    let mut level = vec![path];
    for _ in 0..STACK_MAX {
        let mut below = Vec::new();
        for path in &level {
            found.extend(path.split('/').find_map(controller_of));
            let slaves = format!("{path}/slaves");
            for slave in sys.list(&slaves).unwrap_or_default() {
                below.extend(sys.canonical(&format!("{slaves}/{slave}")));
            }
        }
        level = below;
    }
    found.into_iter().collect()
}

/// `nvme0` for the namespace `nvme0n1`; none for anything else.
fn controller_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix("nvme")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    (digits > 0 && rest[digits..].starts_with('n')).then(|| format!("nvme{}", &rest[..digits]))
}

/// Spaces and their like in a mount point are octal numbers.
fn unescape(point: &str) -> String {
    let mut text = String::new();
    let mut rest = point;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let code = rest
            .get(at + 1..at + 4)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(code) => text.push(char::from(code)),
            None => text.push('\\'),
        }
        rest = &rest[at + if code.is_some() { 4 } else { 1 }..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_name_their_receive_queues_in_many_ways() {
        for (action, queue) in [
            ("virtio2-input.0", Some(0)),
            ("virtio2-output.0", None),
            ("virtio2-config", None),
            ("mlx5_comp9@pci:0000:41:00.0", Some(9)),
            ("mlx5_async0@pci:0000:41:00.0", None),
            ("eth0-TxRx-10", Some(10)),
            ("i40e-eth0-TxRx-3", Some(3)),
            ("eth0-Tx-Rx-2", Some(2)),
            ("eth0-rx-1", Some(1)),
            ("eth0-tx-1", None),
            ("eth0-4", Some(4)),
            ("mana_q7@pci:7870:00:00.0", Some(7)),
            ("eth0", None),
        ] {
            assert_eq!(queue_number(action, "eth0"), queue, "{action}");
        }
    }

    #[test]
    fn namespaces_belong_to_controllers() {
        assert_eq!(controller_of("nvme10n1").as_deref(), Some("nvme10"));
        assert_eq!(controller_of("nvme10n1p2").as_deref(), Some("nvme10"));
        for other in ["nvme", "nvme0", "nvmen1", "sda", "nvme-subsys0"] {
            assert_eq!(controller_of(other), None, "{other}");
        }
    }

    #[test]
    fn mount_points_with_spaces_are_read() {
        assert_eq!(unescape(r"/srv/a\040b\134c"), r"/srv/a b\c");
        assert_eq!(unescape(r"/srv/a\9"), r"/srv/a\9");
    }
}
