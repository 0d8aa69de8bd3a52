//! The shapes of cold requests against the crate `kafka-protocol`, for every API and version.
//!
//! Bodies are made from the shapes and decoded, then encoded again, by the library, which has its
//! layouts from Kafka's own definitions: the bytes come back only where both agree on every field.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/wire_shapes.rs"]
mod wire_shapes;

use bytes::{Bytes, BytesMut};
use corelane::broker::cold::{self, ColdError};
use corelane::broker::versions::{APIS, Api};
use corelane::wire::api::{self, Encoding};
use corelane::wire::shape::{self, Field, Kind, ShapeError};
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorResponse, MetadataResponse, RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::Decodable;
use proptest::prelude::*;
use wire_shapes::{Filling, made};

fn cold_apis() -> impl Iterator<Item = (&'static Api, &'static [Field], i16)> {
    APIS.iter()
        .filter_map(|row| shape::fields(row.key).map(|fields| (row, fields)))
        .flat_map(|(row, fields)| (row.min..=row.max).map(move |version| (row, fields, version)))
}

fn body(row: &Api, fields: &'static [Field], version: i16, filling: &mut Filling<'_>) -> Vec<u8> {
    let encoding = api::encoding(row.key, version).unwrap();
    made(fields, version, encoding, filling)
}

fn encoded_again(request: &RequestKind, version: i16) -> BytesMut {
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).unwrap();
    bytes
}

#[test]
fn every_api_but_the_hot_ones_has_a_shape() {
    for row in APIS {
        let hot = [api::PRODUCE, api::FETCH].contains(&row.key);
        assert_eq!(shape::fields(row.key).is_none(), hot, "{}", row.name);
    }
}

/// Elements without a byte would let a count be as large as it likes.
#[test]
fn every_structure_takes_a_byte_in_every_version() {
    fn visit(fields: &'static [Field], version: i16, inside: bool) {
        let mut present = fields.iter().filter(|field| field.is_in(version));
        assert!(!inside || present.clone().count() > 0);
        present.by_ref().for_each(|field| match field.kind {
            Kind::Structs(inner) | Kind::OptionalStruct(inner) => visit(inner, version, true),
            Kind::Number(_) | Kind::String | Kind::Bytes | Kind::Numbers(_) | Kind::Strings => (),
        });
    }
    for (_, fields, version) in cold_apis() {
        visit(fields, version, false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shapes_are_the_librarys_layouts(seed in prop::collection::vec(any::<u8>(), 1..256)) {
        for (row, fields, version) in cold_apis() {
            let body = body(row, fields, version, &mut Filling::new(&seed));
            let request = match cold::decode(row.key, version, Bytes::from(body.clone())) {
                Ok(request) => request,
                Err(error) => panic!("{} v{version}: {error}\n{body:?}", row.name),
            };
            let again = encoded_again(&request, version);
            prop_assert_eq!(&again[..], &body[..], "{} v{}", row.name, version);
        }
    }

    #[test]
    fn whatever_is_cut_short_is_refused_and_bytes_behind_it_are_let_pass(
        seed in prop::collection::vec(any::<u8>(), 1..64)
    ) {
        for (row, fields, version) in cold_apis() {
            let body = body(row, fields, version, &mut Filling::new(&seed));
            for end in 0..body.len() {
                let short = shape::check(row.key, version, &body[..end]);
                prop_assert!(short.is_err(), "{} v{} to {}", row.name, version, end);
            }
            let long = [&body[..], &[0]].concat();
            prop_assert!(shape::check(row.key, version, &long).is_ok());
            prop_assert!(cold::decode(row.key, version, Bytes::from(long)).is_ok());
        }
    }

    /// What the walk lets through, the library decodes or refuses with an error; nothing else.
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(
        prop_oneof![Just(0u8), Just(1), Just(2), Just(0xff), any::<u8>()], 0..96
    )) {
        let bytes = Bytes::from(bytes);
        for (row, _, version) in cold_apis() {
            if let Ok(request) = cold::decode(row.key, version, bytes.clone()) {
                encoded_again(&request, version);
            }
        }
    }

    /// One byte of a good request is changed, as a hostile client would: counts and lengths too.
    #[test]
    fn any_changed_byte_is_decoded_or_refused(
        seed in prop::collection::vec(any::<u8>(), 1..64),
        at in any::<prop::sample::Index>(),
        value in prop_oneof![Just(0x7fu8), Just(0xff), Just(0x80), any::<u8>()],
    ) {
        for (row, fields, version) in cold_apis() {
            let mut body = body(row, fields, version, &mut Filling::new(&seed));
            if body.is_empty() {
                continue;
            }
            let at = at.index(body.len());
            body[at] = value;
            if let Ok(request) = cold::decode(row.key, version, Bytes::from(body)) {
                encoded_again(&request, version);
            }
        }
    }
}

/// What is null where it must not be is refused, and nothing reaches the library that it refuses. (It
/// takes null in old versions too, where a newer one allows it.)
#[test]
fn null_is_taken_only_where_the_version_and_the_library_take_it() {
    for (row, fields, version) in cold_apis() {
        let encoding = api::encoding(row.key, version).unwrap();
        for body in wire_shapes::with_one_null(fields, version, encoding) {
            let key = ApiKey::try_from(row.key).unwrap();
            let ours = shape::check(row.key, version, &body.bytes).is_ok();
            let mut rest = Bytes::from(body.bytes);
            let library = RequestKind::decode(key, &mut rest, version).is_ok();
            let name = body.field.name;
            assert_eq!(
                ours,
                body.field.nullable_since <= version,
                "{} v{version} {name}",
                row.name
            );
            let ever = body.field.nullable_since < i16::MAX;
            assert_eq!(library, ever, "{} v{version} {name}", row.name);
        }
    }
}

#[test]
fn a_count_beyond_the_bytes_is_refused_before_anybody_relies_on_it() {
    for (row, fields, version) in cold_apis() {
        let encoding = api::encoding(row.key, version).unwrap();
        for body in wire_shapes::with_one_large_count(fields, version, encoding) {
            let error = shape::check(row.key, version, &body.bytes).unwrap_err();
            let ShapeError::Malformed(malformed) = error else {
                panic!("{} v{version}: {error}", row.name);
            };
            assert_eq!(malformed.field, body.field.name, "{} v{version}", row.name);
        }
    }
}

#[test]
fn tagged_fields_are_skipped_by_length() {
    for (row, fields, version) in cold_apis() {
        if api::encoding(row.key, version) == Some(Encoding::Fixed) {
            continue;
        }
        let mut body = body(row, fields, version, &mut Filling::new(&[7]));
        // The last byte counts the request's own tagged fields.
        assert_eq!(body.pop(), Some(0));
        body.extend_from_slice(&[2, 100, 3, 1, 2, 3, 101, 0]);
        cold::decode(row.key, version, Bytes::from(body.clone())).unwrap();
        // A tag beyond 31 bits, which the library would keep as a negative number.
        body.truncate(body.len() - 8);
        body.extend_from_slice(&[1, 0x84, 0x84, 0x84, 0x84, 0x0a, 0]);
        assert!(cold::decode(row.key, version, Bytes::from(body)).is_err());
    }
}

/// A million empty names are 32 MB in memory: refused, while as many bytes of names of a usual length
/// are taken.
#[test]
fn what_grows_too_much_when_decoded_is_refused() {
    let request = |name: &[u8], count: u32| {
        let mut body = Vec::new();
        let mut left = count + 1;
        while left >= 0x80 {
            body.push(left as u8 | 0x80);
            left >>= 7;
        }
        body.push(left as u8);
        for _ in 0..count {
            body.push(u8::try_from(name.len() + 1).unwrap());
            body.extend_from_slice(name);
        }
        body.extend_from_slice(&[0, 0]);
        body
    };
    let version = 5;
    let empty = request(b"", 1_000_000);
    assert!(matches!(
        cold::decode(api::DESCRIBE_GROUPS, version, Bytes::from(empty)),
        Err(ColdError::Shape {
            reason: ShapeError::TooLarge { .. },
            ..
        })
    ));
    let usual = request(b"group-1", 125_000);
    assert!(cold::decode(api::DESCRIBE_GROUPS, version, Bytes::from(usual)).is_ok());
    let few = request(b"", 1000);
    assert!(cold::decode(api::DESCRIBE_GROUPS, version, Bytes::from(few)).is_ok());
}

#[test]
fn what_is_not_served_is_not_decoded() {
    for (key, version) in [
        (api::METADATA, 14),
        (api::METADATA, -1),
        (api::PRODUCE, 2),
        (71, 0),
        (-1, 0),
    ] {
        assert!(matches!(
            cold::decode(key, version, Bytes::new()),
            Err(ColdError::Unsupported { .. })
        ));
    }
    assert!(matches!(
        cold::decode(api::FETCH, 12, Bytes::new()),
        Err(ColdError::Shape { .. })
    ));
}

#[test]
fn responses_are_whole_frames_with_the_header_of_their_version() {
    for row in APIS.iter().filter(|row| row.key == api::METADATA) {
        for version in row.min..=row.max {
            let response = MetadataResponse::default().with_controller_id((-1).into());
            let kind = ResponseKind::Metadata(response.clone());
            let mut frame = cold::encode(row.key, version, 9, &kind).unwrap();
            let length = frame.split_to(4);
            assert_eq!(
                length[..],
                u32::try_from(frame.len()).unwrap().to_be_bytes()
            );
            let layout = ApiKey::Metadata.response_header_version(version);
            let header = ResponseHeader::decode(&mut frame, layout).unwrap();
            assert_eq!(header.correlation_id, 9);
            let body = MetadataResponse::decode(&mut frame, version).unwrap();
            assert_eq!(body, response);
            assert!(frame.is_empty());
        }
    }
}

#[test]
fn a_response_with_a_field_that_its_version_lacks_is_an_error() {
    let response = FindCoordinatorResponse::default().with_node_id(7.into());
    let kind = ResponseKind::FindCoordinator(response);
    assert!(matches!(
        cold::encode(api::FIND_COORDINATOR, 4, 1, &kind),
        Err(ColdError::Library { .. })
    ));
    assert!(cold::encode(api::FIND_COORDINATOR, 3, 1, &kind).is_ok());
}
