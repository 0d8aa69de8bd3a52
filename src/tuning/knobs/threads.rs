//! Threads: the kernel's, off shards; those of the engine, where the layout has them.

use crate::cpu::CpuSet;
use crate::tuning::host::Host;
use crate::tuning::item::{Action, Group, Item, Persist, Status};
use crate::tuning::running;

use super::Knob;
use super::draft::{Draft, not_applicable, policy, split};
use super::rule::Rule;

/// PF_KTHREAD in include/linux/sched.h.
const IS_KERNEL: u64 = 0x0020_0000;

/// PF_NO_SETAFFINITY in include/linux/sched.h: one per CPU, or moved by its owner only.
const IS_BOUND: u64 = 0x0400_0000;

/// SCHED_FIFO in include/uapi/linux/sched.h.
const FIFO: u64 = 1;

/// Fields of `/proc/<pid>/stat`, counted from the state, which follows the name (proc(5)).
const FIELD_FLAGS: usize = 6;
const FIELD_POLICY: usize = 38;

/// A thread, as far as it matters here.
struct Thread {
    tid: i32,
    comm: String,
    flags: u64,
    policy: u64,
    allowed: CpuSet,
}

/// Reads `<folder>/stat` and `<folder>/status`. Threads end while one looks.
fn thread(host: &Host<'_>, folder: &str) -> Option<Thread> {
    let stat = host.sys.read(&format!("{folder}/stat")).ok()?;
    // A name may hold blanks and brackets.
    let (head, tail) = stat.rsplit_once(')')?;
    let (tid, comm) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|f| f.parse().ok()).unwrap_or(0);
    let status = host.sys.read(&format!("{folder}/status")).ok()?;
    let mut lines = status.lines();
    let allowed = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(Thread {
        tid: tid.trim().parse().ok()?,
        comm: comm.to_owned(),
        flags: field(FIELD_FLAGS),
        policy: field(FIELD_POLICY),
        allowed: CpuSet::parse_list(allowed).ok()?,
    })
}

fn processes(host: &Host<'_>) -> Vec<String> {
    let mut names = host.sys.list("/proc").unwrap_or_default();
    names.retain(|name| name.parse::<u32>().is_ok());
    names
}

/// Kernel threads off shards.
pub const KTHREADS: Knob = Knob {
    id: "kthreads",
    row: 22,
    group: Group::A,
    why: "rcuo*, kswapd, kcompactd, journals and their like run where their masks let them",
    risk: "low: they run on housekeeping instead",
    measured: "tune audit; sched_switch on shard CPUs",
    undone: "each thread that is still there gets its CPUs back",
    persist: Persist::Unit,
    probe: kthreads,
};

fn kthreads(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &KTHREADS) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let mut draft = Draft::new(host, &KTHREADS);
    let mut seen = 0;
    let mut names = Vec::new();
    for pid in processes(host) {
        let Some(thread) = thread(host, &format!("/proc/{pid}")) else {
            continue;
        };
        if thread.flags & IS_KERNEL == 0 || thread.flags & IS_BOUND != 0 {
            continue;
        }
        seen += 1;
        if thread.allowed.intersection(&split.quiet).is_empty() {
            continue;
        }
        // Its own CPUs where some remain, so that kswapd1 stays on node 1.
        let rest = thread.allowed.intersection(&split.housekeeping);
        let after = if rest.is_empty() {
            split.housekeeping.clone()
        } else {
            rest
        };
        names.push(thread.comm.clone());
        draft.act(Action::Affinity {
            tid: thread.tid,
            comm: thread.comm,
            before: thread.allowed.to_string(),
            after: after.to_string(),
        });
    }
    if seen == 0 {
        return not_applicable(
            host,
            &KTHREADS,
            "no kernel thread that could be moved is visible",
        );
    }
    draft.path("/proc/*/status");
    draft.say(
        "",
        &format!("{} of {seen} may run on shards", names.len()),
        "0",
    );
    draft.found(if names.is_empty() {
        Status::Ok
    } else {
        Status::Drift
    });
    if !names.is_empty() {
        names.truncate(6);
        draft.hint(names.join(","));
    }
    draft.items()
}

/// Processes of running engines.
pub fn engines(host: &Host<'_>) -> Vec<String> {
    let found = running::engines(host.sys).into_iter();
    found.map(|engine| engine.pid.to_string()).collect()
}

fn tasks(host: &Host<'_>, pid: &str) -> Vec<Thread> {
    let tids = host
        .sys
        .list(&format!("/proc/{pid}/task"))
        .unwrap_or_default();
    let tids = tids.iter();
    tids.filter_map(|tid| thread(host, &format!("/proc/{pid}/task/{tid}")))
        .collect()
}

/// Nothing on a shard's CPU but the shard.
pub const APP: Knob = Knob {
    id: "app.threads",
    row: 4,
    group: Group::A,
    why: "the engine's own helpers are the worst noise where they inherit a shard's mask",
    risk: "none",
    measured: "tune audit --pid: every thread that may run where it should not",
    undone: "nothing is changed: the engine places its threads itself",
    persist: Persist::App,
    probe: app,
};

fn app(host: &Host<'_>) -> Vec<Item> {
    let split = match split(host, &APP) {
        Ok(split) => split,
        Err(items) => return items,
    };
    let engines = engines(host);
    if engines.is_empty() {
        return not_applicable(host, &APP, NO_ENGINE);
    }
    let one = |pid: &String| {
        let threads = tasks(host, pid);
        let on_shards = |thread: &&Thread| !thread.allowed.intersection(&split.quiet).is_empty();
        let mut owned = CpuSet::new();
        let mut strays = Vec::new();
        for thread in threads.iter().filter(on_shards) {
            let alone = thread
                .allowed
                .iter()
                .next()
                .filter(|_| thread.allowed.len() == 1);
            // One thread per shard's CPU, and its main one came first.
            if !alone.is_some_and(|cpu| split.shards.contains(cpu) && owned.insert(cpu)) {
                strays.push(thread.comm.as_str());
            }
        }
        let mut draft = Draft::new(host, &APP);
        draft.path(&format!("/proc/{pid}/task"));
        let current = format!("{} of {} threads astray", strays.len(), threads.len());
        draft.say("", &current, "one thread on each shard's CPU");
        if strays.is_empty() {
            draft.found(Status::Ok);
        } else {
            draft.found(Status::Drift);
            strays.truncate(6);
            let strays = strays.join(",");
            draft.hint(format!(
                "{strays}: corelane tune audit --pid {pid} says more"
            ));
        }
        draft.item()
    };
    engines.iter().map(one).collect()
}

const NO_ENGINE: &str = "no engine runs; once it does: corelane tune audit, tune verify --live";

/// No shootdowns of address translations.
pub const MAPPINGS: Knob = Knob {
    id: "mem.mappings",
    row: 14,
    group: Group::A,
    why: "whenever a thread gives memory back, every shard of the process is interrupted",
    risk: "memory that was used once stays with the process",
    measured: "TLB in /proc/interrupts on shard CPUs, at most 1/s: tune verify --live",
    undone: "nothing is changed: the engine maps its memory at start",
    persist: Persist::App,
    probe: mappings,
};

fn mappings(host: &Host<'_>) -> Vec<Item> {
    measured_live(host, &MAPPINGS, "TLB")
}

/// Shards that do not park.
pub const SPIN: Knob = Knob {
    id: "app.spin",
    row: 15,
    group: Group::A,
    why: "a shard that parks interrupts every running one (membarrier)",
    risk: "every shard's CPU is busy all the time",
    measured: "CAL in /proc/interrupts on shard CPUs, about 0: tune verify --live",
    undone: "node.idle = \"adaptive\" in the engine's configuration",
    persist: Persist::App,
    probe: spin,
};

fn spin(host: &Host<'_>) -> Vec<Item> {
    let mut items = measured_live(host, &SPIN, "CAL");
    for item in &mut items {
        let hint = item.hint.get_or_insert_default();
        hint.push_str("; node.idle = \"spin\" in the engine's configuration");
    }
    items
}

/// What only time tells: a rate of interrupts on shards while the engine works.
fn measured_live(host: &Host<'_>, knob: &Knob, row: &str) -> Vec<Item> {
    let engines = engines(host);
    let Some(pid) = engines.first() else {
        return not_applicable(host, knob, NO_ENGINE);
    };
    let mut draft = Draft::new(host, knob);
    draft.path("/proc/interrupts");
    draft.say(
        "",
        &format!("engine {pid} runs"),
        &format!("{row} on shards ≤1/s"),
    );
    draft.hint("a rate takes time: corelane tune verify --live measures it");
    draft.items()
}

/// No pause for threads of real-time priority.
pub const RT_THROTTLE: Knob = Knob {
    id: "rt.throttle",
    row: 38,
    group: Group::C,
    why: "a SCHED_FIFO thread that spins is stopped for 50 ms of each second",
    risk: "the host can hang; the engine does not use SCHED_FIFO, and that is the better answer",
    measured: "jitter at 1 Hz with gaps of 50 ms",
    undone: "the value from before is written back",
    persist: Persist::Unit,
    probe: rt_throttle,
};

fn rt_throttle(host: &Host<'_>) -> Vec<Item> {
    let path = "/proc/sys/kernel/sched_rt_runtime_us";
    let engines = engines(host);
    let is_fifo = engines
        .iter()
        .flat_map(|pid| tasks(host, pid))
        .any(|thread| thread.policy == FIFO);
    if !is_fifo || !host.profile.sets(Group::C) {
        let current = host.sys.read(path).unwrap_or_else(|_| "absent".to_owned());
        let want = if is_fifo {
            "asked for by group C only"
        } else {
            "any: no SCHED_FIFO"
        };
        return policy(host, &RT_THROTTLE, &current, want);
    }
    let mut draft = Draft::new(host, &RT_THROTTLE);
    draft.value(path, "", &Rule::Is("-1"));
    draft.items()
}
