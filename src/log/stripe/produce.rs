//! The broker's batches and markers into the open frame.
//!
//! Owns: the checks of a batch from outside. Never does: waiting; allocation for a producer that
//! is known. Runs on: the stripe's core.

use super::frame::{BatchMeta, Slot, Source};
use super::part::Life;
use super::writer::Room;
use super::{Core, Stripe};
use crate::clock::Now;
use crate::exactly_once::producers::{Marker, ProducerSummary, Sequenced, Verdict};
use crate::ids::{FrameSeq, Offset, UnixMillis};
use crate::limits::BLOCK_BYTES;
use crate::log::disk::Disk;
use crate::log::format::{EntryKind, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, entry_bytes};
use crate::log::state::producer_batch;
use crate::log::storage::{AppendError, Ends, Fate, Mark, Placed, Submission};
use crate::wire::{
    BatchError, BatchView, CONTROL_BATCH_BYTES, ControlBatch, ControlKind, assign, write_control,
};

/// The longest frame that is opened for a request's batches together.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// The one leader epoch there is: a partition never changes its leader.
const LEADER_EPOCH: i32 = 0;

/// Checks a batch as Kafka's `LogValidator` does, except that compressed records are not looked
/// at, as in Redpanda: what they hold is their consumer's affair, and nothing here reads them.
fn check_batch(bytes: &[u8]) -> Result<BatchView<'_>, BatchError> {
    let batch = BatchView::parse(bytes)?;
    let bad = |field, value| Err(BatchError::Field { field, value });
    let surplus = bytes.len() - batch.bytes().len();
    if surplus > 0 {
        return Err(BatchError::Trailing(surplus));
    }
    if batch.is_control() || batch.is_log_append_time() {
        return bad("attributes", batch.attributes().into());
    }
    if batch.record_count() != batch.last_offset_delta() + 1 {
        return bad("record_count", batch.record_count().into());
    }
    if batch.producer_id() < -1 {
        return bad("producer_id", batch.producer_id());
    }
    if batch.producer_id() == -1 {
        if batch.is_transactional() {
            return bad("producer_id", -1);
        }
    } else if batch.producer_epoch() < 0 {
        return bad("producer_epoch", batch.producer_epoch().into());
    } else if batch.base_sequence() < 0 {
        return bad("base_sequence", batch.base_sequence().into());
    }
    if batch.codec() == 0 {
        // Deltas ascend and none is beyond the last: with as many records, there is no gap.
        batch.records()?.find_map(Result::err).map_or(Ok(()), Err)?;
    }
    Ok(batch)
}

impl<D: Disk> Stripe<D> {
    /// See [`crate::log::storage::LogStorage::fate`].
    pub(in crate::log) fn fate(&self, frame: FrameSeq) -> Fate {
        if frame <= self.writer.durable {
            return Fate::Durable;
        }
        match self.failed_from {
            Some(failed) if frame >= failed => Fate::Lost,
            Some(_) | None => Fate::Underway,
        }
    }

    /// The frame that the last entry lies in.
    pub(super) fn mark_last(&self) -> Mark {
        let open = self.writer.open.as_ref();
        Mark {
            lane: self.lane,
            frame: open.map_or(self.writer.sealed, |open| open.seq),
        }
    }

    /// See [`crate::log::storage::LogStorage::ends`].
    pub(in crate::log) fn ends(&self, slot: Slot) -> Ends {
        let part = &self.parts[slot.index()];
        let visible = part.visible();
        Ends {
            start: part.log_start,
            // Records of an open transaction may have been deleted.
            stable: part.producers.stable(visible).max(part.log_start),
            visible,
            durable: part.durable,
            next: part.next,
        }
    }

    /// See [`crate::log::storage::LogStorage::producers`].
    pub(in crate::log) fn producers(&self, slot: Slot) -> impl Iterator<Item = ProducerSummary> {
        self.parts[slot.index()].producers.summaries()
    }

    /// Whether the partition takes batches, and the stripe.
    pub(super) fn check_open(&self, slot: Slot) -> Result<(), AppendError> {
        if self.poison.is_some() {
            return Err(AppendError::Poisoned);
        }
        match self.parts[slot.index()].life {
            Life::Live => Ok(()),
            Life::Deleted => Err(AppendError::Deleted),
        }
    }

    pub(super) fn make_room(
        &mut self,
        bytes: usize,
        now: Now,
        core: &mut Core<D>,
    ) -> Result<(), AppendError> {
        match self.reserve(bytes, now, core) {
            Room::Enough => Ok(()),
            Room::Full => Err(AppendError::Full),
            Room::TooLarge => Err(AppendError::TooLarge {
                bytes,
                bytes_max: self.group_bytes_max(),
            }),
        }
    }

    /// As [`Stripe::make_room`], and where that takes a new frame, one that has room for about
    /// `rest` bytes more. What is left in the segment bounds it: a smaller frame may be had where
    /// a larger one would have to wait.
    fn make_room_and_more(
        &mut self,
        bytes: usize,
        rest: usize,
        now: Now,
        core: &mut Core<D>,
    ) -> Result<(), AppendError> {
        let open = self.writer.open.as_ref();
        if rest > 0 && open.is_none_or(|open| open.room() < bytes) {
            // Headers of entries take up to an eighth of small batches. A buffer that is filled to
            // seven eighths serves again.
            let all = (bytes + rest + rest / 8).min(GROUP_BYTES_MAX);
            let all = all.min(self.left_in_segment()).max(bytes);
            if self.reserve(all, now, core) == Room::Enough {
                return Ok(());
            }
        }
        self.make_room(bytes, now, core)
    }

    /// Bytes of entries that one more frame could take in the segment that is written.
    fn left_in_segment(&self) -> usize {
        let segment_bytes = self.options.segment_bytes as usize;
        let end = match (&self.writer.open, self.segments.list.back()) {
            (Some(open), _) => open.position as usize + open.bytes().len(),
            (None, Some(active)) => active.index.end_position as usize,
            (None, None) => 0,
        };
        let header = FRAME_HEADER_BYTES + BLOCK_BYTES;
        segment_bytes.saturating_sub(end.max(SEGMENT_HEADER_BYTES) + header)
    }

    /// See [`crate::log::storage::LogStorage::append_batch_of`].
    pub(in crate::log) fn append_produced(
        &mut self,
        now: Now,
        slot: Slot,
        (bytes, rest): (&[u8], usize),
        core: &mut Core<D>,
    ) -> Result<Placed, AppendError> {
        self.check_open(slot)?;
        let batch = check_batch(bytes)?;
        let records = batch.record_count();
        let part = &self.parts[slot.index()];
        let author = producer_batch(&batch);
        if let Some(author) = &author {
            match part.producers.check(author)? {
                Sequenced::New => {}
                Sequenced::Duplicate { base_offset } => {
                    return Ok(Placed {
                        base_offset,
                        next_offset: base_offset.plus(records),
                        log_start: part.log_start,
                        mark: self.mark_last(),
                        first: Submission::Duplicate,
                    });
                }
            }
        }
        self.make_room_and_more(entry_bytes(bytes.len()), rest, now, core)?;
        let timestamp = batch.max_timestamp();
        let placed = self.place(slot, records, timestamp, core, |out, base_offset| {
            let out = &mut out[..bytes.len()];
            out.copy_from_slice(bytes);
            assign(out, base_offset, LEADER_EPOCH);
            bytes.len()
        });
        if let Some(author) = &author {
            let producers = &mut self.parts[slot.index()].producers;
            producers.append(author, placed.base_offset, now.millis());
        }
        Ok(placed)
    }

    /// See [`crate::log::storage::LogStorage::append_marker`].
    pub(in crate::log) fn append_marker(
        &mut self,
        now: Now,
        slot: Slot,
        (producer_id, epoch): (i64, i16),
        verdict: Verdict,
        core: &mut Core<D>,
    ) -> Result<Placed, AppendError> {
        self.check_open(slot)?;
        let producers = &self.parts[slot.index()].producers;
        producers.check_marker(producer_id, epoch)?;
        self.make_room(entry_bytes(CONTROL_BATCH_BYTES), now, core)?;
        let timestamp = now.millis();
        let kind = match verdict {
            Verdict::Commit => ControlKind::Commit,
            Verdict::Abort => ControlKind::Abort,
        };
        let placed = self.place(slot, 1, timestamp, core, |out, base_offset| {
            let batch = ControlBatch {
                base_offset,
                timestamp,
                producer_id,
                producer_epoch: epoch,
                kind,
            };
            write_control(out, &batch)
        });
        let marker = Marker {
            producer_id,
            epoch,
            verdict,
            timestamp,
        };
        let part = &mut self.parts[slot.index()];
        let visible = part.visible();
        part.producers
            .end(&marker, placed.base_offset, visible, timestamp);
        Ok(placed)
    }

    /// Puts a batch into the open frame, in which room was made for it.
    fn place(
        &mut self,
        slot: Slot,
        records: u32,
        timestamp: UnixMillis,
        core: &mut Core<D>,
        fill: impl FnOnce(&mut [u8], Offset) -> usize,
    ) -> Placed {
        let part = &self.parts[slot.index()];
        let (base_offset, log_start) = (part.next, part.log_start);
        let open = self.writer.open.as_mut().expect("room was reserved in it");
        let mark = Mark {
            lane: self.lane,
            frame: open.seq,
        };
        let (start, bytes) = open.push(EntryKind::Batch, part.id, 0, |out| fill(out, base_offset));
        let batch = BatchMeta {
            slot,
            source: Source::Broker,
            base_offset,
            records,
            timestamp,
            start,
            bytes,
        };
        self.note_batch(batch, core);
        Placed {
            base_offset,
            next_offset: base_offset.plus(records),
            log_start,
            mark,
            first: Submission::New,
        }
    }
}
