//! Offers become batches in the open frame, one batch per partition and flush.
//!
//! Owns: the offers between two flushes. Never does: allocation per record. Runs on: the
//! stripe's core.

use super::frame::{BatchMeta, Offered, Slot, Source};
use super::part::{List, NIL, TailRef};
use super::writer::Room;
use super::{Core, Stripe};
use crate::clock::Now;
use crate::log::disk::Disk;
use crate::log::format::{EntryKind, entry_bytes};
use crate::storage::{Ack, Offer, Refusal, StorageEvent};
use crate::telemetry::{TRACE_HEADER, TRACEPARENT_BYTES};
use crate::wire::batch::BATCH_HEADER_BYTES;
use crate::wire::{BatchSpec, RecordSource, write_batch};

/// The most that a record without headers adds to its key and value: its length (5), attributes
/// (1), timestamp delta 0 (1), offset delta (5), the lengths of key and value (5 each) and the
/// count of no headers (1).
pub(super) const RECORD_OVERHEAD_BYTES_MAX: usize = 23;

/// Records of one batch. A reader that stops within a batch skips over what it has seen when it
/// comes back, so that this bounds the skipping.
const BATCH_RECORDS_MAX: u32 = 1024;

/// Offers that are not yet appended, in a list for each partition.
#[derive(Debug)]
pub(super) struct Pending {
    offers: Vec<Link>,
    offers_max: usize,
    /// Whether any of them is traced: batches without headers are written with less work.
    traced: bool,
}

#[derive(Debug)]
struct Link {
    offer: Offer,
    next: u32,
}

impl Pending {
    pub(super) fn new(offers_max: usize) -> Pending {
        Pending {
            offers: Vec::with_capacity(offers_max),
            offers_max,
            traced: false,
        }
    }

    fn clear(&mut self) {
        self.offers.clear();
        self.traced = false;
    }

    /// The offers of a list, in order.
    fn iter(&self, list: List) -> impl Iterator<Item = &Offer> {
        let mut next = list.head;
        std::iter::from_fn(move || {
            // NIL is beyond any vector.
            let link = self.offers.get(next as usize)?;
            next = link.next;
            Some(&link.offer)
        })
    }
}

/// What the header of a traced record takes at the most: its text, two lengths of one byte, and
/// none for the count, which [`RECORD_OVERHEAD_BYTES_MAX`] has.
const TRACE_BYTES_MAX: usize = 2 + TRACE_HEADER.len() + TRACEPARENT_BYTES;

fn record_bytes_max(offer: &Offer) -> usize {
    let trace = match offer.trace {
        None => 0,
        Some(_) => TRACE_BYTES_MAX,
    };
    RECORD_OVERHEAD_BYTES_MAX + offer.key_len as usize + offer.value.len() + trace
}

fn source(offer: &Offer) -> RecordSource<'_> {
    let key = offer.key_start as usize..(offer.key_start + offer.key_len) as usize;
    RecordSource::new(Some(&offer.value[key]), Some(&offer.value))
}

/// As [`source`], with the header of those that are traced.
fn traced_source(offer: &Offer) -> RecordSource<'_, impl Iterator<Item = (&str, &[u8])> + Clone> {
    let trace = offer.trace.as_deref();
    let RecordSource {
        key,
        value,
        timestamp_delta,
        ..
    } = source(offer);
    RecordSource {
        key,
        value,
        headers: trace
            .map(|trace| (TRACE_HEADER, trace.as_bytes()))
            .into_iter(),
        timestamp_delta,
    }
}

impl<D: Disk> Stripe<D> {
    /// Takes a record for the next flush.
    #[allow(clippy::result_large_err)] // As in the trait: the offer is moved back.
    pub(in crate::log) fn offer(
        &mut self,
        slot: Slot,
        offer: Offer,
    ) -> Result<(), (Offer, Refusal)> {
        debug_assert!((offer.key_start + offer.key_len) as usize <= offer.value.len());
        if self.poison.is_some() {
            return Err((offer, Refusal::Poisoned));
        }
        let bytes = entry_bytes(BATCH_HEADER_BYTES + record_bytes_max(&offer));
        if bytes > self.group_bytes_max() {
            return Err((offer, Refusal::TooLarge));
        }
        let index = self.pending.offers.len();
        if index >= self.pending.offers_max || self.segments.is_blocked() {
            return Err((offer, Refusal::Full));
        }
        self.pending.traced |= offer.trace.is_some();
        self.pending.offers.push(Link { offer, next: NIL });
        let list = &mut self.parts[slot.index()].offers;
        if list.is_empty() {
            list.head = index as u32;
            self.touched.push(slot);
        } else {
            self.pending.offers[list.tail as usize].next = index as u32;
        }
        list.tail = index as u32;
        Ok(())
    }

    pub(super) fn has_offers(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Appends what was offered, as far as there is room. Returns the number of records.
    pub(in crate::log) fn append_offers(
        &mut self,
        now: Now,
        core: &mut Core<D>,
        on: &mut impl FnMut(StorageEvent),
    ) -> usize {
        if self.poison.is_some() {
            return 0;
        }
        let mut appended = 0;
        let mut done = 0;
        'partitions: while let Some(&slot) = self.touched.get(done) {
            while !self.parts[slot.index()].offers.is_empty() {
                let records = self.append_batch(slot, now, core, on);
                if records == 0 {
                    break 'partitions;
                }
                appended += records as usize;
            }
            done += 1;
        }
        self.touched.drain(..done);
        if self.touched.is_empty() {
            self.pending.clear();
        }
        appended
    }

    /// Appends one batch of a partition's offers. Returns its records; 0 where there is no room.
    fn append_batch(
        &mut self,
        slot: Slot,
        now: Now,
        core: &mut Core<D>,
        on: &mut impl FnMut(StorageEvent),
    ) -> u32 {
        let list = self.parts[slot.index()].offers;
        let first = &self.pending.offers[list.head as usize].offer;
        let bytes_min = entry_bytes(BATCH_HEADER_BYTES + record_bytes_max(first));
        if self.reserve(bytes_min, now, core) != Room::Enough {
            return 0;
        }
        let open = self.writer.open.as_mut().expect("room was reserved in it");
        let part = &mut self.parts[slot.index()];
        let room = open.room();
        let offered_start = open.meta.offered.len() as u32;
        let timestamp = now.millis();
        let mut bytes = BATCH_HEADER_BYTES;
        let mut records = 0;
        let mut rest = list.head;
        while let Some(Link { offer, next }) = self.pending.offers.get(rest as usize) {
            bytes += record_bytes_max(offer);
            if entry_bytes(bytes) > room || records == BATCH_RECORDS_MAX {
                break;
            }
            rest = *next;
            open.meta.offered.push(Offered {
                taken: offer.taken,
                token: offer.token,
                seat: offer.seat,
            });
            on(StorageEvent::Appended(Ack {
                token: offer.token,
                offset: part.next.plus(records),
                timestamp,
            }));
            records += 1;
        }
        let spec = BatchSpec {
            base_offset: part.next,
            base_timestamp: timestamp,
            max_timestamp: timestamp,
        };
        let offers = self.pending.iter(list).take(records as usize);
        let traced = self.pending.traced;
        let (start, bytes) = open.push(EntryKind::Batch, part.id, 0, |out| match traced {
            false => write_batch(out, &spec, offers.map(source)),
            true => write_batch(out, &spec, offers.map(traced_source)),
        });
        part.offers.head = rest;
        let batch = BatchMeta {
            slot,
            source: Source::Offers(offered_start),
            base_offset: part.next,
            records,
            timestamp,
            start,
            bytes,
        };
        self.note_batch(batch, core);
        records
    }

    /// Enters a batch that was just written to the open frame everywhere it is looked up.
    pub(super) fn note_batch(&mut self, batch: BatchMeta, core: &mut Core<D>) {
        let open = self.writer.open.as_mut().expect("the batch lies in it");
        let number = open.meta.batches.len() as u32;
        open.meta.batches.push(batch);
        let frame = open.seq;
        let position = open.position + batch.start;
        let part = &mut self.parts[batch.slot.index()];
        self.segments.note_batch(part.id, &batch, position);
        part.recent.push_back(TailRef {
            base_offset: batch.base_offset,
            frame,
            batch: number,
        });
        part.bytes += u64::from(batch.bytes);
        core.counts.batches += 1;
        core.counts.batch_bytes += u64::from(batch.bytes);
        core.update(part, |part| {
            part.next = batch.base_offset.plus(batch.records);
        });
    }

    /// Drops every offer; each is reported as failed.
    pub(super) fn fail_offers(&mut self, on: &mut impl FnMut(StorageEvent)) {
        for slot in self.touched.drain(..) {
            let list = std::mem::replace(&mut self.parts[slot.index()].offers, List::EMPTY);
            for offer in self.pending.iter(list) {
                on(StorageEvent::Failed { token: offer.token });
            }
        }
        self.pending.clear();
    }
}
