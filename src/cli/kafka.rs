//! What the commands about a broker have in common: where it is.
//!
//! Owns: those arguments. Never does: questions. Runs on: the main thread.

use std::time::Duration;

use clap::Args;

use crate::kafka::operator::{Operator, OperatorError};

/// How to reach the brokers.
#[derive(Debug, Args)]
pub struct BrokerArgs {
    /// Brokers to start from, HOST:PORT, separated by commas
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// Property of librdkafka, as security.protocol=ssl; may be repeated
    #[arg(long = "property", short = 'X', value_name = "KEY=VALUE", value_parser = pair)]
    pub properties: Vec<(String, String)>,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

impl BrokerArgs {
    /// A client of these brokers.
    ///
    /// # Errors
    /// librdkafka refuses a property.
    pub(super) fn operator(&self) -> Result<Operator, OperatorError> {
        let brokers = ("bootstrap.servers".to_owned(), self.brokers.clone());
        let properties: Vec<_> = std::iter::once(brokers)
            .chain(self.properties.iter().cloned())
            .collect();
        Operator::new(&properties, Duration::from_secs(self.timeout))
    }
}

/// Parses `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected KEY=VALUE".to_owned()),
    }
}

/// A result as JSON.
pub(super) fn json(result: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(result).expect("numbers and strings always serialize")
}
