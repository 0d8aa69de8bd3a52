//! Benchmarks of the embedded engine: what they see, what they refuse, and how they end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corelane::bench::embedded::Embedded;
use corelane::bench::measure::{Measured, measure};
use corelane::bench::meters::{Count, Span};
use corelane::bench::target::{Load, TargetKind, TargetOptions};
use corelane::bench::traffic::{Keys, Traffic, Values};
use corelane::control::signals::StopSignal;
use corelane::engine::handler::{HandlerContext, ProcessError, TransactionHandler};
use corelane::ids::Acks;
use corelane::storage::Outputs;
use corelane::transaction::TransactionRef;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const STALL: Duration = Duration::from_millis(100);

/// Half of the stall: what delays this long is it, and nothing else.
const STALLED_NS: u64 = 50_000_000;

/// What a handler does to its `at`th transaction.
#[derive(Clone, Copy)]
enum Trouble {
    Sleep,
    Stop,
}

struct Troubled {
    trouble: Trouble,
    at: u64,
    seen: Arc<AtomicU64>,
}

impl TransactionHandler for Troubled {
    fn process(
        &mut self,
        _transaction: &TransactionRef<'_>,
        _out: &mut Outputs,
    ) -> Result<(), ProcessError> {
        if self.seen.fetch_add(1, Ordering::Relaxed) != self.at {
            return Ok(());
        }
        match self.trouble {
            Trouble::Sleep => {
                std::thread::sleep(STALL);
                Ok(())
            }
            Trouble::Stop => Err(ProcessError::Stop("enough".into())),
        }
    }
}

/// Puts a load on a node whose handler gets into trouble, and which takes two transactions at a time.
fn troubled(directory: &Path, trouble: Trouble, at: u64, load: &Load) -> Measured {
    let config = directory.join("node.toml");
    fs::write(&config, "[node]\nmesh_capacity = 2\n").expect("written");
    let options = TargetOptions {
        kind: TargetKind::Embedded,
        config: Some(config),
        to: None,
        data_parent: directory.to_path_buf(),
        cores: Some(1),
        idle: None,
        traffic: Traffic {
            topics: 3,
            partitions: 2,
            producers: 1,
            subscriptions: 1,
            consumers: 1,
            keys: Keys::None,
            values: Values::generate(100, 8, 1.0),
            acks: Acks::Leader,
        },
    };
    let seen = Arc::new(AtomicU64::new(0));
    let factory = move |_: &HandlerContext<'_>| Troubled {
        trouble,
        at,
        seen: Arc::clone(&seen),
    };
    let mut target = Embedded::start_with(&options, factory).expect("it starts");
    let signal = StopSignal::default();
    let measured = measure(&mut target, load, Duration::ZERO, &signal).expect("it begins");
    drop(target);
    let left = fs::read_dir(directory).expect("it is there").count();
    assert_eq!(left, 1, "only the configuration is left");
    measured
}

fn p999_ns(measured: &Measured, span: Span) -> u64 {
    measured.recorded.span(span).value_at_quantile(0.999)
}

/// Coordinated omission: who waits for answers before he goes on asks no questions in a stall.
#[test]
fn a_stall_is_charged_to_all_that_it_delays_which_a_closed_loop_does_not_see() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = Load {
        rate: NonZeroU64::new(1000),
        span: Duration::from_millis(1500),
    };
    let measured = troubled(directory.path(), Trouble::Sleep, 300, &open);
    assert_eq!(measured.partial, None);
    assert_eq!(measured.recorded.count(Count::Sent), 1500);
    for span in [Span::Produce, Span::EndToEnd] {
        let p999 = p999_ns(&measured, span);
        assert!(p999 > STALLED_NS, "{}: {p999} ns", span.name());
    }
    let produced = measured.recorded.span(Span::Produce);
    let delayed = produced.len() - produced.count_between(0, STALLED_NS);
    assert!(delayed >= 30, "{delayed} were due in the half of the stall");

    let closed = Load { rate: None, ..open };
    let measured = troubled(directory.path(), Trouble::Sleep, 300, &closed);
    assert!(measured.recorded.count(Count::Acked) > 3000);
    assert!(measured.recorded.span(Span::Produce).max() > STALLED_NS);
    let p999 = p999_ns(&measured, Span::Produce);
    assert!(p999 < STALLED_NS, "{p999} ns");
    assert!(
        measured.latency(&closed).is_empty(),
        "nobody is told of these"
    );
}

#[test]
fn a_node_that_dies_leaves_a_partial_result() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let load = Load {
        rate: NonZeroU64::new(1000),
        span: Duration::from_secs(60),
    };
    let measured = troubled(directory.path(), Trouble::Stop, 200, &load);
    let reason = measured.partial.as_deref().expect("it is partial");
    assert!(reason.contains("enough"), "{reason}");
    assert!(measured.recorded.count(Count::Acked) >= 200);
    assert!(!measured.reached.kept_pace);
    assert!(!measured.latency(&load)["produce"].curve.is_empty());
}

fn bench(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane"));
    command
        .arg("bench")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], directory: &Path) -> Output {
    bench(arguments, directory).output().expect("it starts")
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    serde_json::from_str(&text).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{error}: {text}\n{said}")
    })
}

#[test]
fn a_report_in_json_has_counts_that_add_up() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [
        "latency",
        "--target",
        "embedded",
        "--rate",
        "2000",
        "--duration",
        "1",
        "--warmup",
        "0.2",
        "--producers",
        "3",
        "--no-floor",
        "--json",
        "--hgrm",
        "e2e.hgrm",
        "--hdr-log",
        "all.hlog",
        "--report",
        "page.html",
    ];
    let output = run(&arguments, directory.path());
    let report = json(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report["bench"], "latency");
    let run = &report["runs"][0];
    assert!(run["partial"].is_null());
    for span in ["publish_delay", "produce", "consume", "end_to_end"] {
        let latency = &run["latency"][span];
        assert_eq!(latency["count"], 2000, "{span}");
        assert!(latency["p99_us"].is_number(), "{span}");
        assert!(
            latency["p999_us"].is_null(),
            "two samples lie beyond: {span}"
        );
    }
    assert_eq!(run["load"]["failed"], 0);
    assert!(run["load"]["share_of_saturation"].as_f64() > Some(0.0));
    assert_eq!(run["settings"]["producers"], 3);
    let warm_up = run["series"][0]["at_s"].as_f64().expect("a number");
    assert!(warm_up < 0.0);
    let table = fs::read_to_string(directory.path().join("e2e.hgrm")).expect("written");
    assert!(table.contains("Total count    =         2000"), "{table}");
    let mut files: Vec<_> = fs::read_dir(directory.path())
        .expect("it is there")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["all.hlog", "e2e.hgrm", "page.html"],
        "no data is left"
    );
}

#[test]
fn a_rate_that_is_not_reached_is_said() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [
        "latency",
        "--rate",
        "900000000",
        "--duration",
        "0.2",
        "--warmup",
        "0",
        "--no-floor",
        "--no-saturation",
    ];
    let output = run(&arguments, directory.path());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("asked 900000000/s, reached"), "{text}");
    assert!(text.contains("those of a growing queue"), "{text}");
}

#[test]
fn a_signal_ends_it_with_a_partial_result_and_exit_code_1() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = [
        "latency",
        "--rate",
        "100",
        "--duration",
        "600",
        "--warmup",
        "0",
        "--no-floor",
        "--no-saturation",
        "--json",
    ];
    let mut child = bench(&arguments, directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stderr = child.stderr.take().expect("it is piped");
    let mut lines = BufReader::new(stderr).lines();
    lines
        .find(|line| line.as_ref().is_ok_and(|line| line.starts_with("run 1")))
        .expect("it says when it begins")
        .expect("readable");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("it is there");
    let output = child.wait_with_output().expect("it ends");
    let said: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(output.status.code(), Some(1), "{said:?}");
    assert!(
        said.concat().contains("error: the result is partial"),
        "{said:?}"
    );
    assert_eq!(json(&output)["runs"][0]["partial"], "a signal ended it");
    assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 0);
}

#[test]
fn wrong_options_are_refused_before_anything_is_done() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cases: [(&[&str], &str); 11] = [
        (
            &["latency", "--rate", "0"],
            "'--rate <N>': allowed: 1 to 1000000000",
        ),
        (
            &["latency", "--rate", "99999999999"],
            "allowed: 1 to 1000000000",
        ),
        (&["latency"], "--rate <N>"),
        (
            &["latency", "--rate", "1", "--size", "0"],
            "'--size <BYTES>': allowed: 1 to 4194304",
        ),
        (
            &["latency", "--rate", "1", "--size", "4194305"],
            "allowed: 1 to 4194304 bytes",
        ),
        (
            &["latency", "--rate", "1", "--duration", "0"],
            "allowed: 0.1 to 86400 seconds",
        ),
        (
            &["throughput", "--warmup", "NaN"],
            "allowed: 0 to 86400 seconds",
        ),
        (
            &["throughput", "--acks", "some"],
            "allowed: none, leader, all",
        ),
        (
            &["sweep", "--target", "moon"],
            "allowed: embedded, listener, cluster",
        ),
        (
            &["throughput", "--target", "cluster"],
            "--config: nothing is not allowed; --target",
        ),
        (
            &["sweep", "--to", "127.0.0.1:1"],
            "only with --target listener",
        ),
    ];
    for (arguments, expected) in cases {
        let output = run(arguments, directory.path());
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 0);
}
