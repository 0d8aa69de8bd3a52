//! LeaveGroup.

use super::*;

#[test]
fn who_leaves_is_gone_and_the_others_rejoin() {
    let mut world = World::new();
    let members = world.stable(2);
    assert_eq!(world.leave(&[(&members[0].id, None)]), [0, 0]);
    assert_eq!(world.beat(&members[0].id, members[0].generation), 25);
    assert_eq!(world.beat(&members[1].id, members[1].generation), 27);
    let to = world.join(9, join(&members[1].id));
    let told = world.joined(to);
    assert_eq!(told.generation_id, members[0].generation + 1);
    assert_eq!(&*told.leader, &*members[1].id);
}

#[test]
fn the_last_to_leave_leaves_an_empty_group() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    assert_eq!(world.leave(&[(&member.id, None)]), [0, 0]);
    assert_eq!(world.groups.groups["g"].state.name(), "Empty");
    assert_eq!(world.beat(&member.id, 2), 25);
    let again = world.stable(1).remove(0);
    assert_eq!(again.generation, 3, "generations go on");
}

#[test]
fn an_id_that_was_only_told_can_be_given_back() {
    let mut world = World::new();
    let id = world.told_id();
    assert_eq!(world.leave(&[(&id, None)]), [0, 0]);
    let to = world.join(9, join(&id));
    assert_eq!(world.joined(to).error_code, 25);
}

#[test]
fn each_that_leaves_has_its_own_error() {
    let mut world = World::new();
    let members = world.stable(2);
    let ids = [("nobody", None), (&*members[1].id, None), ("", Some("i"))];
    assert_eq!(world.leave(&ids), [0, 25, 0, 25]);
    let to = world.join(9, join(&members[0].id));
    assert_eq!(world.joined(to).members.len(), 1);
}

#[test]
fn old_versions_leave_alone_with_one_error() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    let request = |id: &str, group: &str| {
        LeaveGroupRequest::default()
            .with_group_id(GroupId(s(group)))
            .with_member_id(s(id))
    };
    for (id, group, error) in [
        ("nobody", "g", 25),
        ("nobody", "other", 25),
        ("nobody", "", 24),
        (&*member.id, "g", 0),
        (&*member.id, "g", 25),
    ] {
        let to = world.send(1, request(id, group).into());
        assert_eq!(world.left(to).error_code, error, "{id} {group}");
    }
}

#[test]
fn a_member_that_is_removed_while_it_waits_is_told() {
    let mut world = World::new();
    let members = world.stable(2);
    let joining = world.join(9, join(&members[0].id));
    assert_eq!(world.leave(&[(&members[0].id, None)]), [0, 0]);
    assert_eq!(world.joined(joining).error_code, 25);
    let to = world.join(9, join(&members[1].id));
    let generation = world.joined(to).generation_id;
    let id = world.told_id();
    let joining = world.join(9, join(&id));
    let to = world.join(9, join(&members[1].id));
    assert_eq!(world.joined(to).generation_id, generation + 1);
    assert_eq!(world.joined(joining).generation_id, generation + 1);
    let syncing = world.sync(&id, generation + 1, &[]);
    assert!(world.answer(syncing).is_none());
    assert_eq!(world.leave(&[(&id, None)]), [0, 0]);
    assert_eq!(world.synced(syncing).error_code, 25);
    assert_eq!(world.beat(&members[1].id, generation + 1), 27);
}
