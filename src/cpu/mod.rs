//! CPUs: which ones there are, and the plan of who runs where.
//!
//! Owns: access to the kernel's files, what they say of CPUs and devices, the layout of a tuned host
//! and its file, the plan of a node. Never does: changing the host; pinning by itself, as executors
//! and housekeeping threads are started by control as the plan says. Runs on: the main thread, before
//! the first core starts.

mod cpuset;
mod layout;
mod layout_file;
mod plan;
mod sys;
mod topology;

pub use cpuset::{CpuSet, CpuSetError, CpuSetForm};
pub use layout::{
    CORES_MIN, LAYOUT_SCHEMA, Layout, LayoutError, LayoutNvme, LayoutOptions, NetMode, NicQueue,
    ShardCpu,
};
pub use layout_file::{LAYOUT_PATH, LayoutFileError, Stale, boot_id};
pub use plan::{Oversubscribe, Plan, PlanError, allowed_cpus};
pub use sys::{HostSys, Sys, SysAction, SysError};
pub use topology::{Device, Mount, Node, PhysicalCore, Queue, Topology, TopologyError};
