//! What is wanted of a host beyond the catalogue's defaults: `tuning.toml`.
//!
//! Owns: its keys, the profiles that are shipped, and errors that name file, line and what is
//! allowed. Never does: looking at the host. Runs on: the main thread of a command.

use std::path::{self, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::item::Group;
use crate::cpu::{self, LayoutOptions, Sys, SysError};

/// Where the profile of a host lies, if it has one of its own.
pub const PROFILE_PATH: &str = "/etc/corelane/tuning.toml";

/// The largest `net.rx_usecs`: drivers take 16 bits at least, and a millisecond is no tuning.
const RX_USECS_MAX: u32 = 1_000;

const SHIPPED: [(&str, &str); 3] = [
    ("laptop", include_str!("../../tuning/profiles/laptop.toml")),
    ("metal", include_str!("../../tuning/profiles/metal.toml")),
    ("vm", include_str!("../../tuning/profiles/vm.toml")),
];

/// What is wanted of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// Where it comes from: a shipped one's name, or a file.
    #[serde(skip_deserializing)]
    pub name: String,
    /// The folder of the engine's data, which tells the device it lies on.
    pub data_dir: Option<PathBuf>,
    /// The network interface that clients and clusters come through; every one without it.
    pub nic: Option<String>,
    /// What the queues of that interface serve.
    pub net_mode: NetMode,
    /// At most this many shards.
    pub max_shards: Option<u16>,
    /// What becomes of the second thread of a shard's physical core.
    pub smt: Smt,
    /// Frequencies above the nominal one.
    pub boost: Boost,
    /// Whether shards are to run without the timer tick (`nohz_full`).
    pub nohz: bool,
    /// Settings of the network interface.
    pub net: Net,
    /// The groups that are set: A, B, and C where its knobs are wanted. R is always reported.
    pub groups: Vec<Group>,
    /// Knobs that are left alone.
    pub skip: Vec<String>,
}

/// What the queues of the network interface serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetMode {
    /// The CPUs of client I/O: shards see no network at all.
    #[default]
    ClientIo,
    /// Shards, one queue each.
    PerShard,
}

/// What becomes of the second thread of a shard's physical core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Smt {
    /// It stays, and nothing runs on it.
    #[default]
    Park,
    /// It is switched off.
    Off,
}

/// Frequencies above the nominal one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boost {
    /// As they are.
    #[default]
    Keep,
    /// Used.
    On,
    /// Not used.
    Off,
}

/// Settings of the network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Net {
    /// Microseconds that a receive interrupt may be held back; the driver's own without it.
    pub rx_usecs: Option<u32>,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No profile of that name is shipped.
    #[error("unknown profile {name}; known: {known}, or the path of a file")]
    Unknown {
        /// Asked for.
        name: String,
        /// Those that are shipped.
        known: String,
    },
    /// The file cannot be read.
    #[error("profile {file} cannot be read: {source}")]
    Read {
        /// Which.
        file: String,
        /// The system's words.
        source: io::Error,
    },
    /// The host's own profile cannot be read.
    #[error(transparent)]
    Host(#[from] SysError),
    /// A line says what cannot be.
    #[error("profile {file} line {line}: {key}: {problem}{}", allowed_suffix(.allowed))]
    Bad {
        /// Which file.
        file: String,
        /// Which line, from 1.
        line: usize,
        /// The key, or what stands in its place.
        key: String,
        /// What is wrong.
        problem: String,
        /// What would be right; empty where the problem says so.
        allowed: String,
    },
}

fn allowed_suffix(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("; allowed: {text}")
    }
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            name: "defaults".to_owned(),
            data_dir: None,
            nic: None,
            net_mode: NetMode::default(),
            max_shards: None,
            smt: Smt::default(),
            boost: Boost::default(),
            nohz: false,
            net: Net::default(),
            groups: vec![Group::A, Group::B],
            skip: Vec::new(),
        }
    }
}

impl Profile {
    /// The profile that `named` asks for: the name of a shipped one, or a file, which is known by a
    /// slash or its ending, and then called by its absolute path. Without a name: the host's own, else `vm` or `metal` as its processor says.
    /// `ids` are the knobs that there are.
    ///
    /// # Errors
    /// It is not there, or it says what cannot be.
    pub fn find(
        named: Option<&str>,
        sys: &dyn Sys,
        ids: &[&'static str],
    ) -> Result<Profile, ProfileError> {
        match named {
            Some(file) if file.contains('/') || file.ends_with(".toml") => {
                let failed = |source| ProfileError::Read {
                    file: file.to_owned(),
                    source,
                };
                let text = fs::read_to_string(file).map_err(failed)?;
                let mut profile = Profile::parse(&text, file, ids)?;
                // The service at boot finds it by this name, from another folder.
                let absolute = path::absolute(file).map_err(failed)?;
                profile.name = absolute.to_string_lossy().into_owned();
                Ok(profile)
            }
            Some(name) => Profile::shipped(name),
            None if sys.exists(PROFILE_PATH) => {
                Profile::parse(&sys.read(PROFILE_PATH)?, PROFILE_PATH, ids)
            }
            None => Profile::shipped(if is_virtual(sys) { "vm" } else { "metal" }),
        }
    }

    /// A profile that is shipped.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn shipped(name: &str) -> Result<Profile, ProfileError> {
        let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) else {
            return Err(ProfileError::Unknown {
                name: name.to_owned(),
                known: SHIPPED.map(|(name, _)| name).join(", "),
            });
        };
        read(text, name)
    }

    /// A profile from its text; `file` is its name in errors.
    ///
    /// # Errors
    /// It is no TOML, a key is unknown, or a value cannot be.
    pub fn parse(text: &str, file: &str, ids: &[&'static str]) -> Result<Profile, ProfileError> {
        let profile = read(text, file)?;
        let bad = |key: &str, problem: String, allowed: String| ProfileError::Bad {
            file: file.to_owned(),
            line: line_of_key(text, key),
            key: key.to_owned(),
            problem,
            allowed,
        };
        if let Some(id) = profile.skip.iter().find(|id| !ids.contains(&id.as_str())) {
            return Err(bad("skip", format!("unknown knob {id}"), ids.join(", ")));
        }
        if profile.max_shards == Some(0) {
            let allowed = format!("1 to {}", crate::limits::CORES_MAX);
            return Err(bad("max_shards", "0".to_owned(), allowed));
        }
        if let Some(usecs) = profile.net.rx_usecs.filter(|usecs| *usecs > RX_USECS_MAX) {
            return Err(bad(
                "rx_usecs",
                usecs.to_string(),
                format!("0 to {RX_USECS_MAX}"),
            ));
        }
        if let Some(folder) = profile.data_dir.as_ref().filter(|path| !path.is_absolute()) {
            let problem = format!("{} starts at no fixed folder", folder.display());
            return Err(bad(
                "data_dir",
                problem,
                "a path that starts with /".to_owned(),
            ));
        }
        if let Some(nic) = profile.nic.as_ref().filter(|nic| !is_interface(nic)) {
            let allowed = "a name as in /sys/class/net".to_owned();
            return Err(bad("nic", format!("{nic:?} is no interface"), allowed));
        }
        Ok(profile)
    }

    /// What it says about the layout.
    pub fn layout_options(&self) -> LayoutOptions {
        let data_dir = self.data_dir.as_ref();
        LayoutOptions {
            max_shards: self.max_shards,
            nic: self.nic.clone(),
            data_dir: data_dir.map(|path| path.to_string_lossy().into_owned()),
            net_mode: match self.net_mode {
                NetMode::ClientIo => cpu::NetMode::ClientIo,
                NetMode::PerShard => cpu::NetMode::PerShard,
            },
            // Known to the engine's configuration only; the least there is.
            broker_connections: 0,
        }
    }

    /// Whether knobs of a group are set by this profile.
    pub fn sets(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }
}

/// What the text says, not yet judged.
fn read(text: &str, file: &str) -> Result<Profile, ProfileError> {
    let mut profile: Profile =
        toml::from_str(text).map_err(|error| from_toml(&error, text, file))?;
    file.clone_into(&mut profile.name);
    Ok(profile)
}

/// The kernel's rule (dev_valid_name in net/core/dev.c): up to 15 bytes, no slash, no blank, no dots
/// alone.
fn is_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}

/// Whether the processor says that a hypervisor lies beneath it.
fn is_virtual(sys: &dyn Sys) -> bool {
    sys.read("/proc/cpuinfo").is_ok_and(|text| {
        text.lines()
            .filter(|line| line.starts_with("flags"))
            .any(|line| line.split_whitespace().any(|flag| flag == "hypervisor"))
    })
}

/// The parser's error, which names what it expected, with its line and the key there.
fn from_toml(error: &toml::de::Error, text: &str, file: &str) -> ProfileError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = 1 + text[..at].matches('\n').count();
    let words = text.lines().nth(line - 1).unwrap_or_default();
    let key = words.split('=').next().unwrap_or_default().trim();
    ProfileError::Bad {
        file: file.to_owned(),
        line,
        key: if key.is_empty() { "text" } else { key }.to_owned(),
        problem: error.message().to_owned(),
        allowed: String::new(),
    }
}

/// The line on which `key` is given; the first where it is not.
fn line_of_key(text: &str, key: &str) -> usize {
    let is_given = |line: &str| {
        let name = line.split('=').next().unwrap_or_default().trim();
        line.contains('=') && (name == key || name.ends_with(&format!(".{key}")))
    };
    1 + text.lines().position(is_given).unwrap_or(0)
}

#[cfg(test)]
mod tests;
