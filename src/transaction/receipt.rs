//! What the submitter gets back.

use super::TransactionId;
use crate::ids::{Acks, Offset, PartitionIndex, ShardId, UnixMillis};

/// Where a transaction lies and which promise holds for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxReceipt {
    /// The transaction.
    pub id: TransactionId,
    /// The shard it went to.
    pub shard: ShardId,
    /// The partition of `transactions-{shard}`.
    pub partition: PartitionIndex,
    /// Its offset in that partition.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: UnixMillis,
    /// The acknowledgement level that was reached.
    pub acks: Acks,
    /// Whether this submission put it there.
    pub submission: Submission,
}

/// Whether a submission was the first one of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// This submission was appended.
    First,
    /// The id was known: nothing was appended, and shard, partition, offset and timestamp are
    /// those of the first submission.
    Duplicate,
}
