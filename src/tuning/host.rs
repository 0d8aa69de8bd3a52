//! A host as the knobs see it: its files and programs, its CPUs, the layout, and what is wanted.
//!
//! Owns: what every probe needs, read once. Never does: changing anything. Runs on: the main thread
//! of a command.

use std::collections::BTreeSet;

use serde::Serialize;

use super::change::Reach;
use super::check::Selection;
use super::commands::Commands;
use super::profile::Profile;
use super::state::State;
use crate::cpu::{
    CpuSet, LAYOUT_PATH, Layout, LayoutError, LayoutFileError, Stale, Sys, Topology, TopologyError,
};

/// A host.
pub struct Host<'a> {
    /// Its files.
    pub sys: &'a dyn Sys,
    /// Its programs.
    pub commands: &'a dyn Commands,
    /// Its CPUs, nodes and devices.
    pub topology: Topology,
    /// Who runs where; else why nobody is set apart.
    pub layout: Result<Layout, String>,
    /// What is wanted of it.
    pub profile: Profile,
    /// Which host it is.
    pub facts: Facts,
    /// Files that refused a value since the last boot because the kernel keeps it to itself, as the
    /// state says: what cannot be told from reading them.
    pub unmanageable: BTreeSet<String>,
    /// Files of ours that were put and of which the host has not taken notice yet, as the state says.
    pub unheeded: BTreeSet<String>,
    /// The knobs that are meant: what files that several knobs share are made of.
    pub selection: Selection,
}

/// Which host it is. A fact that cannot be read is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The kernel's id of this boot.
    pub boot_id: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// The host's name; not in the JSON, since it is of no use to a reader elsewhere.
    #[serde(skip)]
    pub name: String,
}

/// Why a host cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// What it has cannot be found out.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The layout that was asked for does not hold.
    #[error(transparent)]
    Layout(#[from] LayoutFileError),
}

/// Why the layout that was kept over a boot is not gone by.
#[derive(Debug, thiserror::Error)]
pub enum KeptLayoutError {
    /// The host is another one than before the boot.
    #[error(
        "the layout that was applied before does not hold any more: {0}; nothing was changed \
         ('corelane tune apply' splits the host anew)"
    )]
    Stale(Stale),
    /// It contradicts itself or the host.
    #[error(
        "the layout that was applied before does not fit this host: {0}; nothing was changed \
         ('corelane tune apply' splits the host anew)"
    )]
    Invalid(#[from] LayoutError),
}

impl<'a> Host<'a> {
    /// Looks at a host. Its layout is the one in `layout_file`, which has to hold, if that is given;
    /// else the one that is in its place and holds; else the one that the profile comes to.
    ///
    /// # Errors
    /// Its CPUs cannot be read, or the given layout does not hold.
    pub fn find(
        sys: &'a dyn Sys,
        commands: &'a dyn Commands,
        profile: Profile,
        layout_file: Option<&str>,
    ) -> Result<Host<'a>, HostError> {
        let topology = Topology::read(sys)?;
        let layout = match layout_file {
            Some(path) => Ok(Layout::read_current(sys, path, &topology)?),
            None => match Layout::read_current(sys, LAYOUT_PATH, &topology) {
                Ok(layout) => Ok(layout),
                // The layout's own knob says what is wrong with the file.
                Err(_) => Layout::compute(&topology, &profile.layout_options())
                    .map_err(|error| error.to_string()),
            },
        };
        Ok(Host {
            sys,
            commands,
            topology,
            layout,
            profile,
            facts: Facts::read(sys),
            unmanageable: BTreeSet::new(),
            unheeded: BTreeSet::new(),
            selection: Selection::default(),
        })
    }

    /// The layout as the state keeps it over a boot; none without a layout.
    pub fn kept_layout(&self) -> Option<Layout> {
        let layout = self.layout.as_ref().ok()?;
        Some(Layout {
            boot_id: None,
            ..layout.clone()
        })
    }

    /// Goes by a layout that was kept over a boot, and by no other. Its split stays as it is;
    /// interrupts get the numbers that they have in this boot.
    ///
    /// # Errors
    /// The host's CPUs are not those that it was made for.
    pub fn go_by(&mut self, kept: &Layout) -> Result<(), KeptLayoutError> {
        let boot_id = &self.facts.boot_id;
        if let Some(stale) = kept.stale(boot_id, &self.topology) {
            return Err(KeptLayoutError::Stale(stale));
        }
        kept.validate(&self.topology)?;
        let mut layout = Layout {
            boot_id: Some(boot_id.clone()),
            ..kept.clone()
        };
        let nics = &self.topology.nics;
        layout.nic_queues.retain_mut(|kept| {
            let nic = nics.iter().find(|nic| nic.name == kept.nic);
            let mut queues = nic.into_iter().flat_map(|nic| &nic.queues);
            let queue = queues.find(|queue| queue.queue == kept.queue);
            queue.is_some_and(|queue| {
                kept.irq = queue.irq;
                true
            })
        });
        self.layout = Ok(layout);
        Ok(())
    }

    /// Whether the layout's file holds the layout.
    pub fn has_layout_in_place(&self) -> bool {
        let there = Layout::read_current(self.sys, LAYOUT_PATH, &self.topology);
        let there = there.ok().map(|there| Layout {
            boot_id: None,
            ..there
        });
        there.is_some() && there == self.kept_layout()
    }

    /// CPUs of shards; none without a layout.
    pub fn shards(&self) -> CpuSet {
        match &self.layout {
            Ok(layout) => layout.shard_cpus(),
            Err(_) => CpuSet::new(),
        }
    }

    /// CPUs where everything else may run; all that run without a layout.
    pub fn others(&self) -> CpuSet {
        match &self.layout {
            Ok(layout) => layout.others(),
            Err(_) => self.topology.online.clone(),
        }
    }

    /// What changes are made and looked at through.
    pub fn reach(&self) -> Reach<'_> {
        Reach {
            sys: self.sys,
            commands: self.commands,
        }
    }

    /// Takes from the state what cannot be told from reading the host's files.
    pub fn know(&mut self, state: &State) {
        let known = state.unmanageable(&self.facts.boot_id);
        self.unmanageable = known.map(str::to_owned).collect();
        self.unheeded = state.unheeded().map(str::to_owned).collect();
    }
}

impl Facts {
    /// Reads them.
    pub fn read(sys: &dyn Sys) -> Facts {
        let read = |path: &str| sys.read(path).unwrap_or_default().trim().to_owned();
        Facts {
            machine_id: read("/etc/machine-id"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: model(&read("/proc/cpuinfo")),
            name: read("/proc/sys/kernel/hostname"),
        }
    }
}

/// The processor's name in `/proc/cpuinfo`; other architectures than x86 do not give it.
fn model(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map(|(_, name)| name.trim().to_owned())
        .unwrap_or_default()
}
