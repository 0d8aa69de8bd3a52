//! Fetch against the crate `kafka-protocol`: its requests read by the view, the written responses
//! read by it, for every version; and bytes that are no request.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

use bytes::{Bytes, BytesMut};
use corelane::wire::fetch::{
    Aborted, FetchResponse, FetchView, Fetched, Isolation, TopicRef, VERSION_MAX, VERSION_MIN,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{self, FetchRequest, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use proptest::prelude::*;
use uuid::Uuid;

const VERSIONS: std::ops::RangeInclusive<i16> = VERSION_MIN..=VERSION_MAX;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn encoded(request: &FetchRequest, version: i16) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    request.encode(&mut bytes, version).unwrap();
    bytes.to_vec()
}

/// A request with a value in every field, whatever the version.
fn requests() -> impl Strategy<Value = FetchRequest> {
    let partition = (
        any::<i32>(),
        any::<i32>(),
        any::<i64>(),
        any::<i32>(),
        any::<i32>(),
    )
        .prop_map(|(index, epoch, offset, last, bytes)| {
            FetchPartition::default()
                .with_partition(index)
                .with_current_leader_epoch(epoch)
                .with_fetch_offset(offset)
                .with_last_fetched_epoch(last)
                .with_partition_max_bytes(bytes)
        });
    let topic = (
        "[a-zü]{0,12}",
        any::<u128>(),
        prop::collection::vec(partition, 0..4),
    )
        .prop_map(|(name, id, partitions)| {
            FetchTopic::default()
                .with_topic(text(&name).into())
                .with_topic_id(Uuid::from_u128(id))
                .with_partitions(partitions)
        });
    let forgotten = (
        "[a-z]{0,5}",
        any::<u128>(),
        prop::collection::vec(any::<i32>(), 0..4),
    )
        .prop_map(|(name, id, partitions)| {
            ForgottenTopic::default()
                .with_topic(text(&name).into())
                .with_topic_id(Uuid::from_u128(id))
                .with_partitions(partitions)
        });
    (
        (any::<i32>(), any::<i32>(), any::<i32>()),
        any::<bool>(),
        (any::<i32>(), any::<i32>()),
        prop::collection::vec(topic, 0..4),
        prop::collection::vec(forgotten, 0..3),
        "[a-z]{0,5}",
    )
        .prop_map(
            |((wait, min, max), committed, session, topics, forgotten, rack)| {
                FetchRequest::default()
                    .with_max_wait_ms(wait)
                    .with_min_bytes(min)
                    .with_max_bytes(max)
                    .with_isolation_level(committed.into())
                    .with_session_id(session.0)
                    .with_session_epoch(session.1)
                    .with_topics(topics)
                    .with_forgotten_topics_data(forgotten)
                    .with_rack_id(text(&rack))
            },
        )
}

/// The request with only what the version can say.
fn cut_to(mut request: FetchRequest, version: i16) -> FetchRequest {
    if version < 7 {
        request.session_id = 0;
        request.session_epoch = -1;
        request.forgotten_topics_data.clear();
    }
    if version < 11 {
        request.rack_id = StrBytes::default();
    }
    for topic in &mut request.topics {
        if version < 13 {
            topic.topic_id = Uuid::nil();
        } else {
            topic.topic = text("").into();
        }
        for partition in &mut topic.partitions {
            if version < 9 {
                partition.current_leader_epoch = -1;
            }
            if version < 12 {
                partition.last_fetched_epoch = -1;
            }
        }
    }
    request
}

/// What the view says, in the library's words, with what the view leaves out taken from `rest`.
fn seen(view: &FetchView<'_>, rest: &FetchRequest) -> FetchRequest {
    let topics = view.topics().map(|topic| {
        let partitions = topic.partitions.map(|partition| {
            FetchPartition::default()
                .with_partition(partition.index)
                .with_current_leader_epoch(partition.leader_epoch)
                .with_fetch_offset(partition.offset)
                .with_last_fetched_epoch(partition.last_fetched_epoch)
                .with_partition_max_bytes(partition.bytes_max)
        });
        let named = match topic.topic {
            TopicRef::Name(name) => FetchTopic::default().with_topic(text(name).into()),
            TopicRef::Id(id) => FetchTopic::default().with_topic_id(id),
        };
        named.with_partitions(partitions.collect())
    });
    FetchRequest::default()
        .with_max_wait_ms(view.wait_ms_max)
        .with_min_bytes(view.bytes_min)
        .with_max_bytes(view.bytes_max)
        .with_isolation_level((view.isolation == Isolation::Committed).into())
        .with_session_id(view.session_id)
        .with_session_epoch(view.session_epoch)
        .with_topics(topics.collect())
        .with_forgotten_topics_data(rest.forgotten_topics_data.clone())
        .with_rack_id(rest.rack_id.clone())
}

proptest! {
    #[test]
    fn the_view_says_what_the_library_wrote(request in requests(), before in 0usize..40) {
        for version in VERSIONS {
            let request = cut_to(request.clone(), version);
            let mut frame = vec![0xee; before];
            frame.extend_from_slice(&encoded(&request, version));
            let view = FetchView::parse(&frame, before, version).unwrap();
            prop_assert_eq!(&seen(&view, &request), &request, "version {}", version);
            prop_assert_eq!(view.topics().len(), request.topics.len());
        }
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_refused(request in requests()) {
        for version in VERSIONS {
            let mut frame = encoded(&cut_to(request.clone(), version), version);
            for end in 0..frame.len() {
                prop_assert!(FetchView::parse(&frame[..end], 0, version).is_err());
            }
            frame.push(0);
            prop_assert!(FetchView::parse(&frame, 0, version).is_err());
        }
    }

    /// Whatever is let through can be iterated to the end.
    #[test]
    fn changed_bytes_are_read_or_refused(
        request in requests(),
        at in any::<prop::sample::Index>(),
        value in prop_oneof![Just(0x7fu8), Just(0xff), any::<u8>()],
    ) {
        for version in VERSIONS {
            let mut frame = encoded(&cut_to(request.clone(), version), version);
            let at = at.index(frame.len());
            frame[at] = value;
            if let Ok(view) = FetchView::parse(&frame, 0, version) {
                prop_assert_eq!(seen(&view, &request).topics.len(), view.topics().len());
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        frame in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff), any::<u8>()], 0..128),
        body_at in 0usize..140,
        version in 0i16..20,
    ) {
        if let Ok(view) = FetchView::parse(&frame, body_at, version) {
            let read = seen(&view, &FetchRequest::default());
            prop_assert_eq!(read.topics.len(), view.topics().len());
        }
    }
}

#[test]
fn what_has_no_layout_is_refused() {
    let frame = encoded(&FetchRequest::default(), 12);
    for version in [-1, 3, 18, i16::MAX] {
        assert!(FetchView::parse(&frame, 0, version).is_err());
    }
}

#[test]
fn an_unknown_isolation_level_is_refused() {
    let request = FetchRequest::default().with_isolation_level(2);
    for version in VERSIONS {
        let error = FetchView::parse(&encoded(&request, version), 0, version).unwrap_err();
        assert_eq!(error.field, "isolation_level");
    }
}

/// A replica's cluster, state and directory are no concern of ours.
#[test]
fn replicas_tagged_fields_are_skipped() {
    let partition = FetchPartition::default().with_replica_directory_id(Uuid::from_u128(1));
    let topic = FetchTopic::default().with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_cluster_id(Some(text("cluster")))
        .with_topics(vec![topic]);
    let frame = encoded(&request, 17);
    let view = FetchView::parse(&frame, 0, 17).unwrap();
    assert_eq!(
        view.topics()
            .map(|topic| topic.partitions.len())
            .sum::<usize>(),
        1
    );
}

const ABORTED: [Aborted; 2] = [
    Aborted {
        producer_id: 1000,
        first_offset: 5,
    },
    Aborted {
        producer_id: 1001,
        first_offset: 1 << 33,
    },
];

const RECORDS: [&[u8]; 3] = [b"0123456789", &[0xcc; 300], b""];

fn answer(at: usize) -> Fetched<'static> {
    Fetched {
        index: at as i32,
        error: [0, 0, 1][at],
        high_watermark: [1 << 34, 8, -1][at],
        last_stable_offset: [77, 8, -1][at],
        log_start_offset: [3, 0, -1][at],
        aborted: [Some(&ABORTED[..]), Some(&[]), None][at],
        records_bytes: RECORDS[at].len(),
    }
}

/// The response as it is sent: the parts with the records between them, and without its length.
fn response(version: i16, topic: TopicRef<'_>) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let mut places = Vec::new();
    let mut response = FetchResponse::begin(&mut out, version, 0x0102_0304, 0, 2);
    response.topic(topic, 3);
    for at in 0..3 {
        places.push(response.partition(&answer(at)));
    }
    response.topic(topic, 0);
    response.finish();
    let mut sent = Vec::new();
    let mut from = 6;
    for (place, records) in places.into_iter().zip(RECORDS) {
        sent.extend_from_slice(&out[from..place]);
        sent.extend_from_slice(records);
        from = place;
    }
    sent.extend_from_slice(&out[from..]);
    let length = u32::from_be_bytes(sent[..4].try_into().unwrap());
    assert_eq!(length as usize, sent.len() - 4);
    sent.split_off(4)
}

#[test]
fn the_library_reads_every_response() {
    let id = Uuid::from_u128(0xabcd);
    for version in VERSIONS {
        let topic = if version >= 13 {
            TopicRef::Id(id)
        } else {
            TopicRef::Name("orders")
        };
        let mut bytes = Bytes::from(response(version, topic));
        let layout = messages::FetchResponse::header_version(version);
        let header = ResponseHeader::decode(&mut bytes, layout).unwrap();
        assert_eq!(header.correlation_id, 0x0102_0304);
        let body = messages::FetchResponse::decode(&mut bytes, version).unwrap();
        assert!(bytes.is_empty(), "version {version}: bytes are left");
        assert_eq!(
            (body.throttle_time_ms, body.session_id, body.error_code),
            (0, 0, 0)
        );
        let [orders, none] = &body.responses[..] else {
            panic!("two topics: {body:?}");
        };
        match topic {
            TopicRef::Id(id) => assert_eq!(orders.topic_id, id),
            TopicRef::Name(name) => assert_eq!(&**orders.topic, name),
        }
        assert!(none.partitions.is_empty());
        assert_eq!(orders.partitions.len(), 3);
        for (at, read) in orders.partitions.iter().enumerate() {
            assert_answer(read, &answer(at), RECORDS[at], version);
        }
    }
}

fn assert_answer(
    read: &messages::fetch_response::PartitionData,
    written: &Fetched<'_>,
    records: &[u8],
    version: i16,
) {
    assert_eq!(read.partition_index, written.index);
    assert_eq!(read.error_code, written.error);
    assert_eq!(read.high_watermark, written.high_watermark);
    assert_eq!(read.last_stable_offset, written.last_stable_offset);
    let log_start = if version >= 5 {
        written.log_start_offset
    } else {
        -1
    };
    assert_eq!(read.log_start_offset, log_start);
    assert_eq!(read.preferred_read_replica.0, -1);
    assert_eq!(read.records.as_deref(), Some(records));
    let aborted = read.aborted_transactions.as_ref().map(|all| {
        all.iter()
            .map(|one| Aborted {
                producer_id: one.producer_id.0,
                first_offset: one.first_offset,
            })
            .collect::<Vec<_>>()
    });
    assert_eq!(aborted.as_deref(), written.aborted);
    assert!(read.unknown_tagged_fields.is_empty());
}

#[test]
fn an_error_of_the_whole_request_is_said_from_version_7_on() {
    for version in 7..=VERSION_MAX {
        let mut out = Vec::new();
        FetchResponse::begin(&mut out, version, 1, 70, 0).finish();
        let mut bytes = Bytes::from(out.split_off(4));
        let layout = messages::FetchResponse::header_version(version);
        ResponseHeader::decode(&mut bytes, layout).unwrap();
        let body = messages::FetchResponse::decode(&mut bytes, version).unwrap();
        assert_eq!((body.error_code, body.session_id), (70, 0));
    }
}
