//! Services of the host: what runs, and slices that keep it off shards.

use std::fmt;

use crate::cpu::CpuSet;
use crate::tuning::host::Host;
use crate::tuning::item::{Action, Group, Item, Persist, Status};

use super::Knob;
use super::cpu::isolated;
use super::draft::{Draft, not_applicable, split};

/// Whether systemd runs this host (sd_booted(3)).
pub(super) fn has_systemd(host: &Host<'_>) -> bool {
    host.sys.exists("/run/systemd/system")
}

/// How a unit stands, in systemd's words.
pub(super) struct UnitState {
    active: String,
    enabled: String,
}

impl UnitState {
    pub(super) fn is_off(&self) -> bool {
        self.active != "active" && self.enabled != "enabled"
    }

    pub(super) fn is_active(&self) -> bool {
        self.active == "active"
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled == "enabled"
    }
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.active, self.enabled)
    }
}

/// How a unit stands; none without systemd. A unit that is not installed is inactive.
pub(super) fn state(host: &Host<'_>, unit: &str) -> Option<UnitState> {
    if !has_systemd(host) {
        return None;
    }
    let ask = |what: &str| {
        let ran = host.commands.run("systemctl", &[what, unit]).ok()?;
        Some(ran.output.trim().to_owned())
    };
    let active = ask("is-active")?;
    let enabled = match ask("is-enabled")? {
        silent if silent.is_empty() => "not-found".to_owned(),
        state => state,
    };
    Some(UnitState { active, enabled })
}

/// Stops a unit for good, and what makes it as it was.
pub(super) fn disable(unit: &str, state: &UnitState) -> Action {
    let systemctl = |words: &[&str]| {
        let all = ["systemctl"].iter().chain(words).chain([&unit]);
        all.map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let revert = match (state.is_enabled(), state.is_active()) {
        (true, true) => systemctl(&["enable", "--now"]),
        (true, false) => systemctl(&["enable"]),
        (false, _) => systemctl(&["start"]),
    };
    Action::Run {
        target: format!("systemctl {unit}"),
        apply: systemctl(&["disable", "--now"]),
        revert,
        verify: Some((systemctl(&["is-active"]), "inactive".to_owned())),
        before: state.to_string(),
        after: "inactive, disabled".to_owned(),
    }
}

/// Whether a process of that name runs.
pub(super) fn is_running(host: &Host<'_>, name: &str) -> bool {
    let processes = host.sys.list("/proc").unwrap_or_default();
    let mut pids = processes
        .iter()
        .filter(|entry| entry.parse::<u32>().is_ok());
    pids.any(|pid| {
        host.sys
            .read(&format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm == name)
    })
}

/// Everything that systemd starts, off the shards.
pub const SLICES: Knob = Knob {
    id: "sys.slices",
    row: 3,
    group: Group::A,
    why: "without isolation at boot, daemons, logins and cron run on shards",
    risk: "low: fewer CPUs for everything else",
    measured: "cpuset.cpus.effective of every slice; tune audit",
    undone: "AllowedCPUs is what it was before",
    persist: Persist::Unit,
    probe: slices,
};

fn slices(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &SLICES) {
        Ok(split) => split,
        Err(items) => return items,
    };
    if split.quiet.is_subset(&isolated(host)) {
        let mut draft = Draft::new(host, &SLICES);
        draft.say("", "isolated by cpu.isolate", "none on shards");
        draft.found(Status::Ok);
        return draft.items();
    }
    if !has_systemd(host) {
        return not_applicable(host, &SLICES, "systemd does not run this host");
    }
    let mut items = Vec::new();
    for slice in ["init.scope", "system.slice", "user.slice"] {
        let path = format!("/sys/fs/cgroup/{slice}/cpuset.cpus.effective");
        let Ok(list) = host.sys.read(&path) else {
            continue;
        };
        let cpus = CpuSet::parse_list(&list).unwrap_or_default();
        let mut draft = Draft::new(host, &SLICES);
        draft.path(&path);
        draft.say(
            slice,
            &cpus.to_string(),
            &format!("none of {}", split.quiet),
        );
        if cpus.intersection(&split.quiet).is_empty() {
            draft.found(Status::Ok);
        } else {
            draft.found(Status::Drift);
            keep_off(&mut draft, host, slice, &split.others);
        }
        items.push(draft.item());
    }
    if items.is_empty() {
        let why = "no cpuset controller of cgroup v2; cpu.isolate does it at boot";
        return not_applicable(host, &SLICES, why);
    }
    items
}

fn keep_off(draft: &mut Draft<'_, '_>, host: &Host<'_>, slice: &str, others: &CpuSet) {
    // A service cannot leave the CPUs of its slice, and shards are what is taken away here.
    if host
        .sys
        .exists(&format!("/sys/fs/cgroup/{slice}/corelane.service"))
    {
        draft.hint(format!(
            "corelane.service runs in {slice}: give it Slice=corelane.slice first"
        ));
        return;
    }
    let show = [
        "systemctl",
        "show",
        "--property=AllowedCPUs",
        "--value",
        slice,
    ];
    let before = host.commands.run(show[0], &show[1..]);
    let before = before.map_or(String::new(), |ran| ran.output.trim().to_owned());
    let set = |cpus: &str| {
        let property = format!("AllowedCPUs={cpus}");
        ["systemctl", "set-property", "--runtime", slice, &property]
            .map(str::to_owned)
            .to_vec()
    };
    // systemd separates ranges by blanks.
    let after = others.to_string().replace(',', " ");
    draft.act(Action::Run {
        target: format!("systemctl set-property {slice} AllowedCPUs"),
        apply: set(&after),
        revert: set(&before),
        verify: Some((show.map(str::to_owned).to_vec(), after.clone())),
        before: format!("AllowedCPUs={before}"),
        after: format!("AllowedCPUs={after}"),
    });
}

/// The service that sets everything again after a boot.
const TUNE_UNIT: &str = "corelane-tune.service";

/// Whether values that no file keeps are set again after a boot.
pub const KEEP: Knob = Knob {
    id: "keep.unit",
    row: 0,
    group: Group::B,
    why: "what no file keeps is the kernel's own again after a boot",
    risk: "none: the service sets what the state says, before the engine starts",
    measured: "check after a boot",
    undone: "the service is disabled again",
    persist: Persist::Unit,
    probe: keep,
};

fn keep(host: &Host<'_>) -> Vec<Item> {
    let Some(state) = state(host, TUNE_UNIT) else {
        return not_applicable(
            host,
            &KEEP,
            "systemd does not run this host: run apply at each boot",
        );
    };
    let mut draft = Draft::new(host, &KEEP);
    draft.say("", &state.enabled, "enabled");
    if state.is_enabled() {
        draft.found(Status::Ok);
        return draft.items();
    }
    draft.found(Status::Missing);
    if state.enabled == "disabled" {
        let systemctl = |what: &str| ["systemctl", what, TUNE_UNIT].map(str::to_owned).to_vec();
        draft.act(Action::Run {
            target: format!("systemctl {TUNE_UNIT}"),
            apply: systemctl("enable"),
            revert: systemctl("disable"),
            verify: Some((systemctl("is-enabled"), "enabled".to_owned())),
            before: "disabled".to_owned(),
            after: "enabled".to_owned(),
        });
    } else {
        draft.hint(format!("install tuning/systemd/{TUNE_UNIT}, then apply"));
    }
    draft.items()
}
