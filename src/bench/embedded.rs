//! The target `embedded`: a node of this process, fed through ports of its mesh.
//!
//! Owns: the node, its configuration and its temporary data. Never does: pacing ([`super::feed`]).
//! Runs on: senders are threads of their own, on CPUs that no core uses where there are such.

use std::path::Path;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use super::error::BenchError;
use super::feed::{Schedule, Waiting};
use super::meters::{Board, Count, Snapshot, Span};
use super::pace::Pace;
use super::punctual::Punctual;
use super::scratch::Scratch;
use super::sender::{Sender, Supply};
use super::target::{
    End, Load, Probe, Stop, Target, TargetFacts, TargetKind, TargetOptions, Usage,
};
use super::usage;
use crate::clock;
use crate::config::{Config, ConfigError, HttpChoice, Idle, ShardConfig};
use crate::control::{Housekeeping, Node, NodeOptions, Readings};
use crate::cpu::allowed_cpus;
use crate::engine::handler::HandlerFactory;
use crate::engine::ledger::Ledger;
use crate::ids::{Acks, ShardId};
use crate::telemetry::{Counter, Stage};

/// Bytes that each stripe keeps, so that a long load does not fill the device.
const RETENTION_BYTES: u64 = 1 << 30;

/// From when a load is begun to its first record, for all senders to be there.
const AHEAD_NS: u64 = 2_000_000;

/// Between two looks at the senders and the node.
const LOOK: Duration = Duration::from_millis(2);

/// A node that processes nothing more for so long will not.
const STANDSTILL_MAX: Duration = Duration::from_secs(20);

/// A node of this process. Fields are dropped in this order: its data goes when it is gone.
pub struct Embedded {
    node: Node,
    senders: Vec<Sender>,
    board: Board,
    facts: TargetFacts,
    value_bytes: u64,
    /// What was handed over and not refused, in all loads.
    accepted: u64,
    _data: Scratch,
}

impl Embedded {
    /// Starts a node with the handler that corelane ships.
    ///
    /// # Errors
    /// The options or the configuration do not fit, or the node does not start.
    pub fn start(options: &TargetOptions) -> Result<Embedded, BenchError> {
        Embedded::start_with(options, Ledger::new)
    }

    /// Starts a node with this handler.
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub fn start_with(
        options: &TargetOptions,
        factory: impl HandlerFactory,
    ) -> Result<Embedded, BenchError> {
        let data = Scratch::make(&options.data_parent)?;
        let config = config(options, data.path())?;
        let traffic = &options.traffic;
        let ports = NodeOptions {
            ports: traffic.producers as u16,
        };
        let mut node = Node::start(&config, ports, factory).map_err(failed)?;
        let board = Board::default();
        let supply = Supply::new(&config, &traffic.values).map_err(failed)?;
        let waiting = match config.node.idle {
            Idle::Adaptive => Waiting::Asleep,
            Idle::Spin => Waiting::Spinning,
        };
        let mut senders = Vec::new();
        for number in 0..traffic.producers {
            let port = node.submitter().expect("as many ports were asked for");
            let meter = board.meter();
            senders.push(Sender::new(
                number,
                port,
                meter,
                supply.clone(),
                traffic.acks,
                waiting,
            ));
        }
        Ok(Embedded {
            facts: facts(&config, &node, traffic.acks),
            node,
            senders,
            board,
            value_bytes: traffic.values.bytes_max() as u64,
            accepted: 0,
            _data: data,
        })
    }

    /// Waits until the senders are at their end; why the node failed, if it did.
    fn watch(&self, senders: &[ScopedJoinHandle<'_, ()>], died: &Stop) -> Option<String> {
        let mut failure = None;
        while !senders.iter().all(ScopedJoinHandle::is_finished) {
            if failure.is_none() {
                failure = self.node.failure().map(|failure| failure.to_string());
                if failure.is_some() {
                    died.ask();
                }
            }
            std::thread::sleep(LOOK);
        }
        failure.or_else(|| self.node.failure().map(|failure| failure.to_string()))
    }

    /// Waits until all that was accepted is processed; what is wrong, if that does not come about.
    fn processed(&self) -> Option<String> {
        let readings = self.node.readings();
        let mut last = (0, clock::monotonic());
        loop {
            let counters = readings.counters();
            let settled = [Counter::Processed, Counter::DeadLettered];
            let settled: u64 = settled.map(|counter| counters.get(counter)).iter().sum();
            if settled >= self.accepted {
                return None;
            }
            if let Some(failure) = self.node.failure() {
                return Some(failure.to_string());
            }
            let now = clock::monotonic();
            if settled > last.0 {
                last = (settled, now);
            } else if now.since(last.1) > STANDSTILL_MAX.as_nanos() as u64 {
                let open = self.accepted - settled;
                return Some(format!("{open} records are not processed, and no more are"));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The configuration of the node: as it is given, with what the load asks for over it.
fn config(options: &TargetOptions, data: &Path) -> Result<Config, BenchError> {
    let traffic = &options.traffic;
    let asked = |mut config: Config| -> Result<Config, BenchError> {
        let cores = match (options.cores, config.node.cores) {
            (Some(cores), _) => cores,
            (None, 0) => half_of_the_cpus()?,
            (None, cores) => cores,
        };
        config.gateway.tcp.clear();
        config.gateway.unix.clear();
        config.broker.turn_off();
        config.control.http = HttpChoice::Off;
        config.node.cores = cores;
        config.node.idle = options.idle.unwrap_or(config.node.idle);
        config.log.directory = data.to_path_buf();
        config.log.stripes = stripes(cores, traffic.partitions);
        if config.log.retention_bytes == 0 {
            config.log.retention_bytes = RETENTION_BYTES;
        }
        let transactions = &mut config.transactions;
        transactions.acks = traffic.acks;
        transactions.partitions = traffic.partitions;
        transactions.default_shard = None;
        let bytes_max = traffic.values.bytes_max() as u32;
        transactions.payload_bytes_max = transactions.payload_bytes_max.max(bytes_max);
        config.topics.clear();
        config.shards = shards(traffic.topics);
        Ok(config)
    };
    let invalid = |error: ConfigError| match &options.config {
        Some(path) => BenchError::Content {
            path: path.clone(),
            problem: error.to_string(),
        },
        None => failed(error),
    };
    let given = match &options.config {
        Some(path) => Config::load(path).map_err(invalid)?,
        None => Config::default(),
    };
    let config = asked(given)?;
    config.validate().map_err(invalid)?;
    Ok(config)
}

/// How many cores a node has where nothing says so: the other half is for what makes the load.
pub(super) fn half_of_the_cpus() -> Result<u16, BenchError> {
    let cpus = allowed_cpus().map_err(failed)?;
    Ok((cpus.len() / 2).max(1) as u16)
}

/// As many as there are cores, or as partitions spread evenly over.
fn stripes(cores: u16, partitions: u32) -> u16 {
    let even = |stripes: &u16| partitions.is_multiple_of(u32::from(*stripes));
    (1..=cores).rev().find(even).unwrap_or(1)
}

/// Shards as far from each other as they can be: on a spiral from pole to pole.
fn shards(count: u32) -> Vec<ShardConfig> {
    const GOLDEN_ANGLE: f64 = 137.507_764_05;
    let shard = |number: u32| {
        let height = 1.0 - (2.0 * f64::from(number) + 1.0) / f64::from(count);
        ShardConfig {
            id: ShardId(number as u16),
            name: format!("bench-{number}"),
            latitude: height.asin().to_degrees(),
            longitude: (f64::from(number) * GOLDEN_ANGLE) % 360.0 - 180.0,
            cluster: "embedded".to_owned(),
            topic: None,
            partitions: 0,
            replication: 0,
        }
    };
    (0..count).map(shard).collect()
}

fn facts(config: &Config, node: &Node, acks: Acks) -> TargetFacts {
    let durability = match acks {
        Acks::None => "acks=none: sent and forgotten; what is handed over counts as acknowledged",
        Acks::Leader => "acks=leader: in the owner's memory; the group commit follows",
        Acks::All => "acks=all: on stable storage, by group commit",
    };
    let settings = [
        ("cores", node.cores().to_string()),
        ("stripes", config.log.stripes.to_string()),
        ("idle", format!("{:?}", config.node.idle).to_lowercase()),
        ("mesh_capacity", config.node.mesh_capacity.to_string()),
        ("in_flight_max", config.node.in_flight_max.to_string()),
        ("retention_bytes", config.log.retention_bytes.to_string()),
    ];
    TargetFacts {
        name: TargetKind::Embedded.name().to_owned(),
        durability: durability.to_owned(),
        versions: vec![format!("corelane {}", env!("CARGO_PKG_VERSION"))],
        settings: settings.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

fn failed(error: impl std::fmt::Display) -> BenchError {
    BenchError::Target {
        target: TargetKind::Embedded.name(),
        reason: error.to_string(),
    }
}

/// When each of `senders` sends.
fn schedules(load: &Load, senders: u32) -> Vec<Schedule> {
    let start = clock::monotonic().after(AHEAD_NS);
    let span_ns = u64::try_from(load.span.as_nanos()).unwrap_or(u64::MAX);
    let one = |number: u32| match load.rate {
        Some(rate) => Schedule::Open(Pace::new(start, rate, load.span).part(number, senders)),
        None => Schedule::Closed {
            count: u64::MAX,
            until: start.after(span_ns),
        },
    };
    (0..senders).map(one).collect()
}

impl Target for Embedded {
    fn facts(&self) -> TargetFacts {
        self.facts.clone()
    }

    fn run(&mut self, load: &Load, stop: &Stop) -> Result<End, BenchError> {
        let _here = self.node.housekeeping().visit();
        let _punctual = Punctual::start();
        let before = self.board.snapshot();
        let mut senders = std::mem::take(&mut self.senders);
        let died = Stop::default();
        let schedules = schedules(load, senders.len() as u32);
        let failure = std::thread::scope(|scope| {
            let feeds = senders.iter_mut().zip(schedules);
            let threads: Vec<_> = feeds
                .map(|(sender, schedule)| {
                    let died = &died;
                    scope.spawn(move || sender.send(schedule, stop, died))
                })
                .collect();
            self.watch(&threads, &died)
        });
        self.senders = senders;
        let sent = self.board.snapshot().since(&before);
        self.accepted += sent.count(Count::Sent) - sent.count(Count::Failed);
        let problem = failure.or_else(|| self.processed());
        Ok(match problem {
            Some(reason) => End::Partial(reason),
            None if stop.is_asked() => End::Partial("it was stopped".to_owned()),
            None => End::Complete,
        })
    }

    fn probe(&self) -> Box<dyn Probe> {
        Box::new(EmbeddedProbe {
            board: self.board.clone(),
            readings: self.node.readings(),
            housekeeping: self.node.housekeeping(),
            value_bytes: self.value_bytes,
        })
    }
}

struct EmbeddedProbe {
    board: Board,
    readings: Readings,
    housekeeping: Housekeeping,
    value_bytes: u64,
}

impl Probe for EmbeddedProbe {
    fn settle(&self) {
        self.housekeeping.stay();
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.board.snapshot();
        let stages = self.readings.latencies();
        snapshot.add(Span::Consume, stages.stage(Stage::Consume));
        snapshot.add(Span::EndToEnd, stages.stage(Stage::EndToEnd));
        let received = self.readings.counters().get(Counter::Processed);
        snapshot.set(Count::Received, received);
        snapshot.set(Count::ReceivedBytes, received * self.value_bytes);
        snapshot
    }

    fn usage(&self) -> Usage {
        Usage {
            busy_ns: self.readings.by_core(Counter::BusyNs),
            ..usage::of_process()
        }
    }
}
