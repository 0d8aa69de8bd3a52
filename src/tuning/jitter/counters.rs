//! What the kernel counts for each CPU, and what of it moved.
//!
//! Owns: `/proc/interrupts`, `/proc/softirqs`, `/proc/stat`, `/proc/schedstat` and the count of
//! system management interrupts. Never does: judging; see [`crate::tuning::verify`].

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};

use crate::cpu::{Sys, SysError};
use crate::ids::CpuId;

/// MSR_SMI_COUNT of Intel's manual, volume 4.
const SMI_COUNT: u64 = 0x34;

/// Units of `/proc/stat` a second: USER_HZ, part of the kernel's interface.
const USER_HZ: u64 = 100;

/// Counts of one file, by row and CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// By the row's name (`24`, `LOC`, `NET_RX`): what it is, and counts by CPU.
    rows: BTreeMap<String, (String, BTreeMap<CpuId, u64>)>,
}

/// A row that moved on one CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The row's name: an interrupt's number, `LOC`, `NET_RX`.
    pub row: String,
    /// What it is, in the kernel's words.
    pub what: String,
    /// How often.
    pub times: u64,
}

/// Everything that is counted, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    interrupts: Rows,
    softirqs: Rows,
    /// By CPU: milliseconds in interrupts, in soft interrupts, stolen by the hypervisor.
    stat_ms: BTreeMap<CpuId, [u64; 3]>,
    /// By CPU: nanoseconds that runnable threads waited. None where the kernel does not count it.
    run_delay_ns: Option<BTreeMap<CpuId, u64>>,
    /// By CPU, where the MSR can be read.
    smi: BTreeMap<CpuId, u64>,
}

/// What moved on one CPU between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Interrupts, in the order of their names.
    pub interrupts: Vec<Moved>,
    /// Soft interrupts.
    pub softirqs: Vec<Moved>,
    /// Milliseconds in interrupts.
    pub irq_ms: u64,
    /// Milliseconds in soft interrupts.
    pub softirq_ms: u64,
    /// Milliseconds that the hypervisor gave to others.
    pub steal_ms: u64,
    /// Nanoseconds that runnable threads waited; none without CONFIG_SCHEDSTATS.
    pub run_delay_ns: Option<u64>,
    /// System management interrupts; none where the MSR cannot be read.
    pub smi: Option<u64>,
}

impl Counters {
    /// Reads all of it. `cpus` are those whose system management interrupts are read.
    ///
    /// # Errors
    /// `/proc/interrupts` or `/proc/stat` cannot be read; what else is missing is left out.
    pub fn read(sys: &dyn Sys, cpus: &[CpuId]) -> Result<Counters, SysError> {
        let softirqs = sys.read("/proc/softirqs").unwrap_or_default();
        Ok(Counters {
            interrupts: Rows::parse(&sys.read("/proc/interrupts")?),
            softirqs: Rows::parse(&softirqs),
            stat_ms: parse_stat(&sys.read("/proc/stat")?),
            run_delay_ns: sys
                .read("/proc/schedstat")
                .ok()
                .map(|t| parse_schedstat(&t)),
            smi: read_smi(sys, cpus),
        })
    }

    /// What moved on `cpu` since `before`.
    pub fn since(&self, before: &Counters, cpu: CpuId) -> Delta {
        let stat = |counters: &Counters| counters.stat_ms.get(&cpu).copied().unwrap_or_default();
        let (stat_now, stat_before) = (stat(self), stat(before));
        let ms = |field: usize| stat_now[field].saturating_sub(stat_before[field]);
        let difference = |now: Option<u64>, before: Option<u64>| {
            now.zip(before)
                .map(|(now, before)| now.saturating_sub(before))
        };
        let delay = |counters: &Counters| counters.run_delay_ns.as_ref()?.get(&cpu).copied();
        let smi = |counters: &Counters| counters.smi.get(&cpu).copied();
        Delta {
            interrupts: self.interrupts.since(&before.interrupts, cpu),
            softirqs: self.softirqs.since(&before.softirqs, cpu),
            irq_ms: ms(0),
            softirq_ms: ms(1),
            steal_ms: ms(2),
            run_delay_ns: difference(delay(self), delay(before)),
            smi: difference(smi(self), smi(before)),
        }
    }
}

impl Delta {
    /// How often an interrupt's row moved; 0 where it did not.
    pub fn interrupts_of(&self, row: &str) -> u64 {
        let moved = self.interrupts.iter().find(|moved| moved.row == row);
        moved.map_or(0, |moved| moved.times)
    }

    /// Interrupts of devices: rows with a number for a name.
    pub fn devices(&self) -> impl Iterator<Item = &Moved> {
        self.interrupts
            .iter()
            .filter(|moved| moved.row.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

impl Rows {
    /// Reads a table whose first line names CPUs (`CPU0 CPU8`) and whose rows have a count for each,
    /// then words. Rows that count for no CPU (`ERR`, `MIS`) are left out.
    pub fn parse(text: &str) -> Rows {
        let mut lines = text.lines();
        // Columns are CPUs that are online, not numbers from 0 on.
        let cpus: Vec<CpuId> = lines
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|name| name.strip_prefix("CPU")?.parse().ok().map(CpuId))
            .collect();
        let mut rows = BTreeMap::new();
        for line in lines {
            let Some((name, rest)) = line.split_once(':') else {
                continue;
            };
            let mut words = rest.split_whitespace();
            let counts: Option<BTreeMap<CpuId, u64>> = cpus
                .iter()
                .map(|cpu| Some((*cpu, words.next()?.parse().ok()?)))
                .collect();
            if let Some(counts) = counts {
                let what = words.collect::<Vec<_>>().join(" ");
                rows.insert(name.trim().to_owned(), (what, counts));
            }
        }
        Rows { rows }
    }

    /// What moved on `cpu`. A row that was not there before, as of a driver that was loaded since,
    /// counts from 0; so does one that counts less than before, since it was made anew.
    fn since(&self, before: &Rows, cpu: CpuId) -> Vec<Moved> {
        let mut moved = Vec::new();
        for (row, (what, counts)) in &self.rows {
            let now = counts.get(&cpu).copied().unwrap_or(0);
            let earlier = before
                .rows
                .get(row)
                .and_then(|(_, counts)| counts.get(&cpu));
            let earlier = earlier.copied().unwrap_or(0);
            let times = if now >= earlier { now - earlier } else { now };
            if times > 0 {
                moved.push(Moved {
                    row: row.clone(),
                    what: what.clone(),
                    times,
                });
            }
        }
        moved
    }
}

/// A line of numbers that belongs to one CPU: `cpu3 1 2 3`.
fn cpu_lines(text: &str) -> impl Iterator<Item = (CpuId, Vec<u64>)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let cpu = words.next()?.strip_prefix("cpu")?.parse().ok()?;
        let numbers = words.map_while(|word| word.parse().ok()).collect();
        Some((CpuId(cpu), numbers))
    })
}

/// Documentation/filesystems/proc.rst, 1.7: user nice system idle iowait irq softirq steal.
fn parse_stat(text: &str) -> BTreeMap<CpuId, [u64; 3]> {
    let ms = |fields: &[u64], at: usize| fields.get(at).copied().unwrap_or(0) * 1000 / USER_HZ;
    cpu_lines(text)
        .map(|(cpu, fields)| (cpu, [ms(&fields, 5), ms(&fields, 6), ms(&fields, 7)]))
        .collect()
}

/// Documentation/scheduler/sched-stats.rst: the eighth number is the time waited on the run queue.
fn parse_schedstat(text: &str) -> BTreeMap<CpuId, u64> {
    cpu_lines(text)
        .filter_map(|(cpu, fields)| Some((cpu, *fields.get(7)?)))
        .collect()
}

/// Needs the module `msr` and root; where either is missing there is no count.
fn read_smi(sys: &dyn Sys, cpus: &[CpuId]) -> BTreeMap<CpuId, u64> {
    let count = |cpu: &CpuId| {
        let path = sys.root().join(format!("dev/cpu/{}/msr", cpu.0));
        let mut bytes = [0; 8];
        File::open(path)
            .ok()?
            .read_exact_at(&mut bytes, SMI_COUNT)
            .ok()?;
        Some((*cpu, u64::from_le_bytes(bytes)))
    };
    cpus.iter().filter_map(count).collect()
}

#[cfg(test)]
mod tests;
