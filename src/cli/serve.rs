//! `corelane serve`: a node that takes transactions from clients.
//!
//! Owns: its arguments. Never does: cores, storage, connections.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::outcome;
use super::settings::{self, Overrides};
use crate::config::{Config, ConfigError, StorageKind};
use crate::control::signals::{DumpSignal, StopSignal};
use crate::control::{Node, NodeOptions, logging};
use crate::engine::ledger::Ledger;

/// How often the node's health and the signals are looked at.
const WATCH: Duration = Duration::from_millis(20);

/// How long a graceful stop may take.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Arguments of `corelane serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration; the shipped default without it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory, made where it is missing
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Cores to run on
    #[arg(long, value_name = "N", value_parser = settings::cores)]
    pub cores: Option<u16>,
    /// Address to listen on instead of those of the configuration; may be repeated
    #[arg(long, value_name = "IP:PORT")]
    pub tcp: Vec<SocketAddr>,
    /// Unix socket to listen on instead of those of the configuration; may be repeated
    #[arg(long, value_name = "PATH")]
    pub unix: Vec<PathBuf>,
    /// Address for Kafka clients instead of those of the configuration; may be repeated
    #[arg(long, value_name = "IP:PORT")]
    pub kafka: Vec<SocketAddr>,
    /// Partitions of a topic whose creator does not say how many
    #[arg(long, value_name = "N")]
    pub default_partitions: Option<u32>,
    /// Address for metrics and health over HTTP instead of that of the configuration
    #[arg(long, value_name = "IP:PORT")]
    pub control: Option<SocketAddr>,
    /// Accept addresses that other machines can reach; there is neither encryption nor a password
    #[arg(long)]
    pub allow_remote: bool,
    /// Accept more cores than there are CPUs
    #[arg(long)]
    pub oversubscribe: bool,
    /// Start without the layout of CPUs where it does not hold
    #[arg(long)]
    pub allow_unplanned: bool,
}

impl ServeArgs {
    /// The configuration that the arguments ask for.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn config(&self) -> Result<Config, ConfigError> {
        Overrides {
            data_dir: self.data_dir.as_deref(),
            cores: self.cores,
            acks: None,
            tcp: &self.tcp,
            unix: &self.unix,
            kafka: &self.kafka,
            default_partitions: self.default_partitions,
            control: self.control,
            allow_remote: self.allow_remote,
            oversubscribe: self.oversubscribe,
            allow_unplanned: self.allow_unplanned,
        }
        .over(self.config.as_deref())
    }
}

/// Serves until told to stop, or until a core fails.
pub fn serve(args: ServeArgs) -> ExitCode {
    match execute(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => outcome::failed(error),
    }
}

fn execute(args: &ServeArgs) -> Result<(), Box<dyn Error>> {
    let config = args.config()?;
    logging::start(config.logging.format);
    super::doctor::warn(&config);
    let stop = StopSignal::listen()?;
    let dump = DumpSignal::listen()?;
    let node = Node::start(&config, NodeOptions::default(), Ledger::new)?;
    node.stay_with_housekeeping();
    let _lines = logging::leave_to_thread()?;
    for (stripe, torn) in node.torn_tails() {
        eprintln!("note: stripe {stripe}: {torn}");
    }
    announce(&node, &config);
    while !stop.is_asked() {
        if let Some(failure) = node.failure() {
            // What is durable stays so; the rest is for the next start to find out.
            let _ = node.stop();
            return Err(failure.into());
        }
        if dump.take() {
            eprintln!("{}", node.slowest());
        }
        std::thread::sleep(WATCH);
    }
    eprintln!("stopping: finishing what was taken in; a second signal stops at once");
    let drained = node.drain(DRAIN_MAX);
    let stopped = node.stop();
    // Where both failed, this one says why.
    stopped?;
    Ok(drained?)
}

/// Says where the node listens, one line an address: what starts it can wait for the last line.
fn announce(node: &Node, config: &Config) {
    for address in node.addresses() {
        eprintln!("listening on {address}");
    }
    for address in node.kafka_addresses() {
        eprintln!("listening on {address} (Kafka)");
    }
    for path in &config.gateway.unix {
        eprintln!("listening on unix:{}", path.display());
    }
    if let Some(address) = node.control_address() {
        eprintln!("listening on {address} (control)");
    }
    let records = match config.storage() {
        StorageKind::Embedded => format!("data directory {}", config.log.directory.display()),
        StorageKind::Clusters => {
            let names: Vec<&str> = config.clusters.keys().map(String::as_str).collect();
            format!("clusters {}", names.join(", "))
        }
    };
    eprintln!("ready: {} cores, {records}", node.cores());
}
