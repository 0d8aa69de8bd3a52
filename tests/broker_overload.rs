//! Clients that take up room: the node's memory stays bounded and others are served.
//!
//! Every test ends in [`BrokerNode::serves_others`].

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/http.rs"]
mod http;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/node.rs"]
mod node;

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest};
use kafka_protocol::records::Compression;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use broker_node::BrokerNode;
use kafka_peer::{Peer, batch, fetch_request, one_record, produce_request, request_bytes};

const MIB: usize = 1 << 20;

/// Values that do not compress, in batches of 1 MiB less their overhead.
fn fill(peer: &mut Peer, topic: &str, mebibytes: usize) {
    let value = vec![7; MIB - 1024];
    for _ in 0..mebibytes {
        let produced = peer.produce(topic, 0, one_record(&value));
        assert_eq!(produced.error, 0);
    }
}

/// Waits until what the node tells of the memory of Kafka's unsent answers, all cores together, is as
/// wanted.
fn until_answers(broker: &BrokerNode, wanted: impl Fn(u64) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let told = http::control_address(&broker.node.stderr()).map(|address| {
            let status = http::get(&address, "/v1/status").unwrap().body;
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            let cores = status["cores"].as_array().unwrap().iter();
            let answers = cores.map(|core| core["memory"]["kafka_answers"].as_u64().unwrap());
            answers.sum()
        });
        if told.is_some_and(&wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{told:?} bytes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As many file descriptors as may be had, for this process and the nodes that it starts.
fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[test]
fn ten_thousand_connections_that_say_nothing_cost_little() {
    let descriptors = raise_descriptors();
    // The other end of each is the node's: it inherits the limit.
    let count = 10_000.min(descriptors.saturating_sub(500)) as usize;
    let mut broker = BrokerNode::start();
    broker.serves_others();
    let before = broker.node.resident_kb();
    let mut silent: Vec<TcpStream> = Vec::with_capacity(count);
    for _ in 0..count {
        silent.push(TcpStream::connect(broker.address).unwrap());
    }
    // The last ones were accepted once they are answered.
    for stream in silent.iter_mut().rev().take(64) {
        let request = request_bytes(0, 1, &ApiVersionsRequest::default());
        std::io::Write::write_all(stream, &request).unwrap();
        stream.read_exact(&mut [0; 8]).unwrap();
    }
    broker.serves_others();
    let grown = broker.node.resident_kb().saturating_sub(before);
    assert!(
        grown < 10 * count as u64,
        "{grown} KB for {count} connections"
    );
    drop(silent);
    broker.serves_others();
}

#[test]
fn requests_before_a_half_closed_end_are_answered() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("half");
    for number in 0..100 {
        let request = produce_request("half", 0, one_record(b"half"));
        peer.send(&request_bytes(9, number, &request)).unwrap();
    }
    peer.end_sending();
    let answers = peer.rest();
    assert_eq!(answers.len(), 100);
    for (number, answer) in (0_i32..).zip(&answers) {
        assert_eq!(answer[..4], number.to_be_bytes(), "in order");
    }
    assert_eq!(broker.peer().end_offset("half", 0), 100);
    broker.serves_others();
}

/// A request that waits holds nothing once its client is gone.
#[test]
fn long_polls_of_clients_that_left_are_forgotten() {
    let mut broker = BrokerNode::start();
    broker.peer().make_topic("poll");
    broker.serves_others();
    let before = broker.node.open_sockets();
    for round in 0..200 {
        let mut peer = broker.peer();
        let request = fetch_request("poll", 0, 0)
            .with_min_bytes(1)
            .with_max_wait_ms(i32::MAX);
        peer.say(12, &request);
        if round % 2 == 0 {
            peer.end_sending();
        }
    }
    // What is written now wakes every poll that is still there.
    let produced = broker.peer().produce("poll", 0, one_record(b"wake"));
    assert_eq!(produced.error, 0);
    broker.serves_others();
    for _ in 0..1000 {
        if broker.node.open_sockets() <= before + 8 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} sockets are left", broker.node.open_sockets() - before);
}

/// Whoever asks for 2 GB gets as much as one answer may hold.
#[test]
fn a_fetch_of_two_gigabytes_is_bounded() {
    let mut broker = BrokerNode::start_with("fetch_bytes_max = 4194304", "");
    let mut peer = broker.peer();
    peer.make_topic("large");
    fill(&mut peer, "large", 24);
    let before = broker.node.resident_kb();
    let answer = peer.fetch("large", 0, 0);
    assert!(
        answer.len() > MIB - 2048 && answer.len() <= 5 * MIB,
        "{}",
        answer.len()
    );
    // The same partition a thousand times in one request.
    let mut many = fetch_request("large", 0, 0);
    let one = many.topics[0].partitions[0].clone();
    many.topics[0].partitions = vec![one; 1000];
    let response = peer.ask::<FetchRequest>(12, &many);
    let bytes: usize = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|row| row.records.as_ref().map_or(0, |records| records.len()))
        .sum();
    assert!(bytes <= 6 * MIB, "{bytes} bytes");
    let grown = broker.node.resident_kb().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KB more");
    broker.serves_others();
}

/// Clients that ask for much and read nothing: answers wait within bounds.
#[test]
fn slow_readers_hold_up_nobody_and_little_memory() {
    let mut broker = BrokerNode::start_with(
        "fetch_bytes_max = 8388608\nconnection_bytes_max = 16777216\nbytes_max = 67108864",
        "[control]\nhttp = \"127.0.0.1:0\"",
    );
    let mut peer = broker.peer();
    peer.make_topic("slow");
    fill(&mut peer, "slow", 24);
    broker.serves_others();
    let before = broker.node.resident_kb();
    let mut slow = Vec::new();
    for _ in 0..32 {
        let mut peer = broker.peer();
        for number in 0..64 {
            let request = fetch_request("slow", 0, 0);
            peer.send(&request_bytes(12, number, &request)).unwrap();
        }
        slow.push(peer);
    }
    broker.serves_others();
    let grown = broker.node.resident_kb().saturating_sub(before) as usize;
    // 64 MiB of answers for each of the two cores, and as much again for what is being put together.
    assert!(grown << 10 < 4 * 64 * MIB, "{grown} KB more");
    let bytes_max = 2 * 64 * MIB as u64;
    until_answers(&broker, |bytes| (MIB as u64..bytes_max).contains(&bytes));
    // One that begins to read gets everything, in order.
    let mut first = slow.swap_remove(0);
    drop(slow);
    first.end_sending();
    let answers = first.rest();
    assert_eq!(answers.len(), 64);
    for (number, answer) in (0_i32..).zip(&answers) {
        assert_eq!(answer[..4], number.to_be_bytes());
    }
    until_answers(&broker, |bytes| bytes == 0);
    broker.serves_others();
}

/// Clients that announce long requests and do not send them keep nobody else from sending.
#[test]
fn announced_bytes_that_never_come_hold_up_nobody() {
    let mut broker = BrokerNode::start_with(
        "request_bytes_max = 16777216\nconnection_bytes_max = 16777216\nbytes_max = 67108864",
        "",
    );
    broker.serves_others();
    let before = broker.node.resident_kb();
    let mut waiting = Vec::new();
    // Each sort takes of the bound what those before have left.
    let lengths = [16_000_000_i32, 200_000, 40_000, 2000, 200];
    for length in lengths.into_iter().flat_map(|length| [length; 64]) {
        let mut peer = broker.peer();
        peer.send(&length.to_be_bytes()).unwrap();
        peer.send(b"\0\0\0\x09").unwrap();
        waiting.push(peer);
    }
    broker.serves_others();
    let grown = broker.node.resident_kb().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KB for bytes that never came");
}

/// A batch that is small and unpacks to much: nobody unpacks it to store it.
#[test]
fn compressed_bombs_stay_small() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic("bombs");
    peer.make_topic("transactions");
    let zeros = vec![0; 256 * MIB];
    let bombs: Vec<_> = [Compression::Gzip, Compression::Zstd]
        .map(|codec| batch(&[&zeros], codec, None))
        .into();
    drop(zeros);
    let before = broker.node.resident_kb();
    for bomb in bombs {
        assert!(bomb.len() < MIB);
        for topic in ["bombs", "transactions"] {
            // Whether it is taken or refused is the topic's business.
            let produced = peer.produce(topic, 0, bomb.clone());
            assert!(produced.error == 0 || produced.base_offset == -1);
        }
    }
    let grown = broker.node.resident_kb().saturating_sub(before);
    // What is unpacked to be looked into is bounded, on each of the two cores.
    assert!(grown < 256 << 10, "{grown} KB more");
    broker.serves_others();
}
