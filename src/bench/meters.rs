//! What a load records while it runs, and reading it meanwhile.
//!
//! Owns: the histograms and counts of each thread of a load. Never does: a percentile of its own.
//! Runs on: each thread of a load writes its own [`Meter`]; the thread that reports reads the
//! [`Board`] beside them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;

use crate::ids::Nanos;
use crate::telemetry::{LatencyReader, LatencyWriter, empty_histogram, latencies};

/// Writes an enum together with its list and names.
macro_rules! measures {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            /// All, in this order.
            pub const ALL: [$name; [$($name::$variant),+].len()] = [$($name::$variant),+];

            /// As it is shown, and its key in JSON.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }
    };
}

measures! {
    /// A latency, in nanoseconds.
    Span {
        /// From when a record was meant to be sent to when it was handed over: how late the sender
        /// itself was.
        PublishDelay = "publish_delay",
        /// From when it was meant to be sent to its acknowledgement.
        Produce = "produce",
        /// From visible to a consumer (embedded), or from its acknowledgement (over Kafka's
        /// protocol), to the consumer's having it; 0 where the consumer had it first.
        Consume = "consume",
        /// From when it was meant to be sent to when the consumer has it: in the embedded engine to
        /// the end of its processing.
        EndToEnd = "end_to_end",
    }
}

measures! {
    /// Records, or bytes of their values.
    Count {
        /// Records handed over.
        Sent = "sent",
        /// Bytes of their values.
        SentBytes = "sent_bytes",
        /// Records acknowledged.
        Acked = "acked",
        /// Records that a consumer had, once for each subscription.
        Received = "received",
        /// Bytes of their values.
        ReceivedBytes = "received_bytes",
        /// Records refused or given up.
        Failed = "failed",
    }
}

#[derive(Debug)]
#[repr(align(128))]
struct Counts([AtomicU64; Count::ALL.len()]);

/// What one thread of a load records. One writer: no lock, no locked instruction, no allocation.
#[derive(Debug)]
pub struct Meter {
    spans: [LatencyWriter; Span::ALL.len()],
    counts: Arc<Counts>,
}

impl Meter {
    /// Records from `from` to `to`; 0 where `to` is the earlier one.
    #[inline]
    pub fn span(&mut self, span: Span, from: Nanos, to: Nanos) {
        self.spans[span as usize].record(to.since(from));
    }

    /// Counts.
    #[inline]
    pub fn count(&mut self, count: Count, by: u64) {
        let cell = &self.counts.0[count as usize];
        // Nobody else writes.
        cell.store(
            cell.load(Ordering::Relaxed).wrapping_add(by),
            Ordering::Relaxed,
        );
    }
}

#[derive(Debug)]
struct Reader {
    spans: [LatencyReader; Span::ALL.len()],
    counts: Arc<Counts>,
}

/// All meters of a load.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Vec<Reader>>>);

impl Board {
    /// A meter for one thread. Takes about 1 MB.
    pub fn meter(&self) -> Meter {
        let pairs = Span::ALL.map(|_| latencies());
        let counts = Arc::new(Counts([const { AtomicU64::new(0) }; Count::ALL.len()]));
        let reader = Reader {
            spans: pairs.each_ref().map(|(_, reader)| reader.clone()),
            counts: Arc::clone(&counts),
        };
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.push(reader);
        Meter {
            spans: pairs.map(|(writer, _)| writer),
            counts,
        }
    }

    /// Everything recorded so far, by all threads.
    pub fn snapshot(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        for reader in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            for (span, from) in Span::ALL.into_iter().zip(&reader.spans) {
                sum.add(span, &from.snapshot());
            }
            for (sum, count) in sum.counts.iter_mut().zip(&reader.counts.0) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        sum
    }
}

/// What was recorded up to a moment, or between two.
#[derive(Clone, Debug)]
pub struct Snapshot {
    spans: [Histogram<u64>; Span::ALL.len()],
    counts: [u64; Count::ALL.len()],
}

impl Default for Snapshot {
    fn default() -> Snapshot {
        Snapshot {
            spans: Span::ALL.map(|_| empty_histogram()),
            counts: [0; Count::ALL.len()],
        }
    }
}

impl Snapshot {
    /// The latencies, in nanoseconds.
    pub fn span(&self, span: Span) -> &Histogram<u64> {
        &self.spans[span as usize]
    }

    /// The count.
    pub fn count(&self, count: Count) -> u64 {
        self.counts[count as usize]
    }

    /// Adds latencies that were recorded elsewhere, as by the engine's cores.
    pub fn add(&mut self, span: Span, latencies: &Histogram<u64>) {
        self.spans[span as usize]
            .add(latencies)
            .expect("all histograms are made with the same range");
    }

    /// Sets a count that was kept elsewhere.
    pub fn set(&mut self, count: Count, value: u64) {
        self.counts[count as usize] = value;
    }

    /// Adds what another one has.
    pub fn merge(&mut self, other: &Snapshot) {
        for span in Span::ALL {
            self.add(span, other.span(span));
        }
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
    }

    /// What came since `earlier`, a snapshot of the same meters.
    pub fn since(&self, earlier: &Snapshot) -> Snapshot {
        let mut rest = self.clone();
        for (histogram, before) in rest.spans.iter_mut().zip(&earlier.spans) {
            histogram
                .subtract(before)
                .expect("nothing was forgotten since, and all have the same range");
        }
        for (count, before) in rest.counts.iter_mut().zip(earlier.counts) {
            *count -= before;
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_adds_up_its_meters_and_a_difference_leaves_what_came_since() {
        let board = Board::default();
        let (mut first, mut second) = (board.meter(), board.meter());
        first.span(Span::Produce, Nanos(1_000), Nanos(3_000));
        first.count(Count::Acked, 1);
        let before = board.snapshot();
        second.span(Span::Produce, Nanos(1_000), Nanos(9_000));
        second.count(Count::Acked, 2);
        let after = board.snapshot();
        assert_eq!(after.count(Count::Acked), 3);
        assert_eq!(after.span(Span::Produce).len(), 2);
        let since = after.since(&before);
        assert_eq!(since.count(Count::Acked), 2);
        assert_eq!(since.span(Span::Produce).max(), 8_003);
        assert_eq!(since.span(Span::EndToEnd).len(), 0);
    }

    #[test]
    fn every_measure_has_its_own_place() {
        for (place, span) in Span::ALL.into_iter().enumerate() {
            assert_eq!(span as usize, place);
        }
        for (place, count) in Count::ALL.into_iter().enumerate() {
            assert_eq!(count as usize, place);
        }
    }
}
