//! OffsetCommit, OffsetFetch, OffsetDelete, and what nobody uses any more.

use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::*;

/// OffsetDelete of topics' partition 0: its own error, then each partition's.
fn delete(world: &mut World, group: &str, topics: &[&str]) -> Vec<i16> {
    let topic = |name: &&str| {
        OffsetDeleteRequestTopic::default()
            .with_name(TopicName(s(name)))
            .with_partitions(vec![OffsetDeleteRequestPartition::default()])
    };
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(s(group)))
        .with_topics(topics.iter().map(topic).collect());
    let to = world.send(0, request.into());
    let response: OffsetDeleteResponse = match world.answer(to) {
        Some(ResponseKind::OffsetDelete(response)) => response.clone(),
        other => panic!("{other:?}"),
    };
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let own = std::iter::once(response.error_code);
    own.chain(partitions.map(|partition| partition.error_code))
        .collect()
}

#[test]
fn a_commit_is_answered_and_seen_only_once_it_is_durable() {
    let mut world = World::new();
    world.storage = Storage::Held;
    let to = world.commit("", -1, &[(0, 7)]);
    assert!(world.answer(to).is_none());
    assert_eq!(world.offset(0), (-1, 0));
    world.settle(Outcome::Durable);
    assert_eq!(codes(&world.committed(to)), [0]);
    assert_eq!(world.offset(0), (7, 0));
}

#[test]
fn a_commit_that_is_not_stored_leaves_the_old_offset() {
    for (outcome, error) in [(Outcome::Refused, 15), (Outcome::Lost, 56)] {
        let mut world = World::new();
        world.commit("", -1, &[(0, 7)]);
        world.storage = Storage::Held;
        let to = world.commit("", -1, &[(0, 8), (9, 1)]);
        world.settle(outcome);
        assert_eq!(codes(&world.committed(to)), [error, 3]);
        assert_eq!(world.offset(0), (7, 0));
    }
}

#[test]
fn a_first_commit_that_is_not_stored_leaves_no_group() {
    let mut world = World::new();
    world.storage = Storage::Held;
    world.commit("", -1, &[(0, 7)]);
    world.settle(Outcome::Refused);
    assert!(world.groups.groups.is_empty());
}

#[test]
fn of_two_offsets_for_a_partition_the_later_stands_also_after_a_restart() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 1), (0, 2)]);
    assert_eq!(world.offset(0), (2, 0));
    world.storage = Storage::Held;
    world.commit("", -1, &[(0, 3)]);
    world.commit("", -1, &[(0, 4)]);
    world.settle_one(Outcome::Durable);
    assert_eq!(world.offset(0), (3, 0));
    world.settle(Outcome::Durable);
    assert_eq!(world.offset(0), (4, 0));
    world.restart();
    assert_eq!(world.offset(0), (4, 0));
}

#[test]
fn a_group_never_seen_has_no_offsets_and_no_error() {
    let mut world = World::new();
    assert_eq!(world.offset(0), (-1, 0));
    assert_eq!(world.offset_of("", "never", -5, true), (-1, 0));
    assert!(world.groups.groups.is_empty());
}

#[test]
fn every_version_of_fetch_says_what_it_can() {
    let mut world = World::new();
    let mut request = commit_of("", -1, "a", &[(0, 7), (2, 9)]);
    request.topics[0].partitions[0].committed_leader_epoch = 5;
    world.send(9, request.into());
    for version in 1..=7 {
        let topics = (version < 2).then(|| {
            vec![
                OffsetFetchRequestTopic::default()
                    .with_name(TopicName(s("a")))
                    .with_partition_indexes(vec![0, 2]),
            ]
        });
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(s("g")))
            .with_topics(topics);
        let to = world.send(version, request.into());
        let fetched = world.fetched(to);
        let partitions = &fetched.topics[0].partitions;
        let offsets: Vec<i64> = partitions.iter().map(|one| one.committed_offset).collect();
        assert_eq!((offsets, fetched.error_code), (vec![7, 9], 0), "{version}");
        let epoch = partitions[0].committed_leader_epoch;
        assert_eq!(epoch, if version < 5 { -1 } else { 5 });
        assert_eq!(partitions[0].metadata.as_deref(), Some("note"));
    }
}

#[test]
fn several_groups_are_fetched_at_once_and_null_means_all_topics() {
    let mut world = World::new();
    world.commit("", -1, &[(1, 7)]);
    let mut request = commit_of("", -1, "b", &[(0, 1)]);
    world.send(9, request.clone().into());
    request.group_id = GroupId(s("other"));
    world.send(9, request.into());
    let groups = ["g", "other", "never"].map(|group| {
        OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(s(group)))
            .with_topics(None)
    });
    let request = OffsetFetchRequest::default().with_groups(groups.to_vec());
    let to = world.send(8, request.into());
    let topics: Vec<usize> = world
        .fetched(to)
        .groups
        .iter()
        .map(|group| group.topics.len())
        .collect();
    assert_eq!(topics, [2, 1, 0]);
}

#[test]
fn what_is_wrong_with_a_partition_is_said_of_it_alone() {
    let mut world = World::with(GroupOptions {
        offsets_max: 2,
        ..GroupOptions::default()
    });
    let mut request = commit_of(
        "",
        -1,
        "a",
        &[(0, 1), (1, 1), (4, 1), (-1, 1), (2, 1), (3, 1)],
    );
    request.topics[0].partitions[1].committed_metadata = Some(s(&"x".repeat(4_097)));
    let to = world.send(9, request.into());
    assert_eq!(codes(&world.committed(to)), [0, 12, 3, 3, 0, 28]);
    let to = world.send(9, commit_of("", -1, "nothing", &[(0, 1)]).into());
    assert_eq!(codes(&world.committed(to)), [3]);
    let to = world.commit("", -1, &[(0, 2)]);
    assert_eq!(
        codes(&world.committed(to)),
        [0],
        "a known one takes no room"
    );
}

#[test]
fn a_commit_is_no_longer_than_one_write() {
    let mut world = World::with(GroupOptions {
        commit_bytes_max: 150,
        ..GroupOptions::default()
    });
    let to = world.commit("", -1, &[(0, 1), (1, 1), (2, 1)]);
    assert_eq!(codes(&world.committed(to)), [0, 0, 28]);
}

#[test]
fn who_may_commit() {
    let mut world = World::new();
    let to = world.commit("m", 1, &[(0, 1)]);
    assert_eq!(codes(&world.committed(to)), [69]);
    let to = world.send(8, commit_of("m", 1, "a", &[(0, 1)]).into());
    assert_eq!(codes(&world.committed(to)), [22]);
    let request = commit_of("", -1, "a", &[(0, 1)]).with_group_id(GroupId(s("")));
    let to = world.send(9, request.into());
    assert_eq!(
        codes(&world.committed(to)),
        [0],
        "the empty group is for old clients"
    );
    let member = world.stable(1).remove(0);
    let to = world.commit("", -1, &[(0, 1)]);
    assert_eq!(codes(&world.committed(to)), [25], "it has members");
    let to = world.commit(&member.id, 1, &[(0, 1)]);
    assert_eq!(codes(&world.committed(to)), [0]);
    world.join(9, join(&member.id));
    let to = world.commit(&member.id, 2, &[(0, 1)]);
    assert_eq!(
        codes(&world.committed(to)),
        [27],
        "it does not know yet what it reads"
    );
}

#[test]
fn while_members_rejoin_the_old_generation_may_still_commit() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    let id = world.told_id();
    world.join(9, join(&id));
    let to = world.commit(&member.id, 1, &[(0, 3)]);
    assert_eq!(codes(&world.committed(to)), [0]);
    world.join(9, join(&member.id));
    let to = world.commit(&member.id, 1, &[(0, 4)]);
    assert_eq!(codes(&world.committed(to)), [22]);
    assert_eq!(world.offset(0), (3, 0));
}

#[test]
fn offsets_are_deleted_but_those_of_topics_that_members_read() {
    let mut world = World::new();
    assert_eq!(delete(&mut world, "g", &["a"]), [69]);
    assert_eq!(delete(&mut world, "", &["a"]), [24]);
    for topic in ["a", "b"] {
        world.send(9, commit_of("", -1, topic, &[(0, 5)]).into());
    }
    let member = world.stable(1).remove(0);
    assert_eq!(
        delete(&mut world, "g", &["a", "b", "nothing"]),
        [0, 86, 0, 3]
    );
    assert_eq!(world.offset_of("g", "a", 0, false), (5, 0));
    assert_eq!(world.offset_of("g", "b", 0, false), (-1, 0));
    world.leave(&[(&member.id, None)]);
    assert_eq!(delete(&mut world, "g", &["a"]), [0, 0]);
    assert_eq!(world.offset_of("g", "a", 0, false), (-1, 0));
    world.restart();
    assert_eq!(world.offset_of("g", "a", 0, false), (-1, 0));
}

#[test]
fn members_whose_metadata_is_not_understood_may_read_every_topic() {
    let mut world = World::new();
    world.send(9, commit_of("", -1, "b", &[(0, 5)]).into());
    world.join(3, join_by("", &[("range", Bytes::from_static(b"?"))]));
    assert_eq!(delete(&mut world, "g", &["b"]), [0, 86]);
}

#[test]
fn offsets_of_members_that_are_no_consumers_are_not_deleted() {
    let mut world = World::new();
    let mut request = join("");
    request.protocol_type = s("connect");
    world.join(3, request);
    assert_eq!(delete(&mut world, "g", &["b"]), [68]);
}

#[test]
fn a_commit_that_was_asked_for_after_a_deletion_stands() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 1)]);
    world.storage = Storage::Held;
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(s("g")))
        .with_topics(vec![
            OffsetDeleteRequestTopic::default()
                .with_name(TopicName(s("a")))
                .with_partitions(vec![OffsetDeleteRequestPartition::default()]),
        ]);
    world.send(0, request.into());
    world.commit("", -1, &[(0, 2)]);
    assert_eq!(world.offset(0), (1, 0));
    world.settle_one(Outcome::Durable);
    assert_eq!(world.offset(0), (-1, 0));
    world.settle_one(Outcome::Durable);
    assert_eq!(world.offset(0), (2, 0));
    world.restart();
    assert_eq!(world.offset(0), (2, 0));
}

#[test]
fn a_deleted_topics_offsets_are_gone_from_all_groups() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 1), (3, 1)]);
    world.send(9, commit_of("", -1, "b", &[(0, 2)]).into());
    let mut effects = Vec::new();
    world.groups.forget_topic("a", &mut effects);
    world.take(effects);
    assert_eq!(world.offset(0), (-1, 0));
    assert_eq!(world.offset_of("g", "b", 0, false), (2, 0));
    assert_eq!(world.durable.len(), 1);
}

#[test]
fn offsets_without_members_expire_from_their_commit() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 1)]);
    world.pass(4 * DAY_MS);
    world.commit("", -1, &[(1, 1)]);
    world.pass(3 * DAY_MS - 1_000);
    assert_eq!(world.offset(0), (1, 0));
    world.pass(601_000);
    assert_eq!(world.offset(0), (-1, 0));
    assert_eq!(world.offset(1), (1, 0));
    world.pass(4 * DAY_MS);
    assert!(world.groups.groups.is_empty());
    assert!(world.durable.is_empty());
}

#[test]
fn offsets_of_a_group_expire_from_when_it_was_left_also_over_a_restart() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    let to = world.commit(&member.id, 1, &[(0, 1)]);
    assert_eq!(codes(&world.committed(to)), [0]);
    for _ in 0..(8 * DAY_MS / 9_000) {
        world.pass(9_000);
        world.beat(&member.id, 1);
    }
    assert_eq!(world.offset(0), (1, 0), "it is read");
    world.leave(&[(&member.id, None)]);
    world.pass(5 * DAY_MS);
    world.restart();
    world.pass(DAY_MS);
    assert_eq!(world.offset(0), (1, 0));
    world.pass(DAY_MS + 601_000);
    assert_eq!(world.offset(0), (-1, 0));
    assert!(world.groups.groups.is_empty());
    assert!(world.durable.is_empty());
}

#[test]
fn a_group_that_had_members_before_a_crash_counts_from_the_restart() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    world.commit(&member.id, 1, &[(0, 1)]);
    world.leave(&[(&member.id, None)]);
    world.pass(6 * DAY_MS);
    world.stable(1);
    world.pass(9_000);
    world.restart();
    world.pass(6 * DAY_MS);
    world.restart();
    assert_eq!(world.offset(0), (1, 0));
    world.pass(DAY_MS + 601_000);
    assert_eq!(world.offset(0), (-1, 0));
}

#[test]
fn a_time_to_keep_that_the_client_gave_counts() {
    let mut world = World::new();
    let request = commit_of("", -1, "a", &[(0, 1)]).with_retention_time_ms(1_000);
    world.send(4, request.into());
    world.pass(601_000);
    assert_eq!(world.offset(0), (-1, 0));
}

#[test]
fn a_consumers_topic_that_nobody_reads_any_more_expires_under_a_stable_group() {
    let mut world = World::with(GroupOptions {
        session_timeout_max_ms: i32::MAX,
        offsets_retention_ms: 86_400_000,
        ..GroupOptions::default()
    });
    for topic in ["a", "b"] {
        world.send(9, commit_of("", -1, topic, &[(0, 5)]).into());
    }
    let request = join("").with_session_timeout_ms(i32::MAX);
    let to = world.join(3, request);
    let id = world.joined(to).member_id.to_string();
    world.sync(&id, 1, &[]);
    world.pass(2 * DAY_MS);
    assert_eq!(world.beat(&id, 1), 0);
    assert_eq!(world.offset_of("g", "a", 0, false), (5, 0));
    assert_eq!(world.offset_of("g", "b", 0, false), (-1, 0));
}

#[test]
fn many_groups_are_looked_through_in_portions() {
    let mut world = World::new();
    for group in 0..200 {
        let group = GroupId(s(&format!("g{group}")));
        world.send(
            9,
            commit_of("", -1, "a", &[(0, 1)])
                .with_group_id(group)
                .into(),
        );
    }
    world.pass(8 * DAY_MS);
    assert!(world.groups.groups.is_empty());
    assert!(world.durable.is_empty());
}
