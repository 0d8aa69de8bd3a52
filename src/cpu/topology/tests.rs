use std::fs;
use std::path::Path;

use super::*;
use crate::cpu::sys::HostSys;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

#[test]
fn a_host_that_tells_little_is_one_node_of_single_cores() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "sys/devices/system/cpu/online", "0,2-3");
    let topology = Topology::read(&HostSys::new(folder.path())).unwrap();
    assert_eq!(topology.possible.to_string(), "0,2-3");
    let cores: Vec<String> = topology.cores.iter().map(|c| c.cpus.to_string()).collect();
    assert_eq!(cores, ["0", "2", "3"]);
    assert!(topology.cores.iter().all(|core| core.l3.is_none()));
    assert_eq!(topology.nodes.len(), 1);
    assert_eq!(topology.nodes[0].cpus, topology.online);
    assert!(topology.nvme.is_empty() && topology.nics.is_empty());
    assert_eq!(topology.notes, [""; 0]);
}

#[test]
fn what_cannot_be_understood_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let sys = HostSys::new(folder.path());
    let said = || Topology::read(&sys).unwrap_err().to_string();
    assert!(said().contains("/sys/devices/system/cpu/online: cannot be read"));
    put(folder.path(), "sys/devices/system/cpu/online", "");
    assert!(said().contains("names no CPU"));
    put(folder.path(), "sys/devices/system/cpu/online", "0-1");
    let siblings = "sys/devices/system/cpu/cpu1/topology/thread_siblings_list";
    put(folder.path(), siblings, "1;2");
    assert!(said().contains("cpu1/topology/thread_siblings_list: '1;2'"));
}

#[test]
fn this_host_has_a_topology() {
    let topology = Topology::read(&HostSys::new("/")).unwrap();
    let placed: usize = topology.cores.iter().map(|core| core.cpus.len()).sum();
    assert_eq!(placed, topology.online.len());
    assert!(topology.online.is_subset(&topology.possible));
}
