//! A device that is full, and one whose writes fail, seen by Kafka's clients. Full: they are told so and
//! in time, what is stored can be read all the while, and all goes on when there is space. Failing:
//! nothing is acknowledged that is not stored, and the node ends and says why.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/kafka_txn.rs"]
mod kafka_txn;
#[path = "support/node.rs"]
mod node;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelane::ids::Offset;
use corelane::wire::BatchView;

use broker_node::BrokerNode;
use kafka_peer::{Peer, one_record};
use kafka_txn::{End, Member, Stable, Txn, commit, committed, end_offset, join, produce_mortal};
use node::{Launch, Setup};

const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const KAFKA_STORAGE_ERROR: i16 = 56;

const UP: &str = "the node is up";

/// What waits for space waits for a second; the rest is for a busy machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How soon all goes on once there is space.
const GOES_ON_WITHIN: Duration = Duration::from_secs(30);

/// What an answer takes, with a bound.
fn in_time<T>(what: &str, ask: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let answer = ask();
    let took = started.elapsed();
    assert!(took < ANSWERED_WITHIN, "{what} took {took:?}");
    answer
}

/// A value of so many bytes that is told from others by its number.
fn value(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(bytes.max(8), 7);
    value
}

fn write(peer: &mut Peer, topic: &str, partition: i32, number: u64, bytes: usize) -> i16 {
    let batch = one_record(&value(number, bytes));
    in_time("Produce", || peer.produce(topic, partition, batch).error)
}

/// The numbers of all values in a partition.
fn numbers(peer: &mut Peer, topic: &str, partition: i32) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut next = Offset::ZERO;
    loop {
        let fetched: Bytes = in_time("Fetch", || peer.fetch(topic, partition, next.0));
        if fetched.is_empty() {
            return numbers;
        }
        let mut rest = &fetched[..];
        while !rest.is_empty() {
            let batch = BatchView::parse(rest).expect("whole batches");
            rest = &rest[batch.bytes().len()..];
            next = batch.next_offset();
            if batch.is_control() {
                continue;
            }
            for record in batch.records().expect("no compression") {
                let record = record.expect("a good record");
                let value = record.value.expect("a value");
                let number = value[..8].try_into().expect("eight bytes");
                numbers.push(u64::from_be_bytes(number));
            }
        }
    }
}

/// Asks again until there is no error; every answer comes in time.
fn until_done(what: &str, mut ask: impl FnMut() -> i16) {
    let started = Instant::now();
    loop {
        match in_time(what, &mut ask) {
            0 => return,
            COORDINATOR_NOT_AVAILABLE | KAFKA_STORAGE_ERROR => {}
            code => panic!("{what}: error {code}"),
        }
        assert!(started.elapsed() < GOES_ON_WITHIN, "{what} does not go on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A new group's first member is taken in: that it has members need not be stored first.
fn assert_joins(peer: &mut Peer, number: u32) {
    let group = format!("joined-{number}");
    let joined = in_time("JoinGroup", || {
        join(peer, &group, &Member::none()).expect(UP)
    });
    assert!(joined.is_ok(), "{joined:?}");
}

#[test]
fn a_full_disk_refuses_what_must_be_stored_and_all_goes_on_when_there_is_space() {
    const SIZE: u32 = 140;
    if !node::can_mount() {
        // Said instead of passing in silence.
        println!("not tested: a file system of its own takes the right to mount");
        return;
    }
    let mut broker = BrokerNode::start_as(Setup {
        cores: 2,
        config: "[log]\nstripes = 1\nsegment_bytes = 16777216\ntail_bytes = 16777216\n".to_owned(),
        launch: Launch::SmallDisk(SIZE),
    });
    let mut peer = broker.peer();
    peer.make_topic("full");
    let nobody = Member::none();
    assert_eq!(commit(&mut peer, "kept", &nobody, ("full", 0), 3), Some(0));
    let txn = Txn::init(&mut peer, "open").expect(UP);
    assert_eq!(txn.add_partitions(&mut peer, "full", &[1]), Some(0));
    let produced = txn.produce(&mut peer, ("full", 1), 0, &[&value(0, 8)]);
    assert_eq!(produced.expect(UP).error, 0);

    // The segments that the start has made are there; less than one more fits.
    broker.node.leave_room(10 << 20);
    let mut stored = Vec::new();
    for bytes in [512 << 10, 64 << 10, 4 << 10, 8] {
        loop {
            let number = stored.len() as u64;
            match write(&mut peer, "full", 0, number, bytes) {
                0 => stored.push(number),
                KAFKA_STORAGE_ERROR => break,
                code => panic!("error {code}"),
            }
            assert!(stored.len() < 2000, "the disk is never full");
        }
    }
    assert!(stored.len() > 10, "there was room for some");

    // Clients on both cores: reads go on, and what needs a write is refused.
    for client in 0..4 {
        let mut peer = broker.peer();
        assert_eq!(numbers(&mut peer, "full", 0), stored);
        in_time("Metadata", || peer.make_topic("full"));
        let code = in_time("OffsetCommit", || {
            commit(&mut peer, "kept", &nobody, ("full", 0), 4)
        });
        assert_eq!(code, Some(COORDINATOR_NOT_AVAILABLE));
        let found = in_time("OffsetFetch", || committed(&mut peer, "kept", "full", 0));
        assert_eq!(found, Some(3), "what was refused does not count");
        let code = in_time("EndTxn", || txn.end(&mut peer, End::Commit));
        assert_eq!(code, Some(COORDINATOR_NOT_AVAILABLE));
        assert_joins(&mut peer, client);
    }
    assert!(broker.node.is_up());

    broker.node.make_room();
    let number = stored.len() as u64;
    until_done("Produce", || write(&mut peer, "full", 0, number, 512 << 10));
    stored.push(number);
    until_done("OffsetCommit", || {
        commit(&mut peer, "kept", &nobody, ("full", 0), 5).expect(UP)
    });
    until_done("EndTxn", || txn.end(&mut peer, End::Commit).expect(UP));
    assert_eq!(numbers(&mut peer, "full", 0), stored, "and nothing else");
    assert_eq!(numbers(&mut peer, "full", 1), [0]);
    assert_eq!(committed(&mut peer, "kept", "full", 0), Some(5));
    // Asked for twice, it is done once the marker is there.
    assert_eq!(txn.end(&mut peer, End::Commit), Some(0));
    let stable = end_offset(&mut peer, "full", 1, Stable::Yes);
    assert_eq!(stable, end_offset(&mut peer, "full", 1, Stable::No));
    broker.serves_others();
}

/// What a client knows of what it has written.
struct Written {
    acknowledged: u64,
    sent: u64,
}

/// Writes 64 KiB at a time until that fails or the node ends.
fn write_until_it_fails(peer: &mut Peer, partition: i32, writer: u64, done: &AtomicU64) -> Written {
    let mut written = Written {
        acknowledged: 0,
        sent: 0,
    };
    loop {
        let batch = one_record(&value(writer << 32 | written.sent, 64 << 10));
        written.sent += 1;
        let place = ("failing", partition);
        let produced = in_time("Produce", || produce_mortal(peer, None, place, batch));
        match produced.map(|produced| produced.error) {
            Some(0) => written.acknowledged += 1,
            Some(KAFKA_STORAGE_ERROR) | None => return written,
            Some(code) => panic!("error {code}"),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Commits one offset after the other until that fails or the node ends.
fn commit_until_it_fails(peer: &mut Peer) -> Written {
    let mut written = Written {
        acknowledged: 0,
        sent: 0,
    };
    loop {
        written.sent += 1;
        let (nobody, place) = (Member::none(), ("failing", 0));
        let offset = written.sent as i64;
        let code = in_time("OffsetCommit", || {
            commit(peer, "kept", &nobody, place, offset)
        });
        match code {
            Some(0) => written.acknowledged = written.sent,
            Some(COORDINATOR_NOT_AVAILABLE | KAFKA_STORAGE_ERROR) | None => return written,
            Some(code) => panic!("error {code}"),
        }
    }
}

/// Lets the writes to the partition's stripe fail while clients write to it and commit offsets.
fn fail_writes_to(partition: i32) {
    const WRITERS: u64 = 3;
    let mut broker = BrokerNode::start_as(Setup {
        launch: Launch::FailingWrites,
        ..Setup::with_cores(2)
    });
    let mut peer = broker.peer();
    peer.make_topic("failing");
    let txn = Txn::init(&mut peer, "open").expect(UP);
    assert_eq!(txn.add_partitions(&mut peer, "failing", &[0, 1]), Some(0));
    for partition in [0, 1] {
        let values: [&[u8]; 1] = [&value(u64::MAX, 8)];
        let produced = txn.produce(&mut peer, ("failing", partition), 0, &values);
        assert_eq!(produced.expect(UP).error, 0);
    }
    let done = AtomicU64::new(0);
    let (written, commits) = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (mut peer, done) = (broker.peer(), &done);
                scope.spawn(move || write_until_it_fails(&mut peer, partition, writer, done))
            })
            .collect();
        let mut peer = broker.peer();
        let commits = scope.spawn(move || commit_until_it_fails(&mut peer));
        let started = Instant::now();
        while done.load(Ordering::Relaxed) < 40 {
            assert!(started.elapsed() < GOES_ON_WITHIN, "nothing is written");
            std::thread::sleep(Duration::from_millis(1));
        }
        broker.node.bound_files(256 << 10);
        let ends = writers.into_iter().map(|writer| writer.join());
        let written: Vec<Written> = ends
            .map(|end| end.expect("it fails as it should"))
            .collect();
        (written, commits.join().expect("it fails as it should"))
    });
    let status = broker.node.wait();
    assert_eq!(status.code(), Some(1), "{}", broker.node.stderr());
    let reason = format!("storage is poisoned: stripe {partition}");
    assert!(broker.node.stderr().contains(&reason), "{reason}");

    broker.node.restart();
    let mut peer = broker.peer();
    let found = numbers(&mut peer, "failing", partition);
    for (writer, Written { acknowledged, sent }) in (0..).zip(&written) {
        assert!(*acknowledged > 3, "writer {writer} got something done");
        let own: Vec<u64> = found
            .iter()
            .filter(|number| **number >> 32 == writer)
            .map(|number| number & u64::from(u32::MAX))
            .collect();
        let count = own.len() as u64;
        assert!(
            (*acknowledged..=*sent).contains(&count),
            "writer {writer}: {count}"
        );
        assert_eq!(own, (0..count).collect::<Vec<_>>(), "each once, in order");
    }
    let found = committed(&mut peer, "kept", "failing", 0).expect(UP);
    let possible = commits.acknowledged as i64..=commits.sent as i64;
    assert!(possible.contains(&found), "{found} is not in {possible:?}");
    // The transaction is still open, and can be ended.
    assert_eq!(txn.end(&mut peer, End::Abort), Some(0));
    assert_eq!(txn.end(&mut peer, End::Abort), Some(0));
    for partition in 0..4 {
        let stable = end_offset(&mut peer, "failing", partition, Stable::Yes);
        assert_eq!(
            stable,
            end_offset(&mut peer, "failing", partition, Stable::No)
        );
    }
    broker.serves_others();
}

/// Partition i lies in stripe i mod 2, groups and transactions in stripe 0.
#[test]
fn a_write_that_fails_is_never_acknowledged_and_ends_the_node_with_its_reason() {
    for partition in [0, 1] {
        fail_writes_to(partition);
    }
}
