//! What crosses the mesh.

use bytes::Bytes;

use crate::frame::{Correlation, ErrorCode};
use crate::ids::{Acks, Nanos, Offset, PartitionId, PartitionIndex, ShardId, UnixMillis};
use crate::mesh::EndpointId;
use crate::telemetry::TraceContext;
use crate::transaction::Submission;
use crate::transaction::codec::KeyRange;

/// Whom to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The core or port where the transaction came in.
    pub endpoint: EndpointId,
    /// The connection there; 0 for a port.
    pub connection: u32,
    /// Tells the connection from a later one in the same place.
    pub generation: u32,
    /// The submitter's own mark.
    pub correlation: Correlation,
}

/// A transaction that still has to be decoded and routed.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The encoded transaction, a slice of the buffer it was received in.
    pub body: Bytes,
    /// Whom to answer.
    pub reply_to: ReplyTo,
    /// The level to answer at.
    pub acks: Acks,
    /// When it came in, or was meant to be sent: latency counts from here.
    pub taken: Nanos,
    /// The trace that it belongs to. Boxed, so that those without one carry no more than a pointer.
    pub trace: Option<Box<TraceContext>>,
}

/// Where a transaction goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The nearest shard.
    pub shard: ShardId,
    /// The partition's number in the shard's topic.
    pub index: PartitionIndex,
    /// The partition.
    pub partition: PartitionId,
}

/// A transaction on its way to the owner of its partition.
#[derive(Clone, Debug)]
pub struct Routed {
    /// The transaction.
    pub inbound: Inbound,
    /// Where its id lies in the body.
    pub key: KeyRange,
    /// Where it goes.
    pub destination: Destination,
    /// When it was routed.
    pub routed: Nanos,
}

/// A message to a core: from a port still to be routed, from another core routed.
#[derive(Clone, Debug)]
pub enum Request {
    /// From a port.
    Inbound(Inbound),
    /// From the core that took it in, to the owner.
    Routed(Routed),
}

/// Where a transaction was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The shard.
    pub shard: ShardId,
    /// The partition of the shard's topic.
    pub partition: PartitionIndex,
    /// The offset there.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: UnixMillis,
    /// The level reached.
    pub acks: Acks,
    /// Whether this submission put it there.
    pub submission: Submission,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is stored.
    Stored(Stored),
    /// It was not taken, or its fate is unknown; the code says which.
    Rejected(ErrorCode),
}

/// An answer on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whom to.
    pub to: ReplyTo,
    /// What.
    pub answer: Answer,
}
