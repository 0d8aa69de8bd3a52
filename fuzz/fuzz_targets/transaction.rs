//! Arbitrary bytes through the transaction codec.
//!
//! Invariants: nothing panics; what decodes borrows from the input and encodes to the same bytes.

#![no_main]

use corelane::transaction::codec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(transaction) = codec::decode(bytes) else {
        return;
    };
    let input = bytes.as_ptr_range();
    for part in [transaction.id, transaction.payload] {
        let part = part.as_ptr_range();
        assert!(input.start <= part.start && part.end <= input.end);
    }
    let mut again = Vec::new();
    codec::encode(&transaction, &mut again).expect("decoding checked the bounds");
    assert_eq!(again, bytes);
});
