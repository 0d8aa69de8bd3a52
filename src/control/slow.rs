//! The slowest transactions of the last minutes, of all cores: where the tail comes from.
//!
//! Owns: asking the cores' flight recorders, what is told of a transaction, and the waterfall as text.
//! Never does: waiting for a core longer than it is told to. Runs on: the control port's thread, and
//! the one that watches signals.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use serde::Serialize;

use super::http::{Board, ShardView};
use crate::engine::command::{Command, CoreFlights};
use crate::ids::{Acks, CoreId, Nanos};
use crate::mesh::Bells;
use crate::telemetry::{Flight, MINUTES, Stage};

/// How long a core may take. One that runs answers within a duty cycle.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// Transactions that are told of, whatever the number of cores.
const SLOWEST_MAX: usize = 100;

/// The way to the flight recorders of a node's cores.
#[derive(Clone, Default)]
pub(super) struct Recorders {
    /// By core.
    pub commands: Vec<Arc<ArrayQueue<Command>>>,
    /// By endpoint; the first ones are the cores'.
    pub bells: Bells,
}

impl Recorders {
    /// Asks every core. Waits for none.
    pub fn ask(&self) -> Asked {
        let cores = self.commands.len();
        let (to, answers) = mpsc::sync_channel(cores);
        for (commands, bell) in self.commands.iter().zip(self.bells.iter()) {
            // A core that takes up nothing keeps room for the commands that matter more.
            if commands.len() < commands.capacity() / 2 {
                // Full by somebody else's command meanwhile: then it does not answer.
                let _ = commands.push(Command::Slow(to.clone()));
                bell.ring();
            }
        }
        Asked {
            answers,
            missing: (0..cores as u16).map(CoreId).collect(),
            flights: Vec::new(),
        }
    }
}

/// Asks the cores on a board; there are none yet while the node starts.
pub(super) fn ask(board: &Board) -> Asked {
    match board.running() {
        Some(running) => running.recorders.ask(),
        None => Recorders::default().ask(),
    }
}

impl std::fmt::Debug for Recorders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorders")
            .field("cores", &self.commands.len())
            .finish_non_exhaustive()
    }
}

/// A question to every core, answered by some so far.
#[derive(Debug)]
pub(super) struct Asked {
    answers: Receiver<CoreFlights>,
    missing: BTreeSet<CoreId>,
    flights: Vec<(CoreId, Flight)>,
}

impl Asked {
    /// Takes the answers that have come. Whether every core has answered.
    pub fn take(&mut self) -> bool {
        while let Ok(answer) = self.answers.try_recv() {
            self.note(answer);
        }
        self.missing.is_empty()
    }

    /// Waits for the answers.
    pub fn wait(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while !self.missing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left) {
                Ok(answer) => self.note(answer),
                // Too late, or all that were asked have ended.
                Err(_) => return,
            }
        }
    }

    fn note(&mut self, CoreFlights { core, flights }: CoreFlights) {
        if self.missing.remove(&core) {
            self.flights
                .extend(flights.into_iter().map(|it| (core, it)));
        }
    }

    /// What was answered, at this moment of [`crate::clock::monotonic`].
    pub fn told(mut self, shards: &[ShardView], now: Nanos) -> Slowest {
        self.flights
            .sort_by_key(|(_, flight)| std::cmp::Reverse(flight.stamps.total_ns()));
        self.flights.truncate(SLOWEST_MAX);
        let slowest = self.flights.iter();
        Slowest {
            minutes: MINUTES,
            missing_cores: self.missing.iter().map(|core| core.0).collect(),
            slowest: slowest
                .map(|(core, flight)| SlowTransaction::new(*core, flight, shards, now))
                .collect(),
        }
    }
}

/// The slowest transactions. As JSON its keys are an interface; as text it is a waterfall.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slowest {
    /// How far it reaches back, the minute under way included.
    pub minutes: usize,
    /// Cores that did not answer in time: theirs are not in it.
    pub missing_cores: Vec<u16>,
    /// The slowest first; at most a hundred.
    pub slowest: Vec<SlowTransaction>,
}

/// One slow transaction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlowTransaction {
    /// Name of the shard that took it.
    pub shard: String,
    /// Its partition, by the number in the shard's topic.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// The core that owns the partition.
    pub core: u16,
    /// The level at which it was answered: `none`, `leader`, `all`; null where its submission was
    /// forgotten before it was slow.
    pub acks: Option<&'static str>,
    /// From the first moment to the last.
    pub total_us: f64,
    /// How long ago the last moment was.
    pub seconds_ago: f64,
    /// Each moment that is known, in microseconds after the first.
    pub stamps_us: BTreeMap<&'static str, f64>,
    /// What lies between the moments, in the order of the way; together it is `total_us`.
    pub stages: Vec<StageSpan>,
}

/// A stretch of a transaction's way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StageSpan {
    /// `intake`, `hop`, `queue`, `frame`, `sync`, `tail_read` or `process`; `commit`, `produce` or `unseen`
    /// where it was not seen closer.
    pub stage: &'static str,
    /// When it began, after the transaction's first moment.
    pub start_us: f64,
    /// How long it took.
    pub took_us: f64,
}

impl SlowTransaction {
    fn new(core: CoreId, flight: &Flight, shards: &[ShardView], now: Nanos) -> SlowTransaction {
        let taken = flight.stamps.taken;
        let micros = |ns: u64| ns as f64 / 1000.0;
        let known = flight.stamps.named().into_iter();
        let known: Vec<_> = known.filter(|(_, at)| *at != Nanos(0)).collect();
        let stamps_us = known
            .iter()
            .map(|(name, at)| (*name, micros(at.since(taken))));
        let mut last = taken;
        let stages = known.windows(2).map(|pair| {
            let ((before, _), (name, at)) = (pair[0], pair[1]);
            let start = last;
            // A cycle of the owner may have begun before the one that sent it the transaction, and a
            // record may be read before it is durable: such a stage took nothing.
            last = last.max(at);
            StageSpan {
                stage: stage_between(before, name),
                start_us: micros(start.since(taken)),
                took_us: micros(last.since(start)),
            }
        });
        let stages = stages.collect();
        let shard = shards.iter().find(|shard| shard.id == flight.shard);
        SlowTransaction {
            shard: shard.map_or_else(|| flight.shard.to_string(), |shard| shard.name.clone()),
            partition: flight.index.0,
            offset: flight.offset.0,
            core: core.0,
            acks: flight.acks.map(Acks::name),
            total_us: micros(flight.stamps.total_ns()),
            seconds_ago: now.since(last) as f64 / 1e9,
            stamps_us: stamps_us.collect(),
            stages,
        }
    }
}

/// The stretch between two moments. `frame` is the wait in the open frame for the write before it; with
/// `sync` it is the catalogue's commit. The others are stages of the catalogue: a longer one where the
/// moments between were not seen.
fn stage_between(before: &str, stamp: &'static str) -> &'static str {
    match (before, stamp) {
        ("taken", "routed") => Stage::Intake.name(),
        ("routed", "accepted") => Stage::Hop.name(),
        ("accepted", "appended") => Stage::Queue.name(),
        ("appended", "written") => "frame",
        ("written", "durable") => Stage::Sync.name(),
        ("accepted" | "appended", "durable") => Stage::Commit.name(),
        (_, "durable") => Stage::Produce.name(),
        ("durable", "read") => Stage::TailRead.name(),
        ("read", "processed") => Stage::Process.name(),
        _ => "unseen",
    }
}

#[cfg(test)]
mod tests;
