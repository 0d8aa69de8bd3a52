//! Against librdkafka's mock cluster, which answers on loopback from a thread of this process.

mod consume;
mod group;
mod produce;

use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::*;

type Mock = MockCluster<'static, DefaultProducerContext>;

/// Far more than anything here takes: a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn mock(brokers: i32) -> Mock {
    MockCluster::new(brokers).expect("the mock needs a loopback port only")
}

fn conf(brokers: &str, more: &[(&str, &str)]) -> ClientConf {
    let mut properties = vec![("bootstrap.servers".to_owned(), brokers.to_owned())];
    for (name, value) in more {
        properties.push(((*name).to_owned(), (*value).to_owned()));
    }
    ClientConf::new(&properties).expect("tests use properties that exist")
}

/// Calls `step` until it gives something.
fn until<T>(what: &str, mut step: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = step() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::yield_now();
    }
}

fn producer(mock: &Mock, more: &[(&str, &str)]) -> NativeProducer {
    NativeProducer::new(conf(&mock.bootstrap_servers(), more)).unwrap()
}

fn consumer(mock: &Mock, group: &str, more: &[(&str, &str)]) -> NativeConsumer {
    let mut all = vec![
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("fetch.wait.max.ms", "10"),
    ];
    all.extend_from_slice(more);
    NativeConsumer::new(conf(&mock.bootstrap_servers(), &all)).unwrap()
}

/// Polls until `count` events came.
fn events(producer: &mut NativeProducer, count: usize) -> Vec<ProducerEvent> {
    let mut events = Vec::new();
    until("reports", || {
        producer.poll(16, &mut |event| events.push(event));
        (events.len() >= count).then_some(())
    });
    events
}

/// Polls until `count` messages came; anything else is a failure.
fn messages(consumer: &mut NativeConsumer, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    until("messages", || {
        consumer.poll(100, &mut |event| match event {
            ConsumerEvent::Message(message) => messages.push(message),
            ConsumerEvent::End(..) => {}
            ConsumerEvent::Error(error) => panic!("{error}"),
            ConsumerEvent::Partition(part, error) => panic!("{part:?}: {error}"),
            ConsumerEvent::Assigned(_)
            | ConsumerEvent::Revoked(_)
            | ConsumerEvent::Lost(_)
            | ConsumerEvent::Committed { .. } => panic!("nobody asked for that"),
        });
        (messages.len() >= count).then_some(())
    });
    messages
}
