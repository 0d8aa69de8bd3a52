//! From arguments to one configuration.
//!
//! Owns: which argument overrides which key. Never does: defaults (those are in
//! `config/default.toml`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError};
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
    /// Arguments can only allow; what the file allows stays allowed.
    pub(super) allow_remote: bool,
    /// As `allow_remote`.
    pub(super) oversubscribe: bool,
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
        config.gateway.allow_remote |= self.allow_remote;
        config.node.oversubscribe |= self.oversubscribe;
    }
}

/// Parses `--cores`.
pub(super) fn cores(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|cores| (1..=CORES_MAX).contains(&usize::from(*cores)))
        .ok_or_else(|| format!("allowed: 1 to {CORES_MAX} cores"))
}
