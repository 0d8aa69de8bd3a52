//! Reading by static assignment.

use bytes::Bytes;

use super::*;
use crate::ids::Offset;

fn filled(mock: &Mock, topic: &str, count: u64) {
    mock.create_topic(topic, 1, 1).unwrap();
    let mut producer = producer(mock, &[("linger.ms", "0")]);
    let topic = producer.add_topic(topic).unwrap();
    for token in 0..count {
        let value = Bytes::from(format!("key {token} value"));
        let key = 0..value.len() - " value".len();
        producer.send(topic, 0, key, value, token).unwrap();
    }
    events(&mut producer, usize::try_from(count).unwrap());
}

fn part(topic: TopicRef) -> TopicPartition {
    TopicPartition {
        topic,
        partition: 0,
    }
}

#[test]
fn records_arrive_whole_and_in_order_from_the_assigned_offset() {
    let mock = mock(1);
    filled(&mock, "t", 500);
    let mut consumer = consumer(&mock, "g", &[]);
    let topic = consumer.add_topic("t").unwrap();
    assert_eq!(consumer.topic_name(topic), "t");
    consumer.assign(&[(part(topic), Offset(100))]).unwrap();
    let messages = messages(&mut consumer, 400);
    assert_eq!(messages.len(), 400);
    for (message, at) in messages.iter().zip(100..) {
        assert_eq!(message.part(), part(topic));
        assert_eq!(message.offset(), Offset(at));
        assert_eq!(message.key(), format!("key {at}").as_bytes());
        assert_eq!(message.value(), format!("key {at} value").as_bytes());
        assert!(message.timestamp().0 > 1_600_000_000_000);
        assert_eq!(message.headers().count(), 0);
        assert_eq!(message.header("a"), None);
    }
    assert_eq!(consumer.cached_high(part(topic)), Some(Offset(500)));
}

#[test]
fn headers_keys_and_tombstones_survive_the_way() {
    let mock = mock(1);
    mock.create_topic("t", 1, 1).unwrap();
    let mut producer = producer(&mock, &[]);
    let topic = producer.add_topic("t").unwrap();
    let headers = [("one", &b"1"[..]), ("empty", b""), ("one", b"again")];
    producer
        .send_copied(topic, 0, Some(b"k"), Some(b"v"), headers.into_iter(), 1)
        .unwrap();
    producer
        .send_copied(topic, 0, Some(b"k"), None, std::iter::empty(), 2)
        .unwrap();
    events(&mut producer, 2);
    let mut consumer = consumer(&mock, "g", &[]);
    let topic = consumer.add_topic("t").unwrap();
    consumer.assign(&[(part(topic), Offset(0))]).unwrap();
    let messages = messages(&mut consumer, 2);
    assert_eq!(
        (messages[0].key(), messages[0].value()),
        (&b"k"[..], &b"v"[..])
    );
    let seen: Vec<_> = messages[0].headers().collect();
    let sent: Vec<_> = headers.iter().map(|(n, v)| (n.as_bytes(), *v)).collect();
    assert_eq!(seen, sent);
    assert_eq!(messages[0].header("one"), Some(&b"1"[..]));
    assert_eq!(messages[0].header("empty"), Some(&b""[..]));
    assert_eq!(messages[0].header("two"), None);
    assert_eq!(
        (messages[1].key(), messages[1].value()),
        (&b"k"[..], &b""[..])
    );
    // Messages may outlive the consumer that delivered them.
    drop(consumer);
    assert_eq!(messages[0].value(), b"v");
}

#[test]
fn a_poll_delivers_no_more_than_its_bound_and_nothing_older_after_a_seek() {
    let mock = mock(1);
    filled(&mock, "t", 300);
    let mut consumer = consumer(&mock, "g", &[]);
    let topic = consumer.add_topic("t").unwrap();
    consumer.assign(&[(part(topic), Offset(0))]).unwrap();
    let mut offsets = Vec::new();
    until("messages", || {
        let count = consumer.poll(10, &mut |event| {
            if let ConsumerEvent::Message(message) = event {
                offsets.push(message.offset().0);
            }
        });
        assert!(count <= 10);
        (offsets.len() >= 50).then_some(())
    });
    assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<i64>>());
    consumer.seek(part(topic), Offset(5)).unwrap();
    let messages = messages(&mut consumer, 20);
    for (message, at) in messages.iter().zip(5..) {
        assert_eq!(message.offset(), Offset(at));
    }
}

#[test]
fn the_flag_is_up_whenever_a_message_waits() {
    let mock = mock(1);
    filled(&mock, "t", 1);
    let sleeper = std::thread::current();
    let properties = [("group.id", "g"), ("fetch.wait.max.ms", "10")];
    let mut conf = conf(&mock.bootstrap_servers(), &properties);
    conf.wake_by(std::sync::Arc::new(move || sleeper.unpark()));
    let mut consumer = NativeConsumer::new(conf).unwrap();
    let topic = consumer.add_topic("t").unwrap();
    consumer.assign(&[(part(topic), Offset(0))]).unwrap();
    let mut producer = producer(&mock, &[("linger.ms", "0")]);
    let out = producer.add_topic("t").unwrap();
    let start = Instant::now();
    for round in 0..50 {
        let mut seen = None;
        while seen.is_none() {
            while !consumer.has_news() {
                std::thread::park_timeout(PATIENCE);
                assert!(start.elapsed() < PATIENCE, "a wake-up was lost");
            }
            consumer.poll(10, &mut |event| {
                if let ConsumerEvent::Message(message) = event {
                    seen = Some(message.offset());
                }
            });
        }
        assert_eq!(seen, Some(Offset(round)));
        let value = Bytes::from_static(b"value");
        producer.send(out, 0, 0..0, value, 0).unwrap();
    }
}

#[test]
fn the_cluster_answers_questions_and_creates_nothing_for_them() {
    let mock = mock(3);
    filled(&mock, "t", 7);
    mock.create_topic("wide", 5, 1).unwrap();
    let consumer = consumer(&mock, "g", &[("allow.auto.create.topics", "false")]);
    let control = consumer.control().client();
    assert_eq!(control.brokers(PATIENCE), Ok(3));
    assert_eq!(control.partitions("wide", PATIENCE), Ok(Some(5)));
    assert_eq!(control.partitions("nowhere", PATIENCE), Ok(None));
    assert_eq!(control.partitions("nowhere", PATIENCE), Ok(None));
    let marks = control.watermarks("t", 0, PATIENCE).unwrap();
    assert_eq!(marks, (Offset(0), Offset(7)));
    let error = control.partitions("a\0b", PATIENCE).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fatal);
}

#[test]
fn questions_that_nobody_answers_end_at_their_timeout() {
    let conf = conf("127.0.0.1:1", &[("group.id", "g")]);
    let consumer = NativeConsumer::new(conf).unwrap();
    let control = consumer.control();
    let short = Duration::from_millis(200);
    let start = Instant::now();
    for error in [
        control.client().brokers(short).unwrap_err(),
        control.client().partitions("t", short).unwrap_err(),
        control.client().watermarks("t", 0, short).unwrap_err(),
        control
            .committed(&[("t".to_owned(), 0)], short)
            .unwrap_err(),
        control
            .commit(&[("t".to_owned(), 0, Offset(1))], short)
            .unwrap_err(),
    ] {
        assert_eq!(error.class(), ErrorClass::Retry, "{error}");
    }
    drop((control, consumer));
    assert!(start.elapsed() < PATIENCE);
}
