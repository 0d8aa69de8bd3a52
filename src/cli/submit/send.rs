//! Transactions to a node over several connections, and what became of each.
//!
//! Owns: the threads of the connections (two each: one submits, one takes answers), the pacing.
//! Never does: reading files, printing. Runs on: threads of its own.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver as Queue, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::client::{Client, ClientError, Receiver, Rejection, Reply, Sender};
use crate::clock;
use crate::ids::{Acks, Nanos, ShardId};
use crate::telemetry::{Stage, StageHistograms, TraceContext};
use crate::transaction::{Submission, Transaction};

/// Transactions read ahead for each connection.
const QUEUE_LENGTH: usize = 1024;

/// A transaction and, where a rate is kept, the moment at which it is meant to be sent.
struct Item {
    transaction: Transaction,
    trace: Option<TraceContext>,
    intended: Option<Nanos>,
}

/// What became of what was sent.
#[derive(Default)]
pub(super) struct Sent {
    pub(super) submitted: u64,
    pub(super) acknowledged: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    /// Submitted with a level that gets an answer, and got none.
    pub(super) lost: u64,
    pub(super) shards: BTreeMap<ShardId, ShardSum>,
    pub(super) latency: StageHistograms,
    pub(super) first_rejection: Option<Rejection>,
    /// Why connections ended early.
    pub(super) errors: Vec<ClientError>,
}

/// What was acknowledged by one shard and was no duplicate.
#[derive(Default)]
pub(super) struct ShardSum {
    pub(super) transactions: u64,
    pub(super) amount: u128,
}

impl Sent {
    fn add(&mut self, other: Sent) {
        self.submitted += other.submitted;
        self.acknowledged += other.acknowledged;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.lost += other.lost;
        for (shard, sum) in other.shards {
            let entry = self.shards.entry(shard).or_default();
            entry.transactions += sum.transactions;
            entry.amount += sum.amount;
        }
        self.latency.merge(&other.latency);
        self.first_rejection = self.first_rejection.take().or(other.first_rejection);
        self.errors.extend(other.errors);
    }

    fn record(&mut self, reply: Reply, flight: Flight) {
        match reply.outcome {
            Ok(receipt) => {
                self.acknowledged += 1;
                let latency_ns = clock::monotonic().since(flight.intended);
                self.latency.record(Stage::Produce, latency_ns);
                match receipt.submission {
                    Submission::First => {
                        let entry = self.shards.entry(receipt.shard).or_default();
                        entry.transactions += 1;
                        entry.amount += u128::from(flight.amount);
                    }
                    Submission::Duplicate => self.duplicates += 1,
                }
            }
            Err(rejection) => {
                self.rejected += 1;
                self.first_rejection.get_or_insert(rejection);
            }
        }
    }
}

/// What the answer's side needs to know about a submit; found by the tag.
#[derive(Clone, Copy)]
struct Flight {
    intended: Nanos,
    amount: u64,
}

/// What the two threads of a connection share.
#[derive(Default)]
struct Shared {
    /// What is without an answer, by tag.
    flights: Mutex<HashMap<u64, Flight>>,
    /// Nothing more will be submitted.
    is_all_sent: AtomicBool,
}

impl Shared {
    fn flights(&self) -> MutexGuard<'_, HashMap<u64, Flight>> {
        self.flights
            .lock()
            .expect("nothing panics while the lock is held")
    }
}

/// Sends transactions over connections that are already there.
pub(super) struct Senders {
    connections: Vec<Connection>,
    answered: Arc<AtomicU64>,
    pace: Option<Pace>,
}

struct Connection {
    queue: SyncSender<Item>,
    shared: Arc<Shared>,
    /// Gives the number submitted, and why it ended early.
    submitting: JoinHandle<(u64, Option<ClientError>)>,
    receiving: JoinHandle<Sent>,
}

/// When the next transaction is meant to be sent.
struct Pace {
    start: Nanos,
    per_second: u64,
    sent: u64,
}

impl Pace {
    fn next(&mut self) -> Nanos {
        let ns = u128::from(self.sent) * 1_000_000_000 / u128::from(self.per_second);
        self.sent += 1;
        self.start.after(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

impl Senders {
    /// Starts two threads for each connection. With a rate, transaction number n is meant to be
    /// sent n / rate seconds from now, whatever the answers to the others, and its latency counts
    /// from then.
    pub(super) fn start(clients: Vec<Client>, acks: Acks, per_second: Option<u64>) -> Senders {
        let answered = Arc::new(AtomicU64::new(0));
        let connections = clients
            .into_iter()
            .map(|client| Connection::start(client, acks, Arc::clone(&answered)))
            .collect();
        let pace = per_second.map(|per_second| Pace {
            start: clock::monotonic(),
            per_second,
            sent: 0,
        });
        Senders {
            connections,
            answered,
            pace,
        }
    }

    /// Hands a transaction to its connection: the same id always to the same one. Waits while that
    /// one is behind. False where the connection has ended.
    pub(super) fn send(&mut self, transaction: Transaction, trace: Option<TraceContext>) -> bool {
        let mut hasher = DefaultHasher::new();
        transaction.id.hash(&mut hasher);
        let connections = self.connections.len() as u64;
        let index = (hasher.finish() % connections) as usize; // Below a length, so it fits.
        let intended = self.pace.as_mut().map(Pace::next);
        let item = Item {
            transaction,
            trace,
            intended,
        };
        self.connections[index].queue.send(item).is_ok()
    }

    /// Transactions that were answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until everything is answered or will not be.
    pub(super) fn finish(self) -> Sent {
        let mut total = Sent::default();
        // All queues end first, so that the connections finish beside each other.
        let ends: Vec<_> = self
            .connections
            .into_iter()
            .map(|connection| {
                (
                    connection.shared,
                    connection.submitting,
                    connection.receiving,
                )
            })
            .collect();
        for (shared, submitting, receiving) in ends {
            let (submitted, error) = submitting.join().expect("no code of the thread panics");
            total.add(receiving.join().expect("no code of the thread panics"));
            total.submitted += submitted;
            total.errors.extend(error);
            total.lost += shared.flights().len() as u64;
        }
        total
    }
}

impl Connection {
    fn start(client: Client, acks: Acks, answered: Arc<AtomicU64>) -> Connection {
        let (sender, receiver) = client.split();
        let (queue, items) = sync_channel(QUEUE_LENGTH);
        let shared = Arc::new(Shared::default());
        let mut submitter = Submitter {
            sender,
            shared: Arc::clone(&shared),
            acks,
            submitted: 0,
        };
        let submitting = thread::spawn(move || {
            let error = submitter.run(&items).err();
            submitter.shared.is_all_sent.store(true, Ordering::Release);
            let ended = submitter.sender.finish().err();
            (submitter.submitted, error.or(ended))
        });
        let known = Arc::clone(&shared);
        let receiving = thread::spawn(move || receive(receiver, &known, &answered));
        Connection {
            queue,
            shared,
            submitting,
            receiving,
        }
    }
}

/// The submitting side of one connection.
struct Submitter {
    sender: Sender,
    shared: Arc<Shared>,
    acks: Acks,
    submitted: u64,
}

impl Submitter {
    fn run(&mut self, queue: &Queue<Item>) -> Result<(), ClientError> {
        loop {
            let item = match queue.try_recv() {
                Ok(item) => item,
                Err(TryRecvError::Empty) => {
                    self.sender.flush()?;
                    let Ok(item) = queue.recv() else {
                        return Ok(());
                    };
                    item
                }
                Err(TryRecvError::Disconnected) => return Ok(()),
            };
            self.submit(&item)?;
        }
    }

    fn submit(&mut self, item: &Item) -> Result<(), ClientError> {
        if let Some(intended) = item.intended
            && clock::monotonic() < intended
        {
            self.sender.flush()?;
            wait_until(intended);
        }
        let tag = self.submitted;
        self.sender.set_trace(item.trace);
        if self.acks == Acks::None {
            // No answer will ask for the tag.
            self.sender
                .try_submit(&item.transaction.borrowed(), self.acks, tag)?;
        } else {
            // Without a rate, the wait for room is not part of the latency: it is asked for here.
            self.sender.wait_for_room()?;
            let flight = Flight {
                intended: item.intended.unwrap_or_else(clock::monotonic),
                amount: item.transaction.amount.unwrap_or(0),
            };
            self.shared.flights().insert(tag, flight);
            let submit = self
                .sender
                .try_submit(&item.transaction.borrowed(), self.acks, tag);
            if let Err(error) = submit {
                self.shared.flights().remove(&tag);
                return Err(error);
            }
        }
        self.submitted += 1;
        Ok(())
    }
}

/// Sleeps most of the time and spins the rest: a sleep alone comes back some 60 µs late.
fn wait_until(intended: Nanos) {
    const SPIN_NS: u64 = 200_000;
    loop {
        let left_ns = intended.since(clock::monotonic());
        match left_ns {
            0 => return,
            1..=SPIN_NS => std::hint::spin_loop(),
            _ => thread::sleep(Duration::from_nanos(left_ns - SPIN_NS)),
        }
    }
}

/// The answering side of one connection, until it ends.
fn receive(mut receiver: Receiver, shared: &Shared, answered: &AtomicU64) -> Sent {
    let mut sent = Sent::default();
    loop {
        match receiver.recv() {
            Ok(reply) => {
                let flight = shared.flights().remove(&reply.tag);
                sent.record(reply, flight.expect("noted before its submit was"));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            // The node closes after its last answer.
            Err(ClientError::Closed { unanswered: 0 }) => return sent,
            // Nothing is waited for: the file is slow, or the node forgot to close.
            Err(ClientError::TimedOut { .. }) if receiver.unanswered() == 0 => {
                if shared.is_all_sent.load(Ordering::Acquire) {
                    return sent;
                }
            }
            Err(error) => {
                sent.errors.push(error);
                return sent;
            }
        }
    }
}
