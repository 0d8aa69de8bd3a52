//! Looking into a data directory: verify, dump, stat. Works on one that is in use as well as on a
//! stopped one, takes no lock and never changes anything.
//!
//! Owns: what is reported and how it reads. Never does: a change. Runs on: the thread of the
//! command line or of the control plane.

mod dump;
mod stat;
mod verify;

use std::io;

use crate::log::directory::DirectoryError;
use crate::log::recover::RecoverError;
use crate::log::walk::WalkError;

pub use dump::{Detail, DumpFilter, DumpFormat, DumpSummary, dump};
pub use stat::{PartitionStat, SegmentStat, Stat, StatePair, StripeStat, stat};
pub use verify::{Problem, Report, StripeReport, TornReport, verify, verify_stripe};

/// Why a data directory cannot be looked into at all.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be opened.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A stripe's files cannot be followed.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A stripe cannot be recovered from.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A folder cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// What the device said.
        source: io::Error,
    },
    /// The filter names a topic that the directory does not hold.
    #[error("topic '{name}' is not in this data directory; it holds: {known}")]
    UnknownTopic {
        /// The name.
        name: String,
        /// The topics that are there.
        known: String,
    },
    /// The output cannot be written.
    #[error("writing the output: {0}")]
    Output(#[source] io::Error),
}

impl InspectError {
    fn io(path: String) -> impl FnOnce(io::Error) -> InspectError {
        move |source| InspectError::Io { path, source }
    }
}

/// Bytes for people: as text where they are printable, else in hexadecimal after `0x`.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.starts_with("0x") && !text.chars().any(char::is_control) => {
            text.to_owned()
        }
        Ok(_) | Err(_) => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all that is written to it");
    }
    text
}
