//! What a node's plan is made from: the host's layout, or the CPUs that this process may use.

use std::path::Path;

use crate::config::{LayoutChoice, NodeConfig};
use crate::cpu::{
    CpuSet, HostSys, LAYOUT_PATH, Layout, LayoutFileError, Oversubscribe, Plan, PlanError,
    Topology, allowed_cpus,
};
use crate::ids::CpuId;

use super::error::StartError;
use super::housekeeping::within_reach;

/// Where cores may be.
#[derive(Debug)]
pub(super) enum Ground {
    /// Where the host's layout has its shards.
    Layout(Box<Layout>),
    /// On any CPU that this process may use.
    Allowed(Vec<CpuId>),
}

impl Ground {
    /// What the configuration asks for, as the host has it. A layout that does not hold is refused,
    /// unless the configuration allows to go without.
    pub fn find(node: &NodeConfig) -> Result<Ground, StartError> {
        let path = match &node.layout {
            LayoutChoice::None => return Ok(Ground::Allowed(allowed_cpus()?)),
            LayoutChoice::Auto => LAYOUT_PATH.to_owned(),
            LayoutChoice::File(path) => absolute(path)?,
        };
        let is_optional = node.layout == LayoutChoice::Auto;
        match read(&path) {
            Ok(layout) => Ok(Ground::Layout(Box::new(layout))),
            Err(StartError::Layout(error)) if is_optional && error.is_missing() => {
                Ok(Ground::Allowed(allowed_cpus()?))
            }
            Err(error) if node.allow_unplanned && is_outlived(&error) => {
                tracing::warn!("{error}; this node starts without a layout");
                Ok(Ground::Allowed(allowed_cpus()?))
            }
            Err(error) => Err(error),
        }
    }

    /// Cores that fit without sharing a CPU.
    pub fn cores_max(&self) -> usize {
        match self {
            Ground::Layout(layout) => layout.shards.len(),
            Ground::Allowed(cpus) => cpus.len(),
        }
    }

    /// A plan for `cores` cores; 0 = as many as fit.
    pub fn plan(&self, cores: usize, oversubscribe: Oversubscribe) -> Result<Plan, PlanError> {
        match self {
            Ground::Layout(layout) => Plan::of_layout(cores, layout, oversubscribe),
            Ground::Allowed(cpus) => Plan::new(cores, cpus, oversubscribe),
        }
    }
}

/// Whether a layout was right once, or is right elsewhere: then going without it is a choice. What is
/// no layout at all is a mistake.
fn is_outlived(error: &StartError) -> bool {
    matches!(
        error,
        StartError::StaleLayout(_) | StartError::LayoutOutOfReach { .. }
    )
}

/// Reads a layout that holds on this host, for this process.
fn read(path: &str) -> Result<Layout, StartError> {
    let sys = HostSys::new("/");
    let topology = Topology::read(&sys).map_err(LayoutFileError::from)?;
    let layout = Layout::read_current(&sys, path, &topology).map_err(|error| match &error {
        LayoutFileError::Stale { .. } => StartError::StaleLayout(error),
        LayoutFileError::File(_)
        | LayoutFileError::Malformed { .. }
        | LayoutFileError::OtherSchema { .. }
        | LayoutFileError::Invalid { .. }
        | LayoutFileError::Topology(_) => StartError::Layout(error),
    })?;
    let named: CpuSet = layout.shard_cpus().union(&layout.others());
    let reached = within_reach(&named).map_err(|error| StartError::System {
        what: "asking which CPUs this process may use",
        reason: error.to_string(),
    })?;
    let beyond = named.difference(&reached);
    if beyond.is_empty() {
        return Ok(layout);
    }
    Err(StartError::LayoutOutOfReach {
        path: path.to_owned(),
        cpus: beyond,
    })
}

/// As from `/`, wherever this program was started.
fn absolute(path: &Path) -> Result<String, StartError> {
    let failed = |reason: String| StartError::System {
        what: "finding the layout (node.layout)",
        reason,
    };
    let path = std::path::absolute(path).map_err(|error| failed(error.to_string()))?;
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| failed(format!("{} is not UTF-8", path.display())))
}
