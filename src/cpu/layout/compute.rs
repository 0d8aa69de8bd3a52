//! The rules by which CPUs are split.
//!
//! They work on physical cores, never on their CPUs one by one. CPU 0's core does housekeeping (the
//! kernel boots there, and `nohz_full` refuses it). Shards are on the memory node of the data's NVMe;
//! network I/O is on that of the interface and, if possible, behind another third-level cache than
//! the shards.

use std::cmp::Reverse;

use super::{CORES_MIN, LAYOUT_SCHEMA, Layout, LayoutError, LayoutNvme, NicQueue, ShardCpu};
use crate::cpu::cpuset::CpuSet;
use crate::cpu::topology::{Device, PhysicalCore, Topology};
use crate::ids::CpuId;
use crate::limits::CORES_MAX;

/// One housekeeping core for this many cores, as Seastar's perftune.py has it.
const CORES_PER_HOUSEKEEPING: usize = 16;

/// Connections between clients and brokers that one core for I/O serves.
const CONNECTIONS_PER_IO_CORE: usize = 4;

/// Hosts with fewer cores do I/O on the housekeeping ones.
const CORES_FOR_IO: usize = 8;

/// From this many third-level caches on a node, none is shared between shards and the rest: it costs
/// a quarter of the shards at the most.
const CACHES_TO_SPARE: usize = 4;

/// What a layout is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutOptions {
    /// The most shards; as many as there is room for without.
    pub max_shards: Option<u16>,
    /// The interface to clusters and clients; that of the default route without.
    pub nic: Option<String>,
    /// Where the data lies, an absolute path; without, every NVMe controller counts.
    pub data_dir: Option<String>,
    /// Who answers the network.
    pub net_mode: NetMode,
    /// Brokers times clients of clusters: a core does I/O for four. 0 counts as 4.
    pub broker_connections: u16,
}

/// Who answers the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetMode {
    /// librdkafka, on the CPUs for I/O: the network's interrupts go there.
    #[default]
    ClientIo,
    /// Each shard its own queue.
    PerShard,
}

/// What the devices ask for.
struct Wishes<'a> {
    nvme: Vec<&'a Device>,
    nics: Vec<&'a Device>,
    /// Nodes with CPUs, the best for shards first.
    homes: Vec<u32>,
    nic_node: Option<u32>,
    notes: Vec<String>,
}

/// Cores by their use.
struct Split<'a> {
    home: u32,
    housekeeping: Vec<&'a PhysicalCore>,
    io: Vec<&'a PhysicalCore>,
    shards: Vec<&'a PhysicalCore>,
}

impl Layout {
    /// Splits a host's CPUs. `boot_id` is left open: who writes the layout fills it in.
    ///
    /// # Errors
    /// The host is too small, or an option names what is not there.
    pub fn compute(topology: &Topology, options: &LayoutOptions) -> Result<Layout, LayoutError> {
        let cores = topology.cores.len();
        if cores < CORES_MIN {
            return Err(LayoutError::TooFewCores { cores });
        }
        let mut wishes = Wishes::of(topology, options)?;
        let split = wishes
            .homes
            .iter()
            .find_map(|home| Split::on(*home, topology, options, wishes.nic_node))
            .ok_or(LayoutError::NoRoom)?;
        wishes.explain(&split, topology);
        let shards: Vec<ShardCpu> = (0..).zip(&split.shards).map(shard).collect();
        let shard_cpus: CpuSet = shards.iter().map(|shard| shard.cpu).collect();
        let housekeeping = cpus_of(&split.housekeeping);
        let io = if split.io.is_empty() {
            housekeeping.clone()
        } else {
            cpus_of(&split.io)
        };
        let answering = match options.net_mode {
            NetMode::ClientIo => &io,
            NetMode::PerShard => &shard_cpus,
        };
        let nic_queues = wishes.queues(answering);
        let mut layout = Layout {
            schema: LAYOUT_SCHEMA,
            boot_id: None,
            hash: None,
            parked: cpus_of(&split.shards).difference(&shard_cpus),
            shards,
            housekeeping,
            io,
            nic_queues,
            nvme: wishes.nvme.iter().map(|device| nvme(device)).collect(),
            notes: wishes.notes,
        };
        layout.hash = Some(layout.hash_on(topology));
        Ok(layout)
    }
}

fn shard((id, core): (u16, &&PhysicalCore)) -> ShardCpu {
    let cpu = core.cpus.first().expect("a core has a CPU that runs");
    ShardCpu {
        id,
        cpu,
        node: core.node,
        l3: core.l3,
        sibling: core.cpus.iter().skip(1).collect(),
    }
}

fn nvme(device: &Device) -> LayoutNvme {
    LayoutNvme {
        dev: device.name.clone(),
        node: device.node,
        poll: device.poll,
    }
}

fn cpus_of(cores: &[&PhysicalCore]) -> CpuSet {
    cores.iter().flat_map(|core| core.cpus.iter()).collect()
}

impl<'a> Wishes<'a> {
    fn of(topology: &'a Topology, options: &LayoutOptions) -> Result<Wishes<'a>, LayoutError> {
        let mut notes = topology.notes.clone();
        let nics = nics(topology, options, &mut notes)?;
        let nvme = data_nvme(topology, options, &mut notes);
        // What the kernel does not know counts as node 0's; the topology has noted that.
        let on = |devices: &[&Device], node: u32| {
            devices
                .iter()
                .filter(|device| device.node.unwrap_or(0) == node)
                .count()
        };
        let mut homes: Vec<u32> = topology.nodes.iter().map(|node| node.id).collect();
        homes.sort_by_key(|node| (Reverse(on(&nvme, *node)), Reverse(on(&nics, *node)), *node));
        // Of nodes with as many interfaces the one that is better for shards.
        let nic_node = homes
            .iter()
            .copied()
            .rev()
            .filter(|node| on(&nics, *node) > 0)
            .max_by_key(|node| on(&nics, *node));
        Ok(Wishes {
            nvme,
            nics,
            homes,
            nic_node,
            notes,
        })
    }

    /// Notes what could not be had.
    fn explain(&mut self, split: &Split<'_>, topology: &Topology) {
        if let Some(best) = self.homes.first().filter(|best| **best != split.home) {
            self.notes.push(format!(
                "node {best} has no core left for a shard; shards are on node {}",
                split.home
            ));
        }
        if let Some(nic_node) = self.nic_node.filter(|node| *node != split.home) {
            self.notes.push(format!(
                "the network is on node {nic_node}, the shards on node {}: each access between \
                 them crosses sockets (about 100 ns)",
                split.home
            ));
        }
        let caches = |cores: &[&PhysicalCore]| -> Vec<Option<u32>> {
            cores.iter().map(|core| core.l3).collect()
        };
        let shard_caches = caches(&split.shards);
        let others = [caches(&split.housekeeping), caches(&split.io)].concat();
        let shares = |cache: &Option<u32>| cache.is_some() && shard_caches.contains(cache);
        if others.iter().any(shares) && distinct(&topology.cores, split.home) > 1 {
            self.notes.push(
                "some shards share their third-level cache with housekeeping or I/O".to_owned(),
            );
        }
    }

    /// Queues in turn on the CPUs that answer. More queues than CPUs share them.
    fn queues(&mut self, answering: &CpuSet) -> Vec<NicQueue> {
        let mut queues = Vec::new();
        for nic in &self.nics {
            if nic.queues.is_empty() {
                self.notes.push(format!(
                    "{}: which interrupts serve its queues is not known",
                    nic.name
                ));
            }
            for (queue, cpu) in nic.queues.iter().zip(answering.iter().cycle()) {
                queues.push(NicQueue {
                    nic: nic.name.clone(),
                    queue: queue.queue,
                    irq: queue.irq,
                    cpu,
                });
            }
        }
        queues
    }
}

/// The interfaces with hardware under the one that is used.
fn nics<'a>(
    topology: &'a Topology,
    options: &LayoutOptions,
    notes: &mut Vec<String>,
) -> Result<Vec<&'a Device>, LayoutError> {
    if let Some(nic) = &options.nic {
        if !topology.nics.iter().any(|device| device.name == *nic) {
            let known = topology.nics.iter().map(|nic| nic.name.clone()).collect();
            let nic = nic.clone();
            return Err(LayoutError::UnknownNic { nic, known });
        }
        return Ok(topology.hardware_of(nic));
    }
    if let Some(nic) = &topology.default_nic {
        return Ok(topology.hardware_of(nic));
    }
    let first = topology.nics.iter().find(|device| device.is_physical);
    if let Some(first) = first {
        notes.push(format!(
            "there is no default route; {} counts as the network",
            first.name
        ));
    }
    Ok(first.into_iter().collect())
}

/// The NVMe controllers that the data lies on.
fn data_nvme<'a>(
    topology: &'a Topology,
    options: &LayoutOptions,
    notes: &mut Vec<String>,
) -> Vec<&'a Device> {
    let all = || topology.nvme.iter().collect();
    let Some(data_dir) = &options.data_dir else {
        return all();
    };
    let holds = |point: &str| {
        let rest = data_dir.strip_prefix(point.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mount = topology
        .mounts
        .iter()
        .filter(|mount| holds(&mount.point))
        // Of two on the same point the later one hides the earlier.
        .max_by_key(|mount| mount.point.len());
    let names = mount.map_or(&[][..], |mount| &mount.nvme);
    if names.is_empty() {
        notes.push(format!(
            "{data_dir} is not known to be on an NVMe controller"
        ));
        return all();
    }
    topology
        .nvme
        .iter()
        .filter(|device| names.contains(&device.name))
        .collect()
}

/// Third-level caches of a node.
fn distinct(cores: &[PhysicalCore], node: u32) -> usize {
    let mut caches: Vec<u32> = cores
        .iter()
        .filter(|core| core.node == node)
        .filter_map(|core| core.l3)
        .collect();
    caches.sort_unstable();
    caches.dedup();
    caches.len()
}

impl<'a> Split<'a> {
    /// Splits with the shards on `home`; none where no core is left for one.
    fn on(
        home: u32,
        topology: &'a Topology,
        options: &LayoutOptions,
        nic_node: Option<u32>,
    ) -> Option<Split<'a>> {
        let mut free: Vec<&PhysicalCore> = topology.cores.iter().collect();
        let housekeeping = housekeeping(topology, &mut free);
        let io = if topology.cores.len() < CORES_FOR_IO {
            Vec::new()
        } else {
            let beside = caches_of(&housekeeping);
            take_io(&mut free, home, nic_node.unwrap_or(home), options, &beside)
        };
        let mut split = Split {
            home,
            housekeeping,
            io,
            shards: Vec::new(),
        };
        split.take_shards(&mut free, topology, options);
        if split.shards.is_empty() {
            return None;
        }
        split.housekeeping.extend(free);
        Some(split)
    }

    fn take_shards(
        &mut self,
        free: &mut Vec<&'a PhysicalCore>,
        topology: &Topology,
        options: &LayoutOptions,
    ) {
        let used = caches_of(&[&self.housekeeping[..], &self.io[..]].concat());
        let is_apart = |core: &PhysicalCore| core.l3.is_none_or(|l3| !used.contains(&l3));
        let home = self.home;
        let may_be_apart = free.iter().any(|core| core.node == home && is_apart(core));
        let spares = may_be_apart && distinct(&topology.cores, home) >= CACHES_TO_SPARE;
        let wanted = options
            .max_shards
            .map_or(CORES_MAX, usize::from)
            .min(CORES_MAX);
        self.shards = take(free, wanted, |core| {
            let is_apart = is_apart(core);
            (core.node == home && (is_apart || !spares)).then_some(!is_apart)
        });
        self.shards.sort_by_key(|core| core.cpus.first());
    }
}

/// The core of CPU 0, and on each node its part of one core in [`CORES_PER_HOUSEKEEPING`], at least
/// one.
fn housekeeping<'a>(
    topology: &'a Topology,
    free: &mut Vec<&'a PhysicalCore>,
) -> Vec<&'a PhysicalCore> {
    let boot = topology.core_of(CpuId(0)).or(topology.cores.first());
    let mut taken = take(free, 1, |core| (Some(core) == boot).then_some(()));
    let all = topology.cores.len().div_ceil(CORES_PER_HOUSEKEEPING);
    let per_node = all.div_ceil(topology.nodes.len()).max(1);
    for node in &topology.nodes {
        let there = taken.iter().filter(|core| core.node == node.id).count();
        let wanted = per_node.saturating_sub(there);
        taken.extend(take(free, wanted, |core| {
            (core.node == node.id).then_some(())
        }));
    }
    taken
}

/// Cores for I/O: on the interface's node, else on the shards'; first those behind a cache that
/// housekeeping uses already. One core of the shards' node is always left.
fn take_io<'a>(
    free: &mut Vec<&'a PhysicalCore>,
    home: u32,
    nic_node: u32,
    options: &LayoutOptions,
    beside: &[u32],
) -> Vec<&'a PhysicalCore> {
    let connections = usize::from(options.broker_connections).max(1);
    let wanted = connections.div_ceil(CONNECTIONS_PER_IO_CORE);
    let mut taken = Vec::new();
    for node in [nic_node, home] {
        let there = free.iter().filter(|core| core.node == node).count();
        let left = there.saturating_sub(usize::from(node == home));
        let more = (wanted - taken.len()).min(left);
        taken.extend(take(free, more, |core| {
            let is_beside = core.l3.is_some_and(|l3| beside.contains(&l3));
            (core.node == node).then_some(!is_beside)
        }));
    }
    taken
}

/// Takes up to `count` cores out of those that have a rank, the lowest rank first, among equals the
/// lowest CPU.
fn take<'a, R: Ord>(
    free: &mut Vec<&'a PhysicalCore>,
    count: usize,
    rank: impl Fn(&PhysicalCore) -> Option<R>,
) -> Vec<&'a PhysicalCore> {
    let mut ranked: Vec<(R, &PhysicalCore)> = free
        .iter()
        .filter_map(|core| Some((rank(core)?, *core)))
        .collect();
    ranked.sort_by(|a, b| a.0.cmp(&b.0));
    let taken: Vec<&PhysicalCore> = ranked
        .into_iter()
        .take(count)
        .map(|(_, core)| core)
        .collect();
    free.retain(|core| !taken.contains(core));
    taken
}

fn caches_of(cores: &[&PhysicalCore]) -> Vec<u32> {
    cores.iter().filter_map(|core| core.l3).collect()
}
