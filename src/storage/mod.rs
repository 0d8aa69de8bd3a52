//! The seam between the engine and storage: a [`Producer`] and a [`Consumer`], both poll-based so
//! that they fit the duty cycle, both statically dispatched.
//!
//! Owns: the two traits and the plain data that crosses them. Never does: I/O. Runs on: a core.
//!
//! [`crate::log`] provides both for the embedded log. Nothing in here waits: every call does
//! bounded work and returns.
//!
//! A *lane* is a set of partitions whose outputs, state and positions commit together: a stripe
//! of the embedded log. A core owns one or more lanes, numbered from 0 on that core.

mod outputs;
mod partitioner;

pub use outputs::{Mark, OutputRecord, OutputRecords, Outputs, OutputsFull, StateChanges};

pub use partitioner::positive_murmur2;

use bytes::Bytes;

use crate::clock::Now;
use crate::ids::{Nanos, Offset, PartitionId, UnixMillis};

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
    /// handed back in [`Record::taken`]; never stored.
    pub taken: Nanos,
    /// The caller's mark, handed back in every [`StorageEvent`] about this record.
    pub token: u32,
}

/// Why an offer was refused; nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Every buffer is full or no space is left on the device: offer again later.
    Full,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageEvent {
    /// The record has its offset and lies in memory.
    Appended(Ack),
    /// The record survives a crash.
    Durable(Ack),
    /// The record was taken but could not be made durable; its fate is unknown to the submitter.
    Failed {
        /// The token of its [`Offer`].
        token: u32,
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

    /// Takes what the device has finished and starts the next group. Returns the amount of work
    /// done. Never waits.
    fn poll(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize;

    /// Whether anything was appended or offered that is not yet durable.
    fn is_busy(&self) -> bool;

    /// The error that poisoned storage, if one did.
    fn error(&self) -> Option<StorageError>;
}

/// One stored record, borrowed from the batch it lies in.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: UnixMillis,
    /// Its key; empty where it has none.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// [`Offer::taken`], where the record was offered to this process and is still in memory.
    pub taken: Option<Nanos>,
    /// When the record became visible, where that was seen by this process.
    pub visible: Option<Nanos>,
}

/// Whether a reader wants the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// Go on.
    Continue,
    /// This record was looked at but no further one is wanted now.
    Stop,
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Records were visited up to, but not including, this offset.
    Records(Offset),
    /// The records are on their way from the device; read again later.
    Pending,
    /// Nothing is visible at or after the position.
    Empty,
}

/// Why a read failed. The position does not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What is stored is damaged; says where.
    #[error("{0}")]
    Corrupt(String),
    /// The device refused.
    #[error("{0}")]
    Io(String),
}

/// Why a commit was refused; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitRefusal {
    /// No room now: commit again later.
    Full,
    /// Storage no longer accepts appends.
    Poisoned,
    /// The outputs exceed what one atomic group can hold.
    TooLarge,
}

/// The end of storage from which records come, in order per partition, each until its position is
/// committed.
pub trait Consumer {
    /// Lanes of this core.
    fn lanes(&self) -> usize;

    /// The lane of a partition that this core owns.
    fn lane(&self, partition: PartitionId) -> usize;

    /// Takes the next partition off the queue of those with visible records that were not yet
    /// processed. Fair: a partition that is put back queues behind the others.
    fn next_ready(&mut self) -> Option<PartitionId>;

    /// Puts a partition back in the queue if it has visible records at or after its position.
    fn requeue(&mut self, partition: PartitionId);

    /// Visits visible records from the partition's position on, in order, until `visit` says
    /// stop, the stored batch at the position ends, or nothing more is visible. Does not move the
    /// position. Never waits: what is only on the device is asked for and [`ReadOutcome::Pending`]
    /// returned; the partition is then requeued by storage when it has arrived.
    ///
    /// # Errors
    /// Damaged or unreadable storage; the partition is not requeued.
    fn read(
        &mut self,
        partition: PartitionId,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<ReadOutcome, ReadError>;

    /// Moves the partition's position to `next` and appends `outputs` (records to other topics,
    /// state), all in one atomic group: after a crash all of it is there, or none. The position
    /// is effective at once for [`Consumer::read`].
    ///
    /// # Errors
    /// Nothing was appended and the position did not move.
    fn commit(
        &mut self,
        now: Now,
        partition: PartitionId,
        next: Offset,
        outputs: &Outputs,
    ) -> Result<(), CommitRefusal>;

    /// The committed position: the offset of the next record to process.
    fn position(&self, partition: PartitionId) -> Offset;

    /// Records that are visible but not yet processed, over all partitions of this core that are
    /// processed here.
    fn backlog(&self) -> u64;

    /// Visits every state pair of a lane, as of the last commit.
    fn state(&self, lane: usize, visit: &mut dyn FnMut(&[u8], &[u8]));
}
