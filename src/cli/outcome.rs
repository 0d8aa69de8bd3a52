//! How a command ends: its exit code and its last words.
//!
//! Owns: the exit codes. Never does: deciding whether something failed.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// The command ran, and what it looked at or did is not fine.
pub const FAILED: u8 = 1;

/// The command was called wrongly; nothing was done. The argument parser uses it as well.
pub const USAGE: u8 = 2;

/// Says on standard error what failed; exit code 1.
pub fn failed(error: impl Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(FAILED)
}

/// Says on standard error how the command was called wrongly; exit code 2.
pub fn wrong_usage(error: impl Display) -> ExitCode {
    eprintln!("error: {error}\n\nFor more information, try '--help'.");
    ExitCode::from(USAGE)
}

/// Writes a result and a newline to standard output. A reader that has gone away (`| head`) is no
/// failure; any other error is.
pub fn print(result: impl Display) -> ExitCode {
    let mut out = io::stdout().lock();
    match writeln!(out, "{result}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => failed(format_args!("standard output cannot be written: {error}")),
    }
}
