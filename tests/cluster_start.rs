//! What keeps a node from starting on a cluster, what ends it there, and where its threads run.

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/kafka.rs"]
mod kafka;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use corelane::control::{Node, NodeOptions};
use corelane::cpu::allowed_cpus;
use corelane::ids::ShardId;
use futures_lite::future::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use fleet::{Echo, Load, Region, config, text, wait_until, wait_until_within};
use kafka::{Extra, KafkaCluster};

const REGION: Region = Region {
    id: ShardId(0),
    name: "north",
    latitude: 60.0,
    longitude: 10.0,
    cluster: "main",
    partitions: 2,
};

const HEAD: &str = "[node]\ncores = 1\n";

fn refusal(text: &str) -> String {
    match Node::start(&config(text), NodeOptions { ports: 1 }, Echo::new) {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn topics_that_are_not_as_configured_keep_a_node_from_starting() {
    let Some(cluster) = KafkaCluster::up_or_skip("topics", 1, Extra::default()) else {
        return;
    };
    let text = |keys: &str| text(HEAD, &[("main", cluster.brokers(), keys)], &[REGION]);
    let missing = refusal(&text("create_topics = false"));
    for part in ["main", "transactions-north", "does not exist"] {
        assert!(missing.contains(part), "{missing}");
    }
    cluster.create_topic("transactions-north", 3, 1);
    let differs = refusal(&text(""));
    for part in [
        "main",
        "'transactions-north' has 3 partitions",
        "2 are configured",
    ] {
        assert!(differs.contains(part), "{differs}");
    }
}

#[test]
fn a_cluster_that_does_not_answer_keeps_a_node_from_starting_for_so_long_only() {
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = silent.local_addr().expect("bound").to_string();
    // Port 1 has no listener.
    for broker in ["127.0.0.1:1", &silent] {
        let clusters = [("far-away", broker, "start_timeout_ms = 1500")];
        let region = Region {
            cluster: "far-away",
            ..REGION
        };
        let start = Instant::now();
        let reason = refusal(&text(HEAD, &clusters, &[region]));
        assert!(reason.contains("cluster far-away"), "{reason}");
        assert!(
            start.elapsed() >= Duration::from_millis(1400),
            "gave up early"
        );
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "{:?}",
            start.elapsed()
        );
    }
}

#[test]
fn a_node_whose_topic_is_deleted_fails_and_names_it() {
    let Some(cluster) = KafkaCluster::up_or_skip("deleted", 1, Extra::default()) else {
        return;
    };
    for membership in ["", "[membership]\nmode = \"group\"\ninstance = \"a\"\n"] {
        let head = format!("{HEAD}{membership}");
        let text = text(&head, &[("main", cluster.brokers(), "")], &[REGION]);
        let mut node = fleet::start(&config(&text));
        let load = Load::start(
            node.submitter().expect("a port is left"),
            "tx",
            100,
            &[REGION],
        );
        wait_until("it takes transactions", || {
            load.receipts_near(REGION.id) > 50
        });
        delete(&cluster, "transactions-north");
        wait_until_within(Duration::from_secs(40), "it notices", || {
            node.failure().is_some()
        });
        let start = Instant::now();
        let failure = node.stop().expect_err("it has failed").to_string();
        assert!(failure.contains("transactions-north"), "{failure}");
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{:?}",
            start.elapsed()
        );
        load.abandon();
    }
}

fn delete(cluster: &KafkaCluster, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        cluster.client_config().create().expect("a client");
    let results =
        block_on(admin.delete_topics(&[topic], &AdminOptions::new())).expect("the cluster answers");
    for result in results {
        result.expect("deleted");
    }
}

#[test]
fn threads_beside_the_core_never_run_on_its_cpu() {
    let cpus = allowed_cpus().expect("known");
    if cpus.len() < 2 {
        return kafka::skip("needs two CPUs to tell where threads run");
    }
    let Some(cluster) = KafkaCluster::up_or_skip("threads", 1, Extra::default()) else {
        return;
    };
    let before = threads();
    let text = text(HEAD, &[("main", cluster.brokers(), "")], &[REGION]);
    let mut node = fleet::start(&config(&text));
    let load = Load::start(
        node.submitter().expect("a port is left"),
        "tx",
        100,
        &[REGION],
    );
    // By then each client has used its broker, which is when it starts that broker's thread.
    wait_until("it takes transactions", || {
        load.receipts_near(REGION.id) > 50
    });
    let found: Vec<_> = threads()
        .into_iter()
        .filter(|thread| !before.iter().any(|old| old.id == thread.id))
        .collect();
    let core = found.iter().find(|t| t.name.starts_with("core-0"));
    let cpu = core.expect("the core's thread").cpus.clone();
    assert!(
        cpu.parse::<usize>().is_ok(),
        "the core is pinned to one CPU, not {cpu}"
    );
    let (mut native, mut helpers) = (0, 0);
    for thread in &found {
        native += usize::from(thread.name.starts_with("rdk:"));
        helpers += usize::from(thread.name.starts_with("kafka-"));
        let is_ours = ["rdk:", "kafka-"]
            .iter()
            .any(|p| thread.name.starts_with(p));
        assert!(
            !is_ours || !contains(&thread.cpus, &cpu),
            "{thread:?} beside {cpu}"
        );
    }
    // Producer, transactional producer and consumer: a main thread and a broker's at least.
    // The helper, and the thread of its calls that may never come back.
    assert!(native >= 6 && helpers == 2, "{found:?}");
    load.stop();
    node.drain(fleet::PATIENCE).expect("drained in time");
    node.stop().expect("stopped cleanly");
}

#[derive(Debug)]
struct Thread {
    id: String,
    name: String,
    /// The kernel's list of the CPUs that it may run on, such as `0-2,5`.
    cpus: String,
}

fn threads() -> Vec<Thread> {
    let entries = fs::read_dir("/proc/self/task").expect("Linux has it");
    let mut threads = Vec::new();
    for entry in entries {
        let path = entry.expect("a listing of threads does not fail").path();
        let read = |name: &str| fs::read_to_string(path.join(name));
        // A thread may end meanwhile.
        let (Ok(name), Ok(status)) = (read("comm"), read("status")) else {
            continue;
        };
        let mut lines = status.lines();
        let cpus = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        threads.push(Thread {
            id: path.display().to_string(),
            name: name.trim().to_owned(),
            cpus: cpus.unwrap_or_default().trim().to_owned(),
        });
    }
    threads
}

/// Whether the kernel's list contains a CPU.
fn contains(list: &str, cpu: &str) -> bool {
    let cpu: usize = cpu.parse().expect("one CPU");
    list.split(',').any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<usize>().expect("a number");
        (number(first)..=number(last)).contains(&cpu)
    })
}
