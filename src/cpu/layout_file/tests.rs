use std::fs;

use super::*;
use crate::cpu::sys::HostSys;
use crate::cpu::topology::{Node, PhysicalCore};

const BY_HAND: &str = r#"{"schema": 1, "shards": [{"id": 0, "cpu": 1}], "housekeeping": "0",
    "io": "0"}"#;

fn host() -> (tempfile::TempDir, HostSys, Topology) {
    let folder = tempfile::tempdir().unwrap();
    let random = folder.path().join("proc/sys/kernel/random");
    fs::create_dir_all(&random).unwrap();
    fs::write(random.join("boot_id"), "b1\n").unwrap();
    let online = crate::cpu::CpuSet::parse_list("0-3").unwrap();
    let topology = Topology {
        possible: online.clone(),
        online: online.clone(),
        cores: online
            .iter()
            .map(|cpu| PhysicalCore {
                cpus: [cpu].into_iter().collect(),
                package: 0,
                node: 0,
                l3: None,
            })
            .collect(),
        nodes: vec![Node {
            id: 0,
            cpus: online,
        }],
        ..Topology::default()
    };
    let sys = HostSys::new(folder.path());
    (folder, sys, topology)
}

fn said(sys: &HostSys, topology: &Topology, text: &str) -> String {
    sys.put_file(LAYOUT_PATH, text, 0o644).unwrap();
    Layout::read_current(sys, LAYOUT_PATH, topology)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_layout_comes_back_as_it_was_written_and_holds_for_this_boot_and_host_only() {
    let (folder, sys, topology) = host();
    assert!(Layout::read(&sys).unwrap_err().is_missing());
    let layout = Layout::compute(&topology, &Default::default()).unwrap();
    layout.write(&sys).unwrap();
    let read = Layout::read_current(&sys, LAYOUT_PATH, &topology).unwrap();
    assert_eq!(read.boot_id.as_deref(), Some("b1"));
    assert_eq!(
        Layout {
            boot_id: None,
            ..read.clone()
        },
        layout
    );

    let mut less = topology.clone();
    less.online = crate::cpu::CpuSet::parse_list("0-2").unwrap();
    less.cores.pop();
    assert_eq!(read.stale("b1", &less), Some(Stale::Hash));
    assert!(read.is_current("b1", &topology));
    fs::write(folder.path().join("proc/sys/kernel/random/boot_id"), "b2\n").unwrap();
    let error = Layout::read_current(&sys, LAYOUT_PATH, &topology).unwrap_err();
    assert!(error.to_string().contains("another boot"), "{error}");

    let edited = layout.to_json().replace("\"cpu\": 1,", "\"cpu\": 2,");
    let edited = said(&sys, &topology, &edited);
    assert!(edited.contains("or it was edited"), "{edited}");
}

#[test]
fn a_layout_by_hand_may_leave_out_what_nobody_types() {
    let (_folder, sys, topology) = host();
    sys.put_file("/etc/layout.json", BY_HAND, 0o644).unwrap();
    let layout = Layout::read_current(&sys, "/etc/layout.json", &topology).unwrap();
    assert_eq!(layout.shard_cpus().to_string(), "1");
    assert_eq!(layout.others().to_string(), "0");
}

#[test]
fn what_is_no_layout_is_said_with_its_place() {
    let (_folder, sys, topology) = host();
    let with = |from: &str, to: &str| said(&sys, &topology, &BY_HAND.replace(from, to));
    for (said, part) in [
        (
            with("{", "shards:"),
            "layout.json: is no layout: it is not JSON",
        ),
        (
            with("\"schema\": 1", "\"schema\": 2"),
            "schema is 2; this version reads 1",
        ),
        (with("\"schema\": 1, ", ""), "missing field `schema`"),
        (with("\"io\"", "\"oi\""), "unknown field `oi`"),
        (
            with("\"io\": \"0\"", "\"io\": \"0-\""),
            "'0-' is no list of CPUs: byte 2",
        ),
        (
            with("\"io\": \"0\"", "\"io\": \"1\""),
            "layout.json: io: CPU 1 is in shards",
        ),
        (
            with("\"cpu\": 1", "\"cpu\": 9"),
            "shards[0].cpu: CPU 9 is not on this host",
        ),
    ] {
        assert!(said.contains(part), "{said}");
    }
}
