//! A host as the knobs see it: its files and programs, its CPUs, the layout, and what is wanted.
//!
//! Owns: what every probe needs, read once. Never does: changing anything. Runs on: the main thread
//! of a command.

use std::collections::BTreeSet;

use serde::Serialize;

use super::change::Reach;
use super::commands::Commands;
use super::profile::Profile;
use super::state::State;
use crate::cpu::{Layout, Sys, SysError, Topology};

/// A host.
pub struct Host<'a> {
    /// Its files.
    pub sys: &'a dyn Sys,
    /// Its programs.
    pub commands: &'a dyn Commands,
    /// Its CPUs, nodes and devices.
    pub topology: Topology,
    /// Who runs where; else why nobody is set apart.
    pub layout: Result<Layout, String>,
    /// What is wanted of it.
    pub profile: Profile,
    /// Which host it is.
    pub facts: Facts,
    /// Files that refused a value since the last boot because the kernel keeps it to itself, as the
    /// state says: what cannot be told from reading them.
    pub unmanageable: BTreeSet<String>,
}

/// Which host it is. A fact that cannot be read is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// The host's name; not in the JSON, since it is of no use to a reader elsewhere.
    #[serde(skip)]
    pub name: String,
}

/// What a file of the host holds, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// This.
    Text(String),
    /// There is no such file.
    Missing,
    /// It is there and does not tell.
    Unreadable(SysError),
}

impl Reading {
    /// What the file holds, if it is known.
    pub fn text(&self) -> Option<&str> {
        match self {
            Reading::Text(text) => Some(text),
            Reading::Missing | Reading::Unreadable(_) => None,
        }
    }
}

impl Host<'_> {
    /// What a file holds.
    pub fn read(&self, path: &str) -> Reading {
        match self.sys.read(path) {
            Ok(text) => Reading::Text(text),
            Err(error) if error.is_missing() => Reading::Missing,
            Err(error) => Reading::Unreadable(error),
        }
    }

    /// What changes are made and looked at through.
    pub fn reach(&self) -> Reach<'_> {
        Reach {
            sys: self.sys,
            commands: self.commands,
        }
    }

    /// Takes from the state what cannot be told from reading the host's files.
    pub fn know(&mut self, state: &State) {
        let known = state.unmanageable(&self.facts.boot_id);
        self.unmanageable = known.map(str::to_owned).collect();
    }
}

impl Facts {
    /// Reads them.
    pub fn read(sys: &dyn Sys) -> Facts {
        let read = |path: &str| sys.read(path).unwrap_or_default().trim().to_owned();
        Facts {
            machine_id: read("/etc/machine-id"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: model(&read("/proc/cpuinfo")),
            name: read("/proc/sys/kernel/hostname"),
        }
    }
}

/// The processor's name in `/proc/cpuinfo`; other architectures than x86 do not give it.
fn model(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, name)| name.trim().to_owned())
        .unwrap_or_default()
}
