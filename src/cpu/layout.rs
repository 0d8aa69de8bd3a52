//! Who runs where on a host: which CPUs are shards', which do the housekeeping, which carry the I/O
//! of clusters, and which stay idle because a shard runs beside them.
//!
//! Owns: the split, the rules it is made by (in `compute`), and whether one that was written by hand
//! fits the host. Never does: changing the host; storing (that is `layout_file`). Runs on: the main
//! thread.

mod compute;

use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::cpuset::CpuSet;
use super::topology::Topology;
use crate::ids::CpuId;

pub use compute::{LayoutOptions, NetMode};

/// The form that is written and read.
pub const LAYOUT_SCHEMA: u32 = 1;

/// Physical cores below which nothing is isolated: housekeeping, I/O and the kernel need some, and
/// what is left is no more than what an untuned host gives.
pub const CORES_MIN: usize = 4;

/// Who runs where. Sets of CPUs are lists as the kernel writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// [`LAYOUT_SCHEMA`].
    pub schema: u32,
    /// The boot it was made in: after another one, CPUs and interrupts may have other numbers. May
    /// be left out in a layout that is written by hand, which then counts in every boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Over the host's CPUs and this split: [`Layout::hash_on`]. May be left out in a layout that is
    /// written by hand, which then is only compared with the CPUs that run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The shards, by number from 0.
    pub shards: Vec<ShardCpu>,
    /// CPUs for everything that has no place of its own.
    pub housekeeping: CpuSet,
    /// CPUs for librdkafka's threads and for interrupts; those of housekeeping on small hosts.
    pub io: CpuSet,
    /// CPUs beside a shard's on the same core, left idle: a busy one would take half of the core.
    #[serde(default)]
    pub parked: CpuSet,
    /// Which CPU a network queue's interrupt belongs to.
    #[serde(default)]
    pub nic_queues: Vec<NicQueue>,
    /// The NVMe controllers of the data.
    #[serde(default)]
    pub nvme: Vec<LayoutNvme>,
    /// What had to be assumed or could not be had, for people.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A shard's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardCpu {
    /// The shard, counted from 0.
    pub id: u16,
    /// Its CPU, which nobody else uses.
    #[serde(with = "cpu_number")]
    pub cpu: CpuId,
    /// Its memory node.
    #[serde(default)]
    pub node: u32,
    /// Its third-level cache, where known.
    #[serde(default)]
    pub l3: Option<u32>,
    /// The other CPUs of its core.
    #[serde(default)]
    pub sibling: CpuSet,
}

/// A network queue's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicQueue {
    /// The interface.
    pub nic: String,
    /// The receive queue.
    pub queue: u32,
    /// Its interrupt.
    pub irq: u32,
    /// The CPU that is to serve it.
    #[serde(with = "cpu_number")]
    pub cpu: CpuId,
}

/// An NVMe controller of the data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayoutNvme {
    /// As in `nvme0`.
    pub dev: String,
    /// Its memory node, where known.
    pub node: Option<u32>,
    /// Whether its queues are polled.
    pub poll: bool,
}

/// Why there is no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The host is too small.
    #[error(
        "this host has {cores} physical cores, and isolation needs {CORES_MIN}: with fewer, \
         housekeeping and I/O would take more from the shards than they disturb. 'corelane tune \
         check' still works, and so does the engine, without a layout"
    )]
    TooFewCores {
        /// Physical cores with a running CPU.
        cores: usize,
    },
    /// No memory node has a core left once housekeeping and I/O have theirs.
    #[error("no memory node has a core left for a shard beside housekeeping and I/O")]
    NoRoom,
    /// An interface that is not there.
    #[error("nic '{nic}' is not on this host; allowed: {}", .known.join(", "))]
    UnknownNic {
        /// As asked for.
        nic: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// A layout that does not fit the host or itself.
    #[error("{field}: {reason}")]
    Invalid {
        /// As in `shards[1].cpu`.
        field: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
}

impl Layout {
    /// The CPUs of the shards.
    pub fn shard_cpus(&self) -> CpuSet {
        self.shards.iter().map(|shard| shard.cpu).collect()
    }

    /// The CPUs where anything else may run: housekeeping and I/O.
    pub fn others(&self) -> CpuSet {
        self.housekeeping.union(&self.io)
    }

    /// Whether it fits the host and itself. Every CPU that it names runs, but parked ones, which may
    /// have been switched off; no CPU has two uses, but that I/O and housekeeping may be the same.
    ///
    /// # Errors
    /// It does not; the error names the field.
    pub fn validate(&self, topology: &Topology) -> Result<(), LayoutError> {
        let invalid = |field: &str, reason: String| {
            let field = field.to_owned();
            Err(LayoutError::Invalid { field, reason })
        };
        if self.shards.is_empty() {
            return invalid("shards", "is empty; allowed: one shard or more".to_owned());
        }
        let mut shard_cpus = CpuSet::new();
        for (index, shard) in self.shards.iter().enumerate() {
            if usize::from(shard.id) != index {
                return invalid(
                    &format!("shards[{index}].id"),
                    format!("is {}; allowed: {index}, as shards count from 0", shard.id),
                );
            }
            let field = format!("shards[{index}].cpu");
            runs(&field, &[shard.cpu].into_iter().collect(), topology)?;
            if !shard_cpus.insert(shard.cpu) {
                return invalid(&field, format!("CPU {} has a shard already", shard.cpu));
            }
        }
        for (field, set) in [("housekeeping", &self.housekeeping), ("io", &self.io)] {
            if set.is_empty() {
                return invalid(field, "is empty; allowed: one CPU or more".to_owned());
            }
            runs(field, set, topology)?;
            apart(field, set, "shards", &shard_cpus)?;
        }
        exists("parked", &self.parked, topology)?;
        apart("parked", &self.parked, "shards", &shard_cpus)?;
        apart("parked", &self.parked, "housekeeping", &self.housekeeping)?;
        apart("parked", &self.parked, "io", &self.io)?;
        for (index, queue) in self.nic_queues.iter().enumerate() {
            let field = format!("nic_queues[{index}].cpu");
            runs(&field, &[queue.cpu].into_iter().collect(), topology)?;
        }
        Ok(())
    }

    /// The hash of this split on a host: the same as long as the same CPUs run on the same cores and
    /// nodes. Whether parked CPUs run makes no difference, as switching them off is one of the
    /// things that are tuned.
    pub fn hash_on(&self, topology: &Topology) -> String {
        let shard_cpus = self.shard_cpus();
        let parked = self.parked.union(&topology.siblings_of(&shard_cpus));
        let mut facts = format!(
            "{}\npossible {}\nonline {}\n",
            self.schema,
            topology.possible,
            topology.online.difference(&parked)
        );
        for core in &topology.cores {
            facts.push_str(&format!(
                "core {} package {} node {}\n",
                core.cpus.difference(&parked),
                core.package,
                core.node
            ));
        }
        for shard in &self.shards {
            facts.push_str(&format!("shard {} {}\n", shard.id, shard.cpu));
        }
        facts.push_str(&format!(
            "housekeeping {}\nio {}\n",
            self.housekeeping, self.io
        ));
        let mut hasher = SipHasher24::new();
        hasher.write(facts.as_bytes());
        let hash = hasher.finish128();
        format!("{:016x}{:016x}", hash.h1, hash.h2)
    }
}

fn exists(field: &str, set: &CpuSet, topology: &Topology) -> Result<(), LayoutError> {
    let unknown = set.difference(&topology.possible);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(LayoutError::Invalid {
        field: field.to_owned(),
        reason: format!(
            "CPU {unknown} is not on this host; allowed: {}",
            topology.possible
        ),
    })
}

fn runs(field: &str, set: &CpuSet, topology: &Topology) -> Result<(), LayoutError> {
    exists(field, set, topology)?;
    let offline = set.difference(&topology.online);
    if offline.is_empty() {
        return Ok(());
    }
    Err(LayoutError::Invalid {
        field: field.to_owned(),
        reason: format!(
            "CPU {offline} is offline; allowed: {} (to start one: echo 1 > \
             /sys/devices/system/cpu/cpuN/online)",
            topology.online
        ),
    })
}

fn apart(field: &str, set: &CpuSet, other: &str, others: &CpuSet) -> Result<(), LayoutError> {
    let both = set.intersection(others);
    if both.is_empty() {
        return Ok(());
    }
    Err(LayoutError::Invalid {
        field: field.to_owned(),
        reason: format!("CPU {both} is in {other} as well; allowed: one of the two"),
    })
}

/// A CPU as a number.
mod cpu_number {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::ids::CpuId;

    pub fn serialize<S: Serializer>(cpu: &CpuId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(cpu.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CpuId, D::Error> {
        u16::deserialize(deserializer).map(CpuId)
    }
}

#[cfg(test)]
mod tests;
