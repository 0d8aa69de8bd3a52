//! Produce against the crate `kafka-protocol`: its requests read by the view, the written responses
//! read by it, for every version; and bytes that are no request.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

use bytes::{Bytes, BytesMut};
use corelane::wire::produce::{ProduceResponse, ProduceView, Produced};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{self, ProduceRequest, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use proptest::prelude::*;

const VERSIONS: std::ops::RangeInclusive<i16> = 3..=11;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn encoded(request: &ProduceRequest, version: i16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).unwrap();
    bytes.to_vec()
}

/// What the view says, in the library's words. Reads every field that it has.
fn seen(frame: &[u8], view: &ProduceView<'_>) -> ProduceRequest {
    let topics = view.topics().map(|topic| {
        let partitions = topic.partitions.map(|partition| {
            let records = partition
                .records
                .map(|at| Bytes::copy_from_slice(&frame[at]));
            PartitionProduceData::default()
                .with_index(partition.index)
                .with_records(records)
        });
        TopicProduceData::default()
            .with_name(text(topic.name).into())
            .with_partition_data(partitions.collect())
    });
    ProduceRequest::default()
        .with_transactional_id(view.transactional_id.map(|id| text(id).into()))
        .with_acks(view.acks)
        .with_timeout_ms(view.timeout_ms)
        .with_topic_data(topics.collect())
}

fn requests() -> impl Strategy<Value = ProduceRequest> {
    let partition = (
        any::<i32>(),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    )
        .prop_map(|(index, records)| {
            PartitionProduceData::default()
                .with_index(index)
                .with_records(records.map(Bytes::from))
        });
    let topic =
        ("[a-zü]{0,12}", prop::collection::vec(partition, 0..4)).prop_map(|(name, partitions)| {
            TopicProduceData::default()
                .with_name(text(&name).into())
                .with_partition_data(partitions)
        });
    (
        prop::option::of("[a-z]{0,9}"),
        any::<i16>(),
        any::<i32>(),
        prop::collection::vec(topic, 0..4),
    )
        .prop_map(|(id, acks, timeout, topics)| {
            ProduceRequest::default()
                .with_transactional_id(id.map(|id| text(&id).into()))
                .with_acks(acks)
                .with_timeout_ms(timeout)
                .with_topic_data(topics)
        })
}

proptest! {
    #[test]
    fn the_view_says_what_the_library_wrote(request in requests(), before in 0usize..40) {
        for version in VERSIONS {
            let mut frame = vec![0xee; before];
            frame.extend_from_slice(&encoded(&request, version));
            let view = ProduceView::parse(&frame, before, version).unwrap();
            prop_assert_eq!(&seen(&frame, &view), &request, "version {}", version);
            prop_assert_eq!(view.topics().len(), request.topic_data.len());
        }
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_refused(request in requests()) {
        for version in VERSIONS {
            let mut frame = encoded(&request, version);
            for end in 0..frame.len() {
                prop_assert!(ProduceView::parse(&frame[..end], 0, version).is_err());
            }
            frame.push(0);
            prop_assert!(ProduceView::parse(&frame, 0, version).is_err());
        }
    }

    /// Whatever is let through can be iterated to the end, and its records are within the frame.
    #[test]
    fn changed_bytes_are_read_or_refused(
        request in requests(),
        at in any::<prop::sample::Index>(),
        value in prop_oneof![Just(0x7fu8), Just(0xff), any::<u8>()],
    ) {
        for version in VERSIONS {
            let mut frame = encoded(&request, version);
            let at = at.index(frame.len());
            frame[at] = value;
            if let Ok(view) = ProduceView::parse(&frame, 0, version) {
                let read = seen(&frame, &view);
                prop_assert_eq!(read.topic_data.len(), view.topics().len());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        frame in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff), any::<u8>()], 0..128),
        body_at in 0usize..140,
        version in -1i16..14,
    ) {
        if let Ok(view) = ProduceView::parse(&frame, body_at, version) {
            let read = seen(&frame, &view);
            prop_assert_eq!(read.topic_data.len(), view.topics().len());
        }
    }
}

/// They differ from version 3 by the transactional id alone.
#[test]
fn old_versions_are_read_as_far_as_needed_to_refuse_them() {
    let topic = TopicProduceData::default()
        .with_name(text("t").into())
        .with_partition_data(vec![PartitionProduceData::default().with_index(5)]);
    let request = ProduceRequest::default()
        .with_acks(1)
        .with_timeout_ms(30)
        .with_topic_data(vec![topic]);
    let frame = &encoded(&request, 3)[2..];
    for version in 0..3 {
        let view = ProduceView::parse(frame, 0, version).unwrap();
        assert_eq!(seen(frame, &view), request);
    }
}

#[test]
fn what_has_no_layout_is_refused() {
    let frame = encoded(&ProduceRequest::default(), 11);
    for version in [-1, 12, 13, i16::MAX] {
        assert!(ProduceView::parse(&frame, 0, version).is_err());
    }
}

/// Fields are skipped that newer clients may add to a version.
#[test]
fn tagged_fields_are_skipped() {
    let mut frame = encoded(&ProduceRequest::default().with_acks(-1), 9);
    assert_eq!(frame.pop(), Some(0));
    frame.extend_from_slice(&[1, 9, 2, 0xab, 0xcd]);
    assert_eq!(ProduceView::parse(&frame, 0, 9).unwrap().acks, -1);
}

const ANSWERS: [Produced<'_>; 2] = [
    Produced {
        index: 3,
        error: 0,
        base_offset: 1 << 40,
        log_start_offset: 17,
        message: None,
    },
    Produced {
        index: 4,
        error: 87,
        base_offset: -1,
        log_start_offset: -1,
        message: Some("the batch's CRC is wrong"),
    },
];

fn response(version: i16) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let mut response = ProduceResponse::begin(&mut out, version, 0x0102_0304, 2);
    response.topic("orders", 2);
    response.partition(&ANSWERS[0]);
    response.partition(&ANSWERS[1]);
    response.topic("none", 0);
    response.finish(9);
    assert_eq!(&out[..6], b"before");
    let length = u32::from_be_bytes(out[6..10].try_into().unwrap());
    assert_eq!(length as usize, out.len() - 10);
    out.split_off(10)
}

#[test]
fn the_library_reads_every_response() {
    for version in VERSIONS {
        let mut bytes = Bytes::from(response(version));
        let layout = messages::ProduceResponse::header_version(version);
        let header = ResponseHeader::decode(&mut bytes, layout).unwrap();
        assert_eq!(header.correlation_id, 0x0102_0304);
        let body = messages::ProduceResponse::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty(), "version {version}: bytes are left");
        assert_eq!(body.throttle_time_ms, 9);
        let [orders, none] = &body.responses[..] else {
            panic!("two topics: {body:?}");
        };
        assert_eq!((&**orders.name, &**none.name), ("orders", "none"));
        assert!(none.partition_responses.is_empty());
        assert_eq!(orders.partition_responses.len(), 2);
        for (read, written) in orders.partition_responses.iter().zip(&ANSWERS) {
            assert_eq!(read.index, written.index);
            assert_eq!(read.error_code, written.error);
            assert_eq!(read.base_offset, written.base_offset);
            assert_eq!(read.log_append_time_ms, -1);
            let log_start = if version >= 5 {
                written.log_start_offset
            } else {
                -1
            };
            assert_eq!(read.log_start_offset, log_start);
            let message = written.message.filter(|_| version >= 8);
            assert_eq!(read.error_message.as_deref(), message);
            assert!(read.record_errors.is_empty());
        }
    }
}

/// The library has no layouts before 3: version 0 by hand, and what 1 and 2 add to it.
#[test]
fn old_responses_have_their_own_layouts() {
    let mut oldest = vec![1, 2, 3, 4, 0, 0, 0, 2, 0, 6];
    oldest.extend_from_slice(b"orders\0\0\0\x02");
    oldest.extend_from_slice(&[0, 0, 0, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    let second = oldest.len();
    oldest.extend_from_slice(&[0, 0, 0, 4, 0, 87]);
    oldest.extend_from_slice(&[0xff; 8]);
    let end = oldest.len();
    oldest.extend_from_slice(b"\0\x04none\0\0\0\0");
    assert_eq!(response(0), oldest);
    oldest.extend_from_slice(&[0, 0, 0, 9]);
    assert_eq!(response(1), oldest);
    oldest.splice(end..end, [0xff; 8]);
    oldest.splice(second..second, [0xff; 8]);
    assert_eq!(response(2), oldest);
}
