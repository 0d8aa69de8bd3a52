//! What a load over Kafka's protocol promises: every record is accounted for, or the result says
//! that it is partial; and nothing of it stays behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::time::Duration;

use corelane::bench::error::BenchError;
use corelane::bench::kafka::{KafkaOptions, KafkaTarget, Place, Profile, open};
use corelane::bench::meters::{Count, Span};
use corelane::bench::target::{End, Load, Stop, Target};
use corelane::bench::traffic::{Keys, Traffic, Values};
use corelane::config::{Config, HttpChoice};
use corelane::control::{Node, NodeOptions};
use corelane::engine::ledger::Ledger;
use corelane::ids::Acks;
use corelane::kafka::operator::Operator;
use rdkafka::mocking::MockCluster;

fn traffic() -> Traffic {
    Traffic {
        topics: 2,
        partitions: 4,
        producers: 2,
        subscriptions: 2,
        consumers: 2,
        keys: Keys::RoundRobin,
        values: Values::generate(100, 4, 0.5),
        acks: Acks::All,
    }
}

fn paced(rate: u64, seconds: f64) -> Load {
    Load {
        rate: NonZeroU64::new(rate),
        span: Duration::from_secs_f64(seconds),
    }
}

/// A node with a Kafka listener, in this process.
fn node(data: &std::path::Path) -> Node {
    let mut config = Config::default();
    config.node.cores = 1;
    config.log.directory = data.join("data");
    config.gateway.tcp.clear();
    config.control.http = HttpChoice::Off;
    config.broker.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    Node::start(&config, NodeOptions::default(), Ledger::new).expect("a node starts")
}

#[test]
fn every_record_comes_back_once_for_each_subscription_and_nothing_stays_behind() {
    let parent = tempfile::tempdir().unwrap();
    let place = Place::Node {
        config: None,
        cores: Some(1),
        data_parent: parent.path().to_path_buf(),
    };
    let options = KafkaOptions::new(place, traffic(), Profile::Latency);
    let mut target = open(&options).unwrap();
    let facts = target.facts();
    assert_eq!(facts.name, "listener");
    assert_eq!(
        facts.durability,
        "acks=all: on stable storage, by group commit"
    );
    assert!(facts.versions[0].starts_with("librdkafka 2."), "{facts:?}");
    let linger = ("producer linger.ms".to_owned(), "0".to_owned());
    assert!(facts.settings.contains(&linger), "{facts:?}");
    let probe = target.probe();
    for load in [paced(2000, 0.5), paced(500, 0.5)] {
        let before = probe.snapshot();
        let records = load.rate.unwrap().get() / 2;
        assert_eq!(target.run(&load, &Stop::default()).unwrap(), End::Complete);
        let told = probe.snapshot().since(&before);
        assert_eq!(told.count(Count::Sent), records);
        assert_eq!(told.count(Count::SentBytes), 100 * records);
        assert_eq!(told.count(Count::Acked), records);
        assert_eq!(told.count(Count::Received), 2 * records);
        assert_eq!(told.count(Count::Failed), 0);
        assert_eq!(told.span(Span::Produce).len(), records);
        assert_eq!(told.span(Span::PublishDelay).len(), records);
        assert_eq!(told.span(Span::EndToEnd).len(), 2 * records);
        assert_eq!(told.span(Span::Consume).len(), 2 * records);
    }
    assert!(probe.usage().busy_ns.len() == 1 && probe.usage().busy_ns[0] > 0);
    drop(target);
    let left: Vec<_> = std::fs::read_dir(parent.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_load_without_a_rate_tells_no_latency_and_ends_when_it_is_asked_to() {
    let parent = tempfile::tempdir().unwrap();
    let node = node(parent.path());
    let address = node.kafka_addresses()[0].to_string();
    let place = Place::Running(address.clone());
    let options = KafkaOptions::new(place, traffic(), Profile::Throughput);
    let mut target = KafkaTarget::open(&options).unwrap();
    let durability = target.facts().durability;
    assert!(
        durability.contains("on stable storage of 1 of 1"),
        "{durability}"
    );
    let (probe, stop) = (target.probe(), Stop::default());
    let gate = target.gate();
    gate.close();
    let load = Load {
        rate: None,
        span: Duration::from_secs(3600),
    };
    let end = std::thread::scope(|scope| {
        let run = scope.spawn(|| target.run(&load, &stop));
        while gate.backlog() < 10_000 && !run.is_finished() {
            std::thread::yield_now();
        }
        gate.open();
        stop.ask();
        run.join().unwrap().unwrap()
    });
    assert_eq!(end, End::Complete);
    let told = probe.snapshot();
    assert!(told.count(Count::Acked) >= 5_000);
    assert_eq!(told.count(Count::Received), 2 * told.count(Count::Acked));
    assert_eq!(
        told.span(Span::Produce).len() + told.span(Span::EndToEnd).len(),
        0
    );
    drop(target);
    let brokers = [("bootstrap.servers".to_owned(), address)];
    let operator = Operator::new(&brokers, Duration::from_secs(10)).unwrap();
    let topics = operator.topics().unwrap();
    let left = topics
        .iter()
        .any(|topic| topic.name.starts_with("corelane-bench"));
    assert!(!left, "{topics:?}");
    node.stop().unwrap();
}

#[test]
fn a_target_that_dies_leaves_a_partial_result_and_takes_no_further_load() {
    let parent = tempfile::tempdir().unwrap();
    let node = node(parent.path());
    let place = Place::Running(node.kafka_addresses()[0].to_string());
    let mut options = KafkaOptions::new(place, traffic(), Profile::Latency);
    options.patience = Duration::from_secs(2);
    let mut target = open(&options).unwrap();
    let probe = target.probe();
    let before = probe.snapshot().count(Count::Acked);
    let end = std::thread::scope(|scope| {
        let run = scope.spawn(|| target.run(&paced(1000, 3600.0), &Stop::default()));
        while probe.snapshot().count(Count::Acked) < before + 100 && !run.is_finished() {
            std::thread::yield_now();
        }
        node.stop().unwrap();
        run.join().unwrap().unwrap()
    });
    let End::Partial(reason) = end else {
        panic!("{end:?}");
    };
    assert!(reason.contains("nothing was acknowledged"), "{reason}");
    assert!(probe.snapshot().count(Count::Acked) >= before + 100);
    let again = target.run(&paced(1, 1.0), &Stop::default());
    assert!(matches!(again, Err(BenchError::Target { .. })), "{again:?}");
}

#[test]
fn a_cluster_that_does_not_describe_its_topics_is_not_called_durable() {
    let mock = MockCluster::new(3).unwrap();
    // The mock creates a topic, of four partitions, when it is asked about one.
    let place = Place::Brokers(vec![
        ("bootstrap.servers".to_owned(), mock.bootstrap_servers()),
        ("allow.auto.create.topics".to_owned(), "true".to_owned()),
    ]);
    let options = KafkaOptions::new(place, traffic(), Profile::Latency);
    let mut target = open(&options).unwrap();
    let facts = target.facts();
    assert_eq!(facts.name, "cluster");
    assert!(facts.durability.contains("unknown"), "{}", facts.durability);
    let probe = target.probe();
    let before = probe.snapshot();
    let end = target.run(&paced(1000, 0.5), &Stop::default()).unwrap();
    assert_eq!(end, End::Complete);
    let told = probe.snapshot().since(&before);
    assert_eq!(told.count(Count::Acked), 500);
    assert_eq!(told.count(Count::Received), 1000);
}

#[test]
fn values_that_cannot_carry_a_mark_and_absurd_numbers_are_refused() {
    let place = || Place::Running("127.0.0.1:1".to_owned());
    let mut short = traffic();
    short.values = Values::generate(15, 1, 1.0);
    let error = open(&KafkaOptions::new(place(), short, Profile::Latency));
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("--size: 15") && error.contains("16 bytes"),
        "{error}"
    );
    let mut many = traffic();
    (many.topics, many.producers) = (u32::MAX, u32::MAX);
    let error = open(&KafkaOptions::new(place(), many, Profile::Latency));
    assert!(matches!(error.err(), Some(BenchError::Option { .. })));
}
