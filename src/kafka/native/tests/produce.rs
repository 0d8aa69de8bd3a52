//! Sending, reports, and transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::ids::Offset;

#[test]
fn every_record_is_reported_once_with_its_token_and_offset() {
    let mock = mock(1);
    mock.create_topic("t", 1, 1).unwrap();
    let mut producer = producer(&mock, &[("linger.ms", "0")]);
    let topic = producer.add_topic("t").unwrap();
    assert_eq!(producer.add_topic("t").unwrap(), topic);
    for token in 0..1000 {
        let value = Bytes::from(format!("value {token}"));
        producer.send(topic, 0, 0..0, value, token).unwrap();
    }
    assert_eq!(producer.outstanding(), 1000);
    for (at, event) in events(&mut producer, 1000).into_iter().enumerate() {
        match event {
            // The mock's timestamp is always 0.
            ProducerEvent::Delivered { token, offset, .. } => {
                assert_eq!(token, at as u64);
                assert_eq!(offset, Offset(at as i64));
            }
            other @ (ProducerEvent::Failed { .. } | ProducerEvent::Error(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(producer.outstanding(), 0);
}

#[test]
fn a_poll_hands_on_no_more_than_its_bound_and_keeps_the_rest() {
    let mock = mock(1);
    mock.create_topic("t", 1, 1).unwrap();
    let mut producer = producer(&mock, &[("linger.ms", "50")]);
    let topic = producer.add_topic("t").unwrap();
    for token in 0..100 {
        let value = Bytes::from_static(b"value");
        producer.send(topic, 0, 0..0, value, token).unwrap();
    }
    let mut tokens = Vec::new();
    until("reports", || {
        let before = tokens.len();
        let count = producer.poll(7, &mut |event| match event {
            ProducerEvent::Delivered { token, .. } => tokens.push(token),
            other @ (ProducerEvent::Failed { .. } | ProducerEvent::Error(_)) => panic!("{other:?}"),
        });
        assert!(count <= 7);
        assert_eq!(tokens.len() - before, count);
        // What a full poll left is news, or nobody would come back for it.
        assert!(count < 7 || tokens.len() == 100 || producer.has_news());
        (tokens.len() == 100).then_some(())
    });
    assert_eq!(tokens, (0..100).collect::<Vec<u64>>());
}

#[test]
fn a_value_that_never_left_comes_back_as_it_was() {
    // Nobody listens on port 1.
    let conf = conf("127.0.0.1:1", &[("delivery.timeout.ms", "200")]);
    let mut producer = NativeProducer::new(conf).unwrap();
    let topic = producer.add_topic("t").unwrap();
    let value = Bytes::from(vec![7_u8; 100]);
    let address = value.as_ptr();
    producer.send(topic, 0, 0..4, value, 42).unwrap();
    until("the report", || {
        let mut found = None;
        producer.poll(16, &mut |event| match event {
            ProducerEvent::Failed {
                token,
                error,
                persisted,
                value,
            } => found = Some((token, error, persisted, value)),
            ProducerEvent::Error(_) => {}
            ProducerEvent::Delivered { .. } => panic!("to whom?"),
        });
        let (token, error, persisted, value) = found?;
        assert_eq!(token, 42);
        assert!(error.is_timeout(), "{error}");
        assert_eq!(error.class(), ErrorClass::Retry);
        assert_eq!(persisted, Persisted::No);
        assert_eq!(value.unwrap().as_ptr(), address, "without a copy");
        Some(())
    });
}

#[test]
fn a_record_with_headers_arrives_whole_and_comes_back_where_it_does_not() {
    let mock = mock(1);
    mock.create_topic("t", 1, 1).unwrap();
    let value = Bytes::from_static(b"key and more");
    let header = || std::iter::once(("traceparent", &b"00-1"[..]));
    let mut producer = producer(&mock, &[("linger.ms", "0")]);
    let topic = producer.add_topic("t").unwrap();
    producer
        .send_with_headers(topic, 0, 0..3, value.clone(), header(), 1)
        .unwrap();
    events(&mut producer, 1);
    let mut consumer = consumer(&mock, "g", &[]);
    let read = consumer.add_topic("t").unwrap();
    let part = TopicPartition {
        topic: read,
        partition: 0,
    };
    consumer.assign(&[(part, Offset(0))]).unwrap();
    let message = messages(&mut consumer, 1).remove(0);
    assert_eq!((message.key(), message.value()), (&b"key"[..], &value[..]));
    assert_eq!(message.header("traceparent"), Some(&b"00-1"[..]));

    // Nobody listens on port 1.
    let conf = conf("127.0.0.1:1", &[("delivery.timeout.ms", "200")]);
    let mut producer = NativeProducer::new(conf).unwrap();
    let topic = producer.add_topic("t").unwrap();
    producer
        .send_with_headers(topic, 0, 0..3, value.clone(), header(), 2)
        .unwrap();
    let back = until("the report", || {
        let mut back = None;
        producer.poll(16, &mut |event| {
            if let ProducerEvent::Failed { value, .. } = event {
                back = Some(value);
            }
        });
        back
    });
    assert_eq!(back, Some(value));
}

#[test]
fn unreachable_brokers_are_reported_as_such() {
    let conf = conf("127.0.0.1:1", &[]);
    let mut producer = NativeProducer::new(conf).unwrap();
    until("the error", || {
        let mut is_down = None;
        producer.poll(16, &mut |event| {
            if let ProducerEvent::Error(error) = event
                && error.is_all_brokers_down()
            {
                is_down = Some(());
            }
        });
        is_down
    });
}

#[test]
fn a_full_queue_gives_the_value_back() {
    let conf = conf("127.0.0.1:1", &[("queue.buffering.max.messages", "2")]);
    let mut producer = NativeProducer::new(conf).unwrap();
    let topic = producer.add_topic("t").unwrap();
    let value = Bytes::from_static(b"value");
    for token in 0..2 {
        producer.send(topic, 0, 0..0, value.clone(), token).unwrap();
    }
    let (back, error) = producer.send(topic, 0, 0..0, value.clone(), 2).unwrap_err();
    assert_eq!((back, error), (value, SendError::QueueFull));
    let refused = producer.send_copied(topic, 0, None, None, [("a", &b"b"[..])].into_iter(), 3);
    assert_eq!(refused, Err(SendError::QueueFull));
    assert_eq!(producer.outstanding(), 2);
}

#[test]
fn a_record_that_is_too_large_gives_the_value_back() {
    let mock = mock(1);
    let mut producer = producer(&mock, &[("message.max.bytes", "1000")]);
    let topic = producer.add_topic("t").unwrap();
    let value = Bytes::from(vec![0; 2000]);
    let (back, error) = producer.send(topic, 0, 0..0, value, 0).unwrap_err();
    assert_eq!((back.len(), error), (2000, SendError::TooLarge));
    assert_eq!(producer.outstanding(), 0);
}

#[test]
fn values_larger_than_librdkafka_copies_arrive_whole() {
    let mock = mock(1);
    mock.create_topic("t", 1, 1).unwrap();
    let mut producer = producer(&mock, &[]);
    let topic = producer.add_topic("t").unwrap();
    let value: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    for token in 0..3 {
        let value = Bytes::from(value.clone());
        producer.send(topic, 0, 0..0, value, token).unwrap();
    }
    events(&mut producer, 3);
    let mut consumer = consumer(&mock, "g", &[]);
    let topic = consumer.add_topic("t").unwrap();
    let part = TopicPartition {
        topic,
        partition: 0,
    };
    consumer.assign(&[(part, Offset(0))]).unwrap();
    for message in messages(&mut consumer, 3) {
        assert!(message.value() == value);
    }
}

#[test]
fn what_arrives_while_nobody_polls_raises_the_flag_and_wakes() {
    let mock = mock(1);
    mock.create_topic("t", 1, 1).unwrap();
    let wakes = Arc::new(AtomicU64::new(0));
    let sleeper = std::thread::current();
    let counter = Arc::clone(&wakes);
    let mut conf = conf(&mock.bootstrap_servers(), &[("linger.ms", "0")]);
    conf.wake_by(Arc::new(move || {
        counter.fetch_add(1, Ordering::Release);
        sleeper.unpark();
    }));
    let mut producer = NativeProducer::new(conf).unwrap();
    let topic = producer.add_topic("t").unwrap();
    for token in 0..200 {
        let value = Bytes::from_static(b"value");
        producer.send(topic, 0, 0..0, value, token).unwrap();
        // The only way out of this loop is the flag: a lost wake-up would leave it parked.
        let start = Instant::now();
        while producer.outstanding() > 0 {
            while !producer.has_news() {
                std::thread::park_timeout(PATIENCE);
                assert!(start.elapsed() < PATIENCE, "a wake-up was lost");
            }
            producer.poll(16, &mut |_| {});
        }
        assert!(wakes.load(Ordering::Acquire) > token / 200);
    }
}

#[test]
fn a_transaction_is_seen_when_it_commits_and_never_when_it_aborts() {
    let mock = mock(3);
    mock.create_topic("t", 1, 3).unwrap();
    let mut producer = producer(&mock, &[("transactional.id", "tid")]);
    let topic = producer.add_topic("t").unwrap();
    let control = producer.transactions();
    let refused = producer.send_copied(topic, 0, None, Some(b"x"), std::iter::empty(), 0);
    assert!(matches!(refused, Err(SendError::State(_))), "{refused:?}");
    control.init(PATIENCE).unwrap();
    for commit in [true, false] {
        control.begin().unwrap();
        for token in 0..10 {
            let value = Bytes::from_static(b"value");
            producer.send(topic, 0, 0..0, value, token).unwrap();
        }
        let control = control.clone();
        let helper = std::thread::spawn(move || {
            if commit {
                control.commit(PATIENCE)
            } else {
                control.abort(PATIENCE)
            }
        });
        let mut reports = 0;
        until("the end of the transaction", || {
            producer.poll(16, &mut |event| match event {
                ProducerEvent::Delivered { .. } => reports += 1,
                ProducerEvent::Failed { error, value, .. } => {
                    assert!(!commit, "{error}");
                    assert_eq!(value.unwrap(), "value");
                    reports += 1;
                }
                ProducerEvent::Error(error) => panic!("{error}"),
            });
            helper.is_finished().then_some(())
        });
        helper.join().unwrap().unwrap();
        assert_eq!(reports, 10);
        assert_eq!(producer.outstanding(), 0);
    }
    assert!(control.commit(PATIENCE).is_err(), "none is under way");
}

#[test]
fn a_fenced_producer_is_of_no_more_use_and_says_so() {
    let mock = mock(1);
    mock.create_topic("t", 1, 1).unwrap();
    let mut producer = producer(&mock, &[("transactional.id", "tid")]);
    let topic = producer.add_topic("t").unwrap();
    let control = producer.transactions();
    control.init(PATIENCE).unwrap();
    control.begin().unwrap();
    // What brokers say when another client took the id over.
    let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED];
    mock.request_errors(RDKafkaApiKey::EndTxn, &fenced);
    let value = Bytes::from_static(b"value");
    producer.send(topic, 0, 0..0, value.clone(), 1).unwrap();
    let helper = std::thread::spawn(move || control.commit(PATIENCE));
    until("the end of the transaction", || {
        producer.poll(16, &mut |_| {});
        helper.is_finished().then_some(())
    });
    let error = helper.join().unwrap().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal, "{error}");
    assert!(producer.fatal_error().unwrap().is_fenced(), "{error}");
    let (_, refused) = producer.send(topic, 0, 0..0, value, 2).unwrap_err();
    match refused {
        SendError::State(error) => assert_eq!(error.class(), ErrorClass::Fatal, "{error}"),
        other @ (SendError::QueueFull | SendError::TooLarge) => panic!("{other}"),
    }
}

#[test]
fn dropping_a_client_that_reaches_nobody_is_quick_and_frees_what_was_under_way() {
    let conf = conf("127.0.0.1:1", &[]);
    let mut producer = NativeProducer::new(conf).unwrap();
    let topic = producer.add_topic("t").unwrap();
    let owner: Arc<[u8]> = Arc::from(&b"value"[..]);
    for token in 0..100 {
        let value = Bytes::from_owner(Arc::clone(&owner));
        producer.send(topic, 0, 0..0, value, token).unwrap();
    }
    let start = Instant::now();
    drop(producer);
    assert!(start.elapsed() < client::CLOSE_WAIT);
    assert_eq!(Arc::strong_count(&owner), 1);
}

#[test]
fn properties_that_do_not_exist_or_fit_are_named() {
    let refused = |name: &str, value: &str| match ClientConf::new(&[(name.into(), value.into())]) {
        Ok(_) => panic!("{name} = {value} was taken"),
        Err(error) => error.text,
    };
    let text = refused("linger.msec", "1");
    assert!(text.contains("'linger.msec'"), "{text}");
    let text = refused("linger.ms", "-4");
    assert!(
        text.contains("linger.ms") && text.contains("900000"),
        "{text}"
    );
    let text = refused("acks", "\0");
    assert!(text.contains("zero byte"), "{text}");
}
