//! Batches as Kafka's clients send them, into a log on a simulated disk and out of it.
#![allow(dead_code)] // Each test uses a part of it.

use corelane::exactly_once::producers::Verdict;
use corelane::ids::{Offset, PartitionId, UnixMillis};
use corelane::log::sim::{Kept, Pace};
use corelane::log::storage::{AppendError, AtLeastOne, BatchesRead, Placed, ReadBounds, ReadEnd};
use corelane::wire::{BatchSpec, RecordSource, batch_len, write_batch};

use super::log_rig::{Rig, Setup};

/// A partition that no handler processes.
pub const PLAIN: PartitionId = PartitionId(4);

pub const OTHER: PartitionId = PartitionId(5);

pub const TRANSACTIONAL: u8 = 0x10;

/// A batch as a client sends it: `records` of `filler` bytes.
pub fn batch(records: u32, filler: usize, timestamp: i64) -> Vec<u8> {
    let value = vec![b'v'; filler];
    let sources = || {
        (0..records).map(|n| RecordSource {
            timestamp_delta: i64::from(n),
            ..RecordSource::new(Some(b"key"), Some(&value))
        })
    };
    let spec = BatchSpec {
        base_offset: Offset(0),
        base_timestamp: UnixMillis(timestamp),
        max_timestamp: UnixMillis(timestamp + i64::from(records) - 1),
    };
    let mut out = vec![0; batch_len(sources())];
    write_batch(&mut out, &spec, sources());
    out
}

/// The same by an idempotent producer.
pub fn produced(id: i64, epoch: i16, sequence: i32, attributes: u8, records: u32) -> Vec<u8> {
    let mut bytes = batch(records, 40, 1_700_000_000_000);
    bytes[22] |= attributes;
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    seal(&mut bytes);
    bytes
}

pub fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Appends, in as many cycles as it takes.
pub fn append(rig: &mut Rig, partition: PartitionId, bytes: &[u8]) -> Result<Placed, AppendError> {
    for _ in 0..1000 {
        match rig.log.append_batch(rig.now, partition, bytes) {
            Err(AppendError::Full) => rig.cycle(),
            result => return result,
        };
    }
    panic!("the log stays full");
}

pub fn end(rig: &mut Rig, id: i64, epoch: i16, verdict: Verdict) -> Placed {
    let marked = rig.log.append_marker(rig.now, PLAIN, id, epoch, verdict);
    let placed = marked.expect("there is room and the epoch is right");
    rig.settle();
    placed
}

/// Writes so much to another partition that several segments are sealed.
pub fn fill(rig: &mut Rig) {
    for _ in 0..60 {
        append(rig, OTHER, &batch(10, 1000, 0)).expect("nothing is wrong with it");
        rig.cycle();
    }
    rig.settle();
}

pub fn restart(mut rig: Rig) -> Rig {
    rig.finish();
    crash(rig)
}

pub fn crash(rig: Rig) -> Rig {
    let files = rig.files.clone();
    rig.into_disk().crash(|_, _| Kept::Nothing);
    let mut setup = Setup::new(9, Pace::Polls(3));
    setup.epoch = 2;
    let mut rig = Rig::open(files, &setup).expect("nothing is damaged");
    rig.settle();
    rig
}

pub fn bounds(bytes_max: usize, end: ReadEnd) -> ReadBounds {
    ReadBounds {
        bytes_max,
        end,
        at_least_one: AtLeastOne::Yes,
    }
}

/// All bytes of a partition up to an end.
pub fn read_all(rig: &mut Rig, partition: PartitionId, end: ReadEnd, bytes_max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut from = rig.log.ends(partition).start;
    loop {
        let bounds = bounds(bytes_max, end);
        match rig.log.read_batches(partition, from, bounds, &mut out) {
            Ok(BatchesRead::Batches { next }) => from = next,
            Ok(BatchesRead::Empty) => return out,
            Ok(BatchesRead::Pending) => {
                rig.cycle();
            }
            Err(error) => panic!("{error}"),
        }
    }
}
