//! A stripe while it runs: one append-only durable log and the partitions that live in it.
//!
//! Owns: the open frame, the frames in memory, the segments' indexes, the partitions' offsets and
//! the handlers' state. Never does: preparing, recycling or deleting files (the keeper does,
//! off the hot path), waiting. Runs on: the core that owns the stripe.
//!
//! | file | what |
//! |---|---|
//! | `options`, `start` | what a stripe is told; a stripe as recovery left it |
//! | `shared` | what the stripes of one core share |
//! | `append` | offers become batches in the open frame |
//! | `commit` | outputs, state and position become one atomic group |
//! | `writer` | frames are sealed, written, made durable; poisoning |
//! | `segments`, `roll` | the segments; from one to the next |
//! | `retention`, `starts` | which old segments may go; where partitions start |
//! | `read`, `chunks`, `tail` | records from memory, else from the device |
//! | `pairs` | state pairs, of handlers and of the broker |
//! | `produce`, `fetch`, `times` | the broker's part: whole batches in and out, search by time |

mod append;
mod chunks;
mod commit;
mod fetch;
mod frame;
mod options;
mod pairs;
mod part;
mod produce;
mod read;
mod retention;
mod roll;
mod segments;
mod shared;
mod start;
mod starts;
mod tail;
mod times;
mod writer;

use std::collections::BTreeMap;

use crate::ids::{FrameSeq, Nanos, Offset, PartitionId, StripeId};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};
use crate::log::disk::{Disk, Op, Tag};
use crate::log::format::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::log::state::PartitionOffsets;
use crate::log::storage::Offsets;
use crate::storage::StorageError;

use append::Pending;
use chunks::Chunks;
pub(super) use frame::Slot;
use part::{Part, Touched};
use roll::Keeping;
use segments::Segments;
use tail::Tail;
use writer::Writer;

pub use options::{PartitionSpec, StripeOptions, TopicRetention};
pub use part::{Processing, ReadAt};
pub use retention::Retention;
pub(super) use shared::Core;

/// One stripe.
#[derive(Debug)]
pub(super) struct Stripe<D: Disk> {
    id: StripeId,
    lane: u16,
    options: StripeOptions,
    parts: Vec<Part>,
    /// By topic: its partitions in this stripe, in order.
    topics: Vec<Vec<Slot>>,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Partitions that are in the log but no longer in the catalog.
    orphans: BTreeMap<PartitionId, PartitionOffsets>,
    pending: Pending,
    touched: Touched,
    outputs: commit::Scratch,
    keeper: Keeping,
    writer: Writer<D::Buffer>,
    tail: Tail<D::Buffer>,
    segments: Segments,
    chunks: Chunks<D::Chunk>,
    /// When the rule of retention is looked at again.
    retain_next: Nanos,
    cleaning: starts::Cleaning,
    poison: Option<StorageError>,
    /// The first frame that is lost for good, where one is.
    failed_from: Option<FrameSeq>,
}

impl<D: Disk> Stripe<D> {
    pub(super) fn error(&self) -> Option<&StorageError> {
        self.poison.as_ref()
    }

    /// The most entry bytes that one frame can hold.
    fn group_bytes_max(&self) -> usize {
        let segment = self.options.segment_bytes as usize - SEGMENT_HEADER_BYTES;
        FRAME_BYTES_MAX.min(segment) / BLOCK_BYTES * BLOCK_BYTES - FRAME_HEADER_BYTES
    }

    pub(super) fn id(&self) -> StripeId {
        self.id
    }

    pub(super) fn position(&self, slot: Slot) -> Offset {
        self.parts[slot.index()].position
    }

    pub(super) fn offsets(&self, slot: Slot) -> Offsets {
        let part = &self.parts[slot.index()];
        Offsets {
            start: part.log_start,
            visible: part.visible(),
            durable: part.durable,
            next: part.next,
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.segments.is_blocked()
    }

    /// Whether the device has no space for the file that is needed next.
    pub(super) fn is_without_space(&self) -> bool {
        self.keeper.is_without_space()
    }

    pub(super) fn is_prepared(&self) -> bool {
        self.segments.is_prepared()
    }

    /// A reader has taken the partition off the queue.
    pub(super) fn taken_from_queue(&mut self, slot: Slot) {
        self.parts[slot.index()].queued = false;
    }

    /// Queues the partition again if it has something to process.
    pub(super) fn requeue(&mut self, slot: Slot, core: &mut Core<D>) {
        core.queue(&mut self.parts[slot.index()]);
    }

    fn tag(&self, op: Op) -> Tag {
        Tag {
            lane: self.lane,
            op,
        }
    }
}
