//! CPUs: which ones there are, and the plan of who runs where.
//!
//! Owns: the plan. Never does: pinning by itself; executors and housekeeping threads are started
//! by control as the plan says. Runs on: the main thread, before the first core starts.

mod plan;

pub use plan::{Oversubscribe, Plan, PlanError, allowed_cpus};
