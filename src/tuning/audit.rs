//! The threads of a running node: which of them may run where they should not.
//!
//! A shard's CPU belongs to that shard's executor. Any other thread that may run there will, sooner
//! or later, and the shard waits for as long. What counts is where a thread *may* run (its
//! `Cpus_allowed_list`), not where it was seen.
//!
//! Owns: reading a process's threads, and the verdict on each. Never does: moving one. Runs on: the
//! main thread of a command.

use serde::Serialize;

use crate::cpu::{CpuSet, Layout, Sys, SysError, Topology};
use crate::ids::CpuId;

/// The form of the JSON.
pub const AUDIT_SCHEMA: u32 = 1;

/// Position of `processor` among the fields of `stat` that follow the name, which is the second
/// (Documentation/filesystems/proc.rst counts it as the 39th).
const STAT_PROCESSOR: usize = 36;

/// The same for `starttime`, counted as the 22nd.
const STAT_START: usize = 19;

/// What was found about a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// [`AUDIT_SCHEMA`].
    pub schema: u32,
    /// The process.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Where threads should be.
    pub expected: Expected,
    /// All threads, by id.
    pub threads: Vec<AuditedThread>,
    /// What the places that there are do not allow to prove.
    pub unproven: Vec<String>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// What an audit comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every shard CPU belongs to one thread.
    Clean,
    /// Nothing is known to be wrong, but see [`Audit::unproven`].
    Unproven,
    /// A thread may run where it should not.
    Strays,
}

/// Where threads should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// How that is known.
    pub source: Source,
    /// By shard: its CPU.
    #[serde(serialize_with = "numbers")]
    pub shards: Vec<CpuId>,
    /// CPUs for what belongs nowhere else.
    pub housekeeping: CpuSet,
    /// CPUs for clusters' threads.
    pub io: CpuSet,
}

/// How it is known where threads should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// From the host's layout.
    Layout,
    /// From where the node's executors are: their CPUs are theirs, the others are for the rest.
    Executors,
}

/// What a thread is for, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A shard's executor, by its number.
    Shard(u16),
    /// A thread of a cluster's client.
    Io,
    /// A thread that the kernel made for io_uring.
    IoUring,
    /// Everything else.
    Housekeeping,
}

/// A thread as the kernel tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ThreadFacts {
    /// Its id.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// Where it may run. A thread that nobody placed may run on CPUs that are not there, too.
    pub allowed: CpuSet,
    /// Where it ran last.
    pub last_cpu: Option<u16>,
    /// As in `R` for running, `S` for sleeping.
    pub state: char,
    /// When it was started, in the kernel's ticks since the boot.
    pub started: u64,
    /// How often the scheduler took the CPU from it.
    pub nonvoluntary_switches: u64,
}

/// A thread and the verdict on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditedThread {
    /// What the kernel tells.
    #[serde(flatten)]
    pub facts: ThreadFacts,
    /// What it is for.
    pub role: Role,
    /// What is wrong; none where nothing is known to be.
    pub wrong: Option<String>,
}

/// Why there is no audit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// There is no such process.
    #[error("there is no process {pid}")]
    NoProcess {
        /// As asked for.
        pid: u32,
    },
    /// Its threads cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SysError),
    /// It is something else.
    #[error("process {pid} ({comm}) has no thread named core-0: it is no running node of corelane")]
    NoNode {
        /// As asked for.
        pid: u32,
        /// Its name.
        comm: String,
    },
}

impl Audit {
    /// Looks at the threads of a process. `layout` is one that holds on this host.
    ///
    /// # Errors
    /// There is no such process, or it is no node.
    pub fn of(
        sys: &dyn Sys,
        pid: u32,
        layout: Option<&Layout>,
        topology: &Topology,
    ) -> Result<Audit, AuditError> {
        let comm = match sys.read(&format!("/proc/{pid}/comm")) {
            Ok(comm) => comm,
            Err(error) if error.is_missing() => return Err(AuditError::NoProcess { pid }),
            Err(error) => return Err(error.into()),
        };
        let mut threads = threads(sys, pid)?;
        for thread in &mut threads {
            thread.allowed = thread.allowed.intersection(&topology.online);
        }
        let executors = executors(&threads);
        if executors.is_empty() {
            return Err(AuditError::NoNode { pid, comm });
        }
        let expected = match layout {
            Some(layout) => Expected::of_layout(layout),
            None => Expected::of_executors(&executors, topology),
        };
        let threads: Vec<AuditedThread> = threads
            .iter()
            .map(|facts| {
                let role = role(facts, &executors);
                AuditedThread {
                    wrong: expected.wrong(facts, role, &executors),
                    facts: facts.clone(),
                    role,
                }
            })
            .collect();
        let unproven = expected.unproven(&threads);
        let verdict = if threads.iter().any(|thread| thread.wrong.is_some()) {
            Verdict::Strays
        } else if unproven.is_empty() {
            Verdict::Clean
        } else {
            Verdict::Unproven
        };
        Ok(Audit {
            schema: AUDIT_SCHEMA,
            pid,
            comm,
            expected,
            threads,
            unproven,
            verdict,
        })
    }

    /// Threads that may run where they should not.
    pub fn strays(&self) -> impl Iterator<Item = &AuditedThread> {
        self.threads.iter().filter(|thread| thread.wrong.is_some())
    }
}

impl Expected {
    fn of_layout(layout: &Layout) -> Expected {
        Expected {
            source: Source::Layout,
            shards: layout.shards.iter().map(|shard| shard.cpu).collect(),
            housekeeping: layout.housekeeping.clone(),
            io: layout.io.clone(),
        }
    }

    fn of_executors(executors: &[&ThreadFacts], topology: &Topology) -> Expected {
        let shards: Vec<CpuId> = executors
            .iter()
            .filter_map(|thread| thread.allowed.first())
            .collect();
        let taken: CpuSet = shards.iter().copied().collect();
        let others = topology.online.difference(&taken);
        Expected {
            source: Source::Executors,
            shards,
            housekeeping: others.clone(),
            io: others,
        }
    }

    fn shard_cpus(&self) -> CpuSet {
        self.shards.iter().copied().collect()
    }

    /// What is wrong about where a thread may run.
    fn wrong(&self, facts: &ThreadFacts, role: Role, executors: &[&ThreadFacts]) -> Option<String> {
        if let Role::Shard(shard) = role {
            return self.wrong_shard(facts, shard, executors);
        }
        let on_shards = facts.allowed.intersection(&self.shard_cpus());
        let others = self.housekeeping.union(&self.io);
        if others.is_empty() {
            // There is nowhere else; said once, for all.
            return None;
        }
        if !on_shards.is_empty() {
            let places = match role {
                Role::Io => &self.io,
                Role::IoUring | Role::Housekeeping | Role::Shard(_) => &self.housekeeping,
            };
            return Some(format!(
                "may run on shard CPU {on_shards}; should be on {places}"
            ));
        }
        let beyond = facts.allowed.difference(&others);
        if !beyond.is_empty() {
            return Some(format!("may run on CPU {beyond}, which is for no thread"));
        }
        // Kernel threads of io_uring and the like may be on either.
        let strays_from_io = role == Role::Io && !facts.allowed.is_subset(&self.io);
        strays_from_io.then(|| {
            format!(
                "may run on CPU {}; should be on {}",
                facts.allowed.difference(&self.io),
                self.io
            )
        })
    }

    fn wrong_shard(
        &self,
        facts: &ThreadFacts,
        shard: u16,
        executors: &[&ThreadFacts],
    ) -> Option<String> {
        if facts.allowed.len() != 1 {
            return Some(format!(
                "may run on CPU {}; a shard's executor has one CPU",
                facts.allowed
            ));
        }
        let with = executors.iter().find(|other| {
            other.tid != facts.tid && !other.allowed.intersection(&facts.allowed).is_empty()
        });
        if let Some(other) = with {
            return Some(format!("shares CPU {} with {}", facts.allowed, other.comm));
        }
        match (self.source, self.shards.get(usize::from(shard))) {
            (Source::Layout, None) => Some("the layout has no such shard".to_owned()),
            (Source::Layout, Some(cpu)) if !facts.allowed.contains(*cpu) => Some(format!(
                "is on CPU {}; the layout has it on {cpu}",
                facts.allowed
            )),
            (Source::Layout | Source::Executors, _) => None,
        }
    }

    /// What cannot be proven where there are only these places.
    fn unproven(&self, threads: &[AuditedThread]) -> Vec<String> {
        let others = threads
            .iter()
            .filter(|thread| !matches!(thread.role, Role::Shard(_)))
            .count();
        let nowhere = self.housekeeping.union(&self.io).is_empty() && others > 0;
        let note = || {
            format!(
                "every CPU has a core, and so {others} other threads run beside them: that a core is \
                 not disturbed cannot be proven (fewer cores, or a layout, leave CPUs to the others)"
            )
        };
        nowhere.then(note).into_iter().collect()
    }
}

impl Role {
    /// What a thread of this name is for. Names are cut off after 15 bytes by the kernel.
    fn of(comm: &str) -> Role {
        if let Some(shard) = comm.strip_prefix("core-").and_then(|n| n.parse().ok()) {
            return Role::Shard(shard);
        }
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| comm.starts_with(prefix));
        if starts(&["rdk:", "kafka-"]) {
            Role::Io
        } else if starts(&["iou-wrk-", "iou-sqp-"]) {
            Role::IoUring
        } else {
            Role::Housekeeping
        }
    }
}

/// What a thread is for. A new one has the name of the thread that started it for a moment, and of
/// several that have an executor's name only the oldest is it.
fn role(facts: &ThreadFacts, executors: &[&ThreadFacts]) -> Role {
    let role = Role::of(&facts.comm);
    let is_executor = executors.iter().any(|executor| executor.tid == facts.tid);
    if matches!(role, Role::Shard(_)) && !is_executor {
        Role::Housekeeping
    } else {
        role
    }
}

/// The shards' executors, by number.
fn executors(threads: &[ThreadFacts]) -> Vec<&ThreadFacts> {
    let number = |thread: &&ThreadFacts| match Role::of(&thread.comm) {
        Role::Shard(shard) => Some(shard),
        Role::Io | Role::IoUring | Role::Housekeeping => None,
    };
    let mut executors: Vec<&ThreadFacts> = threads
        .iter()
        .filter(|thread| number(thread).is_some())
        .collect();
    executors.sort_by_key(|thread| (number(thread), thread.started, thread.tid));
    executors.dedup_by_key(|thread| number(thread));
    executors
}

/// The threads of a process, by id. One that ends meanwhile is left out.
///
/// # Errors
/// The process's threads cannot be listed.
pub fn threads(sys: &dyn Sys, pid: u32) -> Result<Vec<ThreadFacts>, SysError> {
    let root = format!("/proc/{pid}/task");
    let tids = sys.list(&root)?;
    Ok(tids
        .iter()
        .filter_map(|tid| thread(sys, &root, tid.parse().ok()?))
        .collect())
}

fn thread(sys: &dyn Sys, root: &str, tid: u32) -> Option<ThreadFacts> {
    let read = |name: &str| sys.read(&format!("{root}/{tid}/{name}")).ok();
    let (comm, status) = (read("comm")?, read("status")?);
    let stat = read("stat").unwrap_or_default();
    let field = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    };
    // The name may hold spaces and brackets; the last bracket ends it.
    let after_name = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let number = |at| after_name.split_whitespace().nth(at)?.parse::<u64>().ok();
    Some(ThreadFacts {
        tid,
        comm,
        allowed: CpuSet::parse_list(field("Cpus_allowed_list")?).ok()?,
        last_cpu: number(STAT_PROCESSOR).and_then(|cpu| u16::try_from(cpu).ok()),
        started: number(STAT_START).unwrap_or(0),
        state: field("State")?.chars().next()?,
        nonvoluntary_switches: field("nonvoluntary_ctxt_switches")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0),
    })
}

fn numbers<S: serde::Serializer>(cpus: &[CpuId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(cpus.iter().map(|cpu| cpu.0))
}

#[cfg(test)]
mod tests;
