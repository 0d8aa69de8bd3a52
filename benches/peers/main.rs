//! Brokers against each other, driven by one client with one load, in one run.
//!
//! Who takes part: the Kafka listener of a node (the program itself, one core, default configuration),
//! Apache Kafka by scripts/kafka as it is shipped and with a sync for every batch, and Redpanda where
//! REDPANDA_BROKERS names brokers. What an acknowledgement stands for is not the same everywhere, so
//! each row says what its broker did.
//!
//! What is measured:
//! - `latency`: an open loop of records at a steady rate, `acks=all`, from when each was meant to be
//!   sent to its acknowledgement, and to a consumer's having it.
//! - `throughput`: one partition, as fast as the client hands records over; what was acknowledged in the
//!   time.
//! - `tools`: Kafka's own `ProducerPerformance` on the same brokers, beside our client.
//!
//! Why it is fair: the same client, on the same properties, in this process. Peers take turns in each
//! round, in another order each time, each with a topic of its own that goes afterwards. Figures are
//! medians over rounds, ratios are of the same round. Every record has to be acknowledged and received
//! once. Before the first round each peer has a load that is not counted, for just-in-time compilers.
//!
//! What it does not show: a network, replication. Brokers and client share this machine's CPUs.
//!
//! Without `--bench`, which `cargo bench` adds, counts are tiny and only the node takes part.

mod load;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../../tests/support/node.rs"]
mod node;
mod peer;
#[allow(dead_code)] // Each bench uses a part of it.
#[path = "../support/place.rs"]
mod place;
#[allow(dead_code)]
#[path = "../support/report.rs"]
mod report;
mod tools;

use std::num::NonZeroU64;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use corelane::control::signals::StopSignal;

use peer::Stage;
use report::Section;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the bench cannot go on.
type Failure = Box<dyn std::error::Error>;

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Latency,
    Throughput,
    Tools,
}

/// Brokers against each other, driven by one client with one load.
#[derive(Debug, Parser)]
struct Arguments {
    /// Parts to run; all without
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds in which the peers take turns
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Bytes of a record's value; at least 16
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    size: u32,
    /// Records per second in latency
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU64>,
    /// Seconds of a peer's turn
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Measure; added by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Tiny counts, and the node alone, all the same
    #[arg(long)]
    test: bool,
}

/// Counts of a run.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rounds: usize,
    record_bytes: usize,
    rate: NonZeroU64,
    turn: Duration,
    warmup: Duration,
    /// Before the first round.
    first_warmup: Duration,
    /// Records of a turn of Kafka's tool.
    tool_records: u64,
}

impl Arguments {
    fn scale(&self) -> Scale {
        let measures = self.measures();
        let rate = NonZeroU64::new(if measures { 10_000 } else { 500 }).expect("not 0");
        let (rounds, seconds) = if measures { (5, 5.0) } else { (1, 0.2) };
        Scale {
            rounds: self.rounds.unwrap_or(rounds).max(1),
            record_bytes: self.size as usize,
            rate: self.rate.unwrap_or(rate),
            turn: Duration::from_secs_f64(self.seconds.unwrap_or(seconds).clamp(0.1, 3600.0)),
            warmup: Duration::from_millis(if measures { 1_000 } else { 50 }),
            first_warmup: Duration::from_secs(if measures { 20 } else { 0 }),
            tool_records: if measures { 2_000_000 } else { 1_000 },
        }
    }

    fn measures(&self) -> bool {
        self.bench && !self.test
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let scale = arguments.scale();
    let signal = StopSignal::listen()?;
    let stage = Stage::new(arguments.measures())?;
    let machine = machine::line();
    if !arguments.json {
        println!("{machine}");
    }
    if !scale.first_warmup.is_zero() {
        load::warm_up(&stage, &scale, &signal)?;
    }
    let mut sections: Vec<Section> = Vec::new();
    for part in Part::value_variants() {
        if !arguments.parts.is_empty() && !arguments.parts.contains(part) {
            continue;
        }
        let section = match part {
            Part::Latency => Some(load::latency(&stage, &scale, &signal)?),
            Part::Throughput => Some(load::throughput(&stage, &scale, &signal)?),
            Part::Tools => tools::run(&stage, &scale, &signal)?,
        };
        let Some(mut section) = section else { continue };
        if !arguments.measures() {
            section.forget_targets();
        }
        if !arguments.json {
            section.print();
        }
        sections.push(section);
    }
    if arguments.json {
        let all = serde_json::json!({
            "bench": "peers",
            "machine": machine,
            "sections": sections,
        });
        println!("{all}");
    }
    Ok(())
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        eprintln!("peers: {error}");
        std::process::exit(1);
    }
}
