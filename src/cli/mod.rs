//! The command line: one file per subcommand.
//!
//! Owns: arguments, progress, results on standard output, errors on standard error, exit codes
//! (0 fine, 1 failed, 2 wrong usage). Never does: the work itself. Runs on: the main thread.

pub mod config;
pub mod doctor;
mod feed;
pub mod input;
pub mod jitter;
pub mod log;
pub mod outcome;
pub mod progress;
pub mod report;
pub mod run;
pub mod serve;
mod settings;
pub mod submit;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::tuning::exit::Exit;

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
    /// Say whether a configuration is valid and what it comes to; connects to nothing
    Config(config::ConfigArgs),
    /// Probe this host, predict which figures an engine reaches on it, say what to mend first
    Doctor(doctor::DoctorArgs),
    /// Measure how long and how often CPUs are taken away from work that spins on them
    Jitter(jitter::JitterArgs),
}

/// Commands about the host, whose exit codes are those of [`Exit`]: 2 says something else there.
const HOST_COMMANDS: [&str; 3] = ["doctor", "jitter", "tune"];

impl Cli {
    /// From the program's arguments. Help and the version are printed here.
    ///
    /// # Errors
    /// The exit code, where there is nothing more to do: 0 after help, [`outcome::USAGE`] or
    /// [`Exit::Usage`] after wrong usage, which was told on standard error.
    pub fn from_arguments() -> Result<Cli, ExitCode> {
        Cli::try_parse().map_err(|error| {
            // Nobody can be told where the terminal is gone.
            let _ = error.print();
            let command = std::env::args().nth(1).unwrap_or_default();
            if !error.use_stderr() {
                ExitCode::SUCCESS
            } else if HOST_COMMANDS.contains(&command.as_str()) {
                Exit::Usage.into()
            } else {
                ExitCode::from(outcome::USAGE)
            }
        })
    }

    /// Does what was asked for; says how it went.
    pub fn execute(self) -> ExitCode {
        start_tracing();
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Serve(args) => serve::serve(args),
            Command::Submit(args) => submit::submit(args),
            Command::Log(args) => log::log(&args),
            Command::Config(args) => config::config(&args),
            Command::Doctor(args) => doctor::doctor(&args),
            Command::Jitter(args) => jitter::jitter(&args),
        }
    }
}

/// Events go to standard error, so that standard output holds results only. `CORELANE_LOG` says
/// which, as in `CORELANE_LOG=debug`; warnings and errors by default.
fn start_tracing() {
    let filter = EnvFilter::try_from_env("CORELANE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    // Fails only where a host program has set up tracing already, which then stays in force.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}
