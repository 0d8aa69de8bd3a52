//! What a load is put on: the seam between how a load is made and what takes it.
//!
//! | target | what it is |
//! |---|---|
//! | `embedded` | a node of this process, fed through ports of its mesh; its own handler consumes |
//! | `listener` | a node's embedded log over Kafka's protocol, by librdkafka |
//! | `cluster` | a cluster's brokers, by the same client |

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::BenchError;
use super::meters::Snapshot;
use super::traffic::Traffic;
use crate::config::Idle;

/// Which target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetKind {
    /// A node of this process, fed in process.
    #[default]
    Embedded,
    /// A node's embedded log over Kafka's protocol.
    Listener,
    /// A cluster's brokers.
    Cluster,
}

impl TargetKind {
    /// Its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            TargetKind::Embedded => "embedded",
            TargetKind::Listener => "listener",
            TargetKind::Cluster => "cluster",
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TargetKind {
    type Err = String;

    fn from_str(text: &str) -> Result<TargetKind, String> {
        match text {
            "embedded" => Ok(TargetKind::Embedded),
            "listener" => Ok(TargetKind::Listener),
            "cluster" => Ok(TargetKind::Cluster),
            other => Err(format!(
                "target '{other}' is unknown; allowed: embedded, listener, cluster"
            )),
        }
    }
}

/// What a target is started with.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// Which.
    pub kind: TargetKind,
    /// A node's configuration: of the node that is started, or of the one whose cluster it is. None:
    /// the shipped default.
    pub config: Option<PathBuf>,
    /// `HOST:PORT` of a listener that runs already; none to start one.
    pub to: Option<String>,
    /// Where a directory for temporary data is made. It goes with the target.
    pub data_parent: PathBuf,
    /// Cores of a node that is started; none for half of the CPUs, the other half being the load's.
    pub cores: Option<u16>,
    /// What cores of a node that is started do when they have nothing to do; none for what its
    /// configuration says. Threads that send in process do the same.
    pub idle: Option<Idle>,
    /// What the load will be made of.
    pub traffic: Traffic,
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Records a second in all, open loop. None: each as soon as it is taken, which says how much is
    /// taken and nothing about latency.
    pub rate: Option<NonZeroU64>,
    /// For how long.
    pub span: Duration,
}

/// Asks a load to end early.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked. One relaxed load: may be looked at in every round of a loop.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a load ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was sent, acknowledged and consumed.
    Complete,
    /// Not so; why. What was recorded up to then counts as partial.
    Partial(String),
}

/// What a target is, as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// `embedded`, `listener` or `cluster`.
    pub name: String,
    /// What an acknowledgement stands for here, as in `acks=all: on stable storage, by group commit`.
    pub durability: String,
    /// Versions of what takes part, as in `librdkafka 2.12.1`.
    pub versions: Vec<String>,
    /// What else was chosen, as in client properties.
    pub settings: Vec<(String, String)>,
}

/// A target that is started: its topics are there, its clients connected. Ends when it is dropped.
pub trait Target: Send {
    /// What it is.
    fn facts(&self) -> TargetFacts;

    /// Puts a load on it and returns when all of it is sent, acknowledged and consumed, or cannot
    /// be. May be called again. A sender that cannot keep up sends late, and no less: at the end of
    /// the span it still sends what was due by then, unless `stop` asks it not to.
    ///
    /// # Errors
    /// The load could not be begun.
    fn run(&mut self, load: &Load, stop: &Stop) -> Result<End, BenchError>;

    /// To look at it while it runs.
    fn probe(&self) -> Box<dyn Probe>;
}

/// Looks at a target while it runs; costs it no time of its own.
pub trait Probe: Send {
    /// Called once by the thread that will look: keeps it off the CPUs where it would be in the way.
    fn settle(&self) {}

    /// All that was recorded since the target was started.
    fn snapshot(&self) -> Snapshot;

    /// What it has used since it was started.
    fn usage(&self) -> Usage;
}

/// What a target has used so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Of each core of a node of this process, the nanoseconds that it had work; empty for others.
    pub busy_ns: Vec<u64>,
    /// CPU time of this process, all threads: seconds, spinning included.
    pub cpu_s: f64,
    /// Memory of this process now: bytes.
    pub resident_bytes: u64,
    /// Bytes that this process had written to devices.
    pub written_bytes: u64,
}
