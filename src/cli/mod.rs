//! The command line: one file per subcommand.
//!
//! Owns: arguments, progress, results on standard output, errors on standard error, exit codes
//! (0 fine, 1 failed, 2 wrong usage; commands about the host have more, see [`tune::Exit`]). Never
//! does: the work itself. Runs on: the main thread.

pub mod bench;
pub mod config;
pub mod doctor;
mod feed;
pub mod group;
pub mod input;
pub mod jitter;
pub mod kafka;
pub mod log;
pub mod outcome;
pub mod progress;
pub mod report;
pub mod run;
pub mod serve;
mod settings;
pub mod submit;
pub mod top;
pub mod topic;
pub mod tune;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::LogFormat;
use crate::control::logging;

/// A thread-per-core transaction engine with a durable log built in.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take a file of transactions through a node in this process and report what came of it
    Run(run::RunArgs),
    /// Run a node that takes transactions from clients until it is told to stop
    Serve(serve::ServeArgs),
    /// Submit a file of transactions to a running node and report the receipts
    Submit(submit::SubmitArgs),
    /// Look into a data directory; changes nothing
    Log(log::LogArgs),
    /// Watch a running node in the terminal: cores, shards, latencies, mesh, disk
    Top(top::TopArgs),
    /// List, create, describe and delete topics of a node or a Kafka cluster
    Topic(topic::TopicArgs),
    /// List and describe consumer groups of a node or a Kafka cluster
    Group(group::GroupArgs),
    /// Say whether a configuration is valid and what it comes to; connects to nothing
    Config(config::ConfigArgs),
    /// Lay out the CPUs of this host, check and change what keeps it from being fast
    Tune(tune::TuneArgs),
    /// Measure how long and how often CPUs are taken away from work that spins on them
    Jitter(jitter::JitterArgs),
    /// Probe this host, predict which figures an engine reaches on it, say what to mend first
    Doctor(doctor::DoctorArgs),
    /// Measure latency and throughput of the engine, its listener or a cluster, and of the bare host
    Bench(bench::BenchArgs),
}

/// Commands about the host: called wrongly, they end with [`tune::Exit::Usage`].
const HOST_COMMANDS: &[&str] = &["tune", "jitter", "doctor"];

impl Cli {
    /// Reads the arguments of this process and does what they ask for; says how it went.
    pub fn run() -> ExitCode {
        match Cli::try_parse() {
            Ok(cli) => cli.execute(),
            Err(error) => {
                // What is asked for (help, version) goes to standard output, a complaint to standard
                // error; neither can be said if that is closed.
                let _ = error.print();
                let command = std::env::args_os().nth(1);
                let is_named = |name: &&str| command.as_deref() == Some(OsStr::new(name));
                if error.exit_code() == 0 {
                    ExitCode::SUCCESS
                } else if HOST_COMMANDS.iter().any(is_named) {
                    tune::Exit::Usage.into()
                } else {
                    ExitCode::from(outcome::USAGE)
                }
            }
        }
    }

    fn execute(self) -> ExitCode {
        // Of those that run a node, the configuration says how lines look.
        if !matches!(self.command, Command::Run(_) | Command::Serve(_)) {
            logging::start(LogFormat::default());
        }
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Serve(args) => serve::serve(args),
            Command::Submit(args) => submit::submit(args),
            Command::Log(args) => log::log(&args),
            Command::Top(args) => top::top(&args),
            Command::Topic(args) => topic::topic(&args),
            Command::Group(args) => group::group(&args),
            Command::Config(args) => config::config(&args),
            Command::Tune(args) => tune::tune(&args),
            Command::Jitter(args) => jitter::jitter(&args),
            Command::Doctor(args) => doctor::doctor(&args),
            Command::Bench(args) => bench::bench(&args),
        }
    }
}
