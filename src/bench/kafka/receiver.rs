//! A thread that receives: some of the load's consumers, each with a client of its own.
//!
//! Owns: these clients, and which records each has seen. Never does: commit a position; join a group:
//! the partitions of a topic are dealt out among the consumers of a subscription. Runs on: a thread of
//! its own, which polls its clients and sleeps until one has something.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::account::{Account, Seat};
use super::acks::Acked;
use super::mark::Mark;
use super::rest::rest;
use crate::bench::meters::{Count, Meter, Span};
use crate::bench::traffic::Traffic;
use crate::clock;
use crate::ids::Nanos;
use crate::kafka::native::{ConsumerEvent, Message, NativeConsumer};

/// Messages of one poll at the most.
const MESSAGES_MAX: usize = 1024;

/// One consumer.
pub struct Inlet {
    /// Its client, which reads the partitions of its seat.
    pub native: NativeConsumer,
    /// Its place among all consumers of the load.
    pub number: usize,
    /// Which records it reads.
    pub seat: Seat,
}

/// A thread's consumers.
pub struct Receiver {
    inlets: Vec<(Inlet, Seen)>,
    account: Arc<Account>,
    meter: Meter,
}

/// The lowest number that has not come yet, for each partition and producer.
struct Seen {
    next: Vec<u64>,
    /// Producers of the topic: the first of them, and how many.
    producers: (u32, u32),
}

impl Seen {
    fn new(traffic: &Traffic, seat: Seat) -> Seen {
        let producers = (seat.topic * traffic.producers, traffic.producers);
        Seen {
            next: vec![0; (traffic.partitions * traffic.producers) as usize],
            producers,
        }
    }

    /// Where the next number of this record's producer and partition is kept; none if the topic has no
    /// such producer.
    fn next(&mut self, partition: i32, mark: Mark) -> Option<&mut u64> {
        let (first, count) = self.producers;
        let producer = mark.producer.checked_sub(first).filter(|it| *it < count)?;
        let partition = u32::try_from(partition).ok()?;
        self.next.get_mut((partition * count + producer) as usize)
    }
}

impl Receiver {
    /// With its consumers.
    pub fn new(
        inlets: Vec<Inlet>,
        traffic: &Traffic,
        account: Arc<Account>,
        meter: Meter,
    ) -> Receiver {
        let inlets = inlets.into_iter().map(|inlet| {
            let seen = Seen::new(traffic, inlet.seat);
            (inlet, seen)
        });
        Receiver {
            inlets: inlets.collect(),
            account,
            meter,
        }
    }

    /// Receives until the end.
    pub fn serve(mut self) {
        while !self.account.end.load(Ordering::Relaxed) {
            let is_paused = self.account.paused.load(Ordering::Relaxed);
            if is_paused || (self.poll() == 0 && !self.has_news()) {
                rest(Nanos(0), None);
            }
        }
    }

    fn has_news(&self) -> bool {
        self.inlets.iter().any(|(inlet, _)| inlet.native.has_news())
    }

    fn poll(&mut self) -> usize {
        let Receiver {
            inlets,
            account,
            meter,
        } = self;
        let mut told = 0;
        for (inlet, seen) in inlets {
            if !inlet.native.has_news() {
                continue;
            }
            let number = inlet.number;
            told += inlet.native.poll(MESSAGES_MAX, &mut |event| match event {
                ConsumerEvent::Message(message) => {
                    take(&message, number, seen, account, meter);
                }
                ConsumerEvent::Error(error) | ConsumerEvent::Partition(_, error) => {
                    account.note_error(error);
                }
                ConsumerEvent::End(..)
                | ConsumerEvent::Assigned(_)
                | ConsumerEvent::Revoked(_)
                | ConsumerEvent::Lost(_)
                | ConsumerEvent::Committed { .. } => {}
            });
        }
        told
    }
}

fn take(message: &Message, consumer: usize, seen: &mut Seen, account: &Account, meter: &mut Meter) {
    let value = message.value();
    let known =
        Mark::read(value).and_then(|mark| Some((mark, seen.next(message.part().partition, mark)?)));
    let Some((mark, next)) = known else {
        account.trouble("a record came that nobody sent");
        return;
    };
    if mark.number < *next {
        account.received_again(consumer);
        return;
    }
    *next = mark.number + 1;
    if let Some(intended) = mark.intended {
        let now = clock::monotonic();
        meter.span(Span::EndToEnd, intended, now);
        match account.acked_at(mark) {
            Acked::NotYet => meter.span(Span::Consume, now, now),
            Acked::At(acked) => meter.span(Span::Consume, Nanos(0), Nanos(acked.until(now))),
            Acked::Forgotten => {}
        }
    }
    meter.count(Count::Received, 1);
    meter.count(Count::ReceivedBytes, value.len() as u64);
    account.received(consumer, mark);
}
