//! What a host is like, as far as it can be read in a few milliseconds without writing.
//!
//! Owns: reading it. Never does: judging ([`super::findings`]), measuring.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use super::place::{Place, chosen};
use super::ring::Ring;
use crate::cpu::{CpuSet, Layout, Sys, allowed_cpus};
use crate::tuning::jitter::report::{Standing, standing};

const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0";
const POLICIES: &str = "/sys/devices/system/cpu/cpufreq";
const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";
const NODES: &str = "/sys/devices/system/node";

/// How much memory may be locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemLock {
    /// All.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

/// What a host is like. Nothing where the kernel does not tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// Metal or a virtual machine.
    pub standing: Standing,
    /// CPUs that this process may use.
    pub cpus: CpuSet,
    /// The clock that the kernel reads.
    pub clock_source: Option<String>,
    /// Those that it could read.
    pub clock_sources: Vec<String>,
    /// How frequencies are chosen, over all CPUs; empty where nothing chooses.
    pub governors: BTreeSet<String>,
    /// Transparent huge pages: `always`, `madvise`, `never`.
    pub huge_pages: Option<String>,
    /// CPUs that the scheduler leaves alone.
    pub isolated: CpuSet,
    /// CPUs of the layout's shards; none where there is no layout.
    pub shards: Option<CpuSet>,
    /// Limit of locked memory.
    pub memory_lock: MemLock,
    /// Whether there is io_uring.
    pub ring: Ring,
    /// Memory nodes of the host, with their CPUs.
    pub nodes: Vec<(u32, CpuSet)>,
    /// Engines that run; not part of what [`HostFacts::read`] reads, since it takes a look at every
    /// thread of the host.
    pub engines: Vec<String>,
    /// Where the data directory lies; why that is not known.
    pub place: Result<Place, String>,
}

impl HostFacts {
    /// Reads them. `directory` need not be there.
    pub fn read(sys: &dyn Sys, directory: &Path) -> HostFacts {
        let read = |path: &str| sys.read(path).ok().map(|text| text.trim().to_owned());
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let model = model.and_then(|rest| rest.split_once(':'));
        let sources = read(&format!("{CLOCK}/available_clocksource")).unwrap_or_default();
        HostFacts {
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            cpu: model.map_or(String::new(), |(_, name)| name.trim().to_owned()),
            standing: standing(sys, &cpuinfo),
            cpus: allowed_cpus().unwrap_or_default().into_iter().collect(),
            clock_source: read(&format!("{CLOCK}/current_clocksource")),
            clock_sources: sources.split_whitespace().map(str::to_owned).collect(),
            governors: governors(sys),
            huge_pages: read(THP).map(|list| chosen(&list).to_owned()),
            isolated: list(read(ISOLATED)),
            shards: Layout::read(sys).ok().map(|layout| layout.shard_cpus()),
            memory_lock: match getrlimit(Resource::Memlock).current {
                Some(bytes) => MemLock::Bytes(bytes),
                None => MemLock::Unlimited,
            },
            ring: Ring::probe(sys),
            nodes: nodes(sys),
            engines: Vec::new(),
            place: Place::of(sys, directory).map_err(|error| error.to_string()),
        }
    }
}

fn list(text: Option<String>) -> CpuSet {
    text.and_then(|text| CpuSet::parse_list(&text).ok())
        .unwrap_or_default()
}

fn governors(sys: &dyn Sys) -> BTreeSet<String> {
    let policies = sys.list(POLICIES).unwrap_or_default();
    let policies = policies.iter().filter(|name| name.starts_with("policy"));
    policies
        .filter_map(|name| {
            sys.read(&format!("{POLICIES}/{name}/scaling_governor"))
                .ok()
        })
        .map(|governor| governor.trim().to_owned())
        .collect()
}

fn nodes(sys: &dyn Sys) -> Vec<(u32, CpuSet)> {
    let names = sys.list(NODES).unwrap_or_default();
    let node = |name: &String| {
        let number = name.strip_prefix("node")?.parse().ok()?;
        let cpus = sys.read(&format!("{NODES}/{name}/cpulist")).ok();
        Some((number, list(cpus)))
    };
    names.iter().filter_map(node).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cpu::HostSys;

    #[test]
    fn what_the_kernel_does_not_tell_is_left_open() {
        let folder = tempfile::tempdir().unwrap();
        let facts = HostFacts::read(&HostSys::new(folder.path()), folder.path());
        assert_eq!(facts.clock_source, None);
        assert!(facts.governors.is_empty());
        assert!(facts.isolated.is_empty());
        assert_eq!(facts.shards, None);
        assert!(facts.place.is_err());
        assert_eq!(facts.standing, Standing::Gating);
    }

    #[test]
    fn a_host_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "proc/cpuinfo",
            "model name\t: A CPU\nflags\t\t: fpu hypervisor\n",
        );
        put(&format!(".{CLOCK}/current_clocksource"), "hpet\n");
        put(&format!(".{CLOCK}/available_clocksource"), "tsc hpet \n");
        for (policy, governor) in [(0, "performance"), (1, "powersave"), (2, "powersave")] {
            put(
                &format!(".{POLICIES}/policy{policy}/scaling_governor"),
                governor,
            );
        }
        put(&format!(".{THP}"), "[always] madvise never\n");
        put(&format!(".{ISOLATED}"), "4-7\n");
        put(&format!(".{NODES}/node0/cpulist"), "0-3\n");
        put(&format!(".{NODES}/node1/cpulist"), "4-7\n");
        put(&format!(".{NODES}/possible"), "0-1\n");
        let facts = HostFacts::read(&HostSys::new(folder.path()), folder.path());
        assert_eq!(facts.cpu, "A CPU");
        assert_eq!(facts.standing, Standing::Informational);
        assert_eq!(facts.clock_source.as_deref(), Some("hpet"));
        assert_eq!(facts.clock_sources, ["tsc", "hpet"]);
        assert_eq!(facts.governors.len(), 2);
        assert_eq!(facts.huge_pages.as_deref(), Some("always"));
        assert_eq!(facts.isolated.to_string(), "4-7");
        let nodes: Vec<u32> = facts.nodes.iter().map(|(node, _)| *node).collect();
        assert_eq!(nodes, [0, 1]);
    }
}
