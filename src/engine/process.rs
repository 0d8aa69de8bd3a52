//! Visible records through the handler; outputs, state and position in one atomic group.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::clock::{self, Now};
use crate::exactly_once::Entry;
use crate::ids::{Nanos, Offset, PartitionId, ShardId, TopicId};
use crate::storage::{CommitRefusal, Consumer, Outputs, OutputsFull, ReadOutcome, Record, Visit};
use crate::telemetry::{Counter, CounterWriter, Stage};
use crate::transaction::codec;

use super::handler::{
    BatchContext, HandlerContext, HandlerFactory, ProcessError, TransactionHandler,
};
use super::produce::Produce;

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
}

/// A batch that was processed but found no room for its group: it is written before anything else
/// is processed.
#[derive(Debug, Clone, Copy)]
struct Unwritten {
    partition: PartitionId,
    next: Offset,
    tally: Tally,
}

/// What a batch came to; counted once its group is written.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    processed: u64,
    duplicates: u64,
    dead_lettered: u64,
}

/// Why a batch ended before its records did.
enum End {
    Retry,
    Stop(Cow<'static, str>),
    Panicked { offset: Offset, message: String },
}

/// The processing side of a core.
pub(super) struct Process<F: HandlerFactory> {
    options: ProcessOptions,
    factory: Arc<F>,
    /// By lane.
    handlers: Vec<F::Handler>,
    outputs: Outputs,
    unwritten: Option<Unwritten>,
    /// Partitions that rest until a moment.
    resting: Vec<(Nanos, PartitionId)>,
    /// The record whose handler panicked, and with what: it is rejected when it comes again.
    condemned: Option<(PartitionId, Offset, String)>,
    /// `taken` and `visible` of the batch's records, for the latencies.
    stamps: Vec<(Option<Nanos>, Option<Nanos>)>,
    /// Nothing more is processed: why.
    halted: Option<String>,
}

impl<F: HandlerFactory> Process<F> {
    pub fn new(options: ProcessOptions, factory: Arc<F>, storage: &impl Consumer) -> Process<F> {
        let handlers = (0..storage.lanes())
            .map(|lane| make_handler(&*factory, &options, storage, lane))
            .collect();
        Process {
            outputs: Outputs::new(options.outputs_bytes_max),
            stamps: Vec::with_capacity(options.batch_records_max),
            resting: Vec::with_capacity(64),
            unwritten: None,
            condemned: None,
            halted: None,
            handlers,
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
        if self.halted.is_some() {
            return 0;
        }
        let mut work = 0;
        if let Some(unwritten) = self.unwritten.take() {
            if !self.write(now, unwritten, storage, counters) {
                return 0;
            }
            work += 1;
        }
        self.wake_resting(now, storage);
        while work < batches_max && self.halted.is_none() && self.unwritten.is_none() {
            let Some(partition) = storage.next_ready() else {
                break;
            };
            self.batch(now, partition, storage, produce, counters);
            work += 1;
        }
        work
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
        let shard = destination
            .expect("only shards' partitions are processed")
            .shard;
        self.handlers[lane].begin(BatchContext { shard, partition });
        self.outputs.clear();
        self.stamps.clear();
        let start = storage.position(partition);
        let mut run = Run {
            handler: &mut self.handlers[lane],
            outputs: &mut self.outputs,
            stamps: &mut self.stamps,
            options: &self.options,
            produce,
            condemned: self.condemned.as_ref().filter(|(p, ..)| *p == partition),
            shard,
            partition,
            next: start,
            tally: Tally::default(),
            end: None,
        };
        let outcome = storage.read(partition, &mut |record| run.visit(record));
        let Run {
            next, tally, end, ..
        } = run;
        match outcome {
            Ok(ReadOutcome::Records(_)) => {}
            Ok(ReadOutcome::Pending | ReadOutcome::Empty) => return,
            Err(error) => return self.halt(format!("reading failed: {error}")),
        }
        match end {
            Some(End::Panicked { offset, message }) => {
                counters.increment(Counter::HandlerPanics);
                self.condemned = Some((partition, offset, message));
                self.handlers[lane] = make_handler(&*self.factory, &self.options, storage, lane);
                return storage.requeue(partition);
            }
            Some(End::Retry) => {
                counters.increment(Counter::Retried);
                let until = now.mono.after(self.options.retry_backoff_ns);
                self.resting.push((until, partition));
            }
            Some(End::Stop(reason)) => self.halt(format!("the handler said stop: {reason}")),
            None => {}
        }
        if next == start {
            return;
        }
        if let Err(full) = self.handlers[lane].commit(&mut self.outputs) {
            return self.halt(format!("the handler's state does not fit: {full}"));
        }
        self.record_latencies(now, produce);
        let unwritten = Unwritten {
            partition,
            next,
            tally,
        };
        self.write(now, unwritten, storage, counters);
    }

    /// Writes a processed batch's group. Returns whether it was written.
    fn write(
        &mut self,
        now: Now,
        unwritten: Unwritten,
        storage: &mut impl Consumer,
        counters: &mut CounterWriter,
    ) -> bool {
        let Unwritten {
            partition,
            next,
            tally,
        } = unwritten;
        match storage.commit(now, partition, next, &self.outputs) {
            Ok(()) => {
                counters.add(Counter::Processed, tally.processed);
                counters.add(Counter::ProcessedDuplicates, tally.duplicates);
                counters.add(Counter::DeadLettered, tally.dead_lettered);
                if self
                    .condemned
                    .as_ref()
                    .is_some_and(|(p, o, _)| *p == partition && *o < next)
                {
                    self.condemned = None;
                }
                if !self
                    .resting
                    .iter()
                    .any(|&(_, resting)| resting == partition)
                {
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

    fn record_latencies(&self, now: Now, produce: &mut Produce) {
        // One clock reading for the batch, after its last record: what a record's own end was is
        // at most this, so the figures err on the slow side.
        let done = clock::monotonic().max(now.mono);
        let histograms = &mut produce.histograms;
        histograms.record(Stage::Process, done.since(now.mono));
        for (taken, visible) in &self.stamps {
            if let Some(taken) = taken {
                histograms.record(Stage::EndToEnd, done.since(*taken));
            }
            if let Some(visible) = visible {
                histograms.record(Stage::Consume, done.since(*visible));
            }
        }
    }

    fn halt(&mut self, reason: String) {
        self.halted.get_or_insert(reason);
    }
}

/// One batch on its way through the handler.
struct Run<'a, H> {
    handler: &'a mut H,
    outputs: &'a mut Outputs,
    stamps: &'a mut Vec<(Option<Nanos>, Option<Nanos>)>,
    options: &'a ProcessOptions,
    produce: &'a Produce,
    condemned: Option<&'a (PartitionId, Offset, String)>,
    shard: ShardId,
    partition: PartitionId,
    /// After the last record that is settled.
    next: Offset,
    tally: Tally,
    end: Option<End>,
}

impl<H: TransactionHandler> Run<'_, H> {
    fn visit(&mut self, record: Record<'_>) -> Visit {
        let mark = self.outputs.mark();
        let verdict = self.judge(&record);
        if self.outputs.overflowed() && !self.stamps.is_empty() {
            // The outputs of the records before leave no room: this one begins the next batch.
            self.outputs.rewind(mark);
            return Visit::Stop;
        }
        let settled = match verdict {
            Ok(()) => {
                self.tally.processed += 1;
                Ok(())
            }
            Err(Verdict::Duplicate) => {
                self.tally.duplicates += 1;
                Ok(())
            }
            Err(Verdict::Reject(reason)) => {
                self.outputs.rewind(mark);
                self.tally.dead_lettered += 1;
                self.dead_letter(&record, &reason)
            }
            Err(Verdict::End(end)) => {
                self.outputs.rewind(mark);
                self.end = Some(end);
                return Visit::Stop;
            }
        };
        if let Err(full) = settled {
            // A dead letter is hardly longer than its transaction, so alone it always fits.
            self.outputs.rewind(mark);
            self.tally.dead_lettered -= 1;
            if self.stamps.is_empty() {
                self.end = Some(End::Stop(full.to_string().into()));
            }
            return Visit::Stop;
        }
        self.next = record.offset.plus(1);
        self.stamps.push((record.taken, record.visible));
        if self.stamps.len() >= self.options.batch_records_max {
            return Visit::Stop;
        }
        Visit::Continue
    }

    /// Decodes one record and gives it to the handler.
    fn judge(&mut self, record: &Record<'_>) -> Result<(), Verdict> {
        if let Some((_, offset, message)) = self.condemned
            && *offset == record.offset
        {
            return Err(Verdict::Reject(
                format!("the handler panicked: {message}").into(),
            ));
        }
        let transaction = match codec::decode(record.value) {
            Ok(transaction) => transaction,
            Err(error) => return Err(Verdict::Reject(error.to_string().into())),
        };
        if self.is_duplicate(transaction.id, record.offset) {
            return Err(Verdict::Duplicate);
        }
        let (handler, outputs) = (&mut *self.handler, &mut *self.outputs);
        // Unwind safety: after a panic the handler is replaced and the outputs are dropped.
        let call = AssertUnwindSafe(|| handler.process(&transaction, outputs));
        match catch_unwind(call) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ProcessError::Reject(reason))) => Err(Verdict::Reject(reason)),
            Ok(Err(ProcessError::Retry(_))) => Err(Verdict::End(End::Retry)),
            Ok(Err(ProcessError::Stop(reason))) => Err(Verdict::End(End::Stop(reason))),
            Err(panic) => {
                let message = panic_message(&*panic);
                Err(Verdict::End(End::Panicked {
                    offset: record.offset,
                    message,
                }))
            }
        }
    }

    /// Whether the window knows this id from another record.
    fn is_duplicate(&self, id: &[u8], offset: Offset) -> bool {
        match self.produce.window.get(self.produce.fingerprinter.of(id)) {
            Some(Entry::Stored {
                partition,
                offset: first,
                ..
            }) => (partition, first) != (self.partition, offset),
            // In flight, so not durable, while this one is visible: then this is the first one,
            // read at `appended`.
            Some(Entry::InFlight { .. }) | None => false,
        }
    }

    fn dead_letter(&mut self, record: &Record<'_>, reason: &str) -> Result<(), OutputsFull> {
        let topic = self.options.dead_letters[&self.shard];
        let index = self.produce.table.destination(self.partition);
        let index = index
            .expect("only shards' partitions are processed")
            .index
            .to_string();
        let offset = record.offset.to_string();
        let headers: [(&str, &[u8]); 3] = [
            (DEAD_LETTER_REASON, reason.as_bytes()),
            (DEAD_LETTER_PARTITION, index.as_bytes()),
            (DEAD_LETTER_OFFSET, offset.as_bytes()),
        ];
        self.outputs
            .send_with_headers(topic, record.key, record.value, &headers)
    }
}

/// Why a record was not processed.
enum Verdict {
    Duplicate,
    Reject(Cow<'static, str>),
    End(End),
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
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
