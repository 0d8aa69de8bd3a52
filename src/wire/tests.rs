//! Record batches against an independent implementation, and against any bytes.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;

use super::*;
use crate::ids::{Offset, UnixMillis};

type OwnedHeaders = Vec<(String, Vec<u8>)>;

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
    timestamp: i64,
}

const BASE: BatchSpec = BatchSpec {
    base_offset: Offset(1_000_000_007),
    base_timestamp: UnixMillis(1_700_000_000_000),
    max_timestamp: UnixMillis(1_700_000_009_999),
};

fn encode(spec: &BatchSpec, records: &[Owned]) -> Vec<u8> {
    let sources = records.iter().map(|r| RecordSource {
        key: r.key.as_deref(),
        value: r.value.as_deref(),
        headers: r.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())),
        timestamp_delta: r.timestamp - spec.base_timestamp.0,
    });
    let mut out = vec![0xaa; batch_len(sources.clone())];
    assert_eq!(write_batch(&mut out, spec, sources), out.len());
    out
}

fn decode(bytes: &[u8]) -> Result<Vec<(i64, Owned)>, BatchError> {
    BatchView::parse(bytes)?
        .records()?
        .map(|record| {
            let record = record?;
            let headers = record
                .headers
                .map(|h| (h.name.to_owned(), h.value.unwrap_or_default().to_vec()));
            let owned = Owned {
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
                timestamp: record.timestamp.0,
            };
            Ok((record.offset.0, owned))
        })
        .collect()
}

fn numbered(records: &[Owned]) -> Vec<(i64, Owned)> {
    (BASE.base_offset.0..)
        .zip(records.iter().cloned())
        .collect()
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..300))
}

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let header = ("[a-c]{0,2}", prop::collection::vec(any::<u8>(), 0..20));
    let record = (
        bytes(),
        bytes(),
        prop::collection::vec(header, 0..4),
        -70_000i64..70_000,
    );
    let record = record.prop_map(|(key, value, headers, delta)| Owned {
        key,
        value,
        headers,
        timestamp: BASE.base_timestamp.0 + delta,
    });
    prop::collection::vec(record, 1..40)
}

fn without_repeated_names(mut records: Vec<Owned>) -> Vec<Owned> {
    for record in &mut records {
        record.headers.sort();
        record.headers.dedup_by(|a, b| a.0 == b.0);
    }
    records
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(records in records()) {
        prop_assert_eq!(decode(&encode(&BASE, &records)), Ok(numbered(&records)));
    }

    #[test]
    fn another_implementation_reads_what_is_written(records in records()) {
        // It keeps headers in a map, which cannot hold a name twice.
        let records = without_repeated_names(records);
        let mut bytes = Bytes::from(encode(&BASE, &records));
        let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
        let read: Vec<_> = set.records.into_iter().map(|r| (r.offset, Owned {
            key: r.key.map(|b| b.to_vec()),
            value: r.value.map(|b| b.to_vec()),
            headers: r.headers.into_iter()
                .map(|(n, v)| (n.to_string(), v.unwrap_or_default().to_vec()))
                .collect(),
            timestamp: r.timestamp,
        })).collect();
        prop_assert_eq!(read, numbered(&records));
    }

    #[test]
    fn what_another_implementation_writes_is_read(records in records()) {
        let records = without_repeated_names(records);
        let theirs: Vec<Record> = numbered(&records).into_iter().map(|(offset, r)| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 3,
            producer_id: 77,
            producer_epoch: 5,
            timestamp_type: TimestampType::Creation,
            offset,
            // Numbered on, or its encoder begins a new batch.
            sequence: (offset - BASE.base_offset.0) as i32,
            timestamp: r.timestamp,
            key: r.key.map(Bytes::from),
            value: r.value.map(Bytes::from),
            headers: r.headers.into_iter()
                .map(|(n, v)| (StrBytes::from_string(n), Some(Bytes::from(v))))
                .collect(),
        }).collect();
        let mut out = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut out, &theirs, &options).unwrap();
        let view = BatchView::parse(&out).unwrap();
        prop_assert_eq!(view.bytes().len(), out.len());
        prop_assert_eq!((view.producer_id(), view.producer_epoch()), (77, 5));
        prop_assert_eq!((view.leader_epoch(), view.base_sequence()), (3, 0));
        prop_assert_eq!(decode(&out), Ok(numbered(&records)));
    }

    #[test]
    fn random_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..400),
        magic in any::<bool>(),
    ) {
        if magic && bytes.len() > 22 {
            let length = bytes.len() as i32 - 12;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
            bytes[22] &= !7;
        }
        walk_unchecked(&bytes);
    }

    #[test]
    fn a_batch_damaged_below_its_crc_never_panics(
        records in records(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&BASE, &records);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        walk_unchecked(&bytes);
    }
}

/// Reads all there is to read without the protection of the CRC.
fn walk_unchecked(bytes: &[u8]) {
    let Ok(view) = BatchView::parse_trusted(bytes) else {
        return;
    };
    let Ok(records) = view.records() else {
        return;
    };
    for record in records.flatten() {
        assert!(record.offset < view.next_offset());
        record.headers.for_each(drop);
    }
}

fn sample() -> Vec<Owned> {
    let record = |key: &[u8], headers: OwnedHeaders| Owned {
        key: Some(key.to_vec()),
        value: Some(b"some value".to_vec()),
        headers,
        timestamp: BASE.base_timestamp.0,
    };
    let twice = vec![
        ("reason".into(), b"a".to_vec()),
        ("reason".into(), b"b".to_vec()),
    ];
    vec![record(b"k1", vec![]), record(b"k2", twice)]
}

#[test]
fn every_truncation_and_every_flipped_bit_is_noticed() {
    let bytes = encode(&BASE, &sample());
    for len in 0..bytes.len() {
        assert!(matches!(
            BatchView::parse(&bytes[..len]),
            Err(BatchError::Short { have, need }) if have == len && need > len
        ));
    }
    // Base offset and leader epoch lie outside the CRC: the entry's checksum covers them.
    let outside = |byte: usize| byte < 8 || (12..16).contains(&byte);
    for bit in (0..bytes.len() * 8).filter(|bit| !outside(bit / 8)) {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(BatchView::parse(&bad).is_err(), "bit {bit}");
    }
}

#[test]
fn repeated_header_names_are_kept_in_order() {
    let bytes = encode(&BASE, &sample());
    let records = decode(&bytes).unwrap();
    assert_eq!(records[1].1.headers, sample()[1].headers);
}

#[test]
fn assigning_an_offset_leaves_the_crc_valid() {
    let mut bytes = encode(&BASE, &sample());
    assign(&mut bytes, Offset(42), 9);
    let view = BatchView::parse(&bytes).unwrap();
    assert_eq!((view.base_offset(), view.leader_epoch()), (Offset(42), 9));
    assert_eq!(view.next_offset(), Offset(44));
}

#[test]
fn bytes_after_the_last_record_are_an_error() {
    let mut bytes = encode(&BASE, &sample());
    bytes.push(0);
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let view = BatchView::parse_trusted(&bytes).unwrap();
    let last = view.records().unwrap().last().unwrap();
    assert_eq!(last.unwrap_err(), BatchError::Trailing(1));
}

#[test]
fn header_fields_out_of_range_are_named() {
    let damaged = |at: usize, value: &[u8]| {
        let mut bytes = encode(&BASE, &sample());
        bytes[at..at + value.len()].copy_from_slice(value);
        BatchView::parse_trusted(&bytes).unwrap_err().to_string()
    };
    assert!(damaged(0, &(-1i64).to_be_bytes()).contains("base_offset"));
    assert!(damaged(0, &i64::MAX.to_be_bytes()).contains("base_offset"));
    assert!(damaged(8, &48i32.to_be_bytes()).contains("length"));
    assert!(damaged(16, &[1]).contains("magic 1"));
    assert!(damaged(22, &[5]).contains("codec"));
    assert!(damaged(23, &(-1i32).to_be_bytes()).contains("last_offset_delta"));
    assert!(damaged(57, &3i32.to_be_bytes()).contains("record_count"));
}

/// Not a bench (those are in `benches/`), only a floor that no machine should miss.
#[test]
#[ignore = "a measurement; run with --release -- --ignored --nocapture"]
fn encoding_rate() {
    let (key, value) = ([7u8; 16], [9u8; 100]);
    let records = || (0..1000).map(|_| RecordSource::new(Some(&key), Some(&value)));
    let mut out = vec![0; batch_len(records())];
    let start = std::time::Instant::now();
    let rounds = 20_000;
    for _ in 0..rounds {
        let len = batch_len(records());
        assert_eq!(
            write_batch(std::hint::black_box(&mut out), &BASE, records()),
            len
        );
    }
    let encode = start.elapsed().as_secs_f64() / f64::from(rounds * 1000);
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        let view = BatchView::parse_trusted(std::hint::black_box(&out)).unwrap();
        assert_eq!(view.records().unwrap().flatten().count(), 1000);
    }
    let decode = start.elapsed().as_secs_f64() / f64::from(rounds * 1000);
    println!(
        "encode {:.1} ns, decode {:.1} ns a record",
        encode * 1e9,
        decode * 1e9
    );
}
