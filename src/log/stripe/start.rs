//! A stripe as recovery left it.
//!
//! Owns: how a stripe and its partitions are made. Never does: reading what is stored (recovery
//! did). Runs on: the core that will own the stripe.

use super::append::Pending;
use super::chunks::Chunks;
use super::frame::Slot;
use super::part::Part;
use super::roll::Keeping;
use super::segments::Segments;
use super::starts::Cleaning;
use super::tail::Tail;
use super::writer::Writer;
use super::{Core, PartitionSpec, Processing, Stripe, commit};
use crate::ids::{Nanos, TopicId};
use crate::limits::BLOCK_BYTES;
use crate::log::disk::Disk;
use crate::log::state::StripeState;
use crate::log::storage::StripeStart;

impl<D: Disk> Stripe<D> {
    /// A stripe that goes on where recovery ended.
    pub(in crate::log) fn new(lane: u16, start: StripeStart, core: &mut Core<D>) -> Stripe<D> {
        let StripeStart {
            mut recovered,
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
            list(&mut topics, spec.topic, Slot(parts.len() as u32));
            let part = restored(spec, &mut recovered.state);
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
            orphans: recovered.state.partitions,
            pending: Pending::new(options.offers_max),
            outputs: commit::Scratch::default(),
            keeper: Keeping::new(keeper),
            writer: Writer::new(frame_last),
            tail: Tail::new(options.tail_bytes),
            segments: Segments::new(recovered.segments),
            chunks: Chunks::new(),
            retain_next: Nanos(0),
            cleaning: Cleaning::new(),
            poison: None,
            failed_from: None,
        };
        stripe.count_bytes();
        stripe.start(core);
        for part in &mut stripe.parts {
            core.queue(part);
        }
        stripe
    }
}

/// Enters a partition among those of its topic.
pub(super) fn list(topics: &mut Vec<Vec<Slot>>, topic: TopicId, slot: Slot) {
    if topics.len() <= topic.index() {
        topics.resize_with(topic.index() + 1, Vec::new);
    }
    topics[topic.index()].push(slot);
}

/// A partition as recovery left it. What is taken from `state` is gone from there.
pub(super) fn restored(spec: &PartitionSpec, state: &mut StripeState) -> Part {
    let mut part = Part::new(spec.id, spec.processing, spec.read_at);
    if let Some(offsets) = state.partitions.remove(&spec.id) {
        part.log_start = offsets.log_start;
        part.next = offsets.next;
        part.durable = offsets.next;
        part.position = match spec.processing {
            // While nobody processed, retention may have moved past the old position.
            Processing::Handler => offsets.position.max(offsets.log_start),
            // It stays what the frames say: nobody goes by it.
            Processing::None => offsets.position,
        };
        part.position_durable = part.position;
    }
    part.producers = state.producers.remove(&spec.id).unwrap_or_default();
    part
}
