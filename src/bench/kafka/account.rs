//! Which records were acknowledged and which came back: none may be lost or come twice unnoticed.
//!
//! Owns: a count and a digest of record numbers for each producer and consumer, and when the newest
//! records were acknowledged. Never does: wait. Runs on: each cell is written by one thread of the
//! load; any thread reads them.
//!
//! A partition holds the records of one producer in the order in which they were sent, so a consumer
//! that sees a number again, or a lower one, saw a duplicate. With none of these, equal counts and equal
//! sums of scrambled numbers mean that what was acknowledged is what was received.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::acks::{Acked, Acks};
use super::mark::Mark;
use crate::bench::traffic::{Traffic, splitmix};
use crate::ids::Nanos;

/// Records whose acknowledgement is remembered, by all producers together.
const ACKS_ALL: usize = 1 << 22;

/// What one producer did.
#[derive(Debug)]
#[repr(align(128))]
struct Outgoing {
    sent: AtomicU64,
    acked: AtomicU64,
    failed: AtomicU64,
    digest: AtomicU64,
    acks: Acks,
}

/// What one consumer has seen.
#[derive(Debug)]
#[repr(align(128))]
struct Incoming {
    received: AtomicU64,
    again: AtomicU64,
    digest: AtomicU64,
    topic: u32,
    subscription: u32,
}

/// All of a target's producers and consumers, and what its threads say to each other.
#[derive(Debug)]
pub struct Account {
    outgoing: Vec<Outgoing>,
    incoming: Vec<Incoming>,
    producers_of_topic: u32,
    topics: u32,
    subscriptions: u32,
    /// The load is to send nothing more.
    pub stop: AtomicBool,
    /// The load is over, whatever is under way.
    pub abort: AtomicBool,
    /// Consumers take nothing for now.
    pub paused: AtomicBool,
    /// All threads end.
    pub end: AtomicBool,
    trouble: Mutex<Option<String>>,
    last_error: Mutex<Option<String>>,
}

/// A consumer's place: which topic, which subscription of it, which consumer of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// From 0.
    pub topic: u32,
    /// From 0.
    pub subscription: u32,
    /// From 0.
    pub consumer: u32,
}

/// Adds to a cell that nobody else writes.
fn add(cell: &AtomicU64, by: u64) {
    cell.store(
        cell.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Release,
    );
}

fn scrambled(mark: Mark) -> u64 {
    splitmix(&mut mark.id())
}

impl Account {
    /// With nothing in it yet. Consumer `i` is the one in `seats[i]`.
    pub fn new(traffic: &Traffic, seats: &[Seat]) -> Account {
        let producers = (traffic.topics * traffic.producers) as usize;
        let acks = (ACKS_ALL / producers).clamp(1 << 10, 1 << 20);
        let outgoing = |_| Outgoing {
            sent: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            digest: AtomicU64::new(0),
            acks: Acks::new(acks),
        };
        let incoming = |seat: &Seat| Incoming {
            received: AtomicU64::new(0),
            again: AtomicU64::new(0),
            digest: AtomicU64::new(0),
            topic: seat.topic,
            subscription: seat.subscription,
        };
        Account {
            outgoing: (0..producers).map(outgoing).collect(),
            incoming: seats.iter().map(incoming).collect(),
            producers_of_topic: traffic.producers,
            topics: traffic.topics,
            subscriptions: traffic.subscriptions,
            stop: AtomicBool::new(false),
            abort: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            end: AtomicBool::new(false),
            trouble: Mutex::default(),
            last_error: Mutex::default(),
        }
    }

    /// A record was handed over. By its producer's thread.
    pub fn sent(&self, producer: u32) {
        add(&self.outgoing[producer as usize].sent, 1);
    }

    /// A record was acknowledged. By its producer's thread.
    pub fn acked(&self, mark: Mark, now: Nanos) {
        let of = &self.outgoing[mark.producer as usize];
        of.acks.note(mark.number, now);
        add(&of.digest, scrambled(mark));
        add(&of.acked, 1);
    }

    /// A record was given up. By its producer's thread.
    pub fn failed(&self, producer: u32) {
        add(&self.outgoing[producer as usize].failed, 1);
    }

    /// When a record was acknowledged.
    pub fn acked_at(&self, mark: Mark) -> Acked {
        self.outgoing[mark.producer as usize].acks.at(mark.number)
    }

    /// A record came that had not come before. By its consumer's thread.
    pub fn received(&self, consumer: usize, mark: Mark) {
        let of = &self.incoming[consumer];
        add(&of.digest, scrambled(mark));
        add(&of.received, 1);
    }

    /// A record came again, or too late. By its consumer's thread.
    pub fn received_again(&self, consumer: usize) {
        add(&self.incoming[consumer].again, 1);
    }

    /// Changes whenever anything moves.
    pub fn progress(&self) -> u64 {
        let load = |cell: &AtomicU64| cell.load(Ordering::Acquire);
        let outgoing = self.outgoing.iter();
        let incoming = self.incoming.iter();
        let out = outgoing.map(|it| load(&it.acked) + load(&it.failed));
        out.chain(incoming.map(|it| load(&it.received) + load(&it.again)))
            .sum()
    }

    /// Records handed over and not reported yet.
    pub fn under_way(&self) -> u64 {
        let load = |cell: &AtomicU64| cell.load(Ordering::Acquire);
        // What was reported is read first: it was sent before.
        let done: u64 = self
            .outgoing
            .iter()
            .map(|it| load(&it.acked) + load(&it.failed))
            .sum();
        let sent: u64 = self.outgoing.iter().map(|it| load(&it.sent)).sum();
        sent.saturating_sub(done)
    }

    /// Records acknowledged, and not yet received by every subscription: summed over these.
    pub fn missing(&self) -> u64 {
        self.subscriptions()
            .map(|sub| sub.acked.saturating_sub(sub.received))
            .sum()
    }

    /// Why a load is given up in which nothing moved for so long.
    pub fn stuck(&self, patience: Duration, missing: u64) -> String {
        self.with_error(format!(
            "for {patience:?} nothing was acknowledged or received, with {} records under way and \
             {missing} not received",
            self.under_way()
        ))
    }

    /// What does not add up, once nothing is under way; none if all of it does.
    pub fn objection(&self) -> Option<String> {
        let failed: u64 = self
            .outgoing
            .iter()
            .map(|it| it.failed.load(Ordering::Acquire))
            .sum();
        if failed > 0 {
            return Some(self.with_error(format!("{failed} records were refused or given up")));
        }
        self.subscriptions().find_map(|sub| {
            let name = format!("topic {}, subscription {}", sub.topic, sub.subscription);
            if sub.again > 0 {
                Some(format!(
                    "{name}: {} records came twice or out of order",
                    sub.again
                ))
            } else if sub.received != sub.acked {
                Some(self.with_error(format!(
                    "{name}: {} records acknowledged, {} received",
                    sub.acked, sub.received
                )))
            } else if sub.digest_acked != sub.digest_received {
                Some(format!(
                    "{name}: other records were received than acknowledged"
                ))
            } else {
                None
            }
        })
    }

    fn subscriptions(&self) -> impl Iterator<Item = Subscription> + '_ {
        let pairs = (0..self.topics).flat_map(|topic| {
            (0..self.subscriptions).map(move |subscription| (topic, subscription))
        });
        pairs.map(|(topic, subscription)| self.subscription(topic, subscription))
    }

    fn subscription(&self, topic: u32, subscription: u32) -> Subscription {
        let mut sum = Subscription {
            topic,
            subscription,
            ..Subscription::default()
        };
        let load = |cell: &AtomicU64| cell.load(Ordering::Acquire);
        let seated = |it: &&Incoming| (it.topic, it.subscription) == (topic, subscription);
        for of in self.incoming.iter().filter(seated) {
            sum.received += load(&of.received);
            sum.again += load(&of.again);
            sum.digest_received = sum.digest_received.wrapping_add(load(&of.digest));
        }
        let first = (topic * self.producers_of_topic) as usize;
        for of in &self.outgoing[first..first + self.producers_of_topic as usize] {
            sum.acked += load(&of.acked);
            sum.digest_acked = sum.digest_acked.wrapping_add(load(&of.digest));
        }
        sum
    }

    /// Something after which the figures mean nothing. The first counts.
    pub fn trouble(&self, what: impl Into<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert_with(|| what.into());
    }

    /// What [`Account::trouble`] was told.
    pub fn has_trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }

    /// An error of a client, which may pass.
    pub fn note_error(&self, error: impl ToString) {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(error.to_string());
    }

    /// A reason, with the last error of a client if there was one.
    pub fn with_error(&self, reason: String) -> String {
        let last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(error) => format!("{reason}; the client says: {error}"),
            None => reason,
        }
    }
}

#[derive(Debug, Default)]
struct Subscription {
    topic: u32,
    subscription: u32,
    acked: u64,
    received: u64,
    again: u64,
    digest_acked: u64,
    digest_received: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::traffic::{Keys, Values};

    fn account() -> Account {
        let traffic = Traffic {
            topics: 1,
            partitions: 1,
            producers: 2,
            subscriptions: 2,
            consumers: 1,
            keys: Keys::None,
            values: Values::generate(16, 1, 0.0),
            acks: crate::ids::Acks::All,
        };
        let seat = |subscription| Seat {
            topic: 0,
            subscription,
            consumer: 0,
        };
        Account::new(&traffic, &[seat(0), seat(1)])
    }

    fn mark(producer: u32, number: u64) -> Mark {
        Mark {
            intended: None,
            producer,
            number,
        }
    }

    /// Two records of each producer, acknowledged.
    fn acknowledged() -> Account {
        let account = account();
        for mark in [mark(0, 0), mark(1, 0), mark(0, 1), mark(1, 1)] {
            account.sent(mark.producer);
            account.acked(mark, Nanos(1));
        }
        account
    }

    #[test]
    fn all_is_well_when_every_subscription_has_what_was_acknowledged_in_any_order() {
        let account = acknowledged();
        assert_eq!((account.under_way(), account.missing()), (0, 8));
        for consumer in [0, 1] {
            for mark in [mark(1, 0), mark(1, 1), mark(0, 0), mark(0, 1)] {
                account.received(consumer, mark);
            }
        }
        assert_eq!(account.missing(), 0);
        assert_eq!(account.objection(), None);
        assert_eq!(account.progress(), 12);
    }

    #[test]
    fn what_is_lost_doubled_swapped_or_refused_is_objected_to() {
        let all = [mark(0, 0), mark(0, 1), mark(1, 0), mark(1, 1)];
        let received = |records: &[Mark]| {
            let account = acknowledged();
            all.iter().for_each(|mark| account.received(0, *mark));
            records.iter().for_each(|mark| account.received(1, *mark));
            account
        };
        let lost = received(&all[..3]).objection().unwrap();
        assert!(
            lost.contains("subscription 1: 4 records acknowledged, 3 received"),
            "{lost}"
        );
        let doubled = received(&all);
        doubled.received_again(1);
        let doubled = doubled.objection().unwrap();
        assert!(doubled.contains("1 records came twice"), "{doubled}");
        let swapped = received(&[all[0], all[1], all[2], mark(1, 2)]);
        let swapped = swapped.objection().unwrap();
        assert!(swapped.contains("other records"), "{swapped}");
        let refused = received(&all);
        refused.sent(0);
        refused.failed(0);
        refused.note_error("too large");
        let refused = refused.objection().unwrap();
        assert!(refused.contains("1 records were refused") && refused.contains("too large"));
    }
}
