//! Sending: receipts, back-pressure, dropped futures, failures.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use corelane::ids::{Acks, ShardId};
use corelane::kafka::client::{
    ClientOptions, ConnectError, Persisted, PolledProducer, Report, SendError, ShardTopics,
    TransactionProducer, TrySendError,
};
use corelane::kafka::properties::ProducerConfig;
use corelane::storage::positive_murmur2;
use corelane::transaction::{Submission, Transaction};
use futures_lite::future::{block_on, poll_once};

use crate::support::*;

/// Polls all futures on this thread, as often as any of them wakes.
fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<Pin<Box<_>>> = futures.map(Box::pin).collect();
    let mut results = Vec::new();
    block_on(std::future::poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(result) => {
                results.push(result);
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }));
    results
}

#[test]
fn a_receipt_names_shard_partition_and_offset_where_the_transaction_is_read() {
    let mock = mock();
    let producer = producer(&mock, &ClientOptions::default());
    let mut expected = BTreeSet::new();
    for number in 0..60 {
        let id = format!("id {number}");
        let mut tx = transaction(&id, number);
        let (shard, degrees) = if number % 2 == 0 {
            (1, 44.0)
        } else {
            (2, 46.0)
        };
        tx.client_location = east(degrees);
        let receipt = block_on(producer.send_transaction(&tx)).unwrap();
        let partitions = PARTITIONS[usize::from(shard) - 1];
        assert_eq!(receipt.id, tx.id);
        assert_eq!(receipt.shard, ShardId(shard));
        assert_eq!(
            receipt.partition.0,
            positive_murmur2(id.as_bytes()) % partitions
        );
        assert_eq!(receipt.acks, Acks::All);
        assert_eq!(receipt.submission, Submission::First);
        expected.insert(Seen {
            topic: topic(shard),
            partition: receipt.partition,
            offset: receipt.offset,
            id,
            amount: number,
        });
    }
    let reader = Reader::start(consumer(&mock, listed()));
    let seen: BTreeSet<Seen> = reader.take(60).into_iter().collect();
    assert_eq!(seen, expected);
    assert_eq!(reader.stop(), []);
    assert_eq!(producer.close(PATIENCE), Ok(()));
}

#[test]
fn ten_thousand_concurrent_sends_through_a_tiny_queue_get_one_receipt_each() {
    let mock = mock();
    let producer = producer(&mock, &queue_of(10));
    let mut places = BTreeSet::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let producer = &producer;
                scope.spawn(move || {
                    let send = |number| async move {
                        let tx = transaction(&format!("{thread}-{number}"), number);
                        let receipt = producer.send_transaction(&tx).await.unwrap();
                        assert_eq!(receipt.id, tx.id);
                        (receipt.partition.0, receipt.offset)
                    };
                    all((0..2500).map(send))
                })
            })
            .collect();
        for thread in threads {
            for place in thread.join().unwrap() {
                assert!(places.insert(place), "two receipts for {place:?}");
            }
        }
    });
    // Offsets without a gap: nothing was stored that has no receipt.
    let mut next = BTreeMap::new();
    for (partition, offset) in &places {
        let next = next.entry(partition).or_insert(0);
        assert_eq!(offset.0, *next);
        *next += 1;
    }
    assert_eq!(places.len(), 10_000);
}

#[test]
fn transactions_are_stored_in_the_order_in_which_they_were_handed_over() {
    let mock = mock();
    let producer = producer(&mock, &queue_of(10));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let producer = &producer;
            scope.spawn(move || {
                // One id, so one key, however full the queue is.
                let id = format!("thread {thread}");
                let mut deliveries = Vec::new();
                for number in 0..500 {
                    let enqueued = block_on(producer.enqueue(&transaction(&id, number)));
                    deliveries.push(enqueued.unwrap());
                }
                let mut last = -1;
                for delivery in deliveries {
                    let receipt = block_on(delivery).unwrap();
                    assert!(receipt.offset.0 > last);
                    last = receipt.offset.0;
                }
            });
        }
    });
    let reader = Reader::start(consumer(&mock, listed()));
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for seen in reader.take(2000) {
        let next = next.entry(seen.id).or_default();
        assert_eq!(seen.amount, *next);
        *next += 1;
    }
    assert_eq!(reader.stop(), []);
}

#[test]
fn what_was_handed_over_is_sent_though_its_future_is_dropped() {
    let mock = mock();
    let producer = producer(&mock, &queue_of(10));
    for number in 0..100 {
        let tx = transaction(&number.to_string(), number);
        drop(block_on(producer.enqueue(&tx)).unwrap());
    }
    // A future that was polled once and had room.
    let tx = transaction("polled once", 100);
    producer.flush(PATIENCE).unwrap();
    let mut future = Box::pin(producer.send_transaction(&tx));
    assert!(block_on(poll_once(&mut future)).is_none());
    drop(future);
    producer.flush(PATIENCE).unwrap();
    let reader = Reader::start(consumer(&mock, listed()));
    let mut amounts: Vec<u64> = reader.take(101).iter().map(|seen| seen.amount).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, (0..=100).collect::<Vec<u64>>());
    assert_eq!(reader.stop(), []);
}

#[test]
fn who_waits_for_room_holds_nobody_up_and_has_sent_nothing() {
    let mock = mock();
    let producer = producer(&mock, &queue_of(1));
    let (first, stuck, late) = (
        transaction("first", 1),
        transaction("stuck", 2),
        transaction("late", 3),
    );
    let first = block_on(producer.enqueue(&first)).unwrap();
    let mut waiting = pin!(producer.enqueue(&stuck));
    let mut context = Context::from_waker(Waker::noop());
    let mut is_full = waiting.as_mut().poll(&mut context).is_pending();
    // The report may have come before.
    let mut others = Vec::new();
    while !is_full {
        let tx = transaction("other", 4);
        let mut other = Box::pin(producer.enqueue(&tx));
        match other.as_mut().poll(&mut context) {
            Poll::Ready(delivery) => others.push(delivery.unwrap()),
            Poll::Pending => is_full = true,
        }
    }
    // This waker does nothing, so the future is never polled again: others go on.
    for _ in 0..10 {
        block_on(producer.send_transaction(&late)).unwrap();
    }
    block_on(first).unwrap();
    assert_eq!(producer.flush(PATIENCE), Ok(()));
}

#[test]
fn without_a_broker_the_error_says_in_time_that_nothing_is_stored() {
    let config = ProducerConfig {
        timeout_ms: 300,
        ..producer_config(NOBODY)
    };
    let options = ClientOptions::default();
    let producer = TransactionProducer::connect(&config, &options, shards()).unwrap();
    let start = Instant::now();
    let error = block_on(producer.send_transaction(&transaction("id", 1))).unwrap_err();
    assert!(matches!(error, SendError::NotStored(_)), "{error}");
    assert_eq!(error.persisted(), Persisted::No);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn without_an_answer_the_error_says_that_it_may_be_stored() {
    let mock = mock();
    let config = ProducerConfig {
        timeout_ms: 1500,
        ..producer_config(&mock.bootstrap_servers())
    };
    let options = ClientOptions::default();
    let producer = TransactionProducer::connect(&config, &options, shards()).unwrap();
    block_on(producer.send_transaction(&transaction("id", 1))).unwrap();
    mock.broker_round_trip_time(1, PATIENCE).unwrap();
    let error = block_on(producer.send_transaction(&transaction("id", 2))).unwrap_err();
    assert!(matches!(error, SendError::Unknown(_)), "{error}");
    assert_eq!(error.persisted(), Persisted::Maybe);
}

#[test]
fn what_cannot_be_stored_is_refused_at_once() {
    let producer = TransactionProducer::connect(
        &producer_config(NOBODY),
        &ClientOptions::default(),
        shards(),
    );
    let producer = producer.unwrap();
    let mut tx = transaction("id", 1);
    tx.payload = vec![0; 2 << 20];
    let error = block_on(producer.send_transaction(&tx)).unwrap_err();
    assert_eq!(error, SendError::TooLarge);
    tx.payload = vec![0; 5 << 20];
    let error = block_on(producer.send_transaction(&tx)).unwrap_err();
    assert!(
        error.to_string().contains("payload has 5242880 bytes"),
        "{error}"
    );
    assert_eq!(error.persisted(), Persisted::No);
}

#[test]
fn closing_says_what_was_given_up_and_leaves_nobody_waiting() {
    let config = producer_config(NOBODY);
    let producer = TransactionProducer::connect(&config, &queue_of(10), shards()).unwrap();
    let deliveries: Vec<_> = (0..3)
        .map(|number| block_on(producer.enqueue(&transaction("id", number))).unwrap())
        .collect();
    let waiter = std::thread::spawn(move || all(deliveries.into_iter()));
    let refused = producer.close(Duration::from_millis(50)).unwrap_err();
    assert_eq!(refused.transactions, 3);
    for answer in waiter.join().unwrap() {
        assert_eq!(answer, Err(SendError::Abandoned));
    }
}

#[test]
fn options_that_cannot_work_are_named() {
    let refused =
        |config: &ProducerConfig, options: &ClientOptions| match TransactionProducer::connect(
            config,
            options,
            shards(),
        ) {
            Ok(_) => panic!("it connected"),
            Err(error) => error,
        };
    let nobody = ProducerConfig::latency();
    let error = refused(&nobody, &ClientOptions::default());
    assert_eq!(error, ConnectError::Empty { field: "brokers" });
    let mut options = ClientOptions::default();
    let extra = &mut options.settings.extra;
    extra.insert("linger.msec".to_owned(), "5".to_owned());
    let error = refused(&producer_config(NOBODY), &options);
    assert!(error.to_string().contains("'linger.msec'"), "{error}");
}

#[test]
fn the_poll_form_reports_each_transaction_once_and_says_when_it_is_full() {
    let mock = mock();
    let sleeper = std::thread::current();
    let mut producer = PolledProducer::connect(
        &producer_config(&mock.bootstrap_servers()),
        &queue_of(10),
        shards(),
        Some(Arc::new(move || sleeper.unpark())),
    )
    .unwrap();
    let table: ShardTopics = shards();
    let transactions: Vec<Transaction> = (0..200)
        .map(|number| transaction(&format!("id {number}"), number))
        .collect();
    let (mut sent, mut was_full) = (0, 0);
    let mut reported = Vec::new();
    let start = Instant::now();
    while reported.len() < transactions.len() {
        assert!(start.elapsed() < PATIENCE);
        while let Some(tx) = transactions.get(sent) {
            match producer.try_send(&tx.borrowed(), sent as u64) {
                Ok(()) => sent += 1,
                Err(TrySendError::Full) => {
                    was_full += 1;
                    break;
                }
                Err(TrySendError::Refused(error)) => panic!("{error}"),
            }
        }
        while !producer.has_news() {
            std::thread::park_timeout(PATIENCE);
        }
        producer.poll(3, &mut |report| match report {
            Report::Sent { token, result } => reported.push((token, result.unwrap())),
            Report::Client(error) => panic!("{error}"),
        });
    }
    assert!(was_full > 0);
    assert_eq!(producer.outstanding(), 0);
    reported.sort_by_key(|(token, _)| *token);
    for ((token, receipt), tx) in reported.iter().zip(&transactions) {
        let (_, partition) = table.route(tx.client_location, tx.id.as_bytes());
        assert_eq!(
            (receipt.id, receipt.partition),
            (tx.id, partition),
            "{token}"
        );
    }
    let tokens: BTreeSet<u64> = reported.iter().map(|(token, _)| *token).collect();
    assert_eq!(tokens.len(), 200);
}
