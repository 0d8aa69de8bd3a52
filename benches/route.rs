//! Routing: `ShardManager::determine_shard` beside a plain scan of the table by haversine.
//!
//! Target: at most 100 ns for 8 shards. Clients are the 5,000 cities, in an order that the branch
//! predictor cannot learn. Not measured: building the table.

use std::hint::black_box;
use std::time::Duration;

use corelane::geo::{GeoLocation, ShardManager, ShardSpec, haversine};
use corelane::ids::ShardId;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn cities() -> Vec<GeoLocation> {
    let mut reader =
        csv::Reader::from_path("tests/fixtures/cities.csv").expect("a file of this repository");
    let mut cities: Vec<GeoLocation> = reader
        .records()
        .map(|row| {
            let row = row.expect("a file of this repository");
            let degrees = |column: usize| row[column].parse().expect("a number");
            GeoLocation::new(degrees(3), degrees(4)).expect("a place")
        })
        .collect();
    // The file is sorted by population; a stride that shares no factor with 5,000 mixes it.
    let len = cities.len();
    cities = (0..len).map(|i| cities[i * 1999 % len]).collect();
    cities
}

/// Shards at cities, taken from all over the list.
fn shards(cities: &[GeoLocation], count: usize) -> Vec<ShardSpec> {
    (0..count)
        .map(|number| ShardSpec {
            id: ShardId(number as u16),
            location: cities[number * 4 + 1],
        })
        .collect()
}

fn plain(shards: &[ShardSpec], client: GeoLocation) -> ShardId {
    let mut best = (f64::INFINITY, ShardId(0));
    for shard in shards {
        let found = (haversine(client, shard.location), shard.id);
        if found < best {
            best = found;
        }
    }
    best.1
}

fn route(criterion: &mut Criterion) {
    let cities = cities();
    let mut group = criterion.benchmark_group("route");
    group
        .throughput(Throughput::Elements(1))
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for count in [8, 32, 128, 1024] {
        let shards = shards(&cities, count);
        let manager = ShardManager::new(shards.clone(), None).expect("a valid table");
        let mut clients = cities.iter().cycle();
        let mut next = move || *clients.next().expect("cycles for ever");
        group.bench_function(BenchmarkId::new("determine_shard", count), |bencher| {
            bencher.iter(|| manager.determine_shard(black_box(next())));
        });
        let mut clients = cities.iter().cycle();
        let mut next = move || *clients.next().expect("cycles for ever");
        group.bench_function(BenchmarkId::new("haversine_scan", count), |bencher| {
            bencher.iter(|| plain(black_box(&shards), black_box(next())));
        });
    }
    group.finish();
}

criterion_group!(benches, route);
criterion_main!(benches);
