//! Search by time.
//!
//! Owns: which record answers. Never does: waiting; looking into compressed batches, of which the
//! first record stands for all. Runs on: the stripe's core.

use super::fetch::{Effort, Got};
use super::frame::Slot;
use super::{Core, Stripe};
use crate::ids::{Offset, UnixMillis};
use crate::log::disk::Disk;
use crate::log::state::IndexEntry;
use crate::log::storage::{ReadBatchesError, TimeLookup};
use crate::wire::{BatchError, BatchView};

/// The first record from `start` on with a timestamp at or after `at`.
fn first_at(
    batch: BatchView<'_>,
    start: Offset,
    at: UnixMillis,
) -> Result<Option<(Offset, UnixMillis)>, BatchError> {
    if batch.codec() != 0 {
        // The least that is certain: no record before this one has that timestamp.
        let timestamp = if batch.base_timestamp() >= at {
            batch.base_timestamp()
        } else {
            batch.max_timestamp()
        };
        return Ok(Some((batch.base_offset().max(start), timestamp)));
    }
    for record in batch.records()? {
        let record = record?;
        if record.offset >= start && record.timestamp >= at {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}

impl<D: Disk> Stripe<D> {
    /// See [`crate::log::storage::LogStorage::offset_for_time`].
    pub(in crate::log) fn offset_for_time(
        &mut self,
        slot: Slot,
        at: UnixMillis,
        core: &mut Core<D>,
    ) -> Result<TimeLookup, ReadBatchesError> {
        self.check_readable(slot)?;
        let mut from = self.parts[slot.index()].log_start;
        loop {
            let late = self
                .batches_from(slot, from)
                .find(|e| e.timestamp_max >= at);
            let Some(entry) = late.copied() else {
                return Ok(TimeLookup::None);
            };
            let start = from.max(entry.base_offset);
            let found = self.with_batch(slot, start, Effort::Wait, usize::MAX, core, |batch| {
                first_at(batch, start, at)
            })?;
            match found {
                Got::Waits | Got::TooLong => return Ok(TimeLookup::Pending),
                Got::Batch(Ok(Some((offset, timestamp)))) => {
                    return Ok(TimeLookup::Found { offset, timestamp });
                }
                // Its newest record was deleted, or its header promises too much.
                Got::Batch(Ok(None)) => from = entry.base_offset.plus(entry.records),
                Got::Batch(Err(error)) => {
                    return Err(crate::storage::ReadError::Corrupt(format!(
                        "partition {}, batch at offset {}: {error}",
                        self.parts[slot.index()].id,
                        entry.base_offset
                    ))
                    .into());
                }
            }
        }
    }

    /// See [`crate::log::storage::LogStorage::offset_of_max_timestamp`].
    pub(in crate::log) fn offset_of_max_timestamp(
        &mut self,
        slot: Slot,
        core: &mut Core<D>,
    ) -> Result<TimeLookup, ReadBatchesError> {
        self.check_readable(slot)?;
        let from = self.parts[slot.index()].log_start;
        let newest = self.batches_from(slot, from).map(|e| e.timestamp_max).max();
        match newest {
            Some(at) => self.offset_for_time(slot, at, core),
            None => Ok(TimeLookup::None),
        }
    }

    /// The visible batches of a partition that end after `from`, in order.
    fn batches_from(&self, slot: Slot, from: Offset) -> impl Iterator<Item = &IndexEntry> {
        let part = &self.parts[slot.index()];
        let visible = part.visible();
        self.segments
            .entries(part.id, from)
            .take_while(move |entry| entry.base_offset < visible)
    }
}
