//! The client against a node played by the test, on a Unix socket.

use std::time::Duration;

use super::played::play;
use super::*;
use crate::frame::{Correlation, ErrorCode, Goodbye, GoodbyeReason, Rejected, encode_pong};
use crate::ids::{Acks, Offset, ShardId, UnixMicros};
use crate::location::GeoLocation;
use crate::transaction::{Transaction, TransactionId};

fn transaction(id: &str) -> Transaction {
    Transaction {
        id: TransactionId::new(id.as_bytes()).unwrap(),
        client_location: GeoLocation::new(1.0, 2.0).unwrap(),
        submitted_at: UnixMicros(3),
        amount: Some(4),
        payload: b"payload".to_vec(),
    }
}

fn options() -> ClientOptions {
    ClientOptions {
        read_timeout: Some(Duration::from_secs(10)),
        ..ClientOptions::default()
    }
}

fn retry() -> RetryOptions {
    RetryOptions {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(5),
        attempts_max: 10,
    }
}

#[test]
fn answers_reach_the_submit_they_belong_to_in_whatever_order_they_come() {
    let node = play(8, 1, |_, peer| {
        let submits: Vec<_> = (0..3).map(|_| peer.submit().unwrap()).collect();
        peer.reject(submits[2].correlation, ErrorCode::BadLocation);
        peer.receipt(submits[1].correlation);
        peer.receipt(submits[0].correlation);
    });
    let mut client = Client::connect(&node.address, options()).unwrap();
    assert_eq!(client.welcome().node_id, 9);
    for (tag, id) in ["a", "b", "c"].iter().enumerate() {
        let transaction = transaction(id);
        client
            .submit_tagged(&transaction.borrowed(), Acks::All, tag as u64)
            .unwrap();
    }
    let replies: Vec<_> = (0..3).map(|_| client.recv().unwrap()).collect();
    let seen: Vec<_> = replies
        .iter()
        .map(|r| (r.id.to_string(), r.tag, r.outcome.is_ok()))
        .collect();
    let expected = [("c", 2, false), ("b", 1, true), ("a", 0, true)];
    assert_eq!(seen, expected.map(|(id, tag, ok)| (id.to_owned(), tag, ok)));
    let receipt = replies[1].outcome.as_ref().unwrap();
    assert_eq!((receipt.shard, receipt.offset), (ShardId(3), Offset(101)));
    assert_eq!(receipt.id, replies[1].id);
    node.over();
    assert!(
        matches!(client.recv(), Err(ClientError::Closed { unanswered: 0 })),
        "nothing is lost when all was answered"
    );
}

#[test]
fn send_transaction_keeps_the_answers_to_others() {
    let node = play(8, 1, |_, peer| {
        for _ in 0..2 {
            let submit = peer.submit().unwrap();
            peer.receipt(submit.correlation);
        }
        assert_eq!(peer.frame().unwrap()[4], 3, "a ping");
        peer.send(&encode_pong(77));
    });
    let mut client = Client::connect(&node.address, options()).unwrap();
    client
        .submit(&transaction("a").borrowed(), Acks::All)
        .unwrap();
    let receipt = client.send_transaction(&transaction("b")).unwrap();
    assert_eq!(receipt.id.as_bytes(), b"b");
    client.ping(77).unwrap();
    assert_eq!(client.recv().unwrap().id.as_bytes(), b"a");
    node.over();
}

#[test]
fn the_window_is_the_smaller_of_both_bounds_and_acks_none_takes_no_room() {
    let node = play(2, 1, |_, peer| {
        let submits: Vec<_> = (0..4).map(|_| peer.submit().unwrap()).collect();
        let acks: Vec<_> = submits.iter().map(|s| s.acks).collect();
        assert_eq!(acks, [Acks::All, Acks::Leader, Acks::None, Acks::None]);
        peer.receipt(submits[0].correlation);
        assert_eq!(peer.submit().unwrap().id, "fits again");
    });
    let mut client = Client::connect(&node.address, options()).unwrap();
    let some = transaction("some");
    client.submit(&some.borrowed(), Acks::All).unwrap();
    client.submit(&some.borrowed(), Acks::Leader).unwrap();
    let full = client.submit(&some.borrowed(), Acks::All).unwrap_err();
    assert!(matches!(full, ClientError::WindowFull { in_flight_max: 2 }));
    client.submit(&some.borrowed(), Acks::None).unwrap();
    client.submit(&some.borrowed(), Acks::None).unwrap();
    client.recv().unwrap();
    let last = transaction("fits again");
    client.submit(&last.borrowed(), Acks::All).unwrap();
    client.flush().unwrap();
    node.over();
}

#[test]
fn a_sender_waits_for_the_receiver_to_make_room_and_wakes_when_the_node_dies() {
    let node = play(1, 1, |_, peer| {
        for _ in 0..20 {
            let submit = peer.submit().unwrap();
            peer.receipt(submit.correlation);
        }
        peer.submit().unwrap();
    });
    let (mut sender, mut receiver) = Client::connect(&node.address, options()).unwrap().split();
    let answers = std::thread::spawn(move || {
        for _ in 0..20 {
            receiver.recv().unwrap();
        }
        receiver.recv().unwrap_err()
    });
    let some = transaction("some");
    for _ in 0..21 {
        sender.submit(&some.borrowed(), Acks::All).unwrap();
    }
    let error = sender.submit(&some.borrowed(), Acks::All).unwrap_err();
    assert!(
        matches!(error, ClientError::Closed { unanswered: 1 }),
        "{error}"
    );
    node.over();
    let end = answers.join().unwrap();
    assert!(
        matches!(end, ClientError::Closed { unanswered: 1 }),
        "{end}"
    );
}

#[test]
fn what_the_node_does_wrong_is_named() {
    let node = play(8, 4, |number, peer| {
        match number {
            0 => {
                let mut bytes = Vec::new();
                Goodbye {
                    reason: GoodbyeReason::ProtocolError,
                    position: Some(31),
                    message: "no",
                }
                .encode(&mut bytes);
                peer.send(&bytes);
            }
            1 => peer.send(&[9, 0, 0, 0, 0x77]),
            2 => peer.receipt(Correlation(12345)),
            _ => {
                // Nothing at first; then an answer, byte by byte.
                let submit = peer.submit().unwrap();
                std::thread::sleep(Duration::from_millis(100));
                let mut bytes = Vec::new();
                Rejected {
                    correlation: submit.correlation,
                    code: ErrorCode::Overloaded,
                    message: "wait",
                }
                .encode(&mut bytes);
                for byte in bytes {
                    peer.send(&[byte]);
                }
            }
        }
    });
    let recv = || Client::connect(&node.address, options()).unwrap().recv();
    let goodbye = recv().unwrap_err();
    assert!(!goodbye.is_retriable());
    assert!(goodbye.to_string().contains("at byte 31: no"), "{goodbye}");
    let protocol = recv().unwrap_err().to_string();
    assert!(protocol.contains("at byte 23"), "{protocol}"); // The welcome has 19 bytes.
    let unknown = recv().unwrap_err().to_string();
    assert!(unknown.contains("12345"), "{unknown}");

    let mut client = Client::connect(&node.address, options()).unwrap();
    client
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    client
        .submit(&transaction("a").borrowed(), Acks::All)
        .unwrap();
    let timed_out = client.recv().unwrap_err();
    assert!(
        matches!(timed_out, ClientError::TimedOut { .. }),
        "{timed_out}"
    );
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let rejection = client.recv().unwrap().outcome.unwrap_err();
    assert_eq!(rejection.code, ErrorCode::Overloaded);
    node.over();
}

#[test]
fn answers_and_the_goodbye_are_read_also_after_the_node_has_closed() {
    let node = play(8, 1, |_, peer| {
        let submit = peer.submit().unwrap();
        peer.receipt(submit.correlation);
        let mut bytes = Vec::new();
        Goodbye {
            reason: GoodbyeReason::ServerStopping,
            position: None,
            message: "bye",
        }
        .encode(&mut bytes);
        peer.send(&bytes);
    });
    let mut client = Client::connect(&node.address, options()).unwrap();
    let first = transaction("first");
    client.submit(&first.borrowed(), Acks::All).unwrap();
    client.flush().unwrap();
    node.over();
    client.submit(&first.borrowed(), Acks::All).unwrap();
    assert!(client.recv().unwrap().outcome.is_ok());
    let end = client.recv().unwrap_err();
    assert!(matches!(end, ClientError::Goodbye { .. }), "{end}");
    assert_eq!(client.unanswered(), 1);
}

#[test]
fn a_transaction_that_cannot_be_sent_changes_nothing() {
    let node = play(8, 1, |_, peer| {
        let submit = peer.submit().unwrap();
        assert_eq!(submit.id, "good", "nothing else reached the node");
        peer.receipt(submit.correlation);
    });
    let mut client = Client::connect(&node.address, options()).unwrap();
    let mut long = transaction("long");
    long.payload = vec![0; 5000];
    let error = client.submit(&long.borrowed(), Acks::All).unwrap_err();
    assert!(matches!(error, ClientError::TooLong(_)), "{error}");
    let mut nameless = long.borrowed();
    nameless.id = b"";
    let error = client.submit(&nameless, Acks::All).unwrap_err();
    assert!(matches!(error, ClientError::Transaction(_)), "{error}");
    assert_eq!(client.unanswered(), 0);
    client.send_transaction(&transaction("good")).unwrap();
    node.over();
}

#[test]
fn what_was_unanswered_is_submitted_again_in_order_with_the_same_ids() {
    let node = play(4, 2, |number, peer| {
        let ids: Vec<_> = (0..if number == 0 { 4 } else { 3 })
            .map(|_| peer.submit().unwrap())
            .collect();
        let names: Vec<_> = ids.iter().map(|submit| submit.id.as_str()).collect();
        if number == 0 {
            assert_eq!(names, ["a", "b", "c", "d"]);
            peer.receipt(ids[1].correlation);
            return; // Hangs up with three in flight.
        }
        assert_eq!(names, ["a", "c", "d"]);
        for submit in ids {
            peer.receipt(submit.correlation);
        }
    });
    let mut client = RetryingClient::new(&node.address, options(), retry()).unwrap();
    let mut tickets = Vec::new();
    for id in ["a", "b", "c", "d"] {
        tickets.push(
            client
                .submit(&transaction(id).borrowed(), Acks::All)
                .unwrap(),
        );
    }
    let order: Vec<_> = (0..4).map(|_| client.recv().unwrap()).collect();
    let ids: Vec<_> = order.iter().map(|reply| reply.id.to_string()).collect();
    assert_eq!(ids, ["b", "a", "c", "d"]);
    assert_eq!(order[1].correlation, tickets[0].correlation);
    assert_eq!(client.unanswered().count(), 0);
    node.over();
}

#[test]
fn only_what_is_worth_another_try_is_tried_again() {
    let node = play(8, 2, |number, peer| {
        let first = peer.submit().unwrap();
        if number == 0 {
            peer.reject(first.correlation, ErrorCode::Overloaded);
            let again = peer.submit().unwrap();
            assert_eq!(again.id, first.id);
            peer.reject(again.correlation, ErrorCode::StorageFailed);
            assert_eq!(peer.submit(), None, "the client comes back anew");
            return;
        }
        peer.receipt(first.correlation);
        let second = peer.submit().unwrap();
        peer.reject(second.correlation, ErrorCode::PayloadTooLarge);
    });
    let mut client = RetryingClient::new(&node.address, options(), retry()).unwrap();
    client.send_transaction(&transaction("a")).unwrap();
    let error = client.send_transaction(&transaction("b")).unwrap_err();
    assert!(
        matches!(&error, ClientError::Rejected(r) if r.code == ErrorCode::PayloadTooLarge),
        "{error}"
    );
    node.over();
}

#[test]
fn a_node_that_is_not_there_is_given_up_after_the_stated_attempts() {
    let mut client = RetryingClient::new("unix:/nowhere/node.sock", options(), retry()).unwrap();
    let error = client.send_transaction(&transaction("a")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("10 attempts") && text.contains("/nowhere/node.sock"));
    assert_eq!(client.unanswered().count(), 1, "its fate is unknown");
}

#[test]
fn an_address_that_is_none_says_what_is_allowed() {
    for good in ["127.0.0.1:7171", "[::1]:1", "unix:/run/node.sock"] {
        let address: Address = good.parse().unwrap();
        assert_eq!(address.to_string(), good);
    }
    for path in ["/run/node.sock", "./node.sock"] {
        assert_eq!(path.parse(), Ok(Address::Unix(path.into())));
    }
    for bad in ["", "localhost", "host:99999", "unix:", "host:"] {
        let error = bad.parse::<Address>().unwrap_err();
        assert!(error.contains("allowed: "), "{error}");
    }
}
