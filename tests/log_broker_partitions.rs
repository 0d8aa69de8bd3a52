//! What the log promises the broker about partitions and their stripe, on a simulated disk:
//!
//! - marks become durable in order, or are lost for good;
//! - a group of pairs is there as a whole or not at all;
//! - a watched partition wakes its reader when there is news, and only then;
//! - bounds of partitions, and partitions that come and go, free segments.

mod support;

use std::io;

use corelane::ids::{Offset, PartitionId, TopicId, UnixMillis};
use corelane::log::files::MemoryFiles;
use corelane::log::recover::Access;
use corelane::log::sim::{Kept, Pace};
use corelane::log::storage::{
    AppendError, BatchesRead, Fate, Mark, ReadBatchesError, ReadEnd, TimeLookup,
};
use corelane::log::stripe::{PartitionSpec, Processing, ReadAt, TopicRetention};
use corelane::storage::{Outputs, Producer, Storage};
use support::batches::{OTHER, PLAIN, append, batch, bounds, fill, read_all, restart};
use support::log_rig::{Rig, STRIPE, Setup, recover_from};

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
        while !rig.log.is_prepared() {
            rig.cycle();
        }
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
    fill(&mut rig);
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
