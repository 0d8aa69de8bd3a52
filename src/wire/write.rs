//! Writes a record batch v2 straight into the caller's buffer.
//!
//! Owns: the order of the bytes. Never does: allocation. Runs on: the hot path, per record.

use crate::ids::{Offset, UnixMillis};
use crate::wire::batch::{
    ATTRIBUTES_AT, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, BATCH_HEADER_BYTES, CRC_AT,
    LAST_OFFSET_DELTA_AT, LEADER_EPOCH_AT, LENGTH_AT, MAGIC, MAGIC_AT, MAX_TIMESTAMP_AT,
    PRODUCER_EPOCH_AT, PRODUCER_ID_AT, RECORD_COUNT_AT,
};
use crate::wire::varint;

/// The headers of a record that has none.
pub type NoHeaders<'a> = std::iter::Empty<(&'a str, &'a [u8])>;

/// A record to be written. `H` yields its headers, twice: once to size, once to write.
#[derive(Clone, Copy, Debug)]
pub struct RecordSource<'a, H = NoHeaders<'a>> {
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers; names may repeat.
    pub headers: H,
    /// Milliseconds after the batch's base timestamp; may be negative.
    pub timestamp_delta: i64,
}

impl<'a> RecordSource<'a> {
    /// A record with key and value, without headers, at the batch's base timestamp.
    #[inline]
    pub const fn new(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> RecordSource<'a> {
        RecordSource {
            key,
            value,
            headers: std::iter::empty(),
            timestamp_delta: 0,
        }
    }
}

/// What a batch's header says besides its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpec {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Timestamp that the records' deltas count from.
    pub base_timestamp: UnixMillis,
    /// The largest timestamp of the records.
    pub max_timestamp: UnixMillis,
}

/// Length of key or value as Kafka writes it: -1 for none.
#[inline]
fn wire_len(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

#[inline]
fn bytes_len(bytes: Option<&[u8]>) -> usize {
    varint::len(wire_len(bytes)) + bytes.map_or(0, <[u8]>::len)
}

/// Bytes of a record after its length field.
#[inline(always)]
fn body_len<'a, H>(record: &RecordSource<'a, H>, offset_delta: i64) -> usize
where
    H: Iterator<Item = (&'a str, &'a [u8])> + Clone,
{
    let mut headers = 0;
    let mut headers_bytes = 0;
    for (name, value) in record.headers.clone() {
        headers += 1;
        headers_bytes += bytes_len(Some(name.as_bytes())) + bytes_len(Some(value));
    }
    1 + varint::len(record.timestamp_delta)
        + varint::len(offset_delta)
        + bytes_len(record.key)
        + bytes_len(record.value)
        + varint::len(headers)
        + headers_bytes
}

/// Bytes that [`write_batch`] writes for these records.
#[inline]
pub fn batch_len<'a, H>(records: impl Iterator<Item = RecordSource<'a, H>>) -> usize
where
    H: Iterator<Item = (&'a str, &'a [u8])> + Clone,
{
    let mut bytes = BATCH_HEADER_BYTES;
    for (delta, record) in records.enumerate() {
        let body = body_len(&record, delta as i64);
        bytes += varint::len(body as i64) + body;
    }
    bytes
}

#[inline]
fn put_bytes(out: &mut [u8], at: usize, bytes: Option<&[u8]>) -> usize {
    let at = varint::write(out, at, wire_len(bytes));
    let Some(bytes) = bytes else {
        return at;
    };
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

#[inline]
pub(super) fn put_record<'a, H>(
    out: &mut [u8],
    at: usize,
    record: &RecordSource<'a, H>,
    offset_delta: i64,
) -> usize
where
    H: Iterator<Item = (&'a str, &'a [u8])> + Clone,
{
    let mut at = varint::write(out, at, body_len(record, offset_delta) as i64);
    out[at] = 0;
    at = varint::write(out, at + 1, record.timestamp_delta);
    at = varint::write(out, at, offset_delta);
    at = put_bytes(out, at, record.key);
    at = put_bytes(out, at, record.value);
    at = varint::write(out, at, record.headers.clone().count() as i64);
    for (name, value) in record.headers.clone() {
        at = put_bytes(out, at, Some(name.as_bytes()));
        at = put_bytes(out, at, Some(value));
    }
    at
}

/// Writes a whole batch at the start of `out` and returns its length. Attributes are 0
/// (uncompressed, create time), there is no idempotent producer, and the leader epoch is 0.
///
/// `records` yields at least one record and at most 2^31 - 1.
///
/// # Panics
/// `out` is shorter than [`batch_len`] of the same records, or there are no records.
pub fn write_batch<'a, H>(
    out: &mut [u8],
    spec: &BatchSpec,
    records: impl Iterator<Item = RecordSource<'a, H>>,
) -> usize
where
    H: Iterator<Item = (&'a str, &'a [u8])> + Clone,
{
    let mut at = BATCH_HEADER_BYTES;
    let mut count = 0i64;
    for record in records {
        at = put_record(out, at, &record, count);
        count += 1;
    }
    assert!(count > 0, "a batch has at least one record");
    let count = i32::try_from(count).expect("documented bound of the number of records");
    put_header(out, at, spec, count, &Author::NONE);
    at
}

/// Who wrote a batch, and of what kind it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author {
    pub(super) attributes: i16,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
}

impl Author {
    const NONE: Author = Author {
        attributes: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
    };
}

/// Writes the header before `count` records that end at `end`.
#[inline]
pub(super) fn put_header(
    out: &mut [u8],
    end: usize,
    spec: &BatchSpec,
    count: i32,
    author: &Author,
) {
    let length = i32::try_from(end - LEADER_EPOCH_AT).expect("a buffer of 2 GiB is never given");
    out[0..LENGTH_AT].copy_from_slice(&spec.base_offset.0.to_be_bytes());
    out[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
    out[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&0i32.to_be_bytes());
    out[MAGIC_AT] = MAGIC;
    out[ATTRIBUTES_AT..LAST_OFFSET_DELTA_AT].copy_from_slice(&author.attributes.to_be_bytes());
    out[LAST_OFFSET_DELTA_AT..BASE_TIMESTAMP_AT].copy_from_slice(&(count - 1).to_be_bytes());
    out[BASE_TIMESTAMP_AT..MAX_TIMESTAMP_AT].copy_from_slice(&spec.base_timestamp.0.to_be_bytes());
    out[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&spec.max_timestamp.0.to_be_bytes());
    out[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&author.producer_id.to_be_bytes());
    out[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&author.producer_epoch.to_be_bytes());
    out[BASE_SEQUENCE_AT..RECORD_COUNT_AT].copy_from_slice(&author.base_sequence.to_be_bytes());
    out[RECORD_COUNT_AT..BATCH_HEADER_BYTES].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c::crc32c(&out[ATTRIBUTES_AT..end]);
    out[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Sets where a batch lies. Both fields are outside its CRC, which stays as it is.
///
/// # Panics
/// `batch` is shorter than a batch's header.
#[inline]
pub fn assign(batch: &mut [u8], base_offset: Offset, leader_epoch: i32) {
    batch[0..LENGTH_AT].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
}
