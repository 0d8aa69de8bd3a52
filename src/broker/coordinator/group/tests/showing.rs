//! ListGroups, DescribeGroups, DeleteGroups.

use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, ListGroupsResponse,
};

use super::*;

fn list(world: &mut World, version: i16, states: &[&str], types: &[&str]) -> ListGroupsResponse {
    let all = |names: &[&str]| names.iter().map(|name| s(name)).collect::<Vec<_>>();
    let request = ListGroupsRequest::default()
        .with_states_filter(all(states))
        .with_types_filter(all(types));
    let to = world.send(version, request.into());
    match world.answer(to) {
        Some(ResponseKind::ListGroups(response)) => response.clone(),
        other => panic!("{other:?}"),
    }
}

fn describe(world: &mut World, version: i16, group: &str) -> DescribedGroup {
    let request = DescribeGroupsRequest::default()
        .with_groups(vec![GroupId(s(group))])
        .with_include_authorized_operations(version >= 3);
    let to = world.send(version, request.into());
    match world.answer(to) {
        Some(ResponseKind::DescribeGroups(response)) => response.groups[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn delete(world: &mut World, groups: &[&str]) -> u32 {
    let groups = groups.iter().map(|group| GroupId(s(group))).collect();
    let request = DeleteGroupsRequest::default().with_groups_names(groups);
    world.send(2, request.into())
}

fn deleted(world: &World, to: u32) -> Vec<i16> {
    match world.answer(to) {
        Some(ResponseKind::DeleteGroups(response)) => response
            .results
            .iter()
            .map(|result| result.error_code)
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut world = World::new();
    world.stable(1);
    let simple = commit_of("", -1, "a", &[(0, 1)]).with_group_id(GroupId(s("simple")));
    world.send(9, simple.into());
    for (states, types, count) in [
        (&[][..], &[][..], 2),
        (&["stable"], &[], 1),
        (&["STABLE", " Empty"], &["Classic"], 2),
        (&["Dead"], &[], 0),
        (&[], &["consumer"], 0),
    ] {
        let listed = list(&mut world, 5, states, types);
        assert_eq!(listed.groups.len(), count, "{states:?} {types:?}");
    }
    let listed = list(&mut world, 5, &["Stable"], &[]).groups.remove(0);
    assert_eq!(
        (&*listed.group_id.0, &*listed.protocol_type),
        ("g", "consumer")
    );
    assert_eq!(
        (&*listed.group_state, &*listed.group_type),
        ("Stable", "classic")
    );
    for version in 0..=5 {
        assert_eq!(list(&mut world, version, &[], &[]).groups.len(), 2);
    }
}

#[test]
fn a_group_is_described_with_what_its_members_said_and_got() {
    let mut world = World::new();
    let mut request = join("").with_group_instance_id(Some(s("i")));
    request.group_id = GroupId(s("g"));
    let to = world.join(9, request);
    let id = world.joined(to).member_id.to_string();
    let group = describe(&mut world, 5, "g");
    assert_eq!(&*group.group_state, "CompletingRebalance");
    assert_eq!(
        (
            &*group.protocol_data,
            group.members[0].member_metadata.len()
        ),
        ("", 0)
    );
    world.sync(&id, 1, &[(&id, b"mine")]);
    for version in 0..=6 {
        let group = describe(&mut world, version, "g");
        assert_eq!(
            (&*group.group_state, &*group.protocol_data),
            ("Stable", "range")
        );
        let member = &group.members[0];
        assert_eq!(
            (&*member.client_id, &*member.client_host),
            ("client", "/127.0.0.1")
        );
        assert_eq!(member.member_metadata, subscription(&["a"]));
        assert_eq!(&member.member_assignment[..], b"mine");
        let instance = member.group_instance_id.as_deref();
        assert_eq!(instance, (version >= 4).then_some("i"));
        let operations = if version >= 3 { 328 } else { i32::MIN };
        assert_eq!(group.authorized_operations, operations);
    }
}

#[test]
fn a_group_that_is_not_there_is_dead_and_from_version_six_an_error() {
    let mut world = World::new();
    let group = describe(&mut world, 5, "never");
    assert_eq!((&*group.group_state, group.error_code), ("Dead", 0));
    let group = describe(&mut world, 6, "never");
    assert_eq!((&*group.group_state, group.error_code), ("Dead", 69));
    assert!(group.error_message.is_some());
}

#[test]
fn only_groups_without_members_are_deleted_with_all_they_have() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    world.commit(&member.id, 1, &[(0, 1)]);
    let to = delete(&mut world, &["g", "never", "g"]);
    assert_eq!(deleted(&world, to), [68, 69]);
    world.leave(&[(&member.id, None)]);
    world.storage = Storage::Held;
    let to = delete(&mut world, &["g"]);
    assert!(world.answer(to).is_none());
    world.settle(Outcome::Durable);
    assert_eq!(deleted(&world, to), [0]);
    assert!(world.groups.groups.is_empty());
    assert!(world.durable.is_empty());
}

#[test]
fn a_group_whose_deletion_is_not_stored_stays() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 1)]);
    world.storage = Storage::Held;
    let to = delete(&mut world, &["g"]);
    world.settle(Outcome::Refused);
    assert_eq!(deleted(&world, to), [15]);
    assert_eq!(world.offset(0), (1, 0));
    world.storage = Storage::Prompt;
    let to = delete(&mut world, &["g"]);
    assert_eq!(deleted(&world, to), [0]);
    assert!(world.groups.groups.is_empty());
    assert!(world.durable.is_empty());
}

#[test]
fn who_joins_while_a_group_is_deleted_finds_it_new() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    world.commit(&member.id, 1, &[(0, 1)]);
    world.leave(&[(&member.id, None)]);
    world.storage = Storage::Held;
    delete(&mut world, &["g"]);
    let to = world.join(3, join(""));
    world.settle(Outcome::Durable);
    assert_eq!(world.joined(to).error_code, 0);
    assert_eq!(world.offset(0), (-1, 0));
    assert_eq!(world.groups.groups.len(), 1);
    assert_eq!(world.durable.len(), 1, "it has members is stored again");
}

#[test]
fn a_group_of_many_offsets_is_deleted_in_several_stores_and_answered_after_the_last() {
    let mut world = World::with(GroupOptions {
        commit_bytes_max: 60,
        ..GroupOptions::default()
    });
    for partition in 0..4 {
        world.commit("", -1, &[(partition, 1)]);
    }
    world.storage = Storage::Held;
    let to = delete(&mut world, &["g"]);
    assert_eq!(
        world.held.len(),
        2,
        "four keys of 13 bytes, and what else is known of it"
    );
    world.settle_one(Outcome::Durable);
    assert!(world.answer(to).is_none());
    world.settle_one(Outcome::Durable);
    assert_eq!(deleted(&world, to), [0]);
    assert!(world.durable.is_empty());
}
