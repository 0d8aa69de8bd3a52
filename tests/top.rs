//! `corelane top --once` of a real node: what it prints is what `/metrics` tells, and what is not there
//! is a clear error.

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

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use corelane::client::ClientOptions;
use serde_json::Value;

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

fn top(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .arg("top")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What `top --once --json` prints.
fn once(address: &str) -> Value {
    let output = top(&["--control", address, "--once", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Submits so many transactions from all over the world, and each of them again.
fn submit_twice(node: &Node, count: u64) {
    let mut client = node.connect(ClientOptions::default()).unwrap();
    for number in (0..count).chain(0..count) {
        client.send_transaction(&transaction(1, number)).unwrap();
    }
}

#[test]
fn what_top_prints_once_agrees_with_the_metrics() {
    const COUNT: u64 = 400;
    let (node, address) = start(2);
    submit_twice(&node, COUNT);
    let deadline = Instant::now() + PATIENCE;
    // Rates need two samples, a second apart.
    let status = loop {
        let status = once(&address);
        let done = status["counters"]["processed"] == COUNT;
        let idle = status["shards"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["lag"] == 0);
        if done && idle && status["cores"][0]["busy_share"].is_number() {
            break status;
        }
        assert!(Instant::now() < deadline, "{status:#}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let page = http::get(&address, "/metrics").unwrap();
    let page = openmetrics::parse(&page.body).unwrap_or_else(|error| panic!("{error}"));

    let shards = status["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 8);
    for (key, sample) in [
        ("processed", "corelane_shard_processed_total"),
        ("dead_lettered", "corelane_shard_dead_lettered_total"),
        ("duplicates", "corelane_shard_duplicates_total"),
        (
            "processed_duplicates",
            "corelane_shard_processed_duplicates_total",
        ),
        ("lag", "corelane_shard_lag"),
    ] {
        let told = &page.samples[sample];
        assert_eq!(told.len(), shards.len(), "{sample}");
        for (labels, value) in told {
            let name = &labels["shard"];
            let shard = shards.iter().find(|it| it["shard"] == **name);
            let shard = shard.unwrap_or_else(|| panic!("{sample}: no shard {name}"));
            assert_eq!(shard[key].as_f64(), Some(*value), "{sample} of {name}");
        }
    }
    // Shards together are what the cores together counted, and what was sent.
    let count = COUNT as f64;
    assert_eq!(page.sum("corelane_shard_processed_total"), count);
    assert_eq!(page.sum("corelane_processed_total"), count);
    assert_eq!(page.sum("corelane_shard_duplicates_total"), count);
    assert_eq!(page.sum("corelane_duplicates_total"), count);
    for (core, told) in status["cores"].as_array().unwrap().iter().enumerate() {
        let labels = [("core".to_owned(), core.to_string())].into();
        for (key, sample) in [
            ("submitted", "corelane_submitted_total"),
            ("processed", "corelane_processed_total"),
            ("mesh_sent", "corelane_mesh_sent_total"),
        ] {
            let value = page.samples[sample][&labels];
            assert_eq!(told["counters"][key].as_f64(), Some(value), "{sample}");
        }
        let busy = told["busy_share"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&busy), "{busy}");
        let high = page.samples["corelane_mesh_depth_high_water"][&labels];
        assert_eq!(told["mesh_depth_high_water"].as_f64(), Some(high));
    }
    assert!(
        page.sum("corelane_sync_seconds_count") > 0.0,
        "writes are timed"
    );
    let slow = &status["slow"];
    let slowest = slow["slowest"].as_array().unwrap();
    assert!(!slowest.is_empty(), "{slow}");
    for it in slowest {
        assert!(it["stages"].as_array().is_some_and(|it| !it.is_empty()));
    }
}

/// Of what was submitted moments ago, every shard that got some tells its percentiles, in order.
#[test]
fn percentiles_of_the_last_seconds_are_there() {
    let (node, address) = start(1);
    submit_twice(&node, 200);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        let status = once(&address);
        if status["counters"]["processed"] == 200 {
            break status;
        }
        assert!(Instant::now() < deadline, "{status:#}");
    };
    for stage in ["produce", "consume", "end_to_end", "sync"] {
        let told = &status["recent"]["latencies"][stage];
        let figure = |key: &str| told[key].as_f64().unwrap();
        assert!(figure("count") > 0.0, "{stage}: {told}");
        assert!(figure("p50_us") > 0.0, "{stage}: {told}");
        assert!(figure("p50_us") <= figure("p99_us"), "{stage}: {told}");
        assert!(figure("p99_us") <= figure("p999_us"), "{stage}: {told}");
    }
    for shard in status["shards"].as_array().unwrap() {
        let figures = ["p50_us", "p99_us", "p999_us"].map(|key| shard[key].as_f64());
        match shard["processed"].as_u64() {
            Some(0) => assert_eq!(figures, [None; 3], "{shard}"),
            _ => {
                assert!(figures.iter().all(Option::is_some), "{shard}");
                assert!(figures.is_sorted_by(|a, b| a <= b), "{shard}");
            }
        }
    }
}

#[test]
fn printed_once_for_people_there_is_a_row_for_each_core_and_shard() {
    let (node, address) = start(2);
    let output = top(&["--control", &address, "--once"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = text(&output.stdout);
    let status = once(&address);
    let names = status["shards"].as_array().unwrap().iter();
    for name in names.map(|shard| shard["shard"].as_str().unwrap()) {
        assert!(page.contains(name), "{name}:\n{page}");
    }
    for section in [
        "latency",
        "cores",
        "shards",
        "slowest transactions",
        "stages",
        "mesh",
        "disk",
    ] {
        let has_title = page.lines().any(|line| line.starts_with(section));
        assert!(has_title, "{section}:\n{page}");
    }
    assert!(page.contains(&address), "{page}");
    drop(node);
}

/// Neither a node that is gone nor another server is waited for, or taken for a node.
#[test]
fn who_is_no_node_is_a_clear_error() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    let other = std::thread::spawn(move || {
        for page in ["<html>hello</html>", "{}"] {
            let (mut stream, _) = free.accept().unwrap();
            // Read first: a socket closed with bytes unread resets the connection.
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            let length = page.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{page}"
            )
            .unwrap();
        }
    });
    for _ in 0..2 {
        let output = top(&["--control", &address, "--once", "--json"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let error = text(&output.stderr);
        assert!(error.contains("no corelane control port"), "{error}");
    }
    other.join().unwrap();
    // Its socket is closed now.
    let output = top(&["--control", &address, "--once"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.starts_with("error: no answer"), "{error}");
    assert!(error.contains(&address), "{error}");
}

#[test]
fn wrong_arguments_end_with_exit_code_2() {
    for (arguments, complaint) in [
        (&["--control", "nowhere"][..], "--control"),
        (&["--control", "127.0.0.1"][..], "--control"),
        (&["--interval", "0"][..], "0.1 to 60"),
        (&["--interval", "soon"][..], "not a number"),
        (&["--json"][..], "--once"),
        // Standard output is a pipe here.
        (&[][..], "terminal"),
    ] {
        let output = top(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(complaint), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
