//! How hosts of many kinds are laid out, as `corelane tune layout` says it.
//!
//! Golden files are in `tests/fixtures/tuning/layout/`; `UPDATE=1` writes them anew.

#[path = "support/fake_host/mod.rs"]
mod fake_host;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corelane::cpu::{LAYOUT_PATH, Layout, Topology, boot_id};

use fake_host::{FakeHost, topology};

fn tune(host: &FakeHost, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .arg("tune")
        .args(arguments)
        .env("TUNING_ROOT", host.path())
        .output()
        .expect("the program is built")
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tuning/layout")
        .join(name)
}

fn assert_golden(name: &str, found: &str) {
    let path = golden(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("in a folder")).expect("in the repository");
        fs::write(&path, found).expect("in the repository");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{name} differs; UPDATE=1 writes it anew");
}

#[test]
fn every_host_is_laid_out_as_written_down() {
    for (name, host) in topology::all() {
        for (arguments, kind) in [
            (&["layout"][..], "txt"),
            (&["layout", "--json"][..], "json"),
        ] {
            let ran = tune(&host, arguments);
            let text = format!(
                "{}{}",
                String::from_utf8_lossy(&ran.stdout),
                String::from_utf8_lossy(&ran.stderr)
            );
            let expected = if name == "vm_2" { 6 } else { 0 };
            assert_eq!(ran.status.code(), Some(expected), "{name}: {text}");
            assert_golden(&format!("{name}.{kind}"), &text);
        }
    }
}

#[test]
fn a_layout_that_was_written_holds_on_its_host_and_on_no_other() {
    let host = topology::metal_8c16t();
    let sys = host.plain_sys();
    let ran = tune(&host, &["layout", "--write", "--quiet"]);
    assert_eq!(ran.status.code(), Some(0));
    let read = Topology::read(&sys).expect("a whole fixture");
    let layout = Layout::read_current(&sys, LAYOUT_PATH, &read).expect("just written");
    assert_eq!(layout.boot_id, boot_id(&sys).ok());
    host.put("/sys/devices/system/cpu/online", "0-14");
    let fewer = Topology::read(&sys).expect("a whole fixture");
    // CPU 15 is the parked sibling of a shard: that it is gone changes nothing.
    assert!(Layout::read_current(&sys, LAYOUT_PATH, &fewer).is_ok());
    host.put("/sys/devices/system/cpu/online", "0-6,8-15");
    let fewer = Topology::read(&sys).expect("a whole fixture");
    let error = Layout::read_current(&sys, LAYOUT_PATH, &fewer).expect_err("a shard's CPU is gone");
    assert!(error.to_string().contains("is stale"), "{error}");
}

#[test]
fn options_are_obeyed_and_wrong_ones_named() {
    let host = topology::metal_2x32c128t();
    let ran = tune(
        &host,
        &[
            "layout",
            "--json",
            "--max-shards",
            "4",
            "--nic",
            "eno1",
            "--data-dir",
            "/srv/data",
        ],
    );
    let layout: Layout = serde_json::from_slice(&ran.stdout).expect("a layout");
    assert_eq!(layout.shards.len(), 4);
    assert_eq!(layout.nvme.len(), 1);
    assert_eq!(layout.nvme[0].dev, "nvme1");
    let second_node = corelane::cpu::CpuSet::parse_list("32-63,96-127").expect("a list");
    assert!(layout.io.is_subset(&second_node), "{}", layout.io);
    for (arguments, part) in [
        (&["layout", "--nic", "eth9"][..], "allowed: eno1, ens1f0"),
        (&["layout", "--max-shards", "0"], "--max-shards"),
        (&["layout", "--frobnicate"], "--frobnicate"),
    ] {
        let ran = tune(&host, arguments);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(64), "{said}");
        assert!(said.contains(part), "{said}");
    }
}
