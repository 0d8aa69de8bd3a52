//! The embedded log on a simulated disk. What is checked:
//!
//! - what was acknowledged as durable is never lost, whatever a crash leaves of the writes under
//!   way, and is read back unchanged;
//! - nothing is visible before it is durable;
//! - an atomic group is there as a whole or not at all;
//! - offsets have no gaps;
//! - a failed write poisons; a full device pushes back and, once there is space, goes on;
//! - retention takes nothing that was not processed;
//! - reads from the device equal reads from memory.

mod support;

use std::io;

use corelane::ids::{Offset, PartitionId};
use corelane::log::recover::{Access, RecoverError};
use corelane::log::sim::{Kept, Pace};
use corelane::log::stripe::Retention;
use corelane::storage::{
    CommitRefusal, Consumer, Outputs, Producer, ReadError, ReadOutcome, Refusal, StorageError,
    Visit,
};
use support::log_rig::{
    INPUTS, OUTPUT_TOPIC, PARTITIONS, Rig, SEGMENT_BYTES, Setup, number, recover_from,
};

fn tokens(rig: &Rig) -> Vec<u32> {
    rig.durable.iter().map(|ack| ack.token).collect()
}

/// Reads and commits until nothing is left. Returns the numbers in the order of processing.
fn process_all(rig: &mut Rig, outputs: &Outputs) -> Vec<u32> {
    let mut seen = Vec::new();
    for _ in 0..100_000 {
        let Some(partition) = rig.log.next_ready() else {
            if rig.log.backlog() == 0 {
                return seen;
            }
            rig.cycle();
            continue;
        };
        let before = seen.len();
        let outcome = rig.log.read(partition, &mut |record| {
            seen.push(number(record.value));
            Visit::Continue
        });
        if let ReadOutcome::Records(next) = outcome.expect("nothing is damaged") {
            match rig.log.commit(rig.now, partition, next, outputs) {
                Ok(_) => {}
                Err(CommitRefusal::Full) => seen.truncate(before),
                Err(refusal) => panic!("{refusal:?}"),
            }
            rig.log.requeue(partition);
        }
        rig.cycle();
    }
    panic!("processing does not end");
}

#[test]
fn records_become_appended_then_durable_then_visible_in_order() {
    let mut rig = Rig::new(1, Pace::Polls(5));
    for number in 0..2000 {
        rig.offer(number % INPUTS, number, 100);
        if number % 16 == 0 {
            rig.cycle();
        }
    }
    rig.settle();
    let mut durable = tokens(&rig);
    durable.sort_unstable();
    assert!(durable.into_iter().eq(0..2000));
    for partition in 0..INPUTS {
        let numbers = rig.numbers(partition);
        assert!(
            numbers
                .into_iter()
                .eq((0..2000).filter(|n| n % INPUTS == partition))
        );
    }
    assert_eq!(rig.log.backlog(), 2000);
    assert_eq!(process_all(&mut rig, &Outputs::new(4096)).len(), 2000);
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let mut rig = Rig::new(2, Pace::Polls(0));
    rig.offer(0, 0, 10);
    rig.settle();
    rig.log.disk_mut().set_pace(Pace::Never);
    for number in 1..100 {
        rig.offer(0, number, 10);
        rig.cycle();
    }
    assert_eq!(rig.appended.len(), 100);
    assert_eq!(rig.numbers(0), [0]);
    assert_eq!(rig.log.backlog(), 1);
    rig.log.disk_mut().set_pace(Pace::Polls(0));
    rig.settle();
    assert_eq!(rig.numbers(0).len(), 100);
}

#[test]
fn a_read_goes_on_over_the_batches_in_memory_until_it_is_stopped() {
    let mut rig = Rig::new(3, Pace::Polls(0));
    for number in 0..50 {
        // A batch of its own each.
        rig.offer(0, number, 10);
        rig.settle();
    }
    for (from, wanted) in [(0, 50), (0, 30), (20, 7), (49, 1), (3, 40)] {
        let mut seen = Vec::new();
        let outcome = rig
            .log
            .read_from(PartitionId(0), Offset(from), &mut |record| {
                seen.push(record.offset.0);
                match seen.len() == wanted {
                    true => Visit::Stop,
                    false => Visit::Continue,
                }
            });
        let end = from + wanted as i64;
        assert_eq!(outcome, Ok(ReadOutcome::Records(Offset(end))));
        assert!(seen.into_iter().eq(from..end));
    }
}

#[test]
fn what_was_offered_beside_a_record_comes_back_with_it() {
    let mut rig = Rig::new(3, Pace::Polls(3));
    let taken = rig.now.mono;
    rig.offer(0, 0, 10);
    rig.settle();
    let mut stamps = None;
    rig.read_range(0, Offset(0), |record| {
        stamps = Some((record.taken, record.seat, record.visible))
    })
    .unwrap();
    let (seen_taken, seat, visible) = stamps.unwrap();
    assert_eq!((seen_taken, seat), (Some(taken), Some(7)));
    assert!(visible.unwrap() > taken && visible.unwrap() <= rig.now.mono);
}

#[test]
fn a_commit_is_read_back_after_a_restart_with_outputs_state_and_position() {
    let mut rig = Rig::new(4, Pace::Polls(3));
    for number in 0..10 {
        rig.offer(1, number, 50);
    }
    rig.settle();
    let mut outputs = Outputs::new(4096);
    outputs.set_state(b"sum", b"45").unwrap();
    outputs.set_state(b"gone", b"1").unwrap();
    let headers: [(&str, &[u8]); 1] = [("reason", b"because")];
    outputs
        .send_with_headers(OUTPUT_TOPIC, b"k", b"000000000777", &headers)
        .unwrap();
    rig.log
        .commit(rig.now, PartitionId(1), Offset(10), &outputs)
        .unwrap();
    assert_eq!(rig.log.position(PartitionId(1)), Offset(10));
    outputs.clear();
    outputs.set_state(b"gone", b"").unwrap();
    rig.log
        .commit(rig.now, PartitionId(1), Offset(10), &outputs)
        .unwrap();
    rig.settle();
    let files = rig.files.clone();
    rig.into_disk().crash(|_, _| Kept::Nothing);
    let mut rig = Rig::open(files, &Setup::new(5, Pace::Polls(2))).unwrap();
    assert_eq!(rig.log.position(PartitionId(1)), Offset(10));
    assert_eq!(rig.state(), [(b"sum".to_vec(), b"45".to_vec())]);
    assert_eq!(rig.log.backlog(), 0);
    let out = [rig.numbers(4), rig.numbers(5)].concat();
    assert_eq!(out, [777]);
}

#[test]
fn outputs_with_the_same_key_keep_their_order() {
    let mut rig = Rig::new(6, Pace::Polls(3));
    rig.offer(0, 0, 10);
    rig.settle();
    let mut outputs = Outputs::new(64 << 10);
    for number in 0..100u32 {
        let key = [(number % 7) as u8];
        let value = format!("{number:012}");
        outputs.send(OUTPUT_TOPIC, &key, value.as_bytes()).unwrap();
    }
    rig.log
        .commit(rig.now, PartitionId(0), Offset(1), &outputs)
        .unwrap();
    rig.settle();
    let lists = [rig.numbers(4), rig.numbers(5)];
    assert_eq!(lists[0].len() + lists[1].len(), 100);
    assert!(lists.iter().all(|list| list.is_sorted()));
}

#[test]
fn an_output_group_that_no_frame_holds_is_refused_and_changes_nothing() {
    let mut rig = Rig::new(7, Pace::Polls(3));
    rig.offer(0, 0, 10);
    rig.settle();
    let mut outputs = Outputs::new(1 << 20);
    outputs
        .send(OUTPUT_TOPIC, b"k", &[0; SEGMENT_BYTES as usize])
        .unwrap();
    let refused = rig.log.commit(rig.now, PartitionId(0), Offset(1), &outputs);
    assert_eq!(refused, Err(CommitRefusal::TooLarge));
    assert_eq!(rig.log.position(PartitionId(0)), Offset(0));
    assert_eq!(
        rig.try_offer(0, 1, SEGMENT_BYTES as usize),
        Err(Refusal::TooLarge)
    );
}

#[test]
fn a_failed_write_poisons_the_stripe_and_reads_go_on() {
    let mut rig = Rig::new(8, Pace::Polls(2));
    for number in 0..50 {
        rig.offer(0, number, 100);
    }
    rig.settle();
    rig.log.disk_mut().fail_next_write(io::ErrorKind::Other);
    for number in 50..60 {
        rig.offer(0, number, 100);
    }
    rig.settle();
    assert!(rig.failed.iter().copied().eq(50..60));
    assert_eq!(rig.try_offer(0, 60, 10), Err(Refusal::Poisoned));
    let outputs = Outputs::new(4096);
    let commit = rig.log.commit(rig.now, PartitionId(0), Offset(1), &outputs);
    assert_eq!(commit, Err(CommitRefusal::Poisoned));
    let Some(StorageError::Poisoned(text)) = rig.log.error() else {
        panic!("no error is shown");
    };
    assert!(text.contains("segment 0"), "{text}");
    assert!(rig.numbers(0).into_iter().eq(0..50));
    let files = rig.files.clone();
    rig.into_disk().crash(|_, _| Kept::Nothing);
    let mut rig = Rig::open(files, &Setup::new(9, Pace::Polls(2))).unwrap();
    assert!(rig.numbers(0).len() >= 50, "nothing durable is lost");
}

#[test]
fn a_full_device_pushes_back_loses_nothing_and_goes_on_when_there_is_space() {
    let mut rig = Rig::new(10, Pace::Polls(2));
    rig.files.set_capacity(Some(2 * u64::from(SEGMENT_BYTES)));
    rig.offer(0, 0, 1000);
    rig.settle();
    let mut taken = 1;
    while rig.try_offer(0, taken, 1000) == Ok(()) {
        taken += 1;
        rig.cycle();
        assert!(taken < 1000, "two segments hold fewer");
    }
    assert!(rig.log.is_blocked());
    for _ in 0..100 {
        rig.cycle();
    }
    assert_eq!(rig.try_offer(0, taken, 1000), Err(Refusal::Full));
    assert_eq!(rig.log.error(), None);
    assert!(rig.failed.is_empty());
    let durable = rig.durable.len();
    assert_eq!(rig.numbers(0).len(), durable);
    rig.files.set_capacity(None);
    rig.pass(1_000_000_000);
    for number in taken..taken + 100 {
        rig.offer(0, number, 1000);
    }
    rig.settle();
    assert!(rig.numbers(0).into_iter().eq(0..taken + 100));
}

#[test]
fn retention_takes_old_segments_but_nothing_unprocessed() {
    let mut setup = Setup::new(11, Pace::Polls(2));
    setup.stripe.tail_bytes = 64 << 10;
    setup.stripe.retention = Retention {
        bytes_max: Some(3 * u64::from(SEGMENT_BYTES)),
        age_ms_max: None,
    };
    let files = corelane::log::files::MemoryFiles::new();
    let mut rig = Rig::open(files, &setup).unwrap();
    for number in 0..1000 {
        rig.offer(number % 2, number, 1000);
        rig.cycle();
    }
    rig.settle();
    assert_eq!(rig.log.offsets(PartitionId(0)).start, Offset(0));
    let outputs = Outputs::new(4096);
    // Only partition 0 is processed: partition 1 holds everything back.
    while rig.log.position(PartitionId(0)) < Offset(500) {
        rig.read_one(0, &outputs);
    }
    rig.settle();
    for _ in 0..100 {
        rig.pass(1_000_000);
        rig.cycle();
    }
    assert_eq!(rig.log.offsets(PartitionId(0)).start, Offset(0));
    assert_eq!(process_all(&mut rig, &outputs).len(), 500);
    rig.settle();
    for _ in 0..100 {
        rig.pass(1_000_000);
        rig.cycle();
    }
    assert!(
        rig.log.offsets(PartitionId(1)).start > Offset(0),
        "old segments went"
    );
    for number in 1000..1100 {
        rig.offer(1, number, 10);
    }
    rig.settle();
    let kept = rig.numbers(1);
    assert!(kept.ends_with(&Vec::from_iter(1000..1100)));
    let files = rig.files.clone();
    rig.finish();
    rig.into_disk().crash(|_, _| Kept::Nothing);
    let mut rig = Rig::open(files, &setup).unwrap();
    assert_eq!(rig.numbers(1), kept, "a restart sees the same");
    assert_eq!(rig.log.position(PartitionId(1)), Offset(500));
    assert_eq!(rig.log.backlog(), 100);
}

#[test]
fn reads_from_the_device_equal_reads_from_memory() {
    let mut setup = Setup::new(12, Pace::Polls(4));
    setup.stripe.tail_bytes = 0;
    let mut rig = Rig::open(corelane::log::files::MemoryFiles::new(), &setup).unwrap();
    setup.stripe.tail_bytes = 64 << 20;
    let mut roomy = Rig::open(corelane::log::files::MemoryFiles::new(), &setup).unwrap();
    for rig in [&mut rig, &mut roomy] {
        for number in 0..3000 {
            let filler = (number as usize * 37) % 900;
            rig.offer(number % INPUTS, number, filler);
        }
        rig.settle();
    }
    for partition in 0..PARTITIONS {
        assert_eq!(rig.numbers(partition), roomy.numbers(partition));
    }
    assert_eq!(
        process_all(&mut rig, &Outputs::new(4096)).len(),
        process_all(&mut roomy, &Outputs::new(4096)).len()
    );
}

#[test]
fn a_read_error_is_reported_and_the_next_read_goes_through() {
    let mut setup = Setup::new(13, Pace::Polls(1));
    setup.stripe.tail_bytes = 0;
    let mut rig = Rig::open(corelane::log::files::MemoryFiles::new(), &setup).unwrap();
    for number in 0..10 {
        rig.offer(0, number, 100);
    }
    rig.finish();
    rig.log.disk_mut().fail_next_read(io::ErrorKind::Other);
    let failed = rig.read_range(0, Offset(0), |_| {});
    assert!(matches!(failed, Err(ReadError::Io(text)) if text.contains("segment 0")));
    assert!(rig.numbers(0).into_iter().eq(0..10));
}

#[test]
fn damage_that_appears_later_is_reported_with_its_place_when_read() {
    let mut setup = Setup::new(14, Pace::Polls(1));
    setup.stripe.tail_bytes = 0;
    let mut rig = Rig::open(corelane::log::files::MemoryFiles::new(), &setup).unwrap();
    for number in 0..10 {
        rig.offer(0, number, 100);
    }
    rig.finish();
    let path =
        corelane::log::files::segment_path(support::log_rig::STRIPE, corelane::ids::SegmentSeq(0));
    rig.files
        .edit(&path, |bytes| bytes[4096 + 64 + 16 + 200] ^= 4);
    let Err(ReadError::Corrupt(text)) = rig.read_range(0, Offset(0), |_| {}) else {
        panic!("the damage went unnoticed");
    };
    assert!(text.contains("segment 0, byte 4160"), "{text}");
}

#[test]
fn a_write_torn_at_any_byte_costs_only_what_nobody_was_promised() {
    // The first frame under way is small, the second is a full one.
    let run = || {
        let mut rig = Rig::new(15, Pace::Polls(0));
        for number in 0..20 {
            rig.offer(0, number, 100);
        }
        rig.settle();
        rig.log.disk_mut().set_pace(Pace::Never);
        for number in 20..24 {
            rig.offer(0, number, 100);
        }
        rig.cycle();
        for number in 24..200 {
            rig.offer(0, number, 100);
        }
        rig.cycle();
        let files = rig.files.clone();
        (files, rig.into_disk())
    };
    let (_, disk) = run();
    let sizes: Vec<usize> = disk.writes_under_way().collect();
    assert_eq!(sizes.len(), 2);
    for (torn, size) in sizes.into_iter().enumerate() {
        for other in [Kept::Nothing, Kept::All] {
            for byte in 0..size {
                let (files, disk) = run();
                disk.crash(|number, _| {
                    if number == torn {
                        Kept::Prefix(byte)
                    } else {
                        other
                    }
                });
                check_torn(&files, torn, byte, other);
            }
        }
    }
}

fn check_torn(files: &corelane::log::files::MemoryFiles, torn: usize, byte: usize, other: Kept) {
    let recovered = recover_from(files, Access::ReadOnly)
        .unwrap_or_else(|error| panic!("frame {torn} torn at byte {byte}: {error}"));
    let next = recovered.state.partitions[&PartitionId(0)].next.0;
    let first_is_whole = torn == 1 && other == Kept::All;
    // A frame ends in padding: torn there, it is whole.
    let allowed: &[i64] = match (torn, first_is_whole) {
        (0, _) => &[20, 24],
        (_, true) => &[24],
        (_, false) => &[20],
    };
    let whole_second = next > 24;
    assert!(
        whole_second || allowed.contains(&next),
        "frame {torn} torn at byte {byte}, other {other:?}: next is {next}"
    );
    if let Some(cut) = recovered.torn {
        assert_eq!(cut.segment.0, 0);
        assert!(cut.position.is_multiple_of(4096) && cut.position > 4096);
    }
}

#[test]
fn a_flipped_bit_anywhere_is_reported_or_hurts_nobody() {
    let mut rig = Rig::new(16, Pace::Polls(1));
    for number in 0..30 {
        rig.offer(number % 3, number, 60);
        if number % 10 == 9 {
            rig.settle();
        }
    }
    rig.finish();
    let files = rig.files.clone();
    let path =
        corelane::log::files::segment_path(support::log_rig::STRIPE, corelane::ids::SegmentSeq(0));
    let sound = recover_from(&files, Access::ReadOnly).unwrap();
    let end = sound.segments[0].index.end_position;
    let last = end - 4096;
    for byte in 0..end {
        // All bits of headers, one of the others.
        let bits = if byte % 4096 < 256 {
            0..8
        } else {
            byte % 8..byte % 8 + 1
        };
        for bit in bits {
            files.edit(&path, |bytes| bytes[byte as usize] ^= 1 << bit);
            match recover_from(&files, Access::ReadOnly) {
                Ok(found) => {
                    assert_eq!(found.state, sound.state, "byte {byte} bit {bit}");
                    assert!(
                        found.torn.is_none() || byte >= last,
                        "byte {byte} bit {bit}"
                    );
                }
                Err(RecoverError::Damaged { position, .. }) => {
                    let frame = byte / 4096 * 4096;
                    assert_eq!(position, frame, "byte {byte} bit {bit}");
                    assert!(
                        frame < last,
                        "byte {byte}: the marker is witnessed by nothing"
                    );
                }
                Err(error) => assert!(byte < 4096, "byte {byte} bit {bit}: {error}"),
            }
            files.edit(&path, |bytes| bytes[byte as usize] ^= 1 << bit);
        }
    }
}
