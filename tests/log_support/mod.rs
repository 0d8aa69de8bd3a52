//! Writes a stripe's segments frame by frame, as the log's format says and independently of the
//! code that does so in earnest.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses a part of it.

use std::path::Path;

use corelane::exactly_once::Fingerprint;
use corelane::ids::{FrameSeq, Offset, PartitionId, SegmentSeq, StripeId, UnixMillis};
use corelane::log::files::{MemoryFiles, segment_path};
use corelane::log::format::*;
use corelane::log::recover::{Access, RecoverOptions};
use corelane::wire::{BatchSpec, RecordSource, batch_len, write_batch};

pub const DIRECTORY_ID: u128 = 0xc0de_0000_0000_0000_0000_0000_0000_0001;
pub const SEGMENT_BYTES: u64 = 128 << 10;
pub const TIME: i64 = 1_700_000_000_000;

/// An entry to be put into a frame.
pub enum Put<'a> {
    /// Partition, base offset, keys of the records.
    Batch(u32, i64, &'a [&'a str]),
    /// Partition, position.
    Position(u32, i64),
    /// Key, value.
    State(&'a str, &'a str),
    Marker,
}

pub fn batch_bytes(base_offset: i64, keys: &[&str]) -> Vec<u8> {
    let records = || {
        let keys = keys.iter();
        keys.map(|key| RecordSource::new(Some(key.as_bytes()), Some(b"some value".as_slice())))
    };
    let spec = BatchSpec {
        base_offset: Offset(base_offset),
        base_timestamp: UnixMillis(TIME + base_offset),
        max_timestamp: UnixMillis(TIME + base_offset),
    };
    let mut out = vec![0; batch_len(records())];
    write_batch(&mut out, &spec, records());
    out
}

fn entry(put: &Put<'_>) -> (EntryHeader, Vec<u8>) {
    let (kind, partition, key_bytes, payload) = match put {
        Put::Batch(partition, base, keys) => {
            (EntryKind::Batch, *partition, 0, batch_bytes(*base, keys))
        }
        Put::Position(partition, position) => (
            EntryKind::Position,
            *partition,
            0,
            position.to_le_bytes().to_vec(),
        ),
        Put::State(key, value) => (
            EntryKind::State,
            0,
            key.len(),
            format!("{key}{value}").into_bytes(),
        ),
        Put::Marker => (EntryKind::Marker, 0, 0, Vec::new()),
    };
    let mut header = EntryHeader {
        payload_bytes: payload.len() as u32,
        checksum: 0,
        partition: PartitionId(partition),
        kind,
        key_bytes: key_bytes as u16,
    };
    header.checksum = entry_checksum(&header, &payload);
    (header, payload)
}

/// Where the next frame goes.
#[derive(Clone)]
pub struct StripeWriter {
    pub files: MemoryFiles,
    pub stripe: StripeId,
    pub segment: u64,
    pub position: u32,
    pub seq: u64,
    pub epoch: u32,
    pub durable: u64,
    pub segment_bytes: u64,
    pub directory_id: u128,
}

impl StripeWriter {
    /// A stripe with one empty segment.
    pub fn new(files: &MemoryFiles) -> StripeWriter {
        StripeWriter::of(files, StripeId(0), DIRECTORY_ID, SEGMENT_BYTES)
    }

    /// The same, of any stripe and directory.
    pub fn of(
        files: &MemoryFiles,
        stripe: StripeId,
        directory_id: u128,
        segment_bytes: u64,
    ) -> StripeWriter {
        let mut writer = StripeWriter {
            files: files.clone(),
            stripe,
            segment: 0,
            position: SEGMENT_HEADER_BYTES as u32,
            seq: 1,
            epoch: 1,
            durable: 0,
            segment_bytes,
            directory_id,
        };
        writer.start_segment(0);
        writer
    }

    pub fn path(&self) -> String {
        segment_path(self.stripe, SegmentSeq(self.segment))
    }

    /// Writes the header block of a segment (zeros behind it if it is new) and goes there.
    pub fn start_segment(&mut self, seq: u64) {
        self.prepare_segment(seq);
        self.segment = seq;
        self.position = SEGMENT_HEADER_BYTES as u32;
    }

    /// Writes the header block of a segment and stays where it is.
    pub fn prepare_segment(&self, seq: u64) {
        let header = SegmentHeader {
            stripe: self.stripe,
            seq: SegmentSeq(seq),
            directory_id: self.directory_id,
            segment_bytes: self.segment_bytes,
        };
        let mut block = [0; SEGMENT_HEADER_BYTES];
        header.encode(&mut block);
        let path = segment_path(self.stripe, SegmentSeq(seq));
        self.files.write_at(&path, 0, &block);
        self.files.write_at(&path, self.segment_bytes - 1, &[0]);
    }

    /// The bytes of the next frame, padding included.
    pub fn frame(&self, puts: &[Put<'_>]) -> Vec<u8> {
        let mut bytes = vec![0; FRAME_HEADER_BYTES];
        let mut digest = 0;
        for put in puts {
            let (header, payload) = entry(put);
            let start = bytes.len();
            bytes.resize(start + entry_bytes(payload.len()), 0);
            header.encode(&mut bytes[start..]);
            let at = start + ENTRY_HEADER_BYTES;
            bytes[at..at + payload.len()].copy_from_slice(&payload);
            digest = crc32c::crc32c_append(digest, &header.checksum.to_le_bytes());
        }
        let body_bytes = bytes.len() - FRAME_HEADER_BYTES;
        let header = FrameHeader {
            stripe: self.stripe,
            seq: FrameSeq(self.seq),
            segment: SegmentSeq(self.segment),
            position: self.position,
            body_bytes: body_bytes as u32,
            entries: puts.len() as u32,
            digest,
            epoch: self.epoch,
            durable: FrameSeq(self.durable),
            sealed_at_us: TIME * 1000,
        };
        header.encode(&mut bytes);
        bytes.resize(frame_bytes(body_bytes), 0);
        bytes
    }

    /// Writes the next frame; returns where it starts.
    pub fn write(&mut self, puts: &[Put<'_>]) -> u32 {
        let bytes = self.frame(puts);
        let at = self.position;
        self.files.write_at(&self.path(), at.into(), &bytes);
        self.position += bytes.len() as u32;
        self.seq += 1;
        at
    }

    /// The same, and it is known durable before the next frame is sealed.
    pub fn write_durable(&mut self, puts: &[Put<'_>]) -> u32 {
        let at = self.write(puts);
        self.durable = self.seq - 1;
        at
    }
}

/// Writes files below `root`, those of segments without the zeros at their end.
pub fn save(files: &MemoryFiles, root: &Path) {
    for (path, mut bytes) in files.snapshot() {
        if path.ends_with(".log") {
            let used = bytes
                .iter()
                .rposition(|&byte| byte != 0)
                .map_or(0, |last| last + 1);
            bytes.truncate(align_up(used, 4096));
        }
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Not a hash, but tells the tests' keys apart.
pub fn fingerprint(key: &[u8]) -> Fingerprint {
    let mut bytes = [0; 16];
    let len = key.len().min(16);
    bytes[..len].copy_from_slice(&key[..len]);
    Fingerprint(u128::from_le_bytes(bytes))
}

pub fn options() -> RecoverOptions<'static> {
    RecoverOptions {
        directory_id: DIRECTORY_ID,
        access: Access::Repair,
        window_records_max: 0,
        window_partitions: &|_| true,
        fingerprint: &fingerprint,
    }
}
