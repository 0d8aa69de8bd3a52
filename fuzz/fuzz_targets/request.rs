//! Arbitrary bytes as a frame of the Kafka listener, header and body, as a connection reads them.
//!
//! Invariants: nothing panics; the body begins inside the frame; what is advertised and decoded by a
//! library goes through its shape first.

#![no_main]

use bytes::Bytes;
use corelane::broker::{cold, versions};
use corelane::wire::fetch::FetchView;
use corelane::wire::produce::ProduceView;
use corelane::wire::request::RequestHeader;
use corelane::wire::{api, shape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    let Ok(header) = RequestHeader::parse(frame) else {
        return;
    };
    let body = &frame[header.body_at..];
    let advertised = versions::find(header.api_key).is_some_and(|row| row.has(header.version));
    match header.api_key {
        api::PRODUCE => drop(ProduceView::parse(frame, header.body_at, header.version)),
        api::FETCH => drop(FetchView::parse(frame, header.body_at, header.version)),
        key => {
            let decoded = cold::decode(key, header.version, Bytes::copy_from_slice(body));
            if decoded.is_ok() {
                assert!(advertised);
                assert!(shape::check(key, header.version, body).is_ok());
            }
        }
    }
});
