//! A record batch, compressed or not, whose CRC is not looked at.
//!
//! Invariants: nothing panics; what is decompressed stays within its bound; records have ascending
//! offsets inside the batch, and there are no more of them than it says.

#![no_main]

use corelane::wire::BatchView;
use corelane::wire::decompress::plain;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    // With the CRC almost nothing would get any further.
    let _ = BatchView::parse(bytes);
    let Ok(batch) = BatchView::parse_trusted(bytes) else {
        return;
    };
    let mut scratch = Vec::new();
    let Ok(view) = plain(batch, LIMIT, &mut scratch) else {
        return;
    };
    assert!(view.bytes().len() <= LIMIT.max(bytes.len()) + 61);
    assert_eq!(view.codec(), 0);
    let mut next = view.base_offset();
    let mut count = 0u32;
    for record in view.records().expect("not compressed any more").flatten() {
        assert!(next <= record.offset && record.offset < view.next_offset());
        next = record.offset.plus(1);
        let headers = record.headers.len() as usize;
        assert_eq!(record.headers.count(), headers);
        count += 1;
    }
    assert!(count <= view.record_count());
});
