//! Section `[control]`: where a node tells of itself over HTTP, as a type, with its defaults.
//!
//! Owns: names and defaults of the keys, and their one rule. Units, ranges and effects are documented
//! where users read them, in `config/default.toml`. Never does: binding the address.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, text};

/// Redpanda's admin port: whoever operates either looks there.
const USUAL_PORT: u16 = 9644;

/// Section `[control]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// Where metrics and health are served.
    #[serde(with = "text")]
    pub http: HttpChoice,
    /// Whether `http` may be an address that other machines can reach.
    pub allow_remote: bool,
}

/// Where metrics and health are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpChoice {
    /// Nowhere.
    Off,
    /// At this address; port 0 takes a free one.
    At(SocketAddr),
}

impl fmt::Display for HttpChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpChoice::Off => Ok(()),
            HttpChoice::At(address) => address.fmt(f),
        }
    }
}

impl FromStr for HttpChoice {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<HttpChoice, std::net::AddrParseError> {
        match text {
            "" => Ok(HttpChoice::Off),
            address => address.parse().map(HttpChoice::At),
        }
    }
}

impl Default for ControlConfig {
    fn default() -> ControlConfig {
        ControlConfig {
            http: HttpChoice::At(SocketAddr::from(([127, 0, 0, 1], USUAL_PORT))),
            allow_remote: false,
        }
    }
}

/// Whoever reaches the port reads everything that is there, so nobody opens it by accident.
pub(super) fn control_is_for_this_machine(config: &Config) -> Result<(), ConfigError> {
    match config.control.http {
        HttpChoice::At(address) if !address.ip().is_loopback() && !config.control.allow_remote => {
            Err(ConfigError::key(
                "control.http",
                format!("{address} can be reached from other machines"),
                "a loopback address, unless control.allow_remote = true",
            ))
        }
        HttpChoice::Off | HttpChoice::At(_) => Ok(()),
    }
}
