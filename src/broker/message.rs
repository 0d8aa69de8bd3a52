//! What crosses the broker's mesh: questions to the owner of partitions or to the coordinator's core,
//! and answers.

use bytes::Bytes;
use kafka_protocol::messages::RequestKind;

use crate::broker::coordinator::{Caller, Decision};
use crate::exactly_once::producers::ProducerSummary;
use crate::ids::{Acks, CoreId, Offset, PartitionId, UnixMillis};
use crate::log::storage::{Mark, ReadEnd};
use crate::mesh::EndpointId;
use crate::wire::fetch::Aborted;

use super::verify::Claim;

/// A request under way on the core that asks. Tells it from a later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Its place in the core's table.
    pub place: u32,
    /// Counts the requests that were in this place.
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
    /// Whom.
    pub asker: Asker,
    /// The request's API.
    pub key: i16,
    /// The request's version.
    pub version: i16,
    /// The client's own mark.
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
    /// To the coordinator, which hands it on to a partition's owner or refuses it; the answer is
    /// [`Tell::Part`].
    Verify(Box<VerifyAsk>),
}

/// One thing to be done with one partition.
#[derive(Debug)]
pub struct PartAsk {
    /// Who asks.
    pub asker: Asker,
    /// Which part of its request.
    pub index: u32,
    /// With which partition.
    pub partition: PartitionId,
    /// What is to be done.
    pub op: PartOp,
}

/// A batch of a transaction, to be appended only if it is part of it.
#[derive(Debug)]
pub struct VerifyAsk {
    /// The partition's owner.
    pub(super) owner: CoreId,
    /// Which transaction.
    pub(super) claim: Claim,
    /// What the owner is to do.
    pub(super) part: PartAsk,
}

/// What is done with one partition.
#[derive(Clone, Debug)]
pub enum PartOp {
    /// Append a batch, as the client sent it.
    Append {
        /// The batch.
        batch: Bytes,
        /// When it counts as done.
        acks: Acks,
    },
    /// Append the end of a transaction.
    Mark {
        /// The producer.
        producer_id: i64,
        /// Its epoch from now on.
        producer_epoch: i16,
        /// Whether its records count.
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
    /// The partition's first offset; -1 with an error.
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
    /// Kafka's error code; 0 is none.
    pub error: i16,
    /// -1 where there is none.
    pub offset: i64,
    /// -1 where it was not asked for by time.
    pub timestamp: i64,
}

/// Reads of one Fetch from one owner.
#[derive(Clone, Debug)]
pub struct ReadAsk {
    /// Who asks.
    pub asker: Asker,
    /// One for each partition.
    pub reads: Vec<Read>,
    /// Of all reads together.
    pub bytes_max: usize,
    /// Up to where.
    pub end: ReadEnd,
    /// Whether the asker waits for more.
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
    /// The partition.
    pub partition: PartitionId,
    /// Where to begin.
    pub from: Offset,
    /// Bytes of this partition.
    pub bytes_max: usize,
}

/// What one partition gave.
#[derive(Clone, Debug)]
pub struct ReadDone {
    /// Its place in the request.
    pub index: u32,
    /// Kafka's error code; 0 is none.
    pub error: i16,
    /// The offset after the last visible record; -1 where it is not known.
    pub high_watermark: i64,
    /// The last stable offset; -1 where it is not known.
    pub stable: i64,
    /// The partition's first offset; -1 where it is not known.
    pub log_start: i64,
    /// The transactions aborted among the records; none for a reader of uncommitted ones.
    pub aborted: Vec<Aborted>,
    /// Whole batches.
    pub records: Bytes,
}

/// A request to the coordinator.
#[derive(Debug)]
pub struct CoordinateAsk {
    /// Whom to answer.
    pub to: ReplyTo,
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub request: Box<RequestKind>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameEnd {
    /// It survives a crash.
    Durable,
    /// Whether it does is not known.
    Lost,
}

/// An answer to another core.
#[derive(Debug)]
pub enum Tell {
    /// The answer to an [`Ask::Part`].
    Part {
        /// The request.
        ticket: Ticket,
        /// Which part of it.
        index: u32,
        /// What became of it.
        done: PartDone,
    },
    /// The answer to an [`Ask::Read`].
    Read {
        /// The request.
        ticket: Ticket,
        /// One for each partition that was asked for.
        done: Vec<ReadDone>,
    },
    /// A whole response, encoded; none where the connection had better end.
    Frame {
        /// The request.
        ticket: Ticket,
        /// The response, with its length.
        frame: Option<Bytes>,
    },
    /// The parts of a Produce request that lie in this frame are settled. Stays on its core.
    Settled {
        /// The request.
        ticket: Ticket,
        /// The frame.
        mark: Mark,
        /// What became of it.
        end: FrameEnd,
    },
    /// There may be more to read.
    Woken {
        /// The request.
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
