//! Batches of every codec, as Kafka's clients frame them, give their records back; bombs and broken
//! bytes give an error and never more memory than allowed.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

use std::io::Write;

use corelane::ids::{Offset, UnixMillis};
use corelane::wire::decompress::{DecompressError, decompress, plain};
use corelane::wire::{BatchSpec, BatchView, RecordSource, batch_len, write_batch};
use proptest::prelude::*;

const BATCH_HEADER_BYTES: usize = 61;

type Encoder = fn(&[u8]) -> Vec<u8>;

/// The codec's number, how it is framed, and a writer of it.
const ENCODERS: &[(u8, &str, Encoder)] = &[
    (1, "gzip", gzip),
    (1, "gzip of two members", gzip_members),
    (2, "snappy, raw", snappy_raw),
    (2, "snappy, xerial", snappy_xerial),
    (3, "lz4, independent blocks", lz4_independent),
    (3, "lz4, linked blocks and checksums", lz4_linked),
    (4, "zstd", zstd_whole),
    (4, "zstd without its size", zstd_stream),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip_members(bytes: &[u8]) -> Vec<u8> {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    [gzip(first), gzip(second)].concat()
}

/// As librdkafka writes it.
fn snappy_raw(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// As Java's SnappyOutputStream writes it.
fn snappy_xerial(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in bytes.chunks(1000) {
        let block = snappy_raw(block);
        out.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&block);
    }
    out
}

fn lz4(info: lz4_flex::frame::FrameInfo, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As Java and librdkafka write it.
fn lz4_independent(bytes: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Independent);
    lz4(info, bytes)
}

fn lz4_linked(bytes: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_size(lz4_flex::frame::BlockSize::Max64KB)
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(bytes.len() as u64));
    lz4(info, bytes)
}

fn zstd_whole(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

/// As Java's stream writes it.
fn zstd_stream(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn values(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("value {}", n * n)).collect()
}

/// A batch of these values, its records compressed as `encoder` does.
fn batch(values: &[String], codec: u8, encoder: Encoder) -> Vec<u8> {
    let records = || {
        values
            .iter()
            .map(|value| RecordSource::new(Some(b"key"), Some(value.as_bytes())))
    };
    let mut bytes = vec![0; batch_len(records())];
    let spec = BatchSpec {
        base_offset: Offset(100),
        base_timestamp: UnixMillis(5),
        max_timestamp: UnixMillis(5),
    };
    write_batch(&mut bytes, &spec, records());
    let compressed = encoder(&bytes[BATCH_HEADER_BYTES..]);
    bytes.truncate(BATCH_HEADER_BYTES);
    bytes.extend_from_slice(&compressed);
    let length = u32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[22] = codec;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn the_records_of_every_codec_come_back() {
    // The last one is longer than an lz4 block and than the first buffer for zstd.
    for count in [1, 2, 50, 20_000] {
        let values = values(count);
        for (codec, name, encoder) in ENCODERS {
            let bytes = batch(&values, *codec, *encoder);
            let compressed = BatchView::parse(&bytes).unwrap();
            assert!(compressed.records().is_err(), "{name}");
            let mut scratch = b"what was there before".to_vec();
            let view = plain(compressed, 1 << 20, &mut scratch).unwrap();
            assert_eq!(view.codec(), 0);
            assert_eq!(view.base_offset(), Offset(100));
            assert_eq!(view.record_count() as usize, count);
            let mut read = 0;
            for (record, value) in view.records().unwrap().zip(&values) {
                let record = record.unwrap();
                assert_eq!(record.value, Some(value.as_bytes()), "{name}");
                assert_eq!(record.key, Some(&b"key"[..]));
                assert_eq!(record.offset, Offset(100 + read));
                read += 1;
            }
            assert_eq!(read as usize, count, "{name}");
        }
    }
}

#[test]
fn a_batch_that_is_not_compressed_is_left_where_it_is() {
    let bytes = batch(&values(3), 0, <[u8]>::to_vec);
    let mut scratch = Vec::new();
    let view = plain(BatchView::parse(&bytes).unwrap(), 0, &mut scratch).unwrap();
    assert_eq!(view.bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(scratch.capacity(), 0);
}

#[test]
fn the_limit_is_exact() {
    let content = b"0123456789".repeat(20_000);
    for (codec, name, encoder) in ENCODERS {
        let compressed = encoder(&content);
        let mut out = b"kept".to_vec();
        decompress(*codec, &compressed, content.len(), &mut out).unwrap();
        assert!(out[..4] == *b"kept" && out[4..] == content, "{name}");
        for limit in [content.len() - 1, 1000, 0] {
            out.clear();
            assert_eq!(
                decompress(*codec, &compressed, limit, &mut out),
                Err(DecompressError::TooLarge { limit }),
                "{name}"
            );
        }
    }
}

/// 64 MiB of zeros: what comes out is bounded, not only what is reported.
#[test]
fn bombs_do_not_go_off() {
    const LIMIT: usize = 100_000;
    let content = vec![0; 64 << 20];
    for (codec, name, encoder) in ENCODERS {
        let compressed = encoder(&content);
        let mut out = Vec::new();
        assert_eq!(
            decompress(*codec, &compressed, LIMIT, &mut out),
            Err(DecompressError::TooLarge { limit: LIMIT }),
            "{name}"
        );
        assert!(out.capacity() <= 4 * LIMIT.max(compressed.len()), "{name}");
    }
}

#[test]
fn claims_of_length_are_not_believed() {
    // A raw snappy block, and one in xerial's framing, that claim 2 GiB.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x07, 0, b'x'];
    let xerial = [
        &b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x07"[..],
        &claim[..],
    ]
    .concat();
    let long_block = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\x7f\xff\xff\xffx";
    let negative = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\xff\xff\xff\xffx";
    for bytes in [&claim[..], &xerial, long_block, negative] {
        let mut out = Vec::new();
        assert_eq!(
            decompress(2, bytes, usize::MAX >> 1, &mut out),
            Err(DecompressError::Corrupt(2))
        );
        assert_eq!(out.capacity(), 0);
    }
    // A zstd frame with a content size of 2^60 and nothing in it.
    let frame = [
        0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0,
    ];
    let mut out = Vec::new();
    assert_eq!(
        decompress(4, &frame, 1 << 30, &mut out),
        Err(DecompressError::Corrupt(4))
    );
    assert!(out.capacity() <= 1 << 16);
}

#[test]
fn what_a_codec_has_not_written_is_refused() {
    for codec in 1..=4 {
        for bytes in [&b"none of them"[..], &[0xff; 64]] {
            let mut out = Vec::new();
            assert_eq!(
                decompress(codec, bytes, 1000, &mut out),
                Err(DecompressError::Corrupt(codec)),
                "codec {codec}"
            );
        }
    }
    for codec in [0, 5, 7, 255] {
        assert_eq!(
            decompress(codec, b"", 1000, &mut Vec::new()),
            Err(DecompressError::UnknownCodec(codec))
        );
    }
}

proptest! {
    /// Cut short, the records are refused, by the codec or as records. (The last 8 bytes can be marks
    /// and checksums that follow the last record.)
    #[test]
    fn what_is_cut_short_does_not_give_all_records(at in any::<prop::sample::Index>()) {
        let values = values(300);
        for (codec, name, encoder) in ENCODERS {
            let mut bytes = batch(&values, *codec, *encoder);
            let end = BATCH_HEADER_BYTES + at.index(bytes.len() - BATCH_HEADER_BYTES - 8);
            bytes.truncate(end);
            let length = u32::try_from(end - 12).unwrap();
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            let cut = BatchView::parse_trusted(&bytes).unwrap();
            let mut scratch = Vec::new();
            let complete = plain(cut, 1 << 20, &mut scratch)
                .is_ok_and(|view| view.records().unwrap().all(|record| record.is_ok()));
            prop_assert!(!complete, "{} to {}", name, end);
        }
    }

    #[test]
    fn changed_bytes_are_read_or_refused(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let content = b"0123456789".repeat(50);
        for (codec, _, encoder) in ENCODERS {
            let mut compressed = encoder(&content);
            let at = at.index(compressed.len());
            compressed[at] = value;
            let mut out = Vec::new();
            if decompress(*codec, &compressed, 4096, &mut out).is_ok() {
                prop_assert!(out.len() <= 4096);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        codec in 0u8..6,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut out = Vec::new();
        if decompress(codec, &bytes, 4096, &mut out).is_ok() {
            prop_assert!(out.len() <= 4096);
        }
    }
}
