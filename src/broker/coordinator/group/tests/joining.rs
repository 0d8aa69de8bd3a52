//! JoinGroup and SyncGroup.

use bytes::Bytes;
use kafka_protocol::messages::SyncGroupRequest;

use super::*;

#[test]
fn a_new_member_is_told_its_id_first_and_then_leads_generation_one_at_once() {
    let mut world = World::new();
    let id = world.told_id();
    assert!(id.starts_with("client-"), "{id}");
    let to = world.join(9, join(&id));
    let told = world.joined(to);
    assert_eq!((told.error_code, told.generation_id), (0, 1));
    assert_eq!((&*told.leader, &*told.member_id), (&*id, &*id));
    assert_eq!(told.protocol_name.as_deref(), Some("range"));
    assert_eq!(told.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(told.members.len(), 1);
    assert_eq!(told.members[0].metadata, subscription(&["a"]));
    assert!(!told.skip_assignment);
}

#[test]
fn old_versions_join_without_a_second_request() {
    for version in 0..=3 {
        let mut world = World::new();
        let to = world.join(version, join(""));
        let told = world.joined(to);
        assert_eq!((told.error_code, told.generation_id), (0, 1), "{version}");
        assert_eq!(told.protocol_name.as_deref(), Some("range"));
    }
}

#[test]
fn an_id_that_nobody_joins_with_is_forgotten_after_the_session_timeout() {
    let mut world = World::new();
    let id = world.told_id();
    world.pass(9_999);
    assert_eq!(world.groups.groups.len(), 1);
    world.pass(1);
    assert!(world.groups.groups.is_empty());
    let to = world.join(9, join(&id));
    assert_eq!(world.joined(to).error_code, 25);
}

#[test]
fn a_second_member_makes_the_first_rejoin_and_the_leader_assigns_both() {
    let mut world = World::new();
    let first = world.stable(1).remove(0);
    assert_eq!(world.beat(&first.id, 1), 0);
    let second = world.told_id();
    let joining = world.join(9, join(&second));
    assert!(world.answer(joining).is_none());
    assert_eq!(world.beat(&first.id, 1), 27);
    let to = world.join(9, join(&first.id));
    let (leader, follower) = (world.joined(to), world.joined(joining));
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    assert_eq!(&*follower.leader, &*first.id);
    let waiting = world.sync(&second, 2, &[]);
    assert!(world.answer(waiting).is_none(), "it waits for the leader");
    assert_eq!(
        world.beat(&second, 2),
        0,
        "heartbeats are answered meanwhile"
    );
    let to = world.sync(&first.id, 2, &[(&first.id, b"1"), (&second, b"2")]);
    assert_eq!(&world.synced(to).assignment[..], b"1");
    let synced = world.synced(waiting);
    assert_eq!(&synced.assignment[..], b"2");
    assert_eq!(synced.protocol_name.as_deref(), Some("range"));
    let to = world.sync(&second, 2, &[]);
    assert_eq!(&world.synced(to).assignment[..], b"2", "asked once more");
}

#[test]
fn members_that_do_not_rejoin_in_time_are_dropped() {
    let mut world = World::new();
    let first = world.stable(1).remove(0);
    let second = world.told_id();
    let joining = world.join(9, join(&second));
    for _ in 0..11 {
        world.pass(5_000);
        assert_eq!(world.beat(&first.id, 1), 27);
    }
    assert!(world.answer(joining).is_none());
    world.pass(5_000);
    let told = world.joined(joining);
    assert_eq!((told.generation_id, &*told.leader), (2, &*second));
    assert_eq!(told.members.len(), 1);
    assert_eq!(world.beat(&first.id, 1), 25);
}

#[test]
fn a_generation_that_a_member_never_asks_about_ends_without_it() {
    let mut world = World::new();
    let members = world.stable(2);
    let again = world.join(9, join(&members[0].id));
    let silent = world.join(9, join(&members[1].id));
    let generation = world.joined(again).generation_id;
    assert_eq!(world.joined(silent).error_code, 0);
    let to = world.sync(&members[0].id, generation, &[]);
    assert_eq!(world.synced(to).error_code, 0);
    for _ in 0..7 {
        world.pass(9_000);
        world.beat(&members[0].id, generation);
        world.beat(&members[1].id, generation);
    }
    assert_eq!(world.beat(&members[0].id, generation), 27);
    assert_eq!(world.beat(&members[1].id, generation), 25);
}

#[test]
fn a_session_ends_without_heartbeats_and_offset_commits_are_as_good() {
    let mut world = World::new();
    let members = world.stable(2);
    for _ in 0..3 {
        world.pass(9_000);
        assert_eq!(world.beat(&members[0].id, members[0].generation), 0);
        let to = world.commit(&members[1].id, members[1].generation, &[(0, 1)]);
        assert_eq!(codes(&world.committed(to)), [0]);
    }
    world.pass(9_000);
    assert_eq!(world.beat(&members[0].id, members[0].generation), 0);
    world.pass(1_000);
    assert_eq!(world.beat(&members[0].id, members[0].generation), 27);
    assert_eq!(world.beat(&members[1].id, members[1].generation), 25);
}

#[test]
fn a_new_member_whose_client_is_gone_does_not_wait_for_ever() {
    let mut world = World::new();
    let members = world.stable(1);
    let mut request = join("");
    request.rebalance_timeout_ms = 3_600_000;
    let to = world.join(9, request.clone());
    request.member_id = world.joined(to).member_id;
    let joining = world.join(9, request);
    for _ in 0..30 {
        world.pass(9_999);
        assert_eq!(world.beat(&members[0].id, 1), 27);
    }
    assert!(world.answer(joining).is_none());
    world.pass(30);
    assert_eq!(world.joined(joining).error_code, 25);
}

#[test]
fn a_member_of_another_generation_is_refused() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    assert_eq!(world.beat(&member.id, 0), 22);
    assert_eq!(world.beat("nobody", 1), 25);
    let to = world.sync(&member.id, 7, &[]);
    assert_eq!(world.synced(to).error_code, 22);
    let to = world.commit(&member.id, 7, &[(0, 1)]);
    assert_eq!(codes(&world.committed(to)), [22]);
}

#[test]
fn a_member_that_says_the_same_again_is_told_the_same_and_a_leader_starts_a_generation() {
    let mut world = World::new();
    let members = world.stable(2);
    let generation = members[0].generation;
    let to = world.join(9, join(&members[1].id));
    let told = world.joined(to);
    assert_eq!((told.generation_id, told.members.len()), (generation, 0));
    assert_eq!(world.beat(&members[0].id, generation), 0);
    let to = world.join(9, join(&members[0].id));
    assert!(world.answer(to).is_none());
    assert_eq!(world.beat(&members[1].id, generation), 27);
    let follower = world.join(9, join(&members[1].id));
    assert_eq!(world.joined(to).generation_id, generation + 1);
    // The answer was lost: asked again, the same is told.
    for (id, count, former) in [(&members[0].id, 2, to), (&members[1].id, 0, follower)] {
        let to = world.join(9, join(id));
        assert_eq!(world.joined(to).members.len(), count);
        assert_eq!(world.joined(to), world.joined(former));
    }
}

#[test]
fn changed_metadata_starts_a_generation_and_ends_syncs_under_way() {
    let mut world = World::new();
    let members = world.stable(2);
    let again = world.join(9, join(&members[0].id));
    let follower = world.join(9, join(&members[1].id));
    let generation = world.joined(again).generation_id;
    assert_eq!(world.joined(follower).generation_id, generation);
    let syncing = world.sync(&members[1].id, generation, &[]);
    let changed = join_by(&members[0].id, &[("range", subscription(&["b"]))]);
    world.join(9, changed);
    assert_eq!(world.synced(syncing).error_code, 27);
    let to = world.sync(&members[1].id, generation, &[]);
    assert_eq!(world.synced(to).error_code, 27);
}

#[test]
fn the_protocol_is_one_that_all_know_and_most_prefer() {
    let mut world = World::new();
    let by = |id: &str, names: &[&str]| {
        let protocols: Vec<(&str, Bytes)> = names
            .iter()
            .map(|name| (*name, subscription(&["a"])))
            .collect();
        join_by(id, &protocols)
    };
    let ids: Vec<String> = (0..3).map(|_| world.told_id()).collect();
    world.join(9, by(&ids[0], &["range", "sticky", "mine"]));
    world.join(9, by(&ids[1], &["sticky", "range"]));
    world.join(9, by(&ids[2], &["sticky", "range", "other"]));
    let to = world.join(9, by(&ids[0], &["range", "sticky", "mine"]));
    assert_eq!(world.joined(to).protocol_name.as_deref(), Some("sticky"));
    let stranger = world.join(3, by("", &["mine"]));
    assert_eq!(world.joined(stranger).error_code, 23);
    let mut other = by("", &["range"]);
    other.protocol_type = s("connect");
    let to = world.join(3, other);
    assert_eq!(world.joined(to).error_code, 23);
}

#[test]
fn a_join_without_protocols_or_type_leaves_no_group() {
    let mut world = World::new();
    let mut request = join("");
    request.protocol_type = s("");
    for request in [request, join_by("", &[])] {
        let to = world.join(9, request);
        assert_eq!(world.joined(to).error_code, 23);
        assert!(world.groups.groups.is_empty());
    }
}

#[test]
fn what_is_wrong_with_a_join_is_said() {
    let mut world = World::new();
    for (change, error) in [(GroupId(s("")), 24), (GroupId(s(&"x".repeat(40_000))), 24)] {
        let to = world.join(9, join("").with_group_id(change));
        assert_eq!(world.joined(to).error_code, error);
    }
    for session in [0, -1, 5_999, 1_800_001, i32::MAX] {
        let to = world.join(9, join("").with_session_timeout_ms(session));
        assert_eq!(world.joined(to).error_code, 26, "{session}");
    }
    let to = world.join(9, join("nobody"));
    assert_eq!(world.joined(to).error_code, 25);
    let big = join_by("", &[("range", vec![0; (1 << 20) + 1].into())]);
    let to = world.join(9, big);
    assert_eq!(world.joined(to).error_code, 44);
    assert!(world.groups.groups.is_empty());
}

#[test]
fn a_sync_must_name_the_groups_protocol() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    for (kind, name, error) in [
        (Some("consumer"), Some("range"), 0),
        (Some("connect"), Some("range"), 23),
        (Some("consumer"), Some("sticky"), 23),
        (None, None, 23),
    ] {
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(s("g")))
            .with_generation_id(1)
            .with_member_id(s(&member.id))
            .with_protocol_type(kind.map(s))
            .with_protocol_name(name.map(s));
        let to = world.send(5, request.into());
        assert_eq!(world.synced(to).error_code, error);
    }
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(s("g")))
        .with_generation_id(1)
        .with_member_id(s(&member.id));
    let to = world.send(0, request.into());
    assert_eq!(world.synced(to).error_code, 0, "older versions need not");
}

#[test]
fn a_full_group_takes_no_more_and_keeps_who_is_in() {
    let mut world = World::with(GroupOptions {
        members_max: 2,
        ..GroupOptions::default()
    });
    let members = world.stable(2);
    for version in [3, 9] {
        let to = world.join(version, join(""));
        assert_eq!(world.joined(to).error_code, 81);
    }
    for member in &members {
        assert_eq!(world.beat(&member.id, member.generation), 0);
    }
}

#[test]
fn ids_that_are_told_are_bounded_too() {
    let mut world = World::with(GroupOptions {
        members_max: 3,
        groups_max: 1,
        ..GroupOptions::default()
    });
    for _ in 0..3 {
        world.told_id();
    }
    let to = world.join(9, join(""));
    assert_eq!(world.joined(to).error_code, 81);
    let to = world.join(9, join("").with_group_id(GroupId(s("other"))));
    assert_eq!(world.joined(to).error_code, 44, "one group is the most");
}

#[test]
fn an_initial_delay_gathers_members_in_one_generation() {
    let mut world = World::with(GroupOptions {
        initial_rebalance_delay_ms: 3_000,
        ..GroupOptions::default()
    });
    let first = world.join(3, join(""));
    world.pass(2_000);
    let second = world.join(3, join(""));
    world.pass(3_999);
    assert!(world.answer(first).is_none(), "the second made it longer");
    world.pass(1);
    for to in [first, second] {
        assert_eq!(world.joined(to).generation_id, 1);
    }
}

#[test]
fn a_request_that_is_sent_again_ends_its_former_self() {
    let mut world = World::new();
    world.stable(1);
    let id = world.told_id();
    let first = world.join(9, join(&id));
    let second = world.join(9, join(&id));
    assert_eq!(world.joined(first).error_code, 15);
    assert!(world.answer(second).is_none());
}

#[test]
fn a_leaders_assignment_of_strangers_and_too_many_bytes_harms_nobody() {
    let mut world = World::with(GroupOptions {
        member_bytes_max: 1_000,
        ..GroupOptions::default()
    });
    let id = world.told_id();
    world.join(9, join(&id));
    static BIG: [u8; 1_001] = [0; 1_001];
    let to = world.sync(&id, 1, &[(&id, &BIG)]);
    assert_eq!(world.synced(to).error_code, 44);
    let to = world.sync(&id, 1, &[("stranger", b"x"), (&id, b"mine")]);
    assert_eq!(&world.synced(to).assignment[..], b"mine");
}
