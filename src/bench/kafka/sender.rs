//! A thread that sends: some of the load's producers, each with a client of its own.
//!
//! Owns: these clients and what they send next. Never does: wait for one record before it sends
//! another. Runs on: a thread of its own, which polls its clients and sleeps until a record is due or a
//! client has something to say.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender as Reports};

use super::account::Account;
use super::mark::{Mark, Stamp};
use super::rest::rest;
use super::schedule::Schedule;
use crate::bench::meters::{Count, Meter, Span};
use crate::bench::traffic::{Keys, Traffic, splitmix};
use crate::clock;
use crate::ids::Nanos;
use crate::kafka::native::{NativeProducer, ProducerEvent, SendError, TopicRef};

/// Records sent between two looks at the reports.
const BURST: usize = 256;

/// Reports that one poll hands over at the most.
const REPORTS_MAX: usize = 4096;

/// How many different keys there are, as in the OpenMessaging Benchmark.
const KEYS: u64 = 10_000;

/// What a sender is told.
#[derive(Debug)]
pub enum Order {
    /// Send these records, each when it is due.
    Paced(Schedule),
    /// Send one record with each producer, at once.
    Greet,
    /// Send as much as is taken, until then.
    Until(Nanos),
}

/// One producer.
pub struct Outlet {
    /// Its client.
    pub native: NativeProducer,
    /// Its topic there.
    pub topic: TopicRef,
    /// Its number among all producers of the load.
    pub producer: u32,
    /// Records that it was given in all loads so far.
    pub next: u64,
}

/// A thread's producers, and what it needs to send.
pub struct Sender {
    outlets: Vec<Outlet>,
    traffic: Arc<Traffic>,
    account: Arc<Account>,
    meter: Meter,
    stamp: Stamp,
    /// Of random keys.
    random: u64,
    /// Each outlet's `next` when the load began.
    bases: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Yes,
    QueueFull,
    Refused,
}

impl Sender {
    /// With its producers, in the order of their numbers.
    pub fn new(
        outlets: Vec<Outlet>,
        traffic: Arc<Traffic>,
        account: Arc<Account>,
        meter: Meter,
    ) -> Sender {
        let random = outlets.first().map_or(0, |outlet| outlet.producer.into());
        Sender {
            outlets,
            traffic,
            account,
            meter,
            stamp: Stamp::default(),
            random,
            bases: Vec::new(),
        }
    }

    /// Does as it is told, until nobody tells it anything any more.
    pub fn serve(mut self, orders: &Receiver<Order>, done: &Reports<()>) {
        while let Ok(order) = orders.recv() {
            self.bases = self.outlets.iter().map(|outlet| outlet.next).collect();
            match order {
                Order::Paced(schedule) => self.paced(schedule),
                Order::Greet => self.greet(),
                Order::Until(end) => self.flat_out(end),
            }
            if done.send(()).is_err() {
                return;
            }
        }
    }

    fn is_aborted(&self) -> bool {
        self.account.abort.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.account.stop.load(Ordering::Relaxed)
    }

    fn outstanding(&self) -> usize {
        self.outlets.iter().map(|it| it.native.outstanding()).sum()
    }

    fn paced(&mut self, mut schedule: Schedule) {
        while !self.is_aborted() {
            let mut worked = false;
            let mut next = None;
            for _ in 0..BURST {
                next = schedule.peek().filter(|_| !self.is_stopped());
                let Some(due) = next else { break };
                let now = clock::monotonic();
                if due.at > now {
                    break;
                }
                match self.send(due.place, Some(due.at)) {
                    Taken::Yes => self.meter.span(Span::PublishDelay, due.at, now),
                    Taken::Refused => {}
                    Taken::QueueFull => {
                        // Reports make room, and wake this thread.
                        next = None;
                        break;
                    }
                }
                schedule.step();
                worked = true;
            }
            let told = self.poll(Some(&schedule));
            let is_over = schedule.peek().is_none() || self.is_stopped();
            if is_over && self.outstanding() == 0 {
                return;
            }
            if !worked && told == 0 {
                self.rest(next.map(|due| due.at));
            }
        }
    }

    fn greet(&mut self) {
        for place in 0..self.outlets.len() {
            // The queue is empty: it has room for one.
            self.send(place, None);
        }
        while self.outstanding() > 0 && !self.is_aborted() {
            if self.poll(None) == 0 {
                self.rest(None);
            }
        }
    }

    /// Waits until a record is due or a client has something to say.
    fn rest(&self, due: Option<Nanos>) {
        if !self.outlets.iter().any(|it| it.native.has_news()) {
            rest(clock::monotonic(), due);
        }
    }

    fn flat_out(&mut self, end: Nanos) {
        while !self.is_aborted() {
            let now = clock::monotonic();
            let is_over = now >= end || self.is_stopped();
            let mut worked = false;
            if !is_over {
                for place in 0..self.outlets.len() {
                    for _ in 0..BURST {
                        match self.send(place, None) {
                            Taken::Yes | Taken::Refused => worked = true,
                            Taken::QueueFull => break,
                        }
                    }
                }
            }
            let told = self.poll(None);
            if is_over && self.outstanding() == 0 {
                return;
            }
            if !worked && told == 0 {
                self.rest((!is_over).then_some(end));
            }
        }
    }

    fn send(&mut self, place: usize, intended: Option<Nanos>) -> Taken {
        const ANY: i32 = -1;
        let outlet = &mut self.outlets[place];
        let (producer, number) = (outlet.producer, outlet.next);
        let mark = Mark {
            intended,
            producer,
            number,
        };
        let plain = self.traffic.values.get(number);
        let value = self.stamp.put(mark, plain);
        let key = match self.traffic.keys {
            Keys::None => None,
            Keys::RoundRobin => Some(number % KEYS),
            Keys::Random => Some(splitmix(&mut self.random) % KEYS),
        };
        let result = match key {
            None => outlet.native.send(outlet.topic, ANY, 0..0, value, number),
            Some(key) => {
                let key = key.to_be_bytes();
                outlet
                    .native
                    .send_keyed(outlet.topic, ANY, &key, value, number)
            }
        };
        if let Err((_, SendError::QueueFull)) = result {
            return Taken::QueueFull;
        }
        outlet.next += 1;
        self.account.sent(producer);
        self.meter.count(Count::Sent, 1);
        self.meter.count(Count::SentBytes, plain.len() as u64);
        match result {
            Ok(()) => Taken::Yes,
            Err((_, error)) => {
                self.meter.count(Count::Failed, 1);
                self.account.note_error(error);
                self.account.failed(producer);
                Taken::Refused
            }
        }
    }

    /// Takes the reports that are there; how many.
    fn poll(&mut self, schedule: Option<&Schedule>) -> usize {
        let Sender {
            outlets,
            account,
            meter,
            bases,
            ..
        } = self;
        let mut told = 0;
        for (place, outlet) in outlets.iter_mut().enumerate() {
            if !outlet.native.has_news() {
                continue;
            }
            let (producer, base) = (outlet.producer, bases[place]);
            told += outlet.native.poll(REPORTS_MAX, &mut |event| match event {
                ProducerEvent::Delivered { token, .. } => {
                    let now = clock::monotonic();
                    let intended = schedule.map(|schedule| schedule.intended(place, token - base));
                    let mark = Mark {
                        intended,
                        producer,
                        number: token,
                    };
                    account.acked(mark, now);
                    meter.count(Count::Acked, 1);
                    if let Some(intended) = intended {
                        meter.span(Span::Produce, intended, now);
                    }
                }
                ProducerEvent::Failed { error, .. } => {
                    meter.count(Count::Failed, 1);
                    account.note_error(error);
                    account.failed(producer);
                }
                ProducerEvent::Error(error) => account.note_error(error),
            });
        }
        told
    }
}
