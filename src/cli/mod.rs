//! The command line: one file per subcommand.
//!
//! Owns: arguments, progress, results on standard output, errors on standard error, exit codes.
//! Never does: the work itself. Runs on: the main thread.

pub mod input;
