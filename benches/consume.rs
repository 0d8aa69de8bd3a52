//! The second half of a transaction's way, a stage at a time: read from memory, processed, answered. Each
//! beside the plainest code that does as much.
//!
//! Targets: none of their own; together with `codec`, `route`, `mesh_hop` and `log_append` they say where
//! the time of a transaction goes. Records are transactions of 100 bytes. Not measured: cores, sockets.

#![allow(clippy::unwrap_used)] // Of the rig of the tests.

#[path = "../tests/support/core_rig.rs"]
mod core_rig;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use corelane::engine::handler::{BatchContext, HandlerContext, TransactionHandler as _};
use corelane::engine::ledger::Ledger;
use corelane::engine::message::Answer;
use corelane::frame::{Correlation, Receipt};
use corelane::ids::{Acks, Offset, PartitionId, PartitionIndex, ShardId, UnixMillis};
use corelane::storage::{Outputs, ReadOutcome, Visit};
use corelane::transaction::{Submission, codec};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

use core_rig::{Rig, Setup, body, partition_of, receipt};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records of a batch.
const RECORDS: u64 = 256;

type Factory = fn(&HandlerContext<'_>) -> Ledger;

fn group<'a>(criterion: &'a mut Criterion, name: &str, count: u64) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .throughput(Throughput::Elements(count))
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group
}

/// Every visible record of the fullest partition, from the frames that are still in memory.
fn tail_read(criterion: &mut Criterion) {
    let setup = Setup {
        tail_bytes: 64 << 20,
        segment_bytes: 16 << 20,
        ..Setup::default()
    };
    let mut rig = Rig::new(setup, Ledger::new as Factory);
    let mut values: BTreeMap<PartitionId, Vec<Vec<u8>>> = BTreeMap::new();
    for mark in 0..RECORDS {
        let body = body(&format!("id-{mark}"), 0, 1, &[7; 100]);
        rig.submit(mark, body.clone());
        rig.run_until("answered", |rig| rig.is_answered(mark));
        let Answer::Stored(_) = rig.answer(mark) else {
            panic!("nothing stands in its way");
        };
        let partition = partition_of(&receipt(&rig.answer(mark)));
        values.entry(partition).or_default().push(body.to_vec());
    }
    let (partition, values) = values
        .into_iter()
        .max_by_key(|(_, of)| of.len())
        .expect("some were stored");
    let mut group = group(criterion, "tail_read", values.len() as u64);
    group.bench_function("record", |bencher| {
        bencher.iter(|| {
            let (mut from, mut bytes) = (Offset::ZERO, 0);
            loop {
                let mut visit = |record: corelane::storage::Record<'_>| {
                    bytes += record.value.len();
                    Visit::Continue
                };
                let storage = rig.storage(partition);
                match storage
                    .read_from(partition, from, &mut visit)
                    .expect("nothing is damaged")
                {
                    ReadOutcome::Records(next) => from = next,
                    ReadOutcome::Empty => return bytes,
                    ReadOutcome::Pending => panic!("it is in memory"),
                }
            }
        });
    });
    group.bench_function("plain: a vector of vectors", |bencher| {
        bencher.iter(|| black_box(&values).iter().map(Vec::len).sum::<usize>());
    });
    group.finish();
}

/// A decoded transaction through the handler that corelane ships, its state written once a batch.
fn process(criterion: &mut Criterion) {
    let bytes = body("id-1", 0, 5, &[7; 100]);
    let transaction = codec::decode(&bytes).expect("encoded above");
    let nothing = (BTreeMap::new(), BTreeMap::new());
    let mut handler = Ledger::new(&HandlerContext {
        topics: &nothing.0,
        state: &nothing.1,
    });
    let mut outputs = Outputs::new(64 << 10);
    let batch = BatchContext {
        shard: ShardId(0),
        partition: PartitionId(0),
    };
    let mut group = group(criterion, "process", RECORDS);
    group.bench_function("transaction", |bencher| {
        bencher.iter(|| {
            outputs.clear();
            handler.begin(batch);
            for _ in 0..RECORDS {
                handler
                    .process(black_box(&transaction), &mut outputs)
                    .expect("it rejects nothing");
            }
            handler.commit(&mut outputs).expect("its state is small");
        });
    });
    group.bench_function("plain: count and sum", |bencher| {
        let (mut count, mut sum) = (0_u64, 0_u128);
        bencher.iter(|| {
            for _ in 0..RECORDS {
                count += 1;
                sum += u128::from(black_box(&transaction).amount.unwrap_or(0));
            }
            (count, sum)
        });
    });
    group.finish();
}

/// A receipt into the bytes of its connection.
fn reply(criterion: &mut Criterion) {
    let receipt = Receipt {
        correlation: Correlation(77),
        shard: ShardId(3),
        partition: PartitionIndex(2),
        offset: Offset(1_000_000),
        timestamp: UnixMillis(1_700_000_000_000),
        acks: Acks::All,
        submission: Submission::First,
    };
    let encoded = receipt.encode();
    let mut out = Vec::with_capacity(64 << 10);
    let mut group = group(criterion, "reply", RECORDS);
    group.bench_function("receipt", |bencher| {
        bencher.iter(|| {
            out.clear();
            for _ in 0..RECORDS {
                out.extend_from_slice(&black_box(&receipt).encode());
            }
            out.len()
        });
    });
    group.bench_function("plain: a copy of as many bytes", |bencher| {
        bencher.iter(|| {
            out.clear();
            for _ in 0..RECORDS {
                out.extend_from_slice(black_box(&encoded));
            }
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, tail_read, process, reply);
criterion_main!(benches);
