//! A stream of arbitrary bytes through the gateway's codec, in both directions.
//!
//! Invariants: nothing panics; a frame lies inside the input; an error points at a byte of the
//! frame; what was asked for is more than was there and within the bound; what decodes encodes to
//! the same bytes, the context of a trace excepted.

#![no_main]

use corelane::frame::{
    ClientFrame, HEADER_BYTES, Kind, SUBMIT_TRACED_TRANSACTION_START, SUBMIT_TRANSACTION_START,
    ServerFrame, Split, begin_submit, begin_submit_traced, encode_ping, encode_pong, finish_submit,
    split,
};
use corelane::limits::GATEWAY_FRAME_BYTES_MAX;
use corelane::telemetry::TraceContext;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    loop {
        match split(rest, GATEWAY_FRAME_BYTES_MAX) {
            Ok(Split::Frame(frame)) => {
                assert!(rest.starts_with(frame.bytes));
                match ClientFrame::decode(frame) {
                    Ok(decoded) => {
                        let mut bytes = frame.bytes.to_vec();
                        if frame.kind == Kind::SubmitTraced {
                            // Ids of zeros are no context, and not every flag is passed on.
                            let encoded = encode_client(&decoded, frame.bytes);
                            let context = SUBMIT_TRANSACTION_START..SUBMIT_TRACED_TRANSACTION_START;
                            bytes[context.clone()].copy_from_slice(&encoded[context]);
                        }
                        assert_eq!(encode_client(&decoded, frame.bytes), bytes);
                    }
                    Err(error) => assert!(error.position < frame.bytes.len()),
                }
                match ServerFrame::decode(frame) {
                    Ok(decoded) => assert_eq!(encode_server(&decoded), frame.bytes),
                    Err(error) => assert!(error.position < frame.bytes.len()),
                }
                rest = &rest[frame.bytes.len()..];
            }
            Ok(Split::Incomplete { need }) => {
                assert!(need > rest.len() && need <= GATEWAY_FRAME_BYTES_MAX);
                return;
            }
            Err(error) => {
                assert!(error.position < HEADER_BYTES);
                return;
            }
        }
    }
});

fn encode_client(decoded: &ClientFrame<'_>, frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match decoded {
        ClientFrame::Hello(hello) => hello.encode(&mut out),
        ClientFrame::Submit(submit) => {
            let is_traced = submit.transaction.start == SUBMIT_TRACED_TRANSACTION_START;
            let start = match (is_traced, submit.trace) {
                (false, _) => begin_submit(&mut out, submit.correlation, submit.acks),
                (true, trace) => {
                    let trace = trace.unwrap_or(TraceContext::root(1));
                    begin_submit_traced(&mut out, submit.correlation, submit.acks, &trace)
                }
            };
            out.extend_from_slice(&frame[submit.transaction.clone()]);
            finish_submit(&mut out, start, GATEWAY_FRAME_BYTES_MAX).expect("as long as it came");
        }
        ClientFrame::Ping { token } => encode_ping(&mut out, *token),
    }
    out
}

fn encode_server(decoded: &ServerFrame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match decoded {
        ServerFrame::Welcome(welcome) => out.extend_from_slice(&welcome.encode()),
        ServerFrame::Receipt(receipt) => out.extend_from_slice(&receipt.encode()),
        ServerFrame::Rejected(rejected) => rejected.encode(&mut out),
        ServerFrame::Pong { token } => out.extend_from_slice(&encode_pong(*token)),
        ServerFrame::Goodbye(goodbye) => goodbye.encode(&mut out),
    }
    out
}
