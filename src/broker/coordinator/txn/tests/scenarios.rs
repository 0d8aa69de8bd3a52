//! What producers and their readers may rely on, one guarantee at a time.

use super::*;

#[test]
fn a_commit_reaches_every_partition_and_completes() {
    let mut world = World::new();
    let producer = world.open();
    assert_eq!(world.state(), Some(State::Ongoing));
    assert_eq!(world.code(END, end(producer, Decision::Commit)), NONE);
    assert_eq!(world.state(), Some(State::CompleteCommit));
    for partition in [a(0), b()] {
        assert_eq!(
            world.markers_of(partition),
            [(producer, Decision::Commit)],
            "{partition:?}"
        );
    }
    assert_eq!(world.markers_of(a(1)), [], "it was not written to");
}

#[test]
fn nothing_is_answered_before_it_is_durable() {
    let mut world = World::new();
    let to = world.ask(INIT, init(None));
    assert!(world.answers.is_empty(), "ids are not reserved yet");
    world.end_store(Outcome::Durable);
    assert!(world.answers.is_empty(), "the id is not stored yet");
    world.end_store(Outcome::Durable);
    let producer = producer_of(world.answer(to)).unwrap();

    let to = world.ask(ADD, add(producer, &[("a", &[0])]));
    assert!(world.answers.is_empty());
    world.end_store(Outcome::Durable);
    assert_eq!(code(&world.answer(to)), NONE);

    let to = world.ask(END, end(producer, Decision::Commit));
    assert!(world.answers.is_empty());
    assert!(
        world.marks.is_empty(),
        "no marker before the decision is durable"
    );
    world.end_store(Outcome::Durable);
    assert_eq!(code(&world.answer(to)), NONE);
    assert_eq!(world.marks.len(), 1);
    assert!(
        world.stores.is_empty(),
        "no end before the markers are durable"
    );
}

#[test]
fn a_decision_that_is_repeated_succeeds_and_the_other_is_refused() {
    let mut world = World::new();
    let producer = world.open();
    let to = world.ask(END, end(producer, Decision::Commit));
    let early = world.ask(END, end(producer, Decision::Commit));
    assert_eq!(code(&world.answer(early)), CONCURRENT_TRANSACTIONS);
    world.end_store(Outcome::Durable);
    assert_eq!(code(&world.answer(to)), NONE);
    let again = world.ask(END, end(producer, Decision::Commit));
    assert_eq!(code(&world.answer(again)), CONCURRENT_TRANSACTIONS);
    let other = world.ask(END, end(producer, Decision::Abort));
    assert_eq!(code(&world.answer(other)), INVALID_TXN_STATE);
    world.settle();
    assert_eq!(world.code(END, end(producer, Decision::Commit)), NONE);
    assert_eq!(
        world.code(END, end(producer, Decision::Abort)),
        INVALID_TXN_STATE
    );
    assert_eq!(world.markers_of(a(0)).len(), 1);
}

#[test]
fn a_producer_does_one_transaction_after_another_with_its_epoch() {
    let mut world = World::new();
    let producer = world.open();
    for decision in [Decision::Commit, Decision::Abort, Decision::Commit] {
        let partitions: &[(&str, &[i32])] = &[("a", &[0, 2])];
        assert_eq!(world.code(ADD, add(producer, partitions)), NONE);
        assert_eq!(world.code(END, end(producer, decision)), NONE);
    }
    let decisions = world.markers_of(a(0)).into_iter().map(|marker| marker.1);
    assert_eq!(
        decisions.collect::<Vec<_>>(),
        [Decision::Commit, Decision::Abort, Decision::Commit]
    );
    assert_eq!(
        world.markers_of(b()).len(),
        1,
        "partitions of a transaction are forgotten at its end"
    );
}

#[test]
fn the_next_transaction_waits_for_the_end_of_the_last_without_an_error() {
    let mut world = World::new();
    let producer = world.open();
    world.ask(END, end(producer, Decision::Commit));
    world.end_store(Outcome::Durable);
    let next = world.ask(ADD, add(producer, &[("a", &[1])]));
    assert!(world.try_answer(next).is_none());
    let second = world.ask(ADD, add(producer, &[("a", &[2])]));
    assert_eq!(
        code(&world.answer(second)),
        CONCURRENT_TRANSACTIONS,
        "one waits, no more"
    );
    world.settle();
    assert_eq!(code(&world.answer(next)), NONE);
    let fact = world.fact().unwrap();
    assert_eq!(fact.state, State::Ongoing);
    assert_eq!(Vec::from_iter(fact.partitions), [a(1)]);
}

#[test]
fn what_waits_is_told_to_ask_again_when_the_end_is_held_up() {
    let mut world = World::new();
    let producer = world.open();
    world.ask(END, end(producer, Decision::Commit));
    world.end_store(Outcome::Durable);
    let next = world.ask(ADD, add(producer, &[("a", &[1])]));
    world.end_mark(0, Outcome::Refused);
    assert_eq!(code(&world.answer(next)), CONCURRENT_TRANSACTIONS);
    let later = world.ask(ADD, add(producer, &[("a", &[1])]));
    assert_eq!(code(&world.answer(later)), CONCURRENT_TRANSACTIONS);
}

#[test]
fn a_new_producer_fences_the_old_one_and_aborts_its_transaction() {
    let mut world = World::new();
    let old = world.open();
    let to = world.ask(INIT, init(None));
    world.settle();
    assert_eq!(
        producer_of(world.answer(to)),
        Err(CONCURRENT_TRANSACTIONS),
        "the abort comes first"
    );
    assert_eq!(world.state(), Some(State::CompleteAbort));
    for partition in [a(0), b()] {
        let markers = world.markers_of(partition);
        assert_eq!(markers.len(), 1);
        let (marked, decision) = markers[0];
        assert_eq!(decision, Decision::Abort);
        assert!(
            marked.epoch > old.epoch,
            "partitions learn an epoch that keeps the old producer out"
        );
    }
    assert_eq!(world.code(END, end(old, Decision::Commit)), PRODUCER_FENCED);
    let new = world.init();
    assert_eq!(new.id, old.id);
    assert!(
        new.epoch > old.epoch + 1,
        "the epoch of the abort is nobody's"
    );
    assert_eq!(world.code(ADD, add(old, &[("a", &[0])])), PRODUCER_FENCED);
    assert_eq!(world.code(ADD, add(new, &[("a", &[0])])), NONE);
}

#[test]
fn a_fenced_producer_hears_the_error_that_its_version_knows() {
    let mut world = World::new();
    let old = world.init();
    let new = world.init();
    assert_eq!((old.id, old.epoch + 1), (new.id, new.epoch));
    for version in 0..=ADD {
        let expected = if version < 2 {
            INVALID_PRODUCER_EPOCH
        } else {
            PRODUCER_FENCED
        };
        assert_eq!(world.code(version, add(old, &[("a", &[0])])), expected);
        assert_eq!(world.code(version, add_offsets(old, "g")), expected);
        assert_eq!(world.code(version, end(old, Decision::Commit)), expected);
        assert_eq!(
            world.code(version, offsets(old, "g", 1)),
            INVALID_PRODUCER_EPOCH
        );
    }
    assert_eq!(world.code(3, init(Some(old))), INVALID_PRODUCER_EPOCH);
    assert_eq!(world.code(4, init(Some(old))), PRODUCER_FENCED);
}

#[test]
fn a_producer_that_bumps_its_own_epoch_may_ask_twice() {
    let mut world = World::new();
    let first = world.init();
    let bump = |world: &mut World| {
        let to = world.ask(INIT, init(Some(first)));
        world.settle();
        producer_of(world.answer(to))
    };
    let second = bump(&mut world).unwrap();
    assert_eq!((second.id, second.epoch), (first.id, first.epoch + 1));
    assert_eq!(bump(&mut world), Ok(second), "the first answer was lost");

    let other = world.init();
    assert_eq!(other.epoch, second.epoch + 1);
    assert_eq!(bump(&mut world), Err(PRODUCER_FENCED));
}

#[test]
fn a_producer_that_gives_up_its_own_transaction_can_go_on() {
    let mut world = World::new();
    let producer = world.open();
    let to = world.ask(INIT, init(Some(producer)));
    world.settle();
    assert_eq!(producer_of(world.answer(to)), Err(CONCURRENT_TRANSACTIONS));
    let to = world.ask(INIT, init(Some(producer)));
    world.settle();
    let next = producer_of(world.answer(to)).unwrap();
    assert!(next.epoch > producer.epoch);
    assert_eq!(world.code(ADD, add(next, &[("a", &[0])])), NONE);
}

#[test]
fn a_fenced_producer_cannot_abort_its_successors_transaction() {
    let mut world = World::new();
    let old = world.init();
    let new = world.open();
    assert_eq!(world.code(INIT, init(Some(old))), PRODUCER_FENCED);
    assert_eq!(world.state(), Some(State::Ongoing));
    assert_eq!(world.code(END, end(new, Decision::Commit)), NONE);
}

/// A world where the producer has the last epoch that clients get.
fn exhausted() -> (World, Producer) {
    let mut world = World::new();
    let first = world.init();
    let last = Producer {
        epoch: i16::MAX - 1,
        ..first
    };
    let fact = Metadata {
        producer: last,
        ..world.fact().unwrap()
    };
    let Pair { key, value } = codec::pair(ID, &fact);
    world.durable.insert(key, value);
    world.crash(0, |_| false, 0);
    (world, last)
}

#[test]
fn a_producer_whose_epochs_are_used_up_gets_a_new_id() {
    let (mut world, last) = exhausted();
    let next = world.init();
    assert_ne!(next.id, last.id);
    assert_eq!(next.epoch, 0);
    assert_eq!(
        world.code(ADD, add(last, &[("a", &[0])])),
        INVALID_PRODUCER_ID_MAPPING
    );
    assert_eq!(world.code(ADD, add(next, &[("a", &[0])])), NONE);
}

#[test]
fn a_new_id_that_was_asked_for_with_the_old_one_is_answered_again() {
    let (mut world, last) = exhausted();
    let ask = |world: &mut World| {
        let to = world.ask(INIT, init(Some(last)));
        world.settle();
        producer_of(world.answer(to))
    };
    let next = ask(&mut world).unwrap();
    assert_ne!(next.id, last.id);
    assert_eq!(ask(&mut world), Ok(next));
}

#[test]
fn the_last_epoch_of_all_is_for_fencing_only() {
    let (mut world, last) = exhausted();
    assert_eq!(world.code(ADD, add(last, &[("a", &[0])])), NONE);
    assert_eq!(world.code(INIT, init(Some(last))), CONCURRENT_TRANSACTIONS);
    assert_eq!(world.markers_of(a(0))[0].0.epoch, i16::MAX);
    let to = world.ask(INIT, init(Some(last)));
    world.settle();
    let next = producer_of(world.answer(to)).unwrap();
    assert_ne!(next.id, last.id);
    let to = world.ask(INIT, init(Some(last)));
    world.settle();
    assert_eq!(
        producer_of(world.answer(to)),
        Ok(next),
        "and it may ask again"
    );
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let mut world = World::new();
    let producer = world.open();
    world.pass(TIMEOUT_MS as u64 / 2);
    assert_eq!(world.code(ADD, add(producer, &[("a", &[2])])), NONE);
    world.pass(TIMEOUT_MS as u64 / 2 - 1);
    assert!(world.stores.is_empty(), "its time is not up");
    world.pass(1);
    world.settle();
    assert_eq!(world.state(), Some(State::CompleteAbort));
    for partition in [a(0), a(2), b()] {
        assert_eq!(world.markers_of(partition)[0].1, Decision::Abort);
    }
    assert_eq!(
        world.code(END, end(producer, Decision::Commit)),
        PRODUCER_FENCED
    );
}

#[test]
fn the_time_of_a_transaction_goes_on_while_the_node_is_down() {
    let mut world = World::new();
    world.open();
    world.crash(0, |_| false, TIMEOUT_MS as u64 - 10_000);
    world.pass(9_999);
    assert!(world.stores.is_empty());
    world.pass(1);
    world.settle();
    assert_eq!(world.state(), Some(State::CompleteAbort));
}

#[test]
fn a_wall_clock_that_was_set_back_does_not_prolong_a_transaction() {
    let mut world = World::new();
    world.open();
    world.now.wall.0 -= 3_600_000_000;
    world.crash(0, |_| false, 0);
    world.pass(TIMEOUT_MS as u64);
    world.settle();
    assert_eq!(world.state(), Some(State::CompleteAbort));
}

#[test]
fn a_crash_after_the_decision_finishes_it() {
    for decision in [Decision::Commit, Decision::Abort] {
        for marked in [0, 1, 2] {
            let mut world = World::new();
            let producer = world.open();
            world.ask(END, end(producer, decision));
            world.end_store(Outcome::Durable);
            assert_eq!(world.marks.len(), 2);
            world.crash(0, |index| index < marked, 0);
            world.settle();
            let complete = match decision {
                Decision::Commit => State::CompleteCommit,
                Decision::Abort => State::CompleteAbort,
            };
            assert_eq!(world.state(), Some(complete));
            for partition in [a(0), b()] {
                let markers = world.markers_of(partition);
                assert!(!markers.is_empty());
                assert!(markers.iter().all(|marker| *marker == (producer, decision)));
            }
        }
    }
}

#[test]
fn a_crash_before_the_decision_leaves_the_transaction_open() {
    let mut world = World::new();
    let producer = world.open();
    world.ask(END, end(producer, Decision::Commit));
    world.crash(0, |_| false, 0);
    assert_eq!(world.state(), Some(State::Ongoing));
    assert!(world.marks.is_empty());
    assert_eq!(
        world.code(END, end(producer, Decision::Abort)),
        NONE,
        "nothing was promised"
    );
}

#[test]
fn a_decision_that_was_refused_can_be_asked_for_again() {
    let mut world = World::new();
    let producer = world.open();
    let to = world.ask(END, end(producer, Decision::Commit));
    world.end_store(Outcome::Refused);
    assert_eq!(code(&world.answer(to)), COORDINATOR_NOT_AVAILABLE);
    assert_eq!(world.state(), Some(State::Ongoing));
    assert_eq!(world.code(END, end(producer, Decision::Commit)), NONE);
    assert_eq!(world.state(), Some(State::CompleteCommit));
}

#[test]
fn markers_and_the_end_are_tried_again_until_there_is_space() {
    let mut world = World::new();
    let producer = world.open();
    world.ask(END, end(producer, Decision::Commit));
    world.end_store(Outcome::Durable);
    world.end_mark(0, Outcome::Refused);
    world.end_mark(0, Outcome::Durable);
    assert!(world.marks.is_empty());
    assert!(world.txns.next_deadline().is_some());
    world.pass(500);
    assert_eq!(world.marks.len(), 1, "only the one that was refused");
    world.end_mark(0, Outcome::Durable);
    world.end_store(Outcome::Refused);
    assert_eq!(world.state(), Some(State::PrepareCommit));
    world.pass(500);
    world.settle();
    assert_eq!(world.state(), Some(State::CompleteCommit));
    for partition in [a(0), b()] {
        assert_eq!(world.markers_of(partition), [(producer, Decision::Commit)]);
    }
}

#[test]
fn an_abort_by_timeout_that_is_refused_is_tried_again() {
    let mut world = World::new();
    world.open();
    world.pass(TIMEOUT_MS as u64);
    world.end_store(Outcome::Refused);
    assert_eq!(world.state(), Some(State::Ongoing));
    world.pass(500);
    world.settle();
    assert_eq!(world.state(), Some(State::CompleteAbort));
}

#[test]
fn nothing_is_promised_any_more_once_storage_is_poisoned() {
    let mut world = World::new();
    let producer = world.open();
    let to = world.ask(END, end(producer, Decision::Commit));
    world.end_store(Outcome::Lost);
    assert_eq!(code(&world.answer(to)), COORDINATOR_NOT_AVAILABLE);
    let unavailable = COORDINATOR_NOT_AVAILABLE;
    assert_eq!(world.code(INIT, init(None)), unavailable);
    assert_eq!(world.code(ADD, add(producer, &[("a", &[0])])), unavailable);
    assert_eq!(world.code(ADD, add_offsets(producer, "g")), unavailable);
    assert_eq!(world.code(3, offsets(producer, "g", 1)), unavailable);
    assert_eq!(world.code(END, end(producer, Decision::Abort)), unavailable);
    assert_eq!(world.txns.next_deadline(), None);
    world.pass(TIMEOUT_MS as u64);
    assert!(world.stores.is_empty() && world.marks.is_empty());
}

#[test]
fn a_partition_whose_storage_is_poisoned_is_marked_after_the_restart() {
    let mut world = World::new();
    let producer = world.open();
    world.ask(END, end(producer, Decision::Commit));
    world.end_store(Outcome::Durable);
    world.end_mark(0, Outcome::Lost);
    world.end_mark(0, Outcome::Durable);
    world.pass(TIMEOUT_MS as u64);
    assert!(world.stores.is_empty(), "the end is not stored without it");
    world.crash(0, |_| false, 0);
    world.settle();
    assert_eq!(world.state(), Some(State::CompleteCommit));
    assert_eq!(world.markers_of(a(0)), [(producer, Decision::Commit)]);
}

#[test]
fn an_idle_transactional_id_is_forgotten_and_not_earlier() {
    let days_7 = TxnOptions::default().expiration_ms;
    let mut world = World::new();
    let producer = world.open();
    assert_eq!(world.code(END, end(producer, Decision::Commit)), NONE);
    world.pass(days_7 / 2);
    world.crash(0, |_| false, days_7 / 2 - 1);
    assert!(world.stores.is_empty());
    world.pass(1);
    let late = world.ask(ADD, add(producer, &[("a", &[0])]));
    world.settle();
    assert_eq!(code(&world.answer(late)), INVALID_PRODUCER_ID_MAPPING);
    assert_eq!(world.fact(), None);
    assert_eq!(world.txns.next_deadline(), None);
    assert_ne!(world.init().id, producer.id);
}

/// A producer with offset 7 of `a-0` for group `g` in an open transaction, without any partition.
fn with_offsets() -> (World, Producer) {
    let mut world = World::new();
    let producer = world.init();
    assert_eq!(world.code(ADD, add_offsets(producer, "g")), NONE);
    assert_eq!(world.code(ADD, offsets(producer, "g", 7)), NONE);
    (world, producer)
}

#[test]
fn offsets_count_when_their_transaction_is_committed() {
    let (mut world, producer) = with_offsets();
    assert_eq!(world.code(END, end(producer, Decision::Commit)), NONE);
    assert_eq!(committed(&mut world), 7);
    world.crash(0, |_| false, 0);
    assert_eq!(committed(&mut world), 7);
}

#[test]
fn offsets_are_forgotten_when_their_transaction_is_aborted() {
    let (mut world, producer) = with_offsets();
    assert_eq!(world.code(END, end(producer, Decision::Abort)), NONE);
    assert_eq!(committed(&mut world), -1);
    world.crash(0, |_| false, 0);
    assert_eq!(committed(&mut world), -1);
}

#[test]
fn offsets_of_a_decided_commit_count_after_a_crash_before_its_end() {
    for stores in [0, 1] {
        let (mut world, producer) = with_offsets();
        world.ask(END, end(producer, Decision::Commit));
        world.end_store(Outcome::Durable);
        assert_eq!(world.stores.len(), 1, "the end is under way");
        world.crash(stores, |_| false, 0);
        world.settle();
        assert_eq!(committed(&mut world), 7);
        assert_eq!(world.state(), Some(State::CompleteCommit));
    }
}
