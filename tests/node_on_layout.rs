//! A node obeys the host's layout of CPUs: each thread runs where the layout has it, a layout that
//! does not hold is refused, and `corelane tune audit` says the same of the running process.
//!
//! On a machine with a single CPU nothing can be laid out; the tests say so and check nothing.

#[path = "support/node.rs"]
mod node;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use corelane::config::{Config, HttpChoice};
use corelane::control::{Node, NodeOptions};
use corelane::cpu::allowed_cpus;
use corelane::engine::ledger::Ledger;
use corelane::ids::CpuId;
use tempfile::TempDir;

use node::{Launch, Setup};

/// Two CPUs: one for housekeeping and I/O, one for a shard.
fn two_cpus() -> Option<(CpuId, CpuId)> {
    let cpus = allowed_cpus().expect("known");
    if let [first, .., last] = cpus[..] {
        return Some((first, last));
    }
    eprintln!("one CPU only: where threads run cannot be told apart");
    None
}

/// A layout as somebody writes it by hand; `more` goes before its other keys.
fn write_layout(path: &Path, (housekeeping, shard): (CpuId, CpuId), more: &str) {
    let text = format!(
        r#"{{"schema": 1, {more}"shards": [{{"id": 0, "cpu": {shard}}}],
            "housekeeping": "{housekeeping}", "io": "{housekeeping}"}}"#
    );
    fs::write(path, text).expect("written");
}

fn config(layout: &Path, more: &str) -> String {
    format!("[node]\nlayout = {layout:?}\n{more}\n[log]\nstripes = 1\nsegment_bytes = 16777216\n")
}

fn audit(pid: u32, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["tune", "audit", "--pid", &pid.to_string()])
        .args(more)
        .env_remove("TUNING_ROOT")
        .output()
        .expect("the program is built")
}

/// Name of a thread, and where it may run.
fn threads_of(pid: u32) -> Vec<(String, String)> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).expect("it runs") {
        let path = entry.expect("a listing of threads does not fail").path();
        // The kernel's own come and go.
        let Ok(status) = fs::read_to_string(path.join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the kernel says it").trim().to_owned()
        };
        threads.push((field("Name:"), field("Cpus_allowed_list:")));
    }
    threads
}

#[test]
fn every_thread_of_a_node_is_where_the_layout_has_it() {
    let Some((housekeeping, shard)) = two_cpus() else {
        return;
    };
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("layout.json");
    write_layout(&path, (housekeeping, shard), "");
    let node = node::Node::start(Setup {
        cores: 1,
        config: config(&path, ""),
        launch: Launch::Plain,
    });
    let threads = threads_of(node.pid());
    for name in ["core-0", "core-watch", "log-keeper", "block-0", "corelane"] {
        let is_there = threads.iter().any(|(comm, _)| comm == name);
        assert!(is_there, "{name}: {threads:?}");
    }
    let (on_shard, elsewhere): (Vec<_>, Vec<_>) = threads
        .into_iter()
        .partition(|(_, cpus)| *cpus == shard.to_string());
    assert_eq!(on_shard.len(), 1, "{on_shard:?}");
    assert_eq!(on_shard[0].0, "core-0");
    for (name, cpus) in elsewhere {
        assert_eq!(cpus, housekeeping.to_string(), "{name}");
    }
    let path = path.to_str().expect("a temporary name is UTF-8");
    let found = audit(node.pid(), &["--layout", path]);
    let said = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(0), "{said}");
    assert!(said.contains("by the layout"), "{said}");
    assert!(said.contains("clean: "), "{said}");
}

#[test]
fn without_a_layout_every_thread_but_the_cores_is_beside_them() {
    if two_cpus().is_none() {
        return;
    }
    let node = node::Node::start(Setup {
        cores: 1,
        config: config(Path::new("none"), ""),
        launch: Launch::Plain,
    });
    let found = audit(node.pid(), &["--json"]);
    let said = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(0), "{said}");
    assert!(said.contains(r#""verdict":"clean""#), "{said}");
}

#[test]
fn a_layout_that_does_not_hold_is_refused_and_named() {
    let Some(cpus) = two_cpus() else {
        return;
    };
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the log");
    let path = folder.path().join("layout.json");
    let start = |more: &str| {
        let text = config(&path, more);
        let mut config = Config::parse(&text, "node.toml").expect("valid");
        config.log.directory = folder.path().join("data");
        config.gateway.tcp.clear();
        config.broker.turn_off();
        config.control.http = HttpChoice::Off;
        Node::start(&config, NodeOptions::default(), Ledger::new).map_err(|e| e.to_string())
    };
    let refused = |more: &str| start(more).expect_err("it does not hold");
    assert!(refused("").contains("layout.json: cannot be read"));

    write_layout(&path, cpus, r#""boot_id": "another", "#);
    let stale = refused("");
    for part in ["layout.json: is stale", "another boot", "--allow-unplanned"] {
        assert!(stale.contains(part), "{stale}");
    }
    let unplanned = start("allow_unplanned = true\ncores = 1").expect("without it");
    unplanned.stop().expect("stopped cleanly");

    write_layout(&path, (cpus.1, cpus.1), "");
    let overlap = refused("allow_unplanned = true");
    assert!(overlap.contains("housekeeping: CPU"), "{overlap}");

    write_layout(&path, cpus, "");
    let too_many = refused("cores = 2");
    assert!(too_many.contains("the layout has 1 shards"), "{too_many}");
    let before = allowed_cpus().expect("known");
    let node = start("").expect("it holds");
    assert_eq!(node.cores(), 1);
    assert_eq!(allowed_cpus().expect("known"), before, "the caller is back");
    node.stop().expect("stopped cleanly");
}
