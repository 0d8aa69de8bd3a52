//! The poll form of sending transactions: for loops that never wait.
//!
//! Owns: one producer, and what its receipts need of each record under way. Never does: wait, but
//! for connecting and dropping; retry what was given up. Runs on: one thread at a time.

use std::sync::Arc;

use super::options::{ClientOptions, ConnectError, not_empty};
use super::shards::{Prepared, ShardTopics};
use super::slots::Slots;
use crate::ids::{Acks, PartitionIndex, ShardId};
use crate::kafka::native::{
    self, KafkaError, NativeProducer, Persisted, ProducerEvent, TopicRef, Wake,
};
use crate::kafka::properties::{ProducerConfig, ProducerRole, producer_properties};
use crate::transaction::{Submission, TransactionError, TransactionId, TransactionRef, TxReceipt};

/// Why a transaction got no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Its id or payload breaks a bound. Not stored.
    #[error("not stored: {0}")]
    Invalid(#[from] TransactionError),
    /// Its record is larger than the producer may send: `batch_size`, or 1 MB if that is less.
    /// Not stored.
    #[error("not stored: the record is larger than the producer may send")]
    TooLarge,
    /// Given up before it left, or refused by a broker. Not stored.
    #[error("not stored: {0}")]
    NotStored(KafkaError),
    /// Sent, and no answer came in time. It may be stored: sent again, it may be there twice.
    #[error("it may be stored or not: {0}")]
    Unknown(KafkaError),
    /// The producer was closed when it was under way. It may be stored.
    #[error("it may be stored or not: the producer was closed before an answer came")]
    Abandoned,
    /// The producer is closed. Not stored.
    #[error("not stored: the producer is closed")]
    Closed,
}

impl SendError {
    /// Whether the transaction may be in the log all the same.
    pub fn persisted(&self) -> Persisted {
        match self {
            SendError::Invalid(_)
            | SendError::TooLarge
            | SendError::NotStored(_)
            | SendError::Closed => Persisted::No,
            SendError::Unknown(_) | SendError::Abandoned => Persisted::Maybe,
        }
    }
}

/// Why a transaction was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError {
    /// The producer's memory is used up: try again after a report came.
    #[error("the producer's queue is full")]
    Full,
    /// It will not be taken later either. Not stored.
    #[error(transparent)]
    Refused(#[from] SendError),
}

/// What a poll reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// What became of a transaction; exactly one for each that was taken.
    Sent {
        /// As handed to [`PolledProducer::try_send`].
        token: u64,
        /// Its receipt, or why there is none.
        result: Result<TxReceipt, SendError>,
    },
    /// Of the client as a whole: no broker answers, a password is wrong. It goes on trying, and
    /// what is under way is reported at its timeout.
    Client(KafkaError),
}

/// Sends transactions to the topics of their shards, polled by its owner.
///
/// Make and drop it on a thread that may wait a few seconds; in between it never waits. What is
/// under way when it is dropped is given up without a report.
pub struct PolledProducer {
    native: NativeProducer,
    shards: Arc<ShardTopics>,
    /// One for each of `shards.topics()`.
    topics: Vec<TopicRef>,
    acks: Acks,
    under_way: Slots<UnderWay>,
}

/// What a receipt says besides what brokers do.
struct UnderWay {
    token: u64,
    id: TransactionId,
    shard: ShardId,
    partition: PartitionIndex,
}

impl PolledProducer {
    /// Makes the client. `wake` is called whenever [`PolledProducer::poll`] may have something to
    /// report; see [`Wake`] for what it may do. Brokers need not answer yet.
    ///
    /// # Errors
    /// No brokers are given, or librdkafka refuses an option.
    pub fn connect(
        config: &ProducerConfig,
        options: &ClientOptions,
        shards: ShardTopics,
        wake: Option<Wake>,
    ) -> Result<PolledProducer, ConnectError> {
        not_empty("brokers", &config.brokers)?;
        let properties = producer_properties(config, &options.settings, &ProducerRole::Plain)?;
        let mut native = NativeProducer::new(options.conf(&properties, wake)?)?;
        let topics = shards
            .topics()
            .iter()
            .map(|entry| native.add_topic(&entry.topic))
            .collect::<Result<_, KafkaError>>()?;
        Ok(PolledProducer {
            native,
            shards: Arc::new(shards),
            topics,
            acks: config.acks,
            under_way: Slots::default(),
        })
    }

    /// Takes a transaction, copied; its report carries `token`. Transactions with one id are
    /// stored in the order in which they were taken, each of them: knowing duplicates is the
    /// reader's part.
    ///
    /// # Errors
    /// Says whether the same may be taken later. Nothing was taken.
    pub fn try_send(&mut self, tx: &TransactionRef<'_>, token: u64) -> Result<(), TrySendError> {
        let prepared = self.shards.prepare(tx).map_err(SendError::from)?;
        self.try_send_prepared(prepared, token)
            .map_err(|(_, error)| error)
    }

    /// As [`PolledProducer::try_send`]; gives the record back where it is not taken.
    #[allow(clippy::result_large_err)] // The record is moved back, not boxed: no allocation here.
    pub(super) fn try_send_prepared(
        &mut self,
        prepared: Prepared,
        token: u64,
    ) -> Result<(), (Prepared, TrySendError)> {
        let slot = self.under_way.insert(UnderWay {
            token,
            id: prepared.id,
            shard: self.shards.topics()[prepared.at].shard,
            partition: prepared.partition,
        });
        let result = self.native.send(
            self.topics[prepared.at],
            i32::try_from(prepared.partition.0).expect("a topic has less than 2^31 partitions"),
            prepared.key.clone(),
            prepared.value,
            slot as u64,
        );
        let Err((value, error)) = result else {
            return Ok(());
        };
        self.under_way.remove(slot);
        let error = match error {
            // With nothing under way there will never be more room than now.
            native::SendError::QueueFull if self.native.outstanding() == 0 && !self.has_news() => {
                SendError::TooLarge.into()
            }
            native::SendError::QueueFull => TrySendError::Full,
            native::SendError::TooLarge => SendError::TooLarge.into(),
            native::SendError::State(error) => SendError::NotStored(error).into(),
        };
        Err((Prepared { value, ..prepared }, error))
    }

    /// Hands up to `reports_max` reports on and returns how many there were. Never waits.
    pub fn poll(&mut self, reports_max: usize, on: &mut impl FnMut(Report)) -> usize {
        let (under_way, acks) = (&mut self.under_way, self.acks);
        self.native.poll(reports_max, &mut |event| {
            on(report(event, under_way, acks));
        })
    }

    /// False only if there is nothing to poll. One atomic load.
    pub fn has_news(&self) -> bool {
        self.native.has_news()
    }

    /// Transactions taken and not reported yet.
    pub fn outstanding(&self) -> usize {
        self.native.outstanding()
    }

    /// The table this producer sends by.
    pub(super) fn shards(&self) -> Arc<ShardTopics> {
        Arc::clone(&self.shards)
    }
}

fn report(event: ProducerEvent, under_way: &mut Slots<UnderWay>, acks: Acks) -> Report {
    let mut take = |slot: u64| {
        usize::try_from(slot)
            .ok()
            .and_then(|slot| under_way.remove(slot))
            .expect("each record has its slot until its one report")
    };
    match event {
        ProducerEvent::Delivered {
            token,
            offset,
            timestamp,
        } => {
            let sent = take(token);
            let receipt = TxReceipt {
                id: sent.id,
                shard: sent.shard,
                partition: sent.partition,
                offset,
                timestamp,
                acks,
                submission: Submission::First,
            };
            Report::Sent {
                token: sent.token,
                result: Ok(receipt),
            }
        }
        ProducerEvent::Failed {
            token,
            error,
            persisted,
            value: _,
        } => Report::Sent {
            token: take(token).token,
            result: Err(match persisted {
                Persisted::No => SendError::NotStored(error),
                Persisted::Maybe => SendError::Unknown(error),
            }),
        },
        ProducerEvent::Error(error) => Report::Client(error),
    }
}
