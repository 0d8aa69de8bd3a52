//! Values under `/proc/sys`: what they should be, and the one file that keeps them over a boot.
//!
//! Owns: `/etc/sysctl.d/90-corelane.conf`. Never does: writing another file there. Runs on: the
//! main thread of a command.

use crate::tuning::host::Host;
use crate::tuning::item::{Group, Item, Persist};
use crate::tuning::sections::Sections;

use super::draft::{Draft, not_applicable, split};
use super::rule::{Form, Rule};
use super::{Knob, cpu, kernel, limits, mm, net};

/// Our file.
pub const SYSCTL_DROP_IN: &str = "/etc/sysctl.d/90-corelane.conf";

/// One value.
struct Setting {
    knob: &'static Knob,
    key: &'static str,
    want: Want,
    /// Whether this host needs it at all.
    when: fn(&Host<'_>) -> bool,
}

#[derive(Clone, Copy)]
enum Want {
    Is(i64),
    AtLeast(i64),
    AtMost(i64),
    /// A list of CPUs without those that are kept quiet.
    OtherCpus,
}

const fn setting(knob: &'static Knob, key: &'static str, want: Want) -> Setting {
    Setting {
        knob,
        key,
        want,
        when: |_| true,
    }
}

const SETTINGS: &[Setting] = &[
    setting(&mm::NUMA_KSM, "kernel.numa_balancing", Want::Is(0)),
    setting(&mm::NUMA_KSM, "vm.zone_reclaim_mode", Want::Is(0)),
    setting(&mm::SWAP, "vm.swappiness", Want::AtMost(1)),
    setting(&mm::COMPACT, "vm.compaction_proactiveness", Want::Is(0)),
    setting(&mm::COMPACT, "vm.watermark_boost_factor", Want::Is(0)),
    setting(&limits::LIMITS, "kernel.io_uring_disabled", Want::Is(0)),
    setting(&kernel::WATCHDOG, "kernel.nmi_watchdog", Want::Is(0)),
    setting(
        &kernel::WATCHDOG,
        "kernel.watchdog_cpumask",
        Want::OtherCpus,
    ),
    Setting {
        knob: &kernel::TIMER_MIGRATE,
        key: "kernel.timer_migration",
        want: Want::Is(0),
        when: |host| !kernel::timers_avoid_isolated(host),
    },
    setting(&mm::VM_STAT, "vm.stat_interval", Want::AtLeast(10)),
    Setting {
        knob: &net::BUSY_POLL,
        key: "net.core.busy_poll",
        want: Want::Is(50),
        when: net::is_busy_poll_asked,
    },
    Setting {
        knob: &net::BUSY_POLL,
        key: "net.core.busy_read",
        want: Want::Is(50),
        when: net::is_busy_poll_asked,
    },
    setting(&net::TCP, "net.ipv4.tcp_slow_start_after_idle", Want::Is(0)),
    setting(&net::TCP, "net.ipv4.tcp_autocorking", Want::Is(0)),
    setting(&net::TCP, "net.core.somaxconn", Want::AtLeast(4096)),
    setting(
        &net::TCP,
        "net.ipv4.tcp_max_syn_backlog",
        Want::AtLeast(4096),
    ),
    setting(&cpu::HOUSE, "kernel.sched_autogroup_enabled", Want::Is(0)),
];

/// Judges every value under `/proc/sys` that belongs to `knob`.
pub(super) fn check(draft: &mut Draft<'_, '_>, host: &Host<'_>, knob: &Knob) {
    let own = |setting: &&Setting| setting.knob.id == knob.id && (setting.when)(host);
    for setting in SETTINGS.iter().filter(own) {
        let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
        let path = path(setting.key);
        match setting.want {
            Want::Is(value) => {
                draft.value(&path, name, &Rule::Is(&value.to_string()));
            }
            Want::AtLeast(least) => {
                draft.value(&path, name, &Rule::AtLeast(least));
            }
            Want::AtMost(most) => {
                draft.value(&path, name, &Rule::AtMost(most));
            }
            Want::OtherCpus => match split(host, knob) {
                Ok(split) => {
                    let rule = Rule::Avoids {
                        avoid: &split.quiet,
                        to: &split.others,
                        form: Form::List,
                    };
                    draft.value(&path, name, &rule);
                }
                Err(_) => draft.hint(format!("{name} needs a layout")),
            },
        }
    }
}

fn path(key: &str) -> String {
    format!("/proc/sys/{}", key.replace('.', "/"))
}

/// Whether the file keeps what the rows above set.
pub const KEEP: Knob = Knob {
    id: "keep.sysctl",
    row: 0,
    group: Group::B,
    why: "values under /proc/sys are the kernel's own again after a boot",
    risk: "none: a file of ours beside those of others; later names win over it",
    measured: "check after a boot",
    undone: "the file is removed",
    persist: Persist::Sysctl,
    probe: keep,
};

fn keep(host: &Host<'_>) -> Vec<Item> {
    let file = shared(host);
    if file.is_empty() && !host.sys.exists(SYSCTL_DROP_IN) {
        return not_applicable(host, &KEEP, "no knob that is meant has a value to keep");
    }
    let wanted = file.text();
    let mut draft = Draft::new(host, &KEEP);
    // What it says was written to the kernel already, value by value.
    draft.file(SYSCTL_DROP_IN, &wanted, None);
    draft.items()
}

/// The file for this host: what is there of the values, as the profile asks for them. A limit that
/// the host exceeds already is kept where it is.
pub fn drop_in(host: &Host<'_>) -> String {
    shared(host).text()
}

fn shared(host: &Host<'_>) -> Sections {
    let head = "# Made by corelane tune apply, removed by corelane tune revert.\n";
    // Settings of a knob stand together.
    let mut knobs: Vec<&Knob> = SETTINGS.iter().map(|setting| setting.knob).collect();
    knobs.dedup_by_key(|knob| knob.id);
    let lines = |knob: &Knob| lines(host, knob);
    super::shared_file(host, SYSCTL_DROP_IN, head, knobs.into_iter(), lines)
}

/// The lines of one knob.
fn lines(host: &Host<'_>, knob: &Knob) -> String {
    let mut text = String::new();
    for setting in SETTINGS.iter().filter(|setting| setting.knob.id == knob.id) {
        if !(setting.when)(host) {
            continue;
        }
        let Ok(current) = host.sys.read(&path(setting.key)) else {
            continue;
        };
        let current = current.trim().parse::<i64>();
        let value = match setting.want {
            Want::Is(value) => value.to_string(),
            Want::AtLeast(least) => current.unwrap_or(least).max(least).to_string(),
            Want::AtMost(most) => current.unwrap_or(most).min(most).to_string(),
            Want::OtherCpus => match split(host, setting.knob) {
                Ok(split) => split.others.to_string(),
                Err(_) => continue,
            },
        };
        text.push_str(&format!("{} = {value}\n", setting.key));
    }
    text
}
