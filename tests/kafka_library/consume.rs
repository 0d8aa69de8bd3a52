//! Processing: each once, positions, malformed records, stopping, sharing.

use std::collections::BTreeSet;
use std::convert::Infallible;

use corelane::kafka::client::{
    ClientOptions, ConsumeError, OnMalformed, Partitions, TransactionConsumer,
};
use corelane::kafka::properties::ConsumerConfig;
use corelane::transaction::{TransactionRef, codec};
use futures_lite::future::block_on;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::*;

/// Stores transactions with these amounts.
fn fill(mock: &Mock, amounts: std::ops::Range<u64>) {
    let producer = producer(mock, &ClientOptions::default());
    for amount in amounts {
        let tx = transaction(&format!("id {amount}"), amount);
        drop(block_on(producer.enqueue(&tx)).unwrap());
    }
    producer.close(PATIENCE).unwrap();
}

/// Stores a value as it is, by librdkafka's own means; the partition is librdkafka's choice.
fn store(mock: &Mock, key: &[u8], value: &[u8]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap_servers())
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    let topic = topic(1);
    producer
        .send(BaseRecord::to(&topic).key(key).payload(value))
        .unwrap();
    producer.flush(PATIENCE).unwrap();
}

fn amounts(seen: &[Seen]) -> BTreeSet<u64> {
    let amounts: BTreeSet<u64> = seen.iter().map(|seen| seen.amount).collect();
    assert_eq!(amounts.len(), seen.len(), "some were seen twice");
    amounts
}

#[test]
fn each_transaction_is_processed_once_and_a_second_consumer_goes_on_where_the_first_stopped() {
    for partitions in [Partitions::OfGroup, listed()] {
        let mock = mock();
        fill(&mock, 0..300);
        let first = Reader::start(consumer(&mock, partitions.clone()));
        let mut seen = first.take(100);
        seen.extend(first.stop());
        fill(&mock, 300..400);
        let second = Reader::start(consumer(&mock, partitions));
        seen.extend(second.take(400 - seen.len()));
        assert_eq!(amounts(&seen), (0..400).collect());
        assert_eq!(second.stop(), []);
    }
}

#[test]
fn a_record_that_is_no_transaction_is_never_passed_over_in_silence() {
    let mock = mock();
    let partition = {
        store(&mock, b"key", b"no transaction");
        let (_, partition) = shards().route(east(0.0), b"key");
        partition
    };
    let listed = Partitions::Listed(vec![(topic(1), partition)]);
    let mut consumer = consumer(&mock, listed.clone());
    // Unless it was decided otherwise, processing stops before it, again and again.
    for _ in 0..2 {
        let error = never_called(&mut consumer).unwrap_err();
        let ConsumeError::Malformed {
            topic: found,
            partition: at,
            offset,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((found, at, offset.0), (topic(1), partition, 0));
    }
    drop(consumer);

    let mut consumer = crate::support::consumer(&mock, listed);
    let stop = consumer.stop_handle();
    let (sender, reported) = std::sync::mpsc::channel();
    consumer.on_malformed(move |record| {
        sender
            .send((record.key.to_vec(), record.value.to_vec()))
            .unwrap();
        stop.stop();
        OnMalformed::Skip
    });
    never_called(&mut consumer).unwrap();
    let reported: Vec<_> = reported.try_iter().collect();
    assert_eq!(reported, [(b"key".to_vec(), b"no transaction".to_vec())]);
    // It counts as processed: the next one is the one after it.
    consumer.on_malformed(|_| OnMalformed::Stop);
    let stop = consumer.stop_handle();
    let value = encoded(&transaction("key", 7).borrowed());
    store(&mock, b"key", &value);
    let mut offsets = Vec::new();
    consumer
        .process_transactions(|_, place| {
            offsets.push(place.offset.0);
            stop.stop();
            Ok::<(), Infallible>(())
        })
        .unwrap();
    assert_eq!(offsets, [1]);
}

fn never_called(consumer: &mut TransactionConsumer) -> Result<(), ConsumeError<String>> {
    consumer.process_transactions(|_, place| Err(format!("called for {place:?}")))
}

fn encoded(tx: &TransactionRef<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    codec::encode(tx, &mut value).unwrap();
    value
}

#[test]
fn a_transaction_that_the_handler_refuses_comes_again() {
    let mock = mock();
    fill(&mock, 0..20);
    let mut first = consumer(&mock, listed());
    let mut seen: Vec<u64> = Vec::new();
    for _ in 0..3 {
        let error = first
            .process_transactions(|tx, _| match seen.len() {
                5 => Err("not now"),
                _ => {
                    seen.push(tx.amount.unwrap());
                    Ok(())
                }
            })
            .unwrap_err();
        assert!(error.to_string().contains("not now"), "{error}");
        assert_eq!(seen.len(), 5);
    }
    drop(first);
    let second = Reader::start(consumer(&mock, listed()));
    seen.extend(second.take(15).iter().map(|seen| seen.amount));
    let all: BTreeSet<u64> = seen.iter().copied().collect();
    assert_eq!((all.len(), seen.len()), (20, 20));
    assert_eq!(second.stop(), []);
}

#[test]
fn a_partition_that_cannot_be_read_on_is_an_error_and_no_silence() {
    let mock = mock();
    fill(&mock, 0..1);
    let config = ConsumerConfig {
        brokers: vec![mock.bootstrap_servers()],
        topics: vec![topic(1)],
        ..ConsumerConfig::default()
    };
    let mut options = ClientOptions::default();
    let name = "auto.offset.reset".to_owned();
    options.settings.extra.insert(name, "error".to_owned());
    let mut consumer = TransactionConsumer::connect(&config, &options, listed()).unwrap();
    // The group has no position, and may not choose one.
    let error = never_called(&mut consumer).unwrap_err();
    assert!(error.to_string().contains("AUTO_OFFSET_RESET"), "{error}");
}

#[test]
fn stopping_ends_the_call_under_way_or_else_the_next_one() {
    let mock = mock();
    // Parked, in a group and without one; and where nobody answers.
    for partitions in [Partitions::OfGroup, listed()] {
        let reader = Reader::start(consumer(&mock, partitions));
        assert_eq!(reader.stop(), []);
    }
    let mut consumer = consumer(&mock, listed());
    consumer.stop_handle().stop();
    never_called(&mut consumer).unwrap();
    let stop = consumer.stop_handle();
    fill(&mock, 0..50);
    let mut count = 0;
    consumer
        .process_transactions(|_, _| {
            count += 1;
            stop.stop();
            Ok::<(), Infallible>(())
        })
        .unwrap();
    assert_eq!(count, 1, "after the record it is at");
}

#[test]
fn records_of_the_engine_and_of_other_producers_are_read_and_found_in_the_same_partition() {
    let mock = mock();
    let table = shards();
    let reader = Reader::start(consumer(&mock, listed()));
    for number in 0..20 {
        let id = format!("some id {number}");
        let tx = transaction(&id, number);
        store(&mock, id.as_bytes(), &encoded(&tx.borrowed()));
        let seen = &reader.take(1)[0];
        let (_, partition) = table.route(tx.client_location, id.as_bytes());
        assert_eq!((&seen.id, seen.amount), (&id, number));
        assert_eq!((seen.partition, &seen.topic), (partition, &topic(1)));
    }
    // The format's golden file, as the engine wrote it.
    let golden = include_bytes!("../fixtures/transaction_v1/example.bin");
    let tx = codec::decode(golden).unwrap();
    store(&mock, tx.id, golden);
    let seen = &reader.take(1)[0];
    assert_eq!(seen.id, tx.transaction_id().unwrap().to_string());
    let (_, partition) = table.route(east(0.0), tx.id);
    assert_eq!(seen.partition, partition);
    assert_eq!(reader.stop(), []);
}
