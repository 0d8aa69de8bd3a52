//! Whatever a client does, the node stays up and serves the others.
//!
//! Every test ends in [`serves_others`]: another client's transaction is made durable.

// Helpers of a test fail like the test itself, and whatever else the node says is a failure.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

#[path = "support/load.rs"]
mod load;
#[path = "support/node.rs"]
mod node;
#[path = "support/random.rs"]
mod random;
#[path = "support/raw.rs"]
mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use corelane::client::{Client, ClientError, ClientOptions};
use corelane::frame::{Correlation, ErrorCode, GoodbyeReason, encode_ping, encode_pong};
use corelane::ids::Acks;
use corelane::transaction::{Submission, TransactionId, TxReceipt, codec};
use load::transaction;
use node::{Node, Setup};
use random::Random;
use raw::{Raw, Said, hello, submit, submit_bytes};

/// Ids of the transactions by which [`serves_others`] proves its point.
const PROBE: u16 = 999;

fn start() -> Node {
    Node::start(Setup::with_cores(2))
}

/// Another client is served, and soon.
fn serves_others(node: &mut Node) {
    assert!(node.is_up(), "the node is gone:\n{}", node.stderr());
    let options = ClientOptions {
        read_timeout: Some(Duration::from_secs(10)),
        ..ClientOptions::default()
    };
    let mut client = node.connect(options).expect("the node takes connections");
    let started = Instant::now();
    let fresh = corelane::clock::wall().0 as u64;
    client
        .send_transaction(&transaction(PROBE, fresh))
        .expect("the node takes transactions");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(
        !node.stderr().contains("panicked"),
        "a thread panicked:\n{}",
        node.stderr()
    );
}

#[test]
fn frames_cut_short_anywhere_end_only_their_connection() {
    let mut node = start();
    let mut whole = hello();
    let hello_bytes = whole.len();
    whole.extend(submit(1, Acks::All, &transaction(1, 1)));
    for cut in 0..whole.len() {
        let mut raw = Raw::connect(&node.socket());
        raw.send(&whole[..cut]).unwrap();
        if cut % 2 == 0 {
            // The other half of the cuts: gone without a word.
            raw.end_sending();
            let said = raw.rest();
            let expected = usize::from(cut >= hello_bytes);
            let answers = said.iter().filter(|said| matches!(said, Said::Welcome(_)));
            assert_eq!(answers.count(), expected, "cut at {cut}: {said:?}");
            assert!(
                !said.iter().any(|said| matches!(said, Said::Receipt(_))),
                "cut at {cut}: a receipt for half a transaction"
            );
        }
    }
    serves_others(&mut node);
}

#[test]
fn broken_frames_get_a_goodbye_that_names_the_byte() {
    let mut node = start();
    let after_hello = hello().len() as u64;
    let one = submit(7, Acks::All, &transaction(2, 1));
    let after_submit = after_hello + one.len() as u64;
    let mut bad_acks = one.clone();
    bad_acks[13] = 9;
    let cases: [(&str, Vec<u8>, u64); 8] = [
        ("oversized", u32::MAX.to_le_bytes().to_vec(), 0),
        ("no kind", vec![0; 4], 0),
        ("unknown kind", vec![9, 0, 0, 0, 0x44, 1, 2, 3], 4),
        ("too short for its kind", vec![3, 0, 0, 0, 2, 1, 1], 0),
        ("too long for its kind", vec![10, 0, 0, 0, 3], 0),
        ("of the node's own kinds", encode_pong(1).to_vec(), 4),
        ("a second hello", hello(), 4),
        ("unknown acks", bad_acks, 13),
    ];
    for (name, bytes, position) in cases {
        let (mut raw, _) = Raw::greeted(&node.socket());
        // What came before the broken frame is answered.
        raw.send(&one).unwrap();
        assert!(matches!(raw.next(), Said::Receipt(_)), "{name}");
        raw.send(&bytes).unwrap();
        let goodbye = Said::Goodbye(GoodbyeReason::ProtocolError, Some(after_submit + position));
        assert_eq!(raw.rest(), [goodbye], "{name}");
    }
    serves_others(&mut node);
}

#[test]
fn the_goodbye_comes_last_after_the_answers_to_all_that_was_taken() {
    let mut node = start();
    const COUNT: u64 = 200;
    let (mut raw, _) = Raw::greeted(&node.socket());
    let mut bytes = Vec::new();
    for seq in 0..COUNT {
        bytes.extend(submit(seq, Acks::All, &transaction(11, seq)));
    }
    let position = (hello().len() + bytes.len()) as u64;
    bytes.extend(0u32.to_le_bytes());
    raw.send(&bytes).unwrap();
    let mut said = raw.rest();
    let goodbye = Said::Goodbye(GoodbyeReason::ProtocolError, Some(position));
    assert_eq!(said.pop(), Some(goodbye));
    let is_receipt = |said: &Said| matches!(said, Said::Receipt(_));
    assert_eq!(
        said.iter().filter(|said| is_receipt(said)).count() as u64,
        COUNT
    );
    assert_eq!(said.len() as u64, COUNT, "and nothing else");
    serves_others(&mut node);
}

#[test]
fn a_connection_that_does_not_start_with_a_hello_of_this_version_is_ended() {
    let mut node = start();
    let mut wrong_magic = hello();
    wrong_magic[5] = b'X';
    let mut wrong_version = hello();
    wrong_version[9] = 99;
    let mut ping = Vec::new();
    encode_ping(&mut ping, 1);
    let (protocol, version) = (
        GoodbyeReason::ProtocolError,
        GoodbyeReason::UnsupportedVersion,
    );
    for (name, bytes, reason, position) in [
        ("magic", wrong_magic, protocol, 5),
        ("version", wrong_version, version, 9),
        ("ping first", ping, protocol, 4),
        (
            "submit first",
            submit(1, Acks::All, &transaction(3, 1)),
            protocol,
            4,
        ),
        ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec(), protocol, 0),
    ] {
        let mut raw = Raw::connect(&node.socket());
        raw.send(&bytes).unwrap();
        let goodbye = Said::Goodbye(reason, Some(position));
        assert_eq!(raw.rest(), [goodbye], "{name}");
    }
    serves_others(&mut node);
}

#[test]
fn random_bytes_never_bring_the_node_down() {
    let mut random = Random::from_environment("random_bytes");
    let mut node = start();
    for round in 0..200 {
        let mut raw = Raw::connect(&node.socket());
        let mut bytes = if round % 2 == 0 { hello() } else { Vec::new() };
        let mut noise_bytes = random.within(0..3000) as usize;
        if round % 4 == 0 {
            // A frame that is well formed around its noise.
            bytes.extend(submit_bytes(1, Acks::All, &random.bytes(noise_bytes)));
            noise_bytes /= 10;
        }
        bytes.extend(random.bytes(noise_bytes));
        // The node may close before it has all.
        let _ = raw.send(&bytes);
        raw.end_sending();
        let said = raw.rest();
        assert!(
            !said.iter().any(|said| matches!(said, Said::Receipt(_))),
            "noise is no transaction: {said:?}"
        );
    }
    serves_others(&mut node);
}

#[test]
fn bad_transactions_are_rejected_one_by_one_and_the_connection_goes_on() {
    let mut setup = Setup::with_cores(2);
    setup.config += "[transactions]\npayload_bytes_max = 1000\n";
    let mut node = Node::start(setup);
    let (mut raw, _) = Raw::greeted(&node.socket());
    let good = transaction(4, 1);
    let encoded = |payload_bytes: usize| {
        let mut transaction = good.clone();
        transaction.payload = vec![7; payload_bytes];
        let mut bytes = Vec::new();
        codec::encode(&transaction.borrowed(), &mut bytes).unwrap();
        bytes
    };
    let mut nowhere = encoded(10);
    let latitude_at = 2 + good.id.as_bytes().len();
    nowhere[latitude_at..latitude_at + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    let mut trailing = encoded(10);
    trailing.push(0);
    let cases = [
        (vec![], Some(ErrorCode::MalformedTransaction)),
        (
            encoded(10)[..20].to_vec(),
            Some(ErrorCode::MalformedTransaction),
        ),
        (trailing, Some(ErrorCode::MalformedTransaction)),
        (nowhere, Some(ErrorCode::BadLocation)),
        (encoded(1001), Some(ErrorCode::PayloadTooLarge)),
        (encoded(1000), None),
    ];
    for (correlation, (bytes, _)) in (0..).zip(&cases) {
        raw.send(&submit_bytes(correlation, Acks::All, bytes))
            .unwrap();
        // The same without an answer: it must not get one.
        raw.send(&submit_bytes(1000, Acks::None, bytes)).unwrap();
    }
    raw.end_sending();
    let mut answers = BTreeMap::new();
    for said in raw.rest() {
        let (correlation, code) = match said {
            Said::Rejected(correlation, code) => (correlation, Some(code)),
            Said::Receipt(receipt) => (receipt.correlation, None),
            other => panic!("{other:?}"),
        };
        assert_eq!(answers.insert(correlation, code), None, "answered once");
    }
    let expected = (0..).map(Correlation).zip(cases.map(|(_, code)| code));
    assert_eq!(answers, expected.collect());
    serves_others(&mut node);
}

#[test]
fn a_half_closed_connection_gets_all_its_answers_and_is_closed() {
    let mut node = start();
    for count in [0, 1, 500] {
        let (mut raw, _) = Raw::greeted(&node.socket());
        for seq in 0..count {
            let transaction = transaction(5, 1000 * count + seq);
            raw.send(&submit(seq, Acks::All, &transaction)).unwrap();
        }
        raw.end_sending();
        let answered: BTreeSet<Correlation> = raw
            .rest()
            .into_iter()
            .map(|said| match said {
                Said::Receipt(receipt) => receipt.correlation,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(answered, (0..count).map(Correlation).collect());
    }
    serves_others(&mut node);
}

#[test]
fn what_vanished_clients_had_in_flight_is_stored_once_when_it_is_submitted_again() {
    let mut node = start();
    const VANISHED: u16 = 30;
    const EACH: u64 = 40;
    for client in 0..VANISHED {
        let (mut raw, _) = Raw::greeted(&node.socket());
        for seq in 0..EACH {
            let transaction = transaction(100 + client, seq);
            raw.send(&submit(seq, Acks::All, &transaction)).unwrap();
        }
        // Gone at once, with answers on their way.
    }
    let mut places = BTreeMap::new();
    for attempt in 0..2 {
        for client in 0..VANISHED {
            let mut connection = node.connect(ClientOptions::default()).unwrap();
            for receipt in submit_all(&mut connection, 100 + client, EACH) {
                let place = (receipt.shard, receipt.partition, receipt.offset);
                let first = *places.entry(receipt.id).or_insert(place);
                assert_eq!(first, place, "{} lies in one place", receipt.id);
                let is_second = attempt == 1;
                assert!(!is_second || receipt.submission == Submission::Duplicate);
            }
        }
    }
    let distinct: BTreeSet<_> = places.values().collect();
    assert_eq!(distinct.len(), places.len(), "no place is given twice");
    serves_others(&mut node);
}

fn submit_all(client: &mut Client, number: u16, count: u64) -> Vec<TxReceipt> {
    for seq in 0..count {
        let transaction = transaction(number, seq);
        client.submit(&transaction.borrowed(), Acks::All).unwrap();
    }
    (0..count)
        .map(|_| client.recv().unwrap().outcome.unwrap())
        .collect()
}

#[test]
fn a_client_that_never_reads_is_held_back_and_costs_bounded_memory() {
    let mut node = start();
    let before_kb = node.resident_kb();
    let (mut raw, _) = Raw::greeted(&node.socket());
    raw.stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    // Far more answers than any buffer between the two should hold.
    const SUBMITS: u64 = 2_000_000;
    let transaction = transaction(6, 1);
    let held_back = (0..SUBMITS).find_map(|seq| {
        // One id, so that the flood is not stored: its duplicates are answered all the same.
        raw.send(&submit(seq, Acks::All, &transaction)).err()
    });
    let held_back = held_back.expect("the node stops reading, or hangs up");
    assert!(
        matches!(
            held_back.kind(),
            ErrorKind::WouldBlock | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        ),
        "{held_back}"
    );
    serves_others(&mut node);
    let grown_kb = node.resident_kb().saturating_sub(before_kb);
    assert!(grown_kb < 64 << 10, "the node grew by {grown_kb} KB");
}

#[test]
fn a_client_far_beyond_its_window_gets_one_answer_for_each_submit() {
    let mut setup = Setup::with_cores(2);
    setup.config += "[gateway]\nconnection_in_flight_max = 8\n";
    let mut node = Node::start(setup);
    let (mut raw, welcome) = Raw::greeted(&node.socket());
    assert_eq!(welcome.in_flight_max, 8);
    const COUNT: u64 = 5000;
    let mut writer = raw.stream.try_clone().unwrap();
    let flood = std::thread::spawn(move || {
        for seq in 0..COUNT {
            let bytes = submit(seq, Acks::All, &transaction(7, seq));
            writer.write_all(&bytes).unwrap();
        }
    });
    let mut answered = BTreeSet::new();
    for _ in 0..COUNT {
        let correlation = match raw.next() {
            Said::Receipt(receipt) => receipt.correlation,
            Said::Rejected(correlation, ErrorCode::Overloaded) => correlation,
            other => panic!("{other:?}"),
        };
        assert!(answered.insert(correlation), "{correlation} answered twice");
    }
    flood.join().unwrap();
    serves_others(&mut node);
}

#[test]
fn a_client_that_dawdles_is_served_byte_by_byte() {
    let mut node = start();
    let mut silent = Raw::connect(&node.socket());
    silent.send(&hello()[..3]).unwrap();
    let mut raw = Raw::connect(&node.socket());
    let mut bytes = hello();
    bytes.extend(submit(1, Acks::All, &transaction(8, 1)));
    for byte in bytes {
        raw.send(&[byte]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(matches!(raw.next(), Said::Welcome(_)));
    assert!(matches!(raw.next(), Said::Receipt(_)));
    serves_others(&mut node);
}

#[test]
fn connections_beyond_the_bound_are_refused_and_taken_again_when_there_is_room() {
    let mut setup = Setup::with_cores(1);
    setup.config += "[gateway]\nconnections_max = 3\n";
    let mut node = Node::start(setup);
    // The harness's own connection may still be on its way out.
    let connect = || {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match node.connect(ClientOptions::default()) {
                Ok(client) => return client,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut clients: Vec<Client> = (0..3).map(|_| connect()).collect();
    let refused = node.connect(ClientOptions::default()).unwrap_err();
    assert!(
        matches!(
            refused,
            ClientError::Goodbye {
                reason: GoodbyeReason::TooManyConnections,
                ..
            }
        ),
        "{refused}"
    );
    for client in &mut clients {
        client.ping(1).unwrap();
    }
    clients.pop();
    drop(connect());
    drop(clients);
    serves_others(&mut node);
}

#[test]
fn a_storm_of_short_connections_leaves_nothing_behind() {
    let mut node = start();
    let open_before = node.open_files();
    for round in 0..500 {
        let mut raw = Raw::connect(&node.socket());
        match round % 4 {
            0 => {}
            1 => raw.send(&hello()).unwrap(),
            2 => {
                raw.send(&hello()).unwrap();
                raw.send(&submit(1, Acks::All, &transaction(9, round)))
                    .unwrap();
            }
            _ => raw.send(b"x").unwrap(),
        }
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while node.open_files() > open_before + 2 {
        assert!(
            Instant::now() < deadline,
            "{} files are open, {open_before} were before",
            node.open_files()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    serves_others(&mut node);
    let id = TransactionId::new(b"9-2").unwrap();
    let mut client = node.connect(ClientOptions::default()).unwrap();
    let receipt = client.send_transaction(&transaction(9, 2)).unwrap();
    assert_eq!(receipt.id, id);
}
