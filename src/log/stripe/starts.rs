//! Where partitions start: records deleted on request, partitions with bounds of their own,
//! partitions that are added and dropped.
//!
//! Owns: the partitions' log starts and their bytes. Never does: freeing space; a segment in which
//! nothing is left is recycled by `retention`. Runs on: the stripe's core.
//!
//! A log start that bounds moved is in the state of the next sealed segment; after a crash before
//! that it is found anew. One that was asked for is a state pair of its own: it is durable.

use super::frame::Slot;
use super::part::{Life, Part, Processing};
use super::{Core, PartitionSpec, Stripe, TopicRetention, start};
use crate::clock::Now;
use crate::ids::{Nanos, Offset, PartitionId};
use crate::log::disk::Disk;
use crate::log::state::{IndexEntry, LOG_START_KEY_BYTES, StripeState, log_start_key};
use crate::log::storage::{DeleteError, Mark};

/// How often each partition's bounds are looked at.
const ROUND_NS: u64 = 1_000_000_000;

/// Rounds in which each partition's idle producers are looked for once: going through them all
/// takes longer than looking at bounds.
const ROUNDS_PER_EXPIRY: usize = 64;

/// Partitions looked at in one cycle, and batches of one that may go in it.
const PARTITIONS_PER_CYCLE: usize = 16;
const BATCHES_PER_CYCLE: usize = 1024;

/// Whether the oldest segment may have lost its last record since it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Again,
    Done,
}

/// How far the present round over the partitions is.
#[derive(Debug)]
pub(super) struct Cleaning {
    next: usize,
    round: usize,
    round_at: Nanos,
    look: Look,
}

impl Cleaning {
    pub(super) fn new() -> Cleaning {
        Cleaning {
            next: 0,
            round: 0,
            round_at: Nanos(0),
            look: Look::Again,
        }
    }

    /// The oldest segment may be empty now.
    pub(super) fn look_again(&mut self) {
        self.look = Look::Again;
    }

    pub(super) fn looked(&mut self) {
        self.look = Look::Done;
    }

    pub(super) fn is_due(&self) -> bool {
        self.look == Look::Again
    }
}

/// The offset after a batch.
fn end(entry: &IndexEntry) -> Offset {
    entry.base_offset.plus(entry.records)
}

/// Up to where records may be deleted: what is not visible may still be lost, and what a handler
/// has to process is needed.
fn deletable(part: &Part) -> Offset {
    match part.processing {
        Processing::Handler => part.durable.min(part.position_durable),
        Processing::None => part.durable,
    }
}

impl<D: Disk> Stripe<D> {
    /// Counts the bytes of every partition, once recovery has said what there is.
    pub(super) fn count_bytes(&mut self) {
        for part in &mut self.parts {
            let live = self.segments.entries(part.id, part.log_start);
            part.bytes = live.map(|e| u64::from(e.bytes)).sum();
        }
    }

    pub(in crate::log) fn bytes(&self, slot: Slot) -> u64 {
        self.parts[slot.index()].bytes
    }

    /// Moves a partition's start forward.
    pub(super) fn advance_start(&mut self, slot: Slot, to: Offset) {
        let part = &mut self.parts[slot.index()];
        let gone = self.segments.entries(part.id, part.log_start);
        let gone: u64 = gone
            .take_while(|entry| end(entry) <= to)
            .map(|e| u64::from(e.bytes))
            .sum();
        set_start(part, to, gone);
        self.cleaning.look_again();
    }

    /// See [`crate::log::storage::LogStorage::delete_records`].
    pub(in crate::log) fn delete_records(
        &mut self,
        now: Now,
        slot: Slot,
        before: Offset,
        core: &mut Core<D>,
    ) -> Result<(Offset, Mark), DeleteError> {
        self.check_open(slot)?;
        let part = &self.parts[slot.index()];
        let (id, log_start, end) = (part.id, part.log_start, deletable(part));
        if before > end {
            return Err(DeleteError::OutOfRange { before, end });
        }
        if before <= log_start {
            return Ok((log_start, self.mark_last()));
        }
        let key: [u8; LOG_START_KEY_BYTES] = log_start_key(id);
        let pair = (&key[..], &before.0.to_le_bytes()[..]);
        let mark = self.put(now, std::iter::once(pair), core)?;
        self.advance_start(slot, before);
        Ok((before, mark))
    }

    /// Adds a partition.
    pub(in crate::log) fn add_partition(
        &mut self,
        spec: &PartitionSpec,
        core: &mut Core<D>,
    ) -> Slot {
        let slot = Slot(self.parts.len() as u32);
        let mut state = StripeState::default();
        if let Some(offsets) = self.orphans.remove(&spec.id) {
            state.partitions.insert(spec.id, offsets);
        }
        let mut part = start::restored(spec, &mut state);
        let live = self.segments.entries(part.id, part.log_start);
        part.bytes = live.map(|e| u64::from(e.bytes)).sum();
        core.backlog += part.backlog();
        self.parts.push(part);
        // So that neither grows later, when there is work to do.
        self.touched.reserve(self.parts.len() - self.touched.len());
        core.ready.reserve(1 + core.ready.len());
        start::list(&mut self.topics, spec.topic, slot);
        core.queue(&mut self.parts[slot.index()]);
        slot
    }

    /// See [`crate::log::storage::LogStorage::drop_partition`].
    pub(in crate::log) fn drop_partition(&mut self, slot: Slot, core: &mut Core<D>) {
        let part = &mut self.parts[slot.index()];
        part.life = Life::Deleted;
        core.update(part, |part| part.processing = Processing::None);
        part.producers = Default::default();
        core.tell(part);
        self.cleaning.look_again();
    }

    pub(in crate::log) fn set_retention(&mut self, slot: Slot, retention: TopicRetention) {
        self.parts[slot.index()].retention = retention;
    }

    /// Looks at a few partitions' own bounds. Returns the amount of work done.
    pub(in crate::log) fn clean(&mut self, now: Now) -> usize {
        if self.cleaning.next == 0 && now.mono < self.cleaning.round_at {
            return 0;
        }
        let mut work = 0;
        for _ in 0..PARTITIONS_PER_CYCLE {
            let Some(part) = self.parts.get_mut(self.cleaning.next) else {
                self.cleaning.next = 0;
                self.cleaning.round += 1;
                self.cleaning.round_at = now.mono.after(ROUND_NS);
                break;
            };
            let turn = (self.cleaning.next + self.cleaning.round) % ROUNDS_PER_EXPIRY;
            self.cleaning.next += 1;
            if part.life == Life::Deleted {
                continue;
            }
            if turn == 0 {
                part.producers.expire(now.millis());
            }
            let (to, gone) = kept_from(part, self.segments.entries(part.id, part.log_start), now);
            if to > part.log_start {
                set_start(part, to, gone);
                self.cleaning.look_again();
                work += 1;
            }
        }
        work
    }

    /// Whether no partition has anything left in a segment.
    pub(super) fn is_empty_segment<'a>(
        &self,
        mut batches: impl Iterator<Item = (&'a PartitionId, &'a Vec<IndexEntry>)>,
    ) -> bool {
        batches.all(|(id, entries)| {
            let part = self.parts.iter().find(|part| part.id == *id);
            part.is_none_or(|part| {
                let last = entries.last().map_or(Offset::ZERO, end);
                part.life == Life::Deleted || last <= part.log_start
            })
        })
    }
}

/// Where a partition starts by its own bounds, and the bytes of the batches before that.
fn kept_from<'a>(
    part: &Part,
    live: impl Iterator<Item = &'a IndexEntry>,
    now: Now,
) -> (Offset, u64) {
    let mut start = part.log_start;
    let mut gone = 0;
    let TopicRetention { ms, bytes } = part.retention;
    if ms.is_none() && bytes.is_none() {
        return (start, gone);
    }
    let oldest_kept = ms.map(|ms| now.millis().0.saturating_sub_unsigned(ms));
    let last = deletable(part);
    for entry in live.take(BATCHES_PER_CYCLE) {
        let left = part.bytes - gone - u64::from(entry.bytes);
        let is_surplus = bytes.is_some_and(|bytes| left >= bytes);
        // A negative timestamp says that there is none.
        let is_old = (0..oldest_kept.unwrap_or(0)).contains(&entry.timestamp_max.0);
        if !(is_surplus || is_old) || end(entry) > last {
            break;
        }
        start = end(entry);
        gone += u64::from(entry.bytes);
    }
    (start, gone)
}

fn set_start(part: &mut Part, to: Offset, gone: u64) {
    part.log_start = part.log_start.max(to);
    part.bytes -= gone;
    part.producers.forget_before(part.log_start);
}
