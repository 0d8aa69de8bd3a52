//! All of a Kafka target behind the seam: opened, put under load, looked at, ended.
//!
//! Owns: the threads of its producers and consumers, and the end of all that it made. Never does: send
//! or receive by itself. Runs on: the thread that measures.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver as Inbox, RecvTimeoutError, Sender as Outbox};
use std::thread::{JoinHandle, available_parallelism};
use std::time::Duration;

use super::account::{Account, Seat};
use super::clients::{Clients, hand_over, seats};
use super::place::Ground;
use super::receiver::{Inlet, Receiver};
use super::schedule::Schedule;
use super::sender::{Order, Outlet, Sender};
use super::topics::{AtEnd, Topics};
use super::watch::{Gate, Watch};
use super::{KafkaOptions, clients};
use crate::bench::error::BenchError;
use crate::bench::meters::{Board, Snapshot};
use crate::bench::pace::Pace;
use crate::bench::target::{End, Load, Probe, Stop, Target, TargetFacts, Usage};
use crate::bench::usage;
use crate::clock;
use crate::control::Readings;
use crate::kafka::native::KafkaError;
use crate::telemetry::Counter;

/// How often a load's progress is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How far ahead of now a load begins: so long it takes to tell all threads.
const AHEAD_NS: u64 = 2_000_000;

/// How long senders may take to notice that a load is given up.
const ABORT_MAX: Duration = Duration::from_secs(5);

/// How long the first records may take, which find the brokers.
const FIRST_MAX: Duration = Duration::from_secs(60);

/// A target that is reached by Kafka's protocol.
pub struct KafkaTarget {
    facts: TargetFacts,
    account: Arc<Account>,
    board: Board,
    readings: Option<Readings>,
    senders: Vec<Outbox<Order>>,
    done: Inbox<()>,
    threads: Vec<JoinHandle<()>>,
    producers: usize,
    patience: Duration,
    /// Why it takes no load any more.
    broken: Option<String>,
    /// Goes before the brokers.
    _topics: Topics,
    ground: Ground,
}

fn target(reason: impl ToString) -> BenchError {
    BenchError::Target {
        target: "kafka",
        reason: reason.to_string(),
    }
}

impl KafkaTarget {
    /// As [`super::open`].
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(options: &KafkaOptions) -> Result<KafkaTarget, BenchError> {
        clients::check(options)?;
        let ground = Ground::find(&options.place)?;
        let at_end = match ground.node {
            Some(_) => AtEnd::Leave,
            None => AtEnd::Delete,
        };
        let topics = Topics::create(options, &ground.admin()?, at_end)?;
        let clients = Clients {
            producer: ground.producer(options)?,
            consumer: ground.consumer(options)?,
            topics: topics.names().to_vec(),
            options: options.clone(),
        };
        let durability = ground.durability(options.traffic.acks);
        let durability = durability.unwrap_or_else(|| topics.durability(options.traffic.acks));
        let seats = seats(options);
        let account = Arc::new(Account::new(&options.traffic, &seats));
        let (report, done) = mpsc::channel();
        let mut target = KafkaTarget {
            facts: clients.facts(durability),
            account,
            board: Board::default(),
            readings: ground.node.as_ref().map(|node| node.readings()),
            senders: Vec::new(),
            done,
            threads: Vec::new(),
            producers: (options.traffic.topics * options.traffic.producers) as usize,
            patience: options.patience,
            broken: None,
            _topics: topics,
            ground,
        };
        target.start(&Arc::new(clients), &seats, &report)?;
        target.greet()?;
        Ok(target)
    }

    /// Starts all threads and waits until their clients are there.
    fn start(
        &mut self,
        clients: &Arc<Clients>,
        seats: &[Seat],
        report: &Outbox<()>,
    ) -> Result<(), BenchError> {
        // Threads, and the threads of their clients, inherit where the caller runs.
        let visit = self
            .ground
            .node
            .as_ref()
            .map(|node| node.housekeeping().visit());
        let cpus = available_parallelism().map_or(1, usize::from);
        let (ready, is_ready) = mpsc::channel();
        let receivers = seats.len().min(cpus);
        for thread in 0..receivers {
            let (clients, account) = (Arc::clone(clients), Arc::clone(&self.account));
            let (meter, ready) = (self.board.meter(), ready.clone());
            let seats = seats.iter().copied().enumerate();
            let seats: Vec<_> = seats.skip(thread).step_by(receivers).collect();
            self.spawn(format!("bench-receive-{thread}"), move || {
                let inlets: Result<Vec<Inlet>, KafkaError> = seats
                    .into_iter()
                    .map(|(number, seat)| clients.inlet(number, seat))
                    .collect();
                if let Some((inlets, _punctual)) = hand_over(inlets, &ready) {
                    let traffic = &clients.options.traffic;
                    Receiver::new(inlets, traffic, account, meter).serve();
                }
            })?;
        }
        let senders = self.producers.min(cpus);
        for thread in 0..senders {
            let (clients, account) = (Arc::clone(clients), Arc::clone(&self.account));
            let (meter, ready) = (self.board.meter(), ready.clone());
            let (orders, inbox) = mpsc::channel();
            let report = report.clone();
            let numbers: Vec<usize> = (thread..self.producers).step_by(senders).collect();
            self.senders.push(orders);
            self.spawn(format!("bench-send-{thread}"), move || {
                let outlets: Result<Vec<Outlet>, KafkaError> = numbers
                    .into_iter()
                    .map(|number| clients.outlet(number))
                    .collect();
                if let Some((outlets, _punctual)) = hand_over(outlets, &ready) {
                    let traffic = Arc::new(clients.options.traffic.clone());
                    Sender::new(outlets, traffic, account, meter).serve(&inbox, &report);
                }
            })?;
        }
        drop((ready, visit));
        for _ in 0..senders + receivers {
            match is_ready.recv() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(target(error)),
                Err(_) => return Err(target("a thread of the load has died")),
            }
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), BenchError> {
        let thread = std::thread::Builder::new().name(name).spawn(work);
        let thread = thread.map_err(|source| BenchError::System {
            what: "starting a thread",
            source,
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// A record of each producer, sent and received: after it, every client is connected.
    fn greet(&mut self) -> Result<(), BenchError> {
        let patience = std::mem::replace(&mut self.patience, FIRST_MAX);
        let end = self.carry_out(&Stop::default(), |_, _| Order::Greet);
        self.patience = patience;
        match end? {
            End::Complete => Ok(()),
            End::Partial(reason) => Err(target(reason)),
        }
    }

    /// Consumers can be held back by it.
    pub fn gate(&self) -> Gate {
        Gate(Arc::clone(&self.account))
    }

    /// Gives every sender its order and waits until all is sent, acknowledged and received, or
    /// nothing moves any more.
    fn carry_out(
        &mut self,
        stop: &Stop,
        order: impl Fn(usize, usize) -> Order,
    ) -> Result<End, BenchError> {
        if let Some(reason) = &self.broken {
            return Err(target(reason));
        }
        self.account.stop.store(false, Ordering::Release);
        let senders = self.senders.len();
        for (thread, orders) in self.senders.iter().enumerate() {
            let order = order(senders, thread);
            orders
                .send(order)
                .map_err(|_| target("a thread of the load has died"))?;
        }
        let mut watch = Watch::start(self.account.progress());
        let mut sending = senders;
        loop {
            match self.done.recv_timeout(LOOK) {
                Ok(()) => sending -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(self.give_up("all threads of the load have died".to_owned(), 0));
                }
            }
            if stop.is_asked() {
                self.account.stop.store(true, Ordering::Release);
            }
            let missing = self.account.missing();
            if sending == 0 && missing == 0 {
                break;
            }
            let is_waiting = missing > 0 || self.account.under_way() > 0;
            let is_stuck = watch.look(self.account.progress(), is_waiting) > self.patience;
            let reason = self
                .trouble()
                .or_else(|| is_stuck.then(|| self.account.stuck(self.patience, missing)));
            if let Some(reason) = reason {
                return Ok(self.give_up(reason, sending));
            }
        }
        Ok(match self.account.objection() {
            None => End::Complete,
            Some(reason) => self.give_up(reason, 0),
        })
    }

    fn trouble(&self) -> Option<String> {
        let node = self.ground.node.as_ref();
        let failure = node.and_then(|node| node.failure());
        let failure = failure.map(|failure| format!("the node has failed: {failure}"));
        let has_died = self.threads.iter().any(JoinHandle::is_finished);
        let died = || has_died.then(|| "a thread of the load has died".to_owned());
        failure.or_else(|| self.account.has_trouble()).or_else(died)
    }

    /// Ends what is under way; the target takes no load any more.
    fn give_up(&mut self, reason: String, mut sending: usize) -> End {
        self.account.abort.store(true, Ordering::Release);
        while sending > 0 && self.done.recv_timeout(ABORT_MAX).is_ok() {
            sending -= 1;
        }
        self.broken = Some(reason.clone());
        End::Partial(reason)
    }
}

impl Target for KafkaTarget {
    fn facts(&self) -> TargetFacts {
        self.facts.clone()
    }

    fn run(&mut self, load: &Load, stop: &Stop) -> Result<End, BenchError> {
        let start = clock::monotonic().after(AHEAD_NS);
        let span_ns = u64::try_from(load.span.as_nanos()).unwrap_or(u64::MAX);
        let (producers, span) = (self.producers, load.span);
        let paced = |rate: NonZeroU64| Pace::new(start, rate, span);
        let pace = load.rate.map(paced);
        self.carry_out(stop, |threads, thread| match pace {
            Some(pace) => Order::Paced(Schedule::new(pace, producers, threads, thread)),
            None => Order::Until(start.after(span_ns)),
        })
    }

    fn probe(&self) -> Box<dyn Probe> {
        Box::new(Look {
            board: self.board.clone(),
            readings: self.readings.clone(),
        })
    }
}

struct Look {
    board: Board,
    readings: Option<Readings>,
}

impl Probe for Look {
    fn snapshot(&self) -> Snapshot {
        self.board.snapshot()
    }

    fn usage(&self) -> Usage {
        let busy = self.readings.as_ref().map(|it| it.by_core(Counter::BusyNs));
        Usage {
            busy_ns: busy.unwrap_or_default(),
            ..usage::of_process()
        }
    }
}

impl Drop for KafkaTarget {
    fn drop(&mut self) {
        self.account.abort.store(true, Ordering::Release);
        self.account.end.store(true, Ordering::Release);
        self.senders.clear();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A panic was printed when it happened.
            let _ = thread.join();
        }
    }
}
