use super::*;
use crate::ids::{Offset, PartitionId, PartitionIndex, ShardId};
use crate::mesh::Doorbell;
use crate::telemetry::Stamps;

fn flight(offset: i64, stamps: Stamps) -> Flight {
    Flight {
        shard: ShardId(7),
        index: PartitionIndex(1),
        partition: PartitionId(15),
        offset: Offset(offset),
        acks: Some(Acks::All),
        stamps,
    }
}

/// Durable after so long, not processed.
fn durable(offset: i64, took_ns: u64) -> Flight {
    let taken = Nanos(1_000);
    flight(
        offset,
        Stamps {
            taken,
            routed: taken.after(took_ns / 10),
            durable: taken.after(took_ns),
            ..Stamps::default()
        },
    )
}

fn recorders(cores: usize) -> Recorders {
    Recorders {
        commands: (0..cores).map(|_| Arc::new(ArrayQueue::new(4))).collect(),
        bells: (0..cores).map(|_| Doorbell::default()).collect(),
    }
}

/// The core answers what it was asked.
fn answer(recorders: &Recorders, core: u16, flights: Vec<Flight>) {
    let Some(Command::Slow(to)) = recorders.commands[usize::from(core)].pop() else {
        panic!("core {core} was not asked");
    };
    let core = CoreId(core);
    to.try_send(CoreFlights { core, flights }).unwrap();
}

#[test]
fn all_cores_are_merged_and_the_slowest_come_first() {
    let recorders = recorders(2);
    let mut asked = recorders.ask();
    assert!(!asked.take());
    answer(&recorders, 1, vec![durable(4, 9_000), durable(5, 2_000)]);
    assert!(!asked.take());
    answer(&recorders, 0, vec![durable(6, 5_000)]);
    assert!(asked.take());
    let told = asked.told(&[], Nanos(1_000_011_000));
    let order: Vec<_> = told.slowest.iter().map(|it| (it.core, it.offset)).collect();
    assert_eq!(order, [(1, 4), (0, 6), (1, 5)]);
    assert!(told.missing_cores.is_empty());
    assert_eq!(told.slowest[0].total_us, 9.0);
    let ago = told.slowest[0].seconds_ago;
    assert!((ago - 1.0).abs() < 1e-3, "{ago}");
}

#[test]
fn a_core_that_does_not_answer_is_named_and_the_others_are_told() {
    let recorders = recorders(3);
    let mut asked = recorders.ask();
    for core in [0, 2] {
        answer(&recorders, core, vec![durable(core.into(), 1_000)]);
    }
    asked.wait(Duration::from_millis(1));
    let told = asked.told(&[], Nanos(0));
    assert_eq!(
        (told.missing_cores.as_slice(), told.slowest.len()),
        (&[1][..], 2)
    );
    assert!(told.to_string().contains("core 1 did not answer"));
}

/// Asked again and again, a core that takes up nothing still has room for the command to stop.
#[test]
fn a_core_that_is_stuck_is_not_flooded() {
    let recorders = recorders(1);
    for _ in 0..100 {
        let _ = recorders.ask();
    }
    assert_eq!(recorders.commands[0].len(), 2);
}

#[test]
fn stages_lie_end_to_end_and_add_up_to_the_whole() {
    let stamps = Stamps {
        taken: Nanos(1_000),
        routed: Nanos(3_000),
        accepted: Nanos(4_000),
        appended: Nanos(4_000),
        written: Nanos(5_500),
        durable: Nanos(95_500),
        read: Nanos(97_000),
        processed: Nanos(101_000),
    };
    let shard = ShardView {
        id: ShardId(7),
        name: "sydney".to_owned(),
        latitude: 0.0,
        longitude: 0.0,
    };
    let told = SlowTransaction::new(CoreId(1), &flight(9, stamps), &[shard], Nanos(0));
    assert_eq!((told.shard.as_str(), told.partition), ("sydney", 1));
    let names: Vec<_> = told.stages.iter().map(|it| it.stage).collect();
    let wanted = [
        "intake",
        "hop",
        "queue",
        "frame",
        "sync",
        "tail_read",
        "process",
    ];
    assert_eq!(names, wanted);
    let mut end = 0.0;
    for span in &told.stages {
        assert_eq!(span.start_us, end, "{span:?}");
        end += span.took_us;
    }
    assert_eq!((end, told.total_us), (100.0, 100.0));
    assert_eq!(told.stamps_us["durable"], 94.5);
}

/// The owner's cycle began before the transaction was taken in elsewhere, and the record was read before
/// it was durable: nothing is negative, and the sum stays.
#[test]
fn moments_out_of_order_take_nothing() {
    let stamps = Stamps {
        taken: Nanos(3_000),
        routed: Nanos(3_500),
        accepted: Nanos(1_000),
        appended: Nanos(1_000),
        read: Nanos(4_000),
        processed: Nanos(5_000),
        durable: Nanos(9_000),
        ..Stamps::default()
    };
    let told = SlowTransaction::new(CoreId(0), &flight(9, stamps), &[], Nanos(9_000));
    let spans: Vec<_> = told
        .stages
        .iter()
        .map(|it| (it.stage, it.took_us))
        .collect();
    let wanted = [
        ("intake", 0.5),
        ("hop", 0.0),
        ("queue", 0.0),
        ("commit", 5.5),
        ("tail_read", 0.0),
        ("process", 0.0),
    ];
    assert_eq!(spans, wanted);
    assert_eq!((told.total_us, told.seconds_ago), (6.0, 0.0));
}

/// As processing keeps it, whose owner has forgotten the submission.
#[test]
fn what_was_not_seen_closer_has_the_name_of_the_whole() {
    let mut stamps = Stamps {
        taken: Nanos(1_000),
        durable: Nanos(3_000),
        read: Nanos(4_000),
        processed: Nanos(9_000),
        ..Stamps::default()
    };
    let names = |stamps| {
        let told = SlowTransaction::new(CoreId(0), &flight(9, stamps), &[], Nanos(0));
        let stages = told.stages.iter().map(|it| it.stage);
        stages.collect::<Vec<_>>()
    };
    assert_eq!(names(stamps), ["produce", "tail_read", "process"]);
    stamps.durable = Nanos(0);
    assert_eq!(names(stamps), ["unseen", "process"]);
}

#[test]
fn as_text_each_stage_has_a_bar_in_its_place() {
    let recorders = recorders(1);
    let mut asked = recorders.ask();
    answer(&recorders, 0, vec![durable(4, 2_000_000)]);
    asked.take();
    let text = asked.told(&[], Nanos(2_001_000)).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "the 1 slowest transactions of the last 5 minutes");
    assert!(lines[1].starts_with("   2.00 ms  "), "{text}");
    assert!(
        lines[1].contains("partition 1 offset 4, core 0, acks all"),
        "{text}"
    );
    let bar = |line: &str| line.split('|').nth(1).unwrap().to_owned();
    assert_eq!(bar(lines[2]).trim_end(), "#".repeat(5));
    assert_eq!(
        bar(lines[3]),
        format!("{}{}", " ".repeat(5), "#".repeat(43))
    );
    assert!(lines[3].trim_start().starts_with("produce"), "{text}");
}
