//! Reading transactions from a cluster, at least once.
//!
//! Owns: one consumer, the batch under way, and the positions of its partitions. Never does: read
//! ahead of the handler beyond one batch, commit what the handler has not returned from, drop a
//! record it cannot decode. Runs on: the thread that calls it, which is parked while nothing
//! happens and woken by librdkafka.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::bindings::RD_KAFKA_OFFSET_STORED;

use super::bell::Bell;
use super::options::{ClientOptions, ConnectError, not_empty};
use super::positions::Positions;
use super::records::{ConsumeError, Malformed, OnMalformed, Partitions, Place};
use crate::ids::{Offset, PartitionIndex};
use crate::kafka::native::{
    ConsumerEvent, ErrorClass, KafkaError, Message, NativeConsumer, TopicPartition,
};
use crate::kafka::properties::{ConsumerConfig, Membership, consumer_properties};
use crate::transaction::{TransactionRef, codec};

/// Ends [`TransactionConsumer::process_transactions`], from any thread.
#[derive(Clone)]
pub struct StopHandle(Arc<Stop>);

#[derive(Default)]
struct Stop {
    is_asked: AtomicBool,
    bell: Bell,
}

impl StopHandle {
    /// Lets the call that is under way, or else the next one, return after the record it is at.
    pub fn stop(&self) {
        self.0.is_asked.store(true, Ordering::Release);
        self.0.bell.ring();
    }
}

impl Stop {
    /// Whether it was asked for; once for each time.
    fn take(&self) -> bool {
        // The load alone costs nothing per record.
        self.is_asked.load(Ordering::Relaxed) && self.is_asked.swap(false, Ordering::Acquire)
    }
}

/// How long a commit that is waited for may take.
const COMMIT_WAIT: Duration = Duration::from_secs(5);

/// A parked consumer looks after itself this often: its group expects a poll now and then (see
/// `max.poll.interval.ms`), and a commit that failed is tried again.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// "From the group's position, or else as `auto.offset.reset` says", in librdkafka's words.
const GROUPS_POSITION: Offset = Offset(RD_KAFKA_OFFSET_STORED as i64);

fn from_groups_position(parts: &[TopicPartition]) -> Vec<(TopicPartition, Offset)> {
    parts.iter().map(|part| (*part, GROUPS_POSITION)).collect()
}

/// Reads transactions and hands them to a handler, one after another, in order per partition.
///
/// A record is handed over at least once: its position is committed after the handler returned,
/// in the background, and waited for when a partition is given away or processing ends. After a
/// crash the last few come again, so a handler has to tolerate that.
///
/// Between two calls of [`TransactionConsumer::process_transactions`] nothing is read, and the
/// group takes the partitions away after `max.poll.interval.ms`. Dropping a consumer does not
/// leave the group, [`TransactionConsumer::close`] does.
///
/// ```no_run
/// use std::time::Duration;
///
/// use corelane::kafka::client::{ClientOptions, OnMalformed, Partitions, TransactionConsumer};
/// use corelane::kafka::properties::ConsumerConfig;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ConsumerConfig {
///     brokers: vec!["localhost:9092".into()],
///     group_id: "billing".into(),
///     topics: vec!["transactions-1".into()],
///     ..ConsumerConfig::default()
/// };
/// let options = ClientOptions::default();
/// let mut consumer = TransactionConsumer::connect(&config, &options, Partitions::OfGroup)?;
/// consumer.on_malformed(|record| {
///     eprintln!("{:?}: {}", record.place, record.error);
///     OnMalformed::Skip
/// });
/// let stop = consumer.stop_handle(); // For another thread: stop.stop()
/// let mut total = 0;
/// consumer.process_transactions(|tx, place| {
///     total += tx.amount.unwrap_or(0);
///     println!("{} bytes at offset {}, {total} in all", tx.payload.len(), place.offset);
///     if total > 1_000_000 {
///         stop.stop();
///     }
///     Ok::<(), std::convert::Infallible>(())
/// })?;
/// consumer.close(Duration::from_secs(5))?;
/// # Ok(())
/// # }
/// ```
pub struct TransactionConsumer {
    native: NativeConsumer,
    /// Records of one poll that were not processed yet.
    batch: VecDeque<Message>,
    records_max: usize,
    /// Assigned and revoked partitions, to be answered when the batch is processed.
    rebalances: Vec<Rebalance>,
    held: Positions,
    /// Some position may be ahead of what is committed.
    is_ahead: bool,
    is_commit_under_way: bool,
    commit_failed_at: Option<Instant>,
    on_malformed: Box<dyn FnMut(&Malformed<'_>) -> OnMalformed + Send>,
    stop: Arc<Stop>,
}

enum Rebalance {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
}

impl TransactionConsumer {
    /// Makes the client. Brokers need not answer yet. Each partition is read from the group's
    /// position, or from its first record where the group has none.
    ///
    /// # Errors
    /// No brokers, topics or partitions are given, or librdkafka refuses an option.
    pub fn connect(
        config: &ConsumerConfig,
        options: &ClientOptions,
        partitions: Partitions,
    ) -> Result<TransactionConsumer, ConnectError> {
        not_empty("brokers", &config.brokers)?;
        let membership = match &partitions {
            Partitions::OfGroup => {
                not_empty("topics", &config.topics)?;
                Membership::Group
            }
            Partitions::Listed(list) => {
                not_empty("partitions", list)?;
                Membership::Static
            }
        };
        let properties = consumer_properties(config, &options.settings, membership)?;
        let stop = Arc::new(Stop::default());
        let ring = Arc::clone(&stop);
        let wake = Arc::new(move || ring.bell.ring());
        let native = NativeConsumer::new(options.conf(&properties, Some(wake))?)?;
        let mut consumer = TransactionConsumer {
            native,
            batch: VecDeque::new(),
            records_max: config.max_poll_records.max(1) as usize,
            rebalances: Vec::new(),
            held: Positions::default(),
            is_ahead: false,
            is_commit_under_way: false,
            commit_failed_at: None,
            on_malformed: Box::new(|_| OnMalformed::Stop),
            stop,
        };
        consumer.start(config, &partitions)?;
        Ok(consumer)
    }

    fn start(
        &mut self,
        config: &ConsumerConfig,
        partitions: &Partitions,
    ) -> Result<(), KafkaError> {
        match partitions {
            Partitions::OfGroup => {
                let topics = config
                    .topics
                    .iter()
                    .map(|topic| self.native.add_topic(topic))
                    .collect::<Result<Vec<_>, _>>()?;
                self.native.subscribe(&topics)
            }
            Partitions::Listed(list) => {
                for (topic, partition) in list {
                    let part = TopicPartition {
                        topic: self.native.add_topic(topic)?,
                        // A number beyond Kafka's is reported as no partition of the topic.
                        partition: i32::try_from(partition.0).unwrap_or(i32::MAX),
                    };
                    self.held.hold(part);
                }
                let parts = from_groups_position(&self.held.parts());
                self.native.assign(&parts)
            }
        }
    }

    /// Decides what to do about records that are no transactions, from the next one on. Without
    /// this, processing stops there.
    pub fn on_malformed(
        &mut self,
        decide: impl FnMut(&Malformed<'_>) -> OnMalformed + Send + 'static,
    ) {
        self.on_malformed = Box::new(decide);
    }

    /// A handle that ends processing.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(Arc::clone(&self.stop))
    }

    /// Blocks and hands each transaction to `handler`, in place: it borrows from librdkafka's fetch
    /// buffer. Returns when it is stopped, after the last positions are committed or a few seconds
    /// have passed. What is unreachable is waited for.
    ///
    /// # Errors
    /// The handler's own, a record that is no transaction, or a failure that stays.
    pub fn process_transactions<E>(
        &mut self,
        mut handler: impl FnMut(&TransactionRef<'_>, &Place<'_>) -> Result<(), E>,
    ) -> Result<(), ConsumeError<E>> {
        self.stop.bell.attach();
        let ended = self.run(&mut handler);
        let all = self.held.parts();
        match (ended, self.commit_now(&all)) {
            (Ok(()), committed) => committed.map_err(ConsumeError::Commit),
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(not_committed)) => {
                tracing::warn!(error = %not_committed, "positions could not be committed");
                Err(error)
            }
        }
    }

    /// Leaves the group, which gives its partitions to others at once.
    ///
    /// # Errors
    /// The group did not answer in time; it notices by itself after the session's timeout.
    pub fn close(self, timeout: Duration) -> Result<(), KafkaError> {
        self.native.control().close(timeout)
    }

    fn run<E>(
        &mut self,
        handler: &mut impl FnMut(&TransactionRef<'_>, &Place<'_>) -> Result<(), E>,
    ) -> Result<(), ConsumeError<E>> {
        while !self.stop.take() {
            if !self.batch.is_empty() {
                self.process_one(handler)?;
                continue;
            }
            self.answer_rebalances().map_err(ConsumeError::Client)?;
            self.commit_ahead().map_err(ConsumeError::Client)?;
            let count = self.poll().map_err(ConsumeError::Client)?;
            let is_asked = self.stop.is_asked.load(Ordering::Acquire);
            if count == 0 && !is_asked && !self.native.has_news() {
                std::thread::park_timeout(LOOK_AFTER);
            }
        }
        Ok(())
    }

    /// Processes the first record of the batch.
    fn process_one<E>(
        &mut self,
        handler: &mut impl FnMut(&TransactionRef<'_>, &Place<'_>) -> Result<(), E>,
    ) -> Result<(), ConsumeError<E>> {
        let Some(message) = self.batch.front() else {
            return Ok(());
        };
        let part = message.part();
        let place = Place {
            topic: self.native.topic_name(part.topic),
            partition: PartitionIndex(part.partition.cast_unsigned()),
            offset: message.offset(),
            timestamp: message.timestamp(),
        };
        let (partition, offset) = (place.partition, place.offset);
        match codec::decode(message.value()) {
            Ok(transaction) => {
                handler(&transaction, &place).map_err(|error| ConsumeError::Handler {
                    topic: place.topic.to_owned(),
                    partition,
                    offset,
                    error,
                })?;
            }
            Err(error) => {
                let malformed = Malformed {
                    place,
                    key: message.key(),
                    value: message.value(),
                    error,
                };
                match (self.on_malformed)(&malformed) {
                    OnMalformed::Skip => {}
                    OnMalformed::Stop => {
                        return Err(ConsumeError::Malformed {
                            topic: place.topic.to_owned(),
                            partition,
                            offset,
                            error,
                        });
                    }
                }
            }
        }
        self.held.processed(part, offset);
        self.is_ahead = true;
        self.batch.pop_front();
        Ok(())
    }

    /// Takes a batch and whatever else happened; returns how much.
    fn poll(&mut self) -> Result<usize, KafkaError> {
        let mut fatal = None;
        let mut lost = Vec::new();
        let (batch, rebalances, held) = (&mut self.batch, &mut self.rebalances, &mut self.held);
        let mut committed = None;
        let mut on_error = |error: KafkaError| match error.class() {
            ErrorClass::Fatal => fatal = Some(error),
            // The partition would stand still from now on.
            ErrorClass::Retry if error.is_out_of_range() => fatal = Some(error),
            ErrorClass::Retry | ErrorClass::AbortTransaction => {
                tracing::warn!(%error, "a cluster reports an error");
            }
        };
        let count = self
            .native
            .poll(self.records_max, &mut |event| match event {
                ConsumerEvent::Message(message) => batch.push_back(message),
                // Told only where it is asked for (`enable.partition.eof`).
                ConsumerEvent::End(..) => {}
                ConsumerEvent::Error(error) | ConsumerEvent::Partition(_, error) => on_error(error),
                ConsumerEvent::Assigned(parts) => rebalances.push(Rebalance::Assigned(parts)),
                ConsumerEvent::Revoked(parts) => rebalances.push(Rebalance::Revoked(parts)),
                ConsumerEvent::Lost(parts) => lost.extend(parts),
                ConsumerEvent::Committed { parts, result } => {
                    if result.is_ok() {
                        held.committed(&parts);
                    }
                    committed = Some(result);
                }
            });
        if let Some(result) = committed {
            self.is_commit_under_way = false;
            if let Err(error) = result {
                self.commit_later();
                on_error(error);
            }
        }
        if !lost.is_empty() {
            // Others may be processing these already.
            self.batch.retain(|message| !lost.contains(&message.part()));
            self.give_away(&lost)?;
        }
        fatal.map_or(Ok(count), Err)
    }

    /// Answers the group. The batch is processed, so that positions are final.
    fn answer_rebalances(&mut self) -> Result<(), KafkaError> {
        for rebalance in std::mem::take(&mut self.rebalances) {
            match rebalance {
                Rebalance::Assigned(parts) => {
                    self.native
                        .incremental_assign(&from_groups_position(&parts))?;
                    parts.into_iter().for_each(|part| self.held.hold(part));
                }
                Rebalance::Revoked(parts) => {
                    if let Err(error) = self.commit_now(&parts) {
                        // Their next reader sees the last records again: at least once holds.
                        tracing::warn!(%error, "partitions are given away without a commit");
                    }
                    self.give_away(&parts)?;
                }
            }
        }
        Ok(())
    }

    fn give_away(&mut self, parts: &[TopicPartition]) -> Result<(), KafkaError> {
        parts.iter().for_each(|part| self.held.release(*part));
        self.native.incremental_unassign(parts)
    }

    /// Starts a commit of all positions, unless one is under way: so they are as frequent as the
    /// group is fast. After a failure the next one waits a while.
    fn commit_ahead(&mut self) -> Result<(), KafkaError> {
        if !self.is_ahead || self.is_commit_under_way {
            return Ok(());
        }
        let is_too_soon = |at: Instant| at.elapsed() < LOOK_AFTER;
        if self.commit_failed_at.is_some_and(is_too_soon) {
            return Ok(());
        }
        self.commit_failed_at = None;
        self.is_ahead = false;
        let parts = self.held.ahead(&self.held.parts());
        if parts.is_empty() {
            return Ok(());
        }
        match self.native.commit_async(&parts) {
            Ok(()) => self.is_commit_under_way = true,
            Err(error) => match error.class() {
                ErrorClass::Fatal => return Err(error),
                ErrorClass::Retry | ErrorClass::AbortTransaction => self.commit_later(),
            },
        }
        Ok(())
    }

    fn commit_later(&mut self) {
        self.is_ahead = true;
        self.commit_failed_at = Some(Instant::now());
    }

    /// Commits the positions of `parts` and waits.
    fn commit_now(&mut self, parts: &[TopicPartition]) -> Result<(), KafkaError> {
        let ahead = self.held.ahead(parts);
        if ahead.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = ahead
            .iter()
            .map(|(part, next)| {
                let topic = self.native.topic_name(part.topic).to_owned();
                (topic, part.partition, *next)
            })
            .collect();
        self.native.control().commit(&list, COMMIT_WAIT)?;
        self.held.committed(&ahead);
        Ok(())
    }
}
