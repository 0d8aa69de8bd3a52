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
    // What tells has to tell the state before from the one after: of a unit that does not run, only
    // whether it is started at boot changes.
    let verify = match state.is_active() {
        true => (systemctl(&["is-active"]), "inactive".to_owned()),
        false => (systemctl(&["is-enabled"]), "disabled".to_owned()),
    };
    Action::Run {
        target: format!("systemctl {unit}"),
        apply: systemctl(&["disable", "--now"]),
        revert,
        verify: Some(verify),
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

/// The engine's service.
const ENGINE_UNIT: &str = "corelane.service";

/// The slice that the engine's service needs to be in: one that is not kept off shards.
const ENGINE_SLICE: &str = "corelane.slice";

/// What puts it there.
const ENGINE_DROP_IN: &str = "tuning/systemd/corelane.service.d/10-tuning.conf";

/// Logins. They are left alone: what is started from one, as `jitter` and `tune verify`, has to reach
/// the shards to measure them.
const LOGINS: &str = "user.slice";

/// Every service that systemd starts, off the shards.
pub const SLICES: Knob = Knob {
    id: "sys.slices",
    row: 3,
    group: Group::A,
    why: "without isolation at boot, daemons and cron run on shards",
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
    let home = engine_slice(host);
    let mut items = Vec::new();
    for slice in ["init.scope", "system.slice", LOGINS] {
        let path = format!("/sys/fs/cgroup/{slice}/cpuset.cpus.effective");
        let Ok(list) = host.sys.read(&path) else {
            continue;
        };
        let cpus = CpuSet::parse_list(&list).unwrap_or_default();
        let mut draft = Draft::new(host, &SLICES);
        draft.path(&path);
        if slice == LOGINS {
            draft.say(slice, &cpus.to_string(), "any (policy)");
            draft.found(Status::Ok);
            draft.hint("left alone, so that jitter and tune verify reach the shards from a login");
            items.push(draft.item());
            continue;
        }
        draft.say(
            slice,
            &cpus.to_string(),
            &format!("none of {}", split.quiet),
        );
        let is_kept_off = cpus.intersection(&split.quiet).is_empty();
        if home != ENGINE_SLICE && (!is_kept_off || home == slice) {
            draft.found(Status::Drift);
            draft.hint(elsewhere(&home));
        } else if is_kept_off {
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

/// The slice that the engine's service is in, or will be once it starts; empty where systemd does not
/// know the service.
fn engine_slice(host: &Host<'_>) -> String {
    let show = ["show", "--property=Slice", "--value", ENGINE_UNIT];
    let shown = host.commands.run("systemctl", &show);
    shown.map_or(String::new(), |ran| ran.output.trim().to_owned())
}

/// Why nothing is kept off shards: a service cannot leave the CPUs of its slice, so that the engine
/// itself, which starts later, would not reach its shards.
fn elsewhere(home: &str) -> String {
    let place = match home {
        "" => format!("systemd knows of no {ENGINE_UNIT} in {ENGINE_SLICE}"),
        home => format!("{ENGINE_UNIT} belongs to {home} and would be kept off its shards too"),
    };
    format!(
        "{place}: install {ENGINE_DROP_IN} (Slice={ENGINE_SLICE}), systemctl daemon-reload, then apply"
    )
}

fn keep_off(draft: &mut Draft<'_, '_>, host: &Host<'_>, slice: &str, others: &CpuSet) {
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
