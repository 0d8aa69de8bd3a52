//! Memory: huge pages, migration, merging, swap, compaction, counters.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist, Status};

use super::Knob;
use super::draft::Draft;
use super::rule::Rule;
use super::sysctl;

const THP_FOLDER: &str = "/sys/kernel/mm/transparent_hugepage";
const KSM_RUN: &str = "/sys/kernel/mm/ksm/run";
const SWAPS: &str = "/proc/swaps";

/// Transparent huge pages only where a program asks for them.
pub const THP: Knob = Knob {
    id: "mm.thp",
    row: 16,
    group: Group::A,
    why: "khugepaged and direct compaction stall whoever touches memory",
    risk: "low: programs that relied on huge pages without asking lose them",
    measured: "compact_stall and thp_* in /proc/vmstat; jitter",
    undone: "the values from before are written back",
    persist: Persist::Unit,
    probe: thp,
};

fn thp(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &THP);
    let path = |name: &str| format!("{THP_FOLDER}/{name}");
    draft.value(&path("enabled"), "", &Rule::Selected(&["madvise"]));
    let defrag = Rule::Selected(&["madvise", "never"]);
    draft.value(&path("defrag"), "defrag", &defrag);
    draft.value(&path("khugepaged/defrag"), "khugepaged", &Rule::Is("0"));
    draft.items()
}

/// No migration and merging of pages behind the engine's back.
pub const NUMA_KSM: Knob = Knob {
    id: "mm.numa_ksm",
    row: 17,
    group: Group::A,
    why: "pages that are migrated or merged cost TLB shootdowns on every core of the process",
    risk: "low: other programs' memory stays on the node where it was first touched",
    measured: "TLB in /proc/interrupts; numa_pages_migrated in /proc/vmstat",
    undone: "the values from before are written back",
    persist: Persist::Sysctl,
    probe: numa_ksm,
};

fn numa_ksm(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &NUMA_KSM);
    sysctl::check(&mut draft, host, &NUMA_KSM);
    // 2 means: stopped, and merged pages are split again.
    draft.value(KSM_RUN, "ksm", &Rule::OneOf(&["0", "2"]));
    draft.items()
}

/// No page of the engine on a swap device.
pub const SWAP: Knob = Knob {
    id: "mm.swap",
    row: 18,
    group: Group::A,
    why: "a page that has to come back from a device takes milliseconds",
    risk: "low: page cache is given up before anonymous memory",
    measured: "pswpin in /proc/vmstat; major faults of the engine",
    undone: "the value from before is written back",
    persist: Persist::Sysctl,
    probe: swap,
};

fn swap(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &SWAP);
    sysctl::check(&mut draft, host, &SWAP);
    draft.path(SWAPS);
    match host.sys.read(SWAPS) {
        // The first line is the heading.
        Ok(text) => {
            let devices: Vec<&str> = text
                .lines()
                .skip(1)
                .filter_map(|line| line.split_whitespace().next())
                .collect();
            if devices.is_empty() {
                draft.found(Status::Ok);
            } else {
                draft.say("swap", &devices.join(","), "none");
                draft.found(Status::Drift);
                // What is on it already may not fit anywhere else.
                draft.hint(
                    "swap is active, used or not, and the engine does not lock all of its memory; it \
                     is never switched off from here: swapoff and fstab are yours",
                );
            }
        }
        Err(error) => {
            draft.unread("swap", &error);
        }
    }
    draft.items()
}

/// No compaction without need.
pub const COMPACT: Knob = Knob {
    id: "mm.compact",
    row: 19,
    group: Group::B,
    why: "compaction ahead of need moves pages in bursts",
    risk: "memory fragments sooner; huge pages are found later",
    measured: "compact_daemon_wake in /proc/vmstat",
    undone: "the values from before are written back",
    persist: Persist::Sysctl,
    probe: compact,
};

fn compact(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &COMPACT);
    sysctl::check(&mut draft, host, &COMPACT);
    draft.items()
}

/// Rare folding of per-CPU counters.
pub const VM_STAT: Knob = Knob {
    id: "vm.stat",
    row: 29,
    group: Group::B,
    why: "a worker on every CPU folds its counters once in this many seconds",
    risk: "low: the numbers in /proc/vmstat are older",
    measured: "vmstat_update in a trace of workqueues; jitter at 1 Hz",
    undone: "the value from before is written back",
    persist: Persist::Sysctl,
    probe: vm_stat,
};

fn vm_stat(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &VM_STAT);
    sysctl::check(&mut draft, host, &VM_STAT);
    draft.items()
}
