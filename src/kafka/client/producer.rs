//! The async form of sending transactions: for any executor, and for several threads.
//!
//! Owns: the thread that takes reports; what it shares with the futures is in `exchange`. Never
//! does: wait inside a future, sleep, need a runtime. Runs on: futures anywhere; reports on the
//! thread.
//!
//! Why a thread, and not futures that poll the client themselves: a future that was dropped, or
//! whose executor is busy, must not keep the others from their receipts, and the queue must drain
//! while nobody polls anything. The thread costs nothing while nothing happens: it is parked, and
//! librdkafka wakes it when a report arrives. The lock is held for a send or a batch of reports,
//! microseconds at most, and never while a waker runs.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use super::bell::Bell;
use super::exchange::{Reports, Shared, Turn};
use super::options::{ClientOptions, ConnectError};
use super::polled::{PolledProducer, SendError};
use super::shards::ShardTopics;
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
        let shared = Arc::new(Shared::new(producer, bell));
        let reports = Reports::new(Arc::clone(&shared));
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
        let mut turn = Turn::new(&self.shared);
        let slot = poll_fn(|context| turn.poll(&mut prepared, context)).await?;
        Ok(Delivery {
            shared: Arc::clone(&self.shared),
            slot: Some(slot),
        })
    }

    /// Blocks until all that was handed over has its answer.
    ///
    /// # Errors
    /// Says how many are without one after `timeout`; they stay under way.
    pub fn flush(&self, timeout: Duration) -> Result<(), FlushTimeout> {
        match self.shared.wait_for_all(timeout) {
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
        self.shared.stop();
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
        let answer = self.shared.poll_answer(slot, context);
        if answer.is_ready() {
            self.slot = None;
        }
        answer
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.shared.forget(slot);
        }
    }
}
