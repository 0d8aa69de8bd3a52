//! What happened to a transaction, as spans: one for the leg, one below it for each of its stages.
//!
//! Owns: the stages' names. Never does: read a clock; tell anybody.

use crate::ids::{Acks, CoreId, Nanos, Offset, PartitionIndex, ShardId};
use crate::telemetry::{Flight, IdSource, Leg, Traced};

/// A span, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub trace_id: u128,
    pub id: u64,
    /// The span that caused it; 0 where there is none.
    pub parent: u64,
    pub name: &'static str,
    pub start: Nanos,
    pub end: Nanos,
    /// Of the leg; its stages have none.
    pub about: Option<About>,
}

/// What a leg's span says of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub leg: Leg,
    pub shard: ShardId,
    pub partition: PartitionIndex,
    pub offset: Offset,
    pub core: CoreId,
    /// The level of its receipt, where that is known.
    pub acks: Option<Acks>,
}

/// The stage that ends at each stamp but the first: the order is that of [`crate::telemetry::Stamps`].
pub(super) const STAGES: [&str; 7] = [
    "intake",
    "hop",
    "queue",
    "group",
    "sync",
    "tail_read",
    "process",
];

impl Span {
    /// How long it took, in microseconds.
    pub fn micros(&self) -> u64 {
        self.end.since(self.start) / 1000
    }
}

/// The spans of a leg, its own first.
pub(super) fn spans(core: CoreId, traced: &Traced, ids: &mut IdSource) -> Vec<Span> {
    let Traced {
        context,
        span,
        leg,
        flight,
    } = traced;
    let leg_span = Span {
        trace_id: context.trace_id,
        id: *span,
        parent: context.parent,
        name: name(*leg),
        start: Nanos(0),
        end: Nanos(0),
        about: Some(About {
            leg: *leg,
            shard: flight.shard,
            partition: flight.index,
            offset: flight.offset,
            core,
            acks: flight.acks,
        }),
    };
    let mut spans = vec![leg_span];
    let (start, ends) = moments(*leg, flight);
    let mut last = start;
    for (name, at) in ends {
        // Stamps are starts of cycles, so one may lie a little before what it follows.
        let end = at.max(last);
        spans.push(Span {
            id: ids.span(),
            parent: *span,
            name,
            start: last,
            end,
            about: None,
            ..leg_span
        });
        last = end;
    }
    (spans[0].start, spans[0].end) = (start, last);
    spans
}

const fn name(leg: Leg) -> &'static str {
    match leg {
        Leg::Send => "send_transaction",
        Leg::Process => "process_transaction",
        Leg::Slow => "slow_transaction",
    }
}

/// Where a leg begins, and the ends of its stages, as far as they were seen.
fn moments(leg: Leg, flight: &Flight) -> (Nanos, Vec<(&'static str, Nanos)>) {
    let stamps = flight.stamps.named().map(|(_, at)| at);
    let first = match leg {
        Leg::Send | Leg::Slow => 0,
        // What was before is told by the leg that sent it.
        Leg::Process => STAGES.len() - 2,
    };
    let mut seen = (first..).zip(&stamps[first..]).filter(|(_, at)| at.0 > 0);
    let start = seen.next().map_or(Nanos(0), |(_, at)| *at);
    let ends = seen.map(|(place, at)| (STAGES[place - 1], *at)).collect();
    (start, ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PartitionId;
    use crate::telemetry::{Stamps, TraceContext};

    fn traced(leg: Leg, stamps: Stamps) -> Traced {
        Traced {
            context: TraceContext::root(7).caused_by(8),
            span: 9,
            leg,
            flight: Flight {
                shard: ShardId(4),
                index: PartitionIndex(2),
                partition: PartitionId(11),
                offset: Offset(1000),
                acks: Some(Acks::All),
                stamps,
            },
        }
    }

    fn told(leg: Leg, stamps: Stamps) -> Vec<(&'static str, u64, u64)> {
        let spans = spans(CoreId(1), &traced(leg, stamps), &mut IdSource::new());
        assert!(spans.iter().all(|span| span.trace_id == 7));
        assert!(spans[1..].iter().all(|span| span.parent == 9));
        assert_eq!((spans[0].id, spans[0].parent), (9, 8));
        let told = |span: &Span| (span.name, span.start.0, span.end.0);
        spans.iter().map(told).collect()
    }

    #[test]
    fn the_stages_of_a_leg_follow_each_other_without_a_gap() {
        let stamps = Stamps {
            taken: Nanos(100),
            routed: Nanos(110),
            accepted: Nanos(120),
            appended: Nanos(120),
            written: Nanos(130),
            durable: Nanos(300),
            ..Stamps::default()
        };
        let sent = [
            ("send_transaction", 100, 300),
            ("intake", 100, 110),
            ("hop", 110, 120),
            ("queue", 120, 120),
            ("group", 120, 130),
            ("sync", 130, 300),
        ];
        assert_eq!(told(Leg::Send, stamps), sent);
    }

    #[test]
    fn what_was_not_seen_is_left_out() {
        let stamps = Stamps {
            taken: Nanos(100),
            durable: Nanos(300),
            read: Nanos(290),
            processed: Nanos(400),
            ..Stamps::default()
        };
        let processed = [
            ("process_transaction", 300, 400),
            ("tail_read", 300, 300),
            ("process", 300, 400),
        ];
        assert_eq!(told(Leg::Process, stamps), processed);
        let slow = told(Leg::Slow, stamps);
        assert_eq!(slow[0], ("slow_transaction", 100, 400));
        assert_eq!(slow[1], ("sync", 100, 300));
        let late = Stamps {
            durable: Nanos(0),
            ..stamps
        };
        let processed = [("process_transaction", 290, 400), ("process", 290, 400)];
        assert_eq!(told(Leg::Process, late), processed);
    }
}
