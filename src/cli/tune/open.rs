//! What every subcommand that looks at knobs starts with: the host, the profile, the choice.
//!
//! Owns: turning the common options into them, and the end of a command that cannot start. Never does:
//! looking. Runs on: the main thread.

use std::path::Path;
use std::time::Duration;

use super::{Exit, GlobalArgs};
use crate::cli::outcome;
use crate::cpu::{HostSys, Sys as _};
use crate::tuning::change::Reach;
use crate::tuning::check::{Selection, ids};
use crate::tuning::commands::HostCommands;
use crate::tuning::host::{Host, HostError};
use crate::tuning::knobs::KNOBS;
use crate::tuning::profile::Profile;
use crate::tuning::state::State;

/// A host that can be looked at.
pub struct Opened {
    sys: HostSys,
    commands: HostCommands,
    profile: Profile,
    layout: Option<String>,
    /// The knobs that are meant.
    pub selection: Selection,
}

impl GlobalArgs {
    /// Takes the common options; says what is wrong with them.
    ///
    /// # Errors
    /// An unknown knob or profile, a profile that says what cannot be.
    pub fn open(&self, sys: &HostSys) -> Result<Opened, Exit> {
        self.open_with(sys, self.profile.as_deref())
    }

    /// The same with another profile where none is named.
    ///
    /// # Errors
    /// As [`GlobalArgs::open`].
    pub fn open_with(&self, sys: &HostSys, profile: Option<&str>) -> Result<Opened, Exit> {
        let usage = |error: &dyn std::fmt::Display| Exit::Usage.saying(error);
        let selection =
            Selection::parse(&self.only, &self.skip, KNOBS).map_err(|error| usage(&error))?;
        let profile = Profile::find(profile, sys, &ids(KNOBS)).map_err(|error| usage(&error))?;
        let layout = self.layout.as_deref().map(absolute).transpose();
        Ok(Opened {
            sys: sys.clone(),
            commands: HostCommands::new(sys.root(), Duration::from_secs(self.timeout)),
            profile,
            layout: layout.map_err(|error| usage(&error))?,
            selection,
        })
    }
}

/// A path as [`HostSys`] takes it.
pub(super) fn absolute(path: &str) -> std::io::Result<String> {
    let absolute = std::path::absolute(Path::new(path))?;
    Ok(absolute.to_string_lossy().into_owned())
}

impl Opened {
    /// The host; says why it cannot be looked at.
    ///
    /// # Errors
    /// Its CPUs cannot be read, or the layout that was named does not hold.
    pub fn host(&self) -> Result<Host<'_>, Exit> {
        let (profile, layout) = (self.profile.clone(), self.layout.as_deref());
        let mut host =
            Host::find(&self.sys, &self.commands, profile, layout).map_err(
                |error| match error {
                    HostError::Topology(_) => Exit::Error.saying(error),
                    HostError::Layout(_) => Exit::Refused.saying(error),
                },
            )?;
        host.know(&State::peek(&self.sys));
        host.selection = self.selection.clone();
        Ok(host)
    }

    /// What changes are made through.
    pub fn reach(&self) -> Reach<'_> {
        Reach {
            sys: &self.sys,
            commands: &self.commands,
        }
    }
}

/// Prints a result; the command then ends as `exit` says, if it could be printed.
pub fn print(result: impl std::fmt::Display, exit: Exit) -> Exit {
    if outcome::print(result) == std::process::ExitCode::SUCCESS {
        exit
    } else {
        Exit::Error
    }
}
