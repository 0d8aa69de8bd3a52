//! The index file of a sealed segment: where each partition's batches lie in it, and the stripe's
//! whole state at its end, so that a restart needs to read only what came after.
//!
//! Owns: the bytes of the file. Never does: I/O. Runs on: housekeeping threads.
//!
//! ```text
//! 0 magic "CLINDEX\0" | 8 version u16 | 10 stripe u16 | 12 epoch u32 | 16 segment u64
//! 24 directory id u128 | 40 first frame u64 | 48 last frame u64 | 56 end position u32
//! 60 partitions in the index u32 | 64 largest timestamp i64 | 72 partitions in the state u32
//! 76 state pairs u32 | 80 body
//! body: index of each partition (id u32, batches u32, then for each batch: base offset i64,
//!       largest timestamp i64, records u32, position u32, bytes u32),
//!       state of each partition (id u32, log start i64, next offset i64, position i64),
//!       state pairs (key length u32, value length u32, key, value),
//!       in version 2 what is known of Kafka's producers (see `producers.rs`)
//! last 4 bytes: CRC-32C of all before it
//! ```
//! All numbers are little endian. Version 2 is written only where there is something to say of
//! producers, so that a directory without any stays one of version 1 throughout.

mod producers;

use crate::ids::{FrameSeq, Offset, PartitionId, SegmentSeq, StripeId, UnixMillis};
use crate::log::format::{FORMAT_VERSION, FormatError};
use crate::log::state::{IndexEntry, PartitionOffsets, SegmentIndex, StripeState};

/// Version of an index file with a section on producers.
const VERSION_WITH_PRODUCERS: u16 = 2;

const MAGIC: [u8; 8] = *b"CLINDEX\0";
const HEADER_BYTES: usize = 80;
const CHECKSUM_BYTES: usize = 4;
const BATCH_BYTES: usize = 28;

/// Bytes of an index file at the most; a longer one is refused unread.
pub const INDEX_BYTES_MAX: usize = 1 << 30;

/// What an index file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// The stripe it belongs to.
    pub stripe: StripeId,
    /// The segment it describes.
    pub segment: SegmentSeq,
    /// Identifies the data directory.
    pub directory_id: u128,
    /// Not below the epoch of the segment's last frame, not above that of any later frame.
    pub epoch: u32,
    /// Where each partition's batches lie.
    pub index: SegmentIndex,
    /// The stripe's state at the end of the segment.
    pub state: StripeState,
}

impl IndexFile {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let batches: usize = self.index.partitions.values().map(Vec::len).sum();
        let mut out = Vec::with_capacity(HEADER_BYTES + batches * BATCH_BYTES + 64);
        out.extend_from_slice(&MAGIC);
        let version = if self.state.producers.is_empty() {
            FORMAT_VERSION
        } else {
            VERSION_WITH_PRODUCERS
        };
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&self.stripe.0.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.segment.0.to_le_bytes());
        out.extend_from_slice(&self.directory_id.to_le_bytes());
        out.extend_from_slice(&self.index.frame_first.0.to_le_bytes());
        out.extend_from_slice(&self.index.frame_last.0.to_le_bytes());
        out.extend_from_slice(&self.index.end_position.to_le_bytes());
        put_count(&mut out, self.index.partitions.len());
        out.extend_from_slice(&self.index.timestamp_max.0.to_le_bytes());
        put_count(&mut out, self.state.partitions.len());
        put_count(&mut out, self.state.values.len());
        debug_assert_eq!(out.len(), HEADER_BYTES);
        for (partition, batches) in &self.index.partitions {
            out.extend_from_slice(&partition.0.to_le_bytes());
            put_count(&mut out, batches.len());
            for batch in batches {
                out.extend_from_slice(&batch.base_offset.0.to_le_bytes());
                out.extend_from_slice(&batch.timestamp_max.0.to_le_bytes());
                out.extend_from_slice(&batch.records.to_le_bytes());
                out.extend_from_slice(&batch.position.to_le_bytes());
                out.extend_from_slice(&batch.bytes.to_le_bytes());
            }
        }
        for (partition, offsets) in &self.state.partitions {
            out.extend_from_slice(&partition.0.to_le_bytes());
            for offset in [offsets.log_start, offsets.next, offsets.position] {
                out.extend_from_slice(&offset.0.to_le_bytes());
            }
        }
        for (key, value) in &self.state.values {
            put_count(&mut out, key.len());
            put_count(&mut out, value.len());
            out.extend_from_slice(key);
            out.extend_from_slice(value);
        }
        if version == VERSION_WITH_PRODUCERS {
            producers::encode(&self.state.producers, &mut out);
        }
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads and checks a file's bytes.
    ///
    /// # Errors
    /// Cut short, another magic or version, a wrong checksum, or counts that do not fit.
    pub fn decode(bytes: &[u8]) -> Result<IndexFile, FormatError> {
        let (version, body_end) = check_frame(bytes)?;
        let mut fields = Fields(&bytes[10..body_end]);
        let stripe = StripeId(fields.u16()?);
        let epoch = fields.u32()?;
        let segment = SegmentSeq(fields.u64()?);
        let directory_id = fields.u128()?;
        let frame_first = FrameSeq(fields.u64()?);
        let frame_last = FrameSeq(fields.u64()?);
        let end_position = fields.u32()?;
        let indexed = fields.u32()?;
        let timestamp_max = UnixMillis(fields.i64()?);
        let stated = fields.u32()?;
        let pairs = fields.u32()?;
        let mut index = SegmentIndex {
            frame_first,
            frame_last,
            end_position,
            timestamp_max,
            ..SegmentIndex::default()
        };
        for _ in 0..indexed {
            let partition = PartitionId(fields.u32()?);
            index.partitions.insert(partition, fields.batches()?);
        }
        let mut state = StripeState::default();
        for _ in 0..stated {
            let partition = PartitionId(fields.u32()?);
            state.partitions.insert(partition, fields.offsets()?);
        }
        for _ in 0..pairs {
            let (key_bytes, value_bytes) = (fields.u32()?, fields.u32()?);
            let key = fields.take(key_bytes as usize)?.to_vec();
            let value = fields.take(value_bytes as usize)?.to_vec();
            state.values.insert(key, value);
        }
        if version == VERSION_WITH_PRODUCERS {
            state.producers = producers::decode(&mut fields)?;
        }
        if !fields.0.is_empty() {
            return Err(FormatError::Field {
                field: "bytes after the state",
                value: fields.0.len() as u64,
            });
        }
        Ok(IndexFile {
            stripe,
            segment,
            directory_id,
            epoch,
            index,
            state,
        })
    }
}

/// Counts and lengths of one segment and its state; a segment is at most 2 GiB.
fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("bounded by the largest segment");
    out.extend_from_slice(&count.to_le_bytes());
}

/// Magic, checksum and version; returns the version and where the body ends.
fn check_frame(bytes: &[u8]) -> Result<(u16, usize), FormatError> {
    let need = HEADER_BYTES + CHECKSUM_BYTES;
    let have = bytes.len();
    if have < need {
        return Err(FormatError::Short { have, need });
    }
    if bytes[..8] != MAGIC {
        return Err(FormatError::Magic("index"));
    }
    let body_end = have - CHECKSUM_BYTES;
    let mut checksum = Fields(&bytes[body_end..]);
    if crc32c::crc32c(&bytes[..body_end]) != checksum.u32()? {
        return Err(FormatError::Checksum("the index file"));
    }
    let version = Fields(&bytes[8..]).u16()?;
    if ![FORMAT_VERSION, VERSION_WITH_PRODUCERS].contains(&version) {
        return Err(FormatError::Version {
            what: "the index file",
            found: version,
        });
    }
    Ok((version, body_end))
}

/// Reads fields in order; every length is checked before it is used.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, need: usize) -> Result<&'a [u8], FormatError> {
        let have = self.0.len();
        let (bytes, rest) = self
            .0
            .split_at_checked(need)
            .ok_or(FormatError::Short { have, need })?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let bytes = self.take(N)?;
        Ok(bytes
            .try_into()
            .expect("take returns as many bytes as asked"))
    }

    fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    fn i16(&mut self) -> Result<i16, FormatError> {
        self.array().map(i16::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, FormatError> {
        self.array().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, FormatError> {
        self.array().map(i64::from_le_bytes)
    }

    fn u128(&mut self) -> Result<u128, FormatError> {
        self.array().map(u128::from_le_bytes)
    }

    fn batches(&mut self) -> Result<Vec<IndexEntry>, FormatError> {
        let count = self.u32()? as usize;
        // Bounds the allocation by the bytes that are there.
        let mut fields = Fields(self.take(count.saturating_mul(BATCH_BYTES))?);
        let mut batches = Vec::with_capacity(count);
        for _ in 0..count {
            let base_offset = Offset(fields.i64()?);
            let timestamp_max = UnixMillis(fields.i64()?);
            batches.push(IndexEntry {
                base_offset,
                timestamp_max,
                records: fields.u32()?,
                position: fields.u32()?,
                bytes: fields.u32()?,
            });
        }
        Ok(batches)
    }

    fn offsets(&mut self) -> Result<PartitionOffsets, FormatError> {
        Ok(PartitionOffsets {
            log_start: Offset(self.i64()?),
            next: Offset(self.i64()?),
            position: Offset(self.i64()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> IndexFile {
        let batch = |n: i64| IndexEntry {
            base_offset: Offset(n * 10),
            records: 10,
            position: 4096 * n as u32 + 80,
            bytes: 900,
            timestamp_max: UnixMillis(1_700_000_000_000 + n),
        };
        let offsets = PartitionOffsets {
            log_start: Offset(0),
            next: Offset(20),
            position: Offset(15),
        };
        IndexFile {
            stripe: StripeId(2),
            segment: SegmentSeq(7),
            directory_id: 0xfeed << 100,
            epoch: 3,
            index: SegmentIndex {
                partitions: [(PartitionId(4), vec![batch(1), batch(2)])].into(),
                frame_first: FrameSeq(100),
                frame_last: FrameSeq(180),
                end_position: 90 * 4096,
                timestamp_max: UnixMillis(1_700_000_000_002),
            },
            state: StripeState {
                partitions: [(PartitionId(4), offsets), (PartitionId(9), offsets)].into(),
                values: [(b"sum".to_vec(), b"42".to_vec()), (vec![], vec![1])].into(),
                producers: [(PartitionId(9), producers::sample())].into(),
            },
        }
    }

    #[test]
    fn without_producers_an_index_is_of_version_1() {
        let mut file = sample();
        file.state.producers.clear();
        let bytes = file.encode();
        assert_eq!(bytes[8..10], FORMAT_VERSION.to_le_bytes());
        assert_eq!(IndexFile::decode(&bytes), Ok(file));
        assert_eq!(sample().encode()[8..10], [2, 0]);
    }

    #[test]
    fn an_index_comes_back_as_written_and_any_damage_is_noticed() {
        let bytes = sample().encode();
        assert_eq!(IndexFile::decode(&bytes), Ok(sample()));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(IndexFile::decode(&bad).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(IndexFile::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn counts_below_a_valid_checksum_never_panic_or_allocate_without_bytes() {
        let bytes = sample().encode();
        let body_end = bytes.len() - CHECKSUM_BYTES;
        for at in 10..body_end - 3 {
            let mut bad = bytes.clone();
            bad[at..at + 4].fill(0xff);
            let checksum = crc32c::crc32c(&bad[..body_end]);
            bad[body_end..].copy_from_slice(&checksum.to_le_bytes());
            let _ = IndexFile::decode(&bad);
        }
    }
}
