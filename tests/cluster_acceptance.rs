//! The shipped example on a real cluster, judged by somebody else's reader.

#[path = "support/kafka.rs"]
mod kafka;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kafka::{Access, Extra, KafkaCluster, skip};
use serde_json::Value;

/// What the example data holds; see examples/data/README.md.
const TRANSACTIONS: u64 = 2500;
const AMOUNT_TOTAL: u64 = 2_883_682_728_990;

const SHARDS: [&str; 8] = [
    "tokyo",
    "singapore",
    "mumbai",
    "frankfurt",
    "northern-virginia",
    "oregon",
    "sao-paulo",
    "sydney",
];

/// examples/cluster.toml for this cluster, with more lines in its cluster's section.
fn configuration(kafka: &KafkaCluster, folder: &Path, more: &str) -> PathBuf {
    let shipped = std::fs::read_to_string("examples/cluster.toml").expect("it is shipped");
    let ours = format!(
        "brokers = {:?}",
        kafka.brokers().split(',').collect::<Vec<_>>()
    );
    let theirs = "brokers_file = \"target/kafka/default/brokers\"";
    assert!(
        shipped.contains(theirs),
        "the example names the script's file"
    );
    let mut text = shipped.replace(theirs, &ours);
    write!(text, "\n{more}").expect("in memory");
    let path = folder.join("cluster.toml");
    std::fs::write(&path, text).expect("written");
    path
}

/// `corelane run` on the example data; its report.
fn run(config: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args([
            "run",
            "--input",
            "examples/data/transactions.jsonl",
            "--json",
        ])
        .arg("--config")
        .arg(config)
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn assert_report(report: &Value, processed: u64, duplicates: u64) {
    assert_eq!(report["submitted"], TRANSACTIONS, "{report}");
    assert_eq!(report["acknowledged"], TRANSACTIONS, "{report}");
    assert_eq!(report["processed"], processed, "{report}");
    assert_eq!(report["duplicates"], duplicates, "{report}");
    assert_eq!(report["lost"], 0, "{report}");
    assert_eq!(report["amount_total"], AMOUNT_TOTAL, "{report}");
}

/// Every key that kcat reads from the shards' topics.
fn keys_by_kcat(brokers: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for shard in SHARDS {
        let topic = format!("transactions-{shard}");
        let output = Command::new("kcat")
            .args([
                "-b",
                brokers,
                "-C",
                "-t",
                &topic,
                "-o",
                "beginning",
                "-e",
                "-q",
            ])
            .args(["-f", "%k\\n"])
            .output()
            .expect("kcat runs");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("ids are text");
        keys.extend(text.lines().map(str::to_owned));
    }
    keys
}

#[test]
fn the_shipped_example_counts_each_transaction_once_and_kcat_reads_them_all() {
    let Some(kafka) = KafkaCluster::up_or_skip("acceptance", 3, Extra::default()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let config = configuration(&kafka, folder.path(), "");
    assert_report(&run(&config), TRANSACTIONS, 0);
    if Command::new("kcat").arg("-V").output().is_ok() {
        let mut keys = keys_by_kcat(kafka.brokers());
        assert_eq!(keys.len() as u64, TRANSACTIONS);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len() as u64, TRANSACTIONS, "an id is there twice");
    } else {
        skip("reading the example's records by a third party (kcat is not installed)");
    }
    assert_report(&run(&config), 0, TRANSACTIONS);
}

#[test]
fn the_shipped_example_runs_encrypted_and_with_a_password() {
    let extra = Extra {
        access: Access::TlsAndSasl,
        ..Extra::default()
    };
    let Some(kafka) = KafkaCluster::up_or_skip("secured", 3, extra) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let value = |name: &str| kafka.env(name).expect("written by up");
    let (user, password) = (value("KAFKA_USER"), value("KAFKA_PASSWORD"));
    std::fs::write(folder.path().join("password"), format!("{password}\n")).expect("written");
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let more = format!(
            "[clusters.local.tls]\nca = {:?}\n\
             [clusters.local.sasl]\nmechanism = {mechanism:?}\nusername = {user:?}\n\
             password_file = {:?}\n",
            value("KAFKA_CA_FILE"),
            folder.path().join("password"),
        );
        let config = configuration(&kafka, folder.path(), &more);
        let report = run(&config);
        let first = mechanism == "PLAIN";
        let (new, known) = if first {
            (TRANSACTIONS, 0)
        } else {
            (0, TRANSACTIONS)
        };
        assert_report(&report, new, known);
    }
}
