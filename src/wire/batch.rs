//! A record batch v2 as a borrowed view: everything is checked, nothing is copied.
//!
//! Owns: the layout of a batch's header and its checks; the records are in `records.rs`. Never does: allocation; a panic, whatever the
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
use crate::wire::records::Records;

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
pub(super) const CODEC_MASK: i16 = 0x07;
pub(super) const LOG_APPEND_TIME: i16 = 0x08;
pub(super) const TRANSACTIONAL: i16 = 0x10;
pub(super) const CONTROL: i16 = 0x20;

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

    /// Whether all records bear the time at which a broker appended them.
    #[inline]
    pub fn is_log_append_time(&self) -> bool {
        self.attributes() & LOG_APPEND_TIME != 0
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
        Ok(Records::new(*self))
    }
}
