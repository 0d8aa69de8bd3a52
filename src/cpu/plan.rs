//! From the CPUs that this process may use to the cores of the node.

use crate::ids::CpuId;
use crate::limits::CORES_MAX;

/// Who runs where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By core: the CPU that its executor is pinned to.
    pub shard_cpus: Vec<CpuId>,
    /// CPUs for everything else: log keeper, blocking calls, signals, the main thread. Those that
    /// no core uses; all of them where every CPU has a core.
    pub housekeeping: Vec<CpuId>,
}

/// Whether several cores may share a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversubscribe {
    /// No: more cores than CPUs are an error.
    Refuse,
    /// Yes: for trying things out; latencies then mean little.
    Allow,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The kernel does not tell which CPUs this process may use.
    #[error("the CPUs that this process may use cannot be read")]
    Unknown,
    /// More cores than CPUs.
    #[error(
        "{cores} cores were asked for, but this process may use {cpus} CPUs; allowed: 1 to \
         {cpus}, or more with --oversubscribe (node.oversubscribe)"
    )]
    TooFew {
        /// Asked for.
        cores: usize,
        /// There.
        cpus: usize,
    },
}

/// The CPUs that this process may use, in ascending order.
///
/// # Errors
/// The kernel does not tell.
pub fn allowed_cpus() -> Result<Vec<CpuId>, PlanError> {
    let ids = core_affinity::get_core_ids().filter(|ids| !ids.is_empty());
    let mut cpus: Vec<CpuId> = ids
        .ok_or(PlanError::Unknown)?
        .into_iter()
        .filter_map(|id| u16::try_from(id.id).ok().map(CpuId))
        .collect();
    cpus.sort_unstable();
    Ok(cpus)
}

impl Plan {
    /// A plan for `cores` cores (0 = one per CPU) on `cpus`. Cores take the highest CPUs: the
    /// kernel and most drivers put their own work on the lowest.
    ///
    /// # Errors
    /// More cores than CPUs, unless allowed; no CPUs at all.
    pub fn new(
        cores: usize,
        cpus: &[CpuId],
        oversubscribe: Oversubscribe,
    ) -> Result<Plan, PlanError> {
        if cpus.is_empty() {
            return Err(PlanError::Unknown);
        }
        let cores = if cores == 0 {
            cpus.len().min(CORES_MAX)
        } else {
            cores
        };
        if cores > cpus.len() && oversubscribe == Oversubscribe::Refuse {
            return Err(PlanError::TooFew {
                cores,
                cpus: cpus.len(),
            });
        }
        let first = cpus.len().saturating_sub(cores);
        let shard_cpus = cpus[first..].iter().copied().cycle().take(cores).collect();
        let housekeeping = if first == 0 { cpus } else { &cpus[..first] };
        Ok(Plan {
            shard_cpus,
            housekeeping: housekeeping.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(numbers: &[u16]) -> Vec<CpuId> {
        numbers.iter().copied().map(CpuId).collect()
    }

    #[test]
    fn cores_and_housekeeping_share_no_cpu_where_there_are_enough() {
        let plan = Plan::new(2, &cpus(&[0, 1, 4, 7]), Oversubscribe::Refuse).unwrap();
        assert_eq!(plan.shard_cpus, cpus(&[4, 7]));
        assert_eq!(plan.housekeeping, cpus(&[0, 1]));
        let all = Plan::new(0, &cpus(&[0, 1]), Oversubscribe::Refuse).unwrap();
        assert_eq!(all.shard_cpus, cpus(&[0, 1]));
        assert_eq!(all.housekeeping, cpus(&[0, 1]));
    }

    #[test]
    fn more_cores_than_cpus_need_a_word() {
        let refused = Plan::new(3, &cpus(&[0, 1]), Oversubscribe::Refuse).unwrap_err();
        assert_eq!(refused, PlanError::TooFew { cores: 3, cpus: 2 });
        assert!(refused.to_string().contains("--oversubscribe"));
        let plan = Plan::new(3, &cpus(&[0, 1]), Oversubscribe::Allow).unwrap();
        assert_eq!(plan.shard_cpus, cpus(&[0, 1, 0]));
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(!allowed_cpus().unwrap().is_empty());
    }
}
