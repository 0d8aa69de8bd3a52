//! Applies frames to a stripe's state and index, in order.
//!
//! Owns: what an entry changes. Never does: I/O. Runs on: housekeeping threads.

use crate::exactly_once::producers::{Marker, Verdict};
use crate::ids::{FrameSeq, Offset, PartitionId, UnixMillis};
use crate::log::scan::{Entry, Frame, Payload};
use crate::log::state::{IndexEntry, PartitionOffsets, SegmentIndex, StripeState, producer_batch};
use crate::wire::{BatchView, ControlKind, control_kind};

/// Whether all that came before the first frame is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// The state is complete: a partition that is not in it starts at offset 0.
    Complete,
    /// Earlier segments are gone: a partition starts where its first batch does.
    Partial,
}

/// A valid frame that contradicts the frames before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "partition {partition}: a batch starts at offset {found}, the one before it ended at {expected}"
)]
pub struct Contradiction {
    /// Which partition.
    pub partition: PartitionId,
    /// Where the batch starts.
    pub found: Offset,
    /// Where it should start.
    pub expected: Offset,
    /// Byte of the batch in its segment.
    pub position: u32,
}

/// State and index under construction.
#[derive(Debug)]
pub struct Rebuild {
    /// State after the last frame.
    pub state: StripeState,
    /// Index of the segment that the last frame lies in.
    pub index: SegmentIndex,
    history: History,
}

impl Rebuild {
    /// Goes on from a known point.
    pub const fn new(state: StripeState, index: SegmentIndex, history: History) -> Rebuild {
        Rebuild {
            state,
            index,
            history,
        }
    }

    /// Applies a frame.
    ///
    /// # Errors
    /// A batch does not follow the one before it; a part of the frame has then been applied.
    pub fn apply(&mut self, frame: &Frame<'_>) -> Result<(), Contradiction> {
        let header = &frame.header;
        if self.index.frame_first == FrameSeq(0) {
            self.index.frame_first = header.seq;
        }
        self.index.frame_last = header.seq;
        self.index.end_position = header.position + frame.bytes();
        let written_at = UnixMillis(header.sealed_at_us / 1000);
        for entry in frame.entries() {
            let partition = entry.header.partition;
            match entry.payload {
                Payload::Batch(batch) => {
                    self.apply_batch(&entry, &batch)?;
                    self.apply_producer(partition, &batch, written_at);
                }
                Payload::Position(position) => self.set_position(partition, position),
                Payload::State { key, value: [] } => {
                    self.state.values.remove(key);
                }
                Payload::State { key, value } => {
                    self.state.values.insert(key.to_vec(), value.to_vec());
                }
                Payload::Marker => {}
            }
        }
        Ok(())
    }

    fn apply_batch(
        &mut self,
        entry: &Entry<'_>,
        batch: &BatchView<'_>,
    ) -> Result<(), Contradiction> {
        let partition = entry.header.partition;
        let found = batch.base_offset();
        let offsets = self.state.partitions.entry(partition);
        let offsets = offsets.or_insert_with(|| match self.history {
            History::Complete => PartitionOffsets::default(),
            History::Partial => PartitionOffsets {
                log_start: found,
                next: found,
                position: Offset::ZERO,
            },
        });
        if found != offsets.next {
            return Err(Contradiction {
                partition,
                found,
                expected: offsets.next,
                position: entry.position,
            });
        }
        offsets.next = batch.next_offset();
        let timestamp_max = batch.max_timestamp();
        self.index.timestamp_max = self.index.timestamp_max.max(timestamp_max);
        let batches = self.index.partitions.entry(partition).or_default();
        batches.push(IndexEntry {
            base_offset: found,
            records: batch.last_offset_delta() + 1,
            position: entry.position,
            bytes: entry.header.payload_bytes,
            timestamp_max,
        });
        Ok(())
    }

    /// What a batch says of the producer that wrote it, or whose transaction it ends.
    fn apply_producer(
        &mut self,
        partition: PartitionId,
        batch: &BatchView<'_>,
        written_at: UnixMillis,
    ) {
        let at = batch.base_offset();
        if let Some(author) = producer_batch(batch) {
            let producers = self.state.producers.entry(partition).or_default();
            producers.append(&author, at, written_at);
        } else if let Some(kind) = control_kind(batch) {
            let marker = Marker {
                producer_id: batch.producer_id(),
                epoch: batch.producer_epoch(),
                verdict: match kind {
                    ControlKind::Commit => Verdict::Commit,
                    ControlKind::Abort => Verdict::Abort,
                },
                timestamp: batch.max_timestamp(),
            };
            let producers = self.state.producers.entry(partition).or_default();
            // Nobody reads yet: all of it is visible.
            producers.end(&marker, at, Offset(i64::MAX), written_at);
        }
    }

    fn set_position(&mut self, partition: PartitionId, position: Offset) {
        match self.history {
            History::Complete => {
                self.state.partitions.entry(partition).or_default().position = position;
            }
            // Without a batch of it there is nothing to say where the partition ends.
            History::Partial => {
                if let Some(offsets) = self.state.partitions.get_mut(&partition) {
                    offsets.position = position;
                }
            }
        }
    }

    /// The index of the finished segment; the next frame starts another one.
    pub fn finish_segment(&mut self) -> SegmentIndex {
        std::mem::take(&mut self.index)
    }
}
