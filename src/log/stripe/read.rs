//! Records for readers: from memory where they still are, else from the device.
//!
//! Owns: how a position becomes bytes. Never does: waiting, copying a record (a batch that lies
//! across chunks is put together once). Runs on: the stripe's core.

use super::chunks::{CHUNK_BYTES, Demand, Range};
use super::frame::{BatchMeta, FrameMeta, Offered, Slot, Source};
use super::part::{Checked, Cursor, TailRef};
use super::{Core, Stripe};
use crate::clock::Now;
use crate::ids::{FrameSeq, Nanos, Offset, PartitionId, SegmentSeq};
use crate::log::disk::Disk;
use crate::log::format::{ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FormatError, entry_checksum};
use crate::log::state::IndexEntry;
use crate::storage::{ReadError, ReadOutcome, Record, Visit};
use crate::telemetry::TRACE_HEADER;
use crate::wire::{BatchError, BatchView};

/// Chunks that are fetched ahead of a reader.
const READ_AHEAD_CHUNKS: usize = 4;

/// How long chunks stay in memory after the last read.
const CHUNKS_IDLE_NS: u64 = 1_000_000_000;

/// What this process knows of a batch's records besides what is stored.
#[derive(Clone, Copy, Debug)]
struct Stamps<'a> {
    /// By record; empty where they were not offered to this process.
    offered: &'a [Offered],
    visible: Option<Nanos>,
}

/// A stored batch and where it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    pub(super) cursor: Cursor,
    pub(super) entry: IndexEntry,
}

/// Why stored bytes are not the batch that should be there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("{0}")]
    Format(#[from] FormatError),
    #[error("{0}")]
    Batch(#[from] BatchError),
    #[error("the entry here is not the batch that the index names")]
    Misplaced,
}

/// The batch in a stored entry, all of which is checked.
pub(super) fn checked_batch(
    entry: &[u8],
    partition: PartitionId,
    batch_bytes: u32,
) -> Result<BatchView<'_>, Damage> {
    let header = EntryHeader::decode(entry)?;
    let payload = &entry[ENTRY_HEADER_BYTES..];
    if header.kind != EntryKind::Batch
        || header.partition != partition
        || header.payload_bytes != batch_bytes
    {
        return Err(Damage::Misplaced);
    }
    if header.checksum != entry_checksum(&header, payload) {
        return Err(FormatError::Checksum("the entry").into());
    }
    Ok(BatchView::parse(payload)?)
}

/// Visits the records of a batch from offset `from` on. Returns the offset after the last one
/// that was visited.
fn visit_batch(
    batch: BatchView<'_>,
    from: Offset,
    stamps: Stamps<'_>,
    visit: &mut impl FnMut(Record<'_>) -> Visit,
) -> Result<Offset, BatchError> {
    // What ends a Kafka transaction is no record of anybody's.
    if batch.is_control() {
        return Ok(batch.next_offset());
    }
    let base = batch.base_offset();
    for record in batch.records()? {
        let record = record?;
        if record.offset < from {
            continue;
        }
        let offered = stamps.offered.get((record.offset.0 - base.0) as usize);
        let outcome = visit(Record {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.unwrap_or_default(),
            value: record.value.unwrap_or_default(),
            trace: record.headers.value(TRACE_HEADER),
            taken: offered.map(|it| it.taken),
            seat: offered.map(|it| it.seat),
            visible: stamps.visible,
        });
        if outcome == Visit::Stop {
            return Ok(record.offset.plus(1));
        }
    }
    Ok(batch.next_offset())
}

impl<D: Disk> Stripe<D> {
    /// Records of a partition that are visible and not yet processed.
    pub(in crate::log) fn lag(&self, slot: Slot) -> u64 {
        self.parts[slot.index()].backlog()
    }

    /// Reads from any offset; see [`crate::storage::Consumer::read`].
    pub(in crate::log) fn read(
        &mut self,
        slot: Slot,
        from: Offset,
        core: &mut Core<D>,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<ReadOutcome, ReadError> {
        let part = &self.parts[slot.index()];
        if from >= part.visible() {
            return Ok(ReadOutcome::Empty);
        }
        if part.in_memory(from).is_none() {
            return self.read_device(slot, from, core, visit);
        }
        let (mut next, mut wanted) = (from, Visit::Continue);
        while wanted == Visit::Continue
            && next < part.visible()
            && let Some(at) = part.in_memory(next)
        {
            let read = self.read_memory(at, next, &mut |record| {
                wanted = visit(record);
                wanted
            });
            match read {
                Ok(after) => next = after,
                // What was visited counts; the damage is met again at the start of the next read.
                Err(_) if next > from => break,
                Err(error) => return Err(error),
            }
        }
        Ok(ReadOutcome::Records(next))
    }

    /// The bytes of a frame in memory, what is kept beside them, and when it became durable.
    pub(super) fn frame_in_memory(&self, seq: FrameSeq) -> (&[u8], &FrameMeta, Option<Nanos>) {
        let open = self.writer.open.as_ref();
        if let Some(open) = open.filter(|open| open.seq == seq) {
            return (open.bytes(), &open.meta, None);
        }
        let frame = self.tail.get(seq).expect("its batches are still listed");
        let durable = seq <= self.writer.durable;
        let visible = durable.then_some(frame.durable_at);
        ((*frame.buffer).as_ref(), &frame.meta, visible)
    }

    fn read_memory(
        &self,
        at: TailRef,
        from: Offset,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<Offset, ReadError> {
        let (bytes, meta, visible) = self.frame_in_memory(at.frame);
        let batch: &BatchMeta = &meta.batches[at.batch as usize];
        let offered = match batch.source {
            Source::Offers(first) => {
                &meta.offered[first as usize..(first + batch.records) as usize]
            }
            Source::Outputs | Source::Broker => &[],
        };
        let bytes = &bytes[batch.start as usize..(batch.start + batch.bytes) as usize];
        let stamps = Stamps { offered, visible };
        BatchView::parse_trusted(bytes)
            .and_then(|view| visit_batch(view, from, stamps, visit))
            .map_err(|error| {
                let partition = self.parts[batch.slot.index()].id;
                ReadError::Corrupt(format!(
                    "stripe {} partition {partition}, batch at offset {} in memory: {error}",
                    self.id, batch.base_offset
                ))
            })
    }

    fn read_device(
        &mut self,
        slot: Slot,
        from: Offset,
        core: &mut Core<D>,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<ReadOutcome, ReadError> {
        let Some(found) = self.locate(slot, from, self.parts[slot.index()].cursor) else {
            let partition = self.parts[slot.index()].id;
            return Err(ReadError::Corrupt(format!(
                "stripe {}: no segment holds offset {from} of partition {partition}",
                self.id
            )));
        };
        let segment = found.cursor.segment;
        let range = self.range_of(&found);
        let moved = self.parts[slot.index()]
            .cursor
            .is_none_or(|c| c.segment != segment || c.entry != found.cursor.entry);
        self.parts[slot.index()].cursor = Some(found.cursor);
        let demand = self.chunks.demand(range, slot);
        if moved || demand == Demand::Waits {
            self.read_ahead(slot, &found, range);
            self.start_reads(segment, core);
        }
        match demand {
            Demand::Ready => {}
            Demand::Waits => {
                self.parts[slot.index()].waiting = true;
                return Ok(ReadOutcome::Pending);
            }
            Demand::Failed(error) => {
                self.wake_starved(core);
                return Err(self.read_failed(segment, range, &error));
            }
        }
        let result = self.visit_stored(slot, &found, range, from, visit);
        self.wake_starved(core);
        result
            .map(ReadOutcome::Records)
            .map_err(|damage| self.damaged(segment, range, &damage))
    }

    fn visit_stored(
        &mut self,
        slot: Slot,
        found: &Located,
        range: Range,
        from: Offset,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<Offset, Damage> {
        let partition = self.parts[slot.index()].id;
        let bytes = self.chunks.bytes(range);
        let batch = match found.cursor.checked {
            Checked::Yes => BatchView::parse_trusted(&bytes[ENTRY_HEADER_BYTES..])?,
            Checked::No => checked_batch(bytes, partition, found.entry.bytes)?,
        };
        let stamps = Stamps {
            offered: &[],
            visible: None,
        };
        let next = visit_batch(batch, from, stamps, visit)?;
        self.parts[slot.index()].cursor = Some(Cursor {
            checked: Checked::Yes,
            ..found.cursor
        });
        Ok(next)
    }

    /// Finds the stored batch that holds an offset: where the last read ended, or one further,
    /// else by search.
    pub(super) fn locate(
        &self,
        slot: Slot,
        from: Offset,
        cursor: Option<Cursor>,
    ) -> Option<Located> {
        let part = &self.parts[slot.index()];
        let holds = |e: &IndexEntry| e.base_offset <= from && from < e.base_offset.plus(e.records);
        if let Some(cursor) = cursor
            && let Some(segment) = self.segments.get(cursor.segment)
            && let Some(entries) = segment.index.partitions.get(&part.id)
        {
            if let Some(&entry) = entries.get(cursor.entry).filter(|e| holds(e)) {
                return Some(Located { cursor, entry });
            }
            if let Some(&entry) = entries.get(cursor.entry + 1).filter(|e| holds(e)) {
                let cursor = Cursor {
                    entry: cursor.entry + 1,
                    checked: Checked::No,
                    ..cursor
                };
                return Some(Located { cursor, entry });
            }
        }
        self.segments.iter().find_map(|segment| {
            let entries = segment.index.partitions.get(&part.id)?;
            let number = entries
                .partition_point(|e| e.base_offset <= from)
                .checked_sub(1)?;
            let &entry = entries.get(number).filter(|e| holds(e))?;
            let cursor = Cursor {
                segment: segment.seq,
                entry: number,
                checked: Checked::No,
            };
            Some(Located { cursor, entry })
        })
    }

    /// The bytes of a stored batch's entry.
    pub(super) fn range_of(&self, found: &Located) -> Range {
        Range {
            segment: found.cursor.segment,
            start: found.entry.position - ENTRY_HEADER_BYTES as u32,
            end: found.entry.position + found.entry.bytes,
            limit: self.durable_end(found.cursor.segment),
        }
    }

    /// Byte of a segment up to which its frames are durable.
    fn durable_end(&self, segment: SegmentSeq) -> u32 {
        match self.tail.get(FrameSeq(self.writer.durable.0 + 1)) {
            Some(frame) if frame.segment == segment => frame.position,
            Some(_) | None => self
                .segments
                .get(segment)
                .map_or(0, |s| s.index.end_position),
        }
    }

    /// Asks for the chunks in which the partition's next batches lie.
    pub(super) fn read_ahead(&mut self, slot: Slot, found: &Located, range: Range) {
        let id = self.parts[slot.index()].id;
        let Some(segment) = self.segments.get(found.cursor.segment) else {
            return;
        };
        let Some(entries) = segment.index.partitions.get(&id) else {
            return;
        };
        let mut rest = &entries[found.cursor.entry..];
        let mut chunk_end = (range.end - 1) / CHUNK_BYTES * CHUNK_BYTES + CHUNK_BYTES;
        for _ in 0..READ_AHEAD_CHUNKS {
            let within = rest.partition_point(|e| e.position < chunk_end);
            rest = &rest[within..];
            let Some(next) = rest.first().filter(|e| e.position < range.limit) else {
                return;
            };
            self.chunks
                .fetch_ahead(range.segment, next.position, range.limit);
            chunk_end = next.position / CHUNK_BYTES * CHUNK_BYTES + CHUNK_BYTES;
        }
    }

    /// Starts the reads that were asked for in a segment, once its file is open.
    pub(super) fn start_reads(&mut self, seq: SegmentSeq, core: &mut Core<D>) {
        if !self.chunks.has_queued(seq) {
            return;
        }
        let Some(file) = self.segments.file_for_read(seq, self.id, self.lane, core) else {
            return;
        };
        let mut reads = 0;
        let lane = self.lane;
        self.chunks.start(seq, |fetch| {
            reads += 1;
            core.disk
                .read(file, fetch.position, fetch.bytes, fetch.tag(lane));
        });
        if let Some(segment) = self.segments.get_mut(seq) {
            segment.reads += reads;
        }
    }

    /// Takes what the device has read.
    pub(in crate::log) fn on_read(
        &mut self,
        seq: SegmentSeq,
        position: u32,
        result: Result<D::Chunk, String>,
        core: &mut Core<D>,
    ) {
        if let Some(segment) = self.segments.get_mut(seq) {
            segment.reads -= 1;
        }
        let Stripe { chunks, parts, .. } = self;
        chunks.loaded(seq, position, result, |slot| {
            wake(&mut parts[slot.index()], core);
        });
        self.wake_starved(core);
    }

    /// Lets readers that found no place for their chunks try again, as many as there are places.
    pub(super) fn wake_starved(&mut self, core: &mut Core<D>) {
        let mut woken = 0;
        while let Some(slot) = self.chunks.next_starved(woken) {
            wake(&mut self.parts[slot.index()], core);
            woken += 1;
        }
    }

    /// A file could not be opened for reading: whoever waits for it is told.
    pub(super) fn on_read_refused(&mut self, seq: SegmentSeq, error: &str, core: &mut Core<D>) {
        let Stripe { chunks, parts, .. } = self;
        chunks.refuse(seq, error, |slot| {
            wake(&mut parts[slot.index()], core);
        });
    }

    /// Bytes that were read back and are kept.
    pub(in crate::log) fn chunk_bytes(&self) -> usize {
        self.chunks.held_bytes()
    }

    /// Gives back memory that readers no longer use.
    pub(in crate::log) fn expire_chunks(&mut self, now: Now, core: &mut Core<D>) {
        if self.chunks.expire(now.mono, CHUNKS_IDLE_NS) {
            self.wake_starved(core);
        }
    }
}

fn wake<D>(part: &mut super::part::Part, core: &mut Core<D>) {
    part.waiting = false;
    core.queue(part);
    core.tell(part);
}
