//! The Kafka listener of a node, driven by librdkafka and by bare sockets, in one run.
//!
//! What is measured:
//! - `produce-latency`: one record of 100 bytes in flight. Beside it what no broker can avoid: an echo
//!   of the request's size over loopback, and a block that the device makes durable.
//! - `throughput`: records of 100 bytes into one partition as fast as librdkafka hands them over,
//!   beside librdkafka's own mock broker, which stores nothing.
//! - `fetch`: records that lie in memory, beside plain bytes over loopback.
//! - `spread`: one record for each of 1,000 partitions, all in one request, beside one for one.
//! - `idle`: memory and CPU time of a node that thousands of silent connections are open to.
//! - `join`: a consumer's first assignment, from its subscription on.
//!
//! Why it is fair: the node is the program itself, a process of its own with one core and the default
//! configuration. Contenders take turns in each round, in another order each time; figures are
//! medians over rounds, and ratios are of the same round. All run the same librdkafka on the same
//! properties. Where this machine has what Apache Kafka needs, one broker of it takes part: as it is
//! shipped, `acks=all` of one broker means its page cache, so it also runs with `flush.messages=1`.
//!
//! What it does not show: a network, replication, other clients. Clients and brokers share the CPUs.
//!
//! Without `--bench`, which `cargo bench` adds, counts are tiny, there is no Kafka, and nothing is
//! asked of the figures. `cargo bench --bench listener -- --help` lists the options.

#[path = "../support/bare.rs"]
mod bare;
#[path = "../support/device.rs"]
mod device;
mod echo;
mod fetch;
#[path = "../support/flood.rs"]
mod flood;
mod idle;
mod join;
#[path = "../../tests/support/kafka_peer.rs"]
mod kafka_peer;
mod latency;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../../tests/support/node.rs"]
mod node;
#[path = "../support/place.rs"]
mod place;
#[path = "../support/report.rs"]
mod report;
#[path = "../support/round.rs"]
mod round;
mod spread;
mod stage;
mod throughput;
#[path = "../support/values.rs"]
mod values;

use clap::{Parser, ValueEnum};

use report::Section;
use stage::Stage;

/// Why the bench cannot go on.
type Failure = Box<dyn std::error::Error>;

/// Bytes of a record's value.
const RECORD_BYTES: usize = 100;

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    ProduceLatency,
    Throughput,
    Fetch,
    Spread,
    Idle,
    Join,
}

/// The Kafka listener of a node.
#[derive(Debug, Parser)]
struct Arguments {
    /// Parts to run; all without
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds in which the contenders take turns
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Leave Apache Kafka out
    #[arg(long)]
    no_kafka: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Measure; added by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Tiny counts all the same
    #[arg(long)]
    test: bool,
}

/// Counts of a run.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rounds: usize,
    /// Records of a round in produce-latency.
    singles: usize,
    /// The same before the first round: a broker's just-in-time compiler has to see some thousands.
    warm_singles: usize,
    /// Records of a round in throughput.
    records: usize,
    /// Bytes of values in the topic that fetch reads.
    cached_bytes: usize,
    /// Answers to Fetch of a round.
    fetches: usize,
    /// Partitions in spread.
    partitions: u16,
    /// Requests of a round in spread.
    spreads: usize,
    connections: usize,
    idle_seconds: u64,
    /// Groups that are joined in a round.
    groups: usize,
}

const FULL: Scale = Scale {
    rounds: 10,
    singles: 300,
    warm_singles: 5_000,
    records: 2_000_000,
    cached_bytes: 16 << 20,
    fetches: 200,
    partitions: 1_000,
    spreads: 100,
    connections: 5_000,
    idle_seconds: 10,
    groups: 2,
};

const SMOKE: Scale = Scale {
    rounds: 1,
    singles: 5,
    warm_singles: 1,
    records: 2_000,
    cached_bytes: 1 << 20,
    fetches: 4,
    partitions: 20,
    spreads: 2,
    connections: 20,
    idle_seconds: 0,
    groups: 1,
};

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let measures = arguments.bench && !arguments.test;
    let mut scale = if measures { FULL } else { SMOKE };
    scale.rounds = arguments.rounds.unwrap_or(scale.rounds);
    let stage = Stage::new(measures && !arguments.no_kafka)?;
    let machine = machine::line();
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    if !arguments.json {
        let kafka = stage
            .kafka
            .as_ref()
            .map_or("left out", |kafka| kafka.name());
        println!("{machine}\nlibrdkafka {librdkafka}; Apache Kafka: {kafka}");
    }
    let mut sections: Vec<Section> = Vec::new();
    for part in Part::value_variants() {
        if !arguments.parts.is_empty() && !arguments.parts.contains(part) {
            continue;
        }
        let mut section = match part {
            Part::ProduceLatency => latency::run(&stage, &scale)?,
            Part::Throughput => throughput::run(&stage, &scale)?,
            Part::Fetch => fetch::run(&stage, &scale)?,
            Part::Spread => spread::run(&stage, &scale)?,
            Part::Idle => idle::run(&scale)?,
            Part::Join => join::run(&stage, &scale)?,
        };
        if !measures {
            section.forget_targets();
        }
        if !arguments.json {
            section.print();
        }
        sections.push(section);
    }
    if arguments.json {
        let all = serde_json::json!({
            "bench": "listener",
            "machine": machine,
            "librdkafka": librdkafka,
            "sections": sections,
        });
        println!("{all}");
    }
    Ok(())
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        eprintln!("listener: {error}");
        std::process::exit(1);
    }
}
