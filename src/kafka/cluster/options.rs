//! What one core's end of a cluster is made from, and making it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::breaker::Breaker;
use super::end::{Cluster, Output, Stop};
use super::part::Part;
use super::transaction::Transaction;
use crate::ids::{Acks, CpuId, Nanos, PartitionId, TopicId};
use crate::kafka::helper::{Helper, HelperParts};
use crate::kafka::native::{
    ClientConf, KafkaError, NativeConsumer, NativeProducer, TopicPartition, Wake,
};
use crate::storage::StorageCounts;

/// What a crash or a failure does to the outputs of processing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Outputs, state and position of a batch hold together or not at all: one Kafka transaction
    /// per core, ended by time and count.
    ExactlyOnce {
        /// A transaction is ended after so many nanoseconds though there is more to process.
        interval_ns: u64,
        /// A transaction is ended after so many records though there is more to process.
        records_max: usize,
        /// After so long the cluster ends a transaction by itself.
        timeout: Duration,
    },
    /// The position follows the outputs: after a crash some records are processed again.
    AtLeastOnce,
}

/// What becomes of records whose cluster cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failover {
    /// They wait, and the pressure goes back to the client.
    Wait,
    /// The next nearest shard on another cluster takes them.
    NextNearest,
}

/// Which partitions a core processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// These, from start to stop.
    Static(Vec<PartitionId>),
    /// Those that the consumer group gives it.
    Group,
}

/// The topic of a shard's transactions.
#[derive(Debug, Clone)]
pub struct ShardTopic {
    /// Its name.
    pub name: String,
    /// The topic that holds the state of its partitions' lanes.
    pub state: String,
    /// Its partitions, by their number.
    pub partitions: Vec<PartitionId>,
}

/// A topic that processing writes to.
#[derive(Debug, Clone)]
pub struct OutputTopic {
    /// The engine's number of it.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: u32,
}

/// What one core's end of one cluster is made from.
pub struct ClusterOptions {
    /// The cluster's name in the configuration.
    pub name: String,
    /// Which core, for the names of threads.
    pub core: u16,
    /// The topics of the shards that the cluster holds.
    pub shards: Vec<ShardTopic>,
    /// The topics that processing may write to.
    pub outputs: Vec<OutputTopic>,
    /// Properties of the producer.
    pub producer: Vec<(String, String)>,
    /// Properties of the transactional producer; needed for [`Guarantee::ExactlyOnce`].
    pub transactional: Option<Vec<(String, String)>>,
    /// Properties of the consumer.
    pub consumer: Vec<(String, String)>,
    /// Properties of the consumers that read state and history.
    pub reader: Vec<(String, String)>,
    /// Where librdkafka's threads and the helper may run.
    pub cpus: Vec<CpuId>,
    /// Rings the core's doorbell.
    pub wake: Wake,
    /// What processing promises.
    pub guarantee: Guarantee,
    /// What becomes of records while the cluster cannot be reached.
    pub failover: Failover,
    /// What this core processes.
    pub assignment: Assignment,
    /// What the producer waits for.
    pub acks: Acks,
    /// Offers under way at the most.
    pub outstanding_max: usize,
    /// Bytes of messages read ahead, over all partitions, beyond which no more are taken.
    pub read_ahead_max: usize,
    /// Messages taken from librdkafka in one cycle, 1 or more; so many more than
    /// `read_ahead_max` allows a core may hold.
    pub poll_records_max: usize,
    /// Ids wanted of each partition when it is taken over.
    pub history_records_max: u64,
    /// Nanoseconds without an acknowledgement after which the cluster counts as unreachable.
    pub unreachable_ns: u64,
}

/// Why there is no end of a cluster.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// librdkafka refuses.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// A thread cannot be started.
    #[error("starting the helper of a cluster: {0}")]
    Thread(std::io::Error),
}

fn client_conf(
    properties: &[(String, String)],
    cpus: &[CpuId],
    wake: Option<&Wake>,
) -> Result<ClientConf, KafkaError> {
    let mut conf = ClientConf::new(properties)?;
    conf.place_threads(cpus);
    if let Some(wake) = wake {
        conf.wake_by(Wake::clone(wake));
    }
    Ok(conf)
}

impl Cluster {
    /// Makes the clients and the helper, whose threads run from now on. To be called on a
    /// housekeeping thread. Connects to nothing yet that it would wait for.
    pub fn new(options: ClusterOptions) -> Result<Cluster, StartError> {
        let names = topic_names(&options);
        let conf = |properties: &[(String, String)]| {
            client_conf(properties, &options.cpus, Some(&options.wake))
        };
        let mut producer = NativeProducer::new(conf(&options.producer)?)?;
        let mut consumer = NativeConsumer::new(conf(&options.consumer)?)?;
        // In the same order everywhere, so that a topic has the same number in each client.
        for name in &names {
            producer.add_topic(name)?;
            consumer.add_topic(name)?;
        }
        let (make_reader, make_transactional) = makers(&options, &names);
        let transactional = match options.guarantee {
            Guarantee::ExactlyOnce { .. } => Some(make_transactional()?),
            Guarantee::AtLeastOnce => None,
        };
        let timeout = match options.guarantee {
            Guarantee::ExactlyOnce { timeout, .. } => timeout,
            Guarantee::AtLeastOnce => Duration::ZERO,
        };
        let helper = Helper::spawn(HelperParts {
            name: format!("kafka-{}-{}", options.core, options.name),
            cpus: options.cpus.clone(),
            consumer: consumer.control(),
            transactions: transactional.as_ref().map(NativeProducer::transactions),
            make_transactional,
            transaction_timeout: timeout,
            make_reader,
            history_records_max: options.history_records_max,
            wake: Wake::clone(&options.wake),
        });
        let helper = helper.map_err(StartError::Thread)?;
        let mut cluster = assemble(&options, producer, consumer, helper);
        cluster.transaction = transactional.map(|p| Transaction::new(p, &options.guarantee));
        cluster.begin();
        Ok(cluster)
    }
}

/// The shards' topics, then those of their state, then those that processing writes to.
fn topic_names(options: &ClusterOptions) -> Vec<String> {
    let shards = options.shards.iter().map(|shard| shard.name.clone());
    let states = options.shards.iter().map(|shard| shard.state.clone());
    let outputs = options.outputs.iter().map(|output| output.name.clone());
    shards.chain(states).chain(outputs).collect()
}

type MakeReader = Box<dyn Fn(Wake) -> Result<NativeConsumer, KafkaError> + Send>;
type MakeProducer = Box<dyn Fn() -> Result<NativeProducer, KafkaError> + Send>;

fn makers(options: &ClusterOptions, names: &[String]) -> (MakeReader, MakeProducer) {
    let (reader, cpus) = (options.reader.clone(), options.cpus.clone());
    let make_reader =
        move |wake: Wake| NativeConsumer::new(client_conf(&reader, &cpus, Some(&wake))?);
    let properties = options.transactional.clone().unwrap_or_default();
    let (cpus, names, wake) = (options.cpus.clone(), names.to_vec(), options.wake.clone());
    let make_transactional = move || {
        let mut producer = NativeProducer::new(client_conf(&properties, &cpus, Some(&wake))?)?;
        for name in &names {
            producer.add_topic(name)?;
        }
        Ok(producer)
    };
    (Box::new(make_reader), Box::new(make_transactional))
}

fn assemble(
    options: &ClusterOptions,
    mut producer: NativeProducer,
    consumer: NativeConsumer,
    helper: Helper,
) -> Cluster {
    let (mut parts, mut by_place) = (Vec::new(), BTreeMap::new());
    let mut state_topics = Vec::new();
    let mut topic_of = |name: &str| producer.add_topic(name).expect("added before");
    for shard in &options.shards {
        let topic = topic_of(&shard.name);
        state_topics.push(topic_of(&shard.state));
        for (partition, id) in (0..).zip(&shard.partitions) {
            by_place.insert(TopicPartition { topic, partition }, parts.len() as u32);
            parts.push(Part::new(*id, topic, partition));
        }
    }
    let mut outputs = Vec::new();
    for output in &options.outputs {
        if outputs.len() <= output.id.index() {
            outputs.resize(output.id.index() + 1, None);
        }
        outputs[output.id.index()] = Some(Output {
            topic: topic_of(&output.name),
            partitions: output.partitions,
        });
    }
    Cluster {
        name: options.name.clone(),
        failover: options.failover,
        ready: VecDeque::with_capacity(parts.len()),
        parts,
        by_place,
        outputs,
        state_topics,
        metas: Vec::new(),
        outstanding: 0,
        outstanding_max: options.outstanding_max,
        outputs_outstanding: 0,
        ends_at: Nanos(0),
        polled_at: Nanos(0),
        read_ahead: 0,
        read_ahead_max: options.read_ahead_max,
        poll_records_max: options.poll_records_max,
        news: VecDeque::new(),
        history: VecDeque::new(),
        opening: 0,
        is_prepared: false,
        closing: Vec::new(),
        is_reporting: false,
        report_at: None,
        assignment: options.assignment.clone(),
        counts: StorageCounts::default(),
        acks: options.acks,
        was_sending: false,
        is_probing: false,
        unacknowledged: None,
        reports: Vec::new(),
        arrivals: Vec::new(),
        stop: Stop::No,
        failure: None,
        producer,
        consumer,
        transaction: None,
        helper,
        breaker: Breaker::new(options.unreachable_ns),
    }
}
