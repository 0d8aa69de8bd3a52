//! What the log promises the broker, on a simulated disk:
//!
//! - whole batches come back byte for byte, from memory and from the device, whoever reads along;
//! - a batch that is sent again is recognised, also after a restart;
//! - open and aborted transactions and deleted records survive restarts;
//! - marks become durable in order, or are lost for good; a group of pairs is there as a whole or
//!   not at all;
//! - a watched partition wakes its reader when there is news, and only then.

mod support;

use std::io;

use corelane::exactly_once::producers::{ProducerError, Verdict};
use corelane::ids::{Offset, PartitionId, TopicId, UnixMillis};
use corelane::log::files::MemoryFiles;
use corelane::log::recover::Access;
use corelane::log::sim::{Kept, Pace};
use corelane::log::storage::{
    AppendError, AtLeastOne, BatchesRead, DeleteError, Fate, Mark, Placed, ReadBatchesError,
    ReadBounds, ReadEnd, Submission, TimeLookup,
};
use corelane::log::stripe::{PartitionSpec, Processing, ReadAt, TopicRetention};
use corelane::storage::{Consumer, Outputs, Producer, ReadOutcome, Visit};
use corelane::wire::{BatchSpec, RecordSource, assign, batch_len, write_batch};
use support::log_rig::{Rig, SEGMENT_BYTES, STRIPE, Setup, recover_from};

/// A partition that no handler processes.
const PLAIN: PartitionId = PartitionId(4);

const OTHER: PartitionId = PartitionId(5);

const TRANSACTIONAL: u8 = 0x10;

/// A batch as a client sends it: `records` of `filler` bytes.
fn batch(records: u32, filler: usize, timestamp: i64) -> Vec<u8> {
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
fn produced(id: i64, epoch: i16, sequence: i32, attributes: u8, records: u32) -> Vec<u8> {
    let mut bytes = batch(records, 40, 1_700_000_000_000);
    bytes[22] |= attributes;
    bytes[43..51].copy_from_slice(&id.to_be_bytes());
    bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
    bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    seal(&mut bytes);
    bytes
}

fn seal(bytes: &mut [u8]) {
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// Appends, in as many cycles as it takes.
fn append(rig: &mut Rig, partition: PartitionId, bytes: &[u8]) -> Result<Placed, AppendError> {
    for _ in 0..1000 {
        match rig.log.append_batch(rig.now, partition, bytes) {
            Err(AppendError::Full) => rig.cycle(),
            result => return result,
        };
    }
    panic!("the log stays full");
}

fn end(rig: &mut Rig, id: i64, epoch: i16, verdict: Verdict) -> Placed {
    let marked = rig.log.append_marker(rig.now, PLAIN, id, epoch, verdict);
    let placed = marked.expect("there is room and the epoch is right");
    rig.settle();
    placed
}

/// Writes so much to another partition that several segments are sealed.
fn fill(rig: &mut Rig) {
    for _ in 0..60 {
        append(rig, OTHER, &batch(10, 1000, 0)).expect("nothing is wrong with it");
        rig.cycle();
    }
    rig.settle();
}

fn restart(mut rig: Rig) -> Rig {
    rig.finish();
    crash(rig)
}

fn crash(rig: Rig) -> Rig {
    let files = rig.files.clone();
    rig.into_disk().crash(|_, _| Kept::Nothing);
    let mut setup = Setup::new(9, Pace::Polls(3));
    setup.epoch = 2;
    let mut rig = Rig::open(files, &setup).expect("nothing is damaged");
    rig.settle();
    rig
}

fn bounds(bytes_max: usize, end: ReadEnd) -> ReadBounds {
    ReadBounds {
        bytes_max,
        end,
        at_least_one: AtLeastOne::Yes,
    }
}

/// All bytes of a partition up to an end.
fn read_all(rig: &mut Rig, partition: PartitionId, end: ReadEnd, bytes_max: usize) -> Vec<u8> {
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

fn aborted(rig: &Rig, from: i64, to: i64) -> Vec<(i64, i64)> {
    let mut found = Vec::new();
    rig.log
        .aborted(PLAIN, Offset(from), Offset(to), &mut |id, first| {
            found.push((id, first.0));
        });
    found
}

#[test]
fn batches_come_back_byte_for_byte_to_every_reader() {
    for seed in 0..8_u64 {
        let mut setup = Setup::new(seed, Pace::Polls(seed as u32));
        setup.stripe.tail_bytes = 48 << 10;
        let mut rig = Rig::open(MemoryFiles::new(), &setup).unwrap();
        let mut random = seed;
        let mut draw = |bound: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % bound
        };
        let mut expected = [Vec::new(), Vec::new()];
        let mut readers = [
            (4, Offset(0), Vec::new()),
            (4, Offset(0), Vec::new()),
            (5, Offset(0), Vec::new()),
        ];
        for step in 0..1200 {
            let writes = step < 500 && draw(3) > 0;
            if writes {
                let which = draw(2) as usize;
                let partition = PartitionId(4 + which as u32);
                let mut bytes = batch(1 + draw(9) as u32, draw(700) as usize, 7);
                let placed = append(&mut rig, partition, &bytes).unwrap();
                assign(&mut bytes, placed.base_offset, 0);
                expected[which].extend_from_slice(&bytes);
            }
            let reader = &mut readers[draw(3) as usize];
            let bounds = bounds(draw(60_000) as usize, ReadEnd::Visible);
            let read = rig
                .log
                .read_batches(PartitionId(reader.0), reader.1, bounds, &mut reader.2);
            if let BatchesRead::Batches { next } = read.unwrap() {
                reader.1 = next;
            }
            if draw(3) == 0 {
                rig.cycle();
            }
        }
        rig.settle();
        for (partition, _, seen) in &readers {
            let expected = &expected[*partition as usize - 4];
            assert!(seen.len() > expected.len() / 2, "readers come along");
            assert!(expected.starts_with(seen), "seed {seed}");
        }
        for (which, partition) in [PLAIN, OTHER].into_iter().enumerate() {
            assert_eq!(rig.log.bytes(partition), expected[which].len() as u64);
            assert!(read_all(&mut rig, partition, ReadEnd::Visible, 9000) == expected[which]);
        }
        let mut rig = restart(rig);
        for (which, partition) in [PLAIN, OTHER].into_iter().enumerate() {
            assert_eq!(rig.log.bytes(partition), expected[which].len() as u64);
            assert!(read_all(&mut rig, partition, ReadEnd::Visible, 90_000) == expected[which]);
        }
    }
}

#[test]
fn a_read_keeps_to_its_bounds() {
    let mut rig = Rig::new(1, Pace::Polls(0));
    let bytes = batch(4, 100, 7);
    for _ in 0..3 {
        append(&mut rig, PLAIN, &bytes).unwrap();
    }
    let mut out = Vec::new();
    let all = bounds(1 << 20, ReadEnd::Visible);
    // Nothing is durable, so nothing is visible; that it is there is known.
    let read = |rig: &mut Rig, from, bounds, out: &mut Vec<u8>| {
        rig.log.read_batches(PLAIN, Offset(from), bounds, out)
    };
    assert_eq!(read(&mut rig, 0, all, &mut out), Ok(BatchesRead::Empty));
    assert_eq!(read(&mut rig, 12, all, &mut out), Ok(BatchesRead::Empty));
    let beyond = ReadBatchesError::OutOfRange {
        offset: Offset(13),
        start: Offset(0),
        next: Offset(12),
    };
    assert_eq!(read(&mut rig, 13, all, &mut out), Err(beyond));
    rig.settle();
    let next = |offset| {
        let next = Offset(offset);
        Ok(BatchesRead::Batches { next })
    };
    let one = bounds(1, ReadEnd::Visible);
    let none = ReadBounds {
        at_least_one: AtLeastOne::No,
        ..one
    };
    assert_eq!(read(&mut rig, 5, none, &mut out), next(5));
    assert!(out.is_empty());
    assert_eq!(read(&mut rig, 5, one, &mut out), next(8));
    assert_eq!(out.len(), bytes.len());
    let two = bounds(2 * bytes.len() + 1, ReadEnd::Visible);
    assert_eq!(read(&mut rig, 3, two, &mut out), next(8));
}

#[test]
fn what_is_no_batch_of_a_client_is_refused() {
    let mut rig = Rig::new(1, Pace::Polls(0));
    let refused = |rig: &mut Rig, bytes: &[u8]| match append(rig, PLAIN, bytes) {
        Err(AppendError::Invalid(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let good = produced(1, 0, 0, 0, 3);
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        seal(&mut bytes);
        bytes
    };
    for (what, bytes) in [
        ("attributes", changed(22, &[0x20])),
        ("attributes", changed(22, &[0x08])),
        ("record_count", changed(57, &2_i32.to_be_bytes())),
        ("producer_id", changed(43, &(-2_i64).to_be_bytes())),
        ("producer_epoch", changed(51, &(-1_i16).to_be_bytes())),
        ("base_sequence", changed(53, &(-1_i32).to_be_bytes())),
        ("codec", changed(22, &[5])),
        ("CRC", [&good[..good.len() - 1], &[1]].concat()),
        ("follow", [&good[..], &good[..]].concat()),
        ("offset delta", changed(61 + 3, &[9])),
        ("cut short", good[..good.len() - 1].to_vec()),
    ] {
        let reason = refused(&mut rig, &bytes);
        assert!(reason.contains(what), "{what}: {reason}");
    }
    let mut bytes = batch(1, 10, 0);
    bytes[22] |= TRANSACTIONAL;
    seal(&mut bytes);
    assert!(refused(&mut rig, &bytes).contains("producer_id"));
    let large = batch(1, SEGMENT_BYTES as usize, 0);
    let result = append(&mut rig, PLAIN, &large);
    assert!(matches!(result, Err(AppendError::TooLarge { .. })));
    assert_eq!(rig.log.ends(PLAIN).next, Offset(0));
    append(&mut rig, PLAIN, &good).unwrap();
}

#[test]
fn five_batches_are_recognised_after_a_restart() {
    for sealed in [false, true] {
        let mut rig = Rig::new(1, Pace::Polls(3));
        for n in 0..7 {
            append(&mut rig, PLAIN, &produced(8, 2, n * 3, 0, 3)).unwrap();
        }
        if sealed {
            fill(&mut rig);
        }
        let mut rig = restart(rig);
        for n in 2..7 {
            let placed = append(&mut rig, PLAIN, &produced(8, 2, n * 3, 0, 3)).unwrap();
            let offsets = (placed.base_offset.0, placed.next_offset.0, placed.first);
            let at = i64::from(n) * 3;
            assert_eq!(offsets, (at, at + 3, Submission::Duplicate));
            assert_eq!(rig.log.fate(placed.mark), Fate::Durable);
        }
        let older = append(&mut rig, PLAIN, &produced(8, 2, 3, 0, 3));
        let order = ProducerError::OutOfOrderSequence {
            producer_id: 8,
            found: 3,
            expected: 21,
        };
        assert_eq!(older, Err(AppendError::Producer(order)));
        let fenced = append(&mut rig, PLAIN, &produced(8, 1, 21, 0, 3));
        assert!(matches!(
            fenced,
            Err(AppendError::Producer(
                ProducerError::InvalidProducerEpoch { .. }
            ))
        ));
        let placed = append(&mut rig, PLAIN, &produced(8, 2, 21, 0, 3)).unwrap();
        assert_eq!(
            (placed.base_offset, placed.first),
            (Offset(21), Submission::New)
        );
    }
}

#[test]
fn transactions_hold_the_stable_end_back_and_survive_restarts() {
    for sealed in [false, true] {
        let mut rig = Rig::new(2, Pace::Polls(2));
        append(&mut rig, PLAIN, &batch(2, 10, 0)).unwrap();
        append(&mut rig, PLAIN, &produced(1, 0, 0, TRANSACTIONAL, 3)).unwrap();
        append(&mut rig, PLAIN, &produced(2, 0, 0, TRANSACTIONAL, 1)).unwrap();
        if sealed {
            fill(&mut rig);
        }
        let mut rig = restart(rig);
        let stable = |rig: &Rig| (rig.log.ends(PLAIN).stable.0, rig.log.ends(PLAIN).visible.0);
        assert_eq!(stable(&rig), (2, 6));
        let committed = read_all(&mut rig, PLAIN, ReadEnd::Stable, 1 << 20);
        assert_eq!(committed.len(), batch(2, 10, 0).len());
        let plain = append(&mut rig, PLAIN, &produced(1, 0, 3, 0, 1));
        let state = ProducerError::InvalidTxnState { producer_id: 1 };
        assert_eq!(plain, Err(AppendError::Producer(state)));
        assert_eq!(end(&mut rig, 1, 0, Verdict::Abort).base_offset, Offset(6));
        assert_eq!(stable(&rig), (5, 7));
        end(&mut rig, 2, 1, Verdict::Commit);
        assert_eq!(stable(&rig), (8, 8));
        if sealed {
            fill(&mut rig);
        }
        let mut rig = restart(rig);
        assert_eq!(stable(&rig), (8, 8));
        assert_eq!(aborted(&rig, 0, 8), [(1, 2)]);
        assert_eq!((aborted(&rig, 7, 8), aborted(&rig, 0, 2)), (vec![], vec![]));
        // The marker raised the epoch.
        let fenced = append(&mut rig, PLAIN, &produced(2, 0, 1, TRANSACTIONAL, 1));
        assert!(matches!(fenced, Err(AppendError::Producer(_))));
        append(&mut rig, PLAIN, &produced(2, 1, 0, TRANSACTIONAL, 1)).unwrap();
        let mut producers = Vec::new();
        rig.log.producers(PLAIN, &mut |p| {
            producers.push((p.producer_id, p.epoch, p.last_sequence, p.transaction));
        });
        assert_eq!(producers, [(1, 0, 2, None), (2, 1, 0, Some(Offset(8)))]);
    }
}

#[test]
fn a_transaction_ends_for_readers_when_its_marker_is_durable() {
    let mut rig = Rig::new(3, Pace::Polls(0));
    append(&mut rig, PLAIN, &produced(1, 0, 0, TRANSACTIONAL, 3)).unwrap();
    rig.settle();
    rig.log.disk_mut().set_pace(Pace::Never);
    rig.log
        .append_marker(rig.now, PLAIN, 1, 0, Verdict::Commit)
        .unwrap();
    rig.cycle();
    assert_eq!(rig.log.ends(PLAIN).stable, Offset(0));
    rig.log.disk_mut().set_pace(Pace::Polls(0));
    rig.settle();
    assert_eq!(rig.log.ends(PLAIN).stable, Offset(4));
}

#[test]
fn deleted_records_stay_deleted_and_take_aborted_transactions_with_them() {
    let mut rig = Rig::new(4, Pace::Polls(2));
    append(&mut rig, PLAIN, &produced(1, 0, 0, TRANSACTIONAL, 3)).unwrap();
    end(&mut rig, 1, 0, Verdict::Abort);
    append(&mut rig, PLAIN, &batch(10, 10, 0)).unwrap();
    let result = rig.log.delete_records(rig.now, PLAIN, Offset(5));
    let (before, visible) = (Offset(5), Offset(4));
    let out_of_range = DeleteError::OutOfRange {
        before,
        end: visible,
    };
    assert_eq!(result, Err(out_of_range));
    rig.settle();
    let (start, mark) = rig.log.delete_records(rig.now, PLAIN, before).unwrap();
    assert_eq!((start, rig.log.fate(mark)), (before, Fate::Underway));
    assert_eq!(rig.log.bytes(PLAIN), batch(10, 10, 0).len() as u64);
    rig.settle();
    assert_eq!(rig.log.fate(mark), Fate::Durable);
    let again = rig.log.delete_records(rig.now, PLAIN, Offset(1)).unwrap();
    assert_eq!(again.0, before);
    for round in 0..2 {
        if round == 1 {
            fill(&mut rig);
        }
        rig = restart(rig);
        assert_eq!(rig.log.ends(PLAIN).start, before);
        assert_eq!(rig.log.bytes(PLAIN), batch(10, 10, 0).len() as u64);
        assert!(aborted(&rig, 0, 100).is_empty());
        let all = bounds(1 << 20, ReadEnd::Visible);
        let gone = rig.log.read_batches(PLAIN, Offset(4), all, &mut Vec::new());
        assert!(matches!(gone, Err(ReadBatchesError::OutOfRange { .. })));
    }
    // What a handler has to process cannot be deleted.
    rig.offer(0, 1, 10);
    rig.settle();
    let refused = rig.log.delete_records(rig.now, PartitionId(0), Offset(1));
    assert!(matches!(refused, Err(DeleteError::OutOfRange { .. })));
}

#[test]
fn marks_become_durable_in_order_whatever_the_order_of_the_writes() {
    for seed in 0..10 {
        let mut rig = Rig::new(seed, Pace::Polls(12));
        let mut marks: Vec<Mark> = Vec::new();
        for n in 0..400_u32 {
            let placed = append(&mut rig, PLAIN, &batch(5, 1500, 0)).unwrap();
            marks.push(placed.mark);
            if n % 7 == 0 {
                let pairs: [(&[u8], &[u8]); 1] = [(b"\xffg", &n.to_le_bytes())];
                if let Ok(mark) = rig.log.put(rig.now, STRIPE, pairs.into_iter()) {
                    assert!(mark >= placed.mark);
                    marks.push(mark);
                }
            }
            rig.cycle();
            assert!(marks.is_sorted());
            let durable = marks.partition_point(|mark| rig.log.fate(*mark) == Fate::Durable);
            let rest = &marks[durable..];
            assert!(
                rest.iter()
                    .all(|mark| rig.log.fate(*mark) == Fate::Underway)
            );
        }
        rig.settle();
        assert!(
            marks
                .iter()
                .all(|mark| rig.log.fate(*mark) == Fate::Durable)
        );
    }
}

#[test]
fn after_a_failed_write_marks_are_lost_and_nothing_is_taken() {
    let mut rig = Rig::new(5, Pace::Polls(0));
    let before = append(&mut rig, PLAIN, &batch(1, 10, 0)).unwrap().mark;
    rig.settle();
    rig.log.disk_mut().fail_next_write(io::ErrorKind::Other);
    let lost = append(&mut rig, PLAIN, &batch(1, 10, 0)).unwrap().mark;
    for _ in 0..10 {
        rig.cycle();
    }
    assert!(rig.log.error().is_some());
    assert_eq!(
        (rig.log.fate(before), rig.log.fate(lost)),
        (Fate::Durable, Fate::Lost)
    );
    assert_eq!(
        append(&mut rig, PLAIN, &batch(1, 10, 0)),
        Err(AppendError::Poisoned)
    );
    let pairs: [(&[u8], &[u8]); 1] = [(b"\xffg", b"1")];
    let put = rig.log.put(rig.now, STRIPE, pairs.into_iter());
    assert_eq!(put, Err(AppendError::Poisoned));
}

#[test]
fn a_write_torn_at_any_block_leaves_all_pairs_of_a_group_or_none() {
    let large = vec![b'x'; 3000];
    let group: Vec<(Vec<u8>, &[u8])> = (0..6).map(|n| (vec![0xff, b'g', n], &large[..])).collect();
    let mut seen = [0; 2];
    for byte in (0..=24 << 10).step_by(512) {
        let mut rig = Rig::new(6, Pace::Polls(0));
        rig.settle();
        rig.log.disk_mut().set_pace(Pace::Never);
        let pairs = group.iter().map(|(key, value)| (&key[..], *value));
        rig.log.put(rig.now, STRIPE, pairs).unwrap();
        assert_eq!(rig.log.value(STRIPE, &group[5].0), Some(&large[..]));
        rig.cycle();
        let files = rig.files.clone();
        rig.into_disk()
            .crash(|_, size| Kept::Prefix(byte.min(size)));
        let recovered = recover_from(&files, Access::Repair).unwrap();
        let found = recovered.state.values.len();
        assert!(
            found == 0 || found == group.len(),
            "torn at {byte}: {found} pairs"
        );
        seen[usize::from(found > 0)] += 1;
    }
    assert!(seen[0] > 20 && seen[1] > 0, "{seen:?}");
}

#[test]
fn reserved_pairs_are_the_brokers_alone() {
    let mut rig = Rig::new(7, Pace::Polls(1));
    let mut outputs = Outputs::new(4096);
    outputs.set_state(b"sum", b"1").unwrap();
    rig.offer(0, 1, 10);
    rig.settle();
    rig.read_one(0, &outputs);
    let pairs: [(&[u8], &[u8]); 3] = [(b"\xffga", b"1"), (b"\xffgb", b"2"), (b"\xfft", b"3")];
    rig.log.put(rig.now, STRIPE, pairs.into_iter()).unwrap();
    let removed: [(&[u8], &[u8]); 1] = [(b"\xffga", b"")];
    rig.log.put(rig.now, STRIPE, removed.into_iter()).unwrap();
    for round in 0..2 {
        if round == 1 {
            rig = restart(rig);
        }
        assert_eq!(rig.state(), [(b"sum".to_vec(), b"1".to_vec())]);
        let mut found = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| found.push((key.to_vec(), value.to_vec()));
        rig.log.values(STRIPE, b"\xffg", visit);
        assert_eq!(found, [(b"\xffgb".to_vec(), b"2".to_vec())]);
    }
}

fn segments(rig: &Rig) -> usize {
    let files = rig.files.snapshot();
    files.keys().filter(|path| path.ends_with(".log")).count()
}

fn woken(rig: &mut Rig) -> Vec<u32> {
    let mut found = Vec::new();
    rig.log.take_woken(&mut |partition| found.push(partition.0));
    found
}

#[test]
fn a_watch_reports_news_once_and_only_news() {
    let mut setup = Setup::new(8, Pace::Polls(0));
    setup.stripe.tail_bytes = 0;
    let mut rig = Rig::open(MemoryFiles::new(), &setup).unwrap();
    rig.log.watch(PLAIN);
    rig.log.watch(PLAIN);
    append(&mut rig, OTHER, &batch(1, 10, 0)).unwrap();
    rig.settle();
    assert!(woken(&mut rig).is_empty(), "another partition's news");
    append(&mut rig, PLAIN, &batch(1, 10, 0)).unwrap();
    assert!(woken(&mut rig).is_empty(), "not visible yet");
    rig.settle();
    assert_eq!(woken(&mut rig), [4]);
    append(&mut rig, PLAIN, &batch(1, 10, 0)).unwrap();
    rig.settle();
    assert!(woken(&mut rig).is_empty(), "not watched any more");
    // A read from the device ends.
    let all = bounds(1 << 20, ReadEnd::Visible);
    let read = rig.log.read_batches(PLAIN, Offset(0), all, &mut Vec::new());
    assert_eq!(read, Ok(BatchesRead::Pending));
    rig.log.watch(PLAIN);
    for _ in 0..20 {
        rig.cycle();
    }
    assert_eq!(woken(&mut rig), [4]);
    let read = rig.log.read_batches(PLAIN, Offset(0), all, &mut Vec::new());
    assert!(matches!(read, Ok(BatchesRead::Batches { .. })));
    rig.log.watch(PLAIN);
    rig.log.drop_partition(PLAIN);
    assert_eq!(woken(&mut rig), [4]);
    rig.log.watch(PLAIN);
    assert_eq!(woken(&mut rig), [4], "deleted is news for good");
    let read = rig.log.read_batches(PLAIN, Offset(0), all, &mut Vec::new());
    assert_eq!(read, Err(ReadBatchesError::Deleted));
    let result = append(&mut rig, PLAIN, &batch(1, 10, 0));
    assert_eq!(result, Err(AppendError::Deleted));
}

#[test]
fn readers_that_do_not_come_back_leave_room_for_others() {
    let mut setup = Setup::new(9, Pace::Polls(0));
    setup.stripe.tail_bytes = 0;
    let mut rig = Rig::open(MemoryFiles::new(), &setup).unwrap();
    for _ in 0..2 {
        fill(&mut rig);
    }
    rig.log.set_retention(
        OTHER,
        TopicRetention {
            ms: None,
            bytes: Some(0),
        },
    );
    let all = bounds(1, ReadEnd::Visible);
    for offset in (0..1200).step_by(10) {
        let _ = rig
            .log
            .read_batches(OTHER, Offset(offset), all, &mut Vec::new());
    }
    // Nobody takes what was read. Its segments can be recycled nevertheless.
    let before = segments(&rig);
    for _ in 0..40 {
        rig.pass(300_000_000);
        append(&mut rig, PLAIN, &batch(1, 10, 0)).unwrap();
        rig.settle();
    }
    let left = segments(&rig);
    assert!(left < before, "{left} of {before} segments are left");
}

#[test]
fn a_partitions_own_bounds_move_its_start_and_free_segments() {
    let mut rig = Rig::new(10, Pace::Polls(1));
    fill(&mut rig);
    let size = batch(10, 1000, 0).len() as u64;
    assert_eq!(rig.log.bytes(OTHER), 60 * size);
    let retention = TopicRetention {
        ms: None,
        bytes: Some(5 * size - 1),
    };
    rig.log.set_retention(OTHER, retention);
    for _ in 0..10 {
        rig.pass(2_000_000_000);
        rig.settle();
    }
    assert_eq!(
        (rig.log.bytes(OTHER), rig.log.ends(OTHER).start),
        (5 * size, Offset(550))
    );
    let first = |rig: &Rig| {
        let recovered = recover_from(&rig.files, Access::ReadOnly).unwrap();
        recovered.segments[0].seq.0
    };
    assert!(first(&rig) > 0, "segments are recycled");
    // By age: timestamps are those of the batches.
    let now_ms = rig.now.wall.0 / 1000;
    append(&mut rig, OTHER, &batch(1, 10, now_ms)).unwrap();
    rig.settle();
    rig.log.set_retention(
        OTHER,
        TopicRetention {
            ms: Some(60_000),
            bytes: None,
        },
    );
    rig.pass(2_000_000_000);
    rig.settle();
    assert_eq!(rig.log.ends(OTHER).start, Offset(600));
    let rig = restart(rig);
    assert_eq!(rig.log.ends(OTHER).next, Offset(601));
}

#[test]
fn partitions_come_and_go_while_the_log_runs() {
    let mut rig = Rig::new(11, Pace::Polls(1));
    let spec = PartitionSpec {
        id: PartitionId(9),
        topic: TopicId(7),
        processing: Processing::None,
        read_at: ReadAt::Durable,
    };
    assert!(!rig.log.owns(spec.id));
    rig.log.add_partitions(STRIPE, &[spec, spec]);
    append(&mut rig, spec.id, &batch(3, 10, 0)).unwrap();
    rig.settle();
    assert_eq!(rig.log.ends(spec.id).visible, Offset(3));
    // Unknown at the next start, and then known again: as a catalog that was read too early.
    fill(&mut rig);
    let mut rig = restart(rig);
    assert!(!rig.log.owns(spec.id));
    fill(&mut rig);
    let mut rig = restart(rig);
    rig.log.add_partitions(STRIPE, &[spec]);
    assert_eq!(rig.log.ends(spec.id).next, Offset(3));
    let expected = batch(3, 10, 0);
    assert!(read_all(&mut rig, spec.id, ReadEnd::Visible, 100) == expected);
    // A dropped partition holds no segment back.
    rig.log.drop_partition(spec.id);
    rig.log.drop_partition(OTHER);
    rig.log.drop_partition(PLAIN);
    for _ in 0..10 {
        rig.pass(1_000_000_000);
        rig.settle();
    }
    let recovered = recover_from(&rig.files, Access::ReadOnly).unwrap();
    assert!(recovered.segments[0].seq.0 > 0);
}

#[test]
fn records_are_found_by_time() {
    let mut setup = Setup::new(12, Pace::Polls(0));
    setup.stripe.tail_bytes = 0;
    let mut rig = Rig::open(MemoryFiles::new(), &setup).unwrap();
    for (records, timestamp) in [(3, 100), (3, 500), (3, 200)] {
        append(&mut rig, PLAIN, &batch(records, 10, timestamp)).unwrap();
    }
    rig.settle();
    let found = |offset, timestamp| TimeLookup::Found {
        offset: Offset(offset),
        timestamp: UnixMillis(timestamp),
    };
    let lookup = |rig: &mut Rig, at: Option<i64>| {
        for _ in 0..20 {
            let found = match at {
                Some(at) => rig.log.offset_for_time(PLAIN, UnixMillis(at)),
                None => rig.log.offset_of_max_timestamp(PLAIN),
            };
            if found != Ok(TimeLookup::Pending) {
                return found.unwrap();
            }
            rig.cycle();
        }
        panic!("the read does not end");
    };
    assert_eq!(lookup(&mut rig, Some(0)), found(0, 100));
    assert_eq!(lookup(&mut rig, Some(101)), found(1, 101));
    assert_eq!(lookup(&mut rig, Some(103)), found(3, 500));
    assert_eq!(lookup(&mut rig, Some(502)), found(5, 502));
    assert_eq!(lookup(&mut rig, Some(503)), TimeLookup::None);
    assert_eq!(lookup(&mut rig, None), found(5, 502));
    rig.log.delete_records(rig.now, PLAIN, Offset(6)).unwrap();
    assert_eq!(lookup(&mut rig, Some(0)), found(6, 200));
    assert_eq!(lookup(&mut rig, None), found(8, 202));
}

#[test]
fn a_handler_never_sees_what_ends_a_transaction() {
    let mut rig = Rig::new(13, Pace::Polls(0));
    let input = PartitionId(0);
    append(&mut rig, input, &produced(1, 0, 0, TRANSACTIONAL, 2)).unwrap();
    rig.log
        .append_marker(rig.now, input, 1, 0, Verdict::Commit)
        .unwrap();
    append(&mut rig, input, &produced(1, 0, 2, 0, 1)).unwrap();
    rig.settle();
    let mut seen = Vec::new();
    while rig.log.backlog() > 0 {
        let outcome = rig.log.read(input, &mut |record| {
            seen.push(record.offset.0);
            Visit::Continue
        });
        if let ReadOutcome::Records(next) = outcome.unwrap() {
            rig.log
                .commit(rig.now, input, next, &Outputs::new(100))
                .unwrap();
        }
        rig.cycle();
    }
    assert_eq!(seen, [0, 1, 3]);
}
