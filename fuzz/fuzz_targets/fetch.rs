//! A version in the first byte, and a Fetch body in the rest.
//!
//! Invariants: nothing panics; what is read is iterated to its end; the library reads the same topics
//! and partitions. (Versions with fields for replicas in tags are compared too where it reads them.)
//!
//! From version 17 on a tag of a partition is known to the library, which reads its content without
//! regard to the announced length and then reserves room for whatever count it comes upon. There it
//! does not read the bytes, but writes what was read here, and that reads the same again.

#![no_main]

use bytes::{Bytes, BytesMut};
use corelane::wire::fetch::{FetchView, TopicRef};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::protocol::{Decodable, Encodable};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

/// The first version whose partitions have a tag that the library knows.
const PARTITION_TAG_SINCE: i16 = 17;

/// A partition of a request: its topic's name or id, its index, its offset and most bytes.
type Asked = (String, u128, i32, (i64, i32));

fuzz_target!(|bytes: &[u8]| {
    let Some(version) = bytes.first().map(|version| i16::from(*version)) else {
        return;
    };
    let Ok(view) = FetchView::parse(bytes, 1, version) else {
        return;
    };
    let seen = read(&view);
    if version >= PARTITION_TAG_SINCE {
        let written = written(&seen, version);
        let again = FetchView::parse(&written, 0, version).expect("the library has written it");
        assert_eq!(read(&again), seen);
        return;
    }
    let mut body = Bytes::copy_from_slice(&bytes[1..]);
    // It refuses tagged fields that it knows with another content, which are skipped here.
    let Ok(oracle) = FetchRequest::decode(&mut body, version) else {
        return;
    };
    if !body.is_empty() {
        return;
    }
    let expected: Vec<Asked> = oracle
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                let ends = (partition.fetch_offset, partition.partition_max_bytes);
                let id = topic.topic_id.as_u128();
                (topic.topic.to_string(), id, partition.partition, ends)
            })
        })
        .collect();
    assert_eq!(seen, expected);
});

/// All partitions, iterated to the end.
fn read(view: &FetchView<'_>) -> Vec<Asked> {
    let mut seen = Vec::new();
    for topic in view.topics() {
        let announced = topic.partitions.len();
        let (name, id) = match topic.topic {
            TopicRef::Name(name) => (name, 0),
            TopicRef::Id(id) => ("", id.as_u128()),
        };
        let from = seen.len();
        seen.extend(topic.partitions.map(|partition| {
            let ends = (partition.offset, partition.bytes_max);
            (name.to_owned(), id, partition.index, ends)
        }));
        assert_eq!(seen.len() - from, announced);
    }
    assert_eq!(view.topics().count(), view.topics().len());
    seen
}

/// A body that asks for these partitions, each in a topic of its own.
fn written(asked: &[Asked], version: i16) -> BytesMut {
    let topics = asked.iter().map(|(_, id, index, (offset, bytes_max))| {
        let partition = FetchPartition::default()
            .with_partition(*index)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(*bytes_max);
        FetchTopic::default()
            .with_topic_id(Uuid::from_u128(*id))
            .with_partitions(vec![partition])
    });
    let mut body = BytesMut::new();
    FetchRequest::default()
        .with_topics(topics.collect())
        .encode(&mut body, version)
        .expect("what was read can be written");
    body
}
