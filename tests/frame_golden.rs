//! The bytes of every frame are those that `docs/gateway.md` shows: the document is read here, so
//! neither can change without the other.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

use corelane::frame::{
    ClientFrame, Correlation, ErrorCode, Frame, Goodbye, GoodbyeReason, Hello, Receipt, Rejected,
    ServerFrame, Split, Submit, VERSION, Welcome, begin_submit, begin_submit_traced, encode_ping,
    encode_pong, finish_submit, split,
};
use corelane::ids::{Acks, Offset, PartitionIndex, ShardId, UnixMillis};
use corelane::limits::GATEWAY_FRAME_BYTES_MAX;
use corelane::telemetry::TraceContext;
use corelane::transaction::Submission;

/// The bytes of the fenced block ```` ```hex NAME ```` of the document. What stands behind a `|`
/// is a comment.
fn documented(name: &str) -> Vec<u8> {
    let document = include_str!("../docs/gateway.md");
    let fence = format!("```hex {name}\n");
    let start = document.find(&fence).expect("the document has the block") + fence.len();
    let block = document[start..].split("```").next().unwrap();
    block
        .lines()
        .flat_map(|line| line.split('|').next().unwrap().split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

fn only_frame(bytes: &[u8]) -> Frame<'_> {
    match split(bytes, GATEWAY_FRAME_BYTES_MAX) {
        Ok(Split::Frame(frame)) => {
            assert_eq!(frame.bytes, bytes, "one frame and nothing else");
            frame
        }
        other => panic!("no frame: {other:?}"),
    }
}

#[test]
fn frames_of_a_client_have_the_documented_bytes() {
    let hello = Hello {
        version: VERSION,
        client: "till-7",
    };
    let mut bytes = Vec::new();
    hello.encode(&mut bytes);
    assert_eq!(bytes, documented("hello"));
    assert_eq!(
        ClientFrame::decode(only_frame(&bytes)),
        Ok(ClientFrame::Hello(hello))
    );

    let mut bytes = Vec::new();
    let start = begin_submit(&mut bytes, Correlation(0x0102_0304_0506_0708), Acks::All);
    bytes.extend_from_slice(&[0xAA, 0xBB, 0xCC]);
    finish_submit(&mut bytes, start, GATEWAY_FRAME_BYTES_MAX).unwrap();
    assert_eq!(bytes, documented("submit"));
    assert_eq!(
        ClientFrame::decode(only_frame(&bytes)),
        Ok(ClientFrame::Submit(Submit {
            correlation: Correlation(0x0102_0304_0506_0708),
            acks: Acks::All,
            trace: None,
            transaction: 14..17,
        }))
    );

    let trace: TraceContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        .parse()
        .unwrap();
    let mut bytes = Vec::new();
    let start = begin_submit_traced(&mut bytes, Correlation(8), Acks::Leader, &trace);
    bytes.extend_from_slice(&[0xAA, 0xBB, 0xCC]);
    finish_submit(&mut bytes, start, GATEWAY_FRAME_BYTES_MAX).unwrap();
    assert_eq!(bytes, documented("submit-traced"));
    assert_eq!(
        ClientFrame::decode(only_frame(&bytes)),
        Ok(ClientFrame::Submit(Submit {
            correlation: Correlation(8),
            acks: Acks::Leader,
            trace: Some(trace),
            transaction: 39..42,
        }))
    );

    let mut bytes = Vec::new();
    encode_ping(&mut bytes, 7);
    assert_eq!(bytes, documented("ping"));
    assert_eq!(
        ClientFrame::decode(only_frame(&bytes)),
        Ok(ClientFrame::Ping { token: 7 })
    );
}

#[test]
fn frames_of_a_node_have_the_documented_bytes() {
    let decode = |bytes: &[u8], expected: ServerFrame<'_>| {
        assert_eq!(ServerFrame::decode(only_frame(bytes)), Ok(expected));
    };
    let welcome = Welcome {
        version: VERSION,
        in_flight_max: 1024,
        frame_bytes_max: 1 << 20,
        node_id: 3,
    };
    assert_eq!(welcome.encode().as_slice(), documented("welcome"));
    decode(&welcome.encode(), ServerFrame::Welcome(welcome));

    let receipt = Receipt {
        correlation: Correlation(0x0102_0304_0506_0708),
        shard: ShardId(4),
        partition: PartitionIndex(2),
        offset: Offset(1000),
        timestamp: UnixMillis(1_700_000_000_123),
        acks: Acks::All,
        submission: Submission::Duplicate,
    };
    assert_eq!(receipt.encode().as_slice(), documented("receipt"));
    decode(&receipt.encode(), ServerFrame::Receipt(receipt));

    let rejected = Rejected {
        correlation: Correlation(9),
        code: ErrorCode::Overloaded,
        message: "slow down",
    };
    let mut bytes = Vec::new();
    rejected.encode(&mut bytes);
    assert_eq!(bytes, documented("rejected"));
    decode(&bytes, ServerFrame::Rejected(rejected));

    assert_eq!(encode_pong(7).as_slice(), documented("pong"));
    decode(&encode_pong(7), ServerFrame::Pong { token: 7 });

    let goodbye = Goodbye {
        reason: GoodbyeReason::ProtocolError,
        position: Some(21),
        message: "bad kind",
    };
    let mut bytes = Vec::new();
    goodbye.encode(&mut bytes);
    assert_eq!(bytes, documented("goodbye"));
    decode(&bytes, ServerFrame::Goodbye(goodbye));
}

#[test]
fn every_code_and_reason_is_documented_under_its_number() {
    let document = include_str!("../docs/gateway.md");
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_wire(code as u16), Some(code));
        let retriable = if code.is_retriable() { "yes" } else { "no" };
        let row = format!("| {} | `{code}` | {retriable} |", code as u16);
        assert!(document.contains(&row), "row missing: {row}");
    }
    for reason in GoodbyeReason::ALL {
        assert_eq!(GoodbyeReason::from_wire(reason as u16), Some(reason));
        let row = format!("| {} | `{reason}` |", reason as u16);
        assert!(document.contains(&row), "row missing: {row}");
    }
    assert_eq!(ErrorCode::from_wire(0), None);
    assert_eq!(ErrorCode::from_wire(ErrorCode::ALL.len() as u16 + 1), None);
    assert_eq!(GoodbyeReason::from_wire(0), None);
}
