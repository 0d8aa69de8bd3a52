//! `corelane submit`: a file of transactions to a running node.
//!
//! Owns: its arguments. Never does: frames (that is [`crate::client`]).

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::input::{InputError, InputReader, OnError};
use crate::ids::Acks;
use crate::limits::PAYLOAD_BYTES_MAX;

/// Arguments of `corelane submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The node: HOST:PORT, or the path of its Unix socket
    #[arg(long, value_name = "ADDR")]
    pub to: String,
    /// Transactions: JSON Lines, plain, .gz or .zst; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Connections to open; the same id always takes the same one
    #[arg(long, value_name = "N", default_value = "1")]
    pub connections: NonZeroU16,
    /// Transactions that may be unanswered on each connection
    #[arg(long, value_name = "N", default_value = "256")]
    pub in_flight: NonZeroU32,
    /// What a receipt promises: none, leader (in memory) or all (durable)
    #[arg(long, value_name = "LEVEL", default_value = "all")]
    pub acks: Acks,
    /// Transactions per second, whatever the answers; as fast as they are taken without it
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU64>,
    /// What to do about a line that is no transaction
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub on_error: OnError,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

impl SubmitArgs {
    /// The transactions of the file. The node's own bound of a payload is the node's to enforce.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn transactions(&self) -> Result<InputReader, InputError> {
        InputReader::open(&self.input, PAYLOAD_BYTES_MAX, self.on_error)
    }
}

/// Submits the file.
pub fn submit(args: SubmitArgs) -> ExitCode {
    match args.transactions() {
        Ok(_) => super::outcome::failed("this build has no client to submit with"),
        Err(error) => super::outcome::failed(error),
    }
}
