//! Requests that are refused, producer ids, and what operators see.

use std::collections::BTreeSet;

use kafka_protocol::messages::{
    DescribeTransactionsRequest, EndTxnRequest, InitProducerIdRequest, ListTransactionsRequest,
};

use super::*;

#[test]
fn one_partition_that_is_not_there_keeps_out_all() {
    let mut world = World::new();
    let producer = world.init();
    let to = world.ask(ADD, add(producer, &[("a", &[0, 3, -1]), ("c", &[0])]));
    let response = world.answer(to);
    let expected = [
        ("a", 0, OPERATION_NOT_ATTEMPTED),
        ("a", 3, UNKNOWN_TOPIC_OR_PARTITION),
        ("a", -1, UNKNOWN_TOPIC_OR_PARTITION),
        ("c", 0, UNKNOWN_TOPIC_OR_PARTITION),
    ];
    let expected = expected.map(|(name, partition, code)| (name.to_owned(), partition, code));
    assert_eq!(codes(&response), expected);
    assert!(world.stores.is_empty());
    assert_eq!(world.state(), Some(State::Empty));
}

#[test]
fn the_engines_own_topics_take_no_part_in_clients_transactions() {
    let mut world = World::new();
    let producer = world.init();
    for name in ["transactions", "transactions-eu"] {
        assert_eq!(
            world.code(ADD, add(producer, &[(name, &[0])])),
            POLICY_VIOLATION,
            "{name}"
        );
    }
}

#[test]
fn ids_that_nobody_knows_are_refused() {
    let mut world = World::new();
    let nobody = Producer { id: 5, epoch: 0 };
    let mapping = INVALID_PRODUCER_ID_MAPPING;
    assert_eq!(world.code(ADD, add(nobody, &[("a", &[0])])), mapping);
    assert_eq!(world.code(ADD, add_offsets(nobody, "g")), mapping);
    assert_eq!(world.code(3, offsets(nobody, "g", 1)), mapping);
    assert_eq!(world.code(END, end(nobody, Decision::Commit)), mapping);
    let producer = world.init();
    let other = Producer {
        id: producer.id + 1,
        ..producer
    };
    assert_eq!(world.code(END, end(other, Decision::Commit)), mapping);
}

#[test]
fn empty_and_endless_names_are_refused() {
    let mut world = World::new();
    let producer = world.init();
    for name in [String::new(), "x".repeat(40_000)] {
        let init = init(None).with_transactional_id(Some(id(&name)));
        assert_eq!(world.code(INIT, init), INVALID_REQUEST);
        let add = add(producer, &[("a", &[0])]).with_v3_and_below_transactional_id(id(&name));
        assert_eq!(world.code(ADD, add), INVALID_REQUEST);
        let end = end(producer, Decision::Abort).with_transactional_id(id(&name));
        assert_eq!(world.code(END, end), INVALID_REQUEST);
        let offsets = offsets(producer, "g", 1).with_transactional_id(id(&name));
        assert_eq!(world.code(3, offsets), INVALID_REQUEST);
        assert_eq!(
            world.code(ADD, add_offsets(producer, &name)),
            INVALID_GROUP_ID
        );
    }
}

#[test]
fn timeouts_beyond_the_bounds_are_refused() {
    let mut world = World::new();
    let most = TxnOptions::default().timeout_max_ms;
    for timeout in [i32::MIN, -1, 0, most + 1] {
        let request = init(None).with_transaction_timeout_ms(timeout);
        assert_eq!(world.code(INIT, request), INVALID_TRANSACTION_TIMEOUT);
    }
    for timeout in [1, most] {
        let request = init(None).with_transaction_timeout_ms(timeout);
        assert_eq!(world.code(INIT, request), NONE);
        assert_eq!(world.fact().unwrap().timeout_ms, timeout);
    }
}

#[test]
fn half_a_producer_is_no_producer() {
    let mut world = World::new();
    for producer in [Producer { id: 1, epoch: -1 }, Producer { id: -1, epoch: 1 }] {
        assert_eq!(world.code(INIT, init(Some(producer))), INVALID_REQUEST);
    }
}

#[test]
fn an_end_without_a_transaction_is_refused() {
    let mut world = World::new();
    let producer = world.init();
    for decision in [Decision::Commit, Decision::Abort] {
        assert_eq!(world.code(END, end(producer, decision)), INVALID_TXN_STATE);
    }
}

#[test]
fn offsets_of_a_group_that_is_not_in_the_transaction_are_refused() {
    let mut world = World::new();
    let producer = world.init();
    assert_eq!(world.code(3, offsets(producer, "g", 1)), INVALID_TXN_STATE);
    assert_eq!(world.code(ADD, add_offsets(producer, "h")), NONE);
    assert_eq!(world.code(3, offsets(producer, "g", 1)), INVALID_TXN_STATE);
}

#[test]
fn offsets_that_come_while_the_transaction_ends_are_refused() {
    let mut world = World::new();
    let producer = world.init();
    assert_eq!(world.code(ADD, add_offsets(producer, "g")), NONE);
    assert_eq!(world.code(ADD, add(producer, &[("a", &[0])])), NONE);
    world.ask(END, end(producer, Decision::Commit));
    let late = world.ask(3, offsets(producer, "g", 1));
    assert_eq!(code(&world.answer(late)), CONCURRENT_TRANSACTIONS);
    world.end_store(Outcome::Durable);
    let later = world.ask(3, offsets(producer, "g", 1));
    assert_eq!(code(&world.answer(later)), CONCURRENT_TRANSACTIONS);
    world.settle();
    assert_eq!(world.code(3, offsets(producer, "g", 1)), INVALID_TXN_STATE);
}

fn anonymous() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

#[test]
fn producer_ids_are_never_handed_out_twice() {
    let mut world = World::new();
    let mut seen = BTreeSet::new();
    for round in 0..5 {
        for _ in 0..700 {
            let to = world.ask(INIT, anonymous());
            world.settle();
            let producer = producer_of(world.answer(to)).unwrap();
            assert_eq!(producer.epoch, 0);
            assert!(seen.insert(producer.id), "{producer:?} in round {round}");
        }
        world.crash(round % 2, |_| false, 0);
    }
}

#[test]
fn one_reservation_serves_all_who_wait_for_it() {
    let mut world = World::new();
    let askers: Vec<u64> = (0..1200).map(|_| world.ask(INIT, anonymous())).collect();
    assert_eq!(world.stores.len(), 1);
    world.end_store(Outcome::Durable);
    assert_eq!(world.answers.len(), 1000);
    assert_eq!(world.stores.len(), 1, "the others need a second one");
    world.end_store(Outcome::Durable);
    let ids: BTreeSet<i64> = askers
        .into_iter()
        .map(|to| producer_of(world.answer(to)).unwrap().id)
        .collect();
    assert_eq!(ids.len(), 1200);
}

#[test]
fn a_reservation_that_fails_is_answered_and_tried_again() {
    let mut world = World::new();
    let to = world.ask(INIT, anonymous());
    world.end_store(Outcome::Refused);
    assert_eq!(code(&world.answer(to)), COORDINATOR_NOT_AVAILABLE);
    assert_eq!(world.code(INIT, anonymous()), NONE);
}

#[test]
fn a_new_transactional_id_that_cannot_be_stored_leaves_nothing() {
    let mut world = World::new();
    let to = world.ask(INIT, init(None));
    world.end_store(Outcome::Durable);
    let second = world.ask(INIT, init(None));
    assert_eq!(code(&world.answer(second)), CONCURRENT_TRANSACTIONS);
    world.end_store(Outcome::Refused);
    assert_eq!(code(&world.answer(to)), COORDINATOR_NOT_AVAILABLE);
    assert_eq!(world.txns.next_deadline(), None);
    world.init();
}

#[test]
fn stored_facts_of_someone_else_are_refused() {
    use super::super::RestoreError;
    let mut txns: Transactions<u64> = Transactions::new(TxnOptions::default());
    assert_eq!(txns.restore(b"\xffgx", b""), Err(RestoreError::Key));
    assert_eq!(txns.restore(b"\xffix", b""), Err(RestoreError::Key));
    assert_eq!(txns.restore(b"\xfftx", b"\x02"), Err(RestoreError::Value));
    assert_eq!(txns.restore(b"\xffi", b"\x02"), Err(RestoreError::Value));
}

fn listed(world: &mut World, request: ListTransactionsRequest) -> (Vec<String>, Vec<String>) {
    let to = world.ask(1, request);
    let ResponseKind::ListTransactions(response) = world.answer(to) else {
        panic!("another response");
    };
    let ids = response.transaction_states.iter();
    (
        ids.map(|state| format!("{} {}", *state.transactional_id, state.transaction_state))
            .collect(),
        response
            .unknown_state_filters
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

#[test]
fn transactions_are_listed_by_state_producer_and_duration() {
    let mut world = World::new();
    let producer = world.open();
    world.code(INIT, init(None).with_transactional_id(Some(id("idle"))));
    world.pass(1000);
    let all = || ListTransactionsRequest::default().with_duration_filter(-1);
    let both = vec!["idle Empty".to_owned(), "payments Ongoing".to_owned()];
    assert_eq!(listed(&mut world, all()), (both, Vec::new()));
    let ongoing = vec!["payments Ongoing".to_owned()];

    let filters = ["Ongoing", "Dead", "Nonsense"].map(StrBytes::from_static_str);
    let by_state = all().with_state_filters(filters.to_vec());
    let unknown = vec!["Nonsense".to_owned()];
    assert_eq!(listed(&mut world, by_state), (ongoing.clone(), unknown));

    let by_producer = all().with_producer_id_filters(vec![ProducerId(producer.id)]);
    assert_eq!(listed(&mut world, by_producer).0, ongoing);
    let longer = |ms| all().with_duration_filter(ms);
    assert_eq!(listed(&mut world, longer(999)).0, ongoing);
    assert_eq!(listed(&mut world, longer(1000)).0, Vec::<String>::new());
}

#[test]
fn a_transaction_is_described_with_what_it_has_written_to() {
    let mut world = World::new();
    let producer = world.open();
    let started = world.now.millis().0;
    world.pass(1000);
    assert_eq!(world.code(ADD, add(producer, &[("a", &[2])])), NONE);
    let request = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![id(ID), id("unheard-of")]);
    let to = world.ask(0, request);
    let ResponseKind::DescribeTransactions(response) = world.answer(to) else {
        panic!("another response");
    };
    let [known, unknown] = &response.transaction_states[..] else {
        panic!("{response:?}");
    };
    assert_eq!(unknown.error_code, TRANSACTIONAL_ID_NOT_FOUND);
    assert_eq!(known.error_code, NONE);
    assert_eq!(*known.transaction_state, *"Ongoing");
    assert_eq!(known.transaction_timeout_ms, TIMEOUT_MS);
    assert_eq!(known.transaction_start_time_ms, started);
    assert_eq!(known.producer_id.0, producer.id);
    assert_eq!(known.producer_epoch, producer.epoch);
    let topics: Vec<(String, Vec<i32>)> = known
        .topics
        .iter()
        .map(|topic| (topic.topic.to_string(), topic.partitions.clone()))
        .collect();
    assert_eq!(
        topics,
        [("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![0])]
    );
}

#[test]
fn the_answer_fits_every_version_of_its_api() {
    use kafka_protocol::protocol::Encodable;
    let mut world = World::new();
    let producer = world.open();
    let mut bytes = Vec::new();
    for version in 0..=END {
        let request: EndTxnRequest = end(producer, Decision::Commit);
        let to = world.ask(version, request);
        world.settle();
        let ResponseKind::EndTxn(response) = world.answer(to) else {
            panic!("another response");
        };
        response.encode(&mut bytes, version).expect("it fits");
    }
    for version in 0..=ADD {
        let to = world.ask(version, add(producer, &[("a", &[0])]));
        world.settle();
        let ResponseKind::AddPartitionsToTxn(response) = world.answer(to) else {
            panic!("another response");
        };
        response.encode(&mut bytes, version).expect("it fits");
    }
    for version in 0..=INIT {
        let to = world.ask(version, anonymous());
        let ResponseKind::InitProducerId(response) = world.answer(to) else {
            panic!("another response");
        };
        response.encode(&mut bytes, version).expect("it fits");
    }
}
