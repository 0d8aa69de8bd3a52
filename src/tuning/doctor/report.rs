//! What the doctor says.
//!
//! Owns: its JSON and its text. Never does: judging.

use std::fmt;

use serde::Serialize;

use super::disk::{DiskFigures, Latency};
use super::facts::{HostFacts, MemLock};
use super::findings::{Finding, Level};
use super::predict::{Measures, Target, Unit, Verdict};
use super::ring::Ring;
use crate::tuning::exit::Exit;
use crate::tuning::jitter::report::{Figures, Standing};

/// Of the JSON; another number means that fields have another meaning.
const SCHEMA: u32 = 1;

/// What the jitter meter found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JitterPart {
    /// What work waits that arrives at any time, in 99 of 100 cases.
    pub wait_p99_ns: u64,
    /// The rest.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DoctorReport {
    /// Of the JSON.
    pub schema: u32,
    /// `corelane doctor`.
    pub tool: &'static str,
    /// What was read.
    pub host: HostFacts,
    /// What the disk gives.
    pub disk: DiskFigures,
    /// How fast a parked thread wakes; none with one CPU.
    pub wake: Option<Latency>,
    /// What the CPUs give; why that is not known.
    pub jitter: Result<JitterPart, String>,
    /// What went into the prediction.
    pub measures: Measures,
    /// The prediction.
    pub targets: Vec<Target>,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// What to mend first.
    pub first: String,
}

impl DoctorReport {
    /// Puts it together.
    pub fn new(
        host: HostFacts,
        disk: DiskFigures,
        wake: Option<Latency>,
        jitter: Result<JitterPart, String>,
        measures: Measures,
        targets: Vec<Target>,
        findings: Vec<Finding>,
    ) -> DoctorReport {
        DoctorReport {
            schema: SCHEMA,
            tool: "corelane doctor",
            first: super::first(&findings, &targets),
            host,
            disk,
            wake,
            jitter,
            measures,
            targets,
            findings,
        }
    }

    /// 2 where the engine does not run here or cannot keep what it promises; a figure that is out of
    /// reach is an answer, not a failure.
    pub fn exit(&self) -> Exit {
        if self.findings.iter().any(|f| f.level == Level::Blocks) {
            Exit::Must
        } else {
            Exit::Ok
        }
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1} us  ({} times)",
            us(self.p50_ns),
            us(self.p99_ns),
            us(self.p999_ns),
            us(self.max_ns),
            self.count
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Reachable => "reachable",
            Verdict::AtRisk => "at risk",
            Verdict::OutOfReach => "out of reach",
        })
    }
}

impl Unit {
    fn show(self, figure: f64) -> String {
        match self {
            Unit::Ns => format!("{:.3} ms", figure / 1e6),
            Unit::PerS => format!("{:.1} M/s", figure / 1e6),
            Unit::BytesPerS => format!("{:.2} GB/s", figure / 1e9),
        }
    }

    fn sign(self) -> char {
        match self {
            Unit::Ns => '<',
            Unit::PerS | Unit::BytesPerS => '>',
        }
    }
}

impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host)?;
        let disk = &self.disk;
        writeln!(f, "write 4 KiB + fdatasync     {}", disk.write_sync)?;
        writeln!(f, "write 4 KiB with O_DSYNC    {}", disk.dsync)?;
        writeln!(
            f,
            "sequential writes           {:.2} GB/s",
            disk.bytes_per_s / 1e9
        )?;
        match &self.wake {
            Some(wake) => writeln!(f, "waking another CPU          {wake}")?,
            None => writeln!(
                f,
                "waking another CPU          not measured: there is one CPU"
            )?,
        }
        match &self.jitter {
            Ok(jitter) => writeln!(
                f,
                "waiting for a CPU           p99 {:.1}  p99.9 {:.1}  p99.99 {:.1} us",
                us(jitter.wait_p99_ns),
                us(jitter.figures.wait_p999_ns),
                us(jitter.figures.wait_p9999_ns)
            )?,
            Err(reason) => writeln!(f, "waiting for a CPU           not measured: {reason}")?,
        }
        writeln!(
            f,
            "\n{:<38} {:>10} {:>12}  {:<12}  from",
            "figure", "limit", "predicted", "verdict"
        )?;
        for target in &self.targets {
            let limit = format!("{} {}", target.unit.sign(), target.unit.show(target.limit));
            writeln!(
                f,
                "{:<38} {limit:>10} {:>12}  {:<12}  {}",
                target.what,
                target.unit.show(target.predicted),
                target.verdict,
                target.from
            )?;
        }
        writeln!(f)?;
        for finding in &self.findings {
            let level = match finding.level {
                Level::Blocks => "BLOCKS",
                Level::Costs => "costs",
                Level::Note => "note",
            };
            writeln!(f, "{level:<7} {}: {}", finding.id, finding.what)?;
        }
        write!(f, "mend first: {}", self.first)
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &HostFacts) -> fmt::Result {
    let kind = match host.standing {
        Standing::Gating => "",
        Standing::Informational => " (a virtual machine: its neighbours count, too)",
    };
    writeln!(
        f,
        "{}, CPUs {}, Linux {}{kind}",
        host.cpu, host.cpus, host.kernel
    )?;
    match &host.place {
        Ok(place) => {
            write!(
                f,
                "{} on {} ({})",
                place.path,
                place.file_system,
                place.options.join(",")
            )?;
            if let Some(disk) = &place.device {
                let cache = disk.write_cache.as_deref().unwrap_or("unknown");
                write!(f, ", disk {}, write cache {}", disk.name, cache.trim())?;
            }
            writeln!(f)?;
        }
        Err(reason) => writeln!(f, "the data directory's place is not known: {reason}")?,
    }
    let unknown = || "unknown".to_owned();
    let governors: Vec<&str> = host.governors.iter().map(String::as_str).collect();
    let memory = match host.memory_lock {
        MemLock::Unlimited => "unlimited".to_owned(),
        MemLock::Bytes(bytes) => format!("{} KiB", bytes >> 10),
    };
    let ring = if host.ring == Ring::Works {
        "works"
    } else {
        "does not work"
    };
    writeln!(
        f,
        "clock {}, governor {}, isolated CPUs {}, memory nodes {}, lockable memory {memory}, io_uring \
         {ring}\n",
        host.clock_source.clone().unwrap_or_else(unknown),
        if governors.is_empty() {
            "none".to_owned()
        } else {
            governors.join("+")
        },
        if host.isolated.is_empty() {
            "none".to_owned()
        } else {
            host.isolated.to_string()
        },
        host.nodes.len().max(1),
    )
}
