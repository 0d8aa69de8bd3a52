//! Why nothing was measured, or not all of it.

use std::io;
use std::path::PathBuf;

use crate::tuning::doctor::disk::DiskError;

/// What ends a benchmark.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// An option has a value that cannot be used.
    #[error("--{option}: {found} is not allowed; {allowed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        found: String,
        /// What may be given.
        allowed: String,
    },
    /// The clock is no clock.
    #[error("latencies cannot be measured here: {0}")]
    Clock(String),
    /// A target could not be started or reached.
    #[error("target {target}: {reason}")]
    Target {
        /// Which.
        target: &'static str,
        /// Why.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file says what cannot be done.
    #[error("{}: {problem}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// Line and key, and what is allowed.
        problem: String,
    },
    /// A directory cannot be measured.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}
