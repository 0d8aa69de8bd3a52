//! What holds for all frames: round trips, every truncation, bytes that are no frame.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

use corelane::frame::{
    CLIENT_NAME_BYTES_MAX, ClientFrame, Correlation, ErrorCode, Fault, Frame, Goodbye,
    GoodbyeReason, HEADER_BYTES, Hello, Kind, MESSAGE_BYTES_MAX, ProtocolError, Receipt, Rejected,
    ServerFrame, Split, VERSION, Welcome, begin_submit, begin_submit_traced, encode_ping,
    encode_pong, finish_submit, split,
};
use corelane::ids::{Acks, Offset, PartitionIndex, ShardId, UnixMillis};
use corelane::limits::GATEWAY_FRAME_BYTES_MAX;
use corelane::telemetry::TraceContext;
use corelane::transaction::Submission;
use proptest::prelude::*;

const MAX: usize = GATEWAY_FRAME_BYTES_MAX;

fn frame(bytes: &[u8]) -> Frame<'_> {
    match split(bytes, MAX) {
        Ok(Split::Frame(frame)) => frame,
        other => panic!("no frame: {other:?}"),
    }
}

fn acks() -> impl Strategy<Value = Acks> {
    (0u8..3).prop_map(|byte| Acks::from_wire(byte).unwrap())
}

fn submit(correlation: u64, acks: Acks, transaction: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let start = begin_submit(&mut out, Correlation(correlation), acks);
    out.extend_from_slice(transaction);
    finish_submit(&mut out, start, MAX).unwrap();
    out
}

fn traced_submit(correlation: u64, acks: Acks, transaction: &[u8]) -> Vec<u8> {
    let trace = TraceContext::root(u128::from(correlation) + 1).caused_by(7);
    let mut out = Vec::new();
    let start = begin_submit_traced(&mut out, Correlation(correlation), acks, &trace);
    out.extend_from_slice(transaction);
    finish_submit(&mut out, start, MAX).unwrap();
    out
}

/// One frame of each kind, with the given numbers and text in its fields.
fn one_of_each(number: u64, text: &str) -> Vec<Vec<u8>> {
    let mut hello = Vec::new();
    Hello {
        version: VERSION,
        client: text,
    }
    .encode(&mut hello);
    let mut ping = Vec::new();
    encode_ping(&mut ping, number);
    let welcome = Welcome {
        version: VERSION,
        in_flight_max: number as u32,
        frame_bytes_max: (number >> 16) as u32,
        node_id: (number >> 32) as u32,
    };
    let receipt = Receipt {
        correlation: Correlation(number),
        shard: ShardId(number as u16),
        partition: PartitionIndex(number as u32),
        offset: Offset(number as i64),
        timestamp: UnixMillis(!number as i64),
        acks: Acks::Leader,
        submission: Submission::First,
    };
    let mut rejected = Vec::new();
    Rejected {
        correlation: Correlation(number),
        code: ErrorCode::StorageFailed,
        message: text,
    }
    .encode(&mut rejected);
    let mut goodbye = Vec::new();
    Goodbye {
        reason: GoodbyeReason::ServerStopping,
        position: None,
        message: text,
    }
    .encode(&mut goodbye);
    vec![
        hello,
        submit(number, Acks::All, text.as_bytes()),
        traced_submit(number, Acks::All, text.as_bytes()),
        ping,
        welcome.encode().to_vec(),
        receipt.encode().to_vec(),
        rejected,
        encode_pong(number).to_vec(),
        goodbye,
    ]
}

proptest! {
    #[test]
    fn a_submit_hands_the_transaction_out_as_it_lies_in_the_frame(
        correlation: u64, acks in acks(), transaction: Vec<u8>, behind: Vec<u8>,
    ) {
        let mut bytes = submit(correlation, acks, &transaction);
        let frame_bytes = bytes.len();
        bytes.extend_from_slice(&behind);
        let frame = frame(&bytes);
        prop_assert_eq!(frame.bytes.len(), frame_bytes, "what follows is not touched");
        let ClientFrame::Submit(submit) = ClientFrame::decode(frame).unwrap() else {
            panic!("kind {:?}", frame.kind);
        };
        prop_assert_eq!(submit.correlation, Correlation(correlation));
        prop_assert_eq!(submit.acks, acks);
        prop_assert_eq!(&bytes[submit.transaction], &transaction[..]);
    }

    #[test]
    fn fixed_frames_come_back_as_they_went(
        a: u64, b: i64, c: i64, d: u32, e: u16, acks in acks(), duplicate: bool,
    ) {
        let receipt = Receipt {
            correlation: Correlation(a),
            shard: ShardId(e),
            partition: PartitionIndex(d),
            offset: Offset(b),
            timestamp: UnixMillis(c),
            acks,
            submission: if duplicate { Submission::Duplicate } else { Submission::First },
        };
        let bytes = receipt.encode();
        let decoded = ServerFrame::decode(frame(&bytes));
        prop_assert_eq!(decoded, Ok(ServerFrame::Receipt(receipt)));
        let welcome = Welcome {
            version: e,
            in_flight_max: d,
            frame_bytes_max: a as u32,
            node_id: b as u32,
        };
        let bytes = welcome.encode();
        let decoded = ServerFrame::decode(frame(&bytes));
        prop_assert_eq!(decoded, Ok(ServerFrame::Welcome(welcome)));
    }

    #[test]
    fn texts_come_back_and_long_ones_are_cut_at_a_character(
        correlation: u64, text in "\\PC{0,300}", position: Option<u32>,
    ) {
        let mut bytes = Vec::new();
        Rejected { correlation: Correlation(correlation), code: ErrorCode::Overloaded, message: &text }
            .encode(&mut bytes);
        let Ok(ServerFrame::Rejected(rejected)) = ServerFrame::decode(frame(&bytes)) else {
            panic!("not a rejection");
        };
        prop_assert!(text.starts_with(rejected.message));
        prop_assert!(rejected.message == text || rejected.message.len() > MESSAGE_BYTES_MAX - 4);

        let mut bytes = Vec::new();
        let position = position.map(u64::from);
        Goodbye { reason: GoodbyeReason::ProtocolError, position, message: &text }
            .encode(&mut bytes);
        let Ok(ServerFrame::Goodbye(goodbye)) = ServerFrame::decode(frame(&bytes)) else {
            panic!("not a goodbye");
        };
        prop_assert_eq!(goodbye.position, position);
        prop_assert!(text.starts_with(goodbye.message));

        let mut bytes = Vec::new();
        Hello { version: VERSION, client: &text }.encode(&mut bytes);
        let Ok(ClientFrame::Hello(hello)) = ClientFrame::decode(frame(&bytes)) else {
            panic!("not a hello");
        };
        prop_assert!(text.starts_with(hello.client));
        prop_assert!(hello.client.len() <= CLIENT_NAME_BYTES_MAX);
    }

    #[test]
    fn every_truncation_asks_for_more_and_never_for_too_much(number: u64, text in "[a-z]{0,20}") {
        for whole in one_of_each(number, &text) {
            for cut in 0..whole.len() {
                match split(&whole[..cut], MAX) {
                    Ok(Split::Incomplete { need }) => {
                        let known = if cut < HEADER_BYTES { HEADER_BYTES } else { whole.len() };
                        prop_assert_eq!(need, known);
                    }
                    other => prop_assert!(false, "{} of {} bytes: {:?}", cut, whole.len(), other),
                }
            }
            prop_assert_eq!(frame(&whole).bytes, &whole[..]);
        }
    }

    #[test]
    fn random_bytes_never_panic_and_errors_point_into_them(bytes: Vec<u8>) {
        check_any(&bytes)?;
    }

    #[test]
    fn damaged_frames_never_panic(number: u64, which in 0usize..8, at: prop::sample::Index, to: u8) {
        let mut bytes = one_of_each(number, "some text é").swap_remove(which);
        let at = at.index(bytes.len());
        bytes[at] = to;
        check_any(&bytes)?;
    }

    #[test]
    fn a_frame_not_made_by_split_is_an_error_not_a_panic(bytes: Vec<u8>, kind in 0u8..=255) {
        if let Some(kind) = Kind::from_wire(kind) {
            let frame = Frame { kind, bytes: &bytes };
            let _ = ClientFrame::decode(frame);
            let _ = ServerFrame::decode(frame);
        }
    }
}

fn check_any(bytes: &[u8]) -> Result<(), TestCaseError> {
    match split(bytes, MAX) {
        Ok(Split::Incomplete { need }) => {
            prop_assert!(need > bytes.len() && need <= MAX);
        }
        Ok(Split::Frame(frame)) => {
            prop_assert!(bytes.starts_with(frame.bytes));
            let errors = [
                ClientFrame::decode(frame).err(),
                ServerFrame::decode(frame).err(),
            ];
            for error in errors.into_iter().flatten() {
                prop_assert!(error.position < frame.bytes.len(), "{}", error);
            }
        }
        Err(error) => prop_assert!(error.position < HEADER_BYTES, "{}", error),
    }
    Ok(())
}

#[test]
fn a_length_is_refused_before_any_of_its_bytes_arrive() {
    for length in [MAX as u32 - 3, u32::MAX] {
        let error = split(&length.to_le_bytes(), MAX).unwrap_err();
        assert_eq!(error.position, 0);
        assert!(matches!(error.fault, Fault::Oversize { .. }), "{error}");
    }
    assert_eq!(
        split(&(MAX as u32 - 4).to_le_bytes(), MAX),
        Ok(Split::Incomplete { need: 5 }),
        "the longest frame is allowed"
    );
    let error = split(&997u32.to_le_bytes(), 1000).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("1001") && text.contains("1000"), "{text}");
    let length = u32::MAX.to_le_bytes();
    assert!(
        split(&length, usize::MAX).is_err(),
        "a bound above the limit is lowered to it"
    );
}

#[test]
fn a_body_that_cannot_be_of_its_kind_is_refused_at_the_header() {
    for kind in [
        Kind::Hello,
        Kind::Submit,
        Kind::SubmitTraced,
        Kind::Ping,
        Kind::Welcome,
        Kind::Receipt,
        Kind::Rejected,
        Kind::Pong,
        Kind::Goodbye,
    ] {
        assert_eq!(Kind::from_wire(kind as u8), Some(kind));
        let allowed = kind.body_bytes();
        let header = |body_bytes: usize| {
            let length = (body_bytes as u32 + 1).to_le_bytes();
            [length[0], length[1], length[2], length[3], kind as u8]
        };
        for body_bytes in [*allowed.start(), *allowed.end()] {
            let need = HEADER_BYTES + body_bytes;
            assert_eq!(
                split(&header(body_bytes), MAX),
                Ok(Split::Incomplete { need })
            );
        }
        for body_bytes in [allowed.start() - 1, allowed.end() + 1] {
            assert!(
                split(&header(body_bytes), MAX).is_err(),
                "{kind:?} {body_bytes}"
            );
        }
    }
    let unknown = split(&[9, 0, 0, 0, 0x44], MAX).unwrap_err();
    assert_eq!(
        (unknown.position, unknown.fault),
        (4, Fault::UnknownKind(0x44))
    );
    assert_eq!(split(&[0, 0, 0, 0], MAX).unwrap_err().fault, Fault::Empty);
}

#[test]
fn a_hello_that_is_none_names_the_byte() {
    let mut bytes = Vec::new();
    Hello {
        version: VERSION,
        client: "c",
    }
    .encode(&mut bytes);
    let with = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        ClientFrame::decode(frame(&bytes)).unwrap_err()
    };
    assert_eq!(with(5, b'X').fault, Fault::Magic);
    let version = with(9, 2);
    assert_eq!((version.position, version.fault), (9, Fault::Version(2)));
    assert_eq!(version.reason(), GoodbyeReason::UnsupportedVersion);
    let name = with(11, 0xFF);
    assert_eq!((name.position, name.fault), (11, Fault::Utf8("client")));
    assert_eq!(name.reason(), GoodbyeReason::ProtocolError);
}

/// A context that the standard calls none takes nothing from the transaction.
#[test]
fn a_submit_with_a_context_of_zeros_is_one_without() {
    let mut bytes = traced_submit(5, Acks::All, b"transaction");
    bytes[14..30].fill(0);
    let ClientFrame::Submit(submit) = ClientFrame::decode(frame(&bytes)).unwrap() else {
        panic!("no submit");
    };
    assert_eq!(submit.trace, None);
    assert_eq!(&bytes[submit.transaction], b"transaction");
}

#[test]
fn frames_in_the_wrong_direction_are_refused() {
    for bytes in one_of_each(1, "x") {
        let frame = frame(&bytes);
        let from_client = (frame.kind as u8) < 0x80;
        let refused = if from_client {
            ServerFrame::decode(frame).unwrap_err()
        } else {
            ClientFrame::decode(frame).unwrap_err()
        };
        assert_eq!(refused, ProtocolError::unexpected(frame.kind));
    }
}

#[test]
fn a_submit_beyond_the_bound_is_taken_back_whole() {
    let mut out = b"before".to_vec();
    let start = begin_submit(&mut out, Correlation(1), Acks::All);
    out.extend_from_slice(&[0; 100]);
    assert_eq!(
        finish_submit(&mut out, start, 113),
        Err(Fault::Oversize {
            frame_bytes: 114,
            frame_bytes_max: 113
        })
    );
    assert_eq!(out, b"before");
}
