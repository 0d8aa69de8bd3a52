//! Transactions with so much in them that it does not fit one store; which batches belong to them.

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetFetchRequest, TxnOffsetCommitRequest};

use super::*;

const GROUPS: usize = 300;

fn group(number: usize) -> String {
    format!("group-{number:03}")
}

/// Offset 7 of every partition of `a`, with the longest metadata there may be.
fn large_offsets(producer: Producer, group: &str) -> TxnOffsetCommitRequest {
    let metadata = text(&"m".repeat(4096));
    let partitions = (0..3).map(|partition| {
        TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(7)
            .with_committed_metadata(Some(metadata.clone()))
    });
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(TopicName(text("a")))
        .with_partitions(partitions.collect());
    offsets(producer, group, 0).with_topics(vec![topic])
}

/// The committed offsets of `a` in a group.
fn committed_in(world: &mut World, group: &str) -> Vec<i64> {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(TopicName(text("a")))
        .with_partition_indexes(vec![0, 1, 2]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(Some(vec![topic]))
        .with_require_stable(true);
    let to = world.ask_groups(7, request);
    let ResponseKind::OffsetFetch(response) = world.answer(to) else {
        panic!("another response");
    };
    let partitions = response.topics[0].partitions.iter();
    partitions.map(|p| p.committed_offset).collect()
}

/// A transaction with offsets of many groups: together more than the end may store at once.
fn wide() -> (World, Producer) {
    let mut world = World::new();
    let producer = world.init();
    assert_eq!(world.code(ADD, add(producer, &[("a", &[0])])), NONE);
    for number in 0..GROUPS {
        let group = group(number);
        assert_eq!(world.code(ADD, add_offsets(producer, &group)), NONE);
        assert_eq!(world.code(3, large_offsets(producer, &group)), NONE);
    }
    (world, producer)
}

/// Runs to the end and gives the bytes of each store on the way.
fn stores_to_the_end(world: &mut World) -> Vec<usize> {
    let mut sizes = Vec::new();
    while !world.stores.is_empty() || !world.marks.is_empty() {
        if let Some((_, pairs)) = world.stores.front() {
            sizes.push(pairs.iter().map(Pair::bytes).sum());
        }
        world.end_store(Outcome::Durable);
        if !world.marks.is_empty() {
            world.end_mark(0, Outcome::Durable);
        }
    }
    sizes
}

#[test]
fn the_end_of_many_groups_offsets_is_stored_in_parts_that_fit() {
    for (decision, offset) in [(Decision::Commit, 7), (Decision::Abort, -1)] {
        let (mut world, producer) = wide();
        world.ask(END, end(producer, decision));
        let sizes = stores_to_the_end(&mut world);
        let options = TxnOptions::default();
        let bytes_max = options.end_bytes_max + options.content_bytes_max;
        assert!(sizes.iter().all(|bytes| *bytes <= bytes_max), "{sizes:?}");
        for number in 0..GROUPS {
            assert_eq!(committed_in(&mut world, &group(number)), [offset; 3]);
        }
        let fact = world.fact().expect("it is kept");
        assert!(fact.state == State::CompleteCommit || fact.state == State::CompleteAbort);
        assert!(fact.groups.is_empty());
    }
}

#[test]
fn a_crash_between_the_parts_of_the_end_loses_none_of_them() {
    let stores_of_a_commit = {
        let (mut world, producer) = wide();
        world.ask(END, end(producer, Decision::Commit));
        stores_to_the_end(&mut world).len()
    };
    assert!(stores_of_a_commit > 2, "the decision, and parts");
    for durable in 1..stores_of_a_commit {
        let (mut world, producer) = wide();
        world.ask(END, end(producer, Decision::Commit));
        for _ in 0..durable {
            world.end_store(Outcome::Durable);
            if !world.marks.is_empty() {
                world.end_mark(0, Outcome::Durable);
            }
        }
        world.crash(0, |_| false, 0);
        world.settle();
        for number in 0..GROUPS {
            assert_eq!(committed_in(&mut world, &group(number)), [7; 3], "{number}");
        }
        assert_eq!(world.state(), Some(State::CompleteCommit));
    }
}

/// What does not fit one write of the log could never be stored.
#[test]
fn more_groups_than_can_be_stored_are_refused_and_those_before_stay() {
    let mut world = World::new();
    let producer = world.init();
    let name = "n".repeat(30_000);
    let mut taken = 0;
    let refused = (0..100)
        .map(|number| format!("{number}{name}"))
        .find(|group| {
            let code = world.code(ADD, add_offsets(producer, group));
            taken += usize::from(code == NONE);
            code == POLICY_VIOLATION
        });
    assert!(refused.is_some());
    let fact = world.fact().expect("it is kept");
    assert_eq!((fact.state, fact.groups.len()), (State::Ongoing, taken));
    assert_eq!(world.code(END, end(producer, Decision::Commit)), NONE);
    assert_eq!(world.state(), Some(State::CompleteCommit));
}

/// KIP-890.
#[test]
fn a_batch_is_let_in_only_while_its_partition_is_part_of_the_open_transaction() {
    use kafka_protocol::ResponseError as E;
    let mut world = World::new();
    let unknown = Producer { id: 0, epoch: 0 };
    let found = world.txns.may_write(ID, unknown, a(0));
    assert_eq!(found, Err(E::InvalidProducerIdMapping));
    let producer = world.init();
    let may = |world: &World, producer, partition| world.txns.may_write(ID, producer, partition);
    assert_eq!(
        may(&world, producer, a(0)),
        Err(E::InvalidTxnState),
        "Empty"
    );
    let to = world.ask(ADD, add(producer, &[("a", &[0])]));
    assert_eq!(
        may(&world, producer, a(0)),
        Err(E::InvalidTxnState),
        "not durable"
    );
    world.settle();
    assert_eq!(code(&world.answer(to)), NONE);
    assert_eq!(may(&world, producer, a(0)), Ok(()));
    assert_eq!(
        may(&world, producer, a(1)),
        Err(E::InvalidTxnState),
        "not part of it"
    );
    // While more is being added.
    world.ask(ADD, add(producer, &[("b", &[0])]));
    assert_eq!(may(&world, producer, a(0)), Ok(()));
    world.settle();
    let other = Producer {
        epoch: producer.epoch + 1,
        ..producer
    };
    assert_eq!(may(&world, other, a(0)), Err(E::ProducerFenced));
    world.ask(END, end(producer, Decision::Commit));
    assert_eq!(
        may(&world, producer, a(0)),
        Err(E::InvalidTxnState),
        "it ends"
    );
    world.end_store(Outcome::Durable);
    assert_eq!(
        may(&world, producer, a(0)),
        Err(E::InvalidTxnState),
        "PrepareCommit"
    );
    world.settle();
    assert_eq!(
        may(&world, producer, a(0)),
        Err(E::InvalidTxnState),
        "CompleteCommit"
    );
}
