//! `corelane config`: whether a configuration is valid, and what it comes to. Connects to nothing.
//!
//! Owns: its arguments, and how the result is printed. Never does: the rules ([`crate::config`]).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::outcome;
use super::settings::Overrides;

/// Arguments of `corelane config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Configuration; the shipped default without it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print every key with its value, and the librdkafka properties of each cluster's clients
    #[arg(long)]
    effective: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Valid {
    valid: bool,
}

/// Checks and prints.
pub fn config(args: &ConfigArgs) -> ExitCode {
    let config = match Overrides::default().over(args.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return outcome::failed(error),
    };
    match (args.effective, args.json) {
        (false, false) => outcome::print("valid"),
        (false, true) => outcome::print(json(&Valid { valid: true })),
        (true, false) => outcome::print(config.effective().to_toml().trim_end()),
        (true, true) => outcome::print(json(&config.effective())),
    }
}

fn json(result: &impl Serialize) -> String {
    serde_json::to_string(result).expect("text, lists and numbers only")
}
