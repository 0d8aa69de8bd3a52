//! What a data directory holds, read straight from its segments.
//!
//! Written against the format alone, not against the engine's own recovery, so that the two can
//! disagree. Follows each stripe's frames by number and epoch until none follows.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corelane::ids::{FrameSeq, Offset, PartitionId, SegmentSeq, ShardId, UnixMillis};
use corelane::log::format::{
    ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES, FrameHeader,
    SEGMENT_HEADER_BYTES, SegmentHeader, entry_bytes, entry_checksum, frame_bytes,
};
use corelane::transaction::codec;
use corelane::wire::BatchView;

/// A stored transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub partition: PartitionId,
    pub offset: Offset,
    pub timestamp: UnixMillis,
    pub id: String,
    pub amount: u64,
}

/// Everything that a data directory holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// Per partition, in the order in which they were appended.
    pub records: BTreeMap<PartitionId, Vec<Stored>>,
    /// The next offset to process; partitions without one stand at 0.
    pub positions: BTreeMap<PartitionId, Offset>,
    /// State pairs by stripe and key.
    pub state: BTreeMap<(u16, Vec<u8>), Vec<u8>>,
}

/// Count and sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub transactions: u64,
    pub amount: u128,
}

impl Totals {
    pub fn add(&mut self, amount: u64) {
        self.transactions += 1;
        self.amount += u128::from(amount);
    }
}

impl Contents {
    /// Reads a data directory that no process has open.
    pub fn read(data_dir: &Path) -> Contents {
        let mut contents = Contents::default();
        for folder in sorted(data_dir) {
            let name = folder
                .file_name()
                .expect("listed by name")
                .to_string_lossy();
            if let Some(stripe) = name.strip_prefix("stripe-") {
                contents.read_stripe(stripe.parse().expect("a number"), &folder);
            }
        }
        contents
    }

    /// What the ledger's state says, over all stripes: key `ledger/` and the shard (u16), value
    /// count (u64) and sum (u128), all little endian.
    pub fn ledger(&self) -> BTreeMap<ShardId, Totals> {
        let mut ledger: BTreeMap<ShardId, Totals> = BTreeMap::new();
        for ((_, key), value) in &self.state {
            let Some(shard) = key.strip_prefix(b"ledger/") else {
                continue;
            };
            let shard = u16::from_le_bytes(shard.try_into().expect("two bytes"));
            let (count, sum) = value.split_at(8);
            let totals = ledger.entry(ShardId(shard)).or_default();
            totals.transactions += u64::from_le_bytes(count.try_into().expect("eight bytes"));
            totals.amount += u128::from_le_bytes(sum.try_into().expect("sixteen bytes"));
        }
        ledger
    }

    fn read_stripe(&mut self, stripe: u16, folder: &Path) {
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "log");
        let mut chain = Chain {
            stripe,
            seq_next: FrameSeq(1),
            epoch: 0,
        };
        for path in sorted(folder).into_iter().filter(is_segment) {
            let bytes = std::fs::read(&path).expect("a segment can be read");
            let header = SegmentHeader::decode(&bytes).expect("a segment has its header");
            assert_eq!(header.stripe.0, stripe, "{}", path.display());
            let mut at = SEGMENT_HEADER_BYTES;
            while let Some((frame, body)) = chain.next(&bytes, at, header.seq) {
                self.read_frame(stripe, body);
                at += frame_bytes(frame.body_bytes as usize);
            }
        }
    }

    fn read_frame(&mut self, stripe: u16, body: &[u8]) {
        for (header, payload) in entries(body).expect("the chain has checked them") {
            match header.kind {
                EntryKind::Batch => self.read_batch(header.partition, payload),
                EntryKind::Position => {
                    let next = i64::from_le_bytes(payload.try_into().expect("eight bytes"));
                    self.positions.insert(header.partition, Offset(next));
                }
                EntryKind::State => {
                    let (key, value) = payload.split_at(usize::from(header.key_bytes));
                    let key = (stripe, key.to_vec());
                    if value.is_empty() {
                        self.state.remove(&key);
                    } else {
                        self.state.insert(key, value.to_vec());
                    }
                }
                EntryKind::Marker => {}
            }
        }
    }

    fn read_batch(&mut self, partition: PartitionId, batch: &[u8]) {
        let batch = BatchView::parse(batch).expect("a batch in a valid frame is valid");
        let records = self.records.entry(partition).or_default();
        for record in batch.records().expect("not compressed") {
            let record = record.expect("a record in a valid batch is valid");
            let value = record.value.expect("a transaction has bytes");
            let transaction = codec::decode(value).expect("what is stored decodes");
            assert_eq!(record.key, Some(transaction.id), "the key is the id");
            records.push(Stored {
                partition,
                offset: record.offset,
                timestamp: record.timestamp,
                id: String::from_utf8_lossy(transaction.id).into_owned(),
                amount: transaction.amount.unwrap_or(0),
            });
        }
    }
}

/// How far a stripe has been followed.
struct Chain {
    stripe: u16,
    seq_next: FrameSeq,
    epoch: u32,
}

impl Chain {
    /// The frame at `at` with its entries, if it is whole and the next one.
    fn next<'a>(
        &mut self,
        bytes: &'a [u8],
        at: usize,
        segment: SegmentSeq,
    ) -> Option<(FrameHeader, &'a [u8])> {
        let frame = FrameHeader::decode(bytes.get(at..)?).ok()?;
        let is_next = frame.stripe.0 == self.stripe
            && frame.segment == segment
            && frame.position as usize == at
            && frame.seq == self.seq_next
            && frame.epoch >= self.epoch;
        let start = at + FRAME_HEADER_BYTES;
        let body = bytes.get(start..start + frame.body_bytes as usize)?;
        let mut digest = 0;
        let entries = entries(body)?;
        for (header, _) in &entries {
            digest = crc32c::crc32c_append(digest, &header.checksum.to_le_bytes());
        }
        if !is_next || digest != frame.digest || entries.len() != frame.entries as usize {
            return None;
        }
        self.seq_next = FrameSeq(frame.seq.0 + 1);
        self.epoch = frame.epoch;
        Some((frame, body))
    }
}

/// The entries of a frame; `None` where one is damaged.
fn entries(mut body: &[u8]) -> Option<Vec<(EntryHeader, &[u8])>> {
    let mut entries = Vec::new();
    while !body.is_empty() {
        let header = EntryHeader::decode(body).ok()?;
        let payload_bytes = header.payload_bytes as usize;
        let payload = body.get(ENTRY_HEADER_BYTES..ENTRY_HEADER_BYTES + payload_bytes)?;
        if entry_checksum(&header, payload) != header.checksum {
            return None;
        }
        if header.kind == EntryKind::Batch && BatchView::parse(payload).is_err() {
            return None;
        }
        entries.push((header, payload));
        body = body.get(entry_bytes(payload_bytes)..).unwrap_or_default();
    }
    Some(entries)
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder can be listed")
        .map(|entry| entry.expect("its entries can be listed").path())
        .collect();
    paths.sort();
    paths
}
