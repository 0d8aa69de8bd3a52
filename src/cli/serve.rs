//! `corelane serve`: a node that takes transactions from clients.
//!
//! Owns: its arguments. Never does: cores, storage, connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::outcome;
use super::settings::{self, Overrides};
use crate::config::{Config, ConfigError};

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
    /// Accept addresses that other machines can reach; there is neither encryption nor a password
    #[arg(long)]
    pub allow_remote: bool,
    /// Accept more cores than there are CPUs
    #[arg(long)]
    pub oversubscribe: bool,
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
            allow_remote: self.allow_remote,
            oversubscribe: self.oversubscribe,
        }
        .over(self.config.as_deref())
    }
}

/// Serves until told to stop.
pub fn serve(args: ServeArgs) -> ExitCode {
    match args.config() {
        Ok(_) => outcome::failed("this build reads its configuration but has no node to serve"),
        Err(error) => outcome::failed(error),
    }
}
