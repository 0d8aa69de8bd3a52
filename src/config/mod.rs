//! Configuration: TOML text to one typed, validated [`Config`].
//!
//! Owns: the keys, their defaults, their ranges and the rules between them. `config/default.toml`
//! is the reference: it names every key and parses to [`Config::default`]. Never does: acting on a
//! value; only `control` and `cli` see the whole of it, every other module takes its own options.
//! Runs on: the main thread, before the first core starts.

mod bounds;
mod error;
mod locate;
mod sections;
mod shards;
#[cfg(test)]
mod tests;
mod validate;

pub use error::{ConfigError, Place};
pub use sections::{
    Config, DefaultShardConfig, GatewayConfig, Idle, LogConfig, NodeConfig, ProcessingConfig,
    ReadAt, TopicConfig, TransactionsConfig,
};
pub use shards::ShardConfig;

use std::path::Path;

impl Config {
    /// Reads, parses and validates a file.
    ///
    /// # Errors
    /// Names the file and, where there is one, the line, the key and what is allowed.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            file: file.clone(),
            source,
        })?;
        Config::parse(&text, &file)
    }

    /// Parses and validates TOML; `file` is the name that errors give the text.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
        let config: Config =
            toml::from_str(text).map_err(|error| error::from_toml(&error, text, file))?;
        match config.validate() {
            Ok(()) => Ok(config),
            Err(error) => Err(error.placed(text, file)),
        }
    }
}
