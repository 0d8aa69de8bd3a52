//! Where control's own threads run: on the CPUs that no core uses.
//!
//! A thread inherits the CPUs of the one that starts it. So the thread that starts a node goes to
//! the housekeeping CPUs before it starts anything; cores and clients of clusters then say for
//! themselves where they belong, and what was forgotten is where it does no harm.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::cpu;
use crate::ids::CpuId;

/// The housekeeping CPUs of a node, for threads of this process that are none of its cores.
#[derive(Clone, Debug)]
pub struct Housekeeping(pub(super) Vec<CpuId>);

impl Housekeeping {
    /// Keeps the calling thread, and those that it starts from now on, there.
    pub fn stay(&self) {
        move_to(&self.0);
    }

    /// The same, until what is returned is dropped.
    pub fn visit(&self) -> Visit {
        visit(&self.0)
    }
}

/// The calling thread is on other CPUs than before; dropping this takes it back.
#[derive(Debug)]
pub struct Visit {
    before: Option<CpuSet>,
}

/// Takes the calling thread to `cpus` for a time. Where the system refuses, it stays where it is.
pub(super) fn visit(cpus: &[CpuId]) -> Visit {
    let before = sched_getaffinity(None).ok();
    move_to(cpus);
    Visit { before }
}

/// Takes the calling thread to `cpus`. Where the system refuses, it stays where it is.
pub(super) fn move_to(cpus: &[CpuId]) {
    if let Err(error) = sched_setaffinity(None, &kernel_set(cpus.iter().copied())) {
        tracing::warn!(%error, "threads of control run on any CPU");
    }
}

/// Those of `cpus` that the calling thread can go to: a cpuset may keep it from others. What it was
/// told before (`taskset`, `isolcpus` for the first process) is no hindrance.
pub(super) fn within_reach(cpus: &cpu::CpuSet) -> rustix::io::Result<cpu::CpuSet> {
    let before = sched_getaffinity(None)?;
    let reached = match sched_setaffinity(None, &kernel_set(cpus.iter())) {
        Ok(()) => {
            // The kernel takes those out of the set that are not allowed, without a word.
            let reached = sched_getaffinity(None)?;
            cpus.iter()
                .filter(|cpu| cpu.index() < CpuSet::MAX_CPU && reached.is_set(cpu.index()))
                .collect()
        }
        // None of them is allowed.
        Err(rustix::io::Errno::INVAL) => cpu::CpuSet::new(),
        Err(error) => return Err(error),
    };
    sched_setaffinity(None, &before)?;
    Ok(reached)
}

fn kernel_set(cpus: impl Iterator<Item = CpuId>) -> CpuSet {
    let mut set = CpuSet::new();
    for cpu in cpus.filter(|cpu| cpu.index() < CpuSet::MAX_CPU) {
        set.set(cpu.index());
    }
    set
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // It was there a moment ago; and if not, it is only on fewer CPUs than it might be.
            let _ = sched_setaffinity(None, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::allowed_cpus;

    #[test]
    fn a_visit_ends_where_it_began() {
        let before = allowed_cpus().unwrap();
        let last = *before.last().unwrap();
        let visit = visit(&[last]);
        assert_eq!(allowed_cpus().unwrap(), [last]);
        drop(visit);
        assert_eq!(allowed_cpus().unwrap(), before);
    }

    #[test]
    fn cpus_that_are_not_there_are_out_of_reach() {
        let before = allowed_cpus().unwrap();
        let wanted: cpu::CpuSet = [before[0], CpuId(1023)].into_iter().collect();
        let reached = within_reach(&wanted).unwrap();
        assert_eq!(reached.iter().collect::<Vec<_>>(), [before[0]]);
        let nowhere = [CpuId(1023)].into_iter().collect();
        assert!(within_reach(&nowhere).unwrap().is_empty());
        assert_eq!(allowed_cpus().unwrap(), before);
    }
}
