//! Creating, growing and deleting topics, and what cores are told of it.

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::CreatableReplicaAssignment;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, DeleteTopicsRequest, MetadataRequest,
};

use super::*;
use crate::broker::view::TopicKind;
use crate::ids::{CoreId, PartitionId};

impl Bench {
    fn delete(&mut self, version: i16, request: DeleteTopicsRequest) -> Vec<(i16, String)> {
        match self.run(version, RequestKind::DeleteTopics(request)) {
            ResponseKind::DeleteTopics(response) => {
                encodes(&response, version);
                let results = response.responses.into_iter();
                results
                    .map(|it| (it.error_code, message(it.error_message)))
                    .collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn grow(&mut self, request: CreatePartitionsRequest) -> Vec<(i16, String)> {
        match self.run(3, RequestKind::CreatePartitions(request)) {
            ResponseKind::CreatePartitions(response) => {
                encodes(&response, 3);
                let results = response.results.into_iter();
                results
                    .map(|it| (it.error_code, message(it.error_message)))
                    .collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn ask_for(&mut self, names: &[&str], allow: bool) {
        let topics = names
            .iter()
            .map(|it| MetadataRequestTopic::default().with_name(Some(name(it))));
        let request = MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_allow_auto_topic_creation(allow);
        self.run(12, RequestKind::Metadata(request));
    }

    fn partitions(&self, name: &str) -> Option<usize> {
        Some(self.catalog.topic(name)?.partitions.len())
    }
}

fn assignment(partition: i32, brokers: &[i32]) -> CreatableReplicaAssignment {
    CreatableReplicaAssignment::default()
        .with_partition_index(partition)
        .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
}

#[test]
fn a_topic_is_made_with_the_partitions_asked_for_or_the_default() {
    let mut bench = Bench::new();
    let assigned = CreatableTopic::default()
        .with_name(name("c"))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assignment(1, &[0]), assignment(0, &[0])]);
    let made = bench.create(vec![
        new_topic("a", 7),
        new_topic("b", -1).with_replication_factor(-1),
        assigned,
    ]);
    assert_eq!(made, vec![(0, String::new()); 3]);
    assert_eq!(bench.partitions("a"), Some(7));
    assert_eq!(bench.partitions("b"), Some(4));
    assert_eq!(bench.partitions("c"), Some(2));
    let uuids: Vec<_> = ["a", "b", "c"]
        .map(|it| bench.catalog.topic(it).unwrap().uuid)
        .into();
    assert!(uuids.iter().all(|uuid| !uuid.is_nil()) && uuids[0] != uuids[1]);
}

/// The codes are those that Kafka's controller gives; clients branch on them.
#[test]
fn what_cannot_be_made_is_refused_with_kafkas_codes() {
    let mut bench = Bench::new();
    let manual = |assignments| {
        CreatableTopic::default()
            .with_name(name("m"))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(assignments)
    };
    for (topic, code, says) in [
        (new_topic("no/slash", 1), 17, "not allowed"),
        (new_topic("", 1), 17, "is empty"),
        (new_topic("settlements", 3), 36, "already exists"),
        (new_topic("transactions", 3), 36, "already exists"),
        (new_topic("transactions-oslo", 3), 44, "kept for"),
        (new_topic("t", 0), 37, "non-positive"),
        (new_topic("t", -2), 37, "non-positive"),
        (new_topic("t", i32::MAX), 37, "does not fit"),
        (
            new_topic("t", 1).with_replication_factor(0),
            38,
            "larger than 0",
        ),
        (
            new_topic("t", 1).with_replication_factor(3),
            38,
            "only 1 broker",
        ),
        (manual(vec![assignment(0, &[])]), 39, "empty replica list"),
        (manual(vec![assignment(0, &[7])]), 39, "includes broker 7"),
        (manual(vec![assignment(0, &[0, 0])]), 39, "more than once"),
        (manual(vec![assignment(1, &[0])]), 39, "consecutive"),
        (
            manual(vec![assignment(0, &[0])]).with_num_partitions(1),
            42,
            "numPartitions was not set",
        ),
        (
            manual(vec![assignment(0, &[0])]).with_replication_factor(1),
            42,
            "replication factor was not set",
        ),
    ] {
        let before = bench.catalog.clone();
        let results = bench.create(vec![topic.clone()]);
        assert_eq!(results[0].0, code, "{topic:?}: {results:?}");
        assert!(results[0].1.contains(says), "{results:?}");
        assert_eq!(bench.catalog, before);
    }
    let twice = bench.create(vec![
        new_topic("t", 1),
        new_topic("t", 1),
        new_topic("u", 1),
    ]);
    assert_eq!([twice[0].0, twice[1].0, twice[2].0], [42, 42, 0]);
}

#[test]
fn validating_answers_as_doing_does_and_changes_nothing() {
    let mut bench = Bench::new();
    let before = bench.catalog.clone();
    let request = CreateTopicsRequest::default()
        .with_topics(vec![new_topic("a", 2), new_topic("no/", 2)])
        .with_validate_only(true);
    let results = bench.create_as(7, request);
    assert_eq!([results[0].0, results[1].0], [0, 17]);
    let topic = CreatePartitionsTopic::default()
        .with_name(name("settlements"))
        .with_count(9);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_validate_only(true);
    assert_eq!(bench.grow(request)[0].0, 29);
    assert_eq!(bench.catalog, before);
}

/// A field that a version does not have must not keep the answer from being sent.
#[test]
fn every_version_can_be_answered() {
    let mut bench = Bench::new();
    for version in 2..=7 {
        let topics = vec![new_topic(&format!("v{version}"), 1), new_topic("no/", 1)];
        let request = CreateTopicsRequest::default().with_topics(topics);
        assert_eq!(bench.create_as(version, request)[0].0, 0);
    }
    for version in 1..=5 {
        let names = vec![name(&format!("v{}", version + 1)), name("missing")];
        let request = DeleteTopicsRequest::default().with_topic_names(names);
        let results = bench.delete(version, request);
        assert_eq!([results[0].0, results[1].0], [0, 3]);
    }
}

#[test]
fn a_topic_only_grows_and_its_partitions_keep_their_ids() {
    let mut bench = Bench::new();
    bench.create(vec![new_topic("a", 2), new_topic("b", 1)]);
    let before = bench.catalog.topic("a").unwrap().partitions.clone();
    let to = |count| {
        CreatePartitionsTopic::default()
            .with_name(name("a"))
            .with_count(count)
    };
    let assign = |brokers: &[i32]| {
        let one =
            |id: &i32| CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(*id)]);
        Some(brokers.iter().map(one).collect())
    };
    for (topic, code, says) in [
        (to(2).with_assignments(None), 37, "already has 2"),
        (to(1).with_assignments(None), 37, "would not be an increase"),
        (
            to(3).with_assignments(assign(&[0, 0])),
            39,
            "only 2 assignment",
        ),
        (to(3).with_assignments(assign(&[4])), 39, "broker 4"),
        (
            to(3).with_name(name("missing")).with_assignments(None),
            3,
            "",
        ),
        (
            to(9)
                .with_name(name("transactions-tokyo"))
                .with_assignments(None),
            29,
            "engine",
        ),
        (
            to(9).with_name(name("transactions")).with_assignments(None),
            29,
            "engine",
        ),
    ] {
        let results = bench.grow(CreatePartitionsRequest::default().with_topics(vec![topic]));
        assert_eq!(results[0].0, code, "{results:?}");
        assert!(results[0].1.contains(says), "{results:?}");
    }
    let topics = vec![to(5).with_assignments(assign(&[0, 0, 0]))];
    assert_eq!(
        bench.grow(CreatePartitionsRequest::default().with_topics(topics))[0].0,
        0
    );
    let after = &bench.catalog.topic("a").unwrap().partitions;
    assert_eq!(after[..2], before);
    let stripes: Vec<u16> = after
        .iter()
        .map(|id| bench.catalog.partition(*id).unwrap().stripe.0)
        .collect();
    // The topic's number is 3, so it began in stripe 0; each next one is in the next stripe.
    assert_eq!(stripes, [0, 1, 2, 0, 1]);
}

#[test]
fn topics_go_by_name_and_by_id_and_the_engines_stay() {
    let mut bench = Bench::new();
    bench.create(vec![
        new_topic("a", 1),
        new_topic("b", 1),
        new_topic("c", 1),
    ]);
    let id_of = |bench: &Bench, it: &str| bench.catalog.topic(it).unwrap().uuid;
    let by_name = |it: &str| DeleteTopicState::default().with_name(Some(name(it)));
    let by_id = |id| DeleteTopicState::default().with_topic_id(id);
    let states = vec![
        by_name("a"),
        by_id(id_of(&bench, "b")),
        by_name("c"),
        by_id(id_of(&bench, "c")),
        by_id(Uuid::from_u128(0xdead)),
        by_name("missing"),
        by_name("settlements"),
        by_name("transactions"),
        by_name("a").with_topic_id(Uuid::from_u128(7)),
        DeleteTopicState::default(),
    ];
    let results = bench.delete(6, DeleteTopicsRequest::default().with_topics(states));
    let codes: Vec<i16> = results.iter().map(|result| result.0).collect();
    assert_eq!(codes, [0, 0, 42, 42, 100, 3, 29, 29, 42, 42], "{results:?}");
    assert_eq!(bench.partitions("c"), Some(1));
}

#[test]
fn a_name_that_comes_back_is_another_topic() {
    let mut bench = Bench::new();
    bench.create(vec![new_topic("a", 2)]);
    let old = bench.catalog.topic("a").unwrap().clone();
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name("a")]);
    bench.delete(3, request);
    bench.create(vec![new_topic("a", 2)]);
    let new = bench.catalog.topic("a").unwrap();
    assert_ne!(new.uuid, old.uuid);
    assert!(new.id > old.id && new.partitions[0] > old.partitions[1]);
    assert!(bench.catalog.was_deleted(old.partitions[0]));
}

#[test]
fn asking_creates_what_is_missing_only_where_both_sides_want_it() {
    let mut bench = Bench::new();
    bench.ask_for(&["a"], false);
    assert_eq!(bench.partitions("a"), None);
    bench.ask_for(&["a", "no/", "transactions", "transactions-x", "a"], true);
    assert_eq!(bench.partitions("a"), Some(4));
    assert_eq!(bench.catalog.topics().len(), 4);
    bench.facts.auto_create = false;
    bench.ask_for(&["b"], true);
    assert_eq!(bench.partitions("b"), None);
}

#[test]
fn the_view_shows_the_engines_topics_for_what_they_are_and_the_inlet() {
    let bench = Bench::new();
    let view = bench.facts.view(&bench.catalog);
    let kind = |name: &str| view.topic(name).unwrap().kind;
    assert_eq!(kind("transactions"), TopicKind::Inlet);
    assert_eq!(kind("transactions-tokyo"), TopicKind::Shard);
    assert_eq!(kind("transactions-tokyo.dlq"), TopicKind::Plain);
    assert_eq!(kind("settlements"), TopicKind::Plain);
    assert_eq!(view.topic("transactions").unwrap().partitions.len(), 4);
    let owners: Vec<CoreId> = view
        .topic("settlements")
        .unwrap()
        .partitions
        .iter()
        .map(|home| home.owner)
        .collect();
    assert_eq!(
        owners,
        [CoreId(0), CoreId(1), CoreId(0)],
        "stripes 0, 1, 2 of 2 cores"
    );
    let again = facts().view(&catalog());
    let inlet = view.topic("transactions").unwrap().uuid;
    assert_eq!(
        again.topic("transactions").unwrap().uuid,
        inlet,
        "as lasting as the directory"
    );
    assert!(!inlet.is_nil());
}

#[test]
fn cores_are_told_of_each_partition_that_comes_or_goes() {
    let mut bench = Bench::new();
    bench.create(vec![new_topic("a", 2), new_topic("b", 1)]);
    let old = bench.catalog.clone();
    let gone = old.topic("a").unwrap().partitions.clone();
    bench.delete(
        3,
        DeleteTopicsRequest::default().with_topic_names(vec![name("a")]),
    );
    bench.create(vec![with_configs(
        new_topic("c", 2),
        &[("retention.ms", "5")],
    )]);
    let change = bench.facts.change(&old, &bench.catalog);
    assert_eq!(change.dropped, gone);
    let new: Vec<PartitionId> = change.added.iter().map(|added| added.spec.id).collect();
    assert_eq!(new, bench.catalog.topic("c").unwrap().partitions);
    for added in &change.added {
        assert_eq!(added.retention.ms, Some(5));
        let meta = bench.catalog.partition(added.spec.id).unwrap();
        assert_eq!((added.stripe, added.spec.topic), (meta.stripe, meta.topic));
    }
    assert!(change.retention.is_empty());
    assert!(change.view.topic("a").is_none() && change.view.topic("c").is_some());
}
