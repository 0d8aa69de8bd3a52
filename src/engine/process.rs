//! Visible records through the handler; outputs, state and position in one atomic group.

#![allow(clippy::disallowed_macros)] // Words for what ends or spoils a batch; never for a record.

mod open;
mod run;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::{self, Now};
use crate::ids::{Nanos, Offset, PartitionId, ShardId, TopicId};
use crate::storage::{Commit, CommitRefusal, Consumer, Outputs, ReadOutcome};
use crate::telemetry::{Counter, CounterWriter, Stage};

use super::handler::{BatchContext, HandlerContext, HandlerFactory, TransactionHandler as _};
use super::produce::Produce;
use open::OpenCommits;
use run::{End, Run, Tally, TracedRecord, Visited, guarded};

/// Header that says why a record went to the dead letters.
pub const DEAD_LETTER_REASON: &str = "corelane.reason";
/// Header with the partition's number that a dead letter came from, as text.
pub const DEAD_LETTER_PARTITION: &str = "corelane.partition";
/// Header with the offset that a dead letter came from, as text.
pub const DEAD_LETTER_OFFSET: &str = "corelane.offset";

/// Fixed choices of the processing side.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// Transactions of one batch, and so of one atomic group, at the most.
    pub batch_records_max: usize,
    /// How long a partition rests after the handler said *retry*, in nanoseconds.
    pub retry_backoff_ns: u64,
    /// Bytes that one batch may put out.
    pub outputs_bytes_max: usize,
    /// Topics that a handler may send to.
    pub topics: Arc<BTreeMap<String, TopicId>>,
    /// The dead letter topic of each shard.
    pub dead_letters: Arc<BTreeMap<ShardId, TopicId>>,
    /// Which ids enter the duplicate window when their records are processed.
    pub remember: Remember,
}

/// Which ids enter the duplicate window when their records are processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remember {
    /// None: this core made every record of its partitions, so it knows them.
    Own,
    /// All: others produce to the same partitions.
    All,
}

/// A batch that was processed but found no room for its group: it is written before anything else
/// is processed.
#[derive(Debug, Clone, Copy)]
struct Unwritten {
    /// When its processing began and ended.
    read: Nanos,
    done: Nanos,
    lane: usize,
    partition: PartitionId,
    next: Offset,
    tally: Tally,
}

/// A record that is rejected when its batch is run again, since its first run broke the handler.
#[derive(Debug)]
struct Condemned {
    partition: PartitionId,
    offset: Offset,
    reason: String,
}

/// The processing side of a core.
pub(super) struct Process<F: HandlerFactory> {
    options: ProcessOptions,
    factory: Arc<F>,
    /// By lane; none before the lane's first batch, and after its commits were undone.
    handlers: Vec<Option<F::Handler>>,
    open: OpenCommits,
    outputs: Outputs,
    unwritten: Option<Unwritten>,
    /// Partitions that rest until a moment.
    resting: Vec<(Nanos, PartitionId)>,
    /// At most one of each partition.
    condemned: Vec<Condemned>,
    /// Partitions whose next batch has one record, since a longer one left no room for the
    /// handler's state.
    narrowed: Vec<PartitionId>,
    /// The batch's records, for the latencies.
    stamps: Vec<Visited>,
    /// Those of them that are traced; takes no memory before the first.
    traced: Vec<TracedRecord>,
    /// Nothing more is processed: why.
    halted: Option<String>,
}

impl<F: HandlerFactory> Process<F> {
    pub fn new(options: ProcessOptions, factory: Arc<F>, lanes: usize) -> Process<F> {
        Process {
            outputs: Outputs::new(options.outputs_bytes_max),
            stamps: Vec::with_capacity(options.batch_records_max),
            traced: Vec::new(),
            resting: Vec::with_capacity(64),
            unwritten: None,
            condemned: Vec::new(),
            narrowed: Vec::new(),
            halted: None,
            handlers: (0..lanes).map(|_| None).collect(),
            open: OpenCommits::new(lanes),
            factory,
            options,
        }
    }

    /// Why processing has ended for good, if it has.
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }

    /// Whether a processed batch still waits to be written.
    pub fn is_holding(&self) -> bool {
        self.unwritten.is_some()
    }

    /// When the next resting partition wakes up.
    pub fn next_wake(&self) -> Option<Nanos> {
        self.resting.iter().map(|&(until, _)| until).min()
    }

    /// Processes up to `batches_max` batches. Returns the amount of work done.
    pub fn turn<S: Consumer>(
        &mut self,
        now: Now,
        batches_max: usize,
        storage: &mut S,
        produce: &mut Produce,
        counters: &mut CounterWriter,
    ) -> usize {
        let mut work = self.take_lane_news(now, storage, produce, counters);
        if self.halted.is_some() {
            return work;
        }
        if let Some(unwritten) = self.unwritten.take() {
            if !self.write(now, unwritten, storage, produce, counters) {
                return work;
            }
            work += 1;
        }
        self.wake_resting(now, storage);
        while work < batches_max && self.halted.is_none() && self.unwritten.is_none() {
            let Some(partition) = storage.next_ready() else {
                break;
            };
            // New records put a partition in the queue although it rests; its rest ends in
            // `wake_resting`.
            if !self.is_resting(partition) {
                self.batch(now, partition, storage, produce, counters);
                work += 1;
            }
        }
        work
    }

    fn is_resting(&self, partition: PartitionId) -> bool {
        self.resting
            .iter()
            .any(|&(_, resting)| resting == partition)
    }

    fn wake_resting(&mut self, now: Now, storage: &mut impl Consumer) {
        self.resting.retain(|&(until, partition)| {
            let rests = until > now.mono;
            if !rests {
                storage.requeue(partition);
            }
            rests
        });
    }

    /// One batch of one partition: read, process, commit.
    fn batch<S: Consumer>(
        &mut self,
        now: Now,
        partition: PartitionId,
        storage: &mut S,
        produce: &mut Produce,
        counters: &mut CounterWriter,
    ) {
        let lane = storage.lane(partition);
        let destination = produce.table.destination(partition);
        let shard = destination.expect("only shards' are processed").shard;
        let place = produce.table.shard_place(partition);
        if !self.begin(lane, BatchContext { shard, partition }, storage) {
            return;
        }
        let start = storage.position(partition);
        let mut run = Run {
            handler: self.handlers[lane].as_mut().expect("it has begun"),
            outputs: &mut self.outputs,
            stamps: &mut self.stamps,
            traced: &mut self.traced,
            options: &self.options,
            produce: &mut *produce,
            condemned: self.condemned.iter().find(|c| c.partition == partition),
            records_max: match self.narrowed.contains(&partition) {
                true => 1,
                false => self.options.batch_records_max,
            },
            now,
            shard,
            partition,
            next: start,
            tally: Tally::of(place.expect("it has a shard")),
            end: None,
        };
        let outcome = storage.read(partition, &mut |record| run.visit(record));
        let (next, tally, end) = (run.next, run.tally, run.end);
        match outcome {
            Ok(ReadOutcome::Records(_)) => {}
            Ok(ReadOutcome::Pending | ReadOutcome::Empty) => return,
            Err(error) => return self.halt(format!("reading failed: {error}")),
        }
        match end {
            Some(End::Panicked { offset, message }) => {
                counters.increment(Counter::HandlerPanics);
                let reason = format!("the handler panicked: {message}");
                return self.run_again(partition, Some((offset, reason)), storage);
            }
            Some(End::Retry) => {
                counters.increment(Counter::Retried);
                let until = now.mono.after(self.options.retry_backoff_ns);
                self.resting.push((until, partition));
            }
            Some(End::Stop(why)) => self.halt(format!("the handler said stop: {why}")),
            None => {}
        }
        if next == start || !self.finish_batch(lane, partition, next, &tally, storage) {
            return;
        }
        let unwritten = Unwritten {
            read: now.mono,
            done: self.record_latencies(now, produce),
            lane,
            partition,
            next,
            tally,
        };
        self.write(now, unwritten, storage, produce, counters);
    }

    /// Begins a batch with the lane's handler, which is made where there is none. Returns whether
    /// it goes on.
    fn begin(&mut self, lane: usize, batch: BatchContext, storage: &impl Consumer) -> bool {
        self.outputs.clear();
        self.stamps.clear();
        self.traced.clear();
        if self.handlers[lane].is_none() && !self.make_handler(lane, storage) {
            return false;
        }
        let handler = self.handlers[lane].as_mut().expect("made if missing");
        match guarded(|| handler.begin(batch)) {
            Ok(()) => true,
            Err(panic) => {
                self.halt(format!("the handler panicked before a batch: {panic}"));
                false
            }
        }
    }

    /// Lets the handler add its state to the batch's outputs. Returns whether the batch is whole.
    fn finish_batch<S: Consumer>(
        &mut self,
        lane: usize,
        partition: PartitionId,
        next: Offset,
        tally: &Tally,
        storage: &mut S,
    ) -> bool {
        let handler = self.handlers[lane].as_mut().expect("it has just run");
        let outputs = &mut self.outputs;
        let full = match guarded(|| handler.commit(outputs)) {
            Ok(Ok(())) => return true,
            Ok(Err(full)) => full,
            Err(panic) => {
                self.halt(format!("the handler panicked after a batch: {panic}"));
                return false;
            }
        };
        if self.stamps.len() > 1 {
            // Beside fewer outputs the state may fit.
            self.narrowed.push(partition);
            self.run_again(partition, None, storage);
        } else if tally.processed == 1 {
            let last = Offset(next.0 - 1);
            self.run_again(partition, Some((last, full.to_string())), storage);
        } else {
            self.halt(format!("the handler's state does not fit: {full}"));
        }
        false
    }

    /// Drops a batch with everything that it has changed in the handler, and puts its partition
    /// back; where a record is named, that one is rejected in the next run.
    fn run_again<S: Consumer>(
        &mut self,
        partition: PartitionId,
        rejected: Option<(Offset, String)>,
        storage: &mut S,
    ) {
        if let Some((offset, reason)) = rejected {
            // A handler that panics now here, now there must not leave two of them.
            self.condemned.retain(|c| c.partition != partition);
            self.condemned.push(Condemned {
                partition,
                offset,
                reason,
            });
        }
        self.handlers[storage.lane(partition)] = None;
        storage.requeue(partition);
    }

    /// Makes a lane's handler from the lane's state. Returns whether there is one.
    fn make_handler(&mut self, lane: usize, storage: &impl Consumer) -> bool {
        let (factory, options) = (&*self.factory, &self.options);
        match guarded(|| make_handler(factory, options, storage, lane)) {
            Ok(handler) => {
                self.handlers[lane] = Some(handler);
                true
            }
            Err(panic) => {
                self.halt(format!("the handler panicked when it was made: {panic}"));
                false
            }
        }
    }

    /// Writes a processed batch's group. Returns whether it was written.
    fn write(
        &mut self,
        now: Now,
        unwritten: Unwritten,
        storage: &mut impl Consumer,
        produce: &mut Produce,
        counters: &mut CounterWriter,
    ) -> bool {
        let Unwritten {
            read: _,
            done,
            lane,
            partition,
            next,
            tally,
        } = unwritten;
        match storage.commit(now, partition, next, &self.outputs) {
            Ok(commit) => {
                let taken = self.stamps.iter().filter_map(|visited| visited.taken);
                match commit {
                    Commit::Settled => {
                        let oldest = taken.clone().next().map(|taken| done.since(taken));
                        tally.count(counters, oldest, self.stamps.len());
                        let stages = &mut produce.stages;
                        taken.for_each(|taken| {
                            stages.record(Stage::EndToEnd, done.since(taken));
                        });
                        self.keep_slow(&unwritten, produce, counters);
                    }
                    Commit::Open => self.open.push(lane, tally, taken),
                }
                self.tell_traced(&unwritten, produce, counters);
                self.condemned
                    .retain(|c| c.partition != partition || c.offset >= next);
                self.narrowed.retain(|narrowed| *narrowed != partition);
                if !self.is_resting(partition) {
                    storage.requeue(partition);
                }
                true
            }
            Err(CommitRefusal::Full) => {
                counters.increment(Counter::StorageFull);
                self.unwritten = Some(unwritten);
                false
            }
            Err(CommitRefusal::Poisoned) => {
                self.halt("storage is poisoned".to_owned());
                false
            }
            Err(CommitRefusal::TooLarge) => {
                self.halt("a batch's outputs exceed what one atomic group can hold".to_owned());
                false
            }
        }
    }

    /// Returns when the batch's processing ended.
    fn record_latencies(&self, now: Now, produce: &mut Produce) -> Nanos {
        // One clock reading for the batch, after its last record: what a record's own end was is
        // at most this, so the figures err on the slow side.
        #[allow(clippy::disallowed_methods)]
        let done = clock::monotonic().max(now.mono);
        let stages = &mut produce.stages;
        stages.record(Stage::Process, done.since(now.mono));
        for visible in self.stamps.iter().filter_map(|visited| visited.visible) {
            stages.record(Stage::TailRead, now.mono.since(visible));
            stages.record(Stage::Consume, done.since(visible));
        }
        done
    }

    fn halt(&mut self, reason: String) {
        self.halted.get_or_insert(reason);
    }
}

fn make_handler<F: HandlerFactory>(
    factory: &F,
    options: &ProcessOptions,
    storage: &impl Consumer,
    lane: usize,
) -> F::Handler {
    let mut state = BTreeMap::new();
    storage.state(lane, &mut |key, value| {
        state.insert(key.to_vec(), value.to_vec());
    });
    factory.make(&HandlerContext {
        topics: &options.topics,
        state: &state,
    })
}
