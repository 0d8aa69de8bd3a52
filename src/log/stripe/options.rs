//! What a stripe is told at start.
//!
//! Owns: the choices and their defaults. Never does: checking them against each other (the
//! configuration does). Runs on: any thread.

use super::part::{Processing, ReadAt};
use super::retention::Retention;
use crate::ids::{PartitionId, TopicId};

/// What a stripe is told at start.
#[derive(Clone, Copy, Debug)]
pub struct StripeOptions {
    /// Size of a segment's file in bytes.
    pub segment_bytes: u32,
    /// How often the data directory had been opened, this time included.
    pub epoch: u32,
    /// Bound of the memory that holds the newest frames, in bytes. Frames being written do not
    /// leave memory, whatever the bound.
    pub tail_bytes: usize,
    /// Frames under way at once: 1 to 64.
    pub writes_in_flight_max: usize,
    /// Offers kept between two flushes.
    pub offers_max: usize,
    /// What may be thrown away.
    pub retention: Retention,
}

impl StripeOptions {
    /// The defaults for segments of this size in the data directory's `epoch`.
    pub fn new(segment_bytes: u32, epoch: u32) -> StripeOptions {
        StripeOptions {
            segment_bytes,
            epoch,
            tail_bytes: 64 << 20,
            writes_in_flight_max: 8,
            offers_max: 16 << 10,
            retention: Retention::default(),
        }
    }
}

/// A partition of a stripe.
#[derive(Clone, Copy, Debug)]
pub struct PartitionSpec {
    /// Which.
    pub id: PartitionId,
    /// The topic it belongs to.
    pub topic: TopicId,
    /// What is done with its records here.
    pub processing: Processing,
    /// Where its visible end lies.
    pub read_at: ReadAt,
}

/// What is kept of one partition, within the stripe's own bounds. Whole batches go, oldest first,
/// once they are durable and, where records are processed, processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicRetention {
    /// Milliseconds since a batch's newest timestamp; none means no bound.
    pub ms: Option<u64>,
    /// Bytes of batches, at least this much is kept; none means no bound.
    pub bytes: Option<u64>,
}
