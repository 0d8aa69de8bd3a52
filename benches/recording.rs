//! What it costs to see inside: the counters, stage latencies and the flight recorder's comparison of one
//! transaction, beside what the whole transaction costs a core.
//!
//! Target: at most 3 % of the transaction (docs/metrics.md).
//!
//! How: what a core records of a transaction is done here over and over with the core's own types, on
//! varying latencies, in groups of the size that the engine has at saturation. The empty loop is taken
//! off. Then a node of this process takes transactions as fast as it can; its core's busy time over its
//! transactions is the other figure. Both in turns, in one run; medians.
//!
//! What it does not show: cache lines that recording pushes out of a core's first cache.
//!
//! Without `--bench`, which `cargo bench` adds, times are tiny.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use corelane::bench::embedded::Embedded;
use corelane::bench::meters::Count;
use corelane::bench::target::{Load, Stop, Target as _, TargetKind, TargetOptions};
use corelane::bench::traffic::{Keys, Traffic, Values};
use corelane::ids::{Acks, Nanos};
use corelane::telemetry::{Counter, CounterWriter, Recorder, Stage, StageWriter, counters, stages};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Transactions that share a write at saturation, about.
const GROUP: u64 = 64;

/// The share of a transaction that recording may take.
const SHARE_MAX: f64 = 0.03;

fn main() -> Result<(), Box<dyn Error>> {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, transactions, span) = match is_bench {
        true => (5, 4_000_000, Duration::from_secs(2)),
        false => (1, 10_000, Duration::from_millis(100)),
    };
    let mut recorder = Recording::new();
    let mut recorded = Vec::new();
    let mut whole = Vec::new();
    for _ in 0..rounds {
        recorded.push(recorder.cost_ns(transactions));
        whole.push(transaction_ns(span)?);
    }
    let (recorded, whole) = (median(&mut recorded), median(&mut whole));
    let share = recorded / whole;
    println!("recording, ns a transaction           {recorded:8.1}");
    println!("a transaction, ns of its core         {whole:8.1}");
    let verdict = if share <= SHARE_MAX { "met" } else { "MISSED" };
    println!("share                                 {share:8.3}  target <= {SHARE_MAX}: {verdict}");
    Ok(())
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What a core writes to.
struct Recording {
    counters: CounterWriter,
    stages: StageWriter,
    recorder: Recorder,
}

impl Recording {
    fn new() -> Recording {
        let mut recorder = Recorder::new();
        recorder.turn(Nanos(1));
        Recording {
            counters: counters(1).0,
            stages: stages().0,
            recorder,
        }
    }

    /// Nanoseconds of recording one transaction.
    fn cost_ns(&mut self, transactions: u64) -> f64 {
        let with = time_ns(transactions, |number, latency_ns| {
            self.transaction(number, latency_ns);
        });
        let without = time_ns(transactions, |number, latency_ns| {
            black_box((number, latency_ns));
        });
        (with - without).max(0.0) / transactions as f64
    }

    /// In the order of the duty cycle. What is the same for a whole group is written as the engine has
    /// it: transaction by transaction.
    fn transaction(&mut self, number: u64, latency_ns: u64) {
        let (counters, stages) = (&mut self.counters, &mut self.stages);
        let group_ns = 80_000 + number / GROUP % 512 * 100;
        counters.increment(Counter::Submitted);
        counters.add(Counter::SubmittedBytes, 140);
        stages.record(Stage::Intake, latency_ns / 4);
        counters.increment(Counter::RecordsAppended);
        stages.record(Stage::Queue, 0);
        stages.record(Stage::Commit, group_ns);
        black_box(self.recorder.wants(latency_ns & 0x7));
        stages.record(Stage::Produce, latency_ns);
        counters.increment(Counter::AckedAll);
        stages.record(Stage::TailRead, group_ns / 64);
        stages.record(Stage::Consume, group_ns / 32);
        stages.record(Stage::EndToEnd, latency_ns + group_ns / 32);
        if number.is_multiple_of(GROUP) {
            stages.end_cycle();
        }
    }
}

/// Time of `count` calls, with latencies around 200 us that no predictor learns.
fn time_ns(count: u64, mut each: impl FnMut(u64, u64)) -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let start = Instant::now();
    for number in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        each(number, 100_000 + (state & 0x3_ffff));
    }
    start.elapsed().as_nanos() as f64
}

/// Nanoseconds that a core is busy for one transaction, at saturation, all stages included.
fn transaction_ns(span: Duration) -> Result<f64, Box<dyn Error>> {
    let mut node = Embedded::start(&TargetOptions {
        kind: TargetKind::Embedded,
        config: None,
        to: None,
        data_parent: std::env::temp_dir(),
        cores: Some(1),
        idle: None,
        traffic: Traffic {
            topics: 1,
            partitions: 1,
            producers: 1,
            subscriptions: 1,
            consumers: 1,
            keys: Keys::None,
            values: Values::generate(100, 1024, 1.0),
            acks: Acks::All,
        },
    })?;
    let probe = node.probe();
    let before = probe.usage().busy_ns.iter().sum::<u64>();
    node.run(&Load { rate: None, span }, &Stop::default())?;
    let busy_ns = probe.usage().busy_ns.iter().sum::<u64>() - before;
    let transactions = probe.snapshot().count(Count::Received);
    Ok(busy_ns as f64 / transactions as f64)
}
