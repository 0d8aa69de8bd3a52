//! Crashes.

use super::*;
use crate::broker::coordinator::group::RestoreError;
use crate::broker::coordinator::group::words::Recorded;

#[test]
fn after_a_crash_at_any_store_what_was_answered_is_there_and_nothing_is_half() {
    // Each commit writes the same number to all partitions.
    for crash in 0..8 {
        let mut world = World::new();
        world.storage = Storage::Held;
        let sent: Vec<u32> = (0..8_i64)
            .map(|n| world.commit("", -1, &[(0, n), (1, n), (2, n), (3, n)]))
            .collect();
        for _ in 0..crash {
            world.settle_one(Outcome::Durable);
        }
        let answered = sent
            .iter()
            .filter(|to| world.answer(**to).is_some())
            .count();
        assert_eq!(answered, crash);
        world.restart();
        let newest = i64::try_from(crash).expect("small") - 1;
        for partition in 0..4 {
            assert_eq!(world.offset(partition), (newest, 0));
        }
    }
}

#[test]
fn members_are_strangers_after_a_restart_and_join_again() {
    let mut world = World::new();
    let member = world.stable(1).remove(0);
    world.commit(&member.id, 1, &[(0, 3)]);
    world.restart();
    assert_eq!(world.groups.groups["g"].state.name(), "Empty");
    assert_eq!(world.beat(&member.id, 1), 25);
    let to = world.join(9, join(&member.id));
    assert_eq!(world.joined(to).error_code, 25);
    let again = world.stable(1).remove(0);
    assert_ne!(again.id, member.id);
    assert_eq!(world.offset(0), (3, 0));
}

#[test]
fn what_others_wrote_is_refused_and_changes_nothing() {
    let mut world = World::new();
    world.commit("", -1, &[(0, 3)]);
    let (key, value) = world.durable.pop_first().expect("one offset");
    let mut groups: Groups<u32> = Groups::new(GroupOptions::default(), 1);
    assert_eq!(groups.restore(b"\xffgx", &value), Err(RestoreError::Key));
    assert_eq!(groups.restore(&key, b""), Err(RestoreError::Value));
    assert!(groups.groups.is_empty());
    assert_eq!(groups.restore(&key, &value), Ok(()));
}

#[test]
fn that_a_group_has_members_is_stored_again_if_it_could_not_be() {
    let mut world = World::new();
    world.storage = Storage::Held;
    let to = world.join(3, join(""));
    assert_eq!(world.joined(to).error_code, 0, "nobody waits for it");
    world.settle_one(Outcome::Refused);
    assert_eq!(world.groups.groups["g"].recorded, Recorded::Unknown);
    world.storage = Storage::Prompt;
    world.pass(1_000);
    assert_eq!(world.durable.len(), 1);
}

#[test]
fn a_ticket_that_is_not_known_is_ignored() {
    let mut world = World::new();
    let mut effects = Vec::new();
    let ticket = TICKET_BIT | 77;
    world
        .groups
        .stored(ticket, Outcome::Durable, world.now, &mut effects);
    assert!(effects.is_empty());
}

#[test]
fn the_first_tick_is_due_at_once_and_later_ones_when_something_is() {
    let mut world = World::new();
    assert_eq!(world.groups.next_deadline(), Some(Nanos(0)));
    world.tick();
    let look = world.now.mono.after(600_000 * 1_000_000);
    assert_eq!(world.groups.next_deadline(), Some(look));
    world.told_id();
    let session = world.now.mono.after(10_000 * 1_000_000);
    assert_eq!(world.groups.next_deadline(), Some(session));
}
