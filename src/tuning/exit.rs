//! How commands that look at or change the host end. They need more codes than others, so that
//! scripts can tell what is left to do.
//!
//! Owns: the codes. Never does: deciding whether something failed. Runs on: the main thread.

use std::fmt::Display;
use std::process::ExitCode;

/// How `tune`, `jitter` or `doctor` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well; nothing to do.
    Ok = 0,
    /// It failed.
    Error = 1,
    /// What must be set is not; changes are pending; what was to be proven was not.
    Must = 2,
    /// Only what should be set is not.
    Should = 3,
    /// Some changes were made, others not.
    Partial = 4,
    /// Done, and a boot is needed.
    Reboot = 5,
    /// Refused: locked, an engine runs, a container, no permission, somebody else tunes, a host too
    /// small.
    Refused = 6,
    /// Called wrongly; nothing was done. As in `sysexits.h`.
    Usage = 64,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// This end, after saying on standard error why.
    pub fn saying(self, error: impl Display) -> Exit {
        eprintln!("error: {error}");
        self
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
