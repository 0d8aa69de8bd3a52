//! What clients may rely on, held with librdkafka against the real binary: what is acknowledged
//! survives kill -9, transactions are seen whole or not at all, groups go on where they were, and what
//! comes in by the topic `transactions` is processed once.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/node.rs"]
mod node;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use broker_node::BrokerNode;

const PATIENCE: Duration = Duration::from_secs(30);

fn config(broker: &BrokerNode) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address.to_string());
    config
}

fn producer(broker: &BrokerNode, more: &[(&str, &str)]) -> BaseProducer {
    let mut config = config(broker);
    config.set("acks", "all").set("linger.ms", "0");
    for (key, value) in more {
        config.set(*key, *value);
    }
    config.create().expect("a valid configuration")
}

fn consumer(broker: &BrokerNode, more: &[(&str, &str)]) -> BaseConsumer {
    let mut config = config(broker);
    config
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false");
    for (key, value) in more {
        config.set(*key, *value);
    }
    config.create().expect("a valid configuration")
}

/// Reads until so many values have come.
fn read(consumer: &BaseConsumer, count: usize) -> Vec<String> {
    let started = Instant::now();
    let mut values = Vec::new();
    while values.len() < count {
        assert!(started.elapsed() < PATIENCE, "only {values:?} came");
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
    }
    values
}

/// The offset after the last record, by partition.
fn ends(broker: &BrokerNode, topic: &str) -> Vec<i64> {
    let consumer = consumer(broker, &[("group.id", "ends")]);
    let metadata = consumer
        .fetch_metadata(Some(topic), PATIENCE)
        .expect("metadata");
    let partitions = metadata.topics()[0].partitions().iter();
    partitions
        .map(|p| {
            let marks = consumer.fetch_watermarks(topic, p.id(), PATIENCE);
            marks.expect("watermarks").1
        })
        .collect()
}

fn place(latitude: &'static str) -> OwnedHeaders {
    let header = |key, value: &'static str| Header {
        key,
        value: Some(value),
    };
    OwnedHeaders::new()
        .insert(header("latitude", latitude))
        .insert(header("longitude", "8.7"))
}

#[test]
fn what_comes_in_by_the_inlet_is_stored_once_and_the_rest_is_a_dead_letter() {
    let broker = BrokerNode::start();
    let producer = producer(&broker, &[("compression.type", "zstd")]);
    for _ in 0..2 {
        for number in 0..50 {
            let id = format!("order-{number}");
            let record = BaseRecord::to("transactions").key(&id).payload("pay");
            producer
                .send(record.headers(place("50.1")))
                .map_err(|(e, _)| e)
                .expect("queued");
        }
        producer.flush(PATIENCE).expect("all are acknowledged");
    }
    assert_eq!(
        ends(&broker, "transactions-frankfurt").iter().sum::<i64>(),
        50
    );
    let record = BaseRecord::to("transactions").key("bad").payload("x");
    producer
        .send(record.headers(place("91")))
        .map_err(|(e, _)| e)
        .expect("queued");
    producer
        .flush(PATIENCE)
        .expect("a bad one is acknowledged, too");
    let dead: Vec<String> = broker_dead_letters(&broker);
    assert_eq!(dead.len(), 1);
    assert!(dead[0].contains("latitude 91"), "{dead:?}");
}

/// The reasons of all dead letters.
fn broker_dead_letters(broker: &BrokerNode) -> Vec<String> {
    let consumer = consumer(broker, &[("group.id", "letters")]);
    let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
    let topics = metadata.topics().iter().map(|topic| topic.name());
    let letters: Vec<&str> = topics.filter(|name| name.ends_with(".dlq")).collect();
    let count: i64 = letters.iter().flat_map(|topic| ends(broker, topic)).sum();
    consumer.subscribe(&letters).expect("a valid subscription");
    let mut reasons = Vec::new();
    let started = Instant::now();
    while (reasons.len() as i64) < count {
        assert!(started.elapsed() < PATIENCE, "only {reasons:?} came");
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let headers = message.headers().expect("a reason");
        let reason = headers
            .iter()
            .find(|header| header.key == "corelane.reason");
        let reason = reason.and_then(|header| header.value).expect("a reason");
        reasons.push(String::from_utf8_lossy(reason).into_owned());
    }
    reasons
}

#[test]
fn only_the_engine_writes_to_the_shards_topics() {
    let broker = BrokerNode::start();
    let mut peer = broker.peer();
    let batch = kafka_peer::one_record(b"x");
    let produced = peer.produce("transactions-frankfurt", 0, batch);
    assert_eq!(produced.error, RDKafkaErrorCode::PolicyViolation as i16);
    assert_eq!(
        ends(&broker, "transactions-frankfurt").iter().sum::<i64>(),
        0
    );
}

#[test]
fn what_is_acknowledged_survives_kill_9_once_and_groups_go_on_where_they_were() {
    let mut broker = BrokerNode::start();
    let idempotent = [("enable.idempotence", "true")];
    let writer = producer(&broker, &idempotent);
    let mut sent = BTreeMap::new();
    for round in 0..3 {
        for number in 0..100 {
            let value = format!("{round}-{number}");
            writer
                .send(BaseRecord::<str, str>::to("kept").payload(&value))
                .map_err(|(e, _)| e)
                .expect("queued");
            sent.insert(value, ());
        }
        writer.flush(PATIENCE).expect("all are acknowledged");
        broker.node.kill9();
        broker.node.restart();
    }
    let group = [("group.id", "readers")];
    let reader = consumer(&broker, &group);
    reader.subscribe(&["kept"]).expect("a valid subscription");
    let mut seen = read(&reader, 120);
    // The position is after the last record that was polled.
    reader
        .commit_consumer_state(CommitMode::Sync)
        .expect("committed");
    drop(reader);
    broker.node.kill9();
    broker.node.restart();
    let reader = consumer(&broker, &group);
    reader.subscribe(&["kept"]).expect("a valid subscription");
    seen.extend(read(&reader, 180));
    assert_eq!(seen.len(), 300);
    let seen: BTreeMap<String, ()> = seen.into_iter().map(|value| (value, ())).collect();
    assert_eq!(seen, sent, "each once, whatever the commit was before");
}

#[test]
fn transactions_are_seen_whole_or_not_at_all_after_kill_9() {
    let mut broker = BrokerNode::start();
    let id = [
        ("transactional.id", "mover"),
        ("transaction.timeout.ms", "60000"),
    ];
    let writer = producer(&broker, &id);
    writer.init_transactions(PATIENCE).expect("a producer id");
    let send = |writer: &BaseProducer, value: &str| {
        for partition in 0..4 {
            let record = BaseRecord::<str, str>::to("moves")
                .payload(value)
                .partition(partition);
            writer.send(record).map_err(|(e, _)| e).expect("queued");
        }
        writer.flush(PATIENCE).expect("all are acknowledged");
    };
    writer.begin_transaction().expect("begun");
    send(&writer, "committed");
    writer.commit_transaction(PATIENCE).expect("committed");
    writer.begin_transaction().expect("begun");
    send(&writer, "aborted");
    writer.abort_transaction(PATIENCE).expect("aborted");
    writer.begin_transaction().expect("begun");
    send(&writer, "lost");
    broker.node.kill9();
    broker.node.restart();
    // Its successor ends what it left open.
    let successor = producer(&broker, &id);
    successor
        .init_transactions(PATIENCE)
        .expect("a producer id");
    successor.begin_transaction().expect("begun");
    send(&successor, "after");
    successor.commit_transaction(PATIENCE).expect("committed");
    let group = [
        ("group.id", "movers"),
        ("isolation.level", "read_committed"),
    ];
    let reader = consumer(&broker, &group);
    reader.subscribe(&["moves"]).expect("a valid subscription");
    let mut seen = read(&reader, 8);
    seen.sort();
    let each = |value: &str| vec![value.to_owned(); 4];
    assert_eq!(seen, [each("after"), each("committed")].concat());
}
