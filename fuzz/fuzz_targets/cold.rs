//! Every API that a library decodes: a key in the first byte, a version in the second, a body in the
//! rest.
//!
//! Invariants: nothing panics; nothing is reserved beyond what the shape allows (run it with
//! `-malloc_limit_mb=64`); what is decoded encodes to a body that is decoded again.

#![no_main]

use bytes::{Bytes, BytesMut};
use corelane::broker::cold;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [key, version, body @ ..] = bytes else {
        return;
    };
    let (key, version) = (i16::from(*key), i16::from(*version));
    let Ok(request) = cold::decode(key, version, Bytes::copy_from_slice(body)) else {
        return;
    };
    let mut again = BytesMut::new();
    request
        .encode(&mut again, version)
        .expect("the library has decoded it");
    cold::decode(key, version, again.freeze()).expect("the library has encoded it");
});
