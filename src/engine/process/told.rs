//! What is told of single transactions of a batch once its group is written: to the flight recorder,
//! and of traced ones to who tells of them.

use crate::ids::Nanos;
use crate::telemetry::{CounterWriter, Flight, Leg, Stamps, Traced};

use super::super::handler::HandlerFactory;
use super::super::produce::Produce;
use super::run::Visited;
use super::{Process, Unwritten};

impl<F: HandlerFactory> Process<F> {
    /// Tells the flight recorder of a batch whose group is written: kept ones learn when they were
    /// processed, and the slowest one is kept now if it has become slow by waiting for the handler. One
    /// of a batch, since what waits longer and longer is slow in all its batches.
    pub(super) fn keep_slow(
        &self,
        batch: &Unwritten,
        produce: &mut Produce,
        counters: &mut CounterWriter,
    ) {
        let (read, done) = (batch.read, batch.done);
        let recorder = &mut produce.recorder;
        recorder.processed(batch.partition, batch.next, read, done);
        let known = self.stamps.iter().filter_map(|it| Some((it.taken?, it)));
        let Some((taken, slowest)) = known.min_by_key(|(taken, _)| *taken) else {
            return;
        };
        if !recorder.wants(done.since(taken)) {
            return;
        }
        let flight = flight(batch, slowest, produce);
        if produce.recorder.keep(flight) {
            produce.traces.slow(flight, counters);
        }
    }

    /// Tells of the traced ones of a batch whose group is written.
    pub(super) fn tell_traced(
        &self,
        batch: &Unwritten,
        produce: &mut Produce,
        counters: &mut CounterWriter,
    ) {
        for traced in &self.traced {
            let visited = &self.stamps[traced.place];
            let flight = flight(batch, visited, produce);
            let leg = Traced {
                context: traced.context,
                span: traced.span,
                leg: Leg::Process,
                flight,
            };
            produce.traces.tell(leg, counters);
        }
    }
}

/// What is known of a processed record.
fn flight(batch: &Unwritten, visited: &Visited, produce: &Produce) -> Flight {
    let destination = produce.table.destination(batch.partition);
    let destination = destination.expect("only shards' are processed");
    Flight {
        shard: destination.shard,
        index: destination.index,
        partition: batch.partition,
        offset: visited.offset,
        acks: None,
        stamps: Stamps {
            taken: visited.taken.unwrap_or(Nanos(0)),
            durable: visited.visible.unwrap_or(Nanos(0)),
            read: batch.read,
            processed: batch.done,
            ..Stamps::default()
        },
    }
}
