//! `exactly_once`: outputs, state and positions of this core in one Kafka transaction after the
//! other.
//!
//! A transaction is open while there is something to process, and its end is asked of the helper
//! when there is nothing more, or by time and count. Until the helper answers nothing of this
//! cluster is processed; what arrives meanwhile is the next transaction. So its length adapts to
//! the load by itself, as group commit does in the log.

use std::collections::BTreeSet;

use super::outputs::find_output;
use super::part::Phase;
use super::{Assignment, Cluster, Guarantee};
use crate::clock::Now;
use crate::ids::{Nanos, Offset};
use crate::kafka::helper::{Ended, Fate, Job, KnownPosition};
use crate::kafka::native::{KafkaError, NativeProducer, ProducerEvent, SendError};
use crate::storage::{Commit, CommitRefusal, OutputRecord, Outputs};

/// Reports taken from librdkafka in one cycle.
const REPORTS_MAX: usize = 4096;

/// Where the transactions of one core stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Predecessors are being fenced.
    Starting,
    /// None is open.
    Idle,
    /// One is open, since this moment.
    Open(Nanos),
    /// The open one cannot be committed any more; begun then.
    Spoilt(Nanos),
    /// The helper is ending it.
    Ending,
}

/// See the module.
pub(super) struct Transaction {
    producer: NativeProducer,
    state: State,
    /// Partitions with open commits.
    touched: BTreeSet<u32>,
    /// Records processed in the open one.
    records: usize,
    interval_ns: u64,
    records_max: usize,
}

impl Transaction {
    pub fn new(producer: NativeProducer, guarantee: &Guarantee) -> Transaction {
        let (interval_ns, records_max) = match *guarantee {
            Guarantee::ExactlyOnce {
                interval_ns,
                records_max,
                ..
            } => (interval_ns, records_max),
            Guarantee::AtLeastOnce => unreachable!("made only for exactly once"),
        };
        Transaction {
            producer,
            state: State::Starting,
            touched: BTreeSet::new(),
            records: 0,
            interval_ns,
            records_max,
        }
    }

    /// Whether a batch may be committed now.
    pub fn is_writable(&self) -> bool {
        match self.state {
            State::Idle | State::Open(_) => true,
            State::Starting | State::Spoilt(_) | State::Ending => false,
        }
    }

    /// Whether one is open or being ended.
    pub fn is_busy(&self) -> bool {
        match self.state {
            State::Starting | State::Idle => false,
            State::Open(_) | State::Spoilt(_) | State::Ending => true,
        }
    }

    pub fn has_news(&self) -> bool {
        self.producer.has_news()
    }
}

impl Cluster {
    pub(super) fn on_transactions_ready(&mut self) {
        self.transaction_mut().state = State::Idle;
        self.open_first();
    }

    fn transaction_mut(&mut self) -> &mut Transaction {
        let transaction = self.transaction.as_mut();
        transaction.expect("only asked of a cluster with transactions")
    }

    pub(super) fn poll_transactional(&mut self) -> usize {
        let Some(transaction) = &mut self.transaction else {
            return 0;
        };
        let mut failure: Option<KafkaError> = None;
        let work = transaction
            .producer
            .poll(REPORTS_MAX, &mut |event| match event {
                // The transaction's end tells whether its records hold.
                ProducerEvent::Delivered { .. } | ProducerEvent::Failed { .. } => {}
                ProducerEvent::Error(error) => failure = Some(error),
            });
        if let Some(error) = failure {
            self.on_client_error(&error);
        }
        work
    }

    pub(super) fn commit_in_transaction(
        &mut self,
        now: Now,
        part: u32,
        next: Offset,
        outputs: &Outputs,
    ) -> Result<Commit, CommitRefusal> {
        let batch = self.batch(part, outputs, 0);
        let before = self.part(part).position;
        let outputs_of = &self.outputs;
        let transaction = self.transaction.as_mut();
        let transaction = transaction.expect("only called with transactions");
        match transaction.state {
            State::Starting | State::Spoilt(_) | State::Ending => return Err(CommitRefusal::Full),
            State::Open(_) => {}
            State::Idle => {
                transaction.records = 0;
                transaction.state = State::Open(now.mono);
                if let Err(error) = transaction.producer.transactions().begin() {
                    // The producer has failed since the last one: ending this one finds out what
                    // becomes of it.
                    tracing::warn!(cluster = self.name, %error, "no transaction can be begun");
                    transaction.state = State::Spoilt(now.mono);
                    transaction.touched.insert(part);
                    self.part_mut(part).commit(next, outputs, 0);
                    return Ok(Commit::Open);
                }
            }
        }
        let State::Open(begun) = transaction.state else {
            unreachable!("opened above");
        };
        let find = |record: &OutputRecord<'_>| find_output(outputs_of, record);
        let sent = batch.send(&mut transaction.producer, find);
        transaction.touched.insert(part);
        // Offsets have gaps only where control records lie, so this counts well enough.
        transaction.records += (next.0 - before.0).max(0) as usize;
        match sent {
            Ok(()) => {}
            Err(SendError::TooLarge) => {
                transaction.state = State::Spoilt(begun);
                return Err(CommitRefusal::TooLarge);
            }
            Err(SendError::QueueFull | SendError::State(_)) => {
                // A part of the batch may have been handed over, so all of it is taken back.
                transaction.state = State::Spoilt(begun);
            }
        }
        self.part_mut(part).commit(next, outputs, 0);
        Ok(Commit::Open)
    }

    /// When the open transaction is ended by time.
    pub(super) fn commit_due(&self) -> Option<Nanos> {
        let transaction = self.transaction.as_ref()?;
        match transaction.state {
            State::Open(begun) => Some(begun.after(transaction.interval_ns)),
            State::Spoilt(begun) => Some(begun),
            State::Starting | State::Idle | State::Ending => None,
        }
    }

    /// Asks for the open transaction's end, if it is time.
    pub(super) fn tend_transaction(&mut self, now: Now) -> usize {
        let has_more = !self.ready.is_empty() && self.closing.is_empty();
        let Some(transaction) = &mut self.transaction else {
            return 0;
        };
        let job = match transaction.state {
            State::Starting | State::Idle | State::Ending => return 0,
            State::Spoilt(begun) => Job::AbortTransaction { begun },
            State::Open(begun) => {
                let is_due = now.mono.since(begun) >= transaction.interval_ns
                    || transaction.records >= transaction.records_max;
                if has_more && !is_due {
                    return 0;
                }
                let touched = transaction.touched.clone();
                let offsets = touched
                    .into_iter()
                    .map(|part| self.named(part, self.part(part).position))
                    .collect();
                Job::CommitTransaction { offsets, begun }
            }
        };
        self.transaction_mut().state = State::Ending;
        self.helper.ask(job);
        1
    }

    pub(super) fn on_ended(&mut self, ended: Ended) {
        match ended {
            Ended::Committed => return self.settle_transaction(),
            Ended::Aborted(why) => {
                if let Some(error) = why {
                    tracing::warn!(cluster = self.name, %error, "a transaction was aborted");
                }
            }
            Ended::ProducerLost(why) => {
                tracing::warn!(cluster = self.name, error = %why, "a transaction was cut off");
                let known = self.known_positions();
                return self.helper.ask(Job::ReplaceProducer { known, why });
            }
            Ended::Replaced(producer, fate) => {
                let last = std::mem::replace(&mut self.transaction_mut().producer, *producer);
                self.helper.ask(Job::DropProducer(Box::new(last)));
                match fate {
                    Fate::Held => self.settle_transaction(),
                    Fate::NotHeld => self.undo_transaction(),
                }
                return self.reopen();
            }
            Ended::Failed(error) => {
                self.fail(match error.is_fenced() {
                    true => format!("another instance of this node has taken over: {error}"),
                    false => error.to_string(),
                });
            }
        }
        self.undo_transaction();
    }

    fn settle_transaction(&mut self) {
        self.counts.committed += 1;
        for part in self.leave_transaction() {
            let commits = self.part(part).open_len();
            self.settle(part, commits);
        }
    }

    fn undo_transaction(&mut self) {
        self.counts.aborted += 1;
        for part in self.leave_transaction() {
            self.undo(part);
        }
    }

    /// Returns the partitions that were part of it.
    fn leave_transaction(&mut self) -> BTreeSet<u32> {
        let transaction = self.transaction_mut();
        transaction.state = State::Idle;
        std::mem::take(&mut transaction.touched)
    }

    /// Where the partitions stand under static assignment. In a group the member's generation keeps
    /// what is another's by now out of every commit.
    fn known_positions(&self) -> Vec<KnownPosition> {
        let parts = match self.assignment {
            Assignment::Static(_) => &self.parts[..],
            Assignment::Group => &[],
        };
        let open = parts.iter().filter(|part| part.phase == Phase::Open);
        open.map(|part| KnownPosition {
            topic: self.consumer.topic_name(part.topic).to_owned(),
            index: part.index,
            settled: part.settled,
            attempted: part.position,
        })
        .collect()
    }

    /// Makes sure that the open transaction is not committed: a partition of it is lost.
    pub(super) fn spoil_transaction(&mut self, part: u32) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        if let State::Open(begun) = transaction.state
            && transaction.touched.contains(&part)
        {
            transaction.state = State::Spoilt(begun);
        }
    }
}
