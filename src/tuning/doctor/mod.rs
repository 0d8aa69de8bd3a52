//! What an engine would reach on this host, from a few seconds of probing, and what to mend first.
//!
//! Owns: probing, the model, the advice. Never does: changing the host; it writes to one file of its
//! own that has no name. Runs on: the main thread of a command; for the jitter a thread on each CPU.
//!
//! | module | what |
//! |---|---|
//! | [`facts`], [`place`], [`ring`] | what can be read in a few milliseconds, without writing |
//! | [`disk`], [`cores`], [`crate::tuning::jitter`] | what has to be measured |
//! | [`findings`] | what is wrong, by rules over both |
//! | [`predict`] | the model |
//! | [`report`] | what is printed |

pub mod cores;
pub mod disk;
pub mod facts;
pub mod findings;
pub mod place;
pub mod predict;
pub mod report;
pub mod ring;

use std::path::Path;
use std::time::Duration;

use crate::cpu::{CpuSet, Sys};

use super::jitter::meter::lengths;
use super::jitter::wait::wait_ns;
use super::jitter::{self, JitterOptions};
use super::running::engines;
use disk::DiskError;
use facts::HostFacts;
use findings::{Finding, Level};
use predict::{Measures, Target, Term, Verdict};
use report::{DoctorReport, JitterPart};

/// What is wrong as far as it can be read without writing: for the start of an engine.
pub fn glance(sys: &dyn Sys, directory: &Path) -> Vec<Finding> {
    findings::cheap(&HostFacts::read(sys, directory))
}

/// Probes for about `budget` and predicts.
///
/// # Errors
/// Nothing can be written to `directory`.
pub fn diagnose(
    sys: &dyn Sys,
    directory: &Path,
    budget: Duration,
) -> Result<DoctorReport, DiskError> {
    let mut facts = HostFacts::read(sys, directory);
    facts.engines = engines(sys).iter().map(ToString::to_string).collect();
    let disk = disk::measure(directory, budget / 2)?;
    let jitter = jitter_part(sys, &facts, budget / 4);
    let cpus = facts.shards.as_ref().map(|cpus| cpus.union(&facts.cpus));
    let cpus: Vec<_> = cpus.as_ref().unwrap_or(&facts.cpus).iter().collect();
    let wake = match (cpus.first(), cpus.last()) {
        (Some(first), Some(last)) if first != last => cores::wake(*first, *last, budget / 8),
        _ => None,
    };
    let shards = facts.shards.as_ref().map_or(facts.cpus.len(), CpuSet::len);
    let measures = Measures {
        sync_p50_ns: disk.write_sync.p50_ns as f64,
        sync_p99_ns: disk.write_sync.p99_ns as f64,
        bytes_per_s: disk.bytes_per_s,
        wait_p99_ns: jitter.as_ref().ok().map(|part| part.wait_p99_ns as f64),
        wake_p99_ns: wake.map(|latency| latency.p99_ns as f64),
        speed: cores::speed(),
        cores: shards,
    };
    // What disturbed the measurement comes first among its like: it may be the cause of the rest.
    let mut findings = findings::measured(&facts, &disk);
    findings.extend(findings::cheap(&facts));
    findings.sort_by_key(|finding| finding.level);
    let targets = predict::predict(&measures);
    Ok(DoctorReport::new(
        facts, disk, wake, jitter, measures, targets, findings,
    ))
}

/// The jitter of the shards' CPUs, or of all where there is no layout; why there is none.
///
/// Not only of those that this process inherited: it inherits no CPU that is isolated, and can be
/// put there all the same.
fn jitter_part(sys: &dyn Sys, facts: &HostFacts, span: Duration) -> Result<JitterPart, String> {
    let cpus = facts.shards.as_ref().unwrap_or(&facts.cpus).clone();
    if cpus.is_empty() {
        return Err("there is no CPU to measure".to_owned());
    }
    let options = JitterOptions {
        cpus,
        span,
        stress: None,
    };
    let report = jitter::run(sys, &options).map_err(|error| error.to_string())?;
    let gaps = report.histogram.as_ref().map(lengths).unwrap_or_default();
    Ok(JitterPart {
        wait_p99_ns: wait_ns(&gaps, report.all.span_ns, 0.99),
        figures: report.all,
    })
}

/// The one thing to mend first, or what to say where there is none.
///
/// What keeps the engine from running comes first; then what the largest part of the first missed
/// figure is made of; then what costs latency although every figure is reached.
pub fn first(findings: &[Finding], targets: &[Target]) -> String {
    let told = |finding: &Finding| format!("{}: {}. {}", finding.id, finding.what, finding.fix);
    if let Some(blocks) = findings.iter().find(|f| f.level == Level::Blocks) {
        return told(blocks);
    }
    // More hosts are the answer to the last of the rates, not a change to this one.
    let missed = |verdict| {
        let mut targets = targets.iter().filter(|target| target.id != "rate.topics");
        targets.find(|target| target.verdict == verdict)
    };
    if let Some(target) = missed(Verdict::OutOfReach).or(missed(Verdict::AtRisk)) {
        let cause = findings.iter().find(|f| f.term == Some(target.term));
        return cause.map_or_else(|| advice(target), told);
    }
    let costs = findings.iter().find(|f| f.level == Level::Costs);
    costs.map_or_else(|| "nothing: every figure is within reach".to_owned(), told)
}

/// Where no finding explains it.
fn advice(target: &Target) -> String {
    let do_this = match target.term {
        Term::Device => "use a faster disk, one with power-loss protection for the syncs",
        Term::Jitter => {
            "something takes CPUs away: 'corelane tune check', then 'corelane jitter' for what it is"
        }
        Term::Wake => {
            "sleeping CPUs wake slowly: limit their idle states, see 'corelane tune check'"
        }
        Term::Core => "use faster cores, or more of them",
    };
    format!("{}: {do_this}", target.what)
}

#[cfg(test)]
mod tests;
