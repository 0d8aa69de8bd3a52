//! What the host has: CPUs, the cores, caches and memory they share, and the devices near them.
//!
//! Owns: finding that out from the kernel's files (Documentation/ABI/testing/sysfs-devices-system-cpu,
//! Documentation/admin-guide/cputopology.rst). Never does: deciding who runs where. Runs on: the main
//! thread; only reads.

mod cores;
mod devices;

use super::cpuset::{CpuSet, CpuSetError};
use super::sys::{Sys, SysError};
use crate::ids::CpuId;

const CPU_ROOT: &str = "/sys/devices/system/cpu";

/// A host's CPUs and devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// CPUs that there may ever be.
    pub possible: CpuSet,
    /// CPUs that run.
    pub online: CpuSet,
    /// CPUs that the scheduler was told at boot to leave alone.
    pub isolated: CpuSet,
    /// Physical cores with a running CPU, by their lowest one.
    pub cores: Vec<PhysicalCore>,
    /// Memory nodes that have running CPUs, by number.
    pub nodes: Vec<Node>,
    /// NVMe controllers.
    pub nvme: Vec<Device>,
    /// Network interfaces but the loopback: real ones, and those that stand on others.
    pub nics: Vec<Device>,
    /// The interface that the default route leaves by.
    pub default_nic: Option<String>,
    /// File systems, with the NVMe controllers under them.
    pub mounts: Vec<Mount>,
    /// What had to be assumed, for people.
    pub notes: Vec<String>,
}

/// What one core's execution units serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalCore {
    /// Its running CPUs; more than one with simultaneous multithreading.
    pub cpus: CpuSet,
    /// The package it is on.
    pub package: u32,
    /// The memory node it is on.
    pub node: u32,
    /// The third-level cache it uses, numbered from 0 in the order of the lowest CPU; none where
    /// the kernel does not tell.
    pub l3: Option<u32>,
}

/// A memory node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The kernel's number.
    pub id: u32,
    /// Its running CPUs.
    pub cpus: CpuSet,
}

/// A device whose place matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// As in `nvme0` or `eth0`.
    pub name: String,
    /// Its memory node; none where the kernel does not know, and for devices that stand on others.
    pub node: Option<u32>,
    /// For interfaces: those it stands on (members of a bond, the parent of a VLAN).
    pub lower: Vec<String>,
    /// For interfaces with hardware: its queues with an interrupt of their own, by number.
    pub queues: Vec<Queue>,
    /// For NVMe: whether its queues are polled.
    pub poll: bool,
    /// Whether there is hardware behind the name.
    pub is_physical: bool,
}

/// A receive queue of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its number.
    pub queue: u32,
    /// Its interrupt.
    pub irq: u32,
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: String,
    /// The NVMe controllers that it is on; none where it is on something else.
    pub nvme: Vec<String>,
}

/// Why a host's CPUs are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A file without which nothing can be said.
    #[error(transparent)]
    Unreadable(#[from] SysError),
    /// A file that holds no set of CPUs.
    #[error("{path}: {source}")]
    Malformed {
        /// Which file.
        path: String,
        /// What is wrong with it.
        source: CpuSetError,
    },
    /// No CPU runs, say the files.
    #[error("{CPU_ROOT}/online names no CPU")]
    NoCpus,
}

impl Topology {
    /// Reads it from the host's files. What a virtual machine or an old kernel leaves out (caches,
    /// memory nodes, `topology/`) is assumed: one node, a core per CPU.
    ///
    /// # Errors
    /// Which CPUs run cannot be read.
    pub fn read(sys: &dyn Sys) -> Result<Topology, TopologyError> {
        let online_path = format!("{CPU_ROOT}/online");
        let online = parse(&online_path, &sys.read(&online_path)?)?;
        if online.is_empty() {
            return Err(TopologyError::NoCpus);
        }
        let possible = set(sys, &format!("{CPU_ROOT}/possible"))?.unwrap_or_else(|| online.clone());
        let isolated = set(sys, &format!("{CPU_ROOT}/isolated"))?.unwrap_or_default();
        let mut notes = Vec::new();
        let nodes = cores::nodes(sys, &online, &mut notes)?;
        let cores = cores::cores(sys, &online, &nodes)?;
        let nvme = devices::nvme(sys, &mut notes);
        let nics = devices::nics(sys, &mut notes);
        Ok(Topology {
            possible,
            online,
            isolated,
            cores,
            nodes,
            mounts: devices::mounts(sys),
            nvme,
            nics,
            default_nic: devices::default_nic(sys),
            notes,
        })
    }

    /// The core that a CPU belongs to.
    pub fn core_of(&self, cpu: CpuId) -> Option<&PhysicalCore> {
        self.cores.iter().find(|core| core.cpus.contains(cpu))
    }

    /// The other CPUs on the cores of `cpus`.
    pub fn siblings_of(&self, cpus: &CpuSet) -> CpuSet {
        let shared = |core: &&PhysicalCore| !core.cpus.intersection(cpus).is_empty();
        let cores = self.cores.iter().filter(shared);
        let all: CpuSet = cores.flat_map(|core| core.cpus.iter()).collect();
        all.difference(cpus)
    }

    /// The interfaces with hardware that one stands on: itself, all members of a bond, the parent of
    /// a VLAN. Empty for a name that is not there.
    pub fn hardware_of(&self, nic: &str) -> Vec<&Device> {
        let mut found: Vec<&Device> = Vec::new();
        let mut seen = vec![nic];
        let mut at = 0;
        while at < seen.len() {
            let name = seen[at];
            at += 1;
            let Some(device) = self.nics.iter().find(|device| device.name == name) else {
                continue;
            };
            if device.is_physical {
                found.push(device);
            }
            for lower in &device.lower {
                if !seen.contains(&lower.as_str()) {
                    seen.push(lower);
                }
            }
        }
        found
    }
}

/// A set of CPUs in a file; none where there is no such file.
fn set(sys: &dyn Sys, path: &str) -> Result<Option<CpuSet>, TopologyError> {
    match sys.read(path) {
        Ok(text) => Ok(Some(parse(path, &text)?)),
        Err(_) => Ok(None),
    }
}

fn parse(path: &str, text: &str) -> Result<CpuSet, TopologyError> {
    CpuSet::parse_list(text).map_err(|source| TopologyError::Malformed {
        path: path.to_owned(),
        source,
    })
}

/// A number in a file. The kernel writes -1 for what it does not know.
fn number(sys: &dyn Sys, path: &str) -> Option<u32> {
    sys.read(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
