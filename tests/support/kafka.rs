//! A real Kafka cluster for a test, by `scripts/kafka`: taken down with the value, also when the
//! test fails.
//!
//! Test binaries that use one are named `cluster_*` (but for the script's own). `cargo test` runs
//! binaries one after another; inside a binary [`KafkaCluster`] lets one test have its cluster at a
//! time, so that brokers of several tests never share the cores.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

#[path = "skip.rs"]
mod skip;

pub use skip::skip;

/// How long a cluster may take to do what a test asks for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Held by the cluster of the test that is running.
static TURN: Mutex<()> = Mutex::new(());

/// Who may use the client port, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    #[default]
    Plain,
    Tls,
    Sasl,
    TlsAndSasl,
}

/// What a cluster has beyond the number of its brokers.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    pub access: Access,
    /// Settings of the brokers.
    pub properties: Vec<(&'static str, &'static str)>,
}

/// What a consumer sees of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

/// A record as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Running brokers, numbered from 1.
pub struct KafkaCluster {
    name: String,
    env: BTreeMap<String, String>,
    /// None for a further cluster of the same test.
    turn: Option<MutexGuard<'static, ()>>,
}

impl KafkaCluster {
    /// Whether this machine can run one: it needs Java 17 and Maven.
    pub fn available() -> bool {
        script(&["check"]).status.success()
    }

    /// Starts a test's cluster of one or three brokers and waits until all answer; none, and a note
    /// for the summary, where this machine cannot.
    pub fn up_or_skip(hint: &str, brokers: u8, extra: Extra) -> Option<KafkaCluster> {
        if !KafkaCluster::available() {
            skip("needs Java 17 and Maven");
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Some(KafkaCluster::start_up(hint, brokers, &extra, Some(turn)))
    }

    /// Starts a further cluster beside this one, as another region is.
    pub fn and_another(&self, hint: &str, brokers: u8, extra: Extra) -> KafkaCluster {
        KafkaCluster::start_up(hint, brokers, &extra, None)
    }

    fn start_up(
        hint: &str,
        brokers: u8,
        extra: &Extra,
        turn: Option<MutexGuard<'static, ()>>,
    ) -> KafkaCluster {
        let owner = std::process::id().to_string();
        // Made before the brokers are, so that they go also when the script fails half-way.
        let mut cluster = KafkaCluster {
            name: format!("{hint}-{owner}"),
            env: BTreeMap::new(),
            turn,
        };
        let brokers = brokers.to_string();
        let mut arguments = vec!["--brokers", &brokers, "--owner", &owner];
        arguments.extend(match extra.access {
            Access::Plain => &[][..],
            Access::Tls => &["--tls"],
            Access::Sasl => &["--sasl"],
            Access::TlsAndSasl => &["--tls", "--sasl"],
        });
        let properties: Vec<String> = extra
            .properties
            .iter()
            .flat_map(|(key, value)| ["--property".to_owned(), format!("{key}={value}")])
            .collect();
        arguments.extend(properties.iter().map(String::as_str));
        cluster.run("up", &arguments);
        let env = std::fs::read_to_string(cluster.folder().join("env")).expect("written by up");
        cluster.env = env
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        cluster
    }

    /// The bootstrap list for clients.
    pub fn brokers(&self) -> &str {
        self.env("KAFKA_BROKERS").expect("written by up")
    }

    /// A variable of the cluster's `env` file, such as `KAFKA_CA_FILE`.
    pub fn env(&self, variable: &str) -> Option<&str> {
        self.env.get(variable).map(String::as_str)
    }

    /// Where the script keeps the cluster.
    pub fn folder(&self) -> PathBuf {
        target().join("kafka").join(&self.name)
    }

    /// Ends a broker at once.
    pub fn kill(&self, broker: u8) {
        self.run("kill", &[&broker.to_string()]);
    }

    /// Ends a broker after it has handed over its leaderships.
    pub fn stop(&self, broker: u8) {
        self.run("stop", &[&broker.to_string()]);
    }

    /// Starts a broker in its data and waits until it answers.
    pub fn start(&self, broker: u8) {
        self.run("start", &[&broker.to_string()]);
    }

    /// Holds a broker: its connections stay open and nothing is answered.
    pub fn pause(&self, broker: u8) {
        self.run("pause", &[&broker.to_string()]);
    }

    /// Lets a broker go on.
    pub fn resume(&self, broker: u8) {
        self.run("resume", &[&broker.to_string()]);
    }

    /// Runs the script's command for this cluster; its standard output.
    pub fn run(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.try_run(command, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/kafka {command}: {error}");
        String::from_utf8(output.stdout).expect("the script writes UTF-8")
    }

    /// Runs the script's command for this cluster.
    pub fn try_run(&self, command: &str, arguments: &[&str]) -> Output {
        script(&[&[command, "--name", &self.name], arguments].concat())
    }

    /// What a client needs to connect, by SCRAM-SHA-512 where the cluster wants to know who it is.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let protocol = self.env("KAFKA_SECURITY_PROTOCOL").expect("written by up");
        config.set("bootstrap.servers", self.brokers());
        config.set("security.protocol", protocol);
        if let Some(file) = self.env("KAFKA_CA_FILE") {
            config.set("ssl.ca.location", file);
        }
        if let (Some(user), Some(password)) = (self.env("KAFKA_USER"), self.env("KAFKA_PASSWORD")) {
            config.set("sasl.mechanism", "SCRAM-SHA-512");
            config.set("sasl.username", user);
            config.set("sasl.password", password);
        }
        config
    }

    /// Creates a topic and waits until each of its partitions has a leader.
    pub fn create_topic(&self, topic: &str, partitions: i32, replication: i32) {
        let admin: AdminClient<DefaultClientContext> =
            self.client_config().create().expect("an admin client");
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let results = block_on(admin.create_topics([&new], &options)).expect("an answer");
        for result in results {
            result.unwrap_or_else(|(topic, error)| panic!("{topic} is not created: {error}"));
        }
        for partition in 0..partitions {
            self.leader_of(topic, partition);
        }
    }

    /// The broker that leads a partition now; waits for one.
    pub fn leader_of(&self, topic: &str, partition: i32) -> u8 {
        self.wait_for_leader(topic, partition, |_| true)
    }

    /// Waits until a partition is led by another broker than this one.
    pub fn leader_other_than(&self, broker: u8, topic: &str, partition: i32) -> u8 {
        self.wait_for_leader(topic, partition, |leader| leader != broker)
    }

    fn wait_for_leader(&self, topic: &str, partition: i32, wanted: impl Fn(u8) -> bool) -> u8 {
        self.wait_for_partition(topic, partition, |found| {
            // Minus one where there is none.
            u8::try_from(found.leader())
                .ok()
                .filter(|leader| wanted(*leader))
        })
    }

    /// Waits until so many replicas of a partition are in sync, as after a broker came back.
    pub fn wait_in_sync(&self, topic: &str, partition: i32, replicas: usize) {
        self.wait_for_partition(topic, partition, |found| {
            (found.isr().len() == replicas).then_some(())
        });
    }

    /// Asks for a partition's state until `seen` gives something.
    fn wait_for_partition<T>(
        &self,
        topic: &str,
        partition: i32,
        seen: impl Fn(&MetadataPartition) -> Option<T>,
    ) -> T {
        let client: BaseConsumer = self.client_config().create().expect("a client");
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Fails while the broker that was asked is going away.
            let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(1));
            let result = metadata.ok().and_then(|metadata| {
                let partitions = metadata.topics().first()?.partitions();
                seen(partitions.iter().find(|found| found.id() == partition)?)
            });
            if let Some(result) = result {
                return result;
            }
            assert!(
                Instant::now() < deadline,
                "{topic}/{partition} does not become what the test waits for"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every record of a topic, from its start to its end as it is now, in order per partition.
    pub fn consume_all(&self, topic: &str, isolation: Isolation) -> Vec<Record> {
        let mut config = self.client_config();
        config.set("group.id", "reads-everything");
        config.set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true");
        config.set(
            "isolation.level",
            match isolation {
                Isolation::ReadUncommitted => "read_uncommitted",
                Isolation::ReadCommitted => "read_committed",
            },
        );
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut open = BTreeSet::new();
        let mut assignment = TopicPartitionList::new();
        let metadata = consumer
            .fetch_metadata(Some(topic), PATIENCE)
            .expect("the cluster answers");
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
        {
            open.insert(partition.id());
            assignment
                .add_partition_offset(topic, partition.id(), Offset::Beginning)
                .expect("a new partition");
        }
        assert!(!open.is_empty(), "there is no topic {topic}");
        consumer.assign(&assignment).expect("partitions that exist");
        let deadline = Instant::now() + PATIENCE;
        let mut records = Vec::new();
        while !open.is_empty() {
            assert!(Instant::now() < deadline, "{topic} is not read to its end");
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => records.push(record(&message)),
                // A read_committed reader's end is before the first open transaction.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                // Among them a broker that is away, which librdkafka tries again.
                Some(Err(error)) => eprintln!("while reading {topic}: {error}"),
            }
        }
        records
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the brokers complained about, since their logs go with them. Few lines, so that
            // they do not hide why the test failed.
            for broker in 1..=3 {
                let log = self.folder().join(broker.to_string()).join("log");
                if let Ok(text) = std::fs::read_to_string(log) {
                    let complains = |line: &&str| {
                        [" WARN ", " ERROR ", " FATAL "]
                            .iter()
                            .any(|level| line.contains(level))
                    };
                    let lines: Vec<&str> = text.lines().filter(complains).collect();
                    let last = &lines[lines.len().saturating_sub(3)..];
                    eprintln!("--- broker {broker}\n{}", last.join("\n"));
                }
            }
        }
        let output = self.try_run("down", &[]);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| {
        headers.iter().map(|header| {
            let value = header.value.unwrap_or_default().to_vec();
            (header.key.to_owned(), value)
        })
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
    }
}

/// Runs `scripts/kafka`, with its files in the folder of this build.
pub fn script(arguments: &[&str]) -> Output {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka"))
        .args(arguments)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .expect("the script can be run")
}

fn target() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    folder
        .parent()
        .expect("a folder of the target's")
        .to_owned()
}
