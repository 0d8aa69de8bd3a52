//! The topic `transactions`: what foreign clients produce to it becomes transactions.
//!
//! A record's key is the id, its value the payload; headers `latitude` and `longitude` (decimal degrees)
//! say where the client is, `amount` (decimal, optional) how many minor units it is about, `traceparent`
//! (optional) which trace it belongs to. Nothing is
//! stored in the topic itself: a Produce is answered once its records are stored where they belong, and
//! one that is sent again finds its ids known. A record that is no transaction goes to the dead letters
//! of the nearest shard, or of the first one where its place is not known.
//!
//! Owns: batches on their way in. Never does: routing; the engine's intake does. Runs on: the core that
//! the client is connected to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::clock::Now;
use crate::engine::gateway::GUEST;
use crate::engine::message::{Answer, Inbound, ReplyTo};
use crate::engine::process::DEAD_LETTER_REASON;
use crate::engine::route::RouteTable;
use crate::frame::{Correlation, ErrorCode};
use crate::ids::{Acks, Offset, ShardId, TopicId, UnixMicros};
use crate::location::GeoLocation;
use crate::log::disk::Disk;
use crate::mesh::EndpointId;
use crate::telemetry::{TRACE_HEADER, TraceContext};
use crate::transaction::{TransactionRef, codec};
use crate::wire::decompress::{self, DecompressError};
use crate::wire::{BatchSpec, BatchView, RecordSource, RecordView, batch_len, write_batch};

use super::core::{Around, Broker};
use super::message::{Appended, PartDone, PartOp, Tell, Ticket};
use super::owner::invalid_code;
use super::underway::Work;

/// Bytes that the records of one batch may take once they are decompressed.
const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// Bytes of memory that are kept for the next batch.
const UNPACKED_BYTES_KEPT: usize = 1 << 20;

/// A batch that was not read yet.
#[derive(Debug)]
struct Batch {
    ticket: Ticket,
    index: u32,
    bytes: Bytes,
    acks: Acks,
}

/// A record that was read.
#[derive(Debug)]
enum Item {
    Transaction(Inbound),
    /// A batch of one record, for the dead letters of this shard.
    DeadLetter(ShardId, Bytes),
}

/// A batch whose records are on their way.
#[derive(Debug, Default)]
struct Part {
    /// Tells it from a later one in the same place.
    generation: u32,
    of: Option<(Ticket, u32)>,
    left: usize,
    error: i16,
}

/// The way in.
#[derive(Debug)]
pub struct Inlet {
    table: Arc<RouteTable>,
    dead_letters: Arc<BTreeMap<ShardId, TopicId>>,
    me: EndpointId,
    payload_bytes_max: usize,
    batches: VecDeque<Batch>,
    /// Of the batch that is being handed in, and its part.
    items: VecDeque<Item>,
    item_part: u32,
    parts: Vec<Part>,
    free: Vec<u32>,
    unpacked: Vec<u8>,
}

impl Inlet {
    /// An inlet to the engine on the core `me`. Dead letters go to the topics of their shards.
    pub fn new(
        table: Arc<RouteTable>,
        dead_letters: Arc<BTreeMap<ShardId, TopicId>>,
        me: EndpointId,
        payload_bytes_max: usize,
    ) -> Inlet {
        Inlet {
            table,
            dead_letters,
            me,
            payload_bytes_max,
            batches: VecDeque::new(),
            items: VecDeque::new(),
            item_part: 0,
            parts: Vec::new(),
            free: Vec::new(),
            unpacked: Vec::new(),
        }
    }

    /// Takes a part of a Produce request.
    pub(super) fn take(&mut self, ticket: Ticket, index: u32, bytes: Bytes, acks: Acks) {
        self.batches.push_back(Batch {
            ticket,
            index,
            bytes,
            // Even who wants no answer is only done with when the records are taken.
            acks: acks.max(Acks::Leader),
        });
    }

    fn mark(&self, part: u32) -> Correlation {
        let generation = self.parts[part as usize].generation;
        Correlation(u64::from(generation) << 32 | u64::from(part))
    }

    /// Reads a batch. Its records wait in `items` then.
    fn read(&mut self, batch: &Batch, now: Now) -> Result<(), i16> {
        let view = BatchView::parse(&batch.bytes).map_err(|error| invalid_code(&error))?;
        if view.is_transactional() {
            // What was processed cannot be taken back.
            return Err(ResponseError::InvalidTxnState.code());
        }
        if view.is_control() || view.record_count() == 0 {
            return Err(ResponseError::InvalidRecord.code());
        }
        let part = self.free.pop().unwrap_or_else(|| {
            self.parts.push(Part::default());
            (self.parts.len() - 1) as u32
        });
        self.item_part = part;
        let reply_to = ReplyTo {
            endpoint: self.me,
            connection: GUEST,
            generation: 0,
            correlation: self.mark(part),
        };
        let read = self.read_records(view, reply_to, batch.acks, now);
        if self.unpacked.capacity() > UNPACKED_BYTES_KEPT {
            self.unpacked = Vec::new();
        }
        if let Err(error) = read {
            self.items.clear();
            self.free.push(part);
            return Err(match &error {
                DecompressError::Batch(error) => invalid_code(error),
                DecompressError::UnknownCodec(_) | DecompressError::Corrupt(_) => {
                    ResponseError::CorruptMessage.code()
                }
                DecompressError::TooLarge { .. } => ResponseError::MessageTooLarge.code(),
            });
        }
        let entry = &mut self.parts[part as usize];
        entry.of = Some((batch.ticket, batch.index));
        entry.left = self.items.len();
        entry.error = 0;
        Ok(())
    }

    fn read_records(
        &mut self,
        view: BatchView<'_>,
        reply_to: ReplyTo,
        acks: Acks,
        now: Now,
    ) -> Result<(), DecompressError> {
        let Inlet {
            table,
            dead_letters,
            payload_bytes_max,
            items,
            unpacked,
            ..
        } = self;
        for record in decompress::plain(view, UNPACKED_BYTES_MAX, unpacked)?.records()? {
            let record = record?;
            let item = match encode(&record, *payload_bytes_max) {
                Ok(body) => Item::Transaction(Inbound {
                    body,
                    reply_to,
                    acks,
                    taken: now.mono,
                    trace: trace_of(&record),
                }),
                Err((place, reason)) => {
                    let nearest = place.map(|place| table.route(place, b"").shard);
                    let first = || dead_letters.keys().next().copied().unwrap_or_default();
                    let shard = nearest.unwrap_or_else(first);
                    Item::DeadLetter(shard, dead_letter(&record, &reason, now))
                }
            };
            items.push_back(item);
        }
        Ok(())
    }

    /// One record of a part is done with. Returns the part's request when all are.
    fn done(&mut self, mark: Correlation, error: i16) -> Option<(Ticket, u32, i16)> {
        let (number, generation) = (mark.0 as u32, (mark.0 >> 32) as u32);
        let part = self.parts.get_mut(number as usize)?;
        if part.generation != generation {
            return None;
        }
        if error != 0 {
            part.error = error;
        }
        part.left -= 1;
        if part.left > 0 {
            return None;
        }
        let (ticket, index) = part.of.take()?;
        part.generation = part.generation.wrapping_add(1);
        let error = part.error;
        self.free.push(number);
        Some((ticket, index, error))
    }
}

impl Broker {
    /// The inlet's part of a turn. Returns the amount of work done.
    pub(super) fn inlet_turn<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        let mut work = 0;
        while let Some(reply) = around.gate.next_for_guest() {
            let error = match reply.answer {
                Answer::Stored(_) => 0,
                Answer::Rejected(code) => error_of(code),
            };
            self.inlet_done(reply.to.correlation, error, around);
            work += 1;
        }
        loop {
            work += self.hand_in(around);
            if !self.inlet.items.is_empty() {
                return work;
            }
            let Some(batch) = self.inlet.batches.pop_front() else {
                return work;
            };
            if let Err(error) = self.inlet.read(&batch, around.now) {
                self.part_settled(batch.ticket, batch.index, error, around);
            }
            work += 1;
        }
    }

    /// Hands records to the engine, as far as it has room. Returns how many.
    fn hand_in<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        let mut work = 0;
        while let Some(item) = self.inlet.items.pop_front() {
            match item {
                Item::Transaction(inbound) => {
                    if let Err(inbound) = around.gate.take_from_guest(inbound) {
                        self.inlet.items.push_front(Item::Transaction(inbound));
                        return work;
                    }
                }
                Item::DeadLetter(shard, batch) => self.send_dead_letter(shard, batch, around),
            }
            work += 1;
        }
        work
    }

    fn send_dead_letter<D: Disk>(
        &mut self,
        shard: ShardId,
        batch: Bytes,
        around: &mut Around<'_, D>,
    ) {
        let mark = self.inlet.mark(self.inlet.item_part);
        let topic = self.inlet.dead_letters.get(&shard);
        let topic = topic.and_then(|topic| self.view.topic_by_id(*topic));
        let Some(&home) = topic.and_then(|topic| topic.partitions.first()) else {
            let error = ResponseError::UnknownServerError.code();
            return self.inlet_done(mark, error, around);
        };
        let ticket = self.underway.insert(Work::DeadLetter(mark));
        let acks = Acks::All;
        let what = (home.id, PartOp::Append { batch, acks });
        self.ask_part(home.owner, (ticket, 0), what, around);
    }

    /// One record is done with.
    pub(super) fn inlet_done<D: Disk>(
        &mut self,
        mark: Correlation,
        error: i16,
        around: &mut Around<'_, D>,
    ) {
        if let Some((ticket, index, error)) = self.inlet.done(mark, error) {
            self.part_settled(ticket, index, error, around);
        }
    }

    fn part_settled<D: Disk>(
        &mut self,
        ticket: Ticket,
        index: u32,
        error: i16,
        around: &mut Around<'_, D>,
    ) {
        // The records lie in other topics, so there is no offset to tell.
        let done = PartDone::Appended(Appended::refused(error));
        let tell = Tell::Part {
            ticket,
            index,
            done,
        };
        self.told(tell, around);
    }
}

/// What a producer is told; all of it may be sent again.
fn error_of(code: ErrorCode) -> i16 {
    match code {
        ErrorCode::StorageUnavailable | ErrorCode::StorageFailed => {
            ResponseError::KafkaStorageError
        }
        ErrorCode::Overloaded | ErrorCode::ShuttingDown => ResponseError::NotLeaderOrFollower,
        ErrorCode::MalformedTransaction | ErrorCode::BadLocation | ErrorCode::PayloadTooLarge => {
            ResponseError::InvalidRecord
        }
    }
    .code()
}

/// Why a record is no transaction, and its place where that is known.
type NoTransaction = (Option<GeoLocation>, String);

/// The record's transaction, encoded.
fn encode(record: &RecordView<'_>, payload_bytes_max: usize) -> Result<Bytes, NoTransaction> {
    let nowhere = |reason: String| (None, reason);
    let latitude = number::<f64>(record, "latitude").map_err(nowhere)?;
    let longitude = number::<f64>(record, "longitude").map_err(nowhere)?;
    let (Some(latitude), Some(longitude)) = (latitude, longitude) else {
        let reason = "headers latitude and longitude are needed, in decimal degrees";
        return Err(nowhere(reason.to_owned()));
    };
    let place = GeoLocation::new(latitude, longitude).map_err(|e| nowhere(e.to_string()))?;
    let here = |reason: String| (Some(place), reason);
    let amount = number::<u64>(record, "amount").map_err(here)?;
    let payload = record.value.unwrap_or_default();
    if payload.len() > payload_bytes_max {
        let bytes = payload.len();
        return Err(here(format!(
            "payload has {bytes} bytes; allowed: 0 to {payload_bytes_max}"
        )));
    }
    let transaction = TransactionRef {
        id: record.key.unwrap_or_default(),
        client_location: place,
        submitted_at: UnixMicros(record.timestamp.0.saturating_mul(1000)),
        amount,
        payload,
    };
    let mut body = Vec::with_capacity(codec::encoded_len_max(payload.len()));
    codec::encode(&transaction, &mut body)
        .map_err(|error| here(format!("the record's key is the id: {error}")))?;
    Ok(body.into())
}

/// A header's number; the last header of the name counts, as everywhere in Kafka.
fn number<T: std::str::FromStr>(record: &RecordView<'_>, name: &str) -> Result<Option<T>, String> {
    let Some(header) = record.headers.clone().filter(|h| h.name == name).last() else {
        return Ok(None);
    };
    let text = std::str::from_utf8(header.value.unwrap_or_default()).ok();
    let number = text.and_then(|text| text.trim().parse().ok());
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(format!("header {name} is no decimal number in UTF-8")),
    }
}

/// The trace that the record says it belongs to; a header that is none counts for nothing.
fn trace_of(record: &RecordView<'_>) -> Option<Box<TraceContext>> {
    let header = record.headers.value(TRACE_HEADER)?;
    TraceContext::parse(header).ok().map(Box::new)
}

/// The record as it came, with the reason in a header more.
fn dead_letter(record: &RecordView<'_>, reason: &str, now: Now) -> Bytes {
    let own = [(DEAD_LETTER_REASON, reason.as_bytes())];
    let headers = record.headers.clone();
    let headers = headers.map(|h| (h.name, h.value.unwrap_or_default()));
    let headers: Vec<(&str, &[u8])> = headers.chain(own).collect();
    let source = || {
        std::iter::once(RecordSource {
            key: record.key,
            value: record.value,
            headers: headers.iter().copied(),
            timestamp_delta: 0,
        })
    };
    let timestamp = now.millis();
    let spec = BatchSpec {
        base_offset: Offset::ZERO,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
    };
    let mut batch = vec![0; batch_len(source())];
    write_batch(&mut batch, &spec, source());
    batch.into()
}
