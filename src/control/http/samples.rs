//! What the figures were a moment ago, so that rates and percentiles of the last seconds can be told.
//!
//! Owns: one sample a second for the last ten, and every second one with its latencies (1 MB each).
//! Never does: asking a core: it reads what cores have written anyway. Runs on: the control port's
//! thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::board::Board;
use crate::telemetry::{CoarseLatencies, CounterSnapshot, Flow, ShardCounter, StageHistograms};

/// How often a sample is taken.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// How often latencies are.
const LATENCIES_EVERY: Duration = Duration::from_secs(2);

/// How far percentiles reach back.
const REACH: Duration = Duration::from_secs(10);

/// Counts of all cores and shards at one moment.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    at: Instant,
    /// Of each core.
    pub cores: Vec<CounterSnapshot>,
    /// Of each shard, summed over the cores.
    pub shards: Vec<[u64; ShardCounter::COUNT]>,
}

impl Counts {
    fn now(board: &Board) -> Counts {
        Counts {
            at: Instant::now(),
            cores: board
                .cores()
                .iter()
                .map(|c| c.counters.snapshot())
                .collect(),
            shards: (0..board.shards().len())
                .map(|shard| ShardCounter::ALL.map(|counter| board.of_shard(shard, counter)))
                .collect(),
        }
    }
}

/// Latencies and flows of all cores, merged, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    at: Instant,
    pub stages: StageHistograms,
    /// Of each shard.
    pub shards: Vec<CoarseLatencies>,
    /// Transactions from each part of the Earth to a shard; estimates.
    pub flows: BTreeMap<Flow, u64>,
}

impl Latencies {
    pub fn now(board: &Board) -> Latencies {
        let mut stages = StageHistograms::new();
        let mut shards = vec![CoarseLatencies::new(); board.shards().len()];
        let mut flows = BTreeMap::new();
        for core in board.cores() {
            stages.merge(&core.stages.snapshot());
            for (flow, count) in core.counters.flows.counts() {
                *flows.entry(flow).or_default() += count;
            }
            for (shard, sum) in shards.iter_mut().enumerate() {
                core.counters.shards.add_latencies(shard, sum);
            }
        }
        Latencies {
            at: Instant::now(),
            stages,
            shards,
            flows,
        }
    }

    /// What was recorded since `then`.
    fn since(&self, then: &Latencies) -> Latencies {
        let pairs = self.shards.iter().zip(&then.shards);
        let flows = self.flows.iter().map(|(flow, count)| {
            let before = then.flows.get(flow).copied().unwrap_or_default();
            (*flow, count.wrapping_sub(before))
        });
        Latencies {
            at: self.at,
            stages: self.stages.since(&then.stages),
            shards: pairs.map(|(now, then)| now.since(then)).collect(),
            flows: flows.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// What happened in a time.
#[derive(Debug)]
pub(super) struct Recent {
    /// The last two samples; none in the first second.
    pub counts: Option<Span>,
    /// How long the latencies reach back.
    pub reach: Duration,
    /// What was recorded since.
    pub latencies: Latencies,
    /// What was recorded since the cores started.
    pub all: StageHistograms,
}

/// Two samples of counts.
#[derive(Debug)]
pub(super) struct Span {
    from: Counts,
    to: Counts,
}

impl Span {
    /// How long it is, in seconds.
    pub fn seconds(&self) -> f64 {
        self.to.at.duration_since(self.from.at).as_secs_f64()
    }

    /// What each core counted in it.
    pub fn cores(&self) -> Vec<CounterSnapshot> {
        let pairs = self.to.cores.iter().zip(&self.from.cores);
        pairs.map(|(to, from)| to.since(from)).collect()
    }

    /// How much a shard's counter grew in it.
    pub fn of_shard(&self, shard: usize, counter: ShardCounter) -> u64 {
        let at = |counts: &Counts| counts.shards.get(shard).map_or(0, |it| it[counter.index()]);
        at(&self.to).wrapping_sub(at(&self.from))
    }
}

/// The samples of a node.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    /// Two at the most, the older one first.
    counts: VecDeque<Counts>,
    /// The oldest one first.
    latencies: VecDeque<Latencies>,
}

impl Samples {
    /// Takes the next sample; nothing before there are cores.
    pub fn take(&self, board: &Board) {
        if board.running().is_none() {
            return;
        }
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.counts.push_back(Counts::now(board));
        while taken.counts.len() > 2 {
            taken.counts.pop_front();
        }
        // Half a period earlier, since ticks are not exact.
        let due = LATENCIES_EVERY - EVERY / 2;
        if taken
            .latencies
            .back()
            .is_none_or(|it| it.at.elapsed() >= due)
        {
            taken.latencies.push_back(Latencies::now(board));
        }
        // The first one is the last that is old enough.
        while taken
            .latencies
            .get(1)
            .is_some_and(|it| it.at.elapsed() >= REACH)
        {
            taken.latencies.pop_front();
        }
    }

    /// What happened in the last second, and which latencies the last ten saw.
    pub fn recent(&self, board: &Board) -> Recent {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = taken.counts.front().zip(taken.counts.get(1));
        let counts = last.map(|(from, to)| Span {
            from: from.clone(),
            to: to.clone(),
        });
        let now = Latencies::now(board);
        let (reach, latencies) = match taken.latencies.front() {
            Some(then) => (now.at.duration_since(then.at), now.since(then)),
            None => (board.uptime(), now.clone()),
        };
        Recent {
            counts,
            reach,
            latencies,
            all: now.stages,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::board::{CoreView, Holder, Running, ShardView, TopicCounts};
    use super::*;
    use crate::control::slow::Recorders;
    use crate::engine::status::CoreStatus;
    use crate::ids::ShardId;
    use crate::telemetry::{Counter, Stage, counters, stages};

    #[test]
    fn only_what_happened_since_the_sample_before_is_recent() {
        let board = Board::new(Holder::Embedded("data".into()));
        let samples = Samples::default();
        samples.take(&board);
        assert!(samples.recent(&board).counts.is_none(), "no cores yet");
        let (mut count, counters) = counters(1);
        let (mut time, stages) = stages();
        board.show(Running {
            cores: vec![CoreView {
                status: Arc::new(CoreStatus::default()),
                counters,
                stages,
            }],
            topics: Arc::new(TopicCounts::default()),
            shards: vec![ShardView {
                id: ShardId(0),
                name: "north".to_owned(),
                latitude: 60.0,
                longitude: 10.0,
            }],
            recorders: Recorders::default(),
        });
        count.add(Counter::Processed, 100);
        time.record(Stage::Produce, 1_000);
        time.end_cycle();
        count.shards.record(0, 1_000, 1);
        samples.take(&board);
        assert!(samples.recent(&board).counts.is_none(), "one is no span");
        for processed in [7, 0] {
            count.add(Counter::Processed, processed);
            count.shards.add(0, ShardCounter::Processed, processed);
            samples.take(&board);
            let span = samples.recent(&board).counts.unwrap();
            assert_eq!(span.cores()[0].get(Counter::Processed), processed);
            assert_eq!(span.of_shard(0, ShardCounter::Processed), processed);
            assert!(span.seconds() > 0.0);
        }
        time.record(Stage::Produce, 5_000_000);
        time.end_cycle();
        count.shards.record(0, 5_000_000, 2);
        let recent = samples.recent(&board);
        let produce = recent.latencies.stages.summary(Stage::Produce);
        assert_eq!((produce.count, recent.latencies.shards[0].count()), (1, 2));
        assert!(produce.p50_us > 4_000.0, "the older one is not in it");
        assert_eq!(recent.all.summary(Stage::Produce).count, 2);
    }
}
