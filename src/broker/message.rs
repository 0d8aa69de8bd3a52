//! What crosses the broker's mesh: questions to the owner of partitions or to the coordinator's core,
//! and answers.

use bytes::Bytes;
use kafka_protocol::messages::RequestKind;

use crate::broker::coordinator::{Caller, Decision};
use crate::exactly_once::producers::ProducerSummary;
use crate::ids::{Acks, Offset, PartitionId, UnixMillis};
use crate::log::storage::ReadEnd;
use crate::mesh::EndpointId;
use crate::wire::fetch::Aborted;

/// A request under way on the core that asks. Tells it from a later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    pub place: u32,
    pub generation: u32,
}

impl Ticket {
    /// As one number, for those who only hand it back.
    pub const fn to_bits(self) -> u64 {
        (self.place as u64) << 32 | self.generation as u64
    }

    /// From [`Ticket::to_bits`].
    pub const fn from_bits(bits: u64) -> Ticket {
        Ticket {
            place: (bits >> 32) as u32,
            generation: bits as u32,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The core.
    pub core: EndpointId,
    /// Its request.
    pub ticket: Ticket,
}

/// Whom a coordinator answers, and in which words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    pub asker: Asker,
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
}

/// A question to another core.
#[derive(Debug)]
pub enum Ask {
    /// To a partition's owner; the answer is [`Tell::Part`].
    Part(PartAsk),
    /// To the owner of several partitions; the answer is [`Tell::Read`].
    Read(ReadAsk),
    /// To the coordinator; the answer is [`Tell::Frame`].
    Coordinate(CoordinateAsk),
}

/// One thing to be done with one partition.
#[derive(Debug)]
pub struct PartAsk {
    pub asker: Asker,
    /// Which part of its request.
    pub index: u32,
    pub partition: PartitionId,
    pub op: PartOp,
}

/// What is done with one partition.
#[derive(Clone, Debug)]
pub enum PartOp {
    /// Append a batch, as the client sent it.
    Append { batch: Bytes, acks: Acks },
    /// Append the end of a transaction.
    Mark {
        producer_id: i64,
        producer_epoch: i16,
        decision: Decision,
    },
    /// The first offset that is kept.
    Earliest,
    /// The offset after the last record that may be read.
    Latest(ReadEnd),
    /// The first record that is not older.
    AtTime(UnixMillis),
    /// The newest record.
    MaxTimestamp,
    /// Let go of what lies before.
    DeleteBefore(Offset),
    /// Who produces to it.
    Producers,
    /// Bytes stored.
    Size,
}

/// What became of a [`PartAsk`].
#[derive(Debug)]
pub enum PartDone {
    /// Of [`PartOp::Append`] and [`PartOp::Mark`].
    Appended(Appended),
    /// Of those that ask for an offset or change one.
    Offset(FoundOffset),
    /// Of [`PartOp::Producers`].
    Producers(Vec<ProducerSummary>),
    /// Of [`PartOp::Size`].
    Size(u64),
    /// This core has no such partition (any more): an error code.
    Gone(i16),
}

/// The end of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Kafka's error code; 0 is none.
    pub error: i16,
    /// -1 with an error.
    pub base_offset: i64,
    pub log_start: i64,
}

impl Appended {
    /// Nothing was appended.
    pub const fn refused(error: i16) -> Appended {
        Appended {
            error,
            base_offset: -1,
            log_start: -1,
        }
    }
}

/// An offset, as ListOffsets gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    pub error: i16,
    /// -1 where there is none.
    pub offset: i64,
    /// -1 where it was not asked for by time.
    pub timestamp: i64,
}

/// Reads of one Fetch from one owner.
#[derive(Clone, Debug)]
pub struct ReadAsk {
    pub asker: Asker,
    pub reads: Vec<Read>,
    /// Of all reads together.
    pub bytes_max: usize,
    pub end: ReadEnd,
    pub watch: Watch,
}

/// Whether the asker wants to be told when there is more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Once, by [`Tell::Woken`], where fewer bytes than this were read.
    Below(usize),
    /// No.
    No,
}

/// One partition's read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Its place in the request.
    pub index: u32,
    pub partition: PartitionId,
    pub from: Offset,
    pub bytes_max: usize,
}

/// What one partition gave.
#[derive(Clone, Debug)]
pub struct ReadDone {
    pub index: u32,
    pub error: i16,
    pub high_watermark: i64,
    pub stable: i64,
    pub log_start: i64,
    pub aborted: Vec<Aborted>,
    pub records: Bytes,
}

/// A request to the coordinator.
#[derive(Debug)]
pub struct CoordinateAsk {
    pub to: ReplyTo,
    pub caller: Caller,
    pub request: Box<RequestKind>,
}

/// An answer to another core.
#[derive(Debug)]
pub enum Tell {
    Part {
        ticket: Ticket,
        index: u32,
        done: PartDone,
    },
    Read {
        ticket: Ticket,
        done: Vec<ReadDone>,
    },
    /// A whole response, encoded; none where the connection had better end.
    Frame {
        ticket: Ticket,
        frame: Option<Bytes>,
    },
    /// There may be more to read.
    Woken {
        ticket: Ticket,
    },
}

impl PartDone {
    /// Kafka's error code; 0 is none.
    pub const fn error(&self) -> i16 {
        match self {
            PartDone::Appended(appended) => appended.error,
            PartDone::Offset(found) => found.error,
            PartDone::Gone(error) => *error,
            PartDone::Producers(_) | PartDone::Size(_) => 0,
        }
    }
}
