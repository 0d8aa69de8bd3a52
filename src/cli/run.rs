//! `corelane run`: a file of transactions through a node in this process.
//!
//! Owns: its arguments and what is wrong with them. Never does: cores, storage.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::input::{InputError, InputReader, InputTransaction, OnError};
use super::outcome;
use super::settings::{self, Overrides};
use crate::config::{Config, ConfigError};
use crate::ids::Acks;

/// Arguments of `corelane run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Transactions: JSON Lines, plain, .gz or .zst; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Configuration; the shipped default without it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data directory, made where it is missing
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Cores to run on
    #[arg(long, value_name = "N", value_parser = settings::cores)]
    pub cores: Option<u16>,
    /// What a receipt promises: none, leader (in memory) or all (durable)
    #[arg(long, value_name = "LEVEL")]
    pub acks: Option<Acks>,
    /// Transactions per second, whatever the answers; as fast as they are taken without it
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU64>,
    /// Times to submit the file, each time but the first with fresh ids
    #[arg(long, value_name = "N", default_value = "1")]
    pub repeat: NonZeroU32,
    /// What to do about a line that is no transaction
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub on_error: OnError,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Accept more cores than there are CPUs
    #[arg(long)]
    pub oversubscribe: bool,
}

impl RunArgs {
    /// The configuration that the arguments ask for.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn config(&self) -> Result<Config, ConfigError> {
        Overrides {
            data_dir: self.data_dir.as_deref(),
            cores: self.cores,
            acks: self.acks,
            oversubscribe: self.oversubscribe,
            ..Overrides::default()
        }
        .over(self.config.as_deref())
    }

    /// The transactions of the file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn transactions(&self, config: &Config) -> Result<InputReader, InputError> {
        let payload_bytes_max = config.transactions.payload_bytes_max as usize;
        InputReader::open(&self.input, payload_bytes_max, self.on_error)
    }
}

/// Runs the file through a node.
pub fn run(args: RunArgs) -> ExitCode {
    match read(&args) {
        Ok(_) => outcome::failed("this build reads transactions but has no node to run them"),
        Err(error) => outcome::failed(error),
    }
}

/// Everything that can be wrong with the arguments and the file is found before a core starts.
fn read(args: &RunArgs) -> Result<Vec<InputTransaction>, Box<dyn std::error::Error>> {
    let config = args.config()?;
    let mut reader = args.transactions(&config)?;
    let transactions: Vec<InputTransaction> = reader.by_ref().collect::<Result<_, _>>()?;
    if transactions.is_empty() {
        return Err(format!("no transactions in {}", reader.file()).into());
    }
    Ok(transactions)
}
