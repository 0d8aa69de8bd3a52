//! The control port of a real node: what it tells is what was done, and nobody who asks can harm it.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/http.rs"]
mod http;
#[path = "support/load.rs"]
mod load;
#[path = "support/node.rs"]
mod node;
#[path = "support/openmetrics.rs"]
mod openmetrics;
#[path = "support/random.rs"]
mod random;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use corelane::client::ClientOptions;
use corelane::config::Config;
use corelane::telemetry::{Owner, families};
use rustix::process::Signal;
use serde_json::Value;

use http::get;
use load::transaction;
use node::{Node, Setup};

/// How long a figure may take to become what it must.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node with a control port, and where that is.
fn start(cores: u16) -> (Node, String) {
    let mut setup = Setup::with_cores(cores);
    setup.config.push_str("[control]\nhttp = \"127.0.0.1:0\"\n");
    let node = Node::start(setup);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(address) = http::control_address(&node.stderr()) {
            return (node, address);
        }
        assert!(Instant::now() < deadline, "{}", node.stderr());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn metrics(address: &str) -> openmetrics::Page {
    let answer = get(address, "/metrics").unwrap();
    assert_eq!(answer.code, 200);
    let content = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(content), "{}", answer.head);
    openmetrics::parse(&answer.body).unwrap_or_else(|error| panic!("{error}"))
}

fn submit(node: &Node, numbers: std::ops::Range<u64>) {
    let mut client = node.connect(ClientOptions::default()).unwrap();
    for number in numbers {
        let transaction = transaction(1, number);
        client.send_transaction(&transaction).unwrap();
    }
}

/// Asks until the page is as wanted.
fn until(address: &str, wanted: impl Fn(&openmetrics::Page) -> bool) -> openmetrics::Page {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = metrics(address);
        if wanted(&page) {
            return page;
        }
        assert!(Instant::now() < deadline, "{page:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What an owner has on a core, in bytes.
fn memory(page: &openmetrics::Page, core: &str, owner: Owner) -> f64 {
    let labels = [("core", core), ("owner", owner.name())];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    page.samples["corelane_memory_bytes"][&labels.into()]
}

#[test]
fn what_is_told_is_what_was_submitted() {
    const COUNT: u64 = 500;
    let (mut node, address) = start(2);
    submit(&node, 0..COUNT);
    // Twice: the same ids are duplicates.
    submit(&node, 0..COUNT / 10);
    let count = COUNT as f64;
    let page = until(&address, |page| {
        // Memory is told last, of the log when something is in it.
        let told = |owner| ["0", "1"].map(|core| memory(page, core, owner) > 0.0);
        page.sum("corelane_processed_total") >= count
            && page.sum("corelane_consumer_lag") == 0.0
            && told(Owner::LogFrames) == [true; 2]
            && told(Owner::LogIndex) == [true; 2]
    });
    for (sample, expected) in [
        ("corelane_submitted_total", count * 1.1),
        ("corelane_records_appended_total", count),
        ("corelane_messages_sent_total", count),
        ("corelane_messages_received_total", count),
        ("corelane_processed_total", count),
        ("corelane_duplicates_total", count / 10.0),
        ("corelane_send_errors_total", 0.0),
        ("corelane_processing_errors_total", 0.0),
        ("corelane_failed_total", 0.0),
        ("corelane_produce_seconds_count", count),
        ("corelane_end_to_end_seconds_count", count),
        ("corelane_cores", 2.0),
        ("corelane_core_running", 2.0),
        ("corelane_ready", 1.0),
        ("corelane_compression_ratio", 1.0),
        ("corelane_stripes_without_space", 0.0),
    ] {
        assert_eq!(page.sum(sample), expected, "{sample}");
    }
    for positive in [
        "corelane_produce_seconds_sum",
        "corelane_busy_seconds_total",
        "corelane_batch_size_avg_bytes",
        "corelane_resident_memory_bytes",
        "corelane_data_directory_free_bytes",
        "corelane_uptime_seconds",
        "corelane_cycle_max_seconds",
        "corelane_batches_total",
        "corelane_frame_bytes_total",
    ] {
        assert!(page.sum(positive) > 0.0, "{positive}");
    }
    // Eight shards with their dead letters, two stripes.
    assert_eq!(page.sum("corelane_topics"), 16.0);
    assert_eq!(page.sum("corelane_partitions"), 32.0);
    assert_eq!(page.sum("corelane_partition_leaders"), 32.0);
    assert_eq!(page.sum("corelane_partition_replicas"), 32.0);
    let status = get(&address, "/v1/status").unwrap();
    let status: Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(status["counters"]["processed"], COUNT);
    assert_eq!(status["latencies"]["produce"]["count"], COUNT);
    assert_eq!(status["cores"].as_array().unwrap().len(), 2);
    assert_eq!(status["cores"][0]["phase"], "running");
    assert_eq!(status["ready"], true);
    assert_eq!(status["storage"]["kind"], "embedded");
    for core in ["0", "1"] {
        let told = |owner| memory(&page, core, owner);
        for owner in Owner::ALL {
            match owner {
                Owner::DuplicateWindow
                | Owner::InFlight
                | Owner::Mesh
                | Owner::LogFrames
                | Owner::LogIndex
                | Owner::Gateway
                | Owner::Latencies => assert!(told(owner) > 0.0, "{}", owner.name()),
                // There is no listener, and what was just appended needs no reading back.
                Owner::KafkaRequests | Owner::KafkaAnswers | Owner::LogChunks => {
                    assert_eq!(told(owner), 0.0, "{}", owner.name());
                }
            }
        }
        let by_name = &status["cores"][core.parse::<usize>().unwrap()]["memory"];
        assert_eq!(by_name.as_object().unwrap().len(), Owner::COUNT);
        let window = by_name["duplicate_window"].as_f64();
        assert_eq!(window, Some(told(Owner::DuplicateWindow)));
    }
    assert!(node.terminate().success());
}

/// Nothing that comes from outside, and no topic or id, becomes a label.
#[test]
fn the_page_is_the_catalogue_and_its_labels_are_bounded() {
    let (node, address) = start(2);
    submit(&node, 0..20);
    let page = metrics(&address);
    let told: BTreeSet<String> = page.kinds.keys().cloned().collect();
    let catalogue: BTreeSet<String> = families().iter().map(|family| family.name()).collect();
    assert_eq!(told, catalogue);
    let shards = Config::default().shards;
    let shards: BTreeSet<String> = shards.into_iter().map(|shard| shard.name).collect();
    let owners = Owner::ALL.map(Owner::name);
    for (sample, series) in &page.samples {
        for labels in series.keys() {
            for (label, value) in labels {
                match label.as_str() {
                    "core" => assert!(["0", "1"].contains(&value.as_str()), "{sample}: {value}"),
                    "owner" => assert!(owners.contains(&value.as_str()), "{sample}: {value}"),
                    "shard" => assert!(shards.contains(value), "{sample}: {value}"),
                    "le" => assert!(sample.ends_with("_bucket"), "{sample}"),
                    other => panic!("{sample} has the label {other}"),
                }
            }
        }
    }
}

/// As promtool reads it: a description for every sample's name, and nothing of OpenMetrics.
#[test]
fn the_older_text_format_is_there_for_who_asks_for_it() {
    let (node, address) = start(1);
    let answer = http::get_as(&address, "/metrics", "text/plain;version=0.0.4").unwrap();
    let content = "content-type: text/plain; version=0.0.4";
    assert!(answer.head.contains(content), "{}", answer.head);
    assert!(!answer.body.contains("# EOF") && !answer.body.contains("# UNIT"));
    for counter in ["corelane_submitted_total", "corelane_busy_seconds_total"] {
        let described = format!("# TYPE {counter} counter\n{counter}{{core=\"0\"}} ");
        assert!(answer.body.contains(&described), "{counter}");
    }
    let both = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let answer = http::get_as(&address, "/metrics", both).unwrap();
    openmetrics::parse(&answer.body).unwrap_or_else(|error| panic!("{error}"));
    drop(node);
}

/// Each of the slowest names a record, and what is told of its time adds up.
#[test]
fn the_slowest_transactions_are_told_stage_by_stage() {
    const COUNT: u64 = 300;
    let (node, address) = start(2);
    let none: Value = serde_json::from_str(&get(&address, "/v1/slow").unwrap().body).unwrap();
    assert_eq!(none["slowest"], Value::Array(Vec::new()));
    submit(&node, 0..COUNT);
    until(&address, |page| {
        page.sum("corelane_processed_total") == COUNT as f64
    });
    let deadline = Instant::now() + PATIENCE;
    let told = loop {
        // Many at once get the same page, and all of them get one.
        let pages: Vec<String> = std::thread::scope(|scope| {
            let ask = || get(&address, "/v1/slow").unwrap().body;
            let asked: Vec<_> = (0..20).map(|_| scope.spawn(ask)).collect();
            asked.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let told: Value = serde_json::from_str(&pages[0]).unwrap();
        // The first page may be that from before.
        if !told["slowest"].as_array().unwrap().is_empty() {
            break told;
        }
        assert!(Instant::now() < deadline, "{told:#}");
    };
    assert_eq!(told["missing_cores"], Value::Array(Vec::new()));
    let slowest = told["slowest"].as_array().unwrap();
    assert!(slowest.len() > 16, "of both cores: {told:#}");
    let shards = Config::default().shards;
    let mut cores = BTreeSet::new();
    let mut before = f64::INFINITY;
    for it in slowest {
        let total = it["total_us"].as_f64().unwrap();
        assert!(total > 0.0 && total <= before, "{it:#}");
        before = total;
        cores.insert(it["core"].as_u64().unwrap());
        assert!(shards.iter().any(|shard| it["shard"] == *shard.name));
        let stages = it["stages"].as_array().unwrap().iter();
        let sum: f64 = stages.map(|stage| stage["took_us"].as_f64().unwrap()).sum();
        assert!((sum - total).abs() < 0.01 * total + 0.01, "{it:#}");
        assert_eq!(it["stamps_us"]["taken"], 0.0, "{it:#}");
        // What became slow only in processing was not seen closer before.
        let moments = match it["acks"].is_string() {
            true => &["routed", "accepted", "appended", "durable"][..],
            false => &["read", "processed"][..],
        };
        for moment in moments {
            assert!(it["stamps_us"][moment].is_number(), "{moment}: {it:#}");
        }
    }
    assert_eq!(cores, [0, 1].into());
}

/// Whoever has no browser and no `top` at hand: a signal, and standard error.
#[test]
fn a_signal_writes_the_slowest_transactions_and_nothing_stops() {
    let (mut node, address) = start(2);
    submit(&node, 0..50);
    for times in 1..=2 {
        node.signal(Signal::USR1);
        let deadline = Instant::now() + PATIENCE;
        let title = "slowest transactions of the last 5 minutes";
        while node.stderr().matches(title).count() < times {
            assert!(Instant::now() < deadline, "{}", node.stderr());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let text = node.stderr();
    for stage in ["hop", "queue", "sync"] {
        let has_bar = |line: &str| line.trim_start().starts_with(stage) && line.ends_with('|');
        assert!(text.lines().any(has_bar), "{stage}:\n{text}");
    }
    submit(&node, 50..60);
    until(&address, |page| {
        page.sum("corelane_processed_total") == 60.0
    });
    assert!(node.terminate().success());
}

#[test]
fn health_is_told_and_other_paths_are_not_there() {
    let (node, address) = start(1);
    assert_eq!(get(&address, "/healthz").unwrap().code, 200);
    let ready = get(&address, "/readyz").unwrap();
    assert_eq!(
        (ready.code, ready.body.trim()),
        (200, r#"{"ready":true,"reasons":[]}"#)
    );
    let lost = get(&address, "/nowhere").unwrap();
    assert_eq!(lost.code, 404);
    assert!(lost.body.contains("/metrics"), "{}", lost.body);
    drop(node);
}

/// Clients that say nothing, say half of something, or do not read: each loses its connection, and
/// with it its slot, in bounded time.
#[test]
fn clients_that_never_come_to_an_end_are_cut_off() {
    let (node, address) = start(1);
    let mut idle: Vec<TcpStream> = (0..64)
        .map(|number| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
            }
            stream
        })
        .collect();
    // All slots are taken, once the node has seen them all: one more is closed.
    let deadline = Instant::now() + Duration::from_secs(5);
    while get(&address, "/healthz").is_ok() {
        assert!(Instant::now() < deadline, "no bound on connections");
    }
    submit(&node, 0..10);
    for stream in &mut idle {
        let mut rest = Vec::new();
        // Closed or reset; a timeout would be neither.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    assert_eq!(metrics(&address).sum("corelane_processed_total"), 10.0);
}

#[test]
fn a_request_that_never_ends_is_cut_off() {
    let (node, address) = start(1);
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let line = format!("X-Long: {}\r\n", "x".repeat(1000));
    let sent = (0..100_000).take_while(|_| stream.write_all(line.as_bytes()).is_ok());
    assert!(sent.count() < 100_000, "100 MB of headers were taken");
    assert_eq!(get(&address, "/healthz").unwrap().code, 200);
    drop(node);
}

#[test]
fn hundreds_of_scrapes_at_once_do_no_harm() {
    let (node, address) = start(1);
    let pages: Vec<_> = std::thread::scope(|scope| {
        let scrape = || get(&address, "/metrics").ok();
        let scrapes: Vec<_> = (0..200).map(|_| scope.spawn(scrape)).collect();
        submit(&node, 0..100);
        scrapes
            .into_iter()
            .filter_map(|it| it.join().unwrap())
            .collect()
    });
    // The others met the bound on connections.
    assert!(pages.len() >= 32, "only {} were answered", pages.len());
    for page in pages {
        openmetrics::parse(&page.body).unwrap_or_else(|error| panic!("{error}"));
    }
    until(&address, |page| {
        page.sum("corelane_processed_total") == 100.0
    });
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let data = folder.path().join("data");
    let output = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["serve", "--cores", "1", "--tcp", "127.0.0.1:0"])
        .args(["--kafka", "127.0.0.1:0", "--control", &address])
        .arg("--data-dir")
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("control.http"), "{error}");
    assert!(error.contains(&address), "{error}");
    assert!(!data.exists(), "nothing was made");
}
