//! Records as a consumer's callers see them, and why it ends.
//!
//! Owns: these types. Never does: decide anything. Runs on: any thread.

use crate::ids::{Offset, PartitionIndex, UnixMillis};
use crate::kafka::native::KafkaError;
use crate::transaction::CodecError;

/// What a consumer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// The topics of the configuration; the group shares their partitions out.
    OfGroup,
    /// Exactly these, by topic; the configuration's topics are not looked at. Positions are still
    /// the group's, so that nobody else may read these in its name.
    Listed(Vec<(String, PartitionIndex)>),
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset in it.
    pub offset: Offset,
    /// The record's timestamp; -1 if it has none.
    pub timestamp: UnixMillis,
}

/// A record that is no transaction.
#[derive(Clone, Copy, Debug)]
pub struct Malformed<'a> {
    /// Where it is.
    pub place: Place<'a>,
    /// Its key; empty if it has none.
    pub key: &'a [u8],
    /// Its value; empty also for a tombstone.
    pub value: &'a [u8],
    /// What is wrong with it; names the field or the byte.
    pub error: CodecError,
}

/// What to do about a record that is no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMalformed {
    /// Go on with the next one. The record counts as processed.
    Skip,
    /// Stop before it with [`ConsumeError::Malformed`].
    Stop,
}

/// Why processing ended. The position stays before the record at fault: the same consumer, called
/// again, and any other one of the group go on with it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConsumeError<E> {
    /// The handler returned an error.
    #[error("the handler failed at {topic}/{partition}, offset {offset}: {error}")]
    Handler {
        /// The record's topic.
        topic: String,
        /// Its partition.
        partition: PartitionIndex,
        /// Its offset.
        offset: Offset,
        /// The handler's error.
        error: E,
    },
    /// A record is no transaction, and it was decided to stop there.
    #[error("no transaction at {topic}/{partition}, offset {offset}: {error}")]
    Malformed {
        /// The record's topic.
        topic: String,
        /// Its partition.
        partition: PartitionIndex,
        /// Its offset.
        offset: Offset,
        /// What is wrong with it.
        error: CodecError,
    },
    /// The client is of no more use, or not allowed to read.
    #[error(transparent)]
    Client(KafkaError),
    /// It was stopped, and the last positions could not be committed: what was processed since
    /// the last commit will be read again.
    #[error("positions could not be committed: {0}")]
    Commit(KafkaError),
}
