//! The bus between devices and memory: link sleep, address translation.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist, Status};

use super::draft::{Draft, not_applicable, policy};
use super::rule::Rule;
use super::{Knob, boot};

/// Links that stay awake.
pub const ASPM: Knob = Knob {
    id: "pcie.aspm",
    row: 32,
    group: Group::B,
    why: "a link that sleeps takes microseconds to wake for the first transfer",
    risk: "power",
    measured: "sync latency and network round trips after idle",
    undone: "the policy from before is written back",
    persist: Persist::Unit,
    probe: aspm,
};

fn aspm(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &ASPM);
    let policy = "/sys/module/pcie_aspm/parameters/policy";
    draft.value(policy, "", &Rule::Selected(&["performance"]));
    draft.items()
}

/// DMA without an invalidation per transfer.
pub const IOMMU: Knob = Knob {
    id: "iommu.pt",
    row: 32,
    group: Group::B,
    why: "strict translation invalidates the IOTLB at every unmap",
    risk: "security: devices reach all of memory; set only where the profile asks for group C",
    measured: "CPU time in iommu functions: perf; network round trips",
    undone: "the line in our boot drop-in is removed; the next boot",
    persist: Persist::Boot,
    probe: iommu,
};

const GROUPS: &str = "/sys/kernel/iommu_groups";

pub(super) fn iommu_parameters(host: &Host<'_>) -> Vec<String> {
    let is_strict = !strict(host).is_empty() || boot::is_asked(host, "iommu=pt");
    if host.profile.sets(Group::C) && is_strict {
        vec!["iommu=pt".to_owned()]
    } else {
        Vec::new()
    }
}

/// Groups whose translation is strict.
fn strict(host: &Host<'_>) -> Vec<String> {
    let mut groups = host.sys.list(GROUPS).unwrap_or_default();
    groups.retain(|group| {
        let kind = host.sys.read(&format!("{GROUPS}/{group}/type"));
        kind.is_ok_and(|kind| kind.trim() == "DMA")
    });
    groups
}

fn iommu(host: &Host<'_>) -> Vec<Item> {
    let groups = host.sys.list(GROUPS).unwrap_or_default();
    if groups.is_empty() {
        return not_applicable(host, &IOMMU, "no IOMMU");
    }
    let strict = strict(host).len();
    let current = format!("{strict} of {} groups strict", groups.len());
    if strict > 0 && !host.profile.sets(Group::C) {
        return policy(host, &IOMMU, &current, "asked for by group C only");
    }
    let mut draft = Draft::new(host, &IOMMU);
    draft.path(GROUPS);
    draft.say("", &current, "identity or DMA-FQ");
    if strict == 0 {
        draft.found(Status::Ok);
    } else if boot::check(&mut draft, host, &IOMMU) == Status::Ok {
        draft.found(Status::Unmanageable);
        draft.hint("iommu=pt is given; these devices are kept apart by their drivers or firmware");
    }
    draft.items()
}
