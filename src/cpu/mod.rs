//! CPUs: which ones there are, and the plan of who runs where.
//!
//! Owns: the plan, and the access to the kernel's files that say what there is. Never does: pinning by itself; executors and housekeeping threads are started
//! by control as the plan says. Runs on: the main thread, before the first core starts.

mod cpuset;
mod plan;
mod sys;

pub use cpuset::{CpuSet, CpuSetError, CpuSetForm};
pub use plan::{Oversubscribe, Plan, PlanError, allowed_cpus};
pub use sys::{HostSys, Sys, SysAction, SysError};
