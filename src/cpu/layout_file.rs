//! The layout's file: written by `corelane tune`, obeyed by the engine.
//!
//! Owns: where it is, its form, whether it still holds. Never does: deciding what is in it; what to
//! do about a stale one. Runs on: the main thread.

use serde_json::error::Category;

use super::layout::{LAYOUT_SCHEMA, Layout, LayoutError};
use super::sys::{Sys, SysError};
use super::topology::{Topology, TopologyError};

/// Where the layout is. `/run` is emptied by a boot, and so is the layout, on purpose: after it CPUs
/// and interrupts may have other numbers.
pub const LAYOUT_PATH: &str = "/run/corelane/layout.json";

/// The kernel's name for this boot.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// Why a layout could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutFileError {
    /// It is not there, or may not be read or written.
    #[error(transparent)]
    File(#[from] SysError),
    /// It is no layout.
    #[error("{path}: is no layout: {reason}")]
    Malformed {
        /// Which file.
        path: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// It is one of another version of this program.
    #[error(
        "{path}: schema is {schema}; this version reads {LAYOUT_SCHEMA} ('corelane tune layout \
         --write' writes it anew)"
    )]
    OtherSchema {
        /// Which file.
        path: String,
        /// As it says.
        schema: u64,
    },
    /// It contradicts itself or the host.
    #[error("{path}: {source}")]
    Invalid {
        /// Which file.
        path: String,
        /// What is wrong.
        source: LayoutError,
    },
    /// It was made for this host as it was.
    #[error("{path}: is stale: {stale}; 'corelane tune layout --write' writes it anew")]
    Stale {
        /// Which file.
        path: String,
        /// What has changed.
        stale: Stale,
    },
    /// What the host has cannot be found out.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Why a layout does not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// The host was started again since.
    #[error("it is from another boot")]
    Boot,
    /// The host's CPUs are not those it was made for, or somebody edited it.
    #[error(
        "the CPUs that run are not those it was made for, or it was edited (then leave out its 'hash')"
    )]
    Hash,
}

impl LayoutFileError {
    /// Whether there is no file.
    pub fn is_missing(&self) -> bool {
        matches!(self, LayoutFileError::File(error) if error.is_missing())
    }
}

/// The kernel's name for this boot, anew with each.
///
/// # Errors
/// It cannot be read.
pub fn boot_id(sys: &dyn Sys) -> Result<String, SysError> {
    Ok(sys.read(BOOT_ID_PATH)?.trim().to_owned())
}

impl Layout {
    /// Reads a layout from its place.
    ///
    /// # Errors
    /// It is not there or is none. Whether it holds is another question.
    pub fn read(sys: &dyn Sys) -> Result<Layout, LayoutFileError> {
        Layout::read_from(sys, LAYOUT_PATH)
    }

    /// Reads a layout from a file.
    ///
    /// # Errors
    /// It is not there or is none. Whether it holds is another question.
    pub fn read_from(sys: &dyn Sys, path: &str) -> Result<Layout, LayoutFileError> {
        let text = sys.read(path)?;
        let malformed = |error: serde_json::Error| LayoutFileError::Malformed {
            path: path.to_owned(),
            reason: match error.classify() {
                Category::Syntax | Category::Eof => format!("it is not JSON: {error}"),
                Category::Data | Category::Io => error.to_string(),
            },
        };
        // Of another schema, nothing else can be said.
        let value: serde_json::Value = serde_json::from_str(&text).map_err(malformed)?;
        if let Some(schema) = value.get("schema").and_then(serde_json::Value::as_u64)
            && schema != u64::from(LAYOUT_SCHEMA)
        {
            let path = path.to_owned();
            return Err(LayoutFileError::OtherSchema { path, schema });
        }
        // Read from the text, so that errors name a line.
        serde_json::from_str(&text).map_err(malformed)
    }

    /// Reads a layout from a file and makes sure that it holds: it fits the host and itself, and
    /// neither the boot nor the host's CPUs have changed.
    ///
    /// # Errors
    /// It does not hold, is not there, or is none.
    pub fn read_current(
        sys: &dyn Sys,
        path: &str,
        topology: &Topology,
    ) -> Result<Layout, LayoutFileError> {
        let layout = Layout::read_from(sys, path)?;
        let path = || path.to_owned();
        // Before its CPUs: that they are not there is only what follows from being stale.
        if let Some(stale) = layout.stale(&boot_id(sys)?, topology) {
            return Err(LayoutFileError::Stale {
                path: path(),
                stale,
            });
        }
        layout
            .validate(topology)
            .map_err(|source| LayoutFileError::Invalid {
                path: path(),
                source,
            })?;
        Ok(layout)
    }

    /// Why this layout does not hold in a boot on a host; none where it does. What a layout that was
    /// written by hand leaves out is not compared.
    pub fn stale(&self, boot_id: &str, topology: &Topology) -> Option<Stale> {
        let differs =
            |own: &Option<String>, now: &str| own.as_deref().is_some_and(|own| own != now);
        if differs(&self.boot_id, boot_id) {
            return Some(Stale::Boot);
        }
        differs(&self.hash, &self.hash_on(topology)).then_some(Stale::Hash)
    }

    /// Whether this layout holds in a boot on a host.
    pub fn is_current(&self, boot_id: &str, topology: &Topology) -> bool {
        self.stale(boot_id, topology).is_none()
    }

    /// Writes the layout to its place, whole or not at all, stamped with this boot.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, sys: &dyn Sys) -> Result<(), LayoutFileError> {
        let stamped = Layout {
            boot_id: Some(boot_id(sys)?),
            ..self.clone()
        };
        Ok(sys.put_file(LAYOUT_PATH, &stamped.to_json(), 0o644)?)
    }

    /// The layout as its file has it.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("text, lists and numbers only");
        json.push('\n');
        json
    }
}

#[cfg(test)]
mod tests;
