//! The seam between the engine and storage: a [`Producer`] and a [`Consumer`], both poll-based so
//! that they fit the duty cycle, both statically dispatched; together, a [`Storage`].
//!
//! Owns: the traits and the plain data that crosses them. Never does: I/O. Runs on: a core.
//!
//! `log` provides them for the embedded log, `kafka` for clusters. Nothing in here waits: every
//! call does bounded work and returns.
//!
//! A *lane* is a set of partitions whose outputs, state and positions commit together: a stripe
//! of the embedded log, one partition on a cluster. Lanes are numbered from 0 on each core.

mod consumer;
mod outputs;
mod partitioner;
mod producer;

pub use consumer::{
    Commit, CommitRefusal, Consumer, LaneNews, ReadError, ReadOutcome, Record, Visit,
};
pub use outputs::{
    Mark, OutputRecord, OutputRecords, Outputs, OutputsRefused, RESERVED_KEY, StateChanges,
};
pub use partitioner::positive_murmur2;
pub use producer::{Ack, Offer, Producer, Refusal, StorageError, StorageEvent};

use crate::clock::Now;
use crate::ids::Nanos;

/// What storage counts of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageCounts {
    /// Partitions that this core was given.
    pub assigned: u64,
    /// Partitions that were taken from this core.
    pub revoked: u64,
    /// Times that a consumer group gave this core partitions or took some.
    pub rebalances: u64,
    /// Kafka transactions committed.
    pub committed: u64,
    /// Kafka transactions aborted.
    pub aborted: u64,
    /// Times that a cluster became unreachable.
    pub unreachable: u64,
    /// Batches appended to the log.
    pub batches: u64,
    /// Their bytes.
    pub batch_bytes: u64,
    /// Frames of the log that became durable.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
}

/// What keeps storage from taking records as it should, at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hindrances {
    /// Stripes whose device has no space for the file that they need next.
    pub stripes_without_space: u32,
    /// Clusters that count as unreachable.
    pub clusters_unreachable: u32,
}

/// Bytes of memory that storage knows of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StorageMemory {
    /// Buffers of frames: open, kept for readers, spare.
    pub frames: usize,
    /// Parts of segments that were read back.
    pub chunks: usize,
    /// Where the batches lie in the segments.
    pub index: usize,
}

impl std::ops::AddAssign for StorageCounts {
    fn add_assign(&mut self, other: StorageCounts) {
        self.assigned += other.assigned;
        self.revoked += other.revoked;
        self.rebalances += other.rebalances;
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.unreachable += other.unreachable;
        self.batches += other.batches;
        self.batch_bytes += other.batch_bytes;
        self.frames += other.frames;
        self.frame_bytes += other.frame_bytes;
    }
}

/// Both ends of one core's storage, and its life from start to stop.
pub trait Storage: Producer + Consumer {
    /// Whether transactions may be taken in: what has to be known or ready before is.
    fn is_prepared(&self) -> bool;

    /// Whether news of its work comes through the executor; otherwise whoever has some rings the
    /// core's doorbell.
    fn awaits_kernel(&self) -> bool;

    /// Whether something is under way of whose end only [`Producer::poll`] has news: nobody rings, and
    /// the executor does not know of it.
    fn awaits_look(&self) -> bool;

    /// Whether something came since the last [`Producer::poll`]. Looked at once more between the
    /// announcement of sleep and sleep itself.
    fn has_news(&self) -> bool;

    /// When [`Producer::poll`] has something to do even if nobody rings.
    fn next_wake(&self) -> Option<Nanos>;

    /// What was counted since the last call.
    fn take_counts(&mut self) -> StorageCounts;

    /// What is in the way now. Looked at once a cycle.
    fn hindrances(&self) -> Hindrances;

    /// What its parts take of memory now. Cheap, but not for every cycle.
    fn memory(&self) -> StorageMemory;

    /// Brings what is open to its end, for a clean stop: call it with [`Producer::poll`] in
    /// between until it returns 0 and [`Producer::is_busy`] is false. Gives up by itself, within
    /// bounds, on what does not answer.
    fn finish(&mut self, now: Now) -> usize;
}
