//! Where a thread may run.
//!
//! A thread inherits the CPUs of the one that starts it, so each of ours says for itself where it
//! belongs. librdkafka's threads are placed by an interceptor (see [`super::native`]).

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::ids::CpuId;

/// Keeps the calling thread on these CPUs. Where the system refuses, it runs where it may.
pub(super) fn run_on(cpus: &[CpuId]) {
    let mut set = CpuSet::new();
    for cpu in cpus.iter().filter(|cpu| cpu.index() < CpuSet::MAX_CPU) {
        set.set(cpu.index());
    }
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!(%error, "a helper of a cluster runs on any CPU");
    }
}
