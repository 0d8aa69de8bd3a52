//! Offsets that a transaction commits.

use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{ProducerId, TransactionalId, TxnOffsetCommitRequest};

use super::*;
use crate::broker::coordinator::Decision;

fn request(producer: i64, offsets: &[(i32, i64)]) -> TxnOffsetCommitRequest {
    let partition = |(partition, offset): &(i32, i64)| {
        TxnOffsetCommitRequestPartition::default()
            .with_partition_index(*partition)
            .with_committed_offset(*offset)
    };
    TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(s("t")))
        .with_group_id(GroupId(s("g")))
        .with_producer_id(ProducerId(producer))
        .with_topics(vec![
            TxnOffsetCommitRequestTopic::default()
                .with_name(TopicName(s("a")))
                .with_partitions(offsets.iter().map(partition).collect()),
        ])
}

/// The errors of a TxnOffsetCommit.
fn commit(world: &mut World, version: i16, request: TxnOffsetCommitRequest) -> Vec<i16> {
    let to = world.send(version, request.into());
    let Some(ResponseKind::TxnOffsetCommit(response)) = world.answer(to) else {
        panic!("{:?}", world.answer(to));
    };
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

fn end(world: &mut World, producer: i64, decision: Decision) {
    let pairs = world.groups.end_transaction(producer, "g", decision);
    world.keep(&pairs);
    world.groups.applied(producer, "g", decision);
}

#[test]
fn a_transactions_offsets_count_once_it_is_committed() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 1)]);
    assert_eq!(commit(&mut world, 3, request(9, &[(0, 5), (1, 6)])), [0, 0]);
    assert_eq!(world.offset(0), (1, 0));
    assert_eq!(world.offset_of("g", "a", 0, true), (-1, 88));
    assert_eq!(world.offset_of("g", "a", 1, true), (-1, 88));
    assert_eq!(world.offset_of("g", "a", 2, true), (-1, 0));
    end(&mut world, 9, Decision::Commit);
    for restart in [false, true] {
        if restart {
            world.restart();
        }
        assert_eq!(world.offset_of("g", "a", 0, true), (5, 0));
        assert_eq!(world.offset_of("g", "a", 1, true), (6, 0));
    }
}

#[test]
fn an_aborted_transaction_changes_nothing() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 1)]);
    commit(&mut world, 3, request(9, &[(0, 5), (1, 6)]));
    end(&mut world, 9, Decision::Abort);
    assert_eq!(world.offset_of("g", "a", 0, true), (1, 0));
    assert_eq!(world.offset_of("g", "a", 1, true), (-1, 0));
    assert_eq!(world.durable.len(), 1);
}

#[test]
fn a_group_that_only_had_an_aborted_transaction_is_gone() {
    let mut world = World::new();
    commit(&mut world, 3, request(9, &[(0, 5)]));
    end(&mut world, 9, Decision::Abort);
    assert!(world.groups.groups.is_empty());
    assert!(world.durable.is_empty());
}

#[test]
fn transactions_of_two_producers_end_each_for_itself() {
    let mut world = World::new();
    commit(&mut world, 3, request(8, &[(0, 5)]));
    commit(&mut world, 3, request(9, &[(0, 6)]));
    end(&mut world, 9, Decision::Commit);
    assert_eq!(world.offset(0), (6, 0));
    assert_eq!(world.offset_of("g", "a", 0, true), (-1, 88));
    end(&mut world, 8, Decision::Commit);
    assert_eq!(
        world.offset_of("g", "a", 0, true),
        (6, 0),
        "the later commit stands"
    );
    world.restart();
    assert_eq!(world.offset(0), (6, 0));
}

#[test]
fn a_plain_commit_after_the_transactions_stands() {
    let mut world = World::new();
    commit(&mut world, 3, request(9, &[(0, 5)]));
    world.commit("", -1, &[(0, 7)]);
    end(&mut world, 9, Decision::Commit);
    assert_eq!(world.offset(0), (7, 0));
    world.restart();
    assert_eq!(world.offset(0), (7, 0));
}

#[test]
fn pending_offsets_survive_a_crash_and_can_be_ended_after_it() {
    for decision in [Decision::Commit, Decision::Abort] {
        let mut world = World::new();
        commit(&mut world, 3, request(9, &[(0, 4)]));
        commit(&mut world, 3, request(9, &[(0, 5)]));
        world.restart();
        assert_eq!(world.offset_of("g", "a", 0, true), (-1, 88));
        // The end is durable, but the crash comes before it is applied.
        let pairs = world.groups.end_transaction(9, "g", decision);
        world.keep(&pairs);
        world.restart();
        assert!(world.groups.end_transaction(9, "g", decision).is_empty());
        let offset = match decision {
            Decision::Commit => 5,
            Decision::Abort => -1,
        };
        assert_eq!(world.offset_of("g", "a", 0, true), (offset, 0));
    }
}

#[test]
fn a_transactional_commit_that_is_not_stored_leaves_the_former_one() {
    let mut world = World::new();
    commit(&mut world, 3, request(9, &[(0, 4)]));
    world.storage = Storage::Held;
    let to = world.send(3, request(9, &[(0, 5), (1, 5)]).into());
    assert!(world.answer(to).is_none());
    world.settle(Outcome::Refused);
    world.storage = Storage::Prompt;
    assert_eq!(world.offset_of("g", "a", 1, true), (-1, 0));
    end(&mut world, 9, Decision::Commit);
    assert_eq!(world.offset(0), (4, 0));
    assert_eq!(world.offset(1), (-1, 0));
}

#[test]
fn only_the_generations_members_commit_transactionally_if_they_say_who_they_are() {
    let mut world = World::new();
    let as_member = |id: &str, generation| {
        request(9, &[(0, 5)])
            .with_member_id(s(id))
            .with_generation_id(generation)
    };
    assert_eq!(
        commit(&mut world, 3, as_member("m", 1)),
        [22],
        "no such group"
    );
    let member = world.stable(1).remove(0);
    assert_eq!(commit(&mut world, 3, as_member(&member.id, 1)), [0]);
    assert_eq!(commit(&mut world, 3, as_member(&member.id, 0)), [22]);
    assert_eq!(commit(&mut world, 3, as_member("other", 1)), [25]);
    let instance = as_member(&member.id, 1).with_group_instance_id(Some(s("i")));
    assert_eq!(commit(&mut world, 3, instance), [25]);
    assert_eq!(
        commit(&mut world, 0, request(9, &[(0, 5)])),
        [0],
        "old clients cannot"
    );
    assert_eq!(commit(&mut world, 3, request(9, &[(7, 5)])), [3]);
    let nameless = request(9, &[(0, 5)]).with_group_id(GroupId(s("")));
    assert_eq!(commit(&mut world, 3, nameless), [24]);
}

#[test]
fn offsets_under_a_transaction_do_not_expire() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 1)]);
    commit(&mut world, 3, request(9, &[(0, 5)]));
    world.pass(9 * DAY_MS);
    assert_eq!(world.offset(0), (1, 0));
    end(&mut world, 9, Decision::Abort);
    world.pass(601_000);
    assert!(world.durable.is_empty());
}

#[test]
fn a_deleted_topic_takes_pending_offsets_with_it() {
    let mut world = World::new();
    commit(&mut world, 3, request(9, &[(0, 5)]));
    world.storage = Storage::Held;
    let mut effects = Vec::new();
    world.groups.forget_topic("a", &mut effects);
    world.take(effects);
    // The transaction ends while the deletion is under way.
    let pairs = world.groups.end_transaction(9, "g", Decision::Commit);
    world.settle(Outcome::Durable);
    world.keep(&pairs);
    world.groups.applied(9, "g", Decision::Commit);
    assert!(world.durable.is_empty());
    assert!(world.groups.groups.is_empty());
}

#[test]
fn a_transaction_holds_no_more_than_its_end_can_store() {
    let mut world = World::with(GroupOptions {
        commit_bytes_max: 200,
        ..GroupOptions::default()
    });
    assert_eq!(commit(&mut world, 3, request(9, &[(0, 1), (1, 1)])), [0, 0]);
    assert_eq!(commit(&mut world, 3, request(9, &[(2, 1)])), [28]);
    assert_eq!(
        commit(&mut world, 3, request(8, &[(2, 1)])),
        [0],
        "another has its own"
    );
    let pairs = world.groups.end_transaction(9, "g", Decision::Commit);
    let bytes: usize = pairs
        .iter()
        .map(|pair| pair.key.len() + pair.value.len())
        .sum();
    assert!(bytes <= 200, "{bytes}");
}
