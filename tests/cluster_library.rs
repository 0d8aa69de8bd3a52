//! The library surface over clusters against a real Kafka: what the mock cluster does not do as
//! Kafka does, and that the examples work.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corelane::geo::{GeoLocation, ShardManager, ShardSpec};
use corelane::ids::{Acks, Offset, ShardId, UnixMicros};
use corelane::kafka::client::{
    ClientOptions, Partitions, ShardTopic, ShardTopics, StopHandle, TransactionConsumer,
    TransactionProducer,
};
use corelane::kafka::properties::{ConsumerConfig, ProducerConfig};
use corelane::transaction::{Transaction, TransactionId, codec};
use futures_lite::future::block_on;
use kafka::{Extra, Isolation, KafkaCluster};

/// How long anything here may take, with three brokers on few CPUs.
const PATIENCE: Duration = Duration::from_secs(60);

const TOPIC: &str = "transactions-1";
const PARTITIONS: u32 = 6;

fn producer(cluster: &KafkaCluster, config: ProducerConfig) -> TransactionProducer {
    let place = GeoLocation::new(0.0, 0.0).unwrap();
    let shard = ShardSpec {
        id: ShardId(1),
        location: place,
    };
    let topic = ShardTopic {
        shard: ShardId(1),
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
    };
    let geo = ShardManager::new(vec![shard], None).unwrap();
    let shards = ShardTopics::new(geo, vec![topic]).unwrap();
    let config = ProducerConfig {
        brokers: vec![cluster.brokers().to_owned()],
        ..config
    };
    TransactionProducer::connect(&config, &ClientOptions::default(), shards).unwrap()
}

fn transaction(number: u64) -> Transaction {
    Transaction {
        id: TransactionId::new(format!("id {number}").as_bytes()).unwrap(),
        client_location: GeoLocation::new(10.0, 10.0).unwrap(),
        submitted_at: UnixMicros(1_700_000_000_000_000),
        amount: Some(number),
        payload: b"payload".to_vec(),
    }
}

fn send(producer: &TransactionProducer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        drop(block_on(producer.enqueue(&transaction(number))).unwrap());
    }
    producer.flush(PATIENCE).unwrap();
}

/// A member of the group in a thread of its own; sends on the number of each transaction.
struct Member {
    seen: Receiver<u64>,
    stop: StopHandle,
    thread: JoinHandle<()>,
}

impl Member {
    fn start(cluster: &KafkaCluster) -> Member {
        let config = ConsumerConfig {
            brokers: vec![cluster.brokers().to_owned()],
            group_id: "readers".to_owned(),
            topics: vec![TOPIC.to_owned()],
            ..ConsumerConfig::default()
        };
        let options = ClientOptions::default();
        let mut consumer =
            TransactionConsumer::connect(&config, &options, Partitions::OfGroup).unwrap();
        let stop = consumer.stop_handle();
        let (sender, seen) = channel();
        let thread = std::thread::spawn(move || {
            consumer
                .process_transactions(|tx, _| {
                    // The test may have ended.
                    let _ = sender.send(tx.amount.unwrap());
                    Ok::<(), Infallible>(())
                })
                .unwrap();
            consumer.close(PATIENCE).unwrap();
        });
        Member { seen, stop, thread }
    }

    fn stop(self) -> Vec<u64> {
        self.stop.stop();
        self.thread.join().unwrap();
        self.seen.try_iter().collect()
    }
}

#[test]
fn receipts_name_what_a_third_party_reads_and_a_second_consumer_goes_on() {
    let Some(cluster) = KafkaCluster::up_or_skip("library", 1, Extra::default()) else {
        return;
    };
    cluster.create_topic(TOPIC, PARTITIONS.cast_signed(), 1);
    let producer = producer(&cluster, ProducerConfig::throughput());
    let mut receipts = BTreeSet::new();
    let deliveries: Vec<_> = (0..1000)
        .map(|number| block_on(producer.enqueue(&transaction(number))).unwrap())
        .collect();
    for delivery in deliveries {
        let receipt = block_on(delivery).unwrap();
        assert_eq!((receipt.shard, receipt.acks), (ShardId(1), Acks::All));
        assert!(receipt.timestamp.0 > 1_600_000_000_000);
        receipts.insert((receipt.partition.0, receipt.offset, receipt.id));
    }
    let records = cluster.consume_all(TOPIC, Isolation::ReadCommitted);
    let read: BTreeSet<_> = records
        .iter()
        .map(|record| {
            let key = record.key.as_deref().unwrap();
            let value = record.value.as_deref().unwrap();
            assert_eq!(codec::decode(value).unwrap().id, key);
            let id = TransactionId::new(key).unwrap();
            (record.partition.cast_unsigned(), Offset(record.offset), id)
        })
        .collect();
    assert_eq!((records.len(), read), (1000, receipts));

    let first = Member::start(&cluster);
    let mut seen: Vec<u64> = (0..500)
        .map(|_| first.seen.recv_timeout(PATIENCE).unwrap())
        .collect();
    seen.extend(first.stop());
    send(&producer, 1000..1100);
    let second = Member::start(&cluster);
    while seen.len() < 1100 {
        seen.push(second.seen.recv_timeout(PATIENCE).unwrap());
    }
    seen.extend(second.stop());
    assert_eq!(seen.len(), 1100, "each once");
    assert_eq!(BTreeSet::from_iter(seen), (0..1100).collect());
}

#[test]
fn partitions_are_given_away_with_their_positions() {
    let Some(cluster) = KafkaCluster::up_or_skip("library", 1, Extra::default()) else {
        return;
    };
    cluster.create_topic(TOPIC, PARTITIONS.cast_signed(), 1);
    let producer = producer(&cluster, ProducerConfig::latency());
    let first = Member::start(&cluster);
    send(&producer, 0..200);
    let mut seen: Vec<u64> = (0..200)
        .map(|_| first.seen.recv_timeout(PATIENCE).unwrap())
        .collect();
    let second = Member::start(&cluster);
    // New ones until the second member has some of them.
    let (mut sent, mut of_second) = (200, 0);
    let start = Instant::now();
    while of_second == 0 {
        assert!(start.elapsed() < PATIENCE, "it gets no partition");
        send(&producer, sent..sent + 20);
        sent += 20;
        while (seen.len() as u64) < sent {
            seen.extend(first.seen.recv_timeout(Duration::from_millis(10)));
            let before = seen.len();
            seen.extend(second.seen.try_iter());
            of_second += seen.len() - before;
            assert!(start.elapsed() < PATIENCE, "some are missing");
        }
    }
    // And back: what the second one leaves behind is the first one's again.
    seen.extend(second.stop());
    send(&producer, sent..sent + 100);
    while (seen.len() as u64) < sent + 100 {
        seen.push(first.seen.recv_timeout(PATIENCE).unwrap());
    }
    seen.extend(first.stop());
    assert_eq!(seen.len() as u64, sent + 100, "each once");
    assert_eq!(BTreeSet::from_iter(seen), (0..sent + 100).collect());
}

#[test]
fn the_examples_send_and_read() {
    let Some(cluster) = KafkaCluster::up_or_skip("library", 1, Extra::default()) else {
        return;
    };
    let run = |example: &str, arguments: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--example", example, "--"])
            .args(["--brokers", cluster.brokers()])
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{example}: {error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let sent = run("producer", &["--count", "100"]);
    assert!(sent.contains("100 sent"), "{sent}");
    let read = run("consumer", &["--count", "100"]);
    assert!(read.contains("100 processed, amounts 505000"), "{read}");
}
