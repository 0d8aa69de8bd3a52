//! What `corelane jitter`, `corelane doctor` and `corelane tune verify` promise on the command line: JSON with
//! every figure, exit codes that scripts can rely on, nothing left behind, nothing done beside an
//! engine. Their figures are not judged here: machines that run tests are busy.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/node.rs"]
mod node;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use corelane::cpu::allowed_cpus;
use serde_json::Value;
use tempfile::TempDir;

use node::{Node, Setup};

fn corelane(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(arguments)
        .env_remove("TUNING_ROOT")
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Expects an exit code, and gives what was said on standard error.
fn ends(arguments: &[&str], code: i32) -> String {
    let output = corelane(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    error
}

/// Expects success and one JSON object on standard output.
fn json(arguments: &[&str]) -> Value {
    let output = corelane(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    serde_json::from_str(&text(&output.stdout)).unwrap()
}

/// On the disk of the build: temporary folders are often in memory.
fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn has_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "{key} is missing in {value}");
    }
}

const FIGURES: [&str; 12] = [
    "span_ns",
    "gaps",
    "gaps_per_s",
    "gaps_at_least",
    "gap_p50_ns",
    "gap_p99_ns",
    "gap_p999_ns",
    "gap_max_ns",
    "lost_ppm",
    "lost_worst_second_ppm",
    "wait_p999_ns",
    "wait_p9999_ns",
];

#[test]
fn jitter_gives_every_figure_of_every_cpu_it_was_asked_for() {
    let folder = folder();
    let table = folder.path().join("gaps.hgrm");
    let cpu = allowed_cpus().unwrap()[0].0;
    let list = cpu.to_string();
    let report = json(&[
        "jitter",
        "--seconds",
        "1",
        "--cpus",
        &list,
        "--json",
        "--hgrm",
        name(&table),
    ]);
    has_keys(
        &report,
        &[
            "schema",
            "tool",
            "kernel",
            "cpu",
            "boot_id",
            "standing",
            "counter_hz",
            "all",
            "cpus",
        ],
    );
    has_keys(&report["all"], &FIGURES);
    let cpus = report["cpus"].as_array().unwrap();
    assert_eq!(cpus.len(), 1);
    let measured = &cpus[0];
    assert_eq!(measured["cpu"], cpu);
    has_keys(measured, &FIGURES);
    has_keys(
        measured,
        &[
            "step_ns",
            "threshold_ns",
            "largest",
            "switches",
            "counters",
            "hints",
        ],
    );
    let number = |key: &str| measured[key].as_f64().unwrap();
    assert!(report["counter_hz"].as_f64().unwrap() > 1e6);
    // The counter's second is the clock's second.
    assert!(
        (number("span_ns") / 1e9 - 1.0).abs() < 0.5,
        "{}",
        number("span_ns")
    );
    assert!(number("threshold_ns") >= 199.0 && number("step_ns") >= 0.0);
    assert!(number("gap_p50_ns") <= number("gap_p99_ns"));
    assert!(number("gap_p99_ns") <= number("gap_max_ns"));
    assert!(number("wait_p999_ns") <= number("wait_p9999_ns"));
    assert!(number("wait_p9999_ns") <= number("gap_max_ns"));
    // A second without a single timer interrupt on a CPU that is busy: none of the kernels this runs on.
    assert!(number("gaps") > 0.0);
    let table = fs::read_to_string(table).unwrap();
    assert!(
        table.contains("Percentile TotalCount") && table.contains("#[Max"),
        "{table}"
    );
}

#[test]
fn jitter_makes_noise_on_other_cpus_only() {
    let cpus = allowed_cpus().unwrap();
    let last = cpus.last().unwrap().0.to_string();
    let arguments = [
        "jitter",
        "--seconds",
        "1",
        "--cpus",
        &last,
        "--stress",
        "irq",
        "--json",
    ];
    if cpus.len() == 1 {
        let error = ends(&arguments, 64);
        assert!(error.contains("no CPU is left for noise"), "{error}");
        return;
    }
    let report = json(&arguments);
    assert_eq!(report["stress"], "irq");
    assert!(report["stress_rounds"].as_u64().unwrap() > 0);
}

/// On hosts with isolated CPUs no process inherits those, and they are the ones to be measured.
#[test]
fn cpus_that_were_not_inherited_are_measured_all_the_same() {
    let cpus = allowed_cpus().unwrap();
    let [first, .., last] = cpus[..] else {
        eprintln!("skipped: a single CPU");
        return;
    };
    let jitter = |arguments: &[&str]| {
        let (mask, program) = (first.0.to_string(), env!("CARGO_BIN_EXE_corelane"));
        Command::new("taskset")
            .args(["-c", &mask, program, "jitter", "--seconds", "1", "--json"])
            .args(arguments)
            .output()
    };
    let measured = |output: &Output| {
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{error}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let cpus = report["cpus"].as_array().unwrap();
        let cpus = cpus.iter().map(|cpu| cpu["cpu"].as_u64().unwrap());
        cpus.collect::<Vec<_>>()
    };
    let Ok(output) = jitter(&["--cpus", &last.0.to_string()]) else {
        eprintln!("skipped: taskset is not installed");
        return;
    };
    assert_eq!(measured(&output), [u64::from(last.0)]);
    if Path::new("/run/corelane/layout.json").exists() {
        eprintln!("skipped: this host has a layout, which goes before what is inherited");
        return;
    }
    // Where nobody says which, those that it has.
    let output = jitter(&[]).unwrap();
    assert_eq!(measured(&output), [u64::from(first.0)]);
}

#[test]
fn jitter_called_wrongly_measures_nothing() {
    let all: Vec<String> = allowed_cpus()
        .unwrap()
        .iter()
        .map(|cpu| cpu.0.to_string())
        .collect();
    let all = all.join(",");
    let cases: [(&[&str], &str); 8] = [
        (
            &["jitter", "--cpus", "1023"],
            "the CPUs 1023 are not online; allowed: ",
        ),
        (&["jitter", "--cpus", "one"], "'one'"),
        (&["jitter", "--cpus", ""], "no CPU is named"),
        (&["jitter", "--seconds", "0"], "--seconds"),
        (&["jitter", "--stress", "loud"], "tlb"),
        (
            &["jitter", "--cpus", &all, "--stress", "cpu"],
            "no CPU is left for noise",
        ),
        (&["jitter", "--fast"], "--fast"),
        (&["jitter", "diff", "one.json"], "B.json"),
    ];
    for (arguments, expected) in cases {
        let error = ends(arguments, 64);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn a_comparison_fails_where_the_wait_grew_and_only_there() {
    let folder = folder();
    let cpu = allowed_cpus().unwrap()[0].0.to_string();
    let before = json(&["jitter", "--seconds", "1", "--cpus", &cpu, "--json"]);
    let put = |file: &str, value: &Value| -> PathBuf {
        let path = folder.path().join(file);
        fs::write(&path, value.to_string()).unwrap();
        path
    };
    let old = put("old.json", &before);
    let mut worse = before.clone();
    worse["all"]["wait_p9999_ns"] =
        (before["all"]["wait_p9999_ns"].as_u64().unwrap() * 3 / 2 + 1_000).into();
    let new = put("new.json", &worse);
    let output = corelane(&["jitter", "diff", name(&old), name(&old)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("no regression"));
    let output = corelane(&["jitter", "diff", name(&old), name(&new), "--json"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let diff: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(diff["regressions"], 1);
    ends(&["jitter", "diff", name(&new), name(&old)], 0);
    let broken = folder.path().join("broken.json");
    fs::write(&broken, "{\"schema\":1}").unwrap();
    let error = ends(&["jitter", "diff", name(&old), name(&broken)], 1);
    assert!(error.contains("broken.json: no result of"), "{error}");
    let other = put("other.json", &{
        let mut other = before;
        other["schema"] = 2.into();
        other
    });
    let error = ends(&["jitter", "diff", name(&other), name(&old)], 1);
    assert!(error.contains("schema is 2; allowed: 1"), "{error}");
    let error = ends(&["jitter", "diff", name(&old), "missing.json"], 1);
    assert!(error.contains("missing.json: cannot be read"), "{error}");
}

#[test]
fn the_doctor_predicts_every_target_and_leaves_nothing() {
    let folder = folder();
    let report = json(&[
        "doctor",
        "--data-dir",
        name(folder.path()),
        "--seconds",
        "1",
        "--json",
    ]);
    has_keys(
        &report,
        &[
            "schema", "tool", "host", "disk", "wake", "jitter", "measures", "targets", "findings",
            "first",
        ],
    );
    let ids: Vec<&str> = report["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["id"].as_str().unwrap())
        .collect();
    for id in [
        "produce.durable.p50",
        "produce.durable.p99",
        "consume.p99",
        "end-to-end.p99",
        "rate.partition",
    ] {
        assert!(ids.contains(&id), "{id} in {ids:?}");
    }
    for target in report["targets"].as_array().unwrap() {
        let verdict = target["verdict"].as_str().unwrap();
        assert!(
            ["reachable", "at-risk", "out-of-reach"].contains(&verdict),
            "{verdict}"
        );
        assert!(!target["from"].as_str().unwrap().is_empty());
        assert!(target["predicted"].as_f64().unwrap() > 0.0, "{target}");
    }
    assert!(report["disk"]["write_sync"]["p50_ns"].as_u64().unwrap() > 0);
    assert!(!report["first"].as_str().unwrap().is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The file has no name, so that even SIGKILL leaves nothing behind.
#[test]
fn a_killed_doctor_leaves_nothing() {
    let folder = folder();
    let mut child = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args([
            "doctor",
            "--seconds",
            "60",
            "--data-dir",
            name(folder.path()),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let open = PathBuf::from(format!("/proc/{}/fd", child.id()));
    let deadline = Instant::now() + Duration::from_secs(60);
    let writes_there = || {
        let open = fs::read_dir(&open).into_iter().flatten();
        let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets
            .into_iter()
            .any(|target| target.starts_with(folder.path()))
    };
    while !writes_there() {
        assert!(Instant::now() < deadline, "the doctor opens no file");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_doctor_says_why_a_directory_is_of_no_use() {
    let folder = folder();
    let missing = folder.path().join("missing");
    let error = ends(
        &["doctor", "--seconds", "1", "--data-dir", name(&missing)],
        1,
    );
    assert!(
        error.contains("there is no such directory") && error.contains("missing"),
        "{error}"
    );
    assert!(!missing.exists());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = ends(&["doctor", "--seconds", "1", "--data-dir", name(&file)], 1);
    assert!(error.contains("is no directory"), "{error}");
    ends(&["doctor", "--seconds", "61"], 64);
    ends(&["doctor", "--fast"], 64);
    // A file system that takes no files, whoever asks.
    let error = ends(&["doctor", "--seconds", "1", "--data-dir", "/proc"], 1);
    assert!(error.starts_with("error: /proc: "), "{error}");
}

/// What is durable in memory is gone with the power.
#[test]
fn a_directory_in_memory_is_told_as_what_it_is() {
    let shared = Path::new("/dev/shm");
    let is_memory = fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .any(|line| line.contains(" /dev/shm ") && line.contains(" - tmpfs "));
    let Some(folder) = is_memory
        .then(|| TempDir::new_in(shared))
        .and_then(Result::ok)
    else {
        // A container without it has nothing to tell.
        return;
    };
    let arguments = [
        "doctor",
        "--seconds",
        "1",
        "--data-dir",
        name(folder.path()),
    ];
    let output = corelane(&arguments);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("mend first: fs.volatile"), "{shown}");
}

/// Measuring would take the engine's CPUs; the node at its start says once what is wrong with the host.
#[test]
fn verify_leaves_a_running_engine_alone() {
    let mut node = Node::start(Setup::with_cores(1));
    let error = ends(&["tune", "verify", "--duration", "1s"], 6);
    assert!(
        error.contains("an engine (") && error.contains("--live"),
        "{error}"
    );
    assert!(node.is_up());
    let said = node.stderr();
    let findings: Vec<&str> = said
        .split_whitespace()
        .filter(|word| word.contains("finding="))
        .collect();
    let mut once = findings.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), findings.len(), "{said}");
    assert!(node.terminate().success());
}

#[test]
fn verify_called_wrongly_measures_nothing() {
    for arguments in [
        ["tune", "verify", "--duration", "0s"],
        ["tune", "verify", "--duration", "soon"],
        ["tune", "verify", "--only", "no.such.knob"],
        ["tune", "verify", "--profile", "none"],
    ] {
        ends(&arguments, 64);
    }
}
