//! `corelane bench`: how fast the engine is on this host.
//!
//! Owns: arguments, the tables on the terminal, exit codes. Never does: measuring
//! ([`crate::bench`]). Runs on: the main thread.

mod compare;
mod floor;
mod latency;
mod options;
mod output;
mod sweep;
mod table;
mod throughput;
mod workload;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Arguments of `corelane bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Measure latencies at a rate, open loop: they count from when each record was meant to be sent
    Latency(latency::LatencyArgs),
    /// Find the highest rate that holds, and say what it costs
    Throughput(throughput::ThroughputArgs),
    /// Vary partitions, cores, record size and acks, one at a time, and put them side by side
    Sweep(sweep::SweepArgs),
    /// Measure what this host can do without us, in the same units
    Floor(floor::FloorArgs),
    /// Put two reports side by side; fails where the second is worse
    Compare(compare::CompareArgs),
    /// Run a workload of the OpenMessaging Benchmark and report it with its names
    Workload(workload::WorkloadArgs),
}

/// Measures.
pub fn bench(args: &BenchArgs) -> ExitCode {
    match &args.command {
        BenchCommand::Latency(args) => latency::latency(args),
        BenchCommand::Throughput(args) => throughput::throughput(args),
        BenchCommand::Sweep(args) => sweep::sweep(args),
        BenchCommand::Floor(args) => floor::floor(args),
        BenchCommand::Compare(args) => compare::compare(args),
        BenchCommand::Workload(args) => workload::workload(args),
    }
}
