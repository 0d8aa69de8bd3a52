//! From arguments to one configuration.
//!
//! Owns: which argument overrides which key. Never does: defaults (those are in
//! `config/default.toml`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, HttpChoice};
use crate::ids::Acks;
use crate::limits::CORES_MAX;

/// What the arguments of a command say about the configuration; nothing where they are silent.
#[derive(Debug, Default)]
pub(super) struct Overrides<'a> {
    pub(super) data_dir: Option<&'a Path>,
    pub(super) cores: Option<u16>,
    pub(super) acks: Option<Acks>,
    pub(super) tcp: &'a [SocketAddr],
    pub(super) unix: &'a [PathBuf],
    pub(super) kafka: &'a [SocketAddr],
    pub(super) default_partitions: Option<u32>,
    pub(super) control: Option<SocketAddr>,
    /// Arguments can only allow; what the file allows stays allowed.
    pub(super) allow_remote: bool,
    /// As `allow_remote`.
    pub(super) oversubscribe: bool,
    /// As `allow_remote`.
    pub(super) allow_unplanned: bool,
}

impl Overrides<'_> {
    /// The file's configuration, or the default, with the arguments over it.
    pub(super) fn over(&self, file: Option<&Path>) -> Result<Config, ConfigError> {
        match file {
            Some(path) => Config::load_with(path, |config| self.apply(config)),
            None => {
                let mut config = Config::default();
                self.apply(&mut config);
                config.validate()?;
                Ok(config)
            }
        }
    }

    fn apply(&self, config: &mut Config) {
        if let Some(directory) = self.data_dir {
            config.log.directory = directory.to_path_buf();
        }
        if let Some(cores) = self.cores {
            config.node.cores = cores;
        }
        if let Some(acks) = self.acks {
            config.transactions.acks = acks;
        }
        // Naming one way in closes those of the configuration.
        if !(self.tcp.is_empty() && self.unix.is_empty()) {
            config.gateway.tcp = self.tcp.to_vec();
            config.gateway.unix = self.unix.to_vec();
        }
        // As above. What the others advertised is not where this one is.
        if !self.kafka.is_empty() {
            config.broker.turn_off();
            config.broker.listen = self.kafka.to_vec();
        }
        if let Some(partitions) = self.default_partitions {
            config.broker.default_partitions = partitions;
        }
        if let Some(address) = self.control {
            config.control.http = HttpChoice::At(address);
        }
        config.gateway.allow_remote |= self.allow_remote;
        config.control.allow_remote |= self.allow_remote;
        config.node.oversubscribe |= self.oversubscribe;
        config.node.allow_unplanned |= self.allow_unplanned;
    }
}

/// Parses `--cores`.
pub(super) fn cores(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|cores| (1..=CORES_MAX).contains(&usize::from(*cores)))
        .ok_or_else(|| format!("allowed: 1 to {CORES_MAX} cores"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Acks;

    #[test]
    fn arguments_override_the_file_and_silence_keeps_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("node.toml");
        let text =
            "[node]\ncores = 3\n[transactions]\nacks = \"leader\"\n[log]\ndirectory = \"a\"\n";
        std::fs::write(&file, text).expect("written");
        let kept = Overrides::default().over(Some(&file)).expect("valid");
        assert_eq!(kept.node.cores, 3);
        assert_eq!(kept.transactions.acks, Acks::Leader);
        assert_eq!(kept.log.directory, Path::new("a"));
        let overrides = Overrides {
            data_dir: Some(Path::new("b")),
            cores: Some(2),
            acks: Some(Acks::None),
            oversubscribe: true,
            ..Overrides::default()
        };
        let changed = overrides.over(Some(&file)).expect("valid");
        assert_eq!(changed.node.cores, 2);
        assert!(changed.node.oversubscribe);
        assert_eq!(changed.transactions.acks, Acks::None);
        assert_eq!(changed.log.directory, Path::new("b"));
    }

    /// Otherwise `--unix` alone would leave a TCP port open that nobody asked for.
    #[test]
    fn one_way_in_closes_those_of_the_configuration() {
        let unix = [PathBuf::from("socket")];
        let overrides = Overrides {
            unix: &unix,
            ..Overrides::default()
        };
        let config = overrides.over(None).expect("valid");
        assert!(config.gateway.tcp.is_empty());
        assert_eq!(config.gateway.unix, unix);
    }

    /// Otherwise a port of the configuration would stay open, or its name be told for this one.
    #[test]
    fn an_address_for_kafka_clients_replaces_all_of_the_configuration() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("node.toml");
        let text = "[broker]\nlisten = [\"127.0.0.1:1\"]\nadvertised = [\"host:1\"]\n";
        std::fs::write(&file, text).expect("written");
        let kafka = ["127.0.0.1:2".parse().expect("an address")];
        let overrides = Overrides {
            kafka: &kafka,
            default_partitions: Some(3),
            ..Overrides::default()
        };
        let broker = overrides.over(Some(&file)).expect("valid").broker;
        assert_eq!(broker.listen, kafka);
        assert!(broker.advertised.is_empty());
        assert_eq!(broker.default_partitions, 3);
        let none = Overrides {
            default_partitions: Some(0),
            ..Overrides::default()
        };
        assert!(none.over(None).is_err());
    }

    #[test]
    fn without_a_file_the_rules_hold_for_arguments_too() {
        let tcp = ["0.0.0.0:1".parse().expect("an address")];
        let mut overrides = Overrides {
            tcp: &tcp,
            ..Overrides::default()
        };
        assert!(overrides.over(None).is_err());
        overrides.allow_remote = true;
        assert_eq!(overrides.over(None).expect("allowed").gateway.tcp, tcp);
        let mut overrides = Overrides {
            control: Some(tcp[0]),
            ..Overrides::default()
        };
        assert!(overrides.over(None).is_err());
        overrides.allow_remote = true;
        let config = overrides.over(None).expect("allowed");
        assert_eq!(config.control.http, HttpChoice::At(tcp[0]));
    }
}
