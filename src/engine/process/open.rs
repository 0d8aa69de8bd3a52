//! Commits that are part of a transaction which is still open: what they came to is counted, and
//! their latencies end, once they hold.

use std::collections::VecDeque;

use crate::ids::Nanos;
use crate::storage::{Consumer, LaneNews};
use crate::telemetry::{CounterWriter, Stage};

use super::super::handler::HandlerFactory;
use super::super::produce::Produce;
use super::run::Tally;
use super::{Now, Process};

/// The open commits of each lane, in the order in which they were made.
#[derive(Debug)]
pub(super) struct OpenCommits {
    lanes: Vec<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    commits: VecDeque<OpenCommit>,
    /// When the commits' transactions were taken in, one commit's after another's.
    taken: VecDeque<Nanos>,
}

#[derive(Debug)]
struct OpenCommit {
    tally: Tally,
    /// How many of [`Lane::taken`] are this commit's.
    taken: usize,
}

impl OpenCommits {
    /// Takes no memory before the first open commit: the embedded log has none.
    pub fn new(lanes: usize) -> OpenCommits {
        OpenCommits {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
        }
    }

    /// Notes a commit that is open now.
    pub fn push(&mut self, lane: usize, tally: Tally, taken: impl Iterator<Item = Nanos>) {
        let lane = &mut self.lanes[lane];
        let before = lane.taken.len();
        lane.taken.extend(taken);
        let taken = lane.taken.len() - before;
        lane.commits.push_back(OpenCommit { tally, taken });
    }

    /// The next commit of a lane holds: what it came to, and its transactions' moments.
    fn settle(&mut self, lane: usize, mut each: impl FnMut(Nanos)) -> Tally {
        let lane = &mut self.lanes[lane];
        let commit = lane.commits.pop_front();
        let commit = commit.expect("storage settles only what was committed");
        lane.taken.drain(..commit.taken).for_each(&mut each);
        commit.tally
    }

    fn undo(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        lane.commits.clear();
        lane.taken.clear();
    }
}

impl<F: HandlerFactory> Process<F> {
    /// Takes storage's news about open commits. Returns the amount of work done.
    pub(super) fn take_lane_news(
        &mut self,
        now: Now,
        storage: &mut impl Consumer,
        produce: &mut Produce,
        counters: &mut CounterWriter,
    ) -> usize {
        let mut work = 0;
        while let Some(news) = storage.lane_news() {
            work += 1;
            match news {
                LaneNews::Settled { lane, commits } => {
                    for _ in 0..commits {
                        let stages = &mut produce.stages;
                        let (mut oldest, mut records) = (None, 0);
                        let tally = self.open.settle(lane, |taken| {
                            let took_ns = now.mono.since(taken);
                            stages.record(Stage::EndToEnd, took_ns);
                            oldest.get_or_insert(took_ns);
                            records += 1;
                        });
                        tally.count(counters, oldest, records);
                    }
                }
                LaneNews::Undone { lane } => {
                    self.open.undo(lane);
                    self.handlers[lane] = None;
                    if self.unwritten.is_some_and(|batch| batch.lane == lane) {
                        self.unwritten = None;
                    }
                }
            }
        }
        work
    }
}
