//! The `corelane` program: arguments to command.

use std::process::ExitCode;

use corelane::cli::Cli;

/// Small, often freed blocks on many cores are what it is made for; its arenas are per thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::run()
}
