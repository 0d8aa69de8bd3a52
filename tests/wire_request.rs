//! The header of a request against the crate `kafka-protocol`: every API and version, and bytes that
//! are none.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

use bytes::BytesMut;
use corelane::broker::versions::APIS;
use corelane::wire::request::{HeaderError, RequestHeader};
use kafka_protocol::messages::{self, ApiKey};
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::prelude::*;

fn encoded(key: i16, version: i16, correlation_id: i32, client_id: Option<&str>) -> BytesMut {
    let header = messages::RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(client_id.map(|id| StrBytes::from_string(id.to_owned())));
    let layout = ApiKey::try_from(key)
        .unwrap()
        .request_header_version(version);
    let mut bytes = BytesMut::new();
    header.encode(&mut bytes, layout).unwrap();
    bytes
}

#[test]
fn every_header_comes_back_and_every_shorter_one_is_refused() {
    for row in APIS {
        for version in row.min..=row.max {
            for client_id in [None, Some(""), Some("rdkafka"), Some("zürich")] {
                let mut bytes = encoded(row.key, version, -7, client_id);
                let body_at = bytes.len();
                for end in 0..body_at {
                    assert!(RequestHeader::parse(&bytes[..end]).is_err(), "{end}");
                }
                bytes.extend_from_slice(b"body");
                let header = RequestHeader::parse(&bytes).unwrap();
                let expected = RequestHeader {
                    api_key: row.key,
                    version,
                    correlation_id: -7,
                    client_id,
                    body_at,
                };
                assert_eq!(header, expected);
            }
        }
    }
}

#[test]
fn tagged_fields_are_skipped_and_bad_ones_refused() {
    let mut bytes = encoded(18, 3, 1, Some("c"));
    bytes.truncate(bytes.len() - 1);
    let known = bytes.len();
    bytes.extend_from_slice(&[2, 0, 3, 1, 2, 3, 0x80, 0x01, 0]);
    assert_eq!(RequestHeader::parse(&bytes).unwrap().body_at, bytes.len());
    for tail in [
        &[1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f][..],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0xff, 0xff, 0xff, 0xff, 0x1f],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
    ] {
        bytes.truncate(known);
        bytes.extend_from_slice(tail);
        assert!(matches!(
            RequestHeader::parse(&bytes),
            Err(HeaderError::Malformed(_))
        ));
    }
}

#[test]
fn what_is_not_served_is_told_from_what_is_malformed() {
    assert_eq!(
        RequestHeader::parse(&[0, 71, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        Err(HeaderError::UnknownApi(71))
    );
    assert_eq!(
        RequestHeader::parse(&[0xff, 0xff, 0, 0]),
        Err(HeaderError::UnknownApi(-1))
    );
    // A client id of length -2, then one that is not UTF-8.
    for tail in [&[0xff, 0xfe][..], &[0, 1, 0xff]] {
        let mut bytes = vec![0, 3, 0, 0, 0, 0, 0, 1];
        bytes.extend_from_slice(tail);
        assert!(matches!(
            RequestHeader::parse(&bytes),
            Err(HeaderError::Malformed(_))
        ));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(header) = RequestHeader::parse(&bytes) {
            prop_assert!(header.body_at <= bytes.len());
        }
    }
}
