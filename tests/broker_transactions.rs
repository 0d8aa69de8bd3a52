//! What comes to a transaction too late is no part of it and opens no other; what a transaction has
//! committed is there whole, however much it is.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/kafka_txn.rs"]
mod kafka_txn;
#[path = "support/node.rs"]
mod node;
#[path = "support/random.rs"]
mod random;

use kafka_protocol::records::Compression;

use broker_node::BrokerNode;
use kafka_peer::{Peer, Sequence, batch};
use kafka_txn::{End, Stable, Txn, committed, create_topic, end_offset, produce_mortal};
use random::Random;

const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;

const UP: &str = "the node is up";

/// Both ends of a partition: nothing is open in it where they are the same.
fn ends(peer: &mut Peer, topic: &str, partition: i32) -> (i64, i64) {
    let mut end = |stable| end_offset(peer, topic, partition, stable);
    (end(Stable::Yes), end(Stable::No))
}

/// KIP-890: it would open a transaction that nobody ends, and readers of committed records would wait
/// for ever.
#[test]
fn a_batch_that_comes_after_its_transaction_ended_is_refused() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("late");
    for (id, end) in [("commits", End::Commit), ("aborts", End::Abort)] {
        let txn = Txn::init(&mut peer, id).expect(UP);
        // Every partition, and so every core, whichever this connection is on.
        for partition in 0..4 {
            let place = ("late", partition);
            let late = |peer: &mut Peer, first| {
                let produced = txn.produce(peer, place, first, &[b"late"]).expect(UP);
                produced.error
            };
            assert_eq!(late(&mut peer, 0), INVALID_TXN_STATE, "never part of it");
            assert_eq!(txn.add_partitions(&mut peer, "late", &[partition]), Some(0));
            assert_eq!(late(&mut peer, 0), 0);
            assert_eq!(txn.end(&mut peer, end), Some(0));
            assert_eq!(late(&mut peer, 1), INVALID_TXN_STATE, "a new one");
            assert_eq!(late(&mut peer, 0), INVALID_TXN_STATE, "an old one");
            // Complete: the producer's next transaction has begun, elsewhere.
            let elsewhere = (partition + 1) % 4;
            assert_eq!(txn.add_partitions(&mut peer, "late", &[elsewhere]), Some(0));
            assert_eq!(late(&mut peer, 1), INVALID_TXN_STATE, "after the marker");
            assert_eq!(txn.end(&mut peer, end), Some(0));
        }
        let next = Txn::init(&mut peer, id).expect(UP);
        for partition in 0..4 {
            let (stable, end) = ends(&mut peer, "late", partition);
            assert_eq!(stable, end, "nothing is open in partition {partition}");
            // What was refused has used up no sequence number.
            assert_eq!(
                next.add_partitions(&mut peer, "late", &[partition]),
                Some(0)
            );
            let place = ("late", partition);
            let produced = next.produce(&mut peer, place, 0, &[b"next"]).expect(UP);
            assert_eq!(produced.error, 0);
        }
        assert_eq!(next.end(&mut peer, End::Abort), Some(0));
    }
    broker.serves_others();
}

#[test]
fn only_the_living_producer_of_the_transaction_writes_in_it() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("whose");
    let old = Txn::init(&mut peer, "one").expect(UP);
    assert_eq!(
        old.add_partitions(&mut peer, "whose", &[0, 1, 2, 3]),
        Some(0)
    );
    let code = |peer: &mut Peer, txn: &Txn, partition| {
        let produced = txn.produce(peer, ("whose", partition), 0, &[b"x"]);
        produced.expect(UP).error
    };
    for partition in 0..4 {
        let unnamed = batch(&[b"x"], Compression::None, Some(old.by));
        let produced = produce_mortal(&mut peer, None, ("whose", partition), unnamed);
        let error = produced.expect(UP).error;
        assert_eq!(error, TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
        let other = Txn {
            id: "two".to_owned(),
            ..old.clone()
        };
        let found = code(&mut peer, &other, partition);
        assert_eq!(found, INVALID_PRODUCER_ID_MAPPING);
        let by = Sequence {
            producer_id: old.by.producer_id + 1,
            ..old.by
        };
        let found = code(&mut peer, &Txn { by, ..old.clone() }, partition);
        assert_eq!(found, INVALID_PRODUCER_ID_MAPPING);
    }
    let new = Txn::init(&mut peer, "one").expect(UP);
    assert_eq!(
        new.add_partitions(&mut peer, "whose", &[0, 1, 2, 3]),
        Some(0)
    );
    for partition in 0..4 {
        assert_eq!(code(&mut peer, &old, partition), INVALID_PRODUCER_EPOCH);
        assert_eq!(code(&mut peer, &new, partition), 0);
    }
    assert_eq!(new.end(&mut peer, End::Commit), Some(0));
    broker.serves_others();
}

/// Batches and the end of their transaction, sent at the same time over several connections: each batch
/// is part of the transaction or refused.
#[test]
fn batches_that_race_with_the_end_of_their_transaction_leave_nothing_open() {
    const ROUNDS: i32 = 150;
    let mut random = Random::from_environment("batches_that_race_with_the_end");
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("race");
    let mut writers: Vec<Peer> = (0..4).map(|_| broker.peer()).collect();
    let txn = Txn::init(&mut peer, "racer").expect(UP);
    let mut next = [0; 4];
    let mut refused = 0;
    for _ in 0..ROUNDS {
        assert_eq!(
            txn.add_partitions(&mut peer, "race", &[0, 1, 2, 3]),
            Some(0)
        );
        let decision = match random.within(0..2) {
            0 => End::Commit,
            _ => End::Abort,
        };
        // Some before the end is sent, the others after.
        let before = random.within(0..5) as usize;
        let mut sent = 0..4;
        let mut send = |count: usize| {
            for partition in sent.by_ref().take(count) {
                let first = next[partition];
                let by = Sequence { first, ..txn.by };
                let records = batch(&[b"r"], Compression::None, Some(by));
                let request = kafka_peer::produce_request("race", partition as i32, records)
                    .with_transactional_id(Some(txn.end_request(decision).transactional_id));
                writers[partition].say(9, &request);
            }
        };
        send(before);
        peer.say(3, &txn.end_request(decision));
        send(4);
        let ended = peer.answer::<kafka_protocol::messages::EndTxnRequest>(3);
        assert_eq!(ended.expect(UP).error_code, 0);
        for (writer, next) in writers.iter_mut().zip(&mut next) {
            let answer = writer.answer::<kafka_protocol::messages::ProduceRequest>(9);
            let answer = answer.expect(UP);
            match answer.responses[0].partition_responses[0].error_code {
                0 => *next += 1,
                INVALID_TXN_STATE => refused += 1,
                code => panic!("error {code}"),
            }
        }
        // Asked again, it is done once the markers are everywhere.
        assert_eq!(txn.end(&mut peer, decision), Some(0));
        for partition in 0..4 {
            let (stable, end) = ends(&mut peer, "race", partition);
            assert_eq!(stable, end, "partition {partition} waits for an end");
        }
    }
    println!("{refused} of {} came too late", 4 * ROUNDS);
    assert!(next.iter().sum::<i32>() > 0, "some came in time");
    broker.serves_others();
}

/// Groups whose offsets, together, are far more than one write of the log holds.
#[test]
fn offsets_of_many_groups_are_committed_together_however_many_bytes() {
    const GROUPS: usize = 6;
    // 4 KiB each: some 2 MB for a group.
    const PARTITIONS: i32 = 480;
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    create_topic(&mut peer, "wide", PARTITIONS);
    let partitions: Vec<i32> = (0..PARTITIONS).collect();
    let metadata = "m".repeat(4096);
    let names: Vec<String> = (0..GROUPS).map(|group| format!("wide-{group}")).collect();
    let mut committed_last = -1;
    for (offset, end) in [(1, End::Commit), (2, End::Abort), (3, End::Commit)] {
        let txn = Txn::init(&mut peer, "wide").expect(UP);
        for group in &names {
            assert_eq!(txn.add_offsets(&mut peer, group), Some(0));
            let to = ("wide", &partitions[..]);
            let code = txn.commit_offsets(&mut peer, group, to, (offset, &metadata));
            assert_eq!(code, Some(0), "{group}");
        }
        assert_eq!(txn.end_once(&mut peer, end), Some(0));
        if end == End::Commit {
            committed_last = offset;
        }
        if offset == 3 {
            // In the middle of what follows from the decision.
            broker.node.kill9();
            broker.node.restart();
            peer = broker.peer();
        }
        // Asked again, it is done once all groups know it; after the restart the producer is the same.
        assert_eq!(txn.end(&mut peer, end), Some(0));
        for group in &names {
            for partition in [0, PARTITIONS / 2, PARTITIONS - 1] {
                let found = committed(&mut peer, group, "wide", partition);
                assert_eq!(found, Some(committed_last), "{group} in {partition}");
            }
        }
    }
    broker.serves_others();
}
