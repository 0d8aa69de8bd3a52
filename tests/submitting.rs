//! What a submitter may rely on, held by cores that are driven by hand: when it is answered, that
//! a second submission gets the first one's receipt, that pressure travels back and nothing is
//! lost on the way.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/core_rig.rs"]
mod core_rig;
#[path = "support/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use corelane::engine::command::Command;
use corelane::engine::handler::HandlerContext;
use corelane::engine::ledger::Ledger;
use corelane::engine::message::{Answer, Stored};
use corelane::engine::submitter::Entrance;
use corelane::exactly_once::Window;
use corelane::frame::ErrorCode;
use corelane::ids::{Acks, TopicId};
use corelane::log::sim::Pace;
use corelane::log::state::IndexEntry;
use corelane::telemetry::{Counter, Owner};
use corelane::transaction::Submission;

use core_rig::{CYCLE_NS, Rig, Setup, body, partition_of, partitions_of, receipt, refusal};
use random::Random;

type Factory = fn(&HandlerContext<'_>) -> Ledger;

fn rig(setup: Setup) -> Rig<Factory> {
    Rig::new(setup, Ledger::new as Factory)
}

fn with_cores(cores: u16) -> Setup {
    Setup {
        cores,
        ..Setup::default()
    }
}

/// `leader` is answered while the disk stands still, `all` only once it has written, `none` never.
#[test]
fn each_level_is_answered_when_it_is_reached() {
    for cores in [1, 2] {
        let mut rig = rig(with_cores(cores));
        // A segment is open before the disk stands still.
        rig.submit(0, body("first", 0, 1, b""));
        rig.settle();
        rig.set_pace(Pace::Never);
        for (mark, acks) in [(1, Acks::None), (2, Acks::Leader), (3, Acks::All)] {
            let body = body(&format!("t{mark}"), mark as usize % 2, 1, b"");
            rig.try_submit(0, Entrance::InTurn, body, acks, mark)
                .unwrap();
        }
        rig.cycles(200);
        assert!(rig.is_answered(2), "appended");
        assert!(!rig.is_answered(3), "nothing is durable");
        assert_eq!(receipt(&rig.answer(2)).acks, Acks::Leader);
        rig.set_pace(Pace::Polls(0));
        rig.settle();
        assert_eq!(receipt(&rig.answer(3)).acks, Acks::All);
        rig.cycles(200);
        assert!(!rig.is_answered(1), "nobody waits for it");
        assert_eq!(rig.totals().transactions, 4, "but it is there");
    }
}

/// Over many paces of the disk: no answer comes before the storage has what it promises.
#[test]
fn no_receipt_promises_more_than_storage_holds() {
    let mut random = Random::from_environment("no_receipt_promises_more_than_storage_holds");
    for _ in 0..20 {
        let mut rig = rig(Setup {
            seed: random.next(),
            pace: Pace::Polls(random.within(0..40) as u32),
            ..with_cores(random.within(1..3) as u16)
        });
        let mut seen = 0;
        for mark in 0..300 {
            let acks = [Acks::Leader, Acks::All][random.within(0..2) as usize];
            let shard = random.within(0..2) as usize;
            let body = body(&format!("t{mark}"), shard, 1, b"");
            // What finds no room is simply not submitted.
            let _ = rig.try_submit(0, Entrance::InTurn, body, acks, mark);
            rig.cycle();
            for (_, answer) in rig.answers[0].clone().into_iter().skip(seen) {
                let stored = receipt(&answer);
                let partition = partition_of(&stored);
                let offsets = rig.storage(partition).offsets(partition);
                let end = match stored.acks {
                    Acks::All => offsets.durable,
                    Acks::Leader | Acks::None => offsets.next,
                };
                assert!(stored.offset < end, "{stored:?}, {offsets:?}");
                seen += 1;
            }
        }
        assert!(seen > 0);
    }
}

/// The disk stands still: the second submission cannot be answered before the first.
#[test]
fn a_duplicate_in_flight_is_answered_with_the_first() {
    for cores in [1, 2] {
        let mut rig = rig(with_cores(cores));
        rig.submit(0, body("first", 0, 1, b""));
        rig.settle();
        rig.set_pace(Pace::Never);
        rig.submit(1, body("twice", 0, 5, b""));
        rig.cycles(10);
        // On its way, from a place that is nearest to the other shard.
        rig.submit(2, body("twice", 1, 5, b""));
        let again = body("twice", 0, 5, b"");
        rig.try_submit(0, Entrance::InTurn, again, Acks::Leader, 3)
            .unwrap();
        rig.cycles(200);
        assert!(!rig.is_answered(1) && !rig.is_answered(2));
        let leader = receipt(&rig.answer(3));
        assert_eq!(leader.submission, Submission::Duplicate);
        rig.set_pace(Pace::Polls(0));
        rig.settle();
        let (first, second) = (receipt(&rig.answer(1)), receipt(&rig.answer(2)));
        assert_eq!(first.submission, Submission::First);
        assert_eq!(second.submission, Submission::Duplicate);
        let place = |r: Stored| (r.shard, r.partition, r.offset, r.timestamp);
        assert_eq!(place(first), place(second));
        assert_eq!(place(first), place(leader));
        assert_eq!(rig.ids(partition_of(&first)).len(), 1, "stored once");
    }
}

#[test]
fn a_late_duplicate_gets_the_first_receipt_wherever_it_comes_from() {
    for cores in [1, 2] {
        let mut rig = rig(with_cores(cores));
        for mark in 0..20 {
            rig.submit(mark, body(&format!("t{mark}"), 0, 1, b""));
            rig.settle();
        }
        for mark in 0..20 {
            // The nearest shard is another one now.
            rig.submit(100 + mark, body(&format!("t{mark}"), 1, 1, b""));
            rig.settle();
            let (first, late) = (receipt(&rig.answer(mark)), receipt(&rig.answer(100 + mark)));
            assert_eq!(late.submission, Submission::Duplicate);
            let submission = Submission::Duplicate;
            assert_eq!(
                late,
                Stored {
                    submission,
                    ..first
                }
            );
        }
        assert_eq!(rig.topic(TopicId(1)).len(), 0);
        assert_eq!(rig.totals().transactions, 20);
        assert_eq!(rig.count(Counter::Duplicates), 20);
    }
}

/// Two cores, everything as small as it can be, each port at its own core and each core sending
/// to the other: nothing stands still, nothing is lost, and what entered at one core for one
/// partition keeps its order.
#[test]
fn tiny_queues_neither_lock_up_nor_lose_nor_reorder() {
    const COUNT: u64 = 400;
    let mut random = Random::from_environment("tiny_queues_neither_lock_up_nor_lose_nor_reorder");
    for (ring, in_flight_max) in [(2, 1), (2, 2), (2, 3), (3, 64), (64, 2)] {
        let mut rig = rig(Setup {
            ports: 2,
            ring,
            in_flight_max,
            outstanding_max: ring / 2,
            pace: Pace::Polls(random.within(0..20) as u32),
            seed: random.next(),
            ..with_cores(2)
        });
        let mut next = [0; 2];
        rig.run_until("all submitted", |rig| {
            for (port, next) in next.iter_mut().enumerate() {
                while *next < COUNT {
                    let mark = *next * 2 + port as u64;
                    let body = body(
                        &format!("{port}-{next}"),
                        random.within(0..2) as usize,
                        1,
                        b"",
                    );
                    let entrance = Entrance::Core(port as u16);
                    if rig
                        .try_submit(port, entrance, body, Acks::All, mark)
                        .is_err()
                    {
                        break;
                    }
                    *next += 1;
                }
            }
            next == [COUNT; 2]
        });
        rig.settle();
        for mark in 0..2 * COUNT {
            assert_eq!(receipt(&rig.answer(mark)).submission, Submission::First);
        }
        let mut stored = 0;
        for shard in [TopicId(0), TopicId(1)] {
            for partition in partitions_of(shard) {
                let mut last: BTreeMap<String, u64> = BTreeMap::new();
                for id in rig.ids(partition) {
                    let (entrance, number) = id.split_once('-').unwrap();
                    let number = number.parse().unwrap();
                    let before = last.insert(entrance.to_owned(), number);
                    assert!(before < Some(number), "{id} after {before:?}");
                    stored += 1;
                }
            }
        }
        assert_eq!(stored, 2 * COUNT);
        assert_eq!(rig.totals().transactions, 2 * COUNT);
    }
}

#[test]
fn a_port_that_takes_no_answers_holds_up_nobody_else() {
    for cores in [1, 2] {
        let mut rig = rig(Setup {
            ports: 2,
            ring: 8,
            in_flight_max: 8,
            outstanding_max: 8 / usize::from(cores),
            ..with_cores(cores)
        });
        let mut silent = 0;
        for round in 0..2000 {
            let mine = body(&format!("silent-{silent}"), silent as usize % 2, 1, b"");
            let submitted = rig.try_submit(0, Entrance::InTurn, mine, Acks::All, silent);
            silent += u64::from(submitted.is_ok());
            let other = body(&format!("other-{round}"), round as usize % 2, 1, b"");
            let _ = rig.try_submit(1, Entrance::InTurn, other, Acks::All, 10_000 + round);
            rig.cycle_without_ports();
            rig.take_answers(1);
        }
        assert_eq!(silent, 8, "no more than its answers' places");
        let answered = rig.answers[1].len();
        assert!(answered > 300, "only {answered} went through");
        rig.settle();
        assert_eq!(rig.answers[0].len(), 8);
    }
}

/// One place in flight and two ports that always have more: both get their turn.
#[test]
fn no_port_is_left_behind_by_another() {
    let mut rig = rig(Setup {
        ports: 2,
        in_flight_max: 1,
        intake_budget: 1,
        // No chance in it: a rotation that the cycle's own steps undo shows.
        pace: Pace::Polls(0),
        ..Setup::default()
    });
    let mut mark = 0;
    for _ in 0..3000 {
        for port in 0..2 {
            let body = body(&format!("t{mark}"), 0, 1, b"");
            mark += u64::from(
                rig.try_submit(port, Entrance::InTurn, body, Acks::All, mark)
                    .is_ok(),
            );
        }
        rig.cycle();
    }
    let [a, b] = [0, 1].map(|port| rig.answers[port].len());
    assert!(a.abs_diff(b) <= 32 + 1, "{a} and {b} answers");
}

/// Segments that cannot be prepared push back; what was acknowledged stays, and everything goes on
/// by itself once there is space.
#[test]
fn without_space_the_pressure_goes_back_until_there_is_some() {
    for cores in [1, 2] {
        let mut rig = rig(Setup {
            segment_bytes: 64 << 10,
            ..with_cores(cores)
        });
        rig.submit(0, body("t0", 0, 1, b""));
        rig.settle();
        assert_eq!(rig.count(Counter::BackPressureNs), 0);
        let used: usize = rig.files.snapshot().values().map(Vec::len).sum();
        rig.files.set_capacity(Some(used as u64));
        let payload = [b'x'; 3000];
        let mut submitted = 1;
        let mut stalled = 0;
        while stalled < 2000 {
            let next = body(
                &format!("t{submitted}"),
                submitted as usize % 2,
                1,
                &payload,
            );
            let is_taken = rig
                .try_submit(0, Entrance::InTurn, next, Acks::All, submitted)
                .is_ok();
            submitted += u64::from(is_taken);
            let before = rig.answers[0].len();
            rig.cycle();
            let is_moving = is_taken || rig.answers[0].len() > before;
            stalled = if is_moving { 0 } else { stalled + 1 };
        }
        let acknowledged = rig.answers[0].len() as u64;
        assert!(acknowledged < submitted, "some wait");
        assert!(rig.count(Counter::StorageFull) > 0);
        let before = rig.count(Counter::BackPressureNs);
        rig.cycles(100);
        let blocked_ns = rig.count(Counter::BackPressureNs) - before;
        let is_all_of = |blocked: u16| blocked_ns == u64::from(blocked) * 100 * CYCLE_NS;
        assert!((1..=cores).any(is_all_of), "{blocked_ns} ns");
        assert!(rig.statuses.iter().all(|status| !status.has_failed()));
        rig.files.set_capacity(None);
        // The keeper tries again after a while.
        rig.pass(200_000_000);
        rig.settle();
        assert_eq!(rig.answers[0].len() as u64, submitted);
        for mark in 0..submitted {
            assert_eq!(receipt(&rig.answer(mark)).submission, Submission::First);
        }
        assert_eq!(rig.totals().transactions, submitted);
        let all_ns = rig.count(Counter::BackPressureNs);
        assert!(all_ns > before + blocked_ns + 200_000_000, "{all_ns} ns");
        rig.cycles(100);
        assert_eq!(rig.count(Counter::BackPressureNs), all_ns, "it is over");
    }
}

/// A write fails: who waits for it is told that its fate is unknown, who comes later that nothing
/// was taken; the reason is there for control; a stop does not hang; the other core goes on.
#[test]
fn after_a_failed_write_everyone_is_told() {
    for cores in [1, 2] {
        let mut rig = rig(with_cores(cores));
        for mark in 0..10 {
            rig.submit(mark, body(&format!("t{mark}"), 0, 1, b""));
        }
        rig.settle();
        // Partition and lane of an id are its hash's: with many, some meet the failed write.
        rig.disk(0).fail_next_write(io::ErrorKind::Other);
        for mark in 10..30 {
            rig.submit(mark, body(&format!("t{mark}"), 0, 1, b""));
        }
        rig.settle();
        let rejected = |rig: &Rig<Factory>, marks: std::ops::Range<u64>| {
            let answers = marks.map(|mark| rig.answer(mark));
            let codes: Vec<ErrorCode> = answers
                .filter(|answer| matches!(answer, Answer::Rejected(_)))
                .map(|answer| refusal(&answer))
                .collect();
            codes
        };
        let failed = rejected(&rig, 10..30);
        assert!(!failed.is_empty());
        assert!(failed.contains(&ErrorCode::StorageFailed), "{failed:?}");
        assert!(rejected(&rig, 0..10).is_empty());
        let failure = rig.statuses[0].failure().expect("control is told");
        assert!(failure.contains("poisoned"), "{failure}");
        for mark in 30..50 {
            rig.submit(mark, body(&format!("t{mark}"), 0, 1, b""));
        }
        rig.settle();
        let later = rejected(&rig, 30..50);
        assert!(!later.is_empty());
        assert!(
            later
                .iter()
                .all(|code| *code == ErrorCode::StorageUnavailable)
        );
        if cores == 2 {
            assert!(later.len() < 20, "the other core's storage works");
            assert_eq!(rig.statuses[1].failure(), None);
        }
        rig.command(|| Command::Drain);
        rig.settle();

        // Nothing of what was acknowledged is gone, and only that counts.
        let acknowledged: BTreeSet<u64> = (0..50)
            .filter(|mark| matches!(rig.answer(*mark), Answer::Stored(_)))
            .collect();
        let mut rig = rig.crash_and_restart(1);
        rig.settle();
        let stored: Vec<String> = partitions_of(TopicId(0))
            .into_iter()
            .flat_map(|partition| rig.ids(partition))
            .collect();
        for mark in &acknowledged {
            assert!(stored.contains(&format!("t{mark}")));
        }
        assert_eq!(rig.totals().transactions, stored.len() as u64);
    }
}

/// A drain answers what is in flight, refuses what comes, and leaves nothing unprocessed.
#[test]
fn a_drain_leaves_nothing_open() {
    let mut random = Random::from_environment("a_drain_leaves_nothing_open");
    for cores in [1, 2] {
        let mut rig = rig(Setup {
            pace: Pace::Polls(50),
            seed: random.next(),
            ..with_cores(cores)
        });
        let mut submitted = 0;
        let mut try_one = |rig: &mut Rig<Factory>| {
            let body = body(&format!("t{submitted}"), submitted as usize % 2, 1, b"");
            let taken = rig.try_submit(0, Entrance::InTurn, body, Acks::All, submitted);
            submitted += u64::from(taken.is_ok());
        };
        for _ in 0..200 {
            try_one(&mut rig);
            rig.cycle();
        }
        rig.command(|| Command::Drain);
        for _ in 0..200 {
            try_one(&mut rig);
            rig.cycle();
        }
        rig.settle();
        let (mut stored, mut refused) = (0, 0);
        for mark in 0..submitted {
            match rig.answer(mark) {
                Answer::Stored(_) => stored += 1,
                Answer::Rejected(code) => {
                    assert_eq!(code, ErrorCode::ShuttingDown);
                    refused += 1;
                }
            }
        }
        assert!(
            stored > 0 && refused > 0,
            "{stored} stored, {refused} refused"
        );
        assert_eq!(rig.totals().transactions, stored);
        assert!(!rig.is_busy());
    }
}

/// What the flight recorder keeps of a transaction has the moment of every stage, in order, and the
/// stages' histograms agree with it.
#[test]
fn the_flight_recorder_has_every_stage_in_order() {
    let mut rig = rig(Setup {
        pace: Pace::Polls(5),
        ..with_cores(2)
    });
    for mark in 1..=20 {
        rig.submit(mark, body(&format!("t{mark}"), mark as usize % 2, 1, b""));
        rig.pass(1000);
    }
    rig.settle();
    let (to, flights) = std::sync::mpsc::sync_channel(2);
    rig.command(|| Command::Slow(to.clone()));
    rig.cycles(1);
    let answers: Vec<_> = flights.try_iter().collect();
    assert_eq!(answers.len(), 2, "every core answers");
    let flights: Vec<_> = answers.iter().flat_map(|core| &core.flights).collect();
    assert!(!flights.is_empty());
    for flight in flights {
        let stamps = flight.stamps.named();
        assert!(stamps.iter().all(|(_, at)| at.0 > 0), "{stamps:?}");
        assert!(stamps.is_sorted_by_key(|(_, at)| *at), "{stamps:?}");
        assert_eq!(flight.acks, Some(Acks::All));
    }
}

/// What a core tells of its memory is what its parts hold, and goes up and down with that.
#[test]
fn memory_is_told_by_its_owners() {
    let mut rig = rig(Setup {
        // Nothing is kept for readers, so that processing reads from the device.
        tail_bytes: 0,
        ..Setup::default()
    });
    let told = |rig: &mut Rig<Factory>| {
        rig.pass(250_000_000);
        rig.cycle();
        let status = rig.statuses[0].clone();
        move |owner| status.memory(owner) as usize
    };
    rig.settle();
    let memory = told(&mut rig);
    let window = Window::bytes_for(rig.setup.window);
    assert_eq!(memory(Owner::DuplicateWindow), window);
    for reserved in [
        Owner::InFlight,
        Owner::Mesh,
        Owner::Gateway,
        Owner::Latencies,
    ] {
        assert!(memory(reserved) > 0, "{}", reserved.name());
    }
    for empty in [Owner::LogIndex, Owner::LogChunks] {
        assert_eq!(memory(empty), 0, "{}", empty.name());
    }
    const COUNT: usize = 200;
    for mark in 0..COUNT {
        // Each in a batch of its own.
        rig.submit(mark as u64, body(&format!("t{mark}"), mark % 2, 1, b""));
        rig.settle();
    }
    let memory = told(&mut rig);
    assert!(memory(Owner::LogIndex) >= COUNT * size_of::<IndexEntry>());
    assert!(memory(Owner::LogFrames) > 0, "spare buffers at least");
    assert!(memory(Owner::LogChunks) > 0, "what was read back is kept");
    assert_eq!(memory(Owner::DuplicateWindow), window);
    for none in [Owner::KafkaRequests, Owner::KafkaAnswers] {
        assert_eq!(memory(none), 0, "{}", none.name());
    }
    // At the first look somebody has read since the last one, at the second nobody has.
    for _ in 0..2 {
        rig.pass(1_500_000_000);
        rig.cycle();
    }
    let memory = told(&mut rig);
    assert_eq!(memory(Owner::LogChunks), 0);
}
