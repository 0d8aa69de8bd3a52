//! The parts of one core's end of a cluster, the order of its polls, and its end.

use std::collections::{BTreeMap, VecDeque};

use super::breaker::Breaker;
use super::options::{Assignment, Failover};
use super::part::Part;
use super::produce::Meta;
use super::transaction::Transaction;
use crate::clock::Now;
use crate::ids::{Acks, Nanos, Offset, PartitionId};
use crate::kafka::helper::{Helper, History, Job, NamedOffset, Reply};
use crate::kafka::native::{
    ConsumerEvent, KafkaError, NativeConsumer, NativeProducer, ProducerEvent, TopicPartition,
    TopicRef,
};
use crate::storage::{LaneNews, StorageCounts, StorageEvent};

/// A topic that handlers write to, as this cluster's producers know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub topic: TopicRef,
    pub partitions: u32,
}

/// See [`super`].
pub struct Cluster {
    pub(super) name: String,
    pub(super) failover: Failover,
    /// Takes what is submitted; for `at_least_once` the outputs as well.
    pub(super) producer: NativeProducer,
    pub(super) consumer: NativeConsumer,
    pub(super) transaction: Option<Transaction>,
    pub(super) helper: Helper,
    pub(super) breaker: Breaker,
    /// Every partition of the cluster's shards, processed here or not.
    pub(super) parts: Vec<Part>,
    pub(super) by_place: BTreeMap<TopicPartition, u32>,
    /// By [`crate::ids::TopicId`]; none for topics of other clusters.
    pub(super) outputs: Vec<Option<Output>>,
    /// The topic of each shard's state, by the shard's topic.
    pub(super) state_topics: Vec<TopicRef>,
    /// By the offer's token.
    pub(super) metas: Vec<Option<Meta>>,
    /// Offers under way.
    pub(super) outstanding: usize,
    pub(super) outstanding_max: usize,
    /// Outputs of `at_least_once` under way.
    pub(super) outputs_outstanding: usize,
    pub(super) ready: VecDeque<u32>,
    /// When the consumer's positions are next looked at.
    pub(super) ends_at: Nanos,
    /// When the consumer was last polled.
    pub(super) polled_at: Nanos,
    /// Bytes of messages that were read ahead, over all partitions.
    pub(super) read_ahead: usize,
    pub(super) read_ahead_max: usize,
    /// Messages taken from librdkafka in one cycle.
    pub(super) poll_records_max: usize,
    pub(super) news: VecDeque<LaneNews>,
    pub(super) history: VecDeque<History>,
    /// Partitions asked of the helper whose answer has not come.
    pub(super) opening: usize,
    /// Whether all that the start waits for has come.
    pub(super) is_prepared: bool,
    /// Partitions to give away once nothing of them is open.
    pub(super) closing: Vec<u32>,
    /// Whether the helper commits positions for [`Cluster::closing`].
    pub(super) is_reporting: bool,
    /// When positions are next committed (`at_least_once`).
    pub(super) report_at: Option<Nanos>,
    pub(super) assignment: Assignment,
    pub(super) counts: StorageCounts,
    /// What the producer waits for.
    pub(super) acks: Acks,
    /// Whether records were under way at the last look.
    pub(super) was_sending: bool,
    /// Whether the helper was asked for a probe and has not answered.
    pub(super) is_probing: bool,
    /// Records and outputs of this poll that were not acknowledged, and why the first was not.
    pub(super) unacknowledged: Option<(usize, KafkaError)>,
    /// Buffers of a poll's events; kept for their memory.
    pub(super) reports: Vec<ProducerEvent>,
    pub(super) arrivals: Vec<ConsumerEvent>,
    pub(super) stop: Stop,
    /// Why nothing goes on.
    pub(super) failure: Option<String>,
}

/// How far a clean stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Not asked for.
    No,
    /// Bringing to its end what is open, until this moment at the latest.
    Ending(Nanos),
    /// Leaving the group.
    Leaving(Nanos),
    Done,
}

/// How long a clean stop waits for a cluster.
const STOP_NS_MAX: u64 = 10_000_000_000;

impl Cluster {
    /// Takes news from librdkafka and from the helper. Returns the amount of work done.
    pub fn poll(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize {
        let mut work = self.poll_producer(now, on);
        work += self.poll_transactional();
        while let Some(reply) = self.helper.reply() {
            work += 1;
            self.on_reply(reply, now);
        }
        work += self.poll_consumer(now);
        self.tend_ends(now);
        self.tend_breaker(now);
        work + self.tend_closing()
    }

    /// Begins what the cycle's work has made due. Returns the amount of work done.
    pub fn flush(&mut self, now: Now) -> usize {
        self.tend_transaction(now) + self.report_positions(now)
    }

    fn on_reply(&mut self, reply: Reply, now: Now) {
        match reply {
            Reply::TransactionsReady => self.on_transactions_ready(),
            Reply::History(history) => self.history.push_back(history),
            Reply::Opened(opened) => self.on_opened(opened),
            Reply::Ended(ended) => self.on_ended(ended),
            Reply::OffsetsCommitted(result) => self.on_offsets_committed(result),
            Reply::Probed(result) => {
                self.is_probing = false;
                if result.is_ok() {
                    self.breaker.answered(now.mono);
                }
            }
            Reply::Closed => self.stop = Stop::Done,
            Reply::Failed(error) => self.fail(error.to_string()),
        }
    }

    /// Whether anything may have come since the last poll.
    pub fn has_news(&self) -> bool {
        let transactional = self.transaction.as_ref();
        self.producer.has_news()
            || (self.consumer.has_news() && self.read_ahead < self.read_ahead_max)
            || self.helper.has_news()
            || transactional.is_some_and(Transaction::has_news)
    }

    /// Whether anything is under way whose end somebody waits for.
    pub fn is_busy(&self) -> bool {
        let open = self.transaction.as_ref().is_some_and(Transaction::is_busy);
        self.outstanding > 0 || self.outputs_outstanding > 0 || open || !self.news.is_empty()
    }

    /// Whether transactions may be taken in: every partition that is this core's from the start is
    /// open, and the ids of its last records are known.
    pub fn is_prepared(&self) -> bool {
        self.is_prepared && self.opening == 0 && self.history.is_empty()
    }

    /// When [`Cluster::poll`] or [`Cluster::flush`] has something to do.
    pub fn next_wake(&self) -> Option<Nanos> {
        let ends = match self.stop {
            Stop::Ending(at) | Stop::Leaving(at) => Some(at),
            Stop::No | Stop::Done => None,
        };
        let breaker = self.breaker.next_wake(self.outstanding);
        let wakes = [breaker, self.report_at, ends, self.commit_due()];
        wakes.into_iter().flatten().min()
    }

    /// One step of a clean stop. Returns 0 once there is nothing left to do.
    pub fn finish(&mut self, now: Now) -> usize {
        match self.stop {
            Stop::No => self.stop = Stop::Ending(now.mono.after(STOP_NS_MAX)),
            Stop::Ending(until) => {
                let waits = now.mono < until && self.failure.is_none();
                if self.is_busy() && waits {
                    return 1 + self.flush(now);
                }
                if !waits {
                    self.fail(self.left_behind());
                    self.helper.give_up();
                }
                self.helper.ask(Job::Close(self.last_positions()));
                self.stop = Stop::Leaving(now.mono.after(STOP_NS_MAX));
            }
            Stop::Leaving(until) if now.mono < until => {}
            Stop::Leaving(_) => self.stop = Stop::Done,
            Stop::Done => return 0,
        }
        1
    }

    /// What a stop has not waited for any longer.
    fn left_behind(&self) -> String {
        let (transactions, outputs) = (self.outstanding, self.outputs_outstanding);
        let open = self.transaction.as_ref().is_some_and(Transaction::is_busy);
        let open = if open {
            ", and a Kafka transaction"
        } else {
            ""
        };
        format!(
            "stopped without its answer for {transactions} transactions and {outputs} outputs{open}"
        )
    }

    /// Why nothing goes on, if so.
    pub fn failure(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        Some(format!("cluster {}: {failure}", self.name))
    }

    /// What was counted since the last call.
    pub fn take_counts(&mut self) -> StorageCounts {
        std::mem::take(&mut self.counts)
    }

    pub(super) fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    /// A partition by this cluster's number of it.
    pub fn part(&self, part: u32) -> &Part {
        &self.parts[part as usize]
    }

    pub(super) fn part_mut(&mut self, part: u32) -> &mut Part {
        &mut self.parts[part as usize]
    }

    pub(super) fn named(&self, part: u32, offset: Offset) -> NamedOffset {
        let part = self.part(part);
        let topic = self.consumer.topic_name(part.topic).to_owned();
        (topic, part.index, offset)
    }

    /// The partitions, in the order of this cluster's numbers of them.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.parts.iter().map(|part| part.id)
    }

    /// The next news; its lanes are this cluster's numbers of partitions.
    pub fn next_news(&mut self) -> Option<LaneNews> {
        self.news.pop_front()
    }

    /// Records that are there and not yet processed.
    pub fn backlog(&self) -> u64 {
        self.parts.iter().map(Part::backlog).sum()
    }
}
