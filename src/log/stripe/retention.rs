//! Which old segments may be thrown away.
//!
//! Owns: the rule. Never does: deleting; the keeper recycles the files. Runs on: the stripe's
//! core.
//!
//! Only the oldest sealed segment ever goes, and only if
//! - it exceeds the bound in bytes or in age, or every partition starts after what it holds of it,
//! - every partition with processing has its position, as a crash would leave it, past it,
//! - a later segment's index and state are durable, so that no state is lost with it,
//! - nobody reads in it.

use std::collections::BTreeMap;

use super::frame::Slot;
use super::part::{Part, Processing};
use super::segments::{Checkpoint, File, Segment};
use super::{Core, Stripe};
use crate::clock::Now;
use crate::ids::{Offset, PartitionId};
use crate::log::disk::Disk;
use crate::log::keeper::Request;
use crate::log::state::IndexEntry;

/// How often the rule is looked at, since it goes through all partitions.
const CHECK_NS: u64 = 10_000_000;

/// How much of the past is kept. Whatever the bounds, nothing unprocessed goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of a stripe's segments; none means no bound.
    pub bytes_max: Option<u64>,
    /// Milliseconds since a segment's newest record; none means no bound.
    pub age_ms_max: Option<u64>,
}

impl<D: Disk> Stripe<D> {
    /// Gives the oldest segment away if it may go. Returns the amount of work done.
    pub(in crate::log) fn retain(&mut self, now: Now, core: &mut Core<D>) -> usize {
        if now.mono < self.retain_next {
            return 0;
        }
        let is_empty = self.cleaning.is_due()
            && self
                .segments
                .oldest_sealed()
                .is_some_and(|oldest| self.is_empty_segment(oldest.index.partitions.iter()));
        if !is_empty {
            self.cleaning.looked();
        }
        let may_go =
            |oldest: &Segment| (is_empty || self.exceeds(oldest, now)) && self.may_go(oldest);
        if !self.segments.oldest_sealed().is_some_and(may_go) {
            self.retain_next = now.mono.after(CHECK_NS);
            return 0;
        }
        let ends = self.segments.oldest_sealed().map(|oldest| {
            let batches = oldest.index.partitions.iter();
            let ends = batches.filter_map(|(id, entries)| Some((*id, end(entries)?)));
            ends.collect::<BTreeMap<PartitionId, Offset>>()
        });
        for slot in (0..self.parts.len() as u32).map(Slot) {
            let id = self.parts[slot.index()].id;
            if let Some(end) = ends.as_ref().and_then(|ends| ends.get(&id)) {
                self.advance_start(slot, *end);
            }
        }
        let Some(gone) = self.segments.remove_oldest() else {
            return 0;
        };
        self.cleaning.look_again();
        self.chunks.forget(gone.seq);
        if let File::Open(file) = gone.file {
            core.disk.close(file);
        }
        self.keeper.ask(Request::Recycle { seq: gone.seq });
        1
    }

    /// Bytes of all segments' indexes.
    pub(in crate::log) fn index_bytes(&self) -> usize {
        self.segments.index_bytes()
    }

    fn exceeds(&self, oldest: &Segment, now: Now) -> bool {
        let Retention {
            bytes_max,
            age_ms_max,
        } = self.options.retention;
        let segments = self.segments.iter().count() as u64;
        let bytes = segments * u64::from(self.options.segment_bytes);
        let age_ms = now.millis().0.saturating_sub(oldest.index.timestamp_max.0);
        bytes_max.is_some_and(|max| bytes > max)
            || age_ms_max.is_some_and(|max| age_ms > i64::try_from(max).unwrap_or(i64::MAX))
    }

    fn may_go(&self, oldest: &Segment) -> bool {
        let later_state_is_durable = self
            .segments
            .iter()
            .skip(1)
            .any(|s| matches!(s.checkpoint, Checkpoint::Durable));
        let closed_or_idle = oldest.reads == 0 && oldest.file != File::Opening;
        let written = !matches!(oldest.checkpoint, Checkpoint::Due(_) | Checkpoint::Sent);
        let processed = |part: &Part| match part.processing {
            Processing::None => true,
            Processing::Handler => {
                let entries = oldest.index.partitions.get(&part.id);
                entries
                    .and_then(|e| end(e))
                    .is_none_or(|end| part.position_durable >= end)
            }
        };
        later_state_is_durable
            && closed_or_idle
            && written
            && !self.chunks.is_wanted(oldest.seq)
            && self.parts.iter().all(processed)
    }
}

/// The offset after the last record of these batches.
fn end(entries: &[IndexEntry]) -> Option<Offset> {
    entries.last().map(|e| e.base_offset.plus(e.records))
}
