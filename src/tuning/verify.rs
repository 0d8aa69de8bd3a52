//! Proof that tuning worked: effects read again, what interrupted the shards' CPUs, how long work
//! waits there, and how much of that changes when the other CPUs are busy.
//!
//! Owns: the order of the levels, and when it refuses. Never does: changing the host. Runs on: the
//! main thread of a command; the meter on the shards' CPUs, noise on the others.
//!
//! The levels are those of the tuning guide: L0 effects, L1 counters, L2 jitter.

pub mod budget;
pub mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cpu::{CpuSet, Layout, SysError};
use crate::ids::CpuId;

use super::audit::{Audit, threads};
use super::check::{Selection, check};
use super::host::Host;
use super::item::{Group, Status};
use super::jitter::counters::Counters;
use super::jitter::report::{CpuJitter, JitterReport, Standing, standing};
use super::jitter::stress::Stress;
use super::jitter::tsc::CPUINFO;
use super::jitter::{self, JitterError, JitterOptions};
use super::running::engines;
use budget::{Load, Tick, Violation, violations};
use report::{CpuProof, Stray, Stressed, Unmet, VerifyReport};

/// CPUs without the tick.
const NOHZ: &str = "/sys/devices/system/cpu/nohz_full";

/// Noise beside the shards. Not the two that reach into this very process: they show whether the
/// engine's own threads disturb it, which is the engine's to avoid, not the host's.
const NOISE: [Stress; 2] = [Stress::Irq, Stress::Cpu];

/// Noise lasts this part of the quiet measurement.
const NOISE_SHARE: u32 = 4;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything; the shards' CPUs have to be free.
    Quiet,
    /// Counters only, beside an engine at work.
    Live,
}

/// Why nothing was proven or refuted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no split of the CPUs to prove.
    #[error("there is no layout to prove: {0}")]
    NoLayout(String),
    /// An engine runs on the CPUs that would be measured.
    #[error(
        "{0} runs: measuring would take its CPUs; stop it, or look at counters only with --live"
    )]
    EngineRuns(String),
    /// The files are those of another host than the one that would be measured.
    #[error("the host's files are under {0}, but what is measured is this machine; use --live")]
    OtherRoot(String),
    /// The jitter could not be measured.
    #[error(transparent)]
    Jitter(#[from] JitterError),
    /// Counters could not be read.
    #[error(transparent)]
    Counters(#[from] SysError),
}

impl VerifyError {
    /// Whether it was refused before anything was done.
    pub fn is_refusal(&self) -> bool {
        match self {
            VerifyError::NoLayout(_) | VerifyError::EngineRuns(_) | VerifyError::OtherRoot(_) => {
                true
            }
            VerifyError::Jitter(_) | VerifyError::Counters(_) => false,
        }
    }
}

/// Proves or refutes, for about `span`, and half as long again under noise.
///
/// # Errors
/// There is no layout, an engine runs, or nothing can be measured.
pub fn verify(
    host: &Host<'_>,
    selection: &Selection,
    mode: Mode,
    span: Duration,
) -> Result<VerifyReport, VerifyError> {
    if mode == Mode::Quiet {
        refuse(host)?;
    }
    let layout = host
        .layout
        .as_ref()
        .map_err(|why| VerifyError::NoLayout(why.clone()))?;
    let unmet = unmet(host, selection);
    let strays = strays(host, layout);
    let cpus = match mode {
        Mode::Quiet => quiet(host, layout, span)?,
        Mode::Live => live(host, layout, span)?,
    };
    let cpuinfo = host.sys.read(CPUINFO).unwrap_or_default();
    Ok(VerifyReport::new(
        host.facts.clone(),
        layout.hash.clone(),
        standing(host.sys, &cpuinfo),
        span,
        unmet,
        strays,
        cpus,
    ))
}

fn refuse(host: &Host<'_>) -> Result<(), VerifyError> {
    let root = host.sys.root();
    if root != std::path::Path::new("/") {
        return Err(VerifyError::OtherRoot(root.display().to_string()));
    }
    match engines(host.sys).first() {
        Some(engine) => Err(VerifyError::EngineRuns(engine.to_string())),
        None => Ok(()),
    }
}

/// L0: what must be as wanted and is not, read now.
fn unmet(host: &Host<'_>, selection: &Selection) -> Vec<Unmet> {
    let items = check(host, selection).items.into_iter();
    let unmet = items.filter(|item| item.group == Group::A && !is_met(item.status));
    unmet
        .map(|item| Unmet {
            id: item.id,
            status: item.status,
            current: item.current,
            want: item.want,
        })
        .collect()
}

/// L0: threads of running engines that may run where they should not.
fn strays(host: &Host<'_>, layout: &Layout) -> Vec<Stray> {
    let engines = engines(host.sys).into_iter();
    // One that ends meanwhile has no threads.
    let audits = engines
        .filter_map(|engine| Audit::of(host.sys, engine.pid, Some(layout), &host.topology).ok());
    let strays = audits.flat_map(|audit| {
        let stray = |thread: &super::audit::AuditedThread| Stray {
            pid: audit.pid,
            tid: thread.facts.tid,
            comm: thread.facts.comm.clone(),
            wrong: thread.wrong.clone().unwrap_or_default(),
        };
        audit.strays().map(stray).collect::<Vec<_>>()
    });
    strays.collect()
}

/// How often the threads of engines that are pinned to one CPU were taken off it, by CPU.
fn taken_off(host: &Host<'_>) -> BTreeMap<CpuId, u64> {
    let mut times = BTreeMap::new();
    for engine in engines(host.sys) {
        for thread in threads(host.sys, engine.pid).unwrap_or_default() {
            if let (1, Some(cpu)) = (thread.allowed.len(), thread.allowed.first()) {
                *times.entry(cpu).or_default() += thread.nonvoluntary_switches;
            }
        }
    }
    times
}

/// What cannot be read or managed is not held against the host: the levels above show its effects.
fn is_met(status: Status) -> bool {
    match status {
        Status::Ok | Status::Unreadable | Status::Unmanageable | Status::NotApplicable => true,
        Status::Drift | Status::Missing | Status::RebootPending => false,
    }
}

/// Whether a CPU has a tick.
fn ticks(host: &Host<'_>) -> impl Fn(CpuId) -> Tick {
    let without = host.sys.read(NOHZ).ok();
    let without = without
        .and_then(|list| CpuSet::parse_list(&list).ok())
        .unwrap_or_default();
    move |cpu| {
        if without.contains(cpu) {
            Tick::Stopped
        } else {
            Tick::Runs
        }
    }
}

/// L1 and L2 on CPUs that nobody uses.
fn quiet(host: &Host<'_>, layout: &Layout, span: Duration) -> Result<Vec<CpuProof>, VerifyError> {
    let cpus = layout.shard_cpus();
    let idle = run(host, &cpus, span, None)?;
    let mut noisy = Vec::new();
    let others = layout.others().difference(&cpus);
    if !others.is_empty() {
        for stress in NOISE {
            let noise = Some((stress, others.clone()));
            noisy.push((stress, run(host, &cpus, span / NOISE_SHARE, noise)?));
        }
    }
    let tick = ticks(host);
    let standing = idle.facts.standing;
    Ok(idle
        .cpus
        .iter()
        .map(|cpu| {
            let load = Load {
                seconds: cpu.figures.span_ns as f64 / 1e9,
                tick: tick(CpuId(cpu.cpu)),
                nonvoluntary: cpu.switches.nonvoluntary,
            };
            let mut found = violations(&cpu.counters, load);
            let stressed = stressed(cpu, &noisy);
            if standing == Standing::Gating {
                found.extend(budget::jitter_violations(&cpu.figures));
                found.extend(stressed.iter().filter_map(Stressed::violation));
            }
            CpuProof::new(cpu, stressed, found)
        })
        .collect())
}

fn run(
    host: &Host<'_>,
    cpus: &CpuSet,
    span: Duration,
    stress: Option<(Stress, CpuSet)>,
) -> Result<JitterReport, JitterError> {
    let options = JitterOptions {
        cpus: cpus.clone(),
        span,
        stress,
    };
    jitter::run(host.sys, &options)
}

fn stressed(idle: &CpuJitter, noisy: &[(Stress, JitterReport)]) -> Vec<Stressed> {
    let of = |(stress, report): &(Stress, JitterReport)| {
        let figures = &report.of(CpuId(idle.cpu))?.figures;
        Some(Stressed::new(*stress, &idle.figures, figures))
    };
    noisy.iter().filter_map(of).collect()
}

/// L1 beside an engine at work.
fn live(host: &Host<'_>, layout: &Layout, span: Duration) -> Result<Vec<CpuProof>, VerifyError> {
    let cpus: Vec<CpuId> = layout.shard_cpus().iter().collect();
    let switched_before = taken_off(host);
    let before = Counters::read(host.sys, &cpus)?;
    std::thread::sleep(span);
    let after = Counters::read(host.sys, &cpus)?;
    let switched = taken_off(host);
    let tick = ticks(host);
    let proof = |cpu: CpuId| {
        let counters = after.since(&before, cpu);
        let times = |at: &BTreeMap<CpuId, u64>| at.get(&cpu).copied().unwrap_or(0);
        let load = Load {
            seconds: span.as_secs_f64(),
            tick: tick(cpu),
            nonvoluntary: times(&switched).saturating_sub(times(&switched_before)),
        };
        let found: Vec<Violation> = violations(&counters, load);
        CpuProof::live(cpu, counters, found)
    };
    Ok(cpus.into_iter().map(proof).collect())
}
