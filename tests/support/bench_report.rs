//! A report of a benchmark, as it is when everything was measured.

use std::collections::BTreeMap;
use std::time::Duration;

use corelane::bench::floor::{Floor, Jitter, Timing};
use corelane::bench::meters::{Count, Snapshot, Span};
use corelane::bench::report::machine::Machine;
use corelane::bench::report::model::{
    Kind, Latencies, Point, Reached, Report, Run, Settings, Used,
};
use corelane::bench::target::TargetFacts;
use corelane::telemetry::empty_histogram;

/// A report of these runs.
pub fn report(runs: Vec<Run>) -> Report {
    let timing = Timing {
        count: 20_000,
        p50_us: 80.0,
        p99_us: 210.0,
        p999_us: Some(900.0),
        max_us: 4_000.0,
    };
    let jitter = |cpu| Jitter {
        cpu,
        lost: 0.0004,
        max_us: 350.0,
        wait_p9999_us: 90.0,
    };
    Report {
        bench: Kind::Latency,
        corelane: "0.1.0".to_owned(),
        started_ms: 1_700_000_000_000,
        machine: Machine {
            cpu: "A CPU <of> a kind & more".to_owned(),
            cpus: 2,
            kernel: "6.18".to_owned(),
            ..Machine::default()
        },
        floor: Some(Floor {
            write_sync: timing,
            dsync: timing,
            write_bytes_per_s: 9e8,
            loopback: timing,
            loopback_bytes_per_s: 3e9,
            hop: Some(timing),
            jitter: vec![jitter(0), jitter(1)],
            ..Floor::default()
        }),
        runs,
    }
}

/// A run of 20 s whose latencies are `times` those of another with 1.
pub fn run(times: f64) -> Run {
    let second = Duration::from_secs(1).as_secs_f64();
    let of = |from: u64, to: u64| {
        let mut snapshot = Snapshot::default();
        for (place, span) in Span::ALL.into_iter().enumerate() {
            let mut histogram = empty_histogram();
            for number in from..to {
                // A tail that grows with the square: a curve that is no straight line.
                let spread = (number % 1_000) * (number % 1_000);
                let ns = (20_000 * (place as u64 + 1) + spread) as f64 * times;
                histogram.saturating_record(ns as u64);
            }
            snapshot.add(span, &histogram);
        }
        snapshot.set(Count::Acked, to - from);
        snapshot.set(Count::Received, to - from);
        snapshot
    };
    let all = of(0, 20_000);
    let latency = |span: Span| (span.name().to_owned(), Latencies::of(all.span(span)));
    let point = |at: u64| Point::of(&of(at * 1_000, (at + 1) * 1_000), at as f64 - 2.0, second);
    Run {
        target: TargetFacts {
            name: "embedded".to_owned(),
            durability: "acks=all: on stable storage".to_owned(),
            versions: vec!["corelane 0.1.0".to_owned()],
            settings: vec![("sync".to_owned(), "group commit".to_owned())],
        },
        settings: Settings {
            rate: Some(1_000),
            record_bytes: 100,
            payload: "100 % random bytes".to_owned(),
            acks: "all".to_owned(),
            duration_s: 20.0,
            warmup_s: 3.0,
            topics: 1,
            partitions: 1,
            cores: Some(1),
            producers: 1,
            consumers: 0,
        },
        partial: None,
        load: Reached {
            sent_per_s: 1_000.0,
            acked_per_s: 1_000.0,
            bytes_per_s: 100_000.0,
            received_per_s: 1_000.0,
            failed: 0,
            share_of_saturation: Some(0.01),
            saturation_per_s: Some(100_000.0 / times),
            kept_pace: true,
        },
        latency: Span::ALL.into_iter().map(latency).collect(),
        series: (0..20).map(point).collect(),
        usage: Used::default(),
        ratio_to_floor: BTreeMap::from([("produce_p50_per_write_sync_p50".to_owned(), 1.4)]),
    }
}
