//! What is wrong with a host, and what to do about it.
//!
//! Owns: the rules. Never does: reading the host; every rule is a function of what was read.

use serde::Serialize;

use super::disk::{Access, DiskFigures};
use super::facts::{HostFacts, MemLock};
use super::place::{BlockDevice, Place};
use super::predict::Term;
use super::ring::{DISABLED, Ring};

/// Below it glommio makes no executor: `MIN_MEMLOCK_LIMIT` of its reactor.
pub const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The engine does not run here, or cannot keep what it promises.
    Blocks,
    /// It costs latency.
    Costs,
    /// Good to know.
    Note,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable; that of the knob, where `corelane tune` has one.
    pub id: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What it makes worse; none where it is not part of the prediction.
    pub term: Option<Term>,
    /// What was found.
    pub what: String,
    /// What to do.
    pub fix: String,
}

type Rule = fn(&HostFacts) -> Option<Finding>;

/// Every rule about what can be read, worst first.
const RULES: [Rule; 11] = [
    ring,
    memory_lock,
    volatile,
    clock_source,
    governor,
    huge_pages,
    isolation,
    node,
    write_cache,
    rotational,
    discard,
];

/// What is wrong as far as it can be read, worst first.
pub fn cheap(facts: &HostFacts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().filter_map(|rule| rule(facts)).collect();
    // Stable: rules of one level keep their order.
    findings.sort_by_key(|finding| finding.level);
    findings
}

/// What is wrong with the measurement itself, and with what was measured.
pub fn measured(facts: &HostFacts, disk: &DiskFigures) -> Vec<Finding> {
    let mut findings = Vec::new();
    if disk.access == Access::Cached {
        findings.push(Finding {
            id: "fs.direct",
            level: Level::Costs,
            term: Some(Term::Device),
            what: "the file system has no O_DIRECT: every write passes the page cache".into(),
            fix: "put the data directory on ext4 or XFS".into(),
        });
    }
    if let Some(engine) = facts.engines.first() {
        findings.push(Finding {
            id: "host.engine",
            level: Level::Note,
            term: Some(Term::Jitter),
            what: format!("{engine} was running: figures are worse than on an idle host"),
            fix: "stop it and measure again".into(),
        });
    }
    findings
}

fn ring(facts: &HostFacts) -> Option<Finding> {
    let (what, fix) = match &facts.ring {
        Ring::Works => return None,
        Ring::Missing => (
            "the kernel has no io_uring".to_owned(),
            "use Linux 5.8 or later, built with CONFIG_IO_URING".to_owned(),
        ),
        Ring::Disabled(value) => (
            format!("io_uring is disabled ({DISABLED} is {value})"),
            "sysctl kernel.io_uring_disabled=0".to_owned(),
        ),
        Ring::Filtered => (
            "a filter of system calls (seccomp) or a security module refuses io_uring".to_owned(),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp \
             profile"
                .to_owned(),
        ),
        Ring::Failed(reason) => (
            format!("io_uring cannot be set up: {reason}"),
            "raise the limits of locked memory and open files".to_owned(),
        ),
    };
    Some(Finding {
        id: "io_uring",
        level: Level::Blocks,
        term: None,
        what,
        fix,
    })
}

fn memory_lock(facts: &HostFacts) -> Option<Finding> {
    let MemLock::Bytes(bytes) = facts.memory_lock else {
        return None;
    };
    (bytes < MEMLOCK_BYTES_MIN).then(|| Finding {
        id: "mem.lock",
        level: Level::Blocks,
        term: None,
        what: format!("{bytes} bytes of memory may be locked; cores need {MEMLOCK_BYTES_MIN}"),
        fix: "raise the limit: LimitMEMLOCK=infinity in the unit, or 'ulimit -l unlimited'".into(),
    })
}

fn volatile(facts: &HostFacts) -> Option<Finding> {
    let place = facts
        .place
        .as_ref()
        .ok()
        .filter(|place| place.is_volatile())?;
    let kind = &place.file_system;
    Some(Finding {
        id: "fs.volatile",
        level: Level::Blocks,
        term: Some(Term::Device),
        what: format!(
            "{} is {kind}: what is durable there is gone with the power",
            place.path
        ),
        fix: "put the data directory on a disk (--data-dir)".into(),
    })
}

fn clock_source(facts: &HostFacts) -> Option<Finding> {
    let current = facts.clock_source.as_deref()?;
    let better = facts.clock_sources.iter().any(|source| source == "tsc");
    (current != "tsc" && better).then(|| Finding {
        id: "clock.source",
        level: Level::Costs,
        term: Some(Term::Core),
        what: format!("the kernel reads its clock from {current}, although there is tsc"),
        fix: "corelane tune apply --only clock.source".into(),
    })
}

fn governor(facts: &HostFacts) -> Option<Finding> {
    let others = facts.governors.iter().filter(|name| *name != "performance");
    let others: Vec<&str> = others.map(String::as_str).collect();
    (!others.is_empty()).then(|| Finding {
        id: "cpu.governor",
        level: Level::Costs,
        term: Some(Term::Wake),
        what: format!(
            "CPUs change their frequency with the load ({})",
            others.join(", ")
        ),
        fix: "corelane tune apply --only cpu.governor".into(),
    })
}

fn huge_pages(facts: &HostFacts) -> Option<Finding> {
    (facts.huge_pages.as_deref() == Some("always")).then(|| Finding {
        id: "mm.thp",
        level: Level::Costs,
        term: Some(Term::Jitter),
        what: "the kernel makes huge pages of everybody's memory (always)".into(),
        fix: "corelane tune apply --only mm.thp".into(),
    })
}

fn isolation(facts: &HostFacts) -> Option<Finding> {
    let finding = |level, what: String, fix: &str| Finding {
        id: "cpu.isolate",
        level,
        term: Some(Term::Jitter),
        what,
        fix: fix.to_owned(),
    };
    match &facts.shards {
        Some(shards) => {
            let open = shards.difference(&facts.isolated);
            (!open.is_empty()).then(|| {
                finding(
                    Level::Costs,
                    format!("the shards' CPUs {open} are not isolated from other threads"),
                    "corelane tune apply --allow-boot --only cpu.isolate",
                )
            })
        }
        None => facts.isolated.is_empty().then(|| {
            finding(
                Level::Note,
                "no CPU is isolated, and there is no layout".into(),
                "corelane tune layout, then corelane tune plan (hosts of 4 cores and more)",
            )
        }),
    }
}

fn node(facts: &HostFacts) -> Option<Finding> {
    let disk = device(facts)?;
    let near = disk.node?;
    let shards = facts.shards.as_ref()?;
    let (_, cpus) = facts.nodes.iter().find(|(node, _)| *node == near)?;
    let far = shards.difference(cpus);
    (!far.is_empty()).then(|| Finding {
        id: "numa.place",
        level: Level::Costs,
        term: Some(Term::Device),
        what: format!(
            "shards on CPUs {far} are on another memory node than {} ({near})",
            disk.name
        ),
        fix: "corelane tune layout, with the data directory in the profile".into(),
    })
}

fn write_cache(facts: &HostFacts) -> Option<Finding> {
    let disk = device(facts)?;
    let is_volatile = disk.write_cache.as_deref().map(str::trim) == Some("write back");
    (is_volatile && disk.fua == Some(false)).then(|| Finding {
        id: "blk.flush",
        level: Level::Costs,
        term: Some(Term::Device),
        what: format!(
            "{} has a volatile write cache and no FUA: every durable write flushes the whole cache",
            disk.name
        ),
        fix:
            "use a disk with power-loss protection; never set 'write through' by hand, which only \
              hides the cache"
                .into(),
    })
}

fn rotational(facts: &HostFacts) -> Option<Finding> {
    let disk = device(facts)?;
    // Virtual disks say so, too.
    (disk.rotational == Some(true) && !disk.name.starts_with("vd")).then(|| Finding {
        id: "blk.rotational",
        level: Level::Costs,
        term: Some(Term::Device),
        what: format!(
            "{} is a disk that turns: a sync takes a turn of it",
            disk.name
        ),
        fix: "put the data directory on NVMe (--data-dir)".into(),
    })
}

fn discard(facts: &HostFacts) -> Option<Finding> {
    let place: &Place = facts.place.as_ref().ok()?;
    place.has("discard").then(|| Finding {
        id: "fs.discard",
        level: Level::Note,
        term: Some(Term::Device),
        what: format!(
            "{} is mounted with 'discard': freeing space stalls writes",
            place.mount_point
        ),
        fix: "mount it without 'discard' and run fstrim.timer".into(),
    })
}

fn device(facts: &HostFacts) -> Option<&BlockDevice> {
    facts.place.as_ref().ok()?.device.as_ref()
}

#[cfg(test)]
mod tests;
