//! Memory nodes, physical cores and the caches they share.

use super::{CPU_ROOT, Node, PhysicalCore, TopologyError, number, set};
use crate::cpu::cpuset::CpuSet;
use crate::cpu::sys::Sys;
use crate::ids::CpuId;

const NODE_ROOT: &str = "/sys/devices/system/node";

/// The cache level that the cores of one die or CCX share.
const SHARED_LEVEL: u32 = 3;

/// Memory nodes with running CPUs. CPUs that no node claims are put to the first one.
pub(super) fn nodes(
    sys: &dyn Sys,
    online: &CpuSet,
    notes: &mut Vec<String>,
) -> Result<Vec<Node>, TopologyError> {
    let mut nodes = Vec::new();
    let mut claimed = CpuSet::new();
    for name in sys.list(NODE_ROOT).unwrap_or_default() {
        let Some(id) = name.strip_prefix("node").and_then(|id| id.parse().ok()) else {
            continue;
        };
        let cpus = set(sys, &format!("{NODE_ROOT}/{name}/cpulist"))?.unwrap_or_default();
        let cpus = cpus.intersection(online).difference(&claimed);
        claimed = claimed.union(&cpus);
        // Memory without CPUs is a node, too.
        if !cpus.is_empty() {
            nodes.push(Node { id, cpus });
        }
    }
    let unclaimed = online.difference(&claimed);
    match nodes.first_mut() {
        Some(_) if unclaimed.is_empty() => {}
        Some(first) => {
            let id = first.id;
            notes.push(format!(
                "no memory node claims CPUs {unclaimed}; they count as node {id}'s"
            ));
            first.cpus = first.cpus.union(&unclaimed);
        }
        None => nodes.push(Node {
            id: 0,
            cpus: unclaimed,
        }),
    }
    Ok(nodes)
}

/// Physical cores with running CPUs, by their lowest one.
pub(super) fn cores(
    sys: &dyn Sys,
    online: &CpuSet,
    nodes: &[Node],
) -> Result<Vec<PhysicalCore>, TopologyError> {
    let mut cores: Vec<PhysicalCore> = Vec::new();
    let mut seen = CpuSet::new();
    let mut caches: Vec<CpuSet> = Vec::new();
    for cpu in online.iter() {
        if seen.contains(cpu) {
            continue;
        }
        let mut cpus = siblings(sys, cpu)?.intersection(online).difference(&seen);
        cpus.insert(cpu);
        seen = seen.union(&cpus);
        let l3 =
            shared_cache(sys, cpu)?.map(|cache| match caches.iter().position(|c| *c == cache) {
                Some(known) => known,
                None => {
                    caches.push(cache);
                    caches.len() - 1
                }
            });
        let node = nodes.iter().find(|node| node.cpus.contains(cpu));
        cores.push(PhysicalCore {
            cpus,
            package: number(
                sys,
                &format!("{CPU_ROOT}/cpu{cpu}/topology/physical_package_id"),
            )
            .unwrap_or(0),
            node: node.map_or(0, |node| node.id),
            l3: l3.map(|l3| l3 as u32),
        });
    }
    Ok(cores)
}

/// The CPUs of a CPU's physical core. The older name of the file is there on every kernel.
fn siblings(sys: &dyn Sys, cpu: CpuId) -> Result<CpuSet, TopologyError> {
    let path = format!("{CPU_ROOT}/cpu{cpu}/topology/thread_siblings_list");
    Ok(set(sys, &path)?.unwrap_or_default())
}

/// The CPUs that share a CPU's third-level cache.
fn shared_cache(sys: &dyn Sys, cpu: CpuId) -> Result<Option<CpuSet>, TopologyError> {
    let root = format!("{CPU_ROOT}/cpu{cpu}/cache");
    for name in sys.list(&root).unwrap_or_default() {
        let level = number(sys, &format!("{root}/{name}/level"));
        if name.starts_with("index") && level == Some(SHARED_LEVEL) {
            return set(sys, &format!("{root}/{name}/shared_cpu_list"));
        }
    }
    Ok(None)
}
