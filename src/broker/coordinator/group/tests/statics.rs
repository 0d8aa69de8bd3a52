//! Members with an instance id (KIP-345, KIP-814).

use super::*;

fn join_as(instance: &str, member: &str) -> JoinGroupRequest {
    join(member).with_group_instance_id(Some(s(instance)))
}

/// A stable group of static members `i0`, `i1`, ...; the first leads.
fn stable(world: &mut World, members: usize) -> Vec<Told> {
    let joins: Vec<u32> = (0..members)
        .map(|n| world.join(9, join_as(&format!("i{n}"), "")))
        .collect();
    let mut ids = vec![world.joined(joins[0]).member_id.to_string()];
    let mut generation = 1;
    if members > 1 {
        let to = world.join(9, join_as("i0", &ids[0]));
        generation = world.joined(to).generation_id;
        let others = joins[1..]
            .iter()
            .map(|to| world.joined(*to).member_id.to_string());
        ids.extend(others.collect::<Vec<_>>());
    }
    for id in ids.iter().rev() {
        let assignments: Vec<(&str, &'static [u8])> =
            ids.iter().map(|id| (&**id, &b"mine"[..])).collect();
        world.sync(id, generation, &assignments);
    }
    ids.into_iter().map(|id| Told { id, generation }).collect()
}

#[test]
fn a_static_member_joins_at_once_under_an_id_of_its_instance() {
    let mut world = World::new();
    let members = stable(&mut world, 1);
    assert!(members[0].id.starts_with("i0-"), "{members:?}");
}

#[test]
fn a_static_member_that_is_back_keeps_its_assignment_without_a_generation() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    let generation = members[0].generation;
    let to = world.join(9, join_as("i1", ""));
    let told = world.joined(to);
    assert_eq!((told.error_code, told.generation_id), (0, generation));
    assert_ne!(&*told.member_id, &*members[1].id);
    assert!(!told.skip_assignment);
    let to = world.sync(&told.member_id, generation, &[]);
    assert_eq!(&world.synced(to).assignment[..], b"mine");
    assert_eq!(world.beat(&members[0].id, generation), 0);
    assert_eq!(world.beat(&told.member_id, generation), 0);
}

#[test]
fn the_former_self_of_a_static_member_is_fenced() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    let (id, generation) = (&members[1].id, members[1].generation);
    world.join(9, join_as("i1", ""));
    let request = HeartbeatRequest::default()
        .with_group_id(GroupId(s("g")))
        .with_generation_id(generation)
        .with_member_id(s(id))
        .with_group_instance_id(Some(s("i1")));
    let to = world.send(4, request.into());
    assert_eq!(world.beaten(to).error_code, 82);
    let to = world.join(9, join_as("i1", id));
    assert_eq!(world.joined(to).error_code, 82);
    let commit = commit_of(id, generation, "a", &[(0, 1)]).with_group_instance_id(Some(s("i1")));
    let to = world.send(9, commit.into());
    assert_eq!(codes(&world.committed(to)), [82]);
    assert_eq!(world.leave(&[(id, Some("i1"))]), [0, 82]);
    assert_eq!(world.leave(&[(id, Some("i7"))]), [0, 25]);
}

#[test]
fn a_static_leader_that_is_back_is_told_to_keep_the_assignment() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    let to = world.join(9, join_as("i0", ""));
    let told = world.joined(to);
    assert!(told.skip_assignment);
    assert_eq!(told.leader, told.member_id);
    assert_eq!(told.members.len(), 2);
    // Before version 9 it is told its former id as the leader's, and so assigns nothing.
    let to = world.join(8, join_as("i0", ""));
    let again = world.joined(to);
    assert_eq!(again.leader, told.member_id);
    assert_ne!(again.member_id, told.member_id);
    assert_eq!((again.members.len(), again.skip_assignment), (0, false));
    assert_eq!(world.beat(&members[1].id, members[1].generation), 0);
}

#[test]
fn a_static_member_that_changes_the_protocol_starts_a_generation() {
    let mut world = World::new();
    let both = [
        ("range", subscription(&["a"])),
        ("sticky", subscription(&["a"])),
    ];
    let request = |protocols| join_by("", protocols).with_group_instance_id(Some(s("i0")));
    let to = world.join(9, request(&both));
    let id = world.joined(to).member_id.to_string();
    world.sync(&id, 1, &[]);
    let to = world.join(9, request(&both[1..]));
    let told = world.joined(to);
    assert_eq!(told.generation_id, 2);
    assert_eq!(told.protocol_name.as_deref(), Some("sticky"));
}

#[test]
fn a_static_member_that_is_back_while_the_leader_assigns_starts_a_generation() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    let leader = world.join(9, join_as("i0", &members[0].id));
    let follower = world.join(9, join_as("i1", &members[1].id));
    let generation = world.joined(leader).generation_id;
    assert_eq!(world.joined(follower).error_code, 0);
    let syncing = world.sync(&members[1].id, generation, &[]);
    let back = world.join(9, join_as("i1", ""));
    assert_eq!(world.synced(syncing).error_code, 82);
    assert_eq!(world.beat(&members[0].id, generation), 27);
    let leader = world.join(9, join_as("i0", &members[0].id));
    assert_eq!(world.joined(leader).generation_id, generation + 1);
    assert_eq!(world.joined(back).generation_id, generation + 1);
}

#[test]
fn a_static_member_that_does_not_rejoin_stays_until_its_session_ends() {
    let mut world = World::new();
    let request = |instance, member: &str| {
        join_as(instance, member)
            .with_rebalance_timeout_ms(2_000)
            .with_session_timeout_ms(60_000)
    };
    let to = world.join(9, request("i0", ""));
    let first = world.joined(to).member_id.to_string();
    let second = world.join(9, request("i1", ""));
    assert!(world.answer(second).is_none());
    world.pass(2_000);
    let told = world.joined(second);
    assert_eq!((told.error_code, told.generation_id), (0, 2));
    assert_eq!((told.leader, told.members.len()), (told.member_id, 2));
    let to = world.join(9, request("i0", &first));
    assert_eq!(world.joined(to).generation_id, 2, "it is still a member");
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    assert_eq!(world.leave(&[("", Some("i1"))]), [0, 0]);
    assert_eq!(world.beat(&members[1].id, members[1].generation), 25);
    assert_eq!(world.beat(&members[0].id, members[0].generation), 27);
}

#[test]
fn versions_without_instances_are_not_shown_any() {
    let mut world = World::new();
    stable(&mut world, 1);
    let joining = world.join(0, join(""));
    world.pass(60_000);
    let told = world.joined(joining);
    assert_eq!(told.error_code, 0);
}
