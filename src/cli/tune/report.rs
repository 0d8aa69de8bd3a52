//! `corelane tune report`: everything about the host that a bug report or a benchmark's result should
//! carry, as one JSON object on standard output. Changes nothing.
//!
//! Owns: nothing but the call. Never does: the looking ([`crate::tuning::report`]).

use super::open::print;
use super::{Exit, GlobalArgs};
use crate::cpu::HostSys;
use crate::tuning::report::report;

/// Looks and prints.
pub fn run(global: &GlobalArgs, sys: &HostSys) -> Result<Exit, Exit> {
    let opened = global.open(sys)?;
    let host = opened.host()?;
    Ok(print(report(&host, &opened.selection), Exit::Ok))
}
