//! What the tests of both sides share.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use corelane::geo::{GeoLocation, ShardManager, ShardSpec};
use corelane::ids::{Offset, PartitionIndex, ShardId, UnixMicros};
use corelane::kafka::client::{
    ClientOptions, ConsumeError, Partitions, ShardTopic, ShardTopics, StopHandle,
    TransactionConsumer, TransactionProducer,
};
use corelane::kafka::properties::{ConsumerConfig, ProducerConfig};
use corelane::transaction::{Transaction, TransactionId};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

pub type Mock = MockCluster<'static, DefaultProducerContext>;

/// Far more than anything here takes: a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody listens there.
pub const NOBODY: &str = "127.0.0.1:1";

/// The partitions of the topics of shard 1, at 0 degrees, and shard 2, at 90 degrees east.
pub const PARTITIONS: [u32; 2] = [3, 5];

pub fn mock() -> Mock {
    let mock = MockCluster::new(1).expect("the mock needs a loopback port only");
    for (shard, partitions) in (1..).zip(PARTITIONS) {
        let partitions = i32::try_from(partitions).unwrap();
        mock.create_topic(&topic(shard), partitions, 1).unwrap();
    }
    mock
}

pub fn topic(shard: u16) -> String {
    format!("transactions-{shard}")
}

pub fn east(degrees: f64) -> GeoLocation {
    GeoLocation::new(0.0, degrees).unwrap()
}

pub fn shards() -> ShardTopics {
    let specs = [(1, 0.0), (2, 90.0)].map(|(id, degrees)| ShardSpec {
        id: ShardId(id),
        location: east(degrees),
    });
    let topics = (1..).zip(PARTITIONS).map(|(shard, partitions)| ShardTopic {
        shard: ShardId(shard),
        topic: topic(shard),
        partitions,
    });
    let geo = ShardManager::new(specs.to_vec(), None).unwrap();
    ShardTopics::new(geo, topics.collect()).unwrap()
}

/// A transaction of a client near shard 1.
pub fn transaction(id: &str, amount: u64) -> Transaction {
    Transaction {
        id: TransactionId::new(id.as_bytes()).unwrap(),
        client_location: east(1.0),
        submitted_at: UnixMicros(1_700_000_000_000_000),
        amount: Some(amount),
        payload: format!("payload of {id}").into_bytes(),
    }
}

pub fn producer_config(brokers: &str) -> ProducerConfig {
    ProducerConfig {
        brokers: vec![brokers.to_owned()],
        ..ProducerConfig::latency()
    }
}

/// Options whose producer holds this many records.
pub fn queue_of(records: usize) -> ClientOptions {
    let mut options = ClientOptions::default();
    let name = "queue.buffering.max.messages".to_owned();
    options.settings.extra.insert(name, records.to_string());
    options
}

pub fn producer(mock: &Mock, options: &ClientOptions) -> TransactionProducer {
    let config = producer_config(&mock.bootstrap_servers());
    TransactionProducer::connect(&config, options, shards()).unwrap()
}

pub fn consumer(mock: &Mock, partitions: Partitions) -> TransactionConsumer {
    let config = ConsumerConfig {
        brokers: vec![mock.bootstrap_servers()],
        group_id: "g".to_owned(),
        topics: vec![topic(1), topic(2)],
        fetch_max_wait_ms: 10,
        max_poll_records: 7,
        ..ConsumerConfig::default()
    };
    let mut options = ClientOptions::default();
    // The mock lets a new member in only after a session's time.
    let name = "session.timeout.ms".to_owned();
    options.settings.extra.insert(name, "6000".to_owned());
    TransactionConsumer::connect(&config, &options, partitions).unwrap()
}

/// All partitions of both topics.
pub fn listed() -> Partitions {
    let all = (1..).zip(PARTITIONS).flat_map(|(shard, partitions)| {
        (0..partitions).map(move |index| (topic(shard), PartitionIndex(index)))
    });
    Partitions::Listed(all.collect())
}

/// A record as a handler saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub topic: String,
    pub partition: PartitionIndex,
    pub offset: Offset,
    pub id: String,
    pub amount: u64,
}

/// A consumer in a thread of its own, which sends on what it sees.
pub struct Reader {
    pub seen: Receiver<Seen>,
    stop: StopHandle,
    thread: JoinHandle<Result<TransactionConsumer, ConsumeError<Infallible>>>,
}

impl Reader {
    pub fn start(consumer: TransactionConsumer) -> Reader {
        let (sender, seen) = channel();
        Reader {
            seen,
            stop: consumer.stop_handle(),
            thread: std::thread::spawn(move || read(consumer, &sender)),
        }
    }

    /// The next `count` records.
    pub fn take(&self, count: usize) -> Vec<Seen> {
        let next = || self.seen.recv_timeout(PATIENCE).expect("records come");
        std::iter::repeat_with(next).take(count).collect()
    }

    /// Stops the consumer and leaves the group; what was seen and not taken.
    pub fn stop(self) -> Vec<Seen> {
        self.stop.stop();
        let mut rest = Vec::new();
        loop {
            match self.seen.recv_timeout(PATIENCE) {
                Ok(seen) => rest.push(seen),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the consumer does not stop"),
            }
        }
        let consumer = self.thread.join().unwrap().unwrap();
        consumer.close(PATIENCE).unwrap();
        rest
    }
}

fn read(
    mut consumer: TransactionConsumer,
    sender: &Sender<Seen>,
) -> Result<TransactionConsumer, ConsumeError<Infallible>> {
    consumer.process_transactions(|tx, place| {
        let seen = Seen {
            topic: place.topic.to_owned(),
            partition: place.partition,
            offset: place.offset,
            id: tx.transaction_id().unwrap().to_string(),
            amount: tx.amount.unwrap(),
        };
        // The test may have ended.
        let _ = sender.send(seen);
        Ok(())
    })?;
    Ok(consumer)
}
