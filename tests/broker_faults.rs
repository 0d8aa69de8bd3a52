//! Whatever a Kafka client sends, the node stays up, stores nothing that it refused, and serves the
//! others.
//!
//! Every test ends in [`BrokerNode::serves_others`].

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/node.rs"]
mod node;
#[path = "support/random.rs"]
mod random;

use bytes::Bytes;
use corelane::broker::versions::APIS;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, ResponseHeader,
};
use kafka_protocol::protocol::Decodable as _;
use kafka_protocol::records::Compression;

use broker_node::BrokerNode;
use kafka_peer::{
    Produced, Sequence, any_request, batch, fetch_request, one_record, produce_request,
    request_bytes,
};
use random::Random;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const API_VERSIONS: i16 = 18;

/// What the node may take more than before because of bytes that it did not accept.
const GROWTH_KB_MAX: u64 = 96 << 10;

#[test]
fn frames_cut_short_anywhere_end_only_their_connection() {
    let mut broker = BrokerNode::start();
    broker.peer().make_topic("cut");
    let first = request_bytes(3, 1, &ApiVersionsRequest::default());
    let second = request_bytes(9, 2, &produce_request("cut", 0, one_record(b"half")));
    let whole = [&first[..], &second[..]].concat();
    for cut in 0..whole.len() {
        let mut peer = broker.peer();
        peer.send(&whole[..cut]).unwrap();
        // Half of the cuts: gone without a word.
        if cut % 2 == 0 {
            peer.end_sending();
            let answers = peer.rest().len();
            assert_eq!(answers, usize::from(cut >= first.len()), "cut at {cut}");
        }
    }
    assert_eq!(broker.peer().end_offset("cut", 0), 0, "nothing was stored");
    broker.serves_others();
}

#[test]
fn lengths_that_cannot_be_close_the_connection() {
    let mut broker =
        BrokerNode::start_with("request_bytes_max = 65536\nmessage_bytes_max = 32768", "");
    let before = broker.node.resident_kb();
    for length in [-1, i32::MIN, i32::MAX, 0, 3, 65_537, 0x4745_5420] {
        let mut peer = broker.peer();
        peer.send(&length.to_be_bytes()).unwrap();
        if (0..65_537).contains(&length) {
            // Too short for a header, but that shows only once it is there.
            let _ = peer.send(&[0; 3][..length as usize]);
        }
        assert_eq!(peer.frame(), None, "length {length}");
    }
    assert!(broker.node.resident_kb() < before + GROWTH_KB_MAX);
    broker.serves_others();
}

/// A request of exactly the longest length is no fault.
#[test]
fn the_longest_request_is_taken() {
    let mut broker =
        BrokerNode::start_with("request_bytes_max = 65536\nmessage_bytes_max = 32768", "");
    let mut peer = broker.peer();
    let mut frame = request_bytes(0, 5, &ApiVersionsRequest::default()).to_vec();
    frame.resize(4 + 65_536, 0);
    frame[..4].copy_from_slice(&65_536_i32.to_be_bytes());
    peer.send(&frame).unwrap();
    // Bytes after a request's end are the sender's mistake; either way it was read to its end.
    let _ = peer.frame();
    broker.serves_others();
}

/// Bodies that announce more than they hold, for every API and version.
#[test]
fn counts_in_the_billions_allocate_nothing() {
    let mut broker = BrokerNode::start();
    let before = broker.node.resident_kb();
    let patterns: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff],
        &[0, 1, b'a', 0x7f, 0xff, 0xff, 0xff],
        &[2, b'a', 0xfe, 0xff, 0xff, 0xff, 0x0f],
    ];
    for api in APIS {
        for version in api.min..=api.max {
            for pattern in patterns {
                for tags in [&b""[..], b"\0"] {
                    let body = pattern.repeat(64 / pattern.len());
                    let mut peer = broker.peer();
                    // Some bodies mean something: what is asked is answered, the rest closes.
                    peer.send(&any_request(api.key, version, tags, &body))
                        .unwrap();
                    peer.end_sending();
                    peer.rest();
                }
            }
        }
        assert!(broker.node.is_up(), "{} ended the node", api.name);
    }
    let grown = broker.node.resident_kb().saturating_sub(before);
    assert!(grown < GROWTH_KB_MAX, "{grown} KB more");
    broker.serves_others();
}

#[test]
fn bodies_with_bytes_missing_or_changed_end_only_their_connection() {
    let mut broker = BrokerNode::start();
    broker.peer().make_topic("bent");
    let mut random = Random::from_environment("bodies_with_bytes_missing_or_changed");
    let good = [
        request_bytes(9, 1, &produce_request("bent", 0, one_record(b"bent"))),
        request_bytes(12, 1, &fetch_request("bent", 0, 0)),
        request_bytes(4, 1, &fetch_request("bent", 0, 0)),
        request_bytes(9, 1, &MetadataRequest::default()),
        request_bytes(3, 1, &ApiVersionsRequest::default()),
    ];
    for round in 0..600 {
        let mut bytes = good[round % good.len()].to_vec();
        match random.within(0..3) {
            0 => bytes.truncate(4 + random.within(0..bytes.len() as u64 - 4) as usize),
            _ => {
                for _ in 0..random.within(1..4) {
                    let at = random.within(4..bytes.len() as u64) as usize;
                    bytes[at] = random.next() as u8;
                }
            }
        }
        let length = i32::try_from(bytes.len() - 4).unwrap();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        let mut peer = broker.peer();
        peer.send(&bytes).unwrap();
        peer.end_sending();
        peer.rest();
    }
    broker.serves_others();
}

#[test]
fn noise_ends_only_its_connection() {
    let mut broker = BrokerNode::start();
    let mut random = Random::from_environment("noise_ends_only_its_connection");
    for round in 0..300 {
        let length = random.within(0..2000) as usize;
        let mut bytes = random.bytes(length);
        // Half of it: in a frame, with a header that is read.
        if round % 2 == 0 {
            let api = &APIS[random.within(0..APIS.len() as u64) as usize];
            let version = random.within(api.min as u64..api.max as u64 + 1) as i16;
            bytes = any_request(api.key, version, b"", &bytes).to_vec();
        }
        let mut peer = broker.peer();
        // It may close before all of it was sent.
        let _ = peer.send(&bytes);
        peer.end_sending();
        peer.rest();
    }
    broker.serves_others();
}

#[test]
fn unknown_apis_and_versions_close_the_connection() {
    let mut broker = BrokerNode::start();
    let mut asked: Vec<(i16, i16)> = [-1, 4, 7, 27, 68, 71, 93, 1000, i16::MAX]
        .map(|key| (key, 0))
        .to_vec();
    for api in APIS.iter().filter(|api| api.key != API_VERSIONS) {
        asked.extend([(api.key, api.max + 1), (api.key, -1), (api.key, i16::MAX)]);
    }
    for (key, version) in asked {
        let mut peer = broker.peer();
        peer.send(&any_request(key, version, b"", &[0; 64]))
            .unwrap();
        assert_eq!(peer.frame(), None, "API {key} version {version}");
    }
    broker.serves_others();
}

/// KIP-511: an answer in the oldest layout that says which versions there are.
#[test]
fn unknown_versions_of_api_versions_are_told_the_known_ones() {
    let mut broker = BrokerNode::start();
    for version in [5, 9, i16::MAX, -1] {
        let mut peer = broker.peer();
        peer.send(&any_request(API_VERSIONS, version, b"\0", b"\x01\x01\0"))
            .unwrap();
        let mut frame = peer.frame().unwrap();
        let header = ResponseHeader::decode(&mut frame, 0).unwrap();
        assert_eq!(header.correlation_id, 77);
        let response = ApiVersionsResponse::decode(&mut frame, 0).unwrap();
        assert_eq!(response.error_code, 35);
        let own = response.api_keys.iter();
        let own = own.filter(|row| row.api_key == API_VERSIONS).count();
        assert_eq!(own, 1);
        assert!(peer.api_versions().is_some(), "and may ask again");
    }
    broker.serves_others();
}

/// CORRUPT_MESSAGE, INVALID_RECORD and the like, and nothing is stored.
#[test]
fn damaged_batches_are_refused_and_not_stored() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("damaged");
    let good = batch(&[b"one", b"two"], Compression::None, None);
    // Before byte 16 stand the offset, the length and the leader's epoch, which are not checked by
    // the CRC: the broker writes two of them itself.
    let lengths = 8..12;
    for at in lengths.chain(16..good.len()) {
        for bit in [0, 3, 7] {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << bit;
            let produced = peer.produce("damaged", 0, bytes.into());
            assert_ne!(produced.error, 0, "byte {at}, bit {bit}");
        }
    }
    for cut in [0, 1, 12, 60, good.len() - 1] {
        let produced = peer.produce("damaged", 0, good.slice(..cut));
        assert_ne!(produced.error, 0, "cut at {cut}");
    }
    let two = [&good[..], &good[..]].concat();
    let produced = peer.produce("damaged", 0, two.into());
    assert_ne!(produced.error, 0, "two batches in one");
    assert_eq!(peer.end_offset("damaged", 0), 0, "nothing was stored");
    assert!(peer.fetch("damaged", 0, 0).is_empty());
    let stored = Produced {
        error: 0,
        base_offset: 0,
    };
    assert_eq!(peer.produce("damaged", 0, good), stored);
    broker.serves_others();
}

#[test]
fn a_wrong_crc_is_corruption() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("crc");
    let mut bytes = one_record(b"value").to_vec();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    assert_eq!(peer.produce("crc", 0, bytes.into()).error, 2);
    broker.serves_others();
}

#[test]
fn sequences_that_are_mixed_up_are_refused_and_repeated_ones_known_again() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("sequences");
    let by = peer.producer();
    let mut write = |by: Sequence, first: i32| {
        let by = Sequence { first, ..by };
        let records = batch(&[b"a", b"b"], Compression::None, Some(by));
        let produced = peer.produce("sequences", 0, records);
        (produced.error, produced.base_offset)
    };
    assert_eq!(write(by, 0), (0, 0));
    assert_eq!(write(by, 2), (0, 2));
    assert_eq!(write(by, 0), (0, 0), "known again");
    assert_eq!(write(by, 2), (0, 2), "known again");
    for gap in [1, 3, 5, 100, i32::MAX - 2] {
        assert_eq!(write(by, gap).0, 45, "sequence {gap}");
    }
    let newer = Sequence {
        producer_epoch: by.producer_epoch + 1,
        ..by
    };
    assert_eq!(write(newer, 7).0, 45, "a new epoch begins at 0");
    assert_eq!(write(newer, 0), (0, 4));
    assert_eq!(write(by, 4).0, 47, "the old epoch is fenced");
    assert_eq!(write(newer, 2), (0, 6), "and the new one goes on");
    assert_eq!(peer.end_offset("sequences", 0), 8);
    broker.serves_others();
}

#[test]
fn acknowledgements_that_do_not_exist_are_refused() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("acks");
    for acks in [2, -2, i16::MAX] {
        let request = produce_request("acks", 0, one_record(b"x")).with_acks(acks);
        let response = peer.ask(9, &request);
        let row = &response.responses[0].partition_responses[0];
        assert_eq!(row.error_code, 21, "acks={acks}");
    }
    assert_eq!(peer.end_offset("acks", 0), 0);
    broker.serves_others();
}

/// Old message sets cannot be stored; the answer says so in a form that their senders know.
#[test]
fn message_sets_before_version_2_are_refused() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("old");
    for magic in [0, 1, 3, 0x7f] {
        let mut bytes = one_record(b"value").to_vec();
        bytes[16] = magic;
        let produced = peer.produce("old", 0, bytes.into());
        assert_ne!(produced.error, 0, "magic {magic}");
    }
    for version in 0..3 {
        let mut peer = broker.peer();
        peer.send(&any_request(PRODUCE, version, b"", &[0; 16]))
            .unwrap();
        let frame: Option<Bytes> = peer.frame();
        // UNSUPPORTED_VERSION in a layout of its own, or the end; never a success.
        assert!(frame.is_none_or(|frame| frame[..4] == 77_i32.to_be_bytes()));
    }
    for version in 0..4 {
        let mut peer = broker.peer();
        peer.send(&any_request(FETCH, version, b"", &[0; 16]))
            .unwrap();
        assert_eq!(peer.frame(), None, "Fetch {version}");
    }
    broker.serves_others();
}
