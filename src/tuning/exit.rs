//! How a command about the host ends: its exit code.
//!
//! Owns: the codes, and which of two wins. Never does: deciding whether something failed.

use std::process::ExitCode;

/// How `tune`, `jitter` or `doctor` ended. Other commands have only 0, 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Fine, or nothing to do.
    Ok,
    /// An error.
    Error,
    /// `check`: a must is not met; `plan`: there is something to do; `verify`: not proven.
    Must,
    /// `check`: a should is not met, and every must is.
    Should,
    /// `apply` or `revert` did a part; the state file says which.
    Partial,
    /// Done; the next boot brings the rest.
    Reboot,
    /// Refused before anything was changed.
    Refused,
    /// Called wrongly.
    Usage,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Error => 1,
            Exit::Must => 2,
            Exit::Should => 3,
            Exit::Partial => 4,
            Exit::Reboot => 5,
            Exit::Refused => 6,
            Exit::Usage => 64,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
