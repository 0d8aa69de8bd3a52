//! The bytes of a segment: header block, frames, entries. Pure; no I/O.
//!
//! ```text
//! segment  = header block (4096) , frame , frame , ... , zeros or a former life's bytes
//! frame    = frame header (64) , entry , entry , ... , zeros up to the next block
//! entry    = entry header (16) , payload , zeros up to a multiple of 8
//! ```
//!
//! All numbers are little endian (the batches inside entries are Kafka's: big endian). A frame is
//! what one write makes durable, and it is atomic: either all of it checks, or none of it counts.
//!
//! A frame is chained to its bytes without reading them twice: the frame's digest covers the
//! entries' checksums; an entry's checksum covers its header and its payload, except that of a
//! batch it covers the first [`BATCH_CHECKED_BYTES`] bytes, which hold Kafka's own CRC of the rest.

use crate::ids::{FrameSeq, PartitionId, SegmentSeq, StripeId};
use crate::limits::{BLOCK_BYTES, FRAME_BYTES_MAX};

/// Version of everything in this file. A data directory of another version is refused.
pub const FORMAT_VERSION: u16 = 1;

/// Bytes of a segment's header block; the first frame starts here.
pub const SEGMENT_HEADER_BYTES: usize = BLOCK_BYTES;

/// Bytes of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 64;

/// Bytes of an entry's header.
pub const ENTRY_HEADER_BYTES: usize = 16;

/// Entries start at multiples of this within a frame.
pub const ENTRY_ALIGN_BYTES: usize = 8;

/// Bytes of a batch that the entry's checksum covers: base offset, length, leader epoch, magic
/// and Kafka's CRC, which in turn covers everything after itself.
pub const BATCH_CHECKED_BYTES: usize = 21;

const SEGMENT_MAGIC: [u8; 8] = *b"CLSEGMNT";
const FRAME_MAGIC: [u8; 4] = *b"CLFR";

/// What an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// A Kafka record batch v2, byte for byte.
    Batch = 1,
    /// The partition's committed position: the next offset to process, i64.
    Position = 2,
    /// A state pair of the stripe: key (length in the header), then value; empty value = removed.
    State = 3,
    /// Nothing; its frame only witnesses that the frames before it are durable.
    Marker = 4,
}

impl EntryKind {
    /// The kind with this number, if there is one.
    pub const fn from_wire(byte: u8) -> Option<EntryKind> {
        match byte {
            1 => Some(EntryKind::Batch),
            2 => Some(EntryKind::Position),
            3 => Some(EntryKind::State),
            4 => Some(EntryKind::Marker),
            _ => None,
        }
    }
}

/// The start of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The stripe it belongs to.
    pub stripe: StripeId,
    /// Its number.
    pub seq: SegmentSeq,
    /// Identifies the data directory, so that a file copied from elsewhere is noticed.
    pub directory_id: u128,
    /// Size of the file in bytes.
    pub segment_bytes: u64,
}

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The stripe it belongs to.
    pub stripe: StripeId,
    /// Its number: one more than the frame before it.
    pub seq: FrameSeq,
    /// The segment it was written to. A recycled file holds frames of its former life; those
    /// carry another number.
    pub segment: SegmentSeq,
    /// Byte in the segment where the frame starts.
    pub position: u32,
    /// Bytes of entries after the header; zeros up to the next block follow.
    pub body_bytes: u32,
    /// Number of entries.
    pub entries: u32,
    /// CRC-32C over the entries' checksums (4 little-endian bytes each), in order.
    pub digest: u32,
    /// How often the data directory had been opened when this was written. A frame of an older
    /// epoch than the one before it was cut off by a recovery and does not count.
    pub epoch: u32,
    /// The last frame known durable when this one was sealed. A damaged frame at or below the
    /// `durable` of a later frame held acknowledged data: that is damage, not a torn tail.
    pub durable: FrameSeq,
    /// Wall time of sealing, microseconds since the Unix epoch.
    pub sealed_at_us: i64,
}

/// The start of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// Bytes of the payload, without the padding.
    pub payload_bytes: u32,
    /// See [`entry_checksum`].
    pub checksum: u32,
    /// The partition; 0 where the kind has none.
    pub partition: PartitionId,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of the key at the start of a state payload; else 0.
    pub key_bytes: u16,
}

/// Why bytes are no header or entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Fewer bytes than the structure needs.
    #[error("cut short: {have} of {need} bytes")]
    Short {
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// Another magic number: not written by us, or never written.
    #[error("no {0} starts here")]
    Magic(&'static str),
    /// A version this program does not read.
    #[error("{what} has format version {found}; this program reads {FORMAT_VERSION}")]
    Version {
        /// Which structure.
        what: &'static str,
        /// Its version.
        found: u16,
    },
    /// A checksum does not match.
    #[error("checksum of {0} does not match")]
    Checksum(&'static str),
    /// A field has a value that it cannot have.
    #[error("field {field} has the impossible value {value}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

/// Rounds up to the next multiple of `align`, a power of two.
#[inline]
pub const fn align_up(bytes: usize, align: usize) -> usize {
    (bytes + align - 1) & !(align - 1)
}

/// Bytes that an entry with this payload takes in a frame.
#[inline]
pub const fn entry_bytes(payload_bytes: usize) -> usize {
    align_up(ENTRY_HEADER_BYTES + payload_bytes, ENTRY_ALIGN_BYTES)
}

/// Bytes that a frame with this body takes on the device.
#[inline]
pub const fn frame_bytes(body_bytes: usize) -> usize {
    align_up(FRAME_HEADER_BYTES + body_bytes, BLOCK_BYTES)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn need(bytes: &[u8], need: usize) -> Result<(), FormatError> {
    if bytes.len() < need {
        return Err(FormatError::Short {
            have: bytes.len(),
            need,
        });
    }
    Ok(())
}

impl SegmentHeader {
    const CHECKED: std::ops::Range<usize> = 0..60;

    /// Writes the header block.
    pub fn encode(&self, block: &mut [u8; SEGMENT_HEADER_BYTES]) {
        block.fill(0);
        block[0..8].copy_from_slice(&SEGMENT_MAGIC);
        block[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        block[10..12].copy_from_slice(&self.stripe.0.to_le_bytes());
        block[16..24].copy_from_slice(&self.seq.0.to_le_bytes());
        block[24..40].copy_from_slice(&self.directory_id.to_le_bytes());
        block[40..48].copy_from_slice(&self.segment_bytes.to_le_bytes());
        let checksum = crc32c::crc32c(&block[Self::CHECKED]);
        block[60..64].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads the header block.
    ///
    /// # Errors
    /// Too short, another magic number, another version or a wrong checksum.
    pub fn decode(block: &[u8]) -> Result<SegmentHeader, FormatError> {
        need(block, 64)?;
        if block[0..8] != SEGMENT_MAGIC {
            return Err(FormatError::Magic("segment"));
        }
        if crc32c::crc32c(&block[Self::CHECKED]) != u32_at(block, 60) {
            return Err(FormatError::Checksum("the segment header"));
        }
        let version = u16_at(block, 8);
        if version != FORMAT_VERSION {
            return Err(FormatError::Version {
                what: "the segment",
                found: version,
            });
        }
        Ok(SegmentHeader {
            stripe: StripeId(u16_at(block, 10)),
            seq: SegmentSeq(u64_at(block, 16)),
            directory_id: u128::from_le_bytes(block[24..40].try_into().expect("sixteen bytes")),
            segment_bytes: u64_at(block, 40),
        })
    }
}

impl FrameHeader {
    /// Writes the header into the first [`FRAME_HEADER_BYTES`] bytes of a frame.
    pub fn encode(&self, out: &mut [u8]) {
        out[0..4].copy_from_slice(&FRAME_MAGIC);
        out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        out[10..12].copy_from_slice(&self.stripe.0.to_le_bytes());
        out[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..24].copy_from_slice(&self.seq.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.segment.0.to_le_bytes());
        out[32..36].copy_from_slice(&self.position.to_le_bytes());
        out[36..40].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[40..44].copy_from_slice(&self.entries.to_le_bytes());
        out[44..48].copy_from_slice(&self.digest.to_le_bytes());
        out[48..56].copy_from_slice(&self.durable.0.to_le_bytes());
        out[56..64].copy_from_slice(&self.sealed_at_us.to_le_bytes());
        let checksum = crc32c::crc32c(&out[8..FRAME_HEADER_BYTES]);
        out[4..8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// Reads a frame header. Does not look at the body.
    ///
    /// # Errors
    /// Too short, another magic number, a wrong checksum, another version, or a body longer than
    /// any frame.
    pub fn decode(bytes: &[u8]) -> Result<FrameHeader, FormatError> {
        need(bytes, FRAME_HEADER_BYTES)?;
        if bytes[0..4] != FRAME_MAGIC {
            return Err(FormatError::Magic("frame"));
        }
        if crc32c::crc32c(&bytes[8..FRAME_HEADER_BYTES]) != u32_at(bytes, 4) {
            return Err(FormatError::Checksum("the frame header"));
        }
        let version = u16_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(FormatError::Version {
                what: "the frame",
                found: version,
            });
        }
        let body_bytes = u32_at(bytes, 36);
        if body_bytes as usize > FRAME_BYTES_MAX - FRAME_HEADER_BYTES {
            return Err(FormatError::Field {
                field: "body_bytes",
                value: body_bytes.into(),
            });
        }
        Ok(FrameHeader {
            stripe: StripeId(u16_at(bytes, 10)),
            epoch: u32_at(bytes, 12),
            seq: FrameSeq(u64_at(bytes, 16)),
            segment: SegmentSeq(u64_at(bytes, 24)),
            position: u32_at(bytes, 32),
            body_bytes,
            entries: u32_at(bytes, 40),
            digest: u32_at(bytes, 44),
            durable: FrameSeq(u64_at(bytes, 48)),
            sealed_at_us: u64_at(bytes, 56) as i64,
        })
    }
}

impl EntryHeader {
    /// Writes the header into the first [`ENTRY_HEADER_BYTES`] bytes of an entry.
    pub fn encode(&self, out: &mut [u8]) {
        out[0..4].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        out[8..12].copy_from_slice(&self.partition.0.to_le_bytes());
        out[12] = self.kind as u8;
        out[13] = 0;
        out[14..16].copy_from_slice(&self.key_bytes.to_le_bytes());
    }

    /// Reads an entry header. Does not check the checksum, which needs the payload.
    ///
    /// # Errors
    /// Too short, or an unknown kind.
    pub fn decode(bytes: &[u8]) -> Result<EntryHeader, FormatError> {
        need(bytes, ENTRY_HEADER_BYTES)?;
        let Some(kind) = EntryKind::from_wire(bytes[12]) else {
            return Err(FormatError::Field {
                field: "kind",
                value: bytes[12].into(),
            });
        };
        Ok(EntryHeader {
            payload_bytes: u32_at(bytes, 0),
            checksum: u32_at(bytes, 4),
            partition: PartitionId(u32_at(bytes, 8)),
            kind,
            key_bytes: u16_at(bytes, 14),
        })
    }
}

/// An entry's checksum: CRC-32C over its header without the checksum field, then its payload (of
/// a batch only the first [`BATCH_CHECKED_BYTES`], see the module's text).
pub fn entry_checksum(header: &EntryHeader, payload: &[u8]) -> u32 {
    let checked = match header.kind {
        EntryKind::Batch => &payload[..payload.len().min(BATCH_CHECKED_BYTES)],
        EntryKind::Position | EntryKind::State | EntryKind::Marker => payload,
    };
    // Put together, what most entries' checksums cover is one short run of bytes.
    const HEADER_BYTES: usize = ENTRY_HEADER_BYTES - size_of::<u32>();
    let mut bytes = [0u8; 64];
    header.encode(&mut bytes);
    bytes.copy_within(8..ENTRY_HEADER_BYTES, 4);
    let (first, rest) = checked.split_at(checked.len().min(bytes.len() - HEADER_BYTES));
    let end = HEADER_BYTES + first.len();
    bytes[HEADER_BYTES..end].copy_from_slice(first);
    let crc = crc32c::crc32c(&bytes[..end]);
    match rest {
        [] => crc,
        rest => crc32c::crc32c_append(crc, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> FrameHeader {
        FrameHeader {
            stripe: StripeId(3),
            seq: FrameSeq(77),
            segment: SegmentSeq(5),
            position: 8192,
            body_bytes: 1000,
            entries: 2,
            digest: 0xdead_beef,
            epoch: 4,
            durable: FrameSeq(75),
            sealed_at_us: 1_700_000_000_000_000,
        }
    }

    #[test]
    fn headers_come_back_as_written_and_any_flipped_bit_is_noticed() {
        let mut bytes = [0u8; FRAME_HEADER_BYTES];
        frame().encode(&mut bytes);
        assert_eq!(FrameHeader::decode(&bytes), Ok(frame()));
        for bit in 0..FRAME_HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::decode(&bad).is_err(), "bit {bit}");
        }
        let header = SegmentHeader {
            stripe: StripeId(1),
            seq: SegmentSeq(9),
            directory_id: 1 << 100,
            segment_bytes: 64 << 20,
        };
        let mut block = [0u8; SEGMENT_HEADER_BYTES];
        header.encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
        for bit in 0..64 * 8 {
            let mut bad = block;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_entrys_checksum_covers_header_and_payload() {
        let header = EntryHeader {
            payload_bytes: 8,
            checksum: 0,
            partition: PartitionId(2),
            kind: EntryKind::Position,
            key_bytes: 0,
        };
        let checksum = entry_checksum(&header, &7i64.to_le_bytes());
        let covered = [&8u32.to_le_bytes()[..], &2u32.to_le_bytes(), &[2, 0, 0, 0]].concat();
        assert_eq!(
            checksum,
            crc32c::crc32c(&[&covered, &7i64.to_le_bytes()[..]].concat())
        );
        for len in [51, 52, 53, 500] {
            let payload = vec![9; len];
            let whole = [&covered, &payload[..]].concat();
            assert_eq!(entry_checksum(&header, &payload), crc32c::crc32c(&whole));
        }
        assert_ne!(checksum, entry_checksum(&header, &8i64.to_le_bytes()));
        let other = EntryHeader {
            partition: PartitionId(3),
            ..header
        };
        assert_ne!(checksum, entry_checksum(&other, &7i64.to_le_bytes()));
    }
}
