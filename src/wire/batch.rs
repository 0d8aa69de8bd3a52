//! A record batch v2 as a borrowed view: everything is checked, nothing is copied.
//!
//! Owns: the layout of a batch and its checks. Never does: allocation; a panic, whatever the
//! bytes. Runs on: any thread; the hot path iterates records with it.
//!
//! ```text
//! 0 base offset i64 | 8 length i32 (of what follows it) | 12 leader epoch i32 | 16 magic i8 = 2
//! 17 CRC-32C u32 (of all after it) | 21 attributes i16 | 23 last offset delta i32
//! 27 base timestamp i64 | 35 max timestamp i64 | 43 producer id i64 | 51 producer epoch i16
//! 53 base sequence i32 | 57 record count i32 | 61 records
//! record: length, attributes i8, timestamp delta, offset delta, key length, key, value length,
//!         value, header count, then for each header: name length, name, value length, value
//! ```
//! Numbers of a batch are big endian, those of a record variable-length; length -1 is null.

use crate::ids::{Offset, UnixMillis};
use crate::wire::varint;

/// Bytes of a batch before its records.
pub const BATCH_HEADER_BYTES: usize = 61;

pub(super) const LENGTH_AT: usize = 8;
pub(super) const LEADER_EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(super) const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const PRODUCER_ID_AT: usize = 43;
pub(super) const PRODUCER_EPOCH_AT: usize = 51;
pub(super) const BASE_SEQUENCE_AT: usize = 53;
pub(super) const RECORD_COUNT_AT: usize = 57;

/// The one format that is stored and served.
pub(super) const MAGIC: u8 = 2;

/// Codecs 0 to 4: none, gzip, snappy, lz4, zstd.
const CODEC_MAX: u8 = 4;
const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// Why bytes are no batch, or a batch's records cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("batch cut short: {have} of {need} bytes")]
    Short {
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// Another format.
    #[error("batch has magic {0}; only 2 is supported")]
    Magic(u8),
    /// The CRC does not match.
    #[error("batch CRC is {stored:#010x}, its bytes give {computed:#010x}")]
    Crc {
        /// In the batch.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A header field has a value that it cannot have.
    #[error("batch field {field} has the impossible value {value}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// The records are compressed and cannot be iterated as they are.
    #[error("batch is compressed (codec {0})")]
    Compressed(u8),
    /// A record's field is cut short or has an impossible value.
    #[error("record {record} of the batch: bad {field} at byte {byte} of the batch")]
    Record {
        /// Its place in the batch, from 0.
        record: u32,
        /// Which field.
        field: &'static str,
        /// Where in the batch.
        byte: usize,
    },
    /// Bytes follow the last record.
    #[error("{0} bytes follow the last record of the batch")]
    Trailing(usize),
}

#[inline]
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("a slice of N bytes is an array of N bytes")
}

#[inline]
fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(array_at(bytes, at))
}

#[inline]
fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, at))
}

#[inline]
fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array_at(bytes, at))
}

/// A batch whose header has been checked. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    /// Exactly the batch: at least a header.
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// Checks the batch at the start of `bytes`, its CRC included. What follows it is ignored.
    ///
    /// # Errors
    /// Cut short, another magic, a wrong CRC, or a header field out of range.
    pub fn parse(bytes: &'a [u8]) -> Result<BatchView<'a>, BatchError> {
        let view = BatchView::framed(bytes)?;
        let stored = view.crc();
        let computed = crc32c::crc32c(&view.bytes[ATTRIBUTES_AT..]);
        if stored != computed {
            return Err(BatchError::Crc { stored, computed });
        }
        view.check_fields()?;
        Ok(view)
    }

    /// The same without computing the CRC: for bytes that were checked before, or written by this
    /// process.
    ///
    /// # Errors
    /// Cut short, another magic, or a header field out of range.
    #[inline]
    pub fn parse_trusted(bytes: &'a [u8]) -> Result<BatchView<'a>, BatchError> {
        let view = BatchView::framed(bytes)?;
        view.check_fields()?;
        Ok(view)
    }

    #[inline]
    fn framed(bytes: &'a [u8]) -> Result<BatchView<'a>, BatchError> {
        if bytes.len() < BATCH_HEADER_BYTES {
            return Err(BatchError::Short {
                have: bytes.len(),
                need: BATCH_HEADER_BYTES,
            });
        }
        if bytes[MAGIC_AT] != MAGIC {
            return Err(BatchError::Magic(bytes[MAGIC_AT]));
        }
        let length = i32_at(bytes, LENGTH_AT);
        let total = usize::try_from(length)
            .ok()
            .map(|length| length + LEADER_EPOCH_AT)
            .filter(|&total| total >= BATCH_HEADER_BYTES)
            .ok_or(BatchError::Field {
                field: "length",
                value: length.into(),
            })?;
        let have = bytes.len();
        let bytes = bytes
            .get(..total)
            .ok_or(BatchError::Short { have, need: total })?;
        Ok(BatchView { bytes })
    }

    #[inline]
    fn check_fields(&self) -> Result<(), BatchError> {
        let base_offset = i64_at(self.bytes, 0);
        let delta = i32_at(self.bytes, LAST_OFFSET_DELTA_AT);
        let count = i32_at(self.bytes, RECORD_COUNT_AT);
        let bad = |field, value| Err(BatchError::Field { field, value });
        // One more than the last offset must be a number too: it is the next one to assign.
        if base_offset < 0 || base_offset > i64::MAX - i64::from(i32::MAX) - 1 {
            return bad("base_offset", base_offset);
        }
        if !(0..i32::MAX).contains(&delta) {
            return bad("last_offset_delta", delta.into());
        }
        if count < 0 || i64::from(count) > i64::from(delta) + 1 {
            return bad("record_count", count.into());
        }
        if self.codec() > CODEC_MAX {
            return bad("codec", self.codec().into());
        }
        Ok(())
    }

    /// The batch's bytes, header included.
    #[inline]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Offset of the first record.
    #[inline]
    pub fn base_offset(&self) -> Offset {
        Offset(i64_at(self.bytes, 0))
    }

    /// Offset of the last record minus that of the first; 0 or more.
    #[inline]
    pub fn last_offset_delta(&self) -> u32 {
        i32_at(self.bytes, LAST_OFFSET_DELTA_AT) as u32
    }

    /// The offset after the last record.
    #[inline]
    pub fn next_offset(&self) -> Offset {
        self.base_offset().plus(self.last_offset_delta() + 1)
    }

    /// Number of records; fewer than offsets where a compaction took some out.
    #[inline]
    pub fn record_count(&self) -> u32 {
        i32_at(self.bytes, RECORD_COUNT_AT) as u32
    }

    /// The leader epoch that assigned the offsets.
    #[inline]
    pub fn leader_epoch(&self) -> i32 {
        i32_at(self.bytes, LEADER_EPOCH_AT)
    }

    /// CRC-32C as stored.
    #[inline]
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(array_at(self.bytes, CRC_AT))
    }

    /// The attribute bits.
    #[inline]
    pub fn attributes(&self) -> i16 {
        i16_at(self.bytes, ATTRIBUTES_AT)
    }

    /// Compression codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    #[inline]
    pub fn codec(&self) -> u8 {
        (self.attributes() & CODEC_MASK) as u8
    }

    /// Whether the batch belongs to a Kafka transaction.
    #[inline]
    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL != 0
    }

    /// Whether the batch holds a control record, which consumers skip.
    #[inline]
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// Timestamp that the records' deltas count from.
    #[inline]
    pub fn base_timestamp(&self) -> UnixMillis {
        UnixMillis(i64_at(self.bytes, BASE_TIMESTAMP_AT))
    }

    /// The largest timestamp.
    #[inline]
    pub fn max_timestamp(&self) -> UnixMillis {
        UnixMillis(i64_at(self.bytes, MAX_TIMESTAMP_AT))
    }

    /// Id of an idempotent producer; -1 without one.
    #[inline]
    pub fn producer_id(&self) -> i64 {
        i64_at(self.bytes, PRODUCER_ID_AT)
    }

    /// Epoch of an idempotent producer; -1 without one.
    #[inline]
    pub fn producer_epoch(&self) -> i16 {
        i16_at(self.bytes, PRODUCER_EPOCH_AT)
    }

    /// Sequence number of the first record; -1 without an idempotent producer.
    #[inline]
    pub fn base_sequence(&self) -> i32 {
        i32_at(self.bytes, BASE_SEQUENCE_AT)
    }

    /// The records in order. The iterator ends after its first error.
    ///
    /// # Errors
    /// A compressed batch.
    #[inline]
    pub fn records(&self) -> Result<Records<'a>, BatchError> {
        if self.codec() != 0 {
            return Err(BatchError::Compressed(self.codec()));
        }
        Ok(Records {
            batch: *self,
            base_offset: self.base_offset().0,
            base_timestamp: self.base_timestamp().0,
            last_offset_delta: i64::from(self.last_offset_delta()),
            log_append_time: (self.attributes() & LOG_APPEND_TIME != 0)
                .then(|| self.max_timestamp()),
            count: self.record_count(),
            index: 0,
            delta_before: -1,
            at: BATCH_HEADER_BYTES,
        })
    }
}

/// A record, borrowed from its batch.
#[derive(Clone, Debug)]
pub struct RecordView<'a> {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: UnixMillis,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, all checked.
    pub headers: Headers<'a>,
}

/// A header of a record. Names may repeat within a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value; Kafka allows null.
    pub value: Option<&'a [u8]>,
}

/// Iterator over a record's headers, in the order they were written.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: u32,
}

/// Why a field cannot be read: its name. The caller adds where.
type BadField = &'static str;

#[inline]
fn take_number(rest: &mut &[u8], field: BadField) -> Result<i64, BadField> {
    let (value, used) = varint::read(rest).ok_or(field)?;
    *rest = &rest[used..];
    Ok(value)
}

/// A length, then as many bytes; length -1 is null.
#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8], field: BadField) -> Result<Option<&'a [u8]>, BadField> {
    let length = take_number(rest, field)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| field)?;
    let (bytes, tail) = rest.split_at_checked(length).ok_or(field)?;
    *rest = tail;
    Ok(Some(bytes))
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Result<HeaderView<'a>, BadField> {
    let name = take_bytes(rest, "header name")?.ok_or("header name")?;
    let name = std::str::from_utf8(name).map_err(|_| "header name")?;
    let value = take_bytes(rest, "header value")?;
    Ok(HeaderView { name, value })
}

impl<'a> Headers<'a> {
    /// Headers left to visit.
    pub const fn len(&self) -> u32 {
        self.left
    }

    /// Whether no header is left.
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Reads `count` headers once, so that iterating them later cannot fail, and checks that they
    /// end where the record does.
    #[inline]
    fn checked(rest: &'a [u8], count: i64) -> Result<Headers<'a>, BadField> {
        let left = u32::try_from(count).map_err(|_| "header count")?;
        let mut unread = rest;
        for _ in 0..left {
            take_header(&mut unread)?;
        }
        if !unread.is_empty() {
            return Err("length");
        }
        Ok(Headers { rest, left })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = HeaderView<'a>;

    #[inline]
    fn next(&mut self) -> Option<HeaderView<'a>> {
        self.left = self.left.checked_sub(1)?;
        take_header(&mut self.rest).ok()
    }
}

/// Iterator over the records of an uncompressed batch.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    batch: BatchView<'a>,
    base_offset: i64,
    base_timestamp: i64,
    last_offset_delta: i64,
    log_append_time: Option<UnixMillis>,
    count: u32,
    index: u32,
    delta_before: i64,
    at: usize,
}

impl<'a> Records<'a> {
    /// Reads the record at `self.at` and moves behind it.
    #[inline]
    fn read(&mut self) -> Result<RecordView<'a>, BadField> {
        let mut rest = &self.batch.bytes[self.at..];
        let length = take_number(&mut rest, "length")?;
        let length = usize::try_from(length).map_err(|_| "length")?;
        let mut body = rest.get(..length).ok_or("length")?;
        let end = self.batch.bytes.len() - rest.len() + length;
        // The record's own attributes are unused by Kafka: any value is allowed.
        body = body.get(1..).ok_or("attributes")?;
        let timestamp_delta = take_number(&mut body, "timestamp delta")?;
        let offset_delta = take_number(&mut body, "offset delta")?;
        if offset_delta <= self.delta_before || offset_delta > self.last_offset_delta {
            return Err("offset delta");
        }
        let timestamp = self
            .base_timestamp
            .checked_add(timestamp_delta)
            .ok_or("timestamp delta")?;
        let key = take_bytes(&mut body, "key")?;
        let value = take_bytes(&mut body, "value")?;
        let count = take_number(&mut body, "header count")?;
        let headers = Headers::checked(body, count)?;
        self.delta_before = offset_delta;
        self.at = end;
        Ok(RecordView {
            offset: Offset(self.base_offset + offset_delta),
            timestamp: self.log_append_time.unwrap_or(UnixMillis(timestamp)),
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Result<RecordView<'a>, BatchError>> {
        if self.index == self.count {
            let trailing = self.batch.bytes.len() - self.at;
            self.at = self.batch.bytes.len();
            return (trailing > 0).then_some(Err(BatchError::Trailing(trailing)));
        }
        let byte = self.at;
        let record = self.index;
        match self.read() {
            Ok(view) => {
                self.index += 1;
                Some(Ok(view))
            }
            Err(field) => {
                self.index = self.count;
                self.at = self.batch.bytes.len();
                Some(Err(BatchError::Record {
                    record,
                    field,
                    byte,
                }))
            }
        }
    }
}
