//! The end of storage from which records come.
//!
//! Owns: what is read, how a read ends and why a commit is refused. Never does: any I/O. Runs on:
//! the core that owns the partition.

use crate::clock::Now;
use crate::ids::{Nanos, Offset, PartitionId, UnixMillis};

use super::outputs::Outputs;

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
    /// The value of its header [`crate::telemetry::TRACE_HEADER`], if it has one: bytes from
    /// anywhere.
    pub trace: Option<&'a [u8]>,
    /// [`super::Offer::taken`], where the record was offered to this process and is still in memory.
    pub taken: Option<Nanos>,
    /// [`super::Offer::seat`], likewise.
    pub seat: Option<u32>,
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

/// How far a commit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It holds, or nothing after it will hold either.
    Settled,
    /// It is part of a transaction that is still open: [`LaneNews`] tells how that ended.
    Open,
}

/// News about the open commits of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneNews {
    /// The first `commits` of the open ones hold.
    Settled {
        /// The lane.
        lane: usize,
        /// How many, in the order in which they were made.
        commits: usize,
    },
    /// Every open commit of the lane is undone: positions and state are those of the last settled
    /// one. The lane's handler must be made anew. Also comes when a lane is taken over or given
    /// away.
    Undone {
        /// The lane.
        lane: usize,
    },
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
    /// stop or nothing more is visible. May end with the stored batch at the position, and does
    /// where the next one is not in memory. Does not move the position. Never waits: what is only on the device is asked for and [`ReadOutcome::Pending`]
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
    /// state), all in one atomic group: after a crash all of it is there, or none (a cluster set
    /// to `at_least_once` excepted, where the position follows the outputs). The position is
    /// effective at once for [`Consumer::read`].
    ///
    /// # Errors
    /// Nothing was appended and the position did not move.
    fn commit(
        &mut self,
        now: Now,
        partition: PartitionId,
        next: Offset,
        outputs: &Outputs,
    ) -> Result<Commit, CommitRefusal>;

    /// Takes the next news about open commits.
    fn lane_news(&mut self) -> Option<LaneNews>;

    /// Visits records that were processed before this process began, read only so that their ids
    /// are known as duplicates: key, partition, offset, timestamp. Each is visited once. Returns
    /// how many there were.
    fn history(&mut self, seen: &mut impl FnMut(&[u8], PartitionId, Offset, UnixMillis)) -> usize;

    /// The committed position: the offset of the next record to process.
    fn position(&self, partition: PartitionId) -> Offset;

    /// Records that are visible but not yet processed, over all partitions of this core that are
    /// processed here.
    fn backlog(&self) -> u64;

    /// Records of a partition that are visible but not yet processed; 0 for a partition that is not
    /// processed on this core.
    fn lag(&self, partition: PartitionId) -> u64;

    /// Visits every state pair of a lane, as of the last commit.
    fn state(&self, lane: usize, visit: &mut dyn FnMut(&[u8], &[u8]));
}
