//! Decoding a transaction: borrowed, owned, and from JSON as the plain way. Encoding beside it.
//!
//! Target: borrow-decode of a 100-byte payload in at most 50 ns.

use std::hint::black_box;
use std::time::Duration;

use corelane::ids::UnixMicros;
use corelane::location::GeoLocation;
use corelane::transaction::{TransactionRef, codec};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::{Deserialize, Serialize};

/// The plain way: derived, with text and bytes of its own.
#[derive(Serialize, Deserialize)]
struct Json {
    id: String,
    latitude: f64,
    longitude: f64,
    submitted_at: i64,
    amount: Option<u64>,
    payload: Vec<u8>,
}

fn decode(criterion: &mut Criterion) {
    let payload: Vec<u8> = (0..100).collect();
    let transaction = TransactionRef {
        id: b"764b60c3d9a2c3c5bb6fe7141d9ca6e6778122df75f19366a2c5cb948d1d7d84",
        client_location: GeoLocation::new(51.1801, 71.44598).expect("a valid place"),
        submitted_at: UnixMicros(1_700_000_000_000_000),
        amount: Some(629_948_405),
        payload: &payload,
    };
    let mut bytes = Vec::new();
    codec::encode(&transaction, &mut bytes).expect("within all bounds");
    let json = serde_json::to_vec(&Json {
        id: String::from_utf8_lossy(transaction.id).into_owned(),
        latitude: transaction.client_location.latitude(),
        longitude: transaction.client_location.longitude(),
        submitted_at: transaction.submitted_at.0,
        amount: transaction.amount,
        payload: payload.clone(),
    })
    .expect("numbers and text always serialize");

    let mut group = criterion.benchmark_group("codec");
    group
        .throughput(Throughput::Elements(1))
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group.bench_function("decode_borrowed/100", |bencher| {
        bencher.iter(|| codec::decode(black_box(&bytes)));
    });
    group.bench_function("decode_owned/100", |bencher| {
        bencher.iter(|| {
            codec::decode(black_box(&bytes))
                .expect("encoded above")
                .to_transaction()
        });
    });
    group.bench_function("decode_json/100", |bencher| {
        bencher.iter(|| serde_json::from_slice::<Json>(black_box(&json)));
    });
    let mut out = Vec::with_capacity(bytes.len());
    group.bench_function("encode/100", |bencher| {
        bencher.iter(|| {
            out.clear();
            codec::encode(black_box(&transaction), &mut out)
        });
    });
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
