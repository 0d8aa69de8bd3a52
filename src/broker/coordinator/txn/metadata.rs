//! What is durably known of one transactional id, and how it may change.
//!
//! Owns: the states of Kafka's `TransactionMetadata` and its transitions, as values. Never does: store
//! them, wait, answer. Runs on: the core that owns stripe 0.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;

use crate::broker::coordinator::Decision;
use crate::ids::{PartitionIndex, TopicId, UnixMillis};

/// No epoch: Kafka's `NO_PRODUCER_EPOCH`.
pub const NO_EPOCH: i16 = -1;
/// No producer id: Kafka's `NO_PRODUCER_ID`.
pub const NO_ID: i64 = -1;
/// From this epoch on a producer needs a new id. The one above is left for fencing.
const EPOCH_EXHAUSTED: i16 = i16::MAX - 1;

/// A producer, as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its id.
    pub id: i64,
    /// Which of the producers that had this id; the highest is the living one.
    pub epoch: i16,
}

impl Producer {
    /// None.
    pub const NONE: Producer = Producer {
        id: NO_ID,
        epoch: NO_EPOCH,
    };
}

/// A partition that a transaction writes to.
pub type Partition = (TopicId, PartitionIndex);

/// Where a transactional id stands. Kafka's `Dead` is here the absence of the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Has a producer, and that one no transaction yet.
    Empty,
    /// In a transaction.
    Ongoing,
    /// To be committed: this can no longer change.
    PrepareCommit,
    /// To be aborted: this can no longer change.
    PrepareAbort,
    /// Every partition knows that the last transaction was committed.
    CompleteCommit,
    /// Every partition knows that the last transaction was aborted.
    CompleteAbort,
}

impl State {
    /// All, in the order of their numbers in storage.
    pub const ALL: [State; 6] = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
    ];

    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
        }
    }

    /// What is being carried out; `None` in states that wait for the producer.
    pub const fn deciding(self) -> Option<Decision> {
        match self {
            State::PrepareCommit => Some(Decision::Commit),
            State::PrepareAbort => Some(Decision::Abort),
            State::Empty | State::Ongoing | State::CompleteCommit | State::CompleteAbort => None,
        }
    }

    const fn prepare(decision: Decision) -> State {
        match decision {
            Decision::Commit => State::PrepareCommit,
            Decision::Abort => State::PrepareAbort,
        }
    }

    const fn complete(decision: Decision) -> State {
        match decision {
            Decision::Commit => State::CompleteCommit,
            Decision::Abort => State::CompleteAbort,
        }
    }
}

/// The durable fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The living producer.
    pub producer: Producer,
    /// The epoch that it had before, if it asked for the present one itself (KIP-360).
    pub last_epoch: i16,
    /// The id before the present one.
    pub previous_id: i64,
    /// How long a transaction may take.
    pub timeout_ms: i32,
    /// Where it stands.
    pub state: State,
    /// When the transaction began; -1 where there was none yet.
    pub started: UnixMillis,
    /// When this was written.
    pub updated: UnixMillis,
    /// What the transaction has written to.
    pub partitions: BTreeSet<Partition>,
    /// Groups whose offsets are part of it.
    pub groups: BTreeSet<String>,
}

/// What a producer that asks for an id is to get.
#[derive(Debug, PartialEq, Eq)]
pub enum Initialized {
    /// An id and epoch; this is to be stored first.
    Ready(Metadata),
    /// The transaction under way must be aborted first; this is to be stored.
    AbortFirst(Metadata),
    /// A new id: call [`Metadata::with_new_id`].
    NeedsId,
}

impl Metadata {
    /// Of a transactional id that is new.
    pub fn new(producer_id: i64, timeout_ms: i32, at: UnixMillis) -> Metadata {
        Metadata {
            producer: Producer {
                id: producer_id,
                epoch: 0,
            },
            last_epoch: NO_EPOCH,
            previous_id: NO_ID,
            timeout_ms,
            state: State::Empty,
            started: UnixMillis(-1),
            updated: at,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
        }
    }

    /// InitProducerId. `expected`: what the producer believes to be (KIP-360).
    ///
    /// Unlike in Kafka a fenced producer cannot abort the transaction of its successor, and one that
    /// gives up its own transaction in this way can go on afterwards.
    pub fn initialize(
        &self,
        timeout_ms: i32,
        expected: Option<Producer>,
        at: UnixMillis,
    ) -> Result<Initialized, ResponseError> {
        if self.state.deciding().is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let epoch = self.producer.epoch;
        let last_epoch = match expected {
            None => NO_EPOCH,
            Some(expected) if expected == self.producer => epoch,
            Some(expected) if self.state != State::Ongoing && self.was(expected) => {
                // It asks again since it never got the answer.
                if epoch > EPOCH_EXHAUSTED {
                    return Ok(Initialized::NeedsId);
                }
                return Ok(Initialized::Ready(self.empty(
                    self.producer,
                    self.last_epoch,
                    timeout_ms,
                    at,
                )));
            }
            Some(_) => return Err(ResponseError::ProducerFenced),
        };
        if self.state == State::Ongoing {
            return Ok(Initialized::AbortFirst(self.fence(last_epoch, at)));
        }
        if epoch >= EPOCH_EXHAUSTED {
            return Ok(Initialized::NeedsId);
        }
        let producer = Producer {
            epoch: epoch + 1,
            ..self.producer
        };
        Ok(Initialized::Ready(
            self.empty(producer, last_epoch, timeout_ms, at),
        ))
    }

    /// Whether this was the living producer before it asked for its present id and epoch.
    fn was(&self, expected: Producer) -> bool {
        expected.epoch != NO_EPOCH
            && expected.epoch == self.last_epoch
            && (expected.id == self.producer.id
                || (expected.id == self.previous_id && expected.epoch >= EPOCH_EXHAUSTED))
    }

    /// The same with a new producer id.
    pub fn with_new_id(
        &self,
        producer_id: i64,
        timeout_ms: i32,
        expected: Option<Producer>,
        at: UnixMillis,
    ) -> Metadata {
        let producer = Producer {
            id: producer_id,
            epoch: 0,
        };
        let last_epoch = expected.map_or(NO_EPOCH, |expected| expected.epoch);
        Metadata {
            previous_id: self.producer.id,
            ..self.empty(producer, last_epoch, timeout_ms, at)
        }
    }

    fn empty(
        &self,
        producer: Producer,
        last_epoch: i16,
        timeout_ms: i32,
        at: UnixMillis,
    ) -> Metadata {
        Metadata {
            last_epoch,
            previous_id: self.previous_id,
            producer,
            ..Metadata::new(producer.id, timeout_ms, at)
        }
    }

    /// With more in the transaction, which this may begin.
    pub fn with(
        &self,
        partitions: &BTreeSet<Partition>,
        group: Option<&str>,
        at: UnixMillis,
    ) -> Metadata {
        let mut next = self.clone();
        if self.state != State::Ongoing {
            next.state = State::Ongoing;
            next.started = at;
        }
        next.updated = at;
        next.partitions.extend(partitions);
        next.groups.extend(group.map(str::to_owned));
        next
    }

    /// Whether all this is part of the transaction.
    pub fn has(&self, partitions: &BTreeSet<Partition>, group: Option<&str>) -> bool {
        self.state == State::Ongoing
            && partitions.is_subset(&self.partitions)
            && group.is_none_or(|group| self.groups.contains(group))
    }

    /// EndTxn. `None`: it ended in this way already.
    pub fn end(
        &self,
        decision: Decision,
        at: UnixMillis,
    ) -> Result<Option<Metadata>, ResponseError> {
        if self.state == State::Ongoing {
            return Ok(Some(Metadata {
                state: State::prepare(decision),
                updated: at,
                ..self.clone()
            }));
        }
        if self.state == State::complete(decision) {
            return Ok(None);
        }
        if self.state == State::prepare(decision) {
            return Err(ResponseError::ConcurrentTransactions);
        }
        Err(ResponseError::InvalidTxnState)
    }

    /// Aborted from outside, so that its producer cannot go on. `last_epoch`: the producer's, if it is
    /// the one that asked.
    pub fn fence(&self, last_epoch: i16, at: UnixMillis) -> Metadata {
        Metadata {
            state: State::PrepareAbort,
            // A client's epoch is below the highest one, see EPOCH_EXHAUSTED.
            producer: Producer {
                epoch: self.producer.epoch.saturating_add(1),
                ..self.producer
            },
            last_epoch,
            updated: at,
            ..self.clone()
        }
    }

    /// Every partition knows the decision, and every group but these; with none left, it is complete.
    pub fn carried_out(
        &self,
        decision: Decision,
        groups_left: BTreeSet<String>,
        at: UnixMillis,
    ) -> Metadata {
        Metadata {
            state: match groups_left.is_empty() {
                true => State::complete(decision),
                false => self.state,
            },
            updated: at,
            partitions: BTreeSet::new(),
            groups: groups_left,
            ..self.clone()
        }
    }

    /// What the transaction's partitions and groups take in storage, in bytes, within a few.
    pub fn content_bytes(&self) -> usize {
        let groups = self.groups.iter().map(|group| group.len() + 4);
        self.partitions.len() * 8 + groups.sum::<usize>()
    }
}
