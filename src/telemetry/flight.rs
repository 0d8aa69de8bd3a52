//! The flight recorder: the slowest transactions of the last minutes, with the moment of each stage.
//!
//! Owns: which ones are kept. Never does: read a clock, allocate after it was made. Runs on: each core has
//! its own; whoever wants to look asks the core for a copy.
//!
//! The minimum that a transaction must exceed is the fastest one kept of the same minute, so that at a
//! steady load almost none costs more than one comparison.

use crate::ids::{Acks, Nanos, Offset, PartitionId, PartitionIndex, ShardId};

/// Transactions kept of each minute.
pub const KEPT_PER_MINUTE: usize = 16;

/// Minutes that are kept, the one under way included.
pub const MINUTES: usize = 5;

/// The moments of a transaction's stages, on the clock of [`crate::clock::monotonic`]. Those of the
/// engine are the starts of its duty cycles. 0 where a stage was not reached, or not seen by this core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamps {
    /// It came in, or was meant to be sent.
    pub taken: Nanos,
    /// The core where it came in decoded and routed it.
    pub routed: Nanos,
    /// The owner of its partition took it and knew it for new.
    pub accepted: Nanos,
    /// It has its offset and lies in the open frame.
    pub appended: Nanos,
    /// Its frame was handed to the device.
    pub written: Nanos,
    /// It is durable, and was answered under acks = all.
    pub durable: Nanos,
    /// The handler's batch with it began.
    pub read: Nanos,
    /// The handler's batch with it ended.
    pub processed: Nanos,
}

impl Stamps {
    /// The stamps in the order in which a transaction meets them, with their names. Under load
    /// `read` may come before `durable` where topics are read at the appended end.
    pub fn named(&self) -> [(&'static str, Nanos); 8] {
        [
            ("taken", self.taken),
            ("routed", self.routed),
            ("accepted", self.accepted),
            ("appended", self.appended),
            ("written", self.written),
            ("durable", self.durable),
            ("read", self.read),
            ("processed", self.processed),
        ]
    }

    /// From the first stamp to the last, in nanoseconds.
    pub fn total_ns(&self) -> u64 {
        let last = self.named().map(|(_, at)| at).into_iter().max();
        last.unwrap_or_default().since(self.taken)
    }
}

/// One transaction and how long each of its stages took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight {
    /// The shard that took it.
    pub shard: ShardId,
    /// Its partition, by the number in the shard's topic.
    pub index: PartitionIndex,
    /// The same partition, by the node's number.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// The level at which it was answered; none where it only became slow after that, so that its
    /// submission was forgotten.
    pub acks: Option<Acks>,
    /// Its stages.
    pub stamps: Stamps,
}

/// The kept ones of one minute.
#[derive(Debug)]
struct Minute {
    kept: Vec<Flight>,
}

/// Keeps the slowest. Belongs to one core.
#[derive(Debug)]
pub struct Recorder {
    minutes: [Minute; MINUTES],
    current: usize,
    ends: Nanos,
    /// What takes no longer than this is not kept.
    threshold_ns: u64,
    /// How many of the current minute were durable and not yet processed.
    unprocessed: usize,
}

/// Length of a minute, in nanoseconds.
const MINUTE_NS: u64 = 60_000_000_000;

impl Recorder {
    /// Takes all the memory that it will use: about 10 KB.
    pub fn new() -> Recorder {
        let minute = || Minute {
            kept: Vec::with_capacity(KEPT_PER_MINUTE),
        };
        Recorder {
            minutes: std::array::from_fn(|_| minute()),
            current: 0,
            ends: Nanos(0),
            threshold_ns: 0,
            unprocessed: 0,
        }
    }

    /// Begins a new minute if the last one is over.
    #[inline]
    pub fn turn(&mut self, now: Nanos) {
        if now < self.ends {
            return;
        }
        self.ends = now.after(MINUTE_NS);
        self.current = (self.current + 1) % MINUTES;
        self.minutes[self.current].kept.clear();
        self.threshold_ns = 0;
        self.unprocessed = 0;
    }

    /// Whether a transaction that has taken so long is slow enough to be kept.
    #[inline]
    pub fn wants(&self, took_ns: u64) -> bool {
        took_ns > self.threshold_ns
    }

    /// Whether this minute has its [`KEPT_PER_MINUTE`]: until then every transaction is wanted.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.minutes[self.current].kept.len() == KEPT_PER_MINUTE
    }

    /// Keeps a transaction that [`Recorder::wants`] said yes to, in the place of the fastest one. One
    /// that is kept already stays as it is. Returns whether it is new.
    pub fn keep(&mut self, flight: Flight) -> bool {
        let kept = &mut self.minutes[self.current].kept;
        let same = |old: &Flight| (old.partition, old.offset) == (flight.partition, flight.offset);
        if kept.iter().any(same) {
            return false;
        }
        if kept.len() < KEPT_PER_MINUTE {
            kept.push(flight);
        } else if let Some(fastest) = kept.iter_mut().min_by_key(|old| old.stamps.total_ns()) {
            *fastest = flight;
        }
        self.settle();
        true
    }

    /// Adds to the kept ones of a partition that their batch, which began at `read`, was processed up
    /// to `next`.
    #[inline]
    pub fn processed(&mut self, partition: PartitionId, next: Offset, read: Nanos, done: Nanos) {
        if self.unprocessed > 0 {
            self.complete(partition, next, read, done);
        }
    }

    fn complete(&mut self, partition: PartitionId, next: Offset, read: Nanos, done: Nanos) {
        for flight in &mut self.minutes[self.current].kept {
            let is_there = flight.partition == partition && flight.offset < next;
            if is_there && flight.stamps.processed == Nanos(0) {
                flight.stamps.read = read;
                flight.stamps.processed = done;
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        let kept = &self.minutes[self.current].kept;
        let unprocessed = |flight: &&Flight| flight.stamps.processed == Nanos(0);
        self.unprocessed = kept.iter().filter(unprocessed).count();
        self.threshold_ns = match kept.len() < KEPT_PER_MINUTE {
            true => 0,
            false => kept
                .iter()
                .map(|flight| flight.stamps.total_ns())
                .min()
                .unwrap_or(0),
        };
    }

    /// A copy of all that is kept, the slowest first.
    pub fn slowest(&self) -> Vec<Flight> {
        let kept = self.minutes.iter().flat_map(|minute| &minute.kept);
        let mut slowest: Vec<Flight> = kept.copied().collect();
        slowest.sort_by_key(|flight| std::cmp::Reverse(flight.stamps.total_ns()));
        slowest
    }
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(offset: i64, took_ns: u64) -> Flight {
        Flight {
            shard: ShardId(1),
            index: PartitionIndex(0),
            partition: PartitionId(3),
            offset: Offset(offset),
            acks: Some(Acks::All),
            stamps: Stamps {
                taken: Nanos(1000),
                durable: Nanos(1000 + took_ns),
                ..Stamps::default()
            },
        }
    }

    fn offer(recorder: &mut Recorder, flight: Flight) -> bool {
        recorder.wants(flight.stamps.total_ns()) && recorder.keep(flight)
    }

    fn offsets(recorder: &Recorder) -> Vec<i64> {
        let slowest = recorder.slowest();
        slowest.iter().map(|flight| flight.offset.0).collect()
    }

    #[test]
    fn the_slowest_of_a_minute_are_kept_in_order() {
        let mut recorder = Recorder::new();
        recorder.turn(Nanos(1));
        // In an order that is neither rising nor falling.
        for step in 0..1000 {
            let offset = (step * 377) % 1000;
            offer(&mut recorder, flight(offset, 10 + offset as u64));
        }
        let slowest: Vec<i64> = (0..1000).rev().take(KEPT_PER_MINUTE).collect();
        assert_eq!(offsets(&recorder), slowest);
    }

    #[test]
    fn minutes_are_apart_and_old_ones_go() {
        let mut recorder = Recorder::new();
        for minute in 0..=MINUTES as u64 {
            recorder.turn(Nanos(1 + minute * MINUTE_NS));
            offer(&mut recorder, flight(minute as i64, 1000 - minute));
        }
        // The first minute's was the slowest of all, and its time is over.
        assert_eq!(offsets(&recorder), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_kept_one_learns_when_it_was_processed_and_only_then() {
        let mut recorder = Recorder::new();
        recorder.turn(Nanos(1));
        offer(&mut recorder, flight(7, 500));
        offer(&mut recorder, flight(9, 400));
        recorder.processed(PartitionId(4), Offset(10), Nanos(2000), Nanos(2100));
        recorder.processed(PartitionId(3), Offset(8), Nanos(3000), Nanos(3100));
        let slowest = recorder.slowest();
        assert_eq!(slowest[0].offset, Offset(7));
        assert_eq!(slowest[0].stamps.processed, Nanos(3100));
        assert_eq!(slowest[0].stamps.total_ns(), 2100);
        assert_eq!(slowest[1].stamps.processed, Nanos(0));
        // A second time changes nothing.
        recorder.processed(PartitionId(3), Offset(8), Nanos(5000), Nanos(5100));
        assert_eq!(recorder.slowest()[0], slowest[0]);
    }

    #[test]
    fn a_record_is_kept_once() {
        let mut recorder = Recorder::new();
        recorder.turn(Nanos(1));
        assert!(offer(&mut recorder, flight(7, 500)));
        assert!(!offer(&mut recorder, flight(7, 900)));
        let slowest = recorder.slowest();
        assert_eq!(slowest.len(), 1);
        assert_eq!(slowest[0].stamps.total_ns(), 500);
    }
}
