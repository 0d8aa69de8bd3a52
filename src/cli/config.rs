//! `corelane config`: whether a configuration is valid, and what it comes to. Connects to nothing.
//!
//! Owns: its arguments, and how the result is printed. Never does: the rules ([`crate::config`]).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::outcome;
use super::settings::Overrides;
use crate::config::{ClientProperties, Config, ConfigError};
use crate::ids::CoreId;
use crate::kafka::properties::{Property, masked};

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

/// What is printed as JSON without `--effective`.
#[derive(Debug, Serialize)]
struct Valid {
    valid: bool,
}

/// What is printed with `--effective`.
#[derive(Serialize)]
struct Effective {
    config: Config,
    /// By cluster.
    clients: BTreeMap<String, Clients>,
}

/// librdkafka's properties of a cluster's clients, secrets masked.
#[derive(Serialize)]
struct Clients {
    producer: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactional_producer: Option<BTreeMap<String, String>>,
    consumer: BTreeMap<String, String>,
}

/// The core whose clients are shown, with one partition of each cluster.
const SHOWN: (CoreId, u32) = (CoreId(0), 1);

/// Checks and prints.
pub fn config(args: &ConfigArgs) -> ExitCode {
    let config = match Overrides::default().over(args.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return outcome::failed(error),
    };
    if !args.effective {
        return if args.json {
            outcome::print(json(&Valid { valid: true }))
        } else {
            outcome::print("valid")
        };
    }
    match Effective::of(&config) {
        Ok(effective) if args.json => outcome::print(json(&effective)),
        Ok(effective) => outcome::print(effective),
        Err(error) => outcome::failed(error),
    }
}

impl Effective {
    fn of(config: &Config) -> Result<Effective, ConfigError> {
        let mut clients = BTreeMap::new();
        for (name, cluster) in &config.clusters {
            let properties = config.client_properties(name, cluster, SHOWN.0, SHOWN.1)?;
            clients.insert(name.clone(), Clients::of(&properties));
        }
        Ok(Effective {
            config: config.effective(),
            clients,
        })
    }
}

impl Clients {
    fn of(properties: &ClientProperties) -> Clients {
        // A later entry wins, as it does in librdkafka.
        let shown = |list: &Vec<Property>| masked(list).into_iter().collect();
        Clients {
            producer: shown(&properties.producer),
            transactional_producer: properties.transactional_producer.as_ref().map(shown),
            consumer: shown(&properties.consumer),
        }
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &BTreeMap<String, String>)> {
        let transactional = self.transactional_producer.as_ref();
        [
            ("producer", Some(&self.producer)),
            ("transactional producer", transactional),
            ("consumer", Some(&self.consumer)),
        ]
        .into_iter()
        .filter_map(|(name, properties)| Some((name, properties?)))
    }
}

/// TOML that is a configuration; librdkafka's properties are comments in it.
impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.config.to_toml().trim_end())?;
        if !self.clients.is_empty() {
            f.write_str(
                "\n\n# librdkafka's properties for the clients of core 0 with one partition. More \
                 partitions: more\n# memory. Other cores: other names.",
            )?;
        }
        for (cluster, clients) in &self.clients {
            for (client, properties) in clients.named() {
                write!(f, "\n#\n# {cluster}: {client}")?;
                for (name, value) in properties {
                    // Quoted, so that a value of many lines stays in the comment.
                    write!(f, "\n#   {name} = {value:?}")?;
                }
            }
        }
        Ok(())
    }
}

fn json(result: &impl Serialize) -> String {
    serde_json::to_string(result).expect("text, lists and numbers only")
}
