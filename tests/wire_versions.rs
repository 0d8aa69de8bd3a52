//! What is advertised agrees with Kafka's ranges, with the clients that matter, with what can be
//! decoded, and with the documentation. The oracle is the crate `kafka-protocol`.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

use std::fs;

use bytes::Bytes;
use corelane::broker::versions::{self, APIS, LEFT_OUT, UNSUPPORTED_VERSION};
use corelane::wire::api::{self, Encoding};
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, ResponseHeader};
use kafka_protocol::protocol::Decodable;

fn key_of(key: i16) -> ApiKey {
    ApiKey::try_from(key).expect("a key of Kafka's")
}

/// The last key that Kafka 4.1 has.
const KEY_MAX: i16 = 92;

#[test]
fn every_key_of_kafka_is_served_or_left_out_with_a_reason() {
    for key in 0..=KEY_MAX {
        let served = APIS.iter().filter(|api| api.key == key).count();
        let left_out = LEFT_OUT
            .iter()
            .filter(|left| left.keys.0 <= key && key <= left.keys.1)
            .count();
        assert_eq!(served + left_out, 1, "key {key}");
        assert_eq!(versions::find(key).is_some(), served == 1, "key {key}");
        assert_eq!(api::encoding(key, 0).is_some(), served == 1, "key {key}");
    }
    assert!(APIS.is_sorted_by(|a, b| a.key < b.key));
    assert_eq!(versions::find(-1), None);
    assert_eq!(versions::find(KEY_MAX + 1), None);
}

#[test]
fn ranges_lie_within_what_is_decoded_and_what_kafka_has() {
    for row in APIS {
        let oracle = key_of(row.key).valid_versions();
        assert_eq!(row.name, format!("{:?}", key_of(row.key)));
        assert!(row.decoded_from >= oracle.min, "{}", row.name);
        assert!(row.max <= oracle.max, "{}", row.name);
        assert!(row.min <= row.decoded_from && row.decoded_from <= row.max);
        if row.key != api::PRODUCE {
            assert_eq!(row.min, row.decoded_from, "{}", row.name);
        }
    }
}

/// librdkafka before 2.11.1 looks for exact versions, and kafkajs for maximums only.
#[test]
fn old_clients_find_the_versions_that_they_look_for() {
    for (key, version) in [
        (api::PRODUCE, 0),
        (api::PRODUCE, 3),
        (api::FETCH, 4),
        (api::JOIN_GROUP, 0),
        (api::SYNC_GROUP, 0),
        (api::HEARTBEAT, 0),
        (api::LEAVE_GROUP, 0),
        (api::FIND_COORDINATOR, 0),
        (api::SASL_HANDSHAKE, 0),
        (api::OFFSET_COMMIT, 2),
        (api::OFFSET_FETCH, 1),
        (api::LIST_OFFSETS, 1),
        (api::INIT_PRODUCER_ID, 0),
    ] {
        assert!(versions::find(key).unwrap().has(version), "{key}");
    }
    let kafkajs = [
        (api::PRODUCE, 7),
        (api::FETCH, 11),
        (api::METADATA, 6),
        (api::LIST_OFFSETS, 3),
        (api::OFFSET_COMMIT, 5),
        (api::OFFSET_FETCH, 4),
        (api::JOIN_GROUP, 5),
        (api::CREATE_TOPICS, 3),
        (api::DELETE_TOPICS, 1),
        (api::DESCRIBE_CONFIGS, 2),
        (api::ALTER_CONFIGS, 1),
    ];
    for (key, max) in kafkajs {
        assert!(versions::find(key).unwrap().min <= max, "{key}");
    }
}

#[test]
fn headers_are_flexible_where_kafkas_are() {
    for row in APIS {
        for version in row.min..=row.max {
            let name = row.name;
            let request = key_of(row.key).request_header_version(version) - 1;
            let response = key_of(row.key).response_header_version(version);
            assert_eq!(api::encoding(row.key, version), flexible(request), "{name}");
            assert_eq!(
                api::response_header(row.key, version),
                flexible(response),
                "{name}"
            );
        }
    }
}

/// From Kafka's number of a response header; request headers count from one more.
fn flexible(header_version: i16) -> Option<Encoding> {
    Some([Encoding::Fixed, Encoding::Flexible][usize::try_from(header_version).unwrap()])
}

fn response(version: i16) -> Bytes {
    let mut out = vec![0xaa];
    versions::put_api_versions(&mut out, version, 77);
    assert_eq!(out[0], 0xaa, "what was there stays");
    let length = u32::from_be_bytes(out[1..5].try_into().unwrap());
    assert_eq!(length as usize, out.len() - 5);
    Bytes::from(out).slice(5..)
}

fn decoded(version: i16, layout: i16) -> ApiVersionsResponse {
    let mut bytes = response(version);
    let header = ResponseHeader::decode(&mut bytes, 0).unwrap();
    assert_eq!(header.correlation_id, 77);
    let body = ApiVersionsResponse::decode(&mut bytes, layout).unwrap();
    assert!(bytes.is_empty(), "bytes follow the response");
    body
}

#[test]
fn the_response_is_the_table_in_every_version() {
    for version in 0..=4 {
        let body = decoded(version, version);
        assert_eq!(body.error_code, 0);
        let rows: Vec<_> = body
            .api_keys
            .iter()
            .map(|row| (row.api_key, row.min_version, row.max_version))
            .collect();
        let table: Vec<_> = APIS.iter().map(|row| (row.key, row.min, row.max)).collect();
        assert_eq!(rows, table);
        assert_eq!(body.throttle_time_ms, 0);
    }
}

/// librdkafka before 2.2.0 skips one byte too few of each tagged field.
#[test]
fn the_response_has_no_tagged_field() {
    for version in 3..=4 {
        let bytes = response(version);
        let fixed = 4 + 2 + 1;
        let rows = APIS.len() * 7;
        assert_eq!(bytes.len(), fixed + rows + 4 + 1);
        assert_eq!(bytes.last(), Some(&0));
    }
}

#[test]
fn an_unknown_version_is_answered_in_the_oldest_layout() {
    for version in [5, 99, i16::MAX, -1, i16::MIN] {
        let body = decoded(version, 0);
        assert_eq!(body.error_code, UNSUPPORTED_VERSION);
        let [row] = &body.api_keys[..] else {
            panic!("one row: {:?}", body.api_keys);
        };
        assert_eq!((row.api_key, row.min_version, row.max_version), (18, 0, 4));
    }
}

/// Not to be advertised before they are there: clients use them at once.
#[test]
fn families_that_clients_probe_for_are_not_advertised() {
    for key in (68..=72).chain(76..=79) {
        assert_eq!(versions::find(key), None);
    }
}

#[test]
fn the_documentation_has_the_tables() {
    const BEGIN: &str = "<!-- begin: APIs -->\n";
    const END: &str = "<!-- end: APIs -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kafka-compatibility.md");
    let text = fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the tables");
    let (_, after) = rest.split_once(END).expect("the mark after the tables");
    let wanted = format!("{before}{BEGIN}{}{END}{after}", versions::markdown());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, &wanted).unwrap();
        return;
    }
    assert!(
        text == wanted,
        "docs/kafka-compatibility.md is behind the code: UPDATE=1 cargo test --test wire_versions"
    );
}
