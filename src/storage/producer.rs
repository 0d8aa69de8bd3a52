//! The end of storage into which records go, and its news about them.
//!
//! Owns: what is offered, why it is refused and what became of it. Never does: any I/O. Runs on:
//! the core that owns the partition.

use bytes::Bytes;

use crate::clock::Now;
use crate::ids::{Acks, Nanos, Offset, PartitionId, UnixMillis};
use crate::telemetry::Traceparent;

/// A record on its way into storage. The payload is held by reference count, not copied; storage
/// copies it once, to where it is written from.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Where it goes; must be owned by this core.
    pub partition: PartitionId,
    /// The encoded transaction: the record's value.
    pub value: Bytes,
    /// Where in `value` the record's key (the transaction id) starts.
    pub key_start: u32,
    /// Length of the key in bytes.
    pub key_len: u32,
    /// When the transaction was taken in, or was meant to be. Kept in memory beside the record,
    /// handed back in [`super::Record::taken`]; never stored.
    pub taken: Nanos,
    /// The header that it is stored with; none for what is not traced.
    pub trace: Option<Box<Traceparent>>,
    /// The caller's mark, handed back in every [`StorageEvent`] about this record.
    pub token: u32,
    /// Another one, kept as `taken` is and handed back in [`super::Record::seat`].
    pub seat: u32,
}

/// Why an offer was refused; nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Every buffer is full or no space is left on the device: offer again later.
    Full,
    /// What holds the partition cannot be reached, and the configuration says that another shard
    /// shall take its records ([`Producer::is_available`]).
    Unavailable,
    /// Storage no longer accepts appends ([`StorageError::Poisoned`]).
    Poisoned,
    /// The record can never fit.
    TooLarge,
}

/// Why records that had been taken were lost, or why storage no longer works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// A write or sync failed, so what lies on the device is unknown. Reads go on, appends never.
    #[error("storage is poisoned: {0}")]
    Poisoned(String),
    /// A cluster refuses for good: this node was fenced, a topic is gone, a right is missing.
    #[error("{0}")]
    Cluster(String),
}

/// What became of a record that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The token of its [`Offer`].
    pub token: u32,
    /// The offset that it got.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: UnixMillis,
}

/// News about records. Per partition, `Appended` come in offset order, and so do `Durable`; every
/// `Durable` follows its own `Appended`.
#[derive(Debug, Clone)]
pub enum StorageEvent {
    /// The record has its offset and lies in memory.
    Appended(Ack),
    /// The record is as safe as storage makes it ([`Producer::acks_max`]): with `all` it survives
    /// a crash.
    Durable(Ack),
    /// The record has left, and nothing more will be heard of it (`acks_max` = none).
    Sent {
        /// The token of its [`Offer`].
        token: u32,
    },
    /// The record was surely not stored and comes back: it may be offered again, elsewhere too.
    Returned(Offer),
    /// The record was taken but could not be made durable; its fate is unknown to the submitter.
    Failed {
        /// The token of its [`Offer`].
        token: u32,
    },
    /// A write that makes records durable has ended, as this core saw it.
    Written {
        /// From handing it to the device, in nanoseconds.
        took_ns: u64,
    },
    /// The `Durable` that follow, up to the next of these, are of one write.
    Group {
        /// When it was handed to the device.
        written: Nanos,
    },
}

/// The end of storage into which records go.
pub trait Producer {
    /// Takes a record for the batch that the next [`Producer::flush`] forms.
    ///
    /// # Errors
    /// Gives the offer back with the reason; nothing was taken.
    #[allow(clippy::result_large_err)] // The offer is moved back, not boxed: no allocation here.
    fn offer(&mut self, offer: Offer) -> Result<(), (Offer, Refusal)>;

    /// Forms batches, one per partition, of what was offered since the last call, appends them
    /// and starts writing where nothing is under way. Returns the amount of work done.
    fn flush(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize;

    /// As [`Producer::flush`], but leaves the start of the write to the next [`Producer::poll`]: answers
    /// that do not wait for it can leave first.
    fn append(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize {
        self.flush(now, on)
    }

    /// Takes what the device has finished and starts the next group. Returns the amount of work
    /// done. Never waits.
    fn poll(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize;

    /// Whether anything was appended or offered that is not yet durable.
    fn is_busy(&self) -> bool;

    /// Whether the partition takes records now; `false` only where another shard shall take them.
    fn is_available(&self, partition: PartitionId) -> bool;

    /// The strongest promise that this storage keeps. Never changes.
    fn acks_max(&self) -> Acks;

    /// The error that poisoned storage, if one did.
    fn error(&self) -> Option<StorageError>;
}
