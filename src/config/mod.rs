//! Configuration: TOML text to one typed, validated [`Config`].
//!
//! Owns: the keys, their defaults, their ranges and the rules between them. `config/default.toml`
//! is the reference: it names every key and parses to [`Config::default`]. Never does: acting on a
//! value; only `control` and `cli` see the whole of it, every other module takes its own options.
//! Runs on: the main thread, before the first core starts.

mod bounds;
mod broker;
mod broker_rules;
mod cluster_bounds;
mod cluster_rules;
mod clusters;
mod control;
mod effective;
mod error;
mod extra;
mod locate;
mod placement_rules;
mod resolve;
mod secret;
mod sections;
mod shard_rules;
mod shards;
#[cfg(test)]
mod tests;
mod text;
mod trace;
mod validate;

pub use crate::kafka::properties::MASK;
pub use broker::{BrokerConfig, BrokerTls, BrokerUser};
pub use broker_rules::INLET;
pub use clusters::{
    ClusterConfig, ConsumerKeys, Delivery, EMBEDDED, Failover, MembershipConfig, MembershipMode,
    ProducerKeys, Profile, SaslConfig, TlsConfig, TransactionKeys,
};
pub use control::{ControlConfig, HttpChoice};
pub use effective::ClientProperties;
pub use error::{ConfigError, Place};
pub use resolve::StorageKind;
pub use secret::{Extra, Secret};
pub use sections::{
    Config, DefaultShardConfig, GatewayConfig, Idle, LayoutChoice, LogConfig, NodeConfig,
    ProcessingConfig, ReadAt, TopicConfig, TransactionsConfig,
};
pub use shards::ShardConfig;
pub use trace::{HAS_OTLP, LogFormat, LoggingConfig, TraceConfig};

use std::path::Path;

impl Config {
    /// Reads, parses and validates a file.
    ///
    /// # Errors
    /// Names the file and, where there is one, the line, the key and what is allowed.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::load_with(path, |_| {})
    }

    /// As [`Config::load`], with changes to make before the rules are checked.
    ///
    /// # Errors
    /// As [`Config::load`]; where only the changes break a rule, the file is not named.
    pub fn load_with(path: &Path, change: impl FnOnce(&mut Config)) -> Result<Config, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse_with(&text, &file, change),
            Err(source) => Err(ConfigError::Read { file, source }),
        }
    }

    /// Parses and validates TOML; `file` is the name that errors give the text.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        Config::parse_with(text, file, |_| {})
    }

    fn parse_with(
        text: &str,
        file: &str,
        change: impl FnOnce(&mut Config),
    ) -> Result<Config, ConfigError> {
        let mut parsed: Config =
            toml::from_str(text).map_err(|error| error::from_toml(&error, text, file))?;
        parsed
            .read_brokers()
            .map_err(|error| error.placed(text, file))?;
        let mut config = parsed.clone();
        change(&mut config);
        config.validate().map_err(|error| {
            let is_of_the_text = parsed
                .validate()
                .is_err_and(|own| own.to_string() == error.to_string());
            if is_of_the_text {
                error.placed(text, file)
            } else {
                error
            }
        })?;
        Ok(config)
    }
}
