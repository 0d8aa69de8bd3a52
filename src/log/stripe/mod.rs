//! A stripe while it runs: one append-only durable log and the partitions that live in it.
//!
//! Owns: the open frame, the frames in memory, the segments' indexes, the partitions' offsets and
//! the handlers' state. Never does: preparing, recycling or deleting files (the keeper does,
//! off the hot path), waiting. Runs on: the core that owns the stripe.
//!
//! | file | what |
//! |---|---|
//! | `append` | offers become batches in the open frame |
//! | `commit` | outputs, state and position become one atomic group |
//! | `writer` | frames are sealed, written, made durable; poisoning |
//! | `segments`, `roll` | the segments; from one to the next |
//! | `retention` | which old segments may go |
//! | `read`, `chunks`, `tail` | records from memory, else from the device |

mod append;
mod chunks;
mod commit;
mod frame;
mod part;
mod read;
mod retention;
mod roll;
mod segments;
mod tail;
mod writer;

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{FrameSeq, Nanos, Offset, PartitionId, StripeId, TopicId};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};
use crate::log::disk::{Disk, Op, Tag};
use crate::log::format::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::log::state::StripeState;
use crate::log::storage::{Offsets, StripeStart};
use crate::storage::StorageError;

use append::Pending;
use chunks::Chunks;
pub(super) use frame::Slot;
use part::{Part, Touched};
use roll::Keeping;
use segments::Segments;
use tail::Tail;
use writer::Writer;

pub use part::{Processing, ReadAt};
pub use retention::Retention;

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

/// What the stripes of one core share.
#[derive(Debug)]
pub(super) struct Core<D> {
    pub(super) disk: D,
    /// Partitions with visible records that were not yet processed.
    pub(super) ready: VecDeque<PartitionId>,
    /// Records in them.
    pub(super) backlog: u64,
}

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
    poison: Option<StorageError>,
    /// The first frame that is lost for good, where one is.
    failed_from: Option<FrameSeq>,
}

impl<D: Disk> Stripe<D> {
    /// A stripe that goes on where recovery ended.
    pub(super) fn new(lane: u16, start: StripeStart, core: &mut Core<D>) -> Stripe<D> {
        let StripeStart {
            recovered,
            partitions: specs,
            options,
            keeper,
        } = start;
        assert_eq!(keeper.stripe(), recovered.stripe);
        assert!((1..=64).contains(&options.writes_in_flight_max));
        assert!(options.segment_bytes as usize >= 4 * BLOCK_BYTES);
        let mut parts = Vec::with_capacity(specs.len());
        let mut topics: Vec<Vec<Slot>> = Vec::new();
        for spec in &specs {
            if topics.len() <= spec.topic.index() {
                topics.resize_with(spec.topic.index() + 1, Vec::new);
            }
            topics[spec.topic.index()].push(Slot(parts.len() as u32));
            let part = restored(spec, &recovered.state);
            core.backlog += part.backlog();
            parts.push(part);
        }
        let frame_last = recovered.frame_last;
        let mut stripe = Stripe {
            id: recovered.stripe,
            lane,
            options,
            touched: Vec::with_capacity(parts.len()),
            parts,
            topics,
            values: recovered.state.values,
            pending: Pending::new(options.offers_max),
            outputs: commit::Scratch::default(),
            keeper: Keeping::new(keeper),
            writer: Writer::new(frame_last),
            tail: Tail::new(options.tail_bytes),
            segments: Segments::new(recovered.segments),
            chunks: Chunks::new(),
            retain_next: Nanos(0),
            poison: None,
            failed_from: None,
        };
        stripe.start(core);
        for part in &mut stripe.parts {
            core.queue(part);
        }
        stripe
    }

    pub(super) fn error(&self) -> Option<&StorageError> {
        self.poison.as_ref()
    }

    /// The most entry bytes that one frame can hold.
    fn group_bytes_max(&self) -> usize {
        let segment = self.options.segment_bytes as usize - SEGMENT_HEADER_BYTES;
        FRAME_BYTES_MAX.min(segment) / BLOCK_BYTES * BLOCK_BYTES - FRAME_HEADER_BYTES
    }

    /// Visits every state pair, as of the last commit.
    pub(super) fn state(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (key, value) in &self.values {
            visit(key, value);
        }
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

impl<D> Core<D> {
    /// Changes a partition and keeps the backlog and the queue of ready partitions in step.
    fn update(&mut self, part: &mut Part, change: impl FnOnce(&mut Part)) {
        let before = part.backlog();
        change(part);
        self.backlog = self.backlog - before + part.backlog();
        self.queue(part);
    }

    /// Queues a partition if a handler has something to do.
    fn queue(&mut self, part: &mut Part) {
        if part.is_ready() {
            part.queued = true;
            self.ready.push_back(part.id);
        }
    }
}

fn restored(spec: &PartitionSpec, state: &StripeState) -> Part {
    let mut part = Part::new(spec.id, spec.processing, spec.read_at);
    if let Some(offsets) = state.partitions.get(&spec.id) {
        part.log_start = offsets.log_start;
        part.next = offsets.next;
        part.durable = offsets.next;
        // Where nobody processed, retention may have moved past the old position.
        part.position = offsets.position.max(offsets.log_start);
        part.position_durable = part.position;
    }
    part
}
