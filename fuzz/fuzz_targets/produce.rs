//! A version in the first byte, and a Produce body in the rest.
//!
//! Invariants: nothing panics; what is read is iterated to its end; records lie inside the frame, one
//! after the other; the library reads the same topics, partitions and records.

#![no_main]

use bytes::Bytes;
use corelane::wire::produce::ProduceView;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::protocol::Decodable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(version) = bytes.first().map(|version| i16::from(*version)) else {
        return;
    };
    let Ok(view) = ProduceView::parse(bytes, 1, version) else {
        return;
    };
    let announced = view.topics().len();
    let mut before = 1;
    let mut seen = Vec::new();
    for topic in view.topics() {
        let partitions = topic.partitions.len();
        let from = seen.len();
        for partition in topic.partitions {
            let records = partition.records.map(|at| {
                assert!(before <= at.start && at.end <= bytes.len());
                before = at.end;
                Bytes::copy_from_slice(&bytes[at])
            });
            seen.push((topic.name.to_owned(), partition.index, records));
        }
        assert_eq!(seen.len() - from, partitions);
    }
    assert_eq!(view.topics().count(), announced);
    if version < 3 {
        return;
    }
    let mut body = Bytes::copy_from_slice(&bytes[1..]);
    let oracle = ProduceRequest::decode(&mut body, version).expect("the view has read it");
    assert!(body.is_empty());
    let read: Vec<_> = oracle
        .topic_data
        .into_iter()
        .flat_map(|topic| {
            let name = topic.name.to_string();
            let partitions = topic.partition_data.into_iter();
            partitions.map(move |partition| (name.clone(), partition.index, partition.records))
        })
        .collect();
    assert_eq!(seen, read);
    assert_eq!(
        (view.acks, view.timeout_ms),
        (oracle.acks, oracle.timeout_ms)
    );
});
