//! What a proof comes to.
//!
//! Owns: the verdicts, their JSON and their table. Never does: measuring.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::budget::{STRESSED_RATIO, Violation, WAIT_P9999_NS};
use crate::ids::CpuId;
use crate::tuning::exit::Exit;
use crate::tuning::host::Facts;
use crate::tuning::item::Status;
use crate::tuning::jitter::counters::Delta;
use crate::tuning::jitter::report::{CpuJitter, Figures, Standing};
use crate::tuning::jitter::stress::Stress;

/// Of the JSON; another number means that fields have another meaning.
const SCHEMA: u32 = 1;

/// A must that is not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmet {
    /// The knob.
    pub id: &'static str,
    /// How it stands.
    pub status: Status,
    /// What is found.
    pub current: String,
    /// What is wanted.
    pub want: String,
}

/// A thread of an engine that may run where it should not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stray {
    /// Its process.
    pub pid: u32,
    /// Its id.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// What is wrong.
    pub wrong: String,
}

/// A CPU's wait under noise beside its wait at rest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stressed {
    /// The noise.
    pub stress: Stress,
    /// Under it.
    pub wait_p9999_ns: u64,
    /// By the wait at rest; none where that is 0.
    pub ratio: Option<f64>,
}

/// What was found on one CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CpuProof {
    /// Which.
    pub cpu: u16,
    /// Whether nothing exceeded its budget.
    pub proven: bool,
    /// What did.
    pub violations: Vec<Violation>,
    /// The meter's figures at rest; none with `--live`.
    pub idle: Option<Figures>,
    /// Under noise.
    pub stressed: Vec<Stressed>,
    /// What the kernel counted.
    pub counters: Delta,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifyReport {
    /// Of the JSON.
    pub schema: u32,
    /// `corelane tune verify`.
    pub tool: &'static str,
    /// Which host.
    pub host: Facts,
    /// Which layout.
    pub layout_hash: Option<String>,
    /// Whether the meter's figures are judged.
    pub standing: Standing,
    /// How long the quiet part took.
    pub seconds: f64,
    /// Musts that are not met.
    pub unmet: Vec<Unmet>,
    /// Threads that may run where they should not.
    pub strays: Vec<Stray>,
    /// The shards' CPUs.
    pub cpus: Vec<CpuProof>,
    /// How many of them are proven.
    pub proven: usize,
}

impl Stressed {
    /// Compares.
    pub fn new(stress: Stress, idle: &Figures, noisy: &Figures) -> Stressed {
        let (rest, wait) = (idle.wait_p9999_ns, noisy.wait_p9999_ns);
        Stressed {
            stress,
            wait_p9999_ns: wait,
            ratio: (rest > 0).then(|| wait as f64 / rest as f64),
        }
    }

    /// A wait within the gate is fine whatever the ratio: 1 µs is no less isolated than 0.1 µs.
    pub fn violation(&self) -> Option<Violation> {
        let ratio = self.ratio.unwrap_or(f64::INFINITY);
        (self.wait_p9999_ns > WAIT_P9999_NS && ratio > STRESSED_RATIO).then(|| Violation {
            name: format!("stress {}", self.stress.name()),
            what: "noise on other CPUs reaches this one: wait p99.99 stressed by idle".into(),
            found: ratio,
            budget: STRESSED_RATIO,
            unit: "times",
        })
    }
}

impl CpuProof {
    /// Of a CPU that was measured.
    pub fn new(idle: &CpuJitter, stressed: Vec<Stressed>, violations: Vec<Violation>) -> CpuProof {
        CpuProof {
            cpu: idle.cpu,
            proven: violations.is_empty(),
            violations,
            idle: Some(idle.figures.clone()),
            stressed,
            counters: idle.counters.clone(),
        }
    }

    /// Of a CPU whose counters were compared.
    pub fn live(cpu: CpuId, counters: Delta, violations: Vec<Violation>) -> CpuProof {
        CpuProof {
            cpu: cpu.0,
            proven: violations.is_empty(),
            violations,
            idle: None,
            stressed: Vec::new(),
            counters,
        }
    }
}

impl VerifyReport {
    /// Puts it together.
    pub fn new(
        host: Facts,
        layout_hash: Option<String>,
        standing: Standing,
        span: Duration,
        unmet: Vec<Unmet>,
        strays: Vec<Stray>,
        cpus: Vec<CpuProof>,
    ) -> VerifyReport {
        VerifyReport {
            schema: SCHEMA,
            tool: "corelane tune verify",
            host,
            layout_hash,
            standing,
            seconds: span.as_secs_f64(),
            unmet,
            strays,
            proven: cpus.iter().filter(|cpu| cpu.proven).count(),
            cpus,
        }
    }

    /// 0 where every must is met, every thread in its place and every CPU proven, else 2.
    pub fn exit(&self) -> Exit {
        let is_placed = self.unmet.is_empty() && self.strays.is_empty();
        if is_placed && self.proven == self.cpus.len() {
            Exit::Ok
        } else {
            Exit::Must
        }
    }

    /// The CPU with the most violations.
    fn worst(&self) -> Option<&CpuProof> {
        let failed = self.cpus.iter().filter(|cpu| !cpu.proven);
        failed.max_by_key(|cpu| (cpu.violations.len(), std::cmp::Reverse(cpu.cpu)))
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unmet in &self.unmet {
            let (id, current, want) = (unmet.id, &unmet.current, &unmet.want);
            writeln!(f, "{id}: is {current}, want {want}")?;
        }
        for stray in &self.strays {
            let (pid, tid, comm, wrong) = (stray.pid, stray.tid, &stray.comm, &stray.wrong);
            writeln!(f, "process {pid}, thread {tid} ({comm}): {wrong}")?;
        }
        writeln!(
            f,
            "cpu  gaps>=1us/s    max_us  lost_ppm  wait p99.9/p99.99 us    irq    LOC    CAL    TLB    \
             RES  verdict"
        )?;
        for cpu in &self.cpus {
            writeln!(f, "{cpu}")?;
        }
        write!(f, "{}/{} shards proven", self.proven, self.cpus.len())?;
        if let Some(worst) = self.worst() {
            write!(f, " · worst cpu{}", worst.cpu)?;
        }
        if !self.unmet.is_empty() {
            write!(f, " · {} musts not met", self.unmet.len())?;
        }
        match self.standing {
            Standing::Gating => Ok(()),
            Standing::Informational => {
                f.write_str(" · a virtual machine: jitter is informational, counters count")
            }
        }
    }
}

impl fmt::Display for CpuProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |ns: u64| ns as f64 / 1000.0;
        write!(f, "{:>3}", self.cpu)?;
        match &self.idle {
            Some(idle) => {
                let seconds = idle.span_ns.max(1) as f64 / 1e9;
                let waits = format!(
                    "{:.1} / {:.1}",
                    us(idle.wait_p999_ns),
                    us(idle.wait_p9999_ns)
                );
                write!(
                    f,
                    "  {:>11.1} {:>9.1} {:>9.0}  {waits:>20}",
                    idle.gaps_at_least.us_1 as f64 / seconds,
                    us(idle.gap_max_ns),
                    idle.lost_ppm
                )?;
            }
            None => write!(f, "  {:>11} {:>9} {:>9}  {:>20}", "-", "-", "-", "-")?,
        }
        let devices: u64 = self.counters.devices().map(|moved| moved.times).sum();
        write!(f, " {devices:>6}")?;
        for row in ["LOC", "CAL", "TLB", "RES"] {
            write!(f, " {:>6}", self.counters.interrupts_of(row))?;
        }
        f.write_str(if self.proven { "  PASS" } else { "  FAIL" })?;
        for (at, violation) in self.violations.iter().enumerate() {
            write!(f, "{} {violation}", if at == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::jitter::counters::Moved;

    fn proof(cpu: u16, violations: usize) -> CpuProof {
        let violation = Violation {
            name: "irq 88".into(),
            what: "mlx5_comp9".into(),
            found: 900.0,
            budget: 0.0,
            unit: "per s",
        };
        let counters = Delta {
            interrupts: vec![
                Moved {
                    row: "88".into(),
                    what: "mlx5_comp9".into(),
                    times: 54_000,
                },
                Moved {
                    row: "LOC".into(),
                    what: "Local timer interrupts".into(),
                    times: 60_000,
                },
            ],
            ..Delta::default()
        };
        CpuProof::live(CpuId(cpu), counters, vec![violation; violations])
    }

    fn report(unmet: Vec<Unmet>, cpus: Vec<CpuProof>) -> VerifyReport {
        let span = Duration::from_secs(60);
        VerifyReport::new(
            Facts::default(),
            None,
            Standing::Gating,
            span,
            unmet,
            Vec::new(),
            cpus,
        )
    }

    #[test]
    fn one_failing_cpu_or_must_is_enough_to_prove_nothing() {
        assert_eq!(
            report(vec![], vec![proof(4, 0), proof(5, 0)]).exit(),
            Exit::Ok
        );
        assert_eq!(
            report(vec![], vec![proof(4, 0), proof(5, 1)]).exit(),
            Exit::Must
        );
        let unmet = Unmet {
            id: "mm.thp",
            status: Status::Drift,
            current: "always".into(),
            want: "madvise".into(),
        };
        assert_eq!(report(vec![unmet], vec![proof(4, 0)]).exit(), Exit::Must);
        let mut strayed = report(vec![], vec![proof(4, 0)]);
        strayed.strays.push(Stray {
            pid: 7,
            tid: 9,
            comm: "log-keeper".into(),
            wrong: "may run on CPU 4".into(),
        });
        assert_eq!(strayed.exit(), Exit::Must);
        assert!(strayed.to_string().contains("thread 9 (log-keeper)"));
    }

    #[test]
    fn the_table_names_the_violator_and_the_worst_cpu() {
        let text = report(vec![], vec![proof(4, 0), proof(5, 1), proof(6, 2)]).to_string();
        assert!(
            text.contains("54000  60000      0      0      0  PASS"),
            "{text}"
        );
        assert!(
            text.contains("FAIL irq 88 mlx5_comp9 (900.0 per s, budget 0.0)"),
            "{text}"
        );
        assert!(text.ends_with("1/3 shards proven · worst cpu6"), "{text}");
    }

    #[test]
    fn noise_counts_only_where_it_costs() {
        let stressed = |wait: u64, ratio: Option<f64>| Stressed {
            stress: Stress::Irq,
            wait_p9999_ns: wait,
            ratio,
        };
        assert!(stressed(WAIT_P9999_NS, Some(99.0)).violation().is_none());
        assert!(
            stressed(WAIT_P9999_NS + 1, Some(STRESSED_RATIO))
                .violation()
                .is_none()
        );
        let found = stressed(WAIT_P9999_NS + 1, Some(2.1)).violation().unwrap();
        assert!(found.to_string().starts_with("stress irq"), "{found}");
        assert!(stressed(WAIT_P9999_NS + 1, None).violation().is_some());
    }
}
