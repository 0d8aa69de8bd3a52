//! What the log promises the broker about batches, on a simulated disk:
//!
//! - whole batches come back byte for byte, from memory and from the device, whoever reads along;
//! - a batch that is sent again is recognised, also after a restart;
//! - open and aborted transactions and deleted records survive restarts.

mod support;

use corelane::exactly_once::producers::{ProducerError, Verdict};
use corelane::ids::{Offset, PartitionId};
use corelane::log::catalog::Catalog;
use corelane::log::files::MemoryFiles;
use corelane::log::inspect::verify_stripe;
use corelane::log::sim::Pace;
use corelane::log::storage::{
    AppendError, AtLeastOne, BatchesRead, DeleteError, Fate, ReadBatchesError, ReadBounds, ReadEnd,
    Submission,
};
use corelane::storage::{Consumer, Outputs, ReadOutcome, Visit};
use corelane::wire::assign;
use support::batches::{
    OTHER, PLAIN, TRANSACTIONAL, append, batch, bounds, end, fill, produced, read_all, restart,
    seal,
};
use support::log_rig::{DIRECTORY, Rig, SEGMENT_BYTES, STRIPE, Setup};

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

#[test]
fn verify_finds_what_was_sealed_to_agree_with_what_was_written() {
    let mut rig = Rig::new(14, Pace::Polls(2));
    append(&mut rig, PLAIN, &produced(1, 0, 0, TRANSACTIONAL, 3)).unwrap();
    end(&mut rig, 1, 0, Verdict::Abort);
    append(&mut rig, PLAIN, &produced(2, 0, 0, TRANSACTIONAL, 3)).unwrap();
    rig.settle();
    let deleted = rig.log.delete_records(rig.now, PLAIN, Offset(2));
    assert_eq!(deleted.unwrap().0, Offset(2));
    fill(&mut rig);
    let mut rig = restart(rig);
    fill(&mut rig);
    rig.finish();
    let files = rig.files.snapshot();
    let is_index = |path: &&String| path.ends_with(".index");
    let indexes: Vec<_> = files.keys().filter(is_index).collect();
    assert!(indexes.len() > 2, "{indexes:?}");
    for index in indexes {
        assert_eq!(files[index][8], 2, "{index} has a section on producers");
    }
    let report = verify_stripe(&rig.files, STRIPE, DIRECTORY, &Catalog::default());
    // The rig has no catalog; that is all there is to say.
    for problem in &report.problems {
        assert!(problem.reason.contains("not in the catalog"), "{problem:?}");
    }
    assert_eq!(report.batches, report.problems.len() as u64);
}
