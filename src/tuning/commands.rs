//! Programs of the host that are run because no file does the same: `ethtool`, `systemctl`.
//!
//! Owns: starting them and waiting, for a time. Never does: reading what they say.

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl Ran {
    /// Whether it said that all went well.
    pub fn is_ok(&self) -> bool {
        self.code == Some(0)
    }
}

/// Why a program did not run to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It is not installed.
    #[error("{0} is not installed")]
    Missing(String),
    /// It was still running after the time.
    #[error("{program} did not end within {seconds} s; it was ended")]
    TooSlow {
        /// Which one.
        program: String,
        /// The time.
        seconds: u64,
    },
    /// It could not be started.
    #[error("{program} cannot be run: {reason}")]
    Failed {
        /// Which one.
        program: String,
        /// The system's words.
        reason: String,
    },
}

/// Runs programs. A seam, so that tests can stand in for tools that are not there.
pub trait Commands {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// It is not installed, cannot be started, or takes too long.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran, CommandError>;
}
