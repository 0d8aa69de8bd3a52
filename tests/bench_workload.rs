//! What `corelane bench workload` promises: the files of the OpenMessaging Benchmark run as they are, the
//! result has its names, the counts add up, and what is wrong is named.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corelane::bench::workload::driver::Driver;
use corelane::bench::workload::file::Workload;
use corelane::ids::Acks;
use serde_json::Value;

/// The keys of `TestResult`, of the OpenMessaging Benchmark; `*` stands for each statistic.
const KEYS: &[&str] = &[
    "workload",
    "driver",
    "messageSize",
    "topics",
    "partitions",
    "producersPerTopic",
    "consumersPerTopic",
    "publishRate",
    "publishErrorRate",
    "consumeRate",
    "backlog",
    "publishLatency*",
    "publishDelayLatency*",
    "endToEndLatency*",
    "aggregatedPublishLatency*",
    "aggregatedPublishDelayLatency*",
    "aggregatedEndToEndLatency*",
    "aggregatedPublishLatencyQuantiles",
    "aggregatedPublishDelayLatencyQuantiles",
    "aggregatedEndToEndLatencyQuantiles",
];

const STATISTICS: &[&str] = &[
    "Avg", "50pct", "75pct", "95pct", "99pct", "999pct", "9999pct", "99999pct", "Max",
];

/// Three seconds at scale 0.01: a tenth of a second for each period.
const SMALL: &str = "name: small
topics: 2
partitionsPerTopic: 3
keyDistributor: KEY_ROUND_ROBIN
messageSize: 200
useRandomizedPayloads: true
randomBytesRatio: 0.5
randomizedPayloadPoolSize: 10
subscriptionsPerTopic: 2
producersPerTopic: 1
consumerPerSubscription: 2
producerRate: 2000
consumerBacklogSizeGB: 0
warmupDurationMinutes: 0
testDurationMinutes: 2
";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/workloads")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of the repository");
    let paths = entries.map(|entry| entry.expect("an entry of it").path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == "yaml"))
        .collect()
}

fn run(directory: &Path, workload: &str, args: &[&str]) -> Output {
    let file = directory.join("workload.yaml");
    std::fs::write(&file, workload).expect("the directory is ours");
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["bench", "workload"])
        .arg(&file)
        .args(args)
        .current_dir(directory)
        .output()
        .expect("the program was built")
}

fn sum(of: &Value) -> f64 {
    let list = of.as_array().expect("one number for each period");
    list.iter().filter_map(Value::as_f64).sum()
}

#[test]
fn all_files_that_are_shipped_can_be_read() {
    let workloads = files(&folder());
    assert!(workloads.len() >= 8);
    for file in workloads {
        let workload = Workload::load(&file).unwrap();
        let traffic = workload.traffic(&file, Acks::All).unwrap();
        assert_eq!(traffic.values.bytes_max(), workload.message_size);
    }
    let drivers = files(&folder().join("drivers"));
    assert!(drivers.len() >= 4);
    for file in drivers {
        assert!(
            Driver::load(&file).unwrap().has_brokers(),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_result_has_the_names_of_the_original_and_its_counts_add_up() {
    let directory = tempfile::tempdir().unwrap();
    let args = [
        "--duration-scale",
        "0.01",
        "--cores",
        "1",
        "--output",
        "r.json",
        "--json",
    ];
    let output = run(directory.path(), SMALL, &args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written = std::fs::read_to_string(directory.path().join("r.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), result);
    let mut expected: Vec<String> = vec!["corelane".to_owned()];
    for key in KEYS {
        match key.strip_suffix('*') {
            Some(stem) => expected.extend(STATISTICS.iter().map(|it| format!("{stem}{it}"))),
            None => expected.push((*key).to_owned()),
        }
    }
    expected.sort();
    let mut found: Vec<String> = result.as_object().unwrap().keys().cloned().collect();
    found.sort();
    assert_eq!(found, expected);

    assert_eq!(result["workload"], "small");
    assert_eq!(result["driver"], "listener");
    assert_eq!(result["corelane"]["partial"], Value::Null, "{errors}");
    let durability = "acks=all: on stable storage, by group commit";
    assert_eq!(result["corelane"]["target"]["durability"], durability);
    // 1.2 s in periods of a tenth: rates of 2,000 and, with two subscriptions, 4,000 a second.
    let periods = result["publishRate"].as_array().unwrap().len() as f64;
    assert!((11.0..=13.0).contains(&periods), "{periods} periods");
    assert_eq!(sum(&result["publishErrorRate"]), 0.0);
    let published = sum(&result["publishRate"]) / periods;
    assert!((1_000.0..2_500.0).contains(&published), "{published}");
    let consumed = sum(&result["consumeRate"]) / periods;
    assert!((2_000.0..5_000.0).contains(&consumed), "{consumed}");
    for key in [
        "backlog",
        "publishLatency50pct",
        "publishDelayLatencyMax",
        "endToEndLatencyAvg",
    ] {
        assert_eq!(
            result[key].as_array().unwrap().len() as f64,
            periods,
            "{key}"
        );
    }
    let figure = |key: &str| result[key].as_f64();
    let median = figure("aggregatedPublishLatency50pct").unwrap();
    assert!(median > 0.0 && median <= figure("aggregatedPublishLatency99pct").unwrap());
    assert!(figure("aggregatedEndToEndLatencyMax") >= figure("aggregatedEndToEndLatency50pct"));
    // 2,400 records: too few for a percentile that one in 100,000 exceeds.
    assert_eq!(result["aggregatedPublishLatency99999pct"], Value::Null);
    let quantiles = result["aggregatedPublishLatencyQuantiles"]
        .as_object()
        .unwrap();
    assert!(quantiles.contains_key("100.0") && quantiles.contains_key("50.0"));
    let left = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 2, "the workload and its result are all that stays");
}

#[test]
fn a_backlog_is_built_and_drained() {
    let directory = tempfile::tempdir().unwrap();
    // 2 MB of 200 bytes: 10,737 records, which two subscriptions reach in 0.3 s.
    let workload = SMALL
        .replace("BacklogSizeGB: 0", "BacklogSizeGB: 0.002")
        .replace("producerRate: 2000", "producerRate: 20000");
    let args = ["--duration-scale", "0.002", "--cores", "1", "--json"];
    let output = run(directory.path(), &workload, &args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let notes = result["corelane"]["notes"].to_string();
    assert!(
        notes.contains("was built in") && notes.contains("drained"),
        "{notes}"
    );
    let backlog = result["backlog"].as_array().unwrap().iter();
    assert!(backlog.filter_map(Value::as_u64).max() > Some(1_000));
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_started() {
    let directory = tempfile::tempdir().unwrap();
    for (from, to, words, code) in [
        ("producerRate", "producerRat", "line 12", 1),
        (
            "messageSize: 200",
            "messageSize: 15",
            "messageSize: 15 is not allowed",
            1,
        ),
        ("topics: 2", "topics: two", "line 2", 1),
    ] {
        assert!(SMALL.contains(from));
        let output = run(directory.path(), &SMALL.replace(from, to), &[]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(words), "{errors}");
        assert_eq!(output.status.code(), Some(code), "{errors}");
    }
    for args in [
        &["--duration-scale", "0"][..],
        &["--target", "nowhere"],
        &["--target", "cluster"],
        &["--target", "embedded", "--to", "127.0.0.1:1"],
        &["--target", "embedded"],
    ] {
        let output = run(directory.path(), SMALL, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["bench", "workload", "no-such-file.yaml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-file.yaml"));
}
