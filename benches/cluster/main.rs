//! Clients of a Kafka cluster, ours beside others, in one run.
//!
//! What is compared:
//! - `produce-latency`: records at a steady rate, from when each was meant to be sent (open loop: who
//!   stalls is charged for all that it delays) to its acknowledgement. Ours, polled as a core does;
//!   librdkafka in the style of C; rust-rdkafka's `FutureProducer` with a task for each record.
//! - `produce-throughput`: one partition, as fast as records are taken. Ours; librdkafka in the style
//!   of its own `rdkafka_performance`.
//! - `consume`: a full topic from start to end. Ours, in batches; one message at a time by
//!   `BaseConsumer::poll` and by `rd_kafka_consumer_poll`.
//! - `engine`: a node in this process whose shard lies on the cluster, from intake to the end of
//!   processing, at a share of its saturation: `at_least_once`, and what `exactly_once` costs beside.
//!
//! Why it is fair: all contenders run the same librdkafka, built once, on the same properties, which
//! are those of our profiles, but for two of consumers that `settings.rs` explains; the lingering
//! `FutureProducer` differs in `linger.ms` alone. Clients are made and warmed up before. Contenders
//! take turns in each round, in another order each time, and figures are medians over rounds; ratios
//! are of the same round. The main thread drives whoever's turn it is; payloads are copied by nobody
//! but `FutureProducer`, whose interface asks for it. Every record has to be reported, or read,
//! exactly once, in every round. In `engine` the promises take turns, each with nodes of its own.
//!
//! What it does not show: a network, replication, disks. Brokers and clients share this machine's
//! CPUs: who spins takes time away from the broker and is slowed down by that, and what the broker
//! can do bounds every rate. Percentiles of a round of a few seconds say little about rare stalls.
//!
//! The brokers are those of the environment's KAFKA_BROKERS, without TLS or SASL, else one that
//! scripts/kafka starts, and removes at the end. Without `--bench`, which `cargo bench` adds, counts
//! are tiny and go to librdkafka's mock cluster. `cargo bench --bench cluster -- --help` lists the
//! options.

#[path = "../support/bare.rs"]
mod bare;
mod consume;
mod engine;
#[path = "../support/flood.rs"]
mod flood;
mod latency;
#[path = "../support/machine.rs"]
mod machine;
mod ours;
mod pace;
#[path = "../support/place.rs"]
mod place;
#[path = "../support/report.rs"]
mod report;
#[path = "../support/round.rs"]
mod round;
mod settings;
mod throughput;
#[path = "../support/values.rs"]
mod values;

use std::num::NonZeroU64;

use clap::{Parser, ValueEnum};

use place::Place;
use report::{Section, seconds};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the bench cannot go on.
type Failure = Box<dyn std::error::Error>;

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    ProduceLatency,
    ProduceThroughput,
    Consume,
    Engine,
}

/// Clients of a Kafka cluster, ours beside others.
#[derive(Debug, Parser)]
struct Arguments {
    /// Parts to run; all without
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds in which the contenders take turns, but in engine
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Bytes of a record's value
    #[arg(long, value_name = "N", default_value_t = 100)]
    record_bytes: usize,
    /// Records per second in produce-latency
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU64>,
    /// Seconds of a round in produce-latency
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Records of a round in produce-throughput and consume
    #[arg(long, value_name = "N")]
    records: Option<usize>,
    /// Rounds in engine
    #[arg(long, value_name = "N")]
    engine_rounds: Option<usize>,
    /// Seconds of an open loop in engine
    #[arg(long, value_name = "N")]
    engine_seconds: Option<f64>,
    /// Transactions of a burst in engine
    #[arg(long, value_name = "N")]
    transactions: Option<usize>,
    /// Seconds of load that warms the brokers up before produce-latency and engine, not counted
    #[arg(long, value_name = "N")]
    warm_seconds: Option<f64>,
    /// linger_ms of the producers in engine
    #[arg(long, value_name = "N")]
    linger_ms: Option<f64>,
    /// Share of saturation at which the open loop in engine runs
    #[arg(long, value_name = "N")]
    share: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Measure; added by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Tiny counts against a mock cluster all the same
    #[arg(long)]
    test: bool,
}

/// Counts of a run.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rounds: usize,
    record_bytes: usize,
    rate: u64,
    seconds: f64,
    records: usize,
    engine_rounds: usize,
    engine_seconds: f64,
    transactions: usize,
    warm_seconds: f64,
    linger_ms: f64,
    share: f64,
}

const FULL: Scale = Scale {
    rounds: 10,
    record_bytes: 100,
    rate: 1_000,
    seconds: 3.0,
    records: 2_000_000,
    engine_rounds: 3,
    engine_seconds: 10.0,
    transactions: 500_000,
    warm_seconds: 30.0,
    linger_ms: 0.0,
    share: 0.6,
};

const SMOKE: Scale = Scale {
    rounds: 2,
    record_bytes: 100,
    rate: 1_000,
    seconds: 0.1,
    records: 5_000,
    engine_rounds: 1,
    engine_seconds: 0.2,
    transactions: 500,
    warm_seconds: 0.0,
    linger_ms: 0.0,
    share: 0.6,
};

impl Arguments {
    fn scale(&self, base: Scale) -> Scale {
        Scale {
            rounds: self.rounds.unwrap_or(base.rounds),
            record_bytes: self.record_bytes,
            rate: self.rate.map_or(base.rate, NonZeroU64::get),
            seconds: self.seconds.unwrap_or(base.seconds),
            records: self.records.unwrap_or(base.records),
            engine_rounds: self.engine_rounds.unwrap_or(base.engine_rounds),
            engine_seconds: self.engine_seconds.unwrap_or(base.engine_seconds),
            transactions: self.transactions.unwrap_or(base.transactions),
            warm_seconds: self.warm_seconds.unwrap_or(base.warm_seconds),
            linger_ms: self.linger_ms.unwrap_or(base.linger_ms),
            share: self.share.unwrap_or(base.share),
        }
    }

    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (place, scale) = if arguments.bench && !arguments.test {
        let Some(place) = Place::real()? else {
            println!("cluster: skipped, as it needs Java 17 and Maven, or KAFKA_BROKERS");
            return Ok(());
        };
        (place, arguments.scale(FULL))
    } else {
        (Place::mock()?, arguments.scale(SMOKE))
    };
    let machine = machine::line();
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let brokers = place.name();
    if !arguments.json {
        println!("{machine}\nlibrdkafka {librdkafka}; brokers: {brokers}");
    }
    let mut sections: Vec<Section> = Vec::new();
    for part in Part::value_variants() {
        if !arguments.wants(*part) {
            continue;
        }
        let mut section = match part {
            Part::ProduceLatency => latency::run(&place, &scale)?,
            Part::ProduceThroughput => throughput::run(&place, &scale)?,
            Part::Consume => consume::run(&place, &scale)?,
            Part::Engine => engine::run(&place, &scale)?,
        };
        if matches!(place, Place::Mock(_)) {
            section.forget_targets();
        }
        if !arguments.json {
            section.print();
        }
        sections.push(section);
    }
    if arguments.json {
        let all = serde_json::json!({
            "bench": "cluster",
            "machine": machine,
            "librdkafka": librdkafka,
            "brokers": brokers,
            "sections": sections,
        });
        println!("{all}");
    }
    Ok(())
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        eprintln!("cluster: {error}");
        std::process::exit(1);
    }
}
