use proptest::prelude::*;

use super::*;
use crate::cpu::topology::{Device, Node, PhysicalCore};

fn list(text: &str) -> CpuSet {
    CpuSet::parse_list(text).unwrap()
}

/// A host of `nodes` nodes with `per_node` cores of `threads` CPUs each; `per_cache` cores share a
/// third-level cache. CPUs are numbered as x86 does: first one of each core, then the second ones.
fn host(nodes: u32, per_node: u32, threads: u32, per_cache: u32) -> Topology {
    let all = nodes * per_node;
    let cpus_of = |core: u32| (0..threads).map(move |n| CpuId((core + n * all) as u16));
    let cores: Vec<PhysicalCore> = (0..all)
        .map(|core| PhysicalCore {
            cpus: cpus_of(core).collect(),
            package: core / per_node,
            node: core / per_node,
            l3: Some(core / per_cache),
        })
        .collect();
    let online: CpuSet = cores.iter().flat_map(|core| core.cpus.iter()).collect();
    let node = |id: u32| Node {
        id,
        cpus: cores
            .iter()
            .filter(|core| core.node == id)
            .flat_map(|core| core.cpus.iter())
            .collect(),
    };
    Topology {
        possible: online.clone(),
        online,
        nodes: (0..nodes).map(node).collect(),
        cores,
        ..Topology::default()
    }
}

fn device(name: &str, node: u32) -> Device {
    Device {
        name: name.to_owned(),
        node: Some(node),
        is_physical: true,
        ..Device::default()
    }
}

fn compute(topology: &Topology) -> Layout {
    Layout::compute(topology, &LayoutOptions::default()).unwrap()
}

#[test]
fn small_hosts_do_io_where_they_do_housekeeping_and_tiny_ones_are_refused() {
    let layout = compute(&host(1, 4, 2, 4));
    assert_eq!(layout.shard_cpus(), list("1-3"));
    assert_eq!(layout.housekeeping, list("0,4"));
    assert_eq!(layout.io, layout.housekeeping);
    assert_eq!(layout.parked, list("5-7"));
    let error = Layout::compute(&host(1, 3, 2, 3), &LayoutOptions::default()).unwrap_err();
    assert_eq!(error, LayoutError::TooFewCores { cores: 3 });
    assert!(error.to_string().contains("3 physical cores"), "{error}");
}

#[test]
fn shards_are_on_the_node_of_the_data_and_io_on_that_of_the_network() {
    let mut topology = host(2, 32, 2, 32);
    topology.nvme = vec![device("nvme0", 1)];
    topology.nics = vec![device("eth0", 0), device("eth1", 1)];
    let layout = compute(&topology);
    assert_eq!(layout.shard_cpus(), list("34-63"));
    assert_eq!(layout.io, list("2,66"));
    assert!(layout.notes.iter().any(|note| note.contains("sockets")));
    // The kernel boots on node 0, which does the housekeeping of node 0 whatever is there.
    assert!(layout.housekeeping.contains(CpuId(0)));
    let options = LayoutOptions {
        nic: Some("eth1".to_owned()),
        max_shards: Some(8),
        broker_connections: 9,
        ..LayoutOptions::default()
    };
    let layout = Layout::compute(&topology, &options).unwrap();
    assert_eq!(layout.io, list("34-36,98-100"));
    assert_eq!(layout.shard_cpus(), list("37-44"));
    assert_eq!(layout.parked, list("101-108"));
}

#[test]
fn the_network_breaks_a_tie() {
    let mut topology = host(2, 8, 1, 8);
    topology.nvme = vec![device("nvme0", 0), device("nvme1", 1)];
    topology.nics = vec![device("eth0", 1)];
    assert_eq!(compute(&topology).shards[0].node, 1);
}

#[test]
fn shards_have_caches_of_their_own_where_there_are_many() {
    let layout = compute(&host(1, 64, 2, 8));
    assert_eq!(layout.shard_cpus(), list("8-63"));
    assert_eq!(layout.io, list("4,68"));
    // Two caches only: sharing one is better than giving up half of the cores.
    let layout = compute(&host(1, 16, 1, 8));
    assert_eq!(layout.shard_cpus(), list("2-15"));
    assert!(layout.notes.iter().any(|note| note.contains("cache")));
    // With few shards, there is room.
    let options = LayoutOptions {
        max_shards: Some(4),
        ..LayoutOptions::default()
    };
    let layout = Layout::compute(&host(1, 16, 1, 8), &options).unwrap();
    assert_eq!(layout.shard_cpus(), list("8-11"));
}

#[test]
fn data_is_looked_for_where_its_folder_is_mounted() {
    let mut topology = host(2, 8, 1, 8);
    topology.nvme = vec![device("nvme0", 0), device("nvme1", 1)];
    let mount = |point: &str, nvme: &[&str]| crate::cpu::topology::Mount {
        point: point.to_owned(),
        nvme: nvme.iter().map(|name| (*name).to_owned()).collect(),
    };
    topology.mounts = vec![mount("/", &["nvme0"]), mount("/srv/data", &["nvme1"])];
    let node = |folder: &str| {
        let options = LayoutOptions {
            data_dir: Some(folder.to_owned()),
            ..LayoutOptions::default()
        };
        let layout = Layout::compute(&topology, &options).unwrap();
        (layout.shards[0].node, layout.nvme.len())
    };
    assert_eq!(node("/srv/data/log"), (1, 1));
    assert_eq!(node("/srv/database"), (0, 1));
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let mut topology = host(1, 4, 1, 4);
    topology.nics = vec![device("eth0", 0)];
    let options = LayoutOptions {
        nic: Some("eth9".to_owned()),
        ..LayoutOptions::default()
    };
    let error = Layout::compute(&topology, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nic 'eth9' is not on this host; allowed: eth0"
    );
}

#[test]
fn a_layout_by_hand_is_told_which_field_is_wrong() {
    let mut topology = host(1, 4, 2, 4);
    topology.possible.insert(CpuId(8));
    let good = compute(&topology);
    good.validate(&topology).unwrap();
    let said = |change: &dyn Fn(&mut Layout)| {
        let mut layout = good.clone();
        change(&mut layout);
        layout.validate(&topology).unwrap_err().to_string()
    };
    for (said, start) in [
        (said(&|l| l.shards.clear()), "shards: is empty"),
        (said(&|l| l.shards[1].id = 7), "shards[1].id: is 7"),
        (
            said(&|l| l.shards[1].cpu = CpuId(1)),
            "shards[1].cpu: CPU 1 has a shard",
        ),
        (
            said(&|l| l.shards[2].cpu = CpuId(9)),
            "shards[2].cpu: CPU 9 is not on this host; allowed: 0-8",
        ),
        (
            said(&|l| l.io = list("4,8")),
            "io: CPU 8 is offline; allowed: 0-7",
        ),
        (
            said(&|l| l.housekeeping = list("0-1")),
            "housekeeping: CPU 1 is in shards as well",
        ),
        (
            said(&|l| l.housekeeping = CpuSet::new()),
            "housekeeping: is empty",
        ),
        (
            said(&|l| l.parked = list("4")),
            "parked: CPU 4 is in housekeeping",
        ),
    ] {
        assert!(said.starts_with(start), "{said}");
    }
}

#[test]
fn the_hash_is_of_the_cpus_that_run_and_of_the_split_but_not_of_parked_ones() {
    let topology = host(1, 8, 2, 8);
    let layout = compute(&topology);
    let hash = layout.hash_on(&topology);
    assert_eq!(layout.hash.as_deref(), Some(&hash[..]));
    let without = |gone: &CpuSet| {
        let mut less = topology.clone();
        less.online = less.online.difference(gone);
        for core in &mut less.cores {
            core.cpus = core.cpus.difference(gone);
        }
        less
    };
    assert_eq!(layout.hash_on(&without(&layout.parked)), hash);
    assert_ne!(layout.hash_on(&without(&list("8"))), hash);
    let mut other = layout.clone();
    other.io = other.housekeeping.clone();
    assert_ne!(other.hash_on(&topology), hash);
}

fn hosts() -> impl Strategy<Value = Topology> {
    let shape = (1..5u32, 1..40u32, 1..5u32, 1..17u32);
    let devices = proptest::collection::vec((any::<bool>(), proptest::option::of(0..5u32)), 0..4);
    let offline = proptest::collection::vec(1..256u16, 0..12);
    (shape, devices, offline).prop_map(|((nodes, per_node, threads, per_cache), devices, gone)| {
        let mut topology = host(nodes, per_node, threads, per_cache);
        let gone: CpuSet = gone.into_iter().map(CpuId).collect();
        topology.online = topology.online.difference(&gone);
        for core in &mut topology.cores {
            core.cpus = core.cpus.difference(&gone);
        }
        topology.cores.retain(|core| !core.cpus.is_empty());
        topology.cores.sort_by_key(|core| core.cpus.first());
        for node in &mut topology.nodes {
            node.cpus = node.cpus.difference(&gone);
        }
        topology.nodes.retain(|node| !node.cpus.is_empty());
        for (n, (is_nvme, node)) in devices.into_iter().enumerate() {
            let device = Device {
                name: format!("dev{n}"),
                node: node.filter(|node| *node < nodes),
                is_physical: true,
                ..Device::default()
            };
            if is_nvme {
                topology.nvme.push(device);
            } else {
                topology.nics.push(device);
            }
        }
        topology
    })
}

proptest! {
    #[test]
    fn every_cpu_has_one_use_and_no_core_has_two(
        topology in hosts(),
        max_shards in proptest::option::of(1..300u16),
        broker_connections in 0..60u16,
    ) {
        let options = LayoutOptions { max_shards, broker_connections, ..LayoutOptions::default() };
        let layout = match Layout::compute(&topology, &options) {
            Ok(layout) => layout,
            Err(LayoutError::TooFewCores { cores }) => {
                prop_assert!(cores < CORES_MIN && cores == topology.cores.len());
                return Ok(());
            }
            // One core on each node.
            Err(LayoutError::NoRoom) => {
                prop_assert!(topology.nodes.len() >= CORES_MIN);
                return Ok(());
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        prop_assert_eq!(layout.validate(&topology), Ok(()));
        let shards = layout.shard_cpus();
        prop_assert!(layout.housekeeping.contains(CpuId(0)));
        let mut uses = vec![shards.clone(), layout.housekeeping.clone(), layout.parked.clone()];
        if layout.io != layout.housekeeping {
            uses.push(layout.io.clone());
        }
        prop_assert_eq!(uses.iter().map(CpuSet::len).sum::<usize>(), topology.online.len());
        let all = uses.iter().fold(CpuSet::new(), |all, set| all.union(set));
        prop_assert_eq!(&all, &topology.online);
        for core in &topology.cores {
            let used: Vec<&CpuSet> =
                uses.iter().filter(|set| !set.intersection(&core.cpus).is_empty()).collect();
            let is_shard = !shards.intersection(&core.cpus).is_empty();
            let expected = if is_shard && core.cpus.len() > 1 { 2 } else { 1 };
            prop_assert_eq!(used.len(), expected, "core {}", core.cpus);
            if is_shard {
                prop_assert_eq!(shards.intersection(&core.cpus).len(), 1);
                prop_assert_eq!(core.node, layout.shards[0].node);
            }
        }
        // At least one core in sixteen keeps house.
        let keeping = topology
            .cores
            .iter()
            .filter(|core| core.cpus.is_subset(&layout.housekeeping))
            .count();
        prop_assert!(keeping * 16 >= topology.cores.len());
        prop_assert!(layout.shards.len() <= max_shards.map_or(256, usize::from));
    }
}
