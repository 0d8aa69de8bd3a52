//! One batch's records through the handler: what becomes of each.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::clock::Now;
use crate::ids::{Nanos, Offset, PartitionId, ShardId};
use crate::storage::{Outputs, OutputsRefused, Record, Visit};
use crate::telemetry::{Counter, CounterWriter, ShardCounter, TraceContext};
use crate::transaction::codec;

use super::super::handler::{ProcessError, TransactionHandler};
use super::super::pending::Seen;
use super::super::produce::{Produce, Recognised};
use super::{
    Condemned, DEAD_LETTER_OFFSET, DEAD_LETTER_PARTITION, DEAD_LETTER_REASON, ProcessOptions,
    Remember,
};

/// What a batch came to; counted once its group is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    /// The place of its shard in the route table.
    shard: usize,
    pub processed: u64,
    pub duplicates: u64,
    pub dead_lettered: u64,
}

impl Tally {
    /// Of a batch that has not begun.
    pub fn of(shard: usize) -> Tally {
        Tally {
            shard,
            processed: 0,
            duplicates: 0,
            dead_lettered: 0,
        }
    }

    /// Counts it, with how long its oldest transaction took from intake: per shard all of its
    /// `records` count as that long, so that a batch costs one addition.
    pub fn count(self, counters: &mut CounterWriter, oldest_ns: Option<u64>, records: usize) {
        counters.add(Counter::Processed, self.processed);
        counters.add(Counter::ProcessedDuplicates, self.duplicates);
        counters.add(Counter::DeadLettered, self.dead_lettered);
        let (shard, shards) = (self.shard, &mut counters.shards);
        shards.add(shard, ShardCounter::Processed, self.processed);
        shards.add(shard, ShardCounter::ProcessedDuplicates, self.duplicates);
        shards.add(shard, ShardCounter::DeadLettered, self.dead_lettered);
        if let Some(oldest_ns) = oldest_ns {
            shards.record(shard, oldest_ns, records as u64);
        }
    }
}

/// Why a batch ended before its records did.
pub(super) enum End {
    Retry,
    Stop(Cow<'static, str>),
    Panicked { offset: Offset, message: String },
}

/// A record of the batch, for the latencies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visited {
    pub offset: Offset,
    /// When it came in, where that is known.
    pub taken: Option<Nanos>,
    /// When it became visible, where that was seen.
    pub visible: Option<Nanos>,
}

/// A traced record of the batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct TracedRecord {
    /// Its place among the [`Visited`].
    pub place: usize,
    /// As its header has it.
    pub context: TraceContext,
    /// The span of its processing.
    pub span: u64,
}

/// One batch on its way through the handler.
pub(super) struct Run<'a, H> {
    pub handler: &'a mut H,
    pub outputs: &'a mut Outputs,
    pub stamps: &'a mut Vec<Visited>,
    pub traced: &'a mut Vec<TracedRecord>,
    pub options: &'a ProcessOptions,
    pub produce: &'a mut Produce,
    pub condemned: Option<&'a Condemned>,
    /// Records after which it ends.
    pub records_max: usize,
    pub now: Now,
    pub shard: ShardId,
    pub partition: PartitionId,
    /// After the last record that is settled.
    pub next: Offset,
    pub tally: Tally,
    pub end: Option<End>,
}

impl<H: TransactionHandler> Run<'_, H> {
    /// Takes the next record. It counts once the batch is committed.
    pub fn visit(&mut self, record: Record<'_>) -> Visit {
        match record.trace.map(TraceContext::parse) {
            // A header that is none is left to whoever wrote it.
            None | Some(Err(_)) => self.settle(record),
            Some(Ok(context)) => self.settle_traced(record, context),
        }
    }

    /// As [`Run::settle`]; what is put out meanwhile belongs to the record's trace.
    #[cold]
    fn settle_traced(&mut self, record: Record<'_>, context: TraceContext) -> Visit {
        let span = context.is_sampled().then(|| self.produce.traces.span());
        let onward = span.map_or(context, |span| context.caused_by(span));
        let (place, duplicates) = (self.stamps.len(), self.tally.duplicates);
        self.outputs.set_trace(Some(onward.to_header()));
        let visit = self.settle(record);
        self.outputs.set_trace(None);
        let counts = self.stamps.len() > place && self.tally.duplicates == duplicates;
        if let Some(span) = span.filter(|_| counts) {
            self.traced.push(TracedRecord {
                place,
                context,
                span,
            });
        }
        visit
    }

    fn settle(&mut self, record: Record<'_>) -> Visit {
        let mark = self.outputs.mark();
        let mut taken = record.taken;
        let verdict = self.judge(&record, &mut taken);
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
        self.stamps.push(Visited {
            offset: record.offset,
            taken,
            visible: record.visible,
        });
        // Half of the room is kept: for a record that puts out much, and for the handler's state.
        let is_full = self.stamps.len() >= self.records_max
            || self.outputs.stored_bytes_max() * 2 >= self.options.outputs_bytes_max;
        // Written before anything else can break the handler, or the record would come again.
        if is_full || self.condemned_at(record.offset).is_some() {
            return Visit::Stop;
        }
        Visit::Continue
    }

    fn condemned_at(&self, offset: Offset) -> Option<&Condemned> {
        self.condemned
            .filter(|condemned| condemned.offset == offset)
    }

    /// Decodes one record and gives it to the handler. Also finds out when it was taken in, where
    /// its submission still waits.
    fn judge(&mut self, record: &Record<'_>, taken: &mut Option<Nanos>) -> Result<(), Verdict> {
        if let Some(condemned) = self.condemned_at(record.offset) {
            return Err(Verdict::Reject(Cow::Owned(condemned.reason.clone())));
        }
        let transaction = match codec::decode(record.value) {
            Ok(transaction) => transaction,
            Err(error) => return Err(Verdict::Reject(error.to_string().into())),
        };
        let place = Seen {
            partition: self.partition,
            offset: record.offset,
            timestamp: record.timestamp,
        };
        match self.produce.recognise(transaction.id, record.seat, place) {
            Recognised::Duplicate => return Err(Verdict::Duplicate),
            Recognised::Known { taken: waiting } => *taken = taken.or(waiting),
            Recognised::New => match self.options.remember {
                Remember::Own => {}
                Remember::All => self.produce.remember(transaction.id, place, self.now),
            },
        }
        let (handler, outputs) = (&mut *self.handler, &mut *self.outputs);
        match guarded(|| handler.process(&transaction, outputs)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ProcessError::Reject(reason))) => Err(Verdict::Reject(reason)),
            Ok(Err(ProcessError::Retry(_))) => Err(Verdict::End(End::Retry)),
            Ok(Err(ProcessError::Stop(reason))) => Err(Verdict::End(End::Stop(reason))),
            Err(message) => Err(Verdict::End(End::Panicked {
                offset: record.offset,
                message,
            })),
        }
    }

    fn dead_letter(&mut self, record: &Record<'_>, reason: &str) -> Result<(), OutputsRefused> {
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

/// Calls a handler's code; what a panic said where it panics. The handler may then be half-changed:
/// it must be replaced, and the outputs dropped, or nothing more be processed.
pub(super) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| panic_message(&*panic))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
