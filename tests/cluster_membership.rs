//! Several nodes on one cluster: who processes what, when one comes, leaves, dies, or goes on
//! though another has taken its place.

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/kafka.rs"]
mod kafka;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corelane::control::Node;
use corelane::ids::ShardId;
use corelane::telemetry::Counter;
use tempfile::NamedTempFile;

use fleet::{Books, Load, Region, Sent, all_have_receipts, config, count, text, wait_until};
use kafka::{Extra, KafkaCluster};

const NORTH: Region = Region {
    id: ShardId(0),
    name: "north",
    latitude: 60.0,
    longitude: 10.0,
    cluster: "main",
    partitions: 4,
};

const SOUTH: Region = Region {
    id: ShardId(1),
    name: "south",
    latitude: -30.0,
    longitude: 10.0,
    cluster: "main",
    partitions: 4,
};

const REGIONS: [Region; 2] = [NORTH, SOUTH];

fn head(cores: u16, membership: &str) -> String {
    format!("[node]\ncores = {cores}\noversubscribe = true\n[membership]\n{membership}\n")
}

fn started(cluster: &KafkaCluster, cores: u16, membership: &str, keys: &str) -> Node {
    let clusters = [("main", cluster.brokers(), keys)];
    fleet::start(&config(&text(
        &head(cores, membership),
        &clusters,
        &REGIONS,
    )))
}

fn books(cluster: &KafkaCluster) -> Books {
    Books::read(&[("main", cluster)], &REGIONS)
}

fn load(node: &mut Node, name: &str) -> Load {
    Load::start(
        node.submitter().expect("a port is left"),
        name,
        200,
        &REGIONS,
    )
}

#[test]
fn nodes_with_different_shards_process_their_own_and_take_in_for_all() {
    let Some(cluster) = KafkaCluster::up_or_skip("shards", 1, Extra::default()) else {
        return;
    };
    let mut north = started(&cluster, 1, "shards = [0]", "");
    let mut south = started(&cluster, 1, "shards = [1]", "");
    let loads = [load(&mut north, "n"), load(&mut south, "s")];
    wait_until("both take transactions for both", || {
        let enough = |load: &Load| REGIONS.iter().all(|r| load.receipts_near(r.id) > 200);
        loads.iter().all(enough)
    });
    let sent: Vec<Sent> = loads.into_iter().flat_map(|load| load.stop().0).collect();
    all_have_receipts(&sent);
    let books = books(&cluster);
    for (node, region) in [(&north, NORTH), (&south, SOUTH)] {
        let stored = books.of_shard(region.id) as u64;
        wait_until("its shard is processed", || {
            count(node, Counter::Processed) >= stored
        });
    }
    for (node, region) in [(north, NORTH), (south, SOUTH)] {
        node.drain(fleet::PATIENCE).expect("drained in time");
        let stored = books.of_shard(region.id) as u64;
        assert_eq!(count(&node, Counter::Processed), stored, "{}", region.name);
        node.stop().expect("stopped cleanly");
    }
    let books = self::books(&cluster);
    books.check(&sent);
    assert_eq!(books.len(), sent.len());
}

#[test]
fn a_standby_takes_over_and_the_one_before_stops_and_puts_nothing_out_twice() {
    let Some(cluster) = KafkaCluster::up_or_skip("standby", 1, Extra::default()) else {
        return;
    };
    let mut first = started(&cluster, 2, "", "");
    let first_load = load(&mut first, "first");
    wait_until("the first takes transactions", || {
        REGIONS.iter().all(|r| first_load.receipts_near(r.id) > 200)
    });
    let mut second = started(&cluster, 2, "", "");
    let second_load = load(&mut second, "second");
    wait_until("the first notices", || first.failure().is_some());
    let failure = first.stop().expect_err("it is fenced").to_string();
    let reason = "cluster main: another instance of this node has taken over";
    assert!(failure.contains(reason), "{failure}");
    wait_until("the second takes transactions", || {
        REGIONS
            .iter()
            .all(|r| second_load.receipts_near(r.id) > 200)
    });
    let mut sent = first_load.sent().clone();
    first_load.abandon();
    let (of_second, _submitter) = second_load.stop();
    all_have_receipts(&of_second);
    sent.extend(of_second);
    second.drain(fleet::PATIENCE).expect("drained in time");
    let report = second.report().expect("every core answers");
    second.stop().expect("stopped cleanly");
    let books = books(&cluster);
    books.check(&sent);
    books.check_ledger(&report, &sent);
}

#[test]
fn a_node_with_fewer_cores_fences_the_cores_that_only_its_predecessor_had() {
    let Some(cluster) = KafkaCluster::up_or_skip("fewer", 1, Extra::default()) else {
        return;
    };
    let mut first = started(&cluster, 2, "", "");
    let first_load = load(&mut first, "first");
    wait_until("the first takes transactions", || {
        REGIONS.iter().all(|r| first_load.receipts_near(r.id) > 100)
    });
    let mut second = started(&cluster, 1, "", "");
    // From here on nothing of the first may be put out.
    let second_load = load(&mut second, "second");
    wait_until("the second takes transactions", || {
        REGIONS
            .iter()
            .all(|r| second_load.receipts_near(r.id) > 300)
    });
    let mut sent = first_load.sent().clone();
    let failure = first.stop().expect_err("it is fenced").to_string();
    assert!(failure.contains("has taken over"), "{failure}");
    first_load.abandon();
    let (of_second, _submitter) = second_load.stop();
    sent.extend(of_second);
    second.drain(fleet::PATIENCE).expect("drained in time");
    let report = second.report().expect("every core answers");
    second.stop().expect("stopped cleanly");
    let books = books(&cluster);
    books.check(&sent);
    books.check_ledger(&report, &sent);
}

/// A group's members notice a dead one after the shortest time that brokers allow.
const SESSION: &str =
    "extra = { \"session.timeout.ms\" = \"6000\", \"heartbeat.interval.ms\" = \"500\" }";

fn in_group(instance: &str) -> String {
    format!("mode = \"group\"\ninstance = \"{instance}\"")
}

/// Partitions that a node has.
fn held(node: &Node) -> u64 {
    let counters = node.counters();
    let get = |counter| counters.get(counter);
    get(Counter::PartitionsAssigned) - get(Counter::PartitionsRevoked)
}

/// Waits until the nodes hold all partitions, each at least one, and meanwhile checks that
/// processing goes on.
fn wait_until_shared(what: &str, nodes: &[&Node], all: u64) {
    /// Longer than this without anything processed is a stop of the world; the machine may be
    /// loaded, but a session lasts 6 s.
    const STALL: Duration = Duration::from_secs(5);
    let processed = || -> u64 { nodes.iter().map(|n| count(n, Counter::Processed)).sum() };
    let (mut last, mut moved) = (processed(), Instant::now());
    wait_until(what, || {
        let now = processed();
        if now > last {
            (last, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < STALL, "nothing is processed: {what}");
        let failed = nodes.iter().find_map(|node| node.failure());
        assert!(failed.is_none(), "{failed:?}: {what}");
        let each: Vec<u64> = nodes.iter().map(|node| held(node)).collect();
        each.iter().sum::<u64>() == all && each.iter().all(|held| *held > 0)
    });
}

#[test]
fn a_group_shares_the_partitions_while_members_come_leave_and_die() {
    let Some(cluster) = KafkaCluster::up_or_skip("group", 1, Extra::default()) else {
        return;
    };
    let all = u64::from(NORTH.partitions + SOUTH.partitions);
    let mut a = started(&cluster, 1, &in_group("a"), SESSION);
    let load = load(&mut a, "tx");
    wait_until("one has all and works", || {
        held(&a) == all && count(&a, Counter::Processed) > 0
    });
    let b = started(&cluster, 1, &in_group("b"), SESSION);
    wait_until_shared("two share them", &[&a, &b], all);
    let held_by_two = held(&a);
    assert!(held_by_two < all && count(&a, Counter::PartitionsRevoked) > 0);
    let rebalances = count(&a, Counter::Rebalances);
    assert!(rebalances >= 2, "given all, then some taken: {rebalances}");

    // A third dies without a goodbye.
    let mut third = Other::start(&text(
        &head(1, &in_group("c")),
        &[("main", cluster.brokers(), SESSION)],
        &REGIONS,
    ));
    wait_until("three share them", || held(&a) + held(&b) < all);
    third.wait_until_it_processes();
    third.kill();
    wait_until("what the dead one had is taken over", || {
        held(&a) + held(&b) == all
    });

    // One leaves as it should.
    let processed = count(&b, Counter::Processed);
    assert!(processed > 0, "the second has processed some");
    b.stop().expect("stopped cleanly");
    wait_until_shared("the last has all", &[&a], all);
    let (sent, _submitter) = load.stop();
    all_have_receipts(&sent);
    a.drain(fleet::PATIENCE).expect("drained in time");
    assert_eq!(a.lag(), 0);
    assert!(a.failure().is_none());
    let report = a.report().expect("every core answers");
    a.stop().expect("stopped cleanly");
    let books = books(&cluster);
    assert_eq!(books.len(), sent.len());
    books.check(&sent);
    books.check_ledger(&report, &sent);
}

#[test]
fn positions_are_committed_before_partitions_are_given_away() {
    let Some(cluster) = KafkaCluster::up_or_skip("handover", 1, Extra::default()) else {
        return;
    };
    let all = u64::from(NORTH.partitions + SOUTH.partitions);
    // Where a crash repeats some, a clean change of hands must not.
    let keys = format!("processing = \"at_least_once\"\n{SESSION}");
    let mut a = started(&cluster, 1, &in_group("a"), &keys);
    let load = load(&mut a, "tx");
    wait_until("one has all and works", || {
        held(&a) == all && count(&a, Counter::Processed) > 0
    });
    let b = started(&cluster, 1, &in_group("b"), &keys);
    wait_until_shared("two share them", &[&a, &b], all);
    let c = started(&cluster, 1, &in_group("c"), &keys);
    wait_until_shared("three share them", &[&a, &b, &c], all);
    let mut done = leave(c);
    wait_until_shared("the other two have all", &[&a, &b], all);
    done += leave(b);
    wait_until_shared("the last has all", &[&a], all);
    let (sent, _submitter) = load.stop();
    all_have_receipts(&sent);
    assert!(done > 0);
    a.drain(fleet::PATIENCE).expect("drained in time");
    let report = a.report().expect("every core answers");
    a.stop().expect("stopped cleanly");
    let books = books(&cluster);
    assert_eq!(books.len(), sent.len());
    books.check(&sent);
    books.check_ledger(&report, &sent);
}

/// Stops a node that has processed some; returns how many.
fn leave(node: Node) -> u64 {
    wait_until("it has processed some", || {
        count(&node, Counter::Processed) > 0
    });
    // Those that it finishes at its stop are not among them.
    let processed = count(&node, Counter::Processed);
    node.stop().expect("stopped cleanly");
    processed
}

/// Names the file with the configuration of the node that the process shall be.
const CONFIG_FILE: &str = "CORELANE_TEST_NODE";

/// A node in a process of its own, so that it can die: this binary again, told to run
/// [`acts_as_a_node_of_another_test`] alone.
struct Other {
    child: Child,
    _config: NamedTempFile,
}

impl Other {
    fn start(text: &str) -> Other {
        let config = NamedTempFile::new().expect("a temporary file");
        std::fs::write(config.path(), text).expect("a temporary file");
        let child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "--ignored", "--nocapture"])
            .arg("acts_as_a_node_of_another_test")
            .env(CONFIG_FILE, config.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary runs");
        Other {
            child,
            _config: config,
        }
    }

    fn wait_until_it_processes(&mut self) {
        let output = self.child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let said = lines.any(|line| line.is_ok_and(|line| line.contains("has processed some")));
        assert!(said, "the node has ended by itself");
    }

    fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "runs as a part of another test, in a process of its own"]
fn acts_as_a_node_of_another_test() {
    let file = std::env::var_os(CONFIG_FILE).expect("set by the other test");
    let text = std::fs::read_to_string(file).expect("written by the other test");
    let node = fleet::start(&config(&text));
    wait_until("it processes", || {
        assert!(node.failure().is_none(), "{:?}", node.failure());
        count(&node, Counter::Processed) > 50
    });
    println!("this node has processed some");
    // Until it is killed; not for ever, should the other test be gone.
    let start = Instant::now();
    while start.elapsed() < fleet::PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
}
