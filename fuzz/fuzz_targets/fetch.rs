//! A version in the first byte, and a Fetch body in the rest.
//!
//! Invariants: nothing panics; what is read is iterated to its end; the library reads the same topics
//! and partitions. (Versions with fields for replicas in tags are compared too where it reads them.)

#![no_main]

use bytes::Bytes;
use corelane::wire::fetch::{FetchView, TopicRef};
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::Decodable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(version) = bytes.first().map(|version| i16::from(*version)) else {
        return;
    };
    let Ok(view) = FetchView::parse(bytes, 1, version) else {
        return;
    };
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
    let mut body = Bytes::copy_from_slice(&bytes[1..]);
    // It refuses tagged fields that it knows with another content, which are skipped here.
    let Ok(oracle) = FetchRequest::decode(&mut body, version) else {
        return;
    };
    if !body.is_empty() {
        return;
    }
    let read: Vec<_> = oracle
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
    assert_eq!(seen, read);
});
