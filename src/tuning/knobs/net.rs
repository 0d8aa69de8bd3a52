//! The network: how many queues, which CPUs serve them, how long they wait, what TCP does.

use crate::cpu::CpuSet;
use crate::tuning::host::Host;
use crate::tuning::item::{Action, Disruption, Group, Item, Persist, Status};
use crate::tuning::profile::NetMode;

use super::devices::nics;
use super::draft::{Draft, Split, not_applicable, policy, split, words};
use super::rule::{Form, Rule};
use super::{Knob, ethtool, sysctl};

const NET: &str = "/sys/class/net";

/// Flows that are remembered where packets follow their thread. Spec row 35.
const FLOWS: u32 = 32_768;

/// As many queues as CPUs that serve them.
pub const QUEUES: Knob = Knob {
    id: "net.queues",
    row: 33,
    group: Group::A,
    why: "the number of receive queues decides which CPUs take network softirqs",
    risk: "the link goes down for about two seconds: only with --allow-link-reset",
    measured: "NET_RX in /proc/softirqs on shard CPUs",
    undone: "the number from before is set again; the link goes down once more",
    persist: Persist::Unit,
    probe: queues,
};

/// One item per interface of the engine; without any, the reason.
fn per_nic(host: &Host<'_>, knob: &Knob, probe: impl Fn(&mut Draft<'_, '_>, &str)) -> Vec<Item> {
    let nics = match nics(host) {
        Ok(nics) => nics,
        Err(error) => return not_applicable(host, knob, &error.to_string()),
    };
    let one = |nic: &String| {
        let mut draft = Draft::new(host, knob);
        probe(&mut draft, nic);
        draft.item()
    };
    nics.iter().map(one).collect()
}

/// What an interface does not tell is not there to be set.
fn silent(draft: &mut Draft<'_, '_>, nic: &str, error: &ethtool::Silent) {
    draft.say(nic, "unknown", "");
    draft.found(Status::NotApplicable);
    draft.hint(error.to_string());
}

fn queues(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &QUEUES) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let wanted = match host.profile.net_mode {
        NetMode::ClientIo => split.io.len(),
        NetMode::PerShard => split.shards.len(),
    };
    let wanted = u32::try_from(wanted.max(1)).unwrap_or(u32::MAX);
    per_nic(host, &QUEUES, |draft, nic| {
        let output = match ethtool::ask(host.commands, "-l", nic) {
            Ok(output) => output,
            Err(error) => return silent(draft, nic, &error),
        };
        let Some(channels) = ethtool::channels(&output) else {
            draft.say(nic, "not in pairs", "");
            return draft.found(Status::NotApplicable);
        };
        let wanted = wanted.min(channels.most);
        draft.say(nic, &channels.current.to_string(), &wanted.to_string());
        if channels.current == wanted {
            draft.found(Status::Ok);
            return spread(draft, host, nic, wanted);
        }
        draft.found(Status::Drift);
        draft.disrupts(Disruption::LinkReset);
        let set = |count: u32| words(&["ethtool", "-L", nic, "combined", &count.to_string()]);
        draft.act(Action::Run {
            target: format!("ethtool -L {nic}"),
            apply: set(wanted),
            revert: set(channels.current),
            verify: Some((
                words(&["ethtool", "-l", nic]),
                channels.printed_with(wanted),
            )),
            before: format!("combined {}", channels.current),
            after: format!("combined {wanted}"),
        });
    })
}

/// Receives on all queues, and on no queue that is not there.
fn spread(draft: &mut Draft<'_, '_>, host: &Host<'_>, nic: &str, queues: u32) {
    let Ok(table) = ethtool::ask(host.commands, "-x", nic) else {
        return;
    };
    let Some(highest) = ethtool::highest_ring(&table).filter(|ring| *ring + 1 != queues) else {
        return;
    };
    let spread = |count: u32| format!("queues 0-{}", count - 1);
    draft.say("rss", &spread(highest + 1), &spread(queues));
    draft.found(Status::Drift);
    draft.act(Action::Run {
        target: format!("ethtool -X {nic}"),
        apply: words(&["ethtool", "-X", nic, "equal", &queues.to_string()]),
        revert: words(&["ethtool", "-X", nic, "default"]),
        verify: None,
        before: spread(highest + 1),
        after: spread(queues),
    });
}

/// Interrupts at once, and not when the driver thinks it is worth it.
pub const COALESCE: Knob = Knob {
    id: "net.coalesce",
    row: 34,
    group: Group::A,
    why: "adaptive moderation holds packets back for 20 to 250 µs",
    risk: "more interrupts per second on the CPUs of I/O",
    measured: "round trips of clients; interrupts per second",
    undone: "the settings from before are set again",
    persist: Persist::Unit,
    probe: coalesce,
};

fn coalesce(host: &Host<'_>) -> Vec<Item> {
    per_nic(host, &COALESCE, |draft, nic| {
        let output = match ethtool::ask(host.commands, "-c", nic) {
            Ok(output) => output,
            Err(error) => return silent(draft, nic, &error),
        };
        if let Some((rx, tx)) = ethtool::adaptive(&output) {
            draft.say(&format!("{nic} adaptive"), &format!("{rx}/{tx}"), "off/off");
            // A driver may have the one and not the other.
            let is_off = rx == "off" && tx != "on";
            draft.found(if is_off { Status::Ok } else { Status::Drift });
            if !is_off {
                draft.act(adaptive_off(nic, rx, tx));
            }
        }
        let held = ethtool::number(&output, "rx-usecs");
        if let (Some(held), Some(wanted)) = (held, host.profile.net.rx_usecs) {
            draft.say("rx-usecs", &held.to_string(), &wanted.to_string());
            draft.found(if held == wanted {
                Status::Ok
            } else {
                Status::Drift
            });
            if held != wanted {
                draft.act(rx_usecs(nic, held, wanted));
            }
        }
    })
}

fn adaptive_off(nic: &str, rx: &str, tx: &str) -> Action {
    let mut apply = vec!["ethtool", "-C", nic, "adaptive-rx", "off"];
    let mut revert = vec!["ethtool", "-C", nic, "adaptive-rx", rx];
    let mut after = "Adaptive RX: off".to_owned();
    if tx == "on" {
        apply.extend(["adaptive-tx", "off"]);
        revert.extend(["adaptive-tx", tx]);
    }
    let sent = if tx == "on" { "off" } else { tx };
    after.push_str(&format!("  TX: {sent}"));
    Action::Run {
        target: format!("ethtool -C {nic} adaptive"),
        apply: words(&apply),
        revert: words(&revert),
        verify: Some((words(&["ethtool", "-c", nic]), after.clone())),
        before: format!("Adaptive RX: {rx}  TX: {tx}"),
        after,
    }
}

fn rx_usecs(nic: &str, held: u32, wanted: u32) -> Action {
    let set = |usecs: u32| words(&["ethtool", "-C", nic, "rx-usecs", &usecs.to_string()]);
    Action::Run {
        target: format!("ethtool -C {nic} rx-usecs"),
        apply: set(wanted),
        revert: set(held),
        // The line ends there: 8 must not pass for 80.
        verify: Some((
            words(&["ethtool", "-c", nic]),
            format!("rx-usecs: {wanted}\n"),
        )),
        before: format!("rx-usecs {held}"),
        after: format!("rx-usecs {wanted}"),
    }
}

/// Packets handled where their thread is.
pub const STEER: Knob = Knob {
    id: "net.steer",
    row: 35,
    group: Group::B,
    why: "a packet that is handled on another CPU than its thread's wakes both",
    risk: "low: the kernel's own spreading is switched off",
    measured: "NET_RX and NET_TX in /proc/softirqs, per CPU",
    undone: "the masks from before are written back",
    persist: Persist::Unit,
    probe: steer,
};

fn steer(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &STEER) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let serving = match host.profile.net_mode {
        NetMode::ClientIo => &split.io,
        NetMode::PerShard => &split.shards,
    };
    let mut items = per_nic(host, &STEER, |draft, nic| {
        draft.say("", nic, "");
        // Names come in the order of their numbers: tx-2 before tx-10.
        let folder = format!("{NET}/{nic}/queues");
        let names = host.sys.list(&folder).unwrap_or_default();
        let of = |kind| names.iter().filter(move |name| name.starts_with(kind));
        for queue in of("rx-") {
            let none = CpuSet::new();
            let rule = Rule::Cpus(&none, Form::Mask);
            draft.value(
                &format!("{folder}/{queue}/rps_cpus"),
                &format!("{queue} rps"),
                &rule,
            );
        }
        let senders: Vec<&String> = of("tx-").collect();
        // With more queues than CPUs, a CPU serves several.
        for (queue, cpu) in senders.iter().zip(serving.iter().cycle()) {
            let own = CpuSet::from_iter([cpu]);
            let rule = Rule::Cpus(&own, Form::Mask);
            // There with one queue too, and then reading it fails with ENOENT.
            draft.value(
                &format!("{folder}/{queue}/xps_cpus"),
                &format!("{queue} xps"),
                &rule,
            );
        }
        if host.profile.net_mode == NetMode::PerShard {
            let receivers: Vec<&String> = of("rx-").collect();
            follow_threads(draft, host, nic, &receivers);
        }
        shorten(draft, nic);
    });
    if host.profile.net_mode == NetMode::PerShard {
        let mut all = Draft::new(host, &STEER);
        let path = "/proc/sys/net/core/rps_sock_flow_entries";
        all.value(
            path,
            "rps_sock_flow_entries",
            &Rule::AtLeast(i64::from(FLOWS)),
        );
        items.push(all.item());
    }
    items
}

/// Dozens of queues are too much for a line of a table; the actions name them.
fn shorten(draft: &mut Draft<'_, '_>, nic: &str) {
    let wrong = draft.actions();
    if draft.status() != Status::NotApplicable {
        draft.replace_said(
            &format!("{nic}: {wrong} queues astray"),
            "rps off, xps as laid out",
        );
    }
}

/// Accelerated receive flow steering (Documentation/networking/scaling.rst): the interface itself
/// sends a flow to the queue of the CPU whose thread reads it.
fn follow_threads(draft: &mut Draft<'_, '_>, host: &Host<'_>, nic: &str, receivers: &[&String]) {
    let count = u32::try_from(receivers.len().max(1)).unwrap_or(FLOWS);
    // The kernel rounds up to a power of two, and tells that (net/core/net-sysfs.c).
    let flows = (FLOWS / count).next_power_of_two().to_string();
    for queue in receivers {
        let path = format!("{NET}/{nic}/queues/{queue}/rps_flow_cnt");
        draft.value(&path, &format!("{queue} flows"), &Rule::Is(&flows));
    }
    let Ok(output) = ethtool::ask(host.commands, "-k", nic) else {
        return;
    };
    if ethtool::feature(&output, "ntuple-filters") == Some(false) {
        draft.found(Status::Drift);
        let set = |state| words(&["ethtool", "-K", nic, "ntuple", state]);
        draft.act(Action::Run {
            target: format!("ethtool -K {nic} ntuple"),
            apply: set("on"),
            revert: set("off"),
            verify: Some((
                words(&["ethtool", "-k", nic]),
                "ntuple-filters: on".to_owned(),
            )),
            before: "ntuple-filters: off".to_owned(),
            after: "ntuple-filters: on".to_owned(),
        });
    }
}

/// Sockets that are polled.
pub const BUSY_POLL: Knob = Knob {
    id: "net.busypoll",
    row: 36,
    group: Group::C,
    why: "poll(2) on a socket looks at the interface itself and waits for no interrupt",
    risk: "CPUs of I/O are busy while they wait; needs some that do nothing else",
    measured: "round trips of clusters' clients; busy time of I/O CPUs",
    undone: "the values from before are written back",
    persist: Persist::Sysctl,
    probe: busy_poll,
};

/// Only for the group, and only where CPUs are set apart for I/O.
pub(super) fn is_busy_poll_asked(host: &Host<'_>) -> bool {
    let apart = |split: &Split| {
        !split.io.is_empty() && split.io.intersection(&split.housekeeping).is_empty()
    };
    host.profile.sets(Group::C) && split(host, &BUSY_POLL).as_ref().is_ok_and(apart)
}

fn busy_poll(host: &Host<'_>) -> Vec<Item> {
    if !is_busy_poll_asked(host) {
        let current = host.sys.read("/proc/sys/net/core/busy_poll");
        let current = current.unwrap_or_else(|_| "absent".to_owned());
        let why = "asked for by group C, with CPUs of I/O apart";
        return policy(host, &BUSY_POLL, &current, why);
    }
    let mut draft = Draft::new(host, &BUSY_POLL);
    sysctl::check(&mut draft, host, &BUSY_POLL);
    draft.items()
}

/// TCP that does not slow down after a pause.
pub const TCP: Knob = Knob {
    id: "net.tcp",
    row: 37,
    group: Group::B,
    why: "slow start after idle, small writes held back, short queues of new connections",
    risk: "low",
    measured: "round trips after a pause; ListenOverflows in /proc/net/netstat",
    undone: "the values from before are written back",
    persist: Persist::Sysctl,
    probe: tcp,
};

fn tcp(host: &Host<'_>) -> Vec<Item> {
    let mut draft = Draft::new(host, &TCP);
    sysctl::check(&mut draft, host, &TCP);
    draft.items()
}
