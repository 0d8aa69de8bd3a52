//! From a layout, or from the CPUs that this process may use, to the cores of the node.

use super::layout::Layout;
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
    /// CPUs for the threads of clusters' clients. Without a layout, those of housekeeping.
    pub io: Vec<CpuId>,
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
    /// More cores than the layout has shards.
    #[error(
        "{cores} cores were asked for, but the layout has {shards} shards; allowed: 1 to {shards}, \
         or a layout with more ('corelane tune layout --write'), or none (node.layout = \"none\")"
    )]
    TooFewShards {
        /// Asked for.
        cores: usize,
        /// There.
        shards: usize,
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
            io: housekeeping.to_vec(),
        })
    }

    /// A plan for `cores` cores (0 = one per shard of the layout) that takes the layout's shards in
    /// their order. CPUs of shards that are left over stay idle: they are isolated, and nobody else
    /// expects to find anything there.
    ///
    /// # Errors
    /// More cores than the layout has shards, unless allowed.
    pub fn of_layout(
        cores: usize,
        layout: &Layout,
        oversubscribe: Oversubscribe,
    ) -> Result<Plan, PlanError> {
        let shards = layout.shards.len();
        let cores = if cores == 0 {
            shards.min(CORES_MAX)
        } else {
            cores
        };
        if cores > shards && oversubscribe == Oversubscribe::Refuse {
            return Err(PlanError::TooFewShards { cores, shards });
        }
        let cpus = layout.shards.iter().map(|shard| shard.cpu);
        Ok(Plan {
            shard_cpus: cpus.cycle().take(cores).collect(),
            housekeeping: layout.housekeeping.iter().collect(),
            io: layout.io.iter().collect(),
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
    fn a_layout_is_obeyed_and_bounds_the_cores() {
        let layout: Layout = serde_json::from_str(
            r#"{"schema": 1, "shards": [{"id": 0, "cpu": 5}, {"id": 1, "cpu": 4}],
                "housekeeping": "0-1", "io": "2"}"#,
        )
        .unwrap();
        let plan = Plan::of_layout(0, &layout, Oversubscribe::Refuse).unwrap();
        assert_eq!(plan.shard_cpus, cpus(&[5, 4]));
        assert_eq!(plan.housekeeping, cpus(&[0, 1]));
        assert_eq!(plan.io, cpus(&[2]));
        let fewer = Plan::of_layout(1, &layout, Oversubscribe::Refuse).unwrap();
        assert_eq!(fewer.shard_cpus, cpus(&[5]));
        let refused = Plan::of_layout(3, &layout, Oversubscribe::Refuse).unwrap_err();
        assert_eq!(
            refused,
            PlanError::TooFewShards {
                cores: 3,
                shards: 2
            }
        );
        assert!(refused.to_string().contains("allowed: 1 to 2"), "{refused}");
    }

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(!allowed_cpus().unwrap().is_empty());
    }
}
