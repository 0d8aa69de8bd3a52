//! What a catalog promises.

use super::*;

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn sample() -> Catalog {
    let mut catalog = Catalog::default();
    catalog
        .ensure_topic("transactions-tokyo", 3, 2, uuid(1))
        .unwrap();
    catalog
        .ensure_topic("transactions-tokyo.dlq", 1, 2, uuid(2))
        .unwrap();
    catalog
}

#[test]
fn a_catalog_comes_back_as_written_and_spreads_partitions_over_stripes() {
    let catalog = sample();
    assert_eq!(
        Catalog::from_json(&catalog.to_json(), 2),
        Ok(catalog.clone())
    );
    let in_0: Vec<_> = catalog.partitions_in(StripeId(0)).collect();
    assert_eq!(in_0, [PartitionId(0), PartitionId(2), PartitionId(3)]);
    let dlq = catalog.topic("transactions-tokyo.dlq").unwrap();
    assert_eq!(catalog.partitions_of(dlq.id), [PartitionId(3)]);
    let meta = catalog.partition(PartitionId(1)).unwrap();
    assert_eq!((meta.index, meta.stripe), (PartitionIndex(1), StripeId(1)));
}

#[test]
fn a_topic_keeps_its_id_and_its_number_of_partitions() {
    let mut catalog = sample();
    assert_eq!(
        catalog.ensure_topic("transactions-tokyo", 3, 2, uuid(1)),
        Ok(TopicId(0))
    );
    let error = catalog
        .ensure_topic("transactions-tokyo", 4, 2, uuid(3))
        .unwrap_err();
    assert!(
        error.to_string().contains("has 3 partitions, not 4"),
        "{error}"
    );
    assert!(catalog.ensure_topic("new", 0, 2, uuid(3)).is_err());
    assert!(
        catalog
            .ensure_topic("new", PARTITIONS_MAX as u32, 2, uuid(3))
            .is_err()
    );
    assert_eq!(catalog, sample());
}

#[test]
fn names_follow_kafkas_rules() {
    for good in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
        assert_eq!(check_topic_name(good), Ok(()));
    }
    for bad in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250)] {
        assert!(check_topic_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_catalog_that_contradicts_itself_names_the_field() {
    let text = sample().to_json();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Catalog::from_json(&text.replacen(from, to, 1), 2)
            .unwrap_err()
            .to_string()
    };
    assert!(changed("\"stripe\": 1", "\"stripe\": 2").contains("partitions[1].stripe"));
    assert!(changed("\"index\": 2", "\"index\": 1").contains("topics[0].partitions[2]"));
    assert!(changed(".dlq", "").contains("topics[1].name"));
    assert!(changed("\"id\": 1", "\"id\": 5").contains("topics[1].partitions[0]"));
    assert!(changed("\"id\": 1", "\"id\": 0").contains("topics[1].id"));
    assert!(changed("\"next_topic\": 2", "\"next_topic\": 1").contains("next_topic"));
    assert!(changed("\"next_partition\": 4", "\"next_partition\": 3").contains("partitions[3].id"));
    assert!(changed("00000002", "00000001").contains("topics[1].uuid"));
    assert!(changed("\"format_version\": 1", "\"format_version\": 9").contains("version 9"));
    assert!(changed("\"topics\"", "\"things\"").contains("things"));
    assert!(Catalog::from_json("{", 2).is_err());
}

#[test]
fn what_was_deleted_leaves_a_gap_that_nothing_fills() {
    let mut catalog = sample();
    let id = catalog.topic("transactions-tokyo").unwrap().id;
    let gone = catalog.delete_topic(id).unwrap();
    assert_eq!(gone, [PartitionId(0), PartitionId(1), PartitionId(2)]);
    assert_eq!(catalog.delete_topic(id), Err(CatalogError::Missing { id }));
    let again = catalog
        .ensure_topic("transactions-tokyo", 2, 2, uuid(3))
        .unwrap();
    assert_eq!(again, TopicId(2));
    assert_eq!(
        catalog.partitions_of(again),
        [PartitionId(4), PartitionId(5)]
    );
    catalog.delete_topic(again).unwrap();
    let read = Catalog::from_json(&catalog.to_json(), 2).unwrap();
    assert_eq!(
        read, catalog,
        "also where the newest ids are the deleted ones"
    );
    assert_eq!(
        (read.next_topic(), read.next_partition()),
        (TopicId(3), PartitionId(6))
    );
    assert!(read.was_deleted(PartitionId(5)) && read.partition(PartitionId(5)).is_none());
    assert!(!read.was_deleted(PartitionId(3)) && !read.was_deleted(PartitionId(6)));
}

#[test]
fn new_partitions_come_behind_those_that_are_there() {
    let mut catalog = sample();
    let id = catalog.topic("transactions-tokyo").unwrap().id;
    catalog.create_partitions(id, 2, 2).unwrap();
    let all = catalog.partitions_of(id).to_vec();
    let ids = [0, 1, 2, 4, 5].map(PartitionId);
    assert_eq!(all, ids);
    let places = all.iter().map(|id| {
        let meta = catalog.partition(*id).unwrap();
        (meta.index.0, meta.stripe.0)
    });
    assert_eq!(
        places.collect::<Vec<_>>(),
        [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]
    );
    let room = catalog.create_partitions(id, PARTITIONS_MAX as u32, 2);
    assert!(matches!(room, Err(CatalogError::Room { .. })), "{room:?}");
    let missing = TopicId(9);
    assert!(catalog.create_partitions(missing, 1, 2).is_err());
    assert_eq!(
        Catalog::from_json(&catalog.to_json(), 2),
        Ok(catalog.clone())
    );
}

/// Written by programs before there were ids, settings and deletions.
#[test]
fn a_catalog_of_an_earlier_program_is_read() {
    let text = r#"{"format_version": 1,
        "topics": [{"id": 0, "name": "a", "partitions": [0, 1]}],
        "partitions": [{"id": 0, "topic": 0, "index": 0, "stripe": 0},
                       {"id": 1, "topic": 0, "index": 1, "stripe": 1}]}"#;
    let catalog = Catalog::from_json(text, 2).unwrap();
    assert!(catalog.topic("a").unwrap().uuid.is_nil());
    assert_eq!(
        (catalog.next_topic(), catalog.next_partition()),
        (TopicId(1), PartitionId(2))
    );
    assert!(catalog.settings().is_empty() && catalog.topics()[0].configs.is_empty());
}
