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

use std::time::{Duration, Instant};

use corelane::control::Node;
use corelane::telemetry::Counter;
use echo::EchoSetup;
use judge::{judge, sum, sum_of_receipts};
use kafka::{Extra, Isolation, KafkaCluster};
use random::Random;
use traffic::Traffic;

const ROUNDS: u64 = 10;

/// How long what was taken in may take to be processed while nothing is wrong any more.
const PATIENCE: Duration = Duration::from_secs(60);

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
    let address = setup.address();
    std::thread::scope(|scope| {
        let ending = traffic.start(scope, &address);
        traffic.wait_for_more(100);
        for round in 0..rounds() {
            let topic = ["transactions-east", "transactions-west"][round as usize % 2];
            let partition = (round / 2 % 2) as i32;
            let leader = cluster.leader_of(topic, partition);
            cluster.kill(leader);
            traffic.wait_for_more(300);
            cluster.start(leader);
            wait_in_sync(&cluster);
        }
        drop(ending);
    });
    let receipts = traffic.receipts();
    node.drain(PATIENCE).expect("all is processed");
    let report = node.report().expect("the cores answer");
    assert_eq!(sum(report.ledger.values()), sum_of_receipts(&receipts));
    node.stop().expect("nothing has failed");
    judge(&cluster, &receipts);
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
    let status = child.stop();
    assert!(status.success(), "{status}");
    judge(&cluster, &traffic.receipts());
}

fn wait_in_sync(cluster: &KafkaCluster) {
    for (topic, partitions) in EchoSetup::topics() {
        for partition in 0..partitions {
            cluster.wait_in_sync(&topic, partition, 3);
        }
    }
}
