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
    assert!(changed("\"id\": 1", "\"id\": 5").contains("topics[1].id"));
    assert!(changed("\"format_version\": 1", "\"format_version\": 9").contains("version 9"));
    assert!(changed("\"topics\"", "\"things\"").contains("things"));
    assert!(Catalog::from_json("{", 2).is_err());
}
