//! Whole batches for the broker's consumers, from memory where they still are, else from the
//! device.
//!
//! Owns: how many batches a read gives. Never does: waiting; looking at the records. Runs on: the
//! stripe's core.

use super::chunks::{Demand, Range};
use super::frame::Slot;
use super::part::{Life, TailRef, Watch};
use super::read::{Damage, checked_batch};
use super::{Core, Stripe};
use crate::ids::{Offset, SegmentSeq};
use crate::log::disk::Disk;
use crate::log::storage::{AtLeastOne, BatchesRead, ReadBatchesError, ReadBounds, ReadEnd};
use crate::storage::ReadError;
use crate::wire::BatchView;

/// What may be done to get a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// Wait for the device.
    Wait,
    /// Only look where it is at hand; ask for it ahead of need where it is not.
    AtHand,
}

/// Whether there was a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got<R> {
    /// There was.
    Batch(R),
    /// It is on its way.
    Waits,
    /// It is longer than what was allowed.
    TooLong,
}

impl<D: Disk> Stripe<D> {
    /// See [`crate::log::storage::LogStorage::watch`].
    pub(in crate::log) fn watch(&mut self, slot: Slot, core: &mut Core<D>) {
        let part = &mut self.parts[slot.index()];
        part.watch = Watch::On;
        match part.life {
            Life::Live => {}
            Life::Deleted => core.tell(part),
        }
    }

    /// See [`crate::log::storage::LogStorage::aborted`].
    pub(in crate::log) fn aborted(
        &self,
        slot: Slot,
        from: Offset,
        to: Offset,
        visit: &mut dyn FnMut(i64, Offset),
    ) {
        self.parts[slot.index()].producers.aborted(from, to, visit);
    }

    /// See [`crate::log::storage::LogStorage::read_batches`].
    pub(in crate::log) fn read_batches(
        &mut self,
        slot: Slot,
        from: Offset,
        bounds: ReadBounds,
        core: &mut Core<D>,
        out: &mut Vec<u8>,
    ) -> Result<BatchesRead, ReadBatchesError> {
        self.check_readable(slot)?;
        let ends = self.ends(slot);
        if from < ends.start || from > ends.next {
            return Err(ReadBatchesError::OutOfRange {
                offset: from,
                start: ends.start,
                next: ends.next,
            });
        }
        let end = match bounds.end {
            ReadEnd::Visible => ends.visible,
            ReadEnd::Stable => ends.stable,
        };
        if from >= end {
            return Ok(BatchesRead::Empty);
        }
        let mut next = from;
        let mut left = bounds.bytes_max;
        // Batches end where what may be read does, so none reaches beyond it.
        while next < end {
            let is_first = next == from;
            let (effort, longest) = match (is_first, bounds.at_least_one) {
                (true, AtLeastOne::Yes) => (Effort::Wait, usize::MAX),
                (true, AtLeastOne::No) => (Effort::Wait, left),
                (false, AtLeastOne::Yes | AtLeastOne::No) => (Effort::AtHand, left),
            };
            let got = self.with_batch(slot, next, effort, longest, core, |batch| {
                out.extend_from_slice(batch.bytes());
                (batch.next_offset(), batch.bytes().len())
            });
            match got {
                Ok(Got::Batch((after, bytes))) => {
                    next = after;
                    left = left.saturating_sub(bytes);
                }
                Ok(Got::Waits) if is_first => return Ok(BatchesRead::Pending),
                // Damage further on is told to whoever asks for what lies there.
                Err(error) if is_first => return Err(error.into()),
                Ok(Got::Waits | Got::TooLong) | Err(_) => break,
            }
        }
        Ok(BatchesRead::Batches { next })
    }

    pub(super) fn check_readable(&self, slot: Slot) -> Result<(), ReadBatchesError> {
        match self.parts[slot.index()].life {
            Life::Live => Ok(()),
            Life::Deleted => Err(ReadBatchesError::Deleted),
        }
    }

    /// Gives the batch that holds a visible offset to `visit`.
    pub(super) fn with_batch<R>(
        &mut self,
        slot: Slot,
        at: Offset,
        effort: Effort,
        longest: usize,
        core: &mut Core<D>,
        visit: impl FnOnce(BatchView<'_>) -> R,
    ) -> Result<Got<R>, ReadError> {
        match self.parts[slot.index()].in_memory(at) {
            Some(place) => self.with_memory(slot, place, longest, visit),
            None => self.with_stored(slot, at, effort, longest, core, visit),
        }
    }

    fn with_memory<R>(
        &self,
        slot: Slot,
        place: TailRef,
        longest: usize,
        visit: impl FnOnce(BatchView<'_>) -> R,
    ) -> Result<Got<R>, ReadError> {
        let (frame, meta, _) = self.frame_in_memory(place.frame);
        let batch = &meta.batches[place.batch as usize];
        if batch.bytes as usize > longest {
            return Ok(Got::TooLong);
        }
        let bytes = &frame[batch.start as usize..(batch.start + batch.bytes) as usize];
        let view = BatchView::parse_trusted(bytes).map_err(|error| {
            let partition = self.parts[slot.index()].id;
            ReadError::Corrupt(format!(
                "stripe {} partition {partition}, batch at offset {} in memory: {error}",
                self.id, place.base_offset
            ))
        })?;
        Ok(Got::Batch(visit(view)))
    }

    fn with_stored<R>(
        &mut self,
        slot: Slot,
        at: Offset,
        effort: Effort,
        longest: usize,
        core: &mut Core<D>,
        visit: impl FnOnce(BatchView<'_>) -> R,
    ) -> Result<Got<R>, ReadError> {
        let part = &self.parts[slot.index()];
        let partition = part.id;
        let Some(found) = self.locate(slot, at, part.batches_cursor) else {
            return Err(ReadError::Corrupt(format!(
                "stripe {}: no segment holds offset {at} of partition {partition}",
                self.id
            )));
        };
        if found.entry.bytes as usize > longest {
            return Ok(Got::TooLong);
        }
        let segment = found.cursor.segment;
        let range = self.range_of(&found);
        if effort == Effort::AtHand && !self.chunks.holds(range) {
            self.read_ahead(slot, &found, range);
            self.chunks.fetch_ahead(segment, range.start, range.limit);
            self.start_reads(segment, core);
            return Ok(Got::Waits);
        }
        match self.chunks.demand(range, slot) {
            Demand::Ready => {}
            Demand::Waits => {
                self.read_ahead(slot, &found, range);
                self.start_reads(segment, core);
                return Ok(Got::Waits);
            }
            Demand::Failed(error) => {
                self.wake_starved(core);
                return Err(self.read_failed(segment, range, &error));
            }
        }
        let bytes = self.chunks.bytes(range);
        let result = checked_batch(bytes, partition, found.entry.bytes).map(visit);
        self.parts[slot.index()].batches_cursor = Some(found.cursor);
        self.wake_starved(core);
        result
            .map(Got::Batch)
            .map_err(|damage| self.damaged(segment, range, &damage))
    }

    pub(super) fn read_failed(&self, segment: SegmentSeq, range: Range, error: &str) -> ReadError {
        ReadError::Io(format!(
            "stripe {}, reading byte {} of segment {segment} failed: {error}",
            self.id, range.start
        ))
    }

    pub(super) fn damaged(&self, segment: SegmentSeq, range: Range, damage: &Damage) -> ReadError {
        ReadError::Corrupt(format!(
            "stripe {}, segment {segment}, byte {}: {damage}",
            self.id, range.start
        ))
    }
}
