//! The records of a batch, borrowed from it.
//!
//! Owns: the layout of a record (drawn in [`crate::wire::batch`]). Never does: allocation; a panic,
//! whatever the bytes. Runs on: the hot path, per record.

use crate::ids::{Offset, UnixMillis};
use crate::wire::batch::{BATCH_HEADER_BYTES, BatchError, BatchView, LOG_APPEND_TIME};
use crate::wire::varint;

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

// Inlined by force: seven of them are most of what reading a record costs, and a call with its result
// in memory takes longer than the byte or two that it reads.
#[inline(always)]
fn take_number(rest: &mut &[u8], field: BadField) -> Result<i64, BadField> {
    let (value, tail) = varint::split(rest).ok_or(field)?;
    *rest = tail;
    Ok(value)
}

/// A length, then as many bytes; length -1 is null.
#[inline(always)]
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

    /// The value of the last header of this name, which counts by Kafka's custom; none also where
    /// it is null.
    #[inline]
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        if self.is_empty() {
            return None;
        }
        self.clone()
            .filter(|header| header.name == name)
            .last()?
            .value
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
        if (left, rest) == (0, &[]) {
            return Ok(Headers { rest, left });
        }
        Headers::checked_each(rest, left)
    }

    #[inline(never)]
    fn checked_each(rest: &'a [u8], left: u32) -> Result<Headers<'a>, BadField> {
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
    bytes: &'a [u8],
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
    /// The records of a batch that is not compressed.
    #[inline]
    pub(super) fn new(batch: BatchView<'a>) -> Records<'a> {
        Records {
            base_offset: batch.base_offset().0,
            base_timestamp: batch.base_timestamp().0,
            last_offset_delta: i64::from(batch.last_offset_delta()),
            log_append_time: (batch.attributes() & LOG_APPEND_TIME != 0)
                .then(|| batch.max_timestamp()),
            count: batch.record_count(),
            index: 0,
            delta_before: -1,
            at: BATCH_HEADER_BYTES,
            bytes: batch.bytes(),
        }
    }

    /// Reads the record at `self.at` and moves behind it.
    #[inline]
    fn read(&mut self) -> Result<RecordView<'a>, BadField> {
        let mut rest = &self.bytes[self.at..];
        let length = take_number(&mut rest, "length")?;
        let length = usize::try_from(length).map_err(|_| "length")?;
        let mut body = rest.get(..length).ok_or("length")?;
        let end = self.bytes.len() - rest.len() + length;
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
            let trailing = self.bytes.len() - self.at;
            self.at = self.bytes.len();
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
                self.at = self.bytes.len();
                Some(Err(BatchError::Record {
                    record,
                    field,
                    byte,
                }))
            }
        }
    }
}
