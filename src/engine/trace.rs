//! Traced transactions: which ones, what is known of them, and the way to who tells of them.
//!
//! What is not traced costs a branch here and there, and no memory. What is traced may take memory; it
//! never makes the core wait: where too much is to be told, it is counted and dropped.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::telemetry::{
    Counter, CounterWriter, Flight, IdSource, Leg, Sampler, TraceContext, Traced, Traceparent,
};

use super::pending::{NONE, Pending};

/// Legs that wait to be told, per core.
const WAITING_MAX: usize = 1024;

/// Fixed choices about traces.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TraceOptions {
    /// Share of the transactions without a context that are traced, 0.0 to 1.0.
    pub sample: f64,
    /// Whether the slowest ones are told as well.
    pub slowest: Slowest,
}

/// Whether what the flight recorder keeps is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Slowest {
    /// No.
    #[default]
    Kept,
    /// Yes.
    Told,
}

/// Where a core leaves what is to be told of traced transactions.
#[derive(Debug, Clone)]
pub struct TraceReader(Arc<ArrayQueue<Traced>>);

impl TraceReader {
    /// The next leg to tell of.
    pub fn next(&self) -> Option<Traced> {
        self.0.pop()
    }
}

/// Makes both ends: [`Traces`] goes to the core, the reader to who tells.
pub fn traces(options: TraceOptions) -> (Traces, TraceReader) {
    let queue = Arc::new(ArrayQueue::new(WAITING_MAX));
    let traces = Traces {
        ids: IdSource::new(),
        sampler: Sampler::new(options.sample),
        slowest: options.slowest,
        under_way: Vec::new(),
        free: Vec::new(),
        queue: Arc::clone(&queue),
    };
    (traces, TraceReader(queue))
}

/// The traced transactions of one core.
#[derive(Debug)]
pub struct Traces {
    ids: IdSource,
    sampler: Sampler,
    slowest: Slowest,
    /// Those that are not durable yet, with the span of their sending; [`super::pending::Slot`] has
    /// their places. Grows to as many as are in flight at once.
    under_way: Vec<(TraceContext, u64)>,
    free: Vec<u32>,
    queue: Arc<ArrayQueue<Traced>>,
}

impl Traces {
    /// Decides whether a transaction that came in without a context is traced.
    #[inline]
    pub(super) fn sample(&mut self, trace: &mut Option<Box<TraceContext>>) {
        if self.sampler.is_on() && trace.is_none() {
            *trace = self.sampler.draw(&mut self.ids).map(Box::new);
        }
    }

    /// A traced transaction goes into storage: the header that its record gets. One whose context says
    /// that nobody traces keeps that context.
    #[cold]
    pub(super) fn begin(
        &mut self,
        context: &TraceContext,
        pending: &mut Pending,
        token: u32,
    ) -> Box<Traceparent> {
        if !context.is_sampled() {
            return Box::new(context.to_header());
        }
        let span = self.ids.span();
        let entry = (*context, span);
        let place = match self.free.pop() {
            Some(place) => {
                self.under_way[place as usize] = entry;
                place
            }
            None => {
                self.under_way.push(entry);
                (self.under_way.len() - 1) as u32 // Fewer than slots, whose tokens have 32 bits.
            }
        };
        pending.get_mut(token).trace = place;
        Box::new(context.caused_by(span).to_header())
    }

    /// A transaction with this place is told of no more.
    #[inline]
    pub(super) fn forget(&mut self, place: u32) {
        if place != NONE {
            self.free.push(place);
        }
    }

    /// A transaction with this place is durable.
    pub(super) fn sent(&mut self, place: u32, flight: Flight, counters: &mut CounterWriter) {
        let (context, span) = self.under_way[place as usize];
        self.forget(place);
        let leg = Leg::Send;
        self.tell(
            Traced {
                context,
                span,
                leg,
                flight,
            },
            counters,
        );
    }

    /// The flight recorder has kept a transaction.
    pub(super) fn slow(&mut self, flight: Flight, counters: &mut CounterWriter) {
        match self.slowest {
            Slowest::Kept => {}
            Slowest::Told => {
                let context = TraceContext::root(self.ids.trace());
                let traced = Traced {
                    context,
                    span: self.ids.span(),
                    leg: Leg::Slow,
                    flight,
                };
                self.tell(traced, counters);
            }
        }
    }

    /// A span of processing.
    pub(super) fn span(&mut self) -> u64 {
        self.ids.span()
    }

    /// Leaves a leg to who tells of it.
    pub(super) fn tell(&mut self, traced: Traced, counters: &mut CounterWriter) {
        counters.increment(match self.queue.push(traced) {
            Ok(()) => Counter::Traces,
            Err(_) => Counter::TracesDropped,
        });
    }
}
