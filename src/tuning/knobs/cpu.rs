//! CPUs: isolation, sleep states, frequencies, siblings, caches.

use std::collections::BTreeSet;

use crate::cpu::CpuSet;
use crate::tuning::host::Host;
use crate::tuning::item::{Action, Group, Item, Persist, Status};
use crate::tuning::profile::{Boost, Smt};

use super::Knob;
use super::draft::{Draft, not_applicable, policy, split};
use super::rule::Rule;
use super::{boot, sysctl};

const CPUS: &str = "/sys/devices/system/cpu";
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
const CGROUP_ISOLATED: &str = "/sys/fs/cgroup/cpuset.cpus.isolated";

/// The longest wake-up from a sleep state that is allowed. Spec row 10: 2 µs.
const WAKE_US_MAX: u32 = 2;

/// No other task is put on shards by the scheduler.
pub const ISOLATE: Knob = Knob {
    id: "cpu.isolate",
    row: 2,
    group: Group::A,
    why: "a second runnable task on a shard's CPU takes whole scheduler slices of milliseconds",
    risk: "medium: these CPUs serve nothing but threads that are pinned to them",
    measured: "jitter idle against stressed; nonvoluntary switches in tune audit",
    undone: "the line in our boot drop-in is removed; the next boot",
    persist: Persist::Boot,
    probe: isolate,
};

pub(super) fn isolate_parameters(host: &Host<'_>) -> Vec<String> {
    match split(host, &ISOLATE) {
        Ok(split) => vec![format!("isolcpus=domain,managed_irq,{}", split.quiet)],
        Err(_) => Vec::new(),
    }
}

/// CPUs that are out of load balancing, by the boot parameter or by partitions of cpusets.
pub(super) fn isolated(host: &Host<'_>) -> CpuSet {
    let read = |path| {
        let text = host.sys.read(path).unwrap_or_default();
        CpuSet::parse_list(&text).unwrap_or_default()
    };
    read(ISOLATED).union(&read(CGROUP_ISOLATED))
}

fn isolate(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &ISOLATE) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let mut draft = Draft::new(host, &ISOLATE);
    draft.path(ISOLATED);
    let isolated = isolated(host);
    let current = if isolated.is_empty() {
        "none".to_owned()
    } else {
        isolated.to_string()
    };
    draft.say("", &current, &split.quiet.to_string());
    if split.quiet.is_subset(&isolated) {
        draft.found(Status::Ok);
        return draft.items();
    }
    if boot::check(&mut draft, host, &ISOLATE) == Status::Ok {
        draft.found(Status::Drift);
        draft.error("the command line asks for it and the kernel has not done it");
    }
    partition_hint(&mut draft, host);
    draft.items()
}

/// What a partition of ours says that did not come into being.
fn partition_hint(draft: &mut Draft<'_, '_>, host: &Host<'_>) {
    let path = "/sys/fs/cgroup/corelane.slice/shards/cpuset.cpus.partition";
    if let Ok(state) = host.sys.read(path)
        && state != "isolated"
        && state != "member"
    {
        draft.path(path);
        draft.hint(format!("the cpuset partition is {state}"));
    }
}

/// No deep sleep on CPUs that somebody waits for.
pub const IDLE: Knob = Knob {
    id: "cpu.idle",
    row: 10,
    group: Group::A,
    why: "leaving a sleep state takes 1 to 200 µs when a shard or an interrupt's CPU wakes",
    risk: "power and heat; CPUs of housekeeping still sleep",
    measured: "usage of deep states in cpuidle/state*/usage; latency after idle",
    undone: "the limits from before are written back",
    persist: Persist::Unit,
    probe: idle,
};

fn idle(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &IDLE) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let awake = split.shards.union(&split.io);
    let mut draft = Draft::new(host, &IDLE);
    let mut deep = CpuSet::new();
    for cpu in awake.iter() {
        let folder = format!("{CPUS}/cpu{}", cpu.0);
        let path = format!("{folder}/power/pm_qos_resume_latency_us");
        let limit = match host.sys.read(&path) {
            Ok(limit) => limit,
            Err(error) => {
                draft.unread("", &error);
                continue;
            }
        };
        draft.path(&path);
        if is_limited(&limit) || has_no_deep_state(host, &folder) {
            draft.found(Status::Ok);
            continue;
        }
        deep.insert(cpu);
        draft.found(Status::Drift);
        draft.act(Action::Write {
            path,
            before: limit,
            after: WAKE_US_MAX.to_string(),
        });
    }
    if draft.status() != Status::NotApplicable {
        let current = if deep.is_empty() {
            "limited".to_owned()
        } else {
            format!("no limit on {deep}")
        };
        draft.say("", &current, &format!("≤{WAKE_US_MAX} µs"));
    }
    draft.items()
}

/// Documentation/ABI/testing/sysfs-devices-power: `0` means that there is no limit, and `n/a` that
/// no latency at all is allowed. So the lowest number is the weakest.
fn is_limited(limit: &str) -> bool {
    match limit.parse::<u32>() {
        Ok(0) => false,
        Ok(us) => us <= WAKE_US_MAX,
        Err(_) => limit == "n/a",
    }
}

/// Whether every state that takes longer to leave is switched off; without cpuidle there is none.
fn has_no_deep_state(host: &Host<'_>, folder: &str) -> bool {
    let states = host.sys.list(&format!("{folder}/cpuidle"));
    states.unwrap_or_default().iter().all(|state| {
        let read = |name: &str| host.sys.read(&format!("{folder}/cpuidle/{state}/{name}"));
        let latency = read("latency").ok().and_then(|us| us.parse::<u32>().ok());
        latency.is_none_or(|us| us <= WAKE_US_MAX) || read("disable").is_ok_and(|is| is == "1")
    })
}

/// Full frequency at once.
pub const GOVERNOR: Knob = Knob {
    id: "cpu.governor",
    row: 11,
    group: Group::A,
    why: "a frequency that has to climb first costs time at the start of every burst",
    risk: "power",
    measured: "scaling_cur_freq; latency after idle",
    undone: "the values from before are written back",
    persist: Persist::Unit,
    probe: governor,
};

fn governor(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &GOVERNOR);
    let folder = format!("{CPUS}/cpufreq");
    // Policies, not CPUs: a policy may hold several CPUs, and its number need not be contiguous.
    let names = host.sys.list(&folder).unwrap_or_default();
    let mut governors = BTreeSet::new();
    for policy in names.iter().filter(|name| name.starts_with("policy")) {
        let path = |name: &str| format!("{folder}/{policy}/{name}");
        if let Ok(governor) = host.sys.read(&path("scaling_governor")) {
            governors.insert(governor);
        }
        one_policy(&mut draft, host, &path);
    }
    if !governors.is_empty() {
        let all: Vec<_> = governors.into_iter().collect();
        draft.replace_said(&all.join(","), "performance");
    }
    draft.value(
        &format!("{CPUS}/intel_pstate/min_perf_pct"),
        "min_perf_pct",
        &Rule::Is("100"),
    );
    draft.items()
}

fn one_policy(draft: &mut Draft<'_, '_>, host: &Host<'_>, path: &dyn Fn(&str) -> String) {
    let offered = host.sys.read(&path("scaling_available_governors"));
    if offered.is_ok_and(|all| !all.split_whitespace().any(|one| one == "performance")) {
        draft.found(Status::Unmanageable);
        draft.hint("the driver offers no performance governor");
        return;
    }
    let rule = Rule::Is("performance");
    draft.value(&path("scaling_governor"), "", &rule);
    draft.value(&path("energy_performance_preference"), "", &rule);
}

/// Frequencies above the nominal one.
pub const BOOST: Knob = Knob {
    id: "cpu.boost",
    row: 12,
    group: Group::C,
    why: "turbo lowers the median; its frequency steps may widen the tail",
    risk: "none lasting; measure both ways on the host",
    measured: "the bench's quantiles with boost on and off, interleaved",
    undone: "the value from before is written back",
    persist: Persist::Unit,
    probe: boost,
};

fn boost(host: &Host<'_>) -> Vec<Item> {
    let (boost, no_turbo, name) = match host.profile.boost {
        Boost::Keep => return policy(host, &BOOST, "as it is", "keep"),
        Boost::On => ("1", "0", "on"),
        Boost::Off => ("0", "1", "off"),
    };
    let mut draft = Draft::new(host, &BOOST);
    draft.value(&format!("{CPUS}/cpufreq/boost"), "boost", &Rule::Is(boost));
    draft.value(
        &format!("{CPUS}/intel_pstate/no_turbo"),
        "no_turbo",
        &Rule::Is(no_turbo),
    );
    draft.hint(format!("boost = {name} in the profile"));
    draft.items()
}

/// Nobody works on the other thread of a shard's core.
pub const SIBLING: Knob = Knob {
    id: "smt.sibling",
    row: 13,
    group: Group::A,
    why: "a busy sibling takes half of the core's issue width and of its L1 and L2",
    risk: "capacity: one thread of each shard's core does nothing",
    measured: "the bench's quantiles with a spinning and with an idle sibling",
    undone: "siblings are switched on again",
    persist: Persist::Unit,
    probe: sibling,
};

fn sibling(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &SIBLING) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let mut siblings = CpuSet::new();
    for core in &host.topology.cores {
        if !core.cpus.intersection(&split.shards).is_empty() {
            siblings = siblings.union(&core.cpus.difference(&split.shards));
        }
    }
    let siblings = siblings.intersection(&host.topology.online);
    if siblings.is_empty() {
        return not_applicable(host, &SIBLING, "no shard's core has a second thread online");
    }
    let mut draft = Draft::new(host, &SIBLING);
    draft.path(&format!("{CPUS}/smt/control"));
    let busy = siblings.intersection(&split.others);
    if !busy.is_empty() {
        draft.say("", &format!("{busy} work beside shards"), "idle");
        draft.found(Status::Drift);
        draft.hint("lay the CPUs out anew: corelane tune layout");
        return draft.items();
    }
    match host.profile.smt {
        Smt::Park => {
            draft.say("", &format!("{siblings} idle"), "idle");
            draft.found(Status::Ok);
        }
        Smt::Off => {
            for cpu in siblings.iter() {
                let path = format!("{CPUS}/cpu{}/online", cpu.0);
                draft.value(&path, "", &Rule::Is("0"));
            }
            draft.replace_said(&format!("{siblings} online"), "offline");
        }
    }
    draft.items()
}

/// Shards away from caches that others fill.
pub const CACHE: Knob = Knob {
    id: "cache.l3",
    row: 40,
    group: Group::C,
    why: "housekeeping on the same L3 evicts what shards keep there",
    risk: "none: reported; the layout chooses, and cache allocation (resctrl) is left to the operator",
    measured: "LLC misses per core; the bench's quantiles under load on housekeeping",
    undone: "nothing is changed",
    persist: Persist::None,
    probe: cache,
};

fn cache(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &CACHE) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let caches = |cpus: &CpuSet| -> BTreeSet<u32> {
        let cores = host.topology.cores.iter();
        cores
            .filter(|core| !core.cpus.intersection(cpus).is_empty())
            .filter_map(|core| core.l3)
            .collect()
    };
    let shards = caches(&split.shards);
    if shards.is_empty() {
        return not_applicable(host, &CACHE, "the host does not tell its L3 caches");
    }
    let shared = shards.intersection(&caches(&split.others)).count();
    let mut draft = Draft::new(host, &CACHE);
    draft.path(&format!("{CPUS}/cpu0/cache/index3/shared_cpu_list"));
    draft.say(
        "",
        &format!("{shared} of {} L3 shared", shards.len()),
        "0 shared, where possible",
    );
    draft.found(Status::Ok);
    if shared > 0 && host.sys.exists("/sys/fs/resctrl/schemata") {
        draft.hint("resctrl is there: ways of the L3 can be reserved for shards by hand");
    }
    draft.items()
}

/// Helper threads get their turn soon.
pub const HOUSE: Knob = Knob {
    id: "sched.house",
    row: 41,
    group: Group::B,
    why: "short slices keep helper threads on housekeeping CPUs responsive",
    risk: "low: more switches on housekeeping CPUs",
    measured: "run delay in /proc/<pid>/schedstat of helper threads",
    undone: "the values from before are written back",
    persist: Persist::Unit,
    probe: house,
};

fn house(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &HOUSE);
    let slice = "/sys/kernel/debug/sched/base_slice_ns";
    draft.value(slice, "base_slice_ns", &Rule::AtMost(500_000));
    sysctl::check(&mut draft, host, &HOUSE);
    draft.items()
}
