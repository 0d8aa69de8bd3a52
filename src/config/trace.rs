//! Sections `[trace]` and `[logging]`: what a node tells of single transactions and of itself, as types,
//! with their defaults.
//!
//! Owns: names and defaults of the keys, and their rules. Units, ranges and effects are documented
//! where users read them, in `config/default.toml`. Never does: writing a line; connecting.

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

/// Section `[trace]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceConfig {
    /// Share of the transactions without a context that are traced.
    pub sample: f64,
    /// Whether those that the flight recorder keeps are told of as well.
    pub slowest: bool,
    /// Where spans are sent; empty = nowhere.
    pub otlp: String,
}

/// Section `[logging]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoggingConfig {
    /// How lines look.
    pub format: LogFormat,
}

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Whether spans can be sent, or were left out when the program was built.
pub const HAS_OTLP: bool = cfg!(any(feature = "otlp", test));

pub(super) fn trace_is_valid(config: &Config) -> Result<(), ConfigError> {
    let TraceConfig { sample, otlp, .. } = &config.trace;
    // Written so that what is no number is refused, too.
    if !(0.0..=1.0).contains(sample) {
        let problem = format!("{sample} is out of range");
        return Err(ConfigError::key("trace.sample", problem, "0.0 to 1.0"));
    }
    if otlp.is_empty() {
        return Ok(());
    }
    if !HAS_OTLP {
        let problem = "this program was built without the feature otlp";
        return Err(ConfigError::key("trace.otlp", problem, "\"\""));
    }
    let is_url = otlp
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(host, _)| !host.is_empty());
    match is_url {
        true => Ok(()),
        false => Err(ConfigError::key(
            "trace.otlp",
            format!("{otlp:?} is no such address"),
            "\"http://HOST:PORT/v1/traces\" or \"\"",
        )),
    }
}
