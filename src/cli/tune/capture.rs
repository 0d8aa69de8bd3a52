//! `corelane tune capture`: the files that a check looks at, in a tar file, so that it can be checked
//! again elsewhere with `--root`. Changes nothing on the host.
//!
//! Owns: its arguments. Never does: choosing the files ([`crate::tuning::capture`]).

use std::fs::File;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, GlobalArgs};
use crate::cpu::HostSys;
use crate::tuning::capture::{self, CommandRecorder, Recorder};
use crate::tuning::host::Host;
use crate::tuning::report::report;

/// Arguments of `corelane tune capture`.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// The tar file that is made; it must not be there
    #[arg(value_name = "OUT.tar")]
    out: PathBuf,
}

/// Looks, and writes what was looked at.
pub fn run(args: &CaptureArgs, global: &GlobalArgs, sys: &HostSys) -> Result<Exit, Exit> {
    let opened = global.open(sys)?;
    let host = opened.host()?;
    let recorder = Recorder::new(host.sys);
    let commands = CommandRecorder::new(host.commands);
    // Looked at once more, from the first file on, by way of the recorders.
    let profile = host.profile.clone();
    let recorded = Host::find(&recorder, &commands, profile, None);
    let recorded = recorded.map_err(|error| Exit::Error.saying(error))?;
    drop(report(&recorded, &opened.selection));
    let file =
        File::create_new(&args.out).and_then(|file| capture::write(&recorder, &commands, file));
    match file {
        Ok(captured) => {
            if !global.quiet {
                eprintln!(
                    "{}: {} files, {} links, {} that cannot be read",
                    args.out.display(),
                    captured.files,
                    captured.links,
                    captured.unreadable
                );
            }
            Ok(Exit::Ok)
        }
        Err(error) => Err(Exit::Error.saying(format_args!("{}: {error}", args.out.display()))),
    }
}
