//! What a measurement comes to.
//!
//! Owns: the figures, their JSON and their table. Never does: measuring, judging.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::counters::Delta;
use super::meter::{AtLeast, Gap, Measured, MemoryLock, Recording, Switches, lengths};
use super::periodicity::{Hint, TICK_RATES_HZ, hints};
use super::stress::Stress;
use super::tsc::{CPUINFO, Tsc, flags};
use super::wait::wait_ns;
use crate::cpu::Sys;
use crate::ids::CpuId;

/// Of the JSON; another number means that fields have another meaning.
pub const SCHEMA: u32 = 1;

/// Whether figures may be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Bare metal: they show the host.
    Gating,
    /// A virtual machine: they show its neighbours, too.
    Informational,
}

/// What is known of the host and the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// `6.18.44`.
    pub kernel: String,
    /// The CPU's name.
    pub cpu: String,
    /// Of this boot.
    pub boot_id: String,
    /// Whether figures may be judged.
    pub standing: Standing,
    /// Ticks a second of the counter.
    pub counter_hz: f64,
    /// The noise that was made meanwhile.
    pub stress: Option<Stress>,
    /// How much of it.
    pub stress_rounds: Option<u64>,
}

/// Figures of one CPU, or of all of them together. Lengths in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Time that was watched, summed over the CPUs.
    pub span_ns: u64,
    /// How many gaps.
    pub gaps: u64,
    /// Gaps a second.
    pub gaps_per_s: f64,
    /// By length.
    pub gaps_at_least: AtLeast,
    /// Half of the gaps were no longer.
    pub gap_p50_ns: u64,
    /// 99 of 100.
    pub gap_p99_ns: u64,
    /// 999 of 1,000.
    pub gap_p999_ns: u64,
    /// The longest.
    pub gap_max_ns: u64,
    /// Millionths of the time that were lost in gaps.
    pub lost_ppm: f64,
    /// Millionths that were lost in the worst second.
    pub lost_worst_second_ppm: f64,
    /// What work waits that arrives at any time, in 999 of 1,000 cases.
    pub wait_p999_ns: u64,
    /// In 9,999 of 10,000.
    pub wait_p9999_ns: u64,
}

/// One CPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CpuJitter {
    /// Which.
    pub cpu: u16,
    /// Gaps are known to this.
    pub step_ns: u64,
    /// Shorter ones are no gaps.
    pub threshold_ns: u64,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The longest gaps, in order of time.
    pub largest: Vec<Gap>,
    /// What the meter's thread was interrupted by, as the kernel counts.
    pub switches: Switches,
    /// What the kernel counted meanwhile.
    pub counters: Delta,
    /// Rhythms.
    pub hints: Vec<Hint>,
}

/// The whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JitterReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `corelane jitter`.
    pub tool: String,
    /// Host and run.
    #[serde(flatten)]
    pub facts: Facts,
    /// Why memory could not be locked; none where it was.
    pub memory_not_locked: Option<String>,
    /// All CPUs together.
    pub all: Figures,
    /// Each.
    pub cpus: Vec<CpuJitter>,
    /// Gaps of all CPUs.
    #[serde(skip)]
    pub histogram: Option<Histogram<u64>>,
}

impl Facts {
    /// Reads what the kernel tells. What it does not tell is empty.
    pub fn read(sys: &dyn Sys, tsc: Tsc) -> Facts {
        let read = |path| sys.read(path).unwrap_or_default();
        let info = read(CPUINFO);
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let model = model.and_then(|rest| rest.split_once(':'));
        Facts {
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: model.map_or(String::new(), |(_, name)| name.trim().to_owned()),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            standing: standing(sys, &info),
            counter_hz: tsc.hz(),
            stress: None,
            stress_rounds: None,
        }
    }
}

/// Whether this is a virtual machine: CPUID says so on x86, the device tree on others.
pub fn standing(sys: &dyn Sys, cpuinfo: &str) -> Standing {
    let is_guest = flags(cpuinfo).contains(&"hypervisor")
        || sys.exists("/proc/device-tree/hypervisor")
        || sys.exists("/sys/hypervisor/type");
    if is_guest {
        Standing::Informational
    } else {
        Standing::Gating
    }
}

impl Figures {
    fn new(
        histogram: &Histogram<u64>,
        at_least: AtLeast,
        lost_ns: u64,
        worst_ppm: f64,
        span_ns: u64,
    ) -> Figures {
        let lengths = lengths(histogram);
        let seconds = span_ns.max(1) as f64 / 1e9;
        let at = |quantile| histogram.value_at_quantile(quantile).min(histogram.max());
        Figures {
            span_ns,
            gaps: histogram.len(),
            gaps_per_s: histogram.len() as f64 / seconds,
            gaps_at_least: at_least,
            gap_p50_ns: at(0.5),
            gap_p99_ns: at(0.99),
            gap_p999_ns: at(0.999),
            gap_max_ns: histogram.max(),
            lost_ppm: lost_ns as f64 / span_ns.max(1) as f64 * 1e6,
            lost_worst_second_ppm: worst_ppm,
            wait_p999_ns: wait_ns(&lengths, span_ns, 0.999),
            wait_p9999_ns: wait_ns(&lengths, span_ns, 0.9999),
        }
    }
}

impl AtLeast {
    fn plus(self, other: AtLeast) -> AtLeast {
        AtLeast {
            us_1: self.us_1 + other.us_1,
            us_10: self.us_10 + other.us_10,
            us_100: self.us_100 + other.us_100,
            ms_1: self.ms_1 + other.ms_1,
        }
    }
}

impl CpuJitter {
    fn new(recording: Recording, counters: Delta) -> CpuJitter {
        // The worst second of a run that was shorter than one is the run.
        let second_ns = recording.span_ns.clamp(1, 1_000_000_000);
        let worst_ppm = recording.lost_worst_second_ns as f64 / second_ns as f64 * 1e6;
        let tick_hz = tick_hz(&counters, recording.span_ns);
        let mut hints = hints(&recording.recent, tick_hz);
        // What comes once a second is not in the newest gaps, but among the longest.
        for hint in self::hints(&recording.largest, tick_hz) {
            if hints.iter().all(|known| known.period_ns != hint.period_ns) {
                hints.push(hint);
            }
        }
        CpuJitter {
            cpu: recording.cpu.0,
            step_ns: recording.step_ns,
            threshold_ns: recording.threshold_ns,
            figures: Figures::new(
                &recording.histogram,
                recording.at_least,
                recording.lost_ns,
                worst_ppm,
                recording.span_ns,
            ),
            largest: recording.largest,
            switches: recording.switches,
            counters,
            hints,
        }
    }
}

/// The tick's rate, from how often the timer interrupted a CPU that was busy all the time. None
/// where that is no rate that kernels have, as with `nohz_full`.
fn tick_hz(counters: &Delta, span_ns: u64) -> Option<u64> {
    let per_s = counters.interrupts_of("LOC") as f64 * 1e9 / span_ns.max(1) as f64;
    TICK_RATES_HZ
        .into_iter()
        .find(|hz| (per_s / *hz as f64 - 1.0).abs() < 0.1)
}

impl JitterReport {
    /// From what was measured; `deltas` in the order of the recordings.
    pub fn new(facts: Facts, measured: Measured, deltas: Vec<Delta>) -> JitterReport {
        let memory_not_locked = match measured.memory {
            MemoryLock::Locked => None,
            MemoryLock::Refused(reason) => Some(reason),
        };
        let mut all: Option<Histogram<u64>> = None;
        let (mut lost_ns, mut span_ns, mut at_least) = (0, 0, AtLeast::default());
        for recording in &measured.recordings {
            lost_ns += recording.lost_ns;
            span_ns += recording.span_ns;
            at_least = at_least.plus(recording.at_least);
            match &mut all {
                Some(all) => all
                    .add(&recording.histogram)
                    .expect("all histograms are made with the same range"),
                None => all = Some(recording.histogram.clone()),
            }
        }
        let both = measured.recordings.into_iter().zip(deltas);
        let cpus: Vec<CpuJitter> = both.map(|(r, delta)| CpuJitter::new(r, delta)).collect();
        let worst = cpus.iter().map(|cpu| cpu.figures.lost_worst_second_ppm);
        let worst_ppm = worst.fold(0.0, f64::max);
        let histogram = all.expect("a measurement has a CPU");
        JitterReport {
            schema: SCHEMA,
            tool: "corelane jitter".to_owned(),
            facts,
            memory_not_locked,
            all: Figures::new(&histogram, at_least, lost_ns, worst_ppm, span_ns),
            cpus,
            histogram: Some(histogram),
        }
    }

    /// A CPU's figures.
    pub fn of(&self, cpu: CpuId) -> Option<&CpuJitter> {
        self.cpus.iter().find(|found| found.cpu == cpu.0)
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

impl fmt::Display for JitterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        writeln!(f, "{}, Linux {}", facts.cpu, facts.kernel)?;
        if let (Some(stress), Some(rounds)) = (facts.stress, facts.stress_rounds) {
            writeln!(
                f,
                "beside {rounds} rounds of {} on other CPUs",
                stress.name()
            )?;
        }
        if let Some(reason) = &self.memory_not_locked {
            writeln!(
                f,
                "memory is not locked ({reason}): page faults may show as gaps"
            )?;
        }
        writeln!(
            f,
            "cpu   gaps/s  >=1us/s  p50_us   p99_us  p99.9_us    max_us  lost_ppm  worst_s_ppm  \
             wait p99.9/p99.99 us"
        )?;
        for cpu in &self.cpus {
            writeln!(f, "{:>3} {}", cpu.cpu, cpu.figures)?;
        }
        write!(f, "all {}", self.all)?;
        for cpu in &self.cpus {
            for hint in &cpu.hints {
                let (period_ms, share) = (hint.period_ns as f64 / 1e6, hint.share * 100.0);
                let likely = &hint.likely;
                write!(
                    f,
                    "\ncpu {}: {share:.0} % of gaps repeat after {period_ms:.2} ms: {likely}",
                    cpu.cpu
                )?;
            }
        }
        match facts.standing {
            Standing::Gating => Ok(()),
            Standing::Informational => f.write_str(
                "\ninformational: a virtual machine also shows what its host does for others",
            ),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.span_ns.max(1) as f64 / 1e9;
        write!(
            f,
            "{:>8.1} {:>8.1} {:>7.2} {:>8.2} {:>9.2} {:>9.2} {:>9.1} {:>12.1}  {:.1} / {:.1}",
            self.gaps_per_s,
            self.gaps_at_least.us_1 as f64 / seconds,
            us(self.gap_p50_ns),
            us(self.gap_p99_ns),
            us(self.gap_p999_ns),
            us(self.gap_max_ns),
            self.lost_ppm,
            self.lost_worst_second_ppm,
            us(self.wait_p999_ns),
            us(self.wait_p9999_ns),
        )
    }
}
