//! `corelane doctor`: what an engine would reach on this host, and what to mend first.
//!
//! Owns: its arguments. Never does: probing ([`crate::tuning::doctor`]).

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{jitter, outcome};
use crate::config::{Config, StorageKind};
use crate::cpu::HostSys;
use crate::tuning::doctor;
use crate::tuning::doctor::findings::Level;

/// Longer probing does not make the prediction better.
const SECONDS_MAX: u64 = 60;

/// Arguments of `corelane doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Directory whose disk is probed; that of the default configuration without it
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How long to probe, 1 to 60 seconds
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Probes, predicts, advises.
pub fn doctor(args: &DoctorArgs) -> ExitCode {
    let directory = match &args.data_dir {
        Some(directory) => directory.clone(),
        None => Config::default().log.directory,
    };
    let budget = Duration::from_secs(args.seconds);
    let report = match doctor::diagnose(&HostSys::new("/"), &directory, budget) {
        Ok(report) => report,
        Err(error) => return outcome::failed(error),
    };
    match jitter::print(&report, args.json) {
        ExitCode::SUCCESS => report.exit().into(),
        failed => failed,
    }
}

/// Warns once for each thing that is wrong with the host, as far as it can be read in a few
/// milliseconds and without writing: for the start of a node. Of the disk only where the node
/// writes to it.
pub(super) fn warn(config: &Config) {
    let is_of_disk = |id: &str| id.starts_with("blk.") || id.starts_with("fs.");
    for finding in doctor::glance(&HostSys::new("/"), &config.log.directory) {
        if config.storage() == StorageKind::Clusters && is_of_disk(finding.id) {
            continue;
        }
        match finding.level {
            Level::Blocks | Level::Costs => {
                tracing::warn!(finding = finding.id, fix = %finding.fix, "{}", finding.what);
            }
            Level::Note => {
                tracing::info!(finding = finding.id, fix = %finding.fix, "{}", finding.what);
            }
        }
    }
}
