//! A handler's outputs, its state and its position as one atomic group: one frame holds all of it.
//!
//! Owns: the memory for grouping outputs by partition. Never does: allocation in steady state.
//! Runs on: the stripe's core.

use super::append::RECORD_OVERHEAD_BYTES_MAX;
use super::frame::{BatchMeta, Slot, Source};
use super::part::{List, NIL, Processing};
use super::writer::Room;
use super::{Core, Stripe};
use crate::clock::Now;
use crate::ids::{Offset, TopicId};
use crate::log::disk::Disk;
use crate::log::format::{EntryKind, entry_bytes};
use crate::storage::{CommitRefusal, OutputRecord, Outputs, positive_murmur2};
use crate::wire::batch::BATCH_HEADER_BYTES;
use crate::wire::{BatchSpec, RecordSource, write_batch};

/// What a header's lengths take in a record, at the most.
const HEADER_OVERHEAD_BYTES_MAX: usize = 10;

/// Memory that is reused from commit to commit.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Empty between commits, so that it borrows nothing.
    records: Vec<OutputRecord<'static>>,
    /// For each record the next one to the same partition.
    next: Vec<u32>,
    /// Partitions that get records.
    touched: Vec<Slot>,
}

/// The memory of an empty vector for records of another lifetime.
fn reborrow<'to>(mut records: Vec<OutputRecord<'_>>) -> Vec<OutputRecord<'to>> {
    records.clear();
    // Collecting in place keeps the allocation; there is nothing to convert.
    records
        .into_iter()
        .map(|_| unreachable!("the vector is empty"))
        .collect()
}

fn record_bytes_max(record: &OutputRecord<'_>) -> usize {
    let headers: usize = record
        .headers()
        .map(|(name, value)| HEADER_OVERHEAD_BYTES_MAX + name.len() + value.len())
        .sum();
    RECORD_OVERHEAD_BYTES_MAX + record.key.len() + record.value.len() + headers
}

fn chain<'a>(
    records: &'a [OutputRecord<'a>],
    next: &'a [u32],
    list: List,
) -> impl Iterator<Item = &'a OutputRecord<'a>> + Clone {
    let mut at = list.head;
    std::iter::from_fn(move || {
        // NIL is beyond any vector.
        let record = records.get(at as usize)?;
        at = next[at as usize];
        Some(record)
    })
}

impl<D: Disk> Stripe<D> {
    /// See [`crate::storage::Consumer::commit`].
    pub(in crate::log) fn commit(
        &mut self,
        now: Now,
        slot: Slot,
        next: Offset,
        outputs: &Outputs,
        core: &mut Core<D>,
    ) -> Result<(), CommitRefusal> {
        if self.poison.is_some() {
            return Err(CommitRefusal::Poisoned);
        }
        let mut scratch = std::mem::take(&mut self.outputs);
        let mut records = reborrow(std::mem::take(&mut scratch.records));
        records.extend(outputs.records());
        let bytes = self.group(&records, &mut scratch) + state_bytes(outputs) + entry_bytes(8);
        let result = match self.reserve(bytes, now, core) {
            Room::Full => Err(CommitRefusal::Full),
            Room::TooLarge => Err(CommitRefusal::TooLarge),
            Room::Enough if !has_valid_keys(outputs) => Err(CommitRefusal::TooLarge),
            Room::Enough => {
                self.write_outputs(now, &records, &scratch, core);
                self.write_state(outputs);
                self.write_position(slot, next, core);
                Ok(())
            }
        };
        for slot in scratch.touched.drain(..) {
            self.parts[slot.index()].outputs = List::EMPTY;
        }
        scratch.next.clear();
        scratch.records = reborrow(records);
        self.outputs = scratch;
        result
    }

    /// Puts each record in the list of its partition. Returns the bytes of all batches.
    fn group(&mut self, records: &[OutputRecord<'_>], scratch: &mut Scratch) -> usize {
        let mut bytes = 0;
        for (number, record) in (0u32..).zip(records) {
            let slot = self.destination(record.topic, record.key);
            let list = &mut self.parts[slot.index()].outputs;
            if list.is_empty() {
                list.head = number;
                scratch.touched.push(slot);
                // Padding to the next entry included.
                bytes += entry_bytes(BATCH_HEADER_BYTES) + entry_bytes(0);
            } else {
                scratch.next[list.tail as usize] = number;
            }
            list.tail = number;
            scratch.next.push(NIL);
            bytes += record_bytes_max(record);
        }
        bytes
    }

    /// The partition of a topic, among those in this stripe, to which a key's records go.
    ///
    /// # Panics
    /// The topic has no partition in this stripe; start-up sees to it that a topic that handlers
    /// send to has one in each.
    fn destination(&self, topic: TopicId, key: &[u8]) -> Slot {
        let slots = self
            .topics
            .get(topic.index())
            .map_or(&[][..], Vec::as_slice);
        assert!(
            !slots.is_empty(),
            "topic {topic} has no partition in stripe {}",
            self.id
        );
        slots[positive_murmur2(key) as usize % slots.len()]
    }

    fn write_outputs(
        &mut self,
        now: Now,
        records: &[OutputRecord<'_>],
        scratch: &Scratch,
        core: &mut Core<D>,
    ) {
        let timestamp = now.millis();
        for &slot in &scratch.touched {
            let part = &self.parts[slot.index()];
            let open = self.writer.open.as_mut().expect("room was reserved in it");
            let list = chain(records, &scratch.next, part.outputs);
            let count = list.clone().count() as u32;
            let spec = BatchSpec {
                base_offset: part.next,
                base_timestamp: timestamp,
                max_timestamp: timestamp,
            };
            let sources = list.map(|record| RecordSource {
                key: (!record.key.is_empty()).then_some(record.key),
                value: Some(record.value),
                headers: record.headers(),
                timestamp_delta: 0,
            });
            let (start, bytes) = open.push(EntryKind::Batch, part.id, 0, |out| {
                write_batch(out, &spec, sources)
            });
            let batch = BatchMeta {
                slot,
                source: Source::Outputs,
                base_offset: part.next,
                records: count,
                timestamp,
                start,
                bytes,
            };
            self.note_batch(batch, core);
        }
    }

    fn write_state(&mut self, outputs: &Outputs) {
        for (key, value) in outputs.state_changes() {
            self.write_pair(key, value);
        }
    }

    fn write_position(&mut self, slot: Slot, next: Offset, core: &mut Core<D>) {
        let part = &mut self.parts[slot.index()];
        assert!(
            part.processing == Processing::Handler && part.position <= next,
            "a position only moves forward, where records are processed"
        );
        let open = self.writer.open.as_mut().expect("room was reserved in it");
        open.push(EntryKind::Position, part.id, 0, |out| {
            out[..8].copy_from_slice(&next.0.to_le_bytes());
            8
        });
        open.meta.positions.push((slot, next));
        core.update(part, |part| part.position = next);
    }
}

fn state_bytes(outputs: &Outputs) -> usize {
    outputs
        .state_changes()
        .map(|(key, value)| entry_bytes(key.len() + value.len()))
        .sum()
}

/// Whether every state key's length fits its field.
fn has_valid_keys(outputs: &Outputs) -> bool {
    outputs
        .state_changes()
        .all(|(key, _)| key.len() <= usize::from(u16::MAX))
}
