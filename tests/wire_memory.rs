//! What decoding takes: a cold request no more than its shape says, a refused one nothing, and the
//! views of Produce and Fetch nothing at all.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.
#![allow(unsafe_code)] // A global allocator is an unsafe trait; this one only counts.

#[path = "support/wire_shapes.rs"]
mod wire_shapes;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use corelane::broker::cold;
use corelane::broker::versions::APIS;
use corelane::wire::fetch::FetchView;
use corelane::wire::produce::ProduceView;
use corelane::wire::request::RequestHeader;
use corelane::wire::{api, shape};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use kafka_protocol::protocol::Encodable;

thread_local! {
    /// Bytes that this thread holds, and the most that it held: other threads are other tests.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

fn note(bytes: isize) {
    // Not there any more while a thread ends; nothing is counted then.
    let held = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        held.get()
    });
    if let Ok(held) = held {
        let _ = MOST.try_with(|most| most.set(most.get().max(held)));
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most that `work` held at once, beyond what was held before.
fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let made = work();
    (made, (MOST.get() - before) as usize)
}

/// Sharing the body takes this much, whatever its length.
const SHARE_BYTES: usize = 64;

#[test]
fn a_cold_request_takes_no_more_than_its_shape_says() {
    for row in APIS {
        let Some(fields) = shape::fields(row.key) else {
            continue;
        };
        for version in row.min..=row.max {
            let encoding = api::encoding(row.key, version).unwrap();
            for elements in [0, 1, 700, 5_000] {
                let body = wire_shapes::long(fields, version, encoding, elements);
                let name = format!("{} v{version} of {elements}", row.name);
                let bound = shape::DECODED_BYTES_FACTOR * body.len() + shape::DECODED_BYTES_FREE;
                let (checked, held) = most(|| shape::check(row.key, version, &body));
                assert_eq!(held, 0, "{name}: the check");
                let body = Bytes::from(body);
                let (decoded, held) = most(|| cold::decode(row.key, version, body));
                match checked {
                    Ok(said) => {
                        decoded.unwrap();
                        assert!(said <= bound, "{name}: {said} of {bound}");
                        let most = said + SHARE_BYTES;
                        assert!(held <= most, "{name}: {held} bytes, not {most}");
                    }
                    Err(_) => {
                        assert!(decoded.is_err(), "{name}");
                        assert_eq!(held, 0, "{name}: refused");
                    }
                }
            }
        }
    }
}

/// A few bytes that claim two thousand million elements.
#[test]
fn a_large_count_takes_nothing() {
    for row in APIS {
        let Some(fields) = shape::fields(row.key) else {
            continue;
        };
        for version in row.min..=row.max {
            let encoding = api::encoding(row.key, version).unwrap();
            for body in wire_shapes::with_one_large_count(fields, version, encoding) {
                let body = Bytes::from(body.bytes);
                let (decoded, held) = most(|| cold::decode(row.key, version, body));
                assert!(decoded.is_err());
                assert_eq!(held, 0, "{} v{version}", row.name);
            }
        }
    }
}

/// Every tag of a structure is a node of a map, which takes more than its two bytes.
#[test]
fn tagged_fields_take_no_more_than_the_shape_says() {
    for tags in [1u8, 5, 11, 12, 100] {
        let mut body = vec![1, tags];
        for tag in 0..tags {
            body.extend_from_slice(&[tag, 0]);
        }
        let version = 3;
        let said = shape::check(api::LIST_GROUPS, version, &body[1..]).unwrap();
        let body = Bytes::from(body).slice(1..);
        let (decoded, held) = most(|| cold::decode(api::LIST_GROUPS, version, body));
        decoded.unwrap();
        assert!(held <= said + SHARE_BYTES, "{tags}: {held} of {said}");
    }
}

#[test]
fn the_views_of_hot_requests_take_nothing() {
    let data = PartitionProduceData::default().with_records(Some(Bytes::from_static(b"records")));
    let topic = TopicProduceData::default().with_partition_data(vec![data; 20]);
    let produce = ProduceRequest::default().with_topic_data(vec![topic; 20]);
    for version in 3..=11 {
        let mut frame = BytesMut::new();
        produce.encode(&mut frame, version).unwrap();
        let (bytes, held) = most(|| {
            let view = ProduceView::parse(&frame, 0, version).unwrap();
            let partitions = view.topics().flat_map(|topic| topic.partitions);
            partitions
                .map(|partition| partition.records.unwrap().len())
                .sum::<usize>()
        });
        assert_eq!((bytes, held), (7 * 400, 0));
    }
    let topic = FetchTopic::default().with_partitions(vec![FetchPartition::default(); 20]);
    let fetch = FetchRequest::default().with_topics(vec![topic; 20]);
    for version in 4..=17 {
        let mut frame = BytesMut::new();
        fetch.encode(&mut frame, version).unwrap();
        let (partitions, held) = most(|| {
            let view = FetchView::parse(&frame, 0, version).unwrap();
            view.topics()
                .map(|topic| topic.partitions.count())
                .sum::<usize>()
        });
        assert_eq!((partitions, held), (400, 0));
    }
    let header = [0, 3, 0, 9, 0, 0, 0, 1, 0, 1, b'c', 0];
    assert_eq!(most(|| RequestHeader::parse(&header).is_ok()), (true, 0));
}
