//! Consumer groups and transactions: pure state machines.
//!
//! Owns: what is done with a request and when. Never does: I/O, reading a clock; whatever is to happen
//! outside leaves as an [`Effect`], and its end comes back as a call. Runs on: the core that owns
//! stripe 0.

use kafka_protocol::messages::ResponseKind;

use super::view::{TopicView, View};
use crate::clock::Now;
use crate::ids::{PartitionIndex, TopicId};

pub mod group;
pub mod ids;
mod offsets;
pub mod txn;

/// Who sent a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client's name for itself; may be empty.
    pub client_id: String,
    /// Where it connects from, as Kafka shows it: `/127.0.0.1`.
    pub host: String,
}

/// What coordinators ask about topics.
pub trait Topics {
    /// The topic's number and how many partitions it has; `None` where there is none of this name.
    fn topic(&self, name: &str) -> Option<(TopicId, u32)>;

    /// All that is known of a topic.
    fn find(&self, topic: TopicId) -> Option<&TopicView>;
}

impl Topics for View {
    fn topic(&self, name: &str) -> Option<(TopicId, u32)> {
        let topic = View::topic(self, name)?;
        // A topic has as many partitions as an i32 can number at most.
        let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        Some((topic.id, partitions))
    }

    fn find(&self, topic: TopicId) -> Option<&TopicView> {
        self.topic_by_id(topic).map(AsRef::as_ref)
    }
}

/// What comes with a request beside its body.
#[derive(Clone, Copy)]
pub struct Call<'a, R> {
    /// When it is handled.
    pub now: Now,
    /// Who asks.
    pub caller: &'a Caller,
    /// The request's version, within the range that is advertised.
    pub version: i16,
    /// Whom to answer.
    pub to: R,
    /// The topics that there are.
    pub topics: &'a dyn Topics,
}

/// A value that is kept in stripe 0; an empty value removes the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Begins with the coordinator's own prefix.
    pub key: Vec<u8>,
    /// What is remembered.
    pub value: Vec<u8>,
}

impl Pair {
    /// What it takes in storage, without what surrounds it there.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its records become visible to those who read committed ones.
    Commit,
    /// They stay hidden from them.
    Abort,
}

/// What a coordinator wants done. `R` says whom to answer; it is opaque here.
#[derive(Debug)]
pub enum Effect<R> {
    /// Send a response.
    Answer {
        /// Whom.
        to: R,
        /// What.
        response: Box<ResponseKind>,
    },
    /// Make these pairs durable, all or none; then call `stored` with the ticket.
    Store {
        /// Returned in `stored`; stores become durable in the order in which they were asked for.
        ticket: u64,
        /// What.
        pairs: Vec<Pair>,
    },
    /// Append the end of a transaction to a partition and make it durable; then call `marked`.
    Mark {
        /// Returned in `marked`.
        ticket: u64,
        /// The partition's topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The producer.
        producer_id: i64,
        /// The epoch that the partition must know from now on.
        producer_epoch: i16,
        /// Whether its records count.
        decision: Decision,
    },
}

/// What became of an [`Effect::Store`] or [`Effect::Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It survives a crash.
    Durable,
    /// Storage is poisoned: whether it survives is unknown, and nothing more can be stored.
    Lost,
    /// Nothing was stored (no space is left); it may be tried again.
    Refused,
}
