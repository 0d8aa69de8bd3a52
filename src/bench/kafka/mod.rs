//! Kafka's protocol as a target: a listener of corelane's own, or a cluster's brokers.
//!
//! Owns: how such a target is asked for. Never does: tell a broker how to store; count a record that
//! did not come back. Runs on: the thread that asks; the client's threads are its own, on housekeeping
//! CPUs where a node runs in this process.
//!
//! | module | what |
//! |---|---|
//! | `place` | where the brokers are, or a node that is started for the purpose |
//! | `topics` | topics of its own, and what an acknowledgement stands for on them |
//! | `mark` | what a record says of itself: which it is, and when it was meant to be sent |
//! | `account` | which records were acknowledged and received, so that none is lost or doubled unnoticed |
//! | `rest` | waiting for the next thing to do |
//! | `schedule` | which records a thread sends, and when |
//! | `acks` | when the newest records were acknowledged |
//! | `clients` | what its clients are made with, and who reads what |
//! | `sender`, `receiver` | the threads that send and receive |
//! | `watch` | looking at a load, and holding its consumers back |
//! | `target` | all of it behind the seam |

mod account;
mod acks;
mod clients;
mod mark;
mod place;
mod receiver;
mod rest;
mod schedule;
mod sender;
mod target;
mod topics;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

pub use mark::MARK_BYTES;
pub use target::KafkaTarget;
pub use watch::Gate;

use super::error::BenchError;
use super::target::{Target, TargetKind, TargetOptions};
use super::traffic::Traffic;
use crate::kafka::properties::Property;

/// Where the brokers are.
#[derive(Clone, Debug)]
pub enum Place {
    /// A node of this process, started for the purpose: its embedded log, on a loopback port, in a
    /// directory that goes with it.
    Node {
        /// The node's configuration; none for the shipped default.
        config: Option<PathBuf>,
        /// Its cores; none for half of the CPUs.
        cores: Option<u16>,
        /// Where a directory for its data is made.
        data_parent: PathBuf,
    },
    /// A listener that runs already, at `HOST:PORT`.
    Running(String),
    /// A cluster that a node's configuration names.
    Configured {
        /// The configuration.
        file: PathBuf,
        /// Which of its clusters; none for the first.
        cluster: Option<String>,
    },
    /// Brokers as librdkafka is told of them: `bootstrap.servers` and what else it takes to reach them.
    Brokers(Vec<Property>),
}

/// What clients are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Each record at once: no linger, no compression.
    Latency,
    /// Large, compressed batches, which records wait for.
    Throughput,
}

/// What a Kafka target is started with.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Where the brokers are.
    pub place: Place,
    /// What the load will be made of. Values have at least [`MARK_BYTES`].
    pub traffic: Traffic,
    /// What clients are made for.
    pub profile: Profile,
    /// Properties of librdkafka for producers, over those of the profile.
    pub producer: Vec<Property>,
    /// The same for consumers.
    pub consumer: Vec<Property>,
    /// Copies of each partition; none for the brokers' default.
    pub replication: Option<u16>,
    /// Settings of the topics, in Kafka's words.
    pub topic_config: Vec<(String, String)>,
    /// How long nothing may move, while something should, before a load is given up.
    pub patience: Duration,
}

impl KafkaOptions {
    /// How long nothing may move, unless somebody says otherwise.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// At a place, with nothing chosen but what for.
    pub fn new(place: Place, traffic: Traffic, profile: Profile) -> KafkaOptions {
        KafkaOptions {
            place,
            traffic,
            profile,
            producer: Vec::new(),
            consumer: Vec::new(),
            replication: None,
            topic_config: Vec::new(),
            patience: KafkaOptions::PATIENCE,
        }
    }

    /// What the options of a command come to; none for the embedded target, which is no place of
    /// Kafka's protocol.
    pub fn of(options: &TargetOptions, profile: Profile) -> Option<KafkaOptions> {
        let place = match (options.kind, &options.to, &options.config) {
            (TargetKind::Embedded, ..) | (TargetKind::Cluster, _, None) => return None,
            (TargetKind::Listener, Some(address), _) => Place::Running(address.clone()),
            (TargetKind::Listener, None, config) => Place::Node {
                config: config.clone(),
                cores: options.cores,
                data_parent: options.data_parent.clone(),
            },
            (TargetKind::Cluster, _, Some(file)) => Place::Configured {
                file: file.clone(),
                cluster: None,
            },
        };
        let traffic = options.traffic.clone();
        Some(KafkaOptions::new(place, traffic, profile))
    }
}

/// Starts a target: its topics are there, its clients connected and reading.
///
/// # Errors
/// Values are too short, or nothing can be reached, made or created; nothing is left behind then.
pub fn open(options: &KafkaOptions) -> Result<Box<dyn Target>, BenchError> {
    Ok(Box::new(KafkaTarget::open(options)?))
}
