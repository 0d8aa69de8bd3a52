//! A real cluster that fails under load: brokers killed and stopped, connections cut, transactions
//! that expire or are aborted, and our own process killed. What must hold at the end, whatever
//! happened, is in `support/judge.rs`: every receipt's transaction is in the log, every output is
//! there once, the ledger's totals equal the receipts'.
//!
//! `CORELANE_TEST_SEED` repeats a run's choices (not its timing), `CORELANE_FAULT_ROUNDS` sets the
//! number of rounds.

#[path = "support/echo.rs"]
mod echo;
#[path = "support/judge.rs"]
mod judge;
#[path = "support/kafka.rs"]
mod kafka;
#[path = "support/load.rs"]
mod load;
#[path = "support/random.rs"]
mod random;
#[path = "support/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use corelane::client::{Client, ClientOptions};
use corelane::control::Node;
use corelane::engine::process::{DEAD_LETTER_PARTITION, DEAD_LETTER_REASON};
use corelane::ids::Acks;
use corelane::telemetry::Counter;
use echo::EchoSetup;
use judge::{judge, judge_at_least_once, sum, sum_of_receipts};
use kafka::{Extra, Isolation, KafkaCluster};
use random::Random;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use traffic::Traffic;

const ROUNDS: u64 = 10;

/// How long what was taken in may take to be processed while nothing is wrong any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a test fails, says why its node has, if it has.
struct TellFailure<'a>(&'a Node);

impl Drop for TellFailure<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the node: {:?}", self.0.failure());
        }
    }
}

fn rounds() -> u64 {
    std::env::var("CORELANE_FAULT_ROUNDS")
        .map_or(ROUNDS, |rounds| rounds.parse().expect("a number"))
}

#[test]
fn node_of_another_test() {
    echo::serve_if_asked();
}

#[test]
fn killed_leaders_lose_and_repeat_nothing() {
    let Some(cluster) = KafkaCluster::up_or_skip("leaders", 3, Extra::default()) else {
        return;
    };
    let setup = EchoSetup::new(&cluster, "");
    let node = setup.start();
    let traffic = Traffic::default();
    let telling = TellFailure(&node);
    let address = setup.address();
    std::thread::scope(|scope| {
        let ending = traffic.start(scope, &address);
        traffic.wait_for_more(100);
        poison(&cluster);
        for round in 0..rounds() {
            let topic = ["transactions-east", "transactions-west"][round as usize % 2];
            let partition = (round / 2 % 2) as i32;
            let leader = cluster.leader_of(topic, partition);
            cluster.kill(leader);
            traffic.wait_for_more(300);
            cluster.start(leader);
            wait_in_sync(&cluster);
        }
        // One that hands over its leaderships before it goes.
        let leader = cluster.leader_of("transactions-east", 0);
        cluster.stop(leader);
        traffic.wait_for_more(300);
        cluster.start(leader);
        wait_in_sync(&cluster);
        drop(ending);
    });
    let receipts = traffic.receipts();
    node.drain(PATIENCE).expect("all is processed");
    let report = node.report().expect("the cores answer");
    assert_eq!(sum(report.ledger.values()), sum_of_receipts(&receipts));
    drop(telling);
    node.stop().expect("nothing has failed");
    judge(&cluster, &receipts);
    poison_is_put_aside(&cluster);
}

#[test]
fn our_own_process_killed_loses_and_repeats_nothing() {
    let Some(cluster) = KafkaCluster::up_or_skip("kill9", 3, Extra::default()) else {
        return;
    };
    let mut random = Random::from_environment("kill9");
    let setup = EchoSetup::new(&cluster, "");
    let traffic = Traffic::default();
    let address = setup.address();
    let mut child = setup.start_child(2);
    std::thread::scope(|scope| {
        let ending = traffic.start(scope, &address);
        for _ in 0..rounds() {
            traffic.wait_for_more(random.within(1..1000) as usize);
            std::thread::sleep(Duration::from_micros(random.within(0..20_000)));
            child.kill9();
            // Another number of cores moves partitions between transactional ids.
            child = setup.start_child(random.within(1..3));
        }
        traffic.wait_for_more(100);
        drop(ending);
    });
    child.stop();
    judge(&cluster, &traffic.receipts());
}

#[test]
fn at_least_once_loses_nothing_when_node_and_leader_are_killed() {
    let Some(cluster) = KafkaCluster::up_or_skip("leastonce", 3, Extra::default()) else {
        return;
    };
    let mut random = Random::from_environment("leastonce");
    let setup = EchoSetup::new(&cluster, "processing = \"at_least_once\"");
    let traffic = Traffic::default();
    let address = setup.address();
    let mut child = setup.start_child(2);
    std::thread::scope(|scope| {
        let ending = traffic.start(scope, &address);
        for _ in 0..3 {
            traffic.wait_for_more(random.within(1..1000) as usize);
            child.kill9();
            child = setup.start_child(random.within(1..3));
        }
        let leader = cluster.leader_of("transactions-east", 0);
        cluster.kill(leader);
        traffic.wait_for_more(300);
        cluster.start(leader);
        wait_in_sync(&cluster);
        drop(ending);
    });
    child.stop();
    judge_at_least_once(&cluster, &traffic.receipts());
}

#[test]
fn stopped_brokers_and_cut_connections_lose_and_repeat_nothing() {
    // Brokers look soon for transactions that take too long.
    let interval = "transaction.abort.timed.out.transaction.cleanup.interval.ms";
    let extra = Extra {
        properties: vec![(interval, "200")],
        ..Extra::default()
    };
    let Some(cluster) = KafkaCluster::up_or_skip("stopped", 3, extra) else {
        return;
    };
    let traffic = connections_cut_and_brokers_stopped(&cluster, Traffic::default());
    let traffic = records_too_late_for_their_transaction(&cluster, traffic.and_then());
    let traffic = node_stopped_in_a_transaction(&cluster, traffic.and_then());
    judge(&cluster, &traffic.receipts());
}

fn connections_cut_and_brokers_stopped(cluster: &KafkaCluster, traffic: Traffic) -> Traffic {
    let setup = EchoSetup::new(cluster, "");
    let node = setup.start();
    let telling = TellFailure(&node);
    let address = setup.address();
    std::thread::scope(|scope| {
        let ending = traffic.start(scope, &address);
        traffic.wait_for_more(100);
        let memory = resident_kb();
        for _ in 0..10 {
            cut_connections(cluster);
            traffic.wait_for_more(50);
        }
        // Its connections stay open, so only time tells that it is away.
        let slow = cluster.leader_of("transactions-east", 0);
        cluster.pause(slow);
        std::thread::sleep(Duration::from_secs(6));
        traffic.wait_for_more(100);
        cluster.resume(slow);
        traffic.wait_for_more(100);
        for broker in 1..=3 {
            cluster.pause(broker);
        }
        std::thread::sleep(Duration::from_secs(3));
        for broker in 1..=3 {
            cluster.resume(broker);
        }
        traffic.wait_for_more(500);
        let grown = resident_kb().saturating_sub(memory);
        assert!(grown < 200_000, "{grown} kB more");
        wait_in_sync(cluster);
        drop(ending);
    });
    node.drain(PATIENCE).expect("all is processed");
    drop(telling);
    node.stop().expect("nothing has failed");
    traffic
}

/// A record that is given up spoils the transaction that it is part of; and the fate of a
/// submission that is given up is unknown, so its client submits it again.
fn records_too_late_for_their_transaction(cluster: &KafkaCluster, traffic: Traffic) -> Traffic {
    let setup = EchoSetup::new(cluster, "[clusters.main.producer]\ntimeout_ms = 1500");
    let node = setup.start();
    let telling = TellFailure(&node);
    let address = setup.address();
    std::thread::scope(|scope| {
        let ending = traffic.start(scope, &address);
        traffic.wait_for_more(100);
        let slow = cluster.leader_of(echo::OUTPUTS, 0);
        cluster.pause(slow);
        wait_until("a transaction is aborted", || {
            node.counters().get(Counter::TransactionsAborted) > 0
        });
        cluster.resume(slow);
        traffic.wait_for_more(500);
        wait_in_sync(cluster);
        drop(ending);
    });
    node.drain(PATIENCE).expect("all is processed");
    drop(telling);
    node.stop().expect("nothing has failed");
    traffic
}

/// The brokers end what a node has left open for too long; the node finds out and does it again.
fn node_stopped_in_a_transaction(cluster: &KafkaCluster, traffic: Traffic) -> Traffic {
    let setup = EchoSetup::new(
        cluster,
        "[clusters.main.producer]\ntimeout_ms = 2000\n\
         [clusters.main.transaction]\ntimeout_ms = 2000",
    );
    let mut child = setup.start_child(2);
    let address = setup.address();
    std::thread::scope(|scope| {
        let ending = traffic.start(scope, &address);
        for _ in 0..4 {
            traffic.wait_for_more(300);
            child.hold(Duration::from_secs(3));
        }
        traffic.wait_for_more(300);
        drop(ending);
    });
    assert!(child.stop() > 0, "none was open when the node was stopped");
    traffic
}

#[test]
fn a_stop_ends_though_the_cluster_is_away() {
    let Some(cluster) = KafkaCluster::up_or_skip("away", 3, Extra::default()) else {
        return;
    };
    let setup = EchoSetup::new(&cluster, "");
    let node = setup.start();
    let address = setup.address();
    let options = ClientOptions {
        in_flight_max: 64,
        read_timeout: Some(Duration::from_secs(3)),
        ..ClientOptions::default()
    };
    let mut client = Client::connect(&address, options.clone()).expect("the node answers");
    let mut receipts = BTreeMap::new();
    let transaction = |seq| load::transaction(0, seq);
    for seq in 0..64 {
        let receipt = client
            .send_transaction(&transaction(seq))
            .expect("a receipt");
        receipts.insert(receipt.id.to_string(), receipt);
    }
    for broker in 1..=3 {
        cluster.kill(broker);
    }
    for seq in 64..128 {
        let submitted = client.submit(&transaction(seq).borrowed(), Acks::All);
        submitted.expect("back-pressure is no refusal");
    }
    let nothing = client.recv();
    assert!(
        nothing.is_err(),
        "neither receipt nor rejection: {nothing:?}"
    );
    let start = Instant::now();
    let drained = node.drain(Duration::from_secs(2));
    assert!(drained.is_err(), "nothing can be finished");
    // With what was taken in, which is not lost: nobody has a receipt for it.
    let _ = node.stop();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "it took {took:?}");

    cluster.run("start", &["1", "2", "3"]);
    let node = setup.start();
    let options = ClientOptions {
        read_timeout: Some(PATIENCE),
        ..options
    };
    let mut client = Client::connect(&address, options).expect("the node answers");
    for seq in 0..128 {
        let receipt = client
            .send_transaction(&transaction(seq))
            .expect("a receipt");
        let id = receipt.id.to_string();
        let first = receipts.entry(id).or_insert(receipt);
        assert_eq!(first.offset, receipt.offset, "one record for each");
    }
    wait_in_sync(&cluster);
    node.drain(PATIENCE).expect("all is processed");
    node.stop().expect("nothing has failed");
    judge(&cluster, &receipts);
}

/// A record that is no transaction, as somebody else may produce it.
fn poison(cluster: &KafkaCluster) {
    let producer: BaseProducer = cluster.client_config().create().expect("a producer");
    let record = BaseRecord::to("transactions-east").partition(1);
    let record = record.key("poison").payload("no transaction");
    producer.send(record).expect("there is room");
    producer.flush(PATIENCE).expect("the cluster takes it");
}

fn poison_is_put_aside(cluster: &KafkaCluster) {
    let letters = cluster.consume_all("transactions-east.dlq", Isolation::ReadCommitted);
    let [letter] = &letters[..] else {
        panic!("one dead letter, not {letters:?}");
    };
    assert_eq!(letter.value.as_deref(), Some(&b"no transaction"[..]));
    let header = |name| {
        let found = letter.headers.iter().find(|(known, _)| known == name);
        String::from_utf8(found.expect("it is there").1.clone()).expect("text")
    };
    assert_ne!(header(DEAD_LETTER_REASON), "");
    assert_eq!(header(DEAD_LETTER_PARTITION), "1");
}

/// Ends every connection of this process to a broker, whatever is under way on it.
fn cut_connections(cluster: &KafkaCluster) {
    let brokers: Vec<SocketAddr> = cluster
        .brokers()
        .split(',')
        .map(|broker| broker.parse().expect("an address"))
        .collect();
    let me = pidfd_open(getpid(), PidfdFlags::empty()).expect("this process");
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux");
    let mut cut = 0;
    for entry in open {
        let name = entry.expect("Linux").file_name();
        let number = name.to_string_lossy().parse().expect("a number");
        // It may be closed by now, or be no connection.
        let Ok(copy) = pidfd_getfd(&me, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let stream = TcpStream::from(copy);
        if stream.peer_addr().is_ok_and(|peer| brokers.contains(&peer)) {
            cut += usize::from(stream.shutdown(Shutdown::Both).is_ok());
        }
    }
    assert!(cut > 0, "no connection was found");
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("Linux tells it").parse().expect("a number")
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_in_sync(cluster: &KafkaCluster) {
    for (topic, partitions) in EchoSetup::topics() {
        for partition in 0..partitions {
            cluster.wait_in_sync(&topic, partition, 3);
        }
    }
}
