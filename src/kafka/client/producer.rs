//! The async form of sending transactions: for any executor, and for several threads.
//!
//! Owns: a [`PolledProducer`] behind a lock, one thread that polls it, and the wakers of who waits.
//! Never does: wait inside a future, sleep, need a runtime. Runs on: futures anywhere; reports on
//! the thread.
//!
//! Why a thread, and not futures that poll the client themselves: a future that was dropped, or
//! whose executor is busy, must not keep the others from their receipts, and the queue must drain
//! while nobody polls anything. The thread costs nothing while nothing happens: it is parked, and
//! librdkafka wakes it when a report arrives. The lock is held for a send or a batch of reports,
//! microseconds at most, and never while a waker runs.
//!
//! Who waits for room holds its record itself, so that memory is bounded by librdkafka's queue and
//! the futures the caller keeps. Wakers are called in the order of arrival, one for each report,
//! and all of them when nothing is under way: a future that is woken and never polled again can
//! not strand the rest.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use super::bell::Bell;
use super::options::{ClientOptions, ConnectError};
use super::polled::{PolledProducer, Report, SendError, TrySendError};
use super::shards::{Prepared, ShardTopics};
use super::slots::Slots;
use crate::kafka::properties::ProducerConfig;
use crate::transaction::{Transaction, TxReceipt};

/// Sends transactions to the topics of their shards, on one cluster. Shared by reference between
/// as many threads and tasks as one likes.
///
/// ```no_run
/// use corelane::geo::{GeoLocation, ShardManager, ShardSpec};
/// use corelane::ids::{ShardId, UnixMicros};
/// use corelane::kafka::client::{ClientOptions, ShardTopic, ShardTopics, TransactionProducer};
/// use corelane::kafka::properties::ProducerConfig;
/// use corelane::transaction::{Transaction, TransactionId};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tokyo = GeoLocation::new(35.68, 139.69)?;
/// let geo = ShardManager::new(vec![ShardSpec { id: ShardId(1), location: tokyo }], None)?;
/// let topic = ShardTopic { shard: ShardId(1), topic: "transactions-1".into(), partitions: 6 };
/// let shards = ShardTopics::new(geo, vec![topic])?;
/// let config = ProducerConfig {
///     brokers: vec!["localhost:9092".into()],
///     ..ProducerConfig::latency()
/// };
/// let producer = TransactionProducer::connect(&config, &ClientOptions::default(), shards)?;
/// let receipt = producer
///     .send_transaction(&Transaction {
///         id: TransactionId::new(b"order-17")?,
///         client_location: tokyo,
///         submitted_at: UnixMicros(1_700_000_000_000_000),
///         amount: Some(1250),
///         payload: b"two tickets".to_vec(),
///     })
///     .await?;
/// println!("{} is at offset {} of shard {}", receipt.id, receipt.offset, receipt.shard);
/// # Ok(())
/// # }
/// ```
pub struct TransactionProducer {
    shared: Arc<Shared>,
    shards: Arc<ShardTopics>,
    thread: Option<JoinHandle<()>>,
}

/// Transactions were still under way when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{transactions} transactions are without an answer after {timeout:?}")]
pub struct FlushTimeout {
    /// How many.
    pub transactions: usize,
    /// The time that was allowed.
    pub timeout: Duration,
}

impl TransactionProducer {
    /// Makes the client and its thread. Brokers need not answer yet: transactions wait for them up
    /// to `config.timeout_ms`.
    ///
    /// # Errors
    /// No brokers are given, librdkafka refuses an option, or no thread can be started.
    pub fn connect(
        config: &ProducerConfig,
        options: &ClientOptions,
        shards: ShardTopics,
    ) -> Result<TransactionProducer, ConnectError> {
        let bell = Arc::new(Bell::default());
        let ring = Arc::clone(&bell);
        let wake = Arc::new(move || ring.ring());
        let producer = PolledProducer::connect(config, options, shards, Some(wake))?;
        let shards = producer.shards();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                producer: Some(producer),
                is_stopping: false,
                sent: Slots::default(),
                waiting: BTreeMap::new(),
                ticket_next: 0,
            }),
            bell,
            reported: Condvar::new(),
        });
        let reports = Reports(Arc::clone(&shared));
        let options = options.clone();
        let thread = std::thread::Builder::new()
            .name("corelane-poll".to_owned())
            .spawn(move || {
                options.place_this_thread();
                reports.run();
            })
            .map_err(|error| ConnectError::Thread {
                reason: error.to_string(),
            })?;
        Ok(TransactionProducer {
            shared,
            shards,
            thread: Some(thread),
        })
    }

    /// Sends a transaction and waits for its receipt: [`TransactionProducer::enqueue`], then the
    /// [`Delivery`]. With `acks` none the receipt says that it left, and its offset is -1.
    ///
    /// # Errors
    /// [`SendError::persisted`] says whether it may be stored.
    pub async fn send_transaction(&self, tx: &Transaction) -> Result<TxReceipt, SendError> {
        self.enqueue(tx).await?.await
    }

    /// Waits until the producer has room and hands the transaction over. From then on it is sent,
    /// whatever becomes of the [`Delivery`]; dropped before, this future has sent nothing.
    ///
    /// Transactions are stored in the order in which they were handed over: who awaits each
    /// `enqueue` before the next one keeps its own order. One id may be sent again and is stored
    /// again: knowing duplicates is the reader's part.
    ///
    /// # Errors
    /// Why it will not be sent. It is not stored.
    pub async fn enqueue(&self, tx: &Transaction) -> Result<Delivery, SendError> {
        let mut prepared = Some(self.shards.prepare(&tx.borrowed())?);
        let mut turn = Turn {
            shared: &self.shared,
            ticket: None,
        };
        poll_fn(|context| turn.poll(&mut prepared, context)).await
    }

    /// Blocks until all that was handed over has its answer.
    ///
    /// # Errors
    /// Says how many are without one after `timeout`; they stay under way.
    pub fn flush(&self, timeout: Duration) -> Result<(), FlushTimeout> {
        let (state, _) = self
            .shared
            .reported
            .wait_timeout_while(self.shared.lock(), timeout, |state| state.outstanding() > 0)
            .unwrap_or_else(PoisonError::into_inner);
        match state.outstanding() {
            0 => Ok(()),
            transactions => Err(FlushTimeout {
                transactions,
                timeout,
            }),
        }
    }

    /// Flushes and closes; blocks. From then on nothing is taken ([`SendError::Closed`]), and what
    /// has no answer by then is given up ([`SendError::Abandoned`]). Dropping a producer is the
    /// same without the flush.
    ///
    /// # Errors
    /// Says how many were given up.
    pub fn close(mut self, timeout: Duration) -> Result<(), FlushTimeout> {
        let flushed = self.flush(timeout);
        self.stop();
        flushed
    }

    fn stop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take()
            // A waker on the thread itself may hold the last reference.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("a waker panicked in the thread of a producer");
        }
    }
}

impl Drop for TransactionProducer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A transaction under way: waits for its receipt. Dropping it changes nothing but that.
#[must_use = "the receipt, or the error, comes when it is awaited"]
pub struct Delivery {
    shared: Arc<Shared>,
    slot: Option<usize>,
}

impl Future for Delivery {
    type Output = Result<TxReceipt, SendError>;

    /// # Panics
    /// After it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let slot = self
            .slot
            .expect("a future is not polled after it was ready");
        let mut state = self.shared.lock();
        let sent = state.sent.get_mut(slot).expect("kept until it is taken");
        if let Sent::Waiting(waker) = sent {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        let sent = state.sent.remove(slot);
        drop(state);
        self.slot = None;
        let Some(Sent::Answered(result)) = sent else {
            unreachable!("it was looked at above, under the same lock");
        };
        Poll::Ready(result)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(slot) = self.slot else {
            return;
        };
        let mut state = self.shared.lock();
        match state.sent.get_mut(slot) {
            // The report frees it.
            Some(sent @ Sent::Waiting(_)) => *sent = Sent::Dropped,
            Some(Sent::Answered(_) | Sent::Dropped) | None => {
                state.sent.remove(slot);
            }
        }
    }
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    bell: Arc<Bell>,
    /// Reports were taken.
    reported: Condvar,
}

struct State {
    /// None once it is closed.
    producer: Option<PolledProducer>,
    is_stopping: bool,
    /// By token: each transaction under way, or answered and not looked at.
    sent: Slots<Sent>,
    /// Who waits for room, in the order of arrival.
    waiting: BTreeMap<u64, Waker>,
    ticket_next: u64,
}

/// A transaction that was handed over.
enum Sent {
    Waiting(Option<Waker>),
    Answered(Result<TxReceipt, SendError>),
    /// Nobody waits for its report.
    Dropped,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock, so that what a panic leaves is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn outstanding(&self) -> usize {
        self.producer
            .as_ref()
            .map_or(0, PolledProducer::outstanding)
    }

    #[allow(clippy::result_large_err)] // The record is moved back, not boxed: no allocation here.
    fn try_send(&mut self, prepared: Prepared) -> Result<usize, (Prepared, TrySendError)> {
        let Some(producer) = self.producer.as_mut().filter(|_| !self.is_stopping) else {
            return Err((prepared, SendError::Closed.into()));
        };
        let slot = self.sent.insert(Sent::Waiting(None));
        match producer.try_send_prepared(prepared, slot as u64) {
            Ok(()) => Ok(slot),
            Err(refused) => {
                self.sent.remove(slot);
                Err(refused)
            }
        }
    }

    /// Takes what is reported, up to a bound, and returns how much it was. `wakers` gets those
    /// that have an answer, then as many of those that wait for room as there may be.
    fn poll(&mut self, wakers: &mut Vec<Waker>) -> usize {
        let State {
            producer: Some(producer),
            sent,
            waiting,
            ..
        } = self
        else {
            return 0;
        };
        const REPORTS_MAX: usize = 1024;
        let mut answers = 0;
        let count = producer.poll(REPORTS_MAX, &mut |report| match report {
            Report::Sent { token, result } => {
                answers += 1;
                wakers.extend(answer(sent, token, result));
            }
            Report::Client(error) => tracing::warn!(%error, "a cluster reports an error"),
        });
        let room = match producer.outstanding() {
            0 => waiting.len(),
            _ => answers,
        };
        for _ in 0..room {
            let Some((_, waker)) = waiting.pop_first() else {
                break;
            };
            wakers.push(waker);
        }
        count
    }
}

/// Keeps an answer for its [`Delivery`] and returns who waits for it.
fn answer(
    sent: &mut Slots<Sent>,
    token: u64,
    result: Result<TxReceipt, SendError>,
) -> Option<Waker> {
    let slot = usize::try_from(token).expect("tokens are made from slots");
    let entry = sent
        .get_mut(slot)
        .expect("kept until its one report at least");
    match std::mem::replace(entry, Sent::Answered(result)) {
        Sent::Waiting(waker) => waker,
        Sent::Dropped => {
            sent.remove(slot);
            None
        }
        Sent::Answered(_) => unreachable!("a transaction has one report"),
    }
}

/// One waiting for room.
struct Turn<'a> {
    shared: &'a Arc<Shared>,
    ticket: Option<u64>,
}

impl Turn<'_> {
    fn poll(
        &mut self,
        prepared: &mut Option<Prepared>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Delivery, SendError>> {
        let record = prepared
            .take()
            .expect("a future is not polled after it was ready");
        let mut state = self.shared.lock();
        match state.try_send(record) {
            Ok(slot) => Poll::Ready(Ok(Delivery {
                shared: Arc::clone(self.shared),
                slot: Some(slot),
            })),
            Err((record, TrySendError::Full)) => {
                *prepared = Some(record);
                let ticket = *self.ticket.get_or_insert_with(|| {
                    state.ticket_next += 1;
                    state.ticket_next
                });
                state.waiting.insert(ticket, context.waker().clone());
                Poll::Pending
            }
            Err((_, TrySendError::Refused(error))) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.lock().waiting.remove(&ticket);
        }
    }
}

/// The thread's part. However it ends, nobody is left waiting.
struct Reports(Arc<Shared>);

impl Reports {
    fn run(self) {
        self.0.bell.attach();
        let mut wakers = Vec::new();
        loop {
            let mut state = self.0.lock();
            if state.is_stopping {
                return;
            }
            let count = state.poll(&mut wakers);
            let has_news = state
                .producer
                .as_ref()
                .is_some_and(PolledProducer::has_news);
            drop(state);
            if count > 0 {
                self.0.reported.notify_all();
            }
            let is_idle = count == 0 && wakers.is_empty() && !has_news;
            for waker in wakers.drain(..) {
                waker.wake();
            }
            // Only after a round in which no waker ran: one that parks uses up our wake-up.
            if is_idle {
                std::thread::park();
            }
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_stopping = true;
        let producer = state.producer.take();
        let mut wakers: Vec<Waker> = std::mem::take(&mut state.waiting).into_values().collect();
        for sent in state.sent.values_mut() {
            if let Sent::Waiting(waker) = sent {
                wakers.extend(waker.take());
                *sent = Sent::Answered(Err(SendError::Abandoned));
            }
        }
        drop(state);
        self.0.reported.notify_all();
        for waker in wakers {
            waker.wake();
        }
        // Waits for librdkafka's threads.
        drop(producer);
    }
}
