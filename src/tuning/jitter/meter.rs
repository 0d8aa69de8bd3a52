//! The meter: a thread on each CPU that does nothing but read the counter, and so sees every moment
//! in which it was not running.
//!
//! Owns: the loop and what it records. Never does: allocating or entering the kernel between the
//! first and the last reading. Runs on: a thread of its own on each CPU that is measured.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::mm::{MlockAllFlags, mlockall, munlockall};
use serde::{Deserialize, Serialize};

use super::pin::pin_to;
use super::tsc::{Tsc, ticks};
use crate::cpu::{HostSys, Sys as _};
use crate::ids::CpuId;

/// The longest gap that is told apart: 10 s. Longer ones count as this.
pub const GAP_NS_MAX: u64 = 10_000_000_000;

/// Significant digits of the histogram.
const DIGITS: u8 = 3;

/// Gaps below this are flickers of caches and of the memory bus, in the tens of thousands a second.
const THRESHOLD_NS_MIN: u64 = 200;

/// The threshold is at least this many times the shortest step of the counter.
const THRESHOLD_STEPS: u64 = 8;

/// Steps that the shortest is taken from.
const STEPS: usize = 100_000;

/// The largest gaps that are kept with their time.
pub const LARGEST_MAX: usize = 64;

/// The newest gaps of 1 µs and more that are kept with their time.
const RECENT_MAX: usize = 4096;

/// What is lost is summed over pieces of this length.
const PIECE_NS: u64 = 100_000_000;

/// Pieces of a second.
const PIECES: usize = 10;

/// The meter uses little stack; locked memory is scarce.
const STACK_BYTES: usize = 256 << 10;

/// A time in which the CPU did something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// When it began: nanoseconds since the measurement did.
    pub at_ns: u64,
    /// How long it was, in nanoseconds.
    pub len_ns: u64,
}

/// How many gaps were at least so long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtLeast {
    /// 1 µs.
    pub us_1: u64,
    /// 10 µs.
    pub us_10: u64,
    /// 100 µs.
    pub us_100: u64,
    /// 1 ms.
    pub ms_1: u64,
}

/// How often the meter's thread was taken off its CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// Because it waited.
    pub voluntary: u64,
    /// Because something else was to run.
    pub nonvoluntary: u64,
}

/// Whether the meter's memory could be kept from being paged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryLock {
    /// It was.
    Locked,
    /// The kernel refused, with these words; page faults may then show as gaps.
    Refused(String),
}

/// What was seen on one CPU.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Which.
    pub cpu: CpuId,
    /// How long it was watched, in nanoseconds.
    pub span_ns: u64,
    /// The shortest step of the counter: gaps are known to this.
    pub step_ns: u64,
    /// Shorter ones are no gaps.
    pub threshold_ns: u64,
    /// All gaps, in nanoseconds.
    pub histogram: Histogram<u64>,
    /// By length.
    pub at_least: AtLeast,
    /// The longest ones, in order of time.
    pub largest: Vec<Gap>,
    /// The newest ones of 1 µs and more, in order of time.
    pub recent: Vec<Gap>,
    /// Sum of all gaps.
    pub lost_ns: u64,
    /// Sum of all gaps in the worst second.
    pub lost_worst_second_ns: u64,
    /// Of the meter's thread.
    pub switches: Switches,
}

/// What was seen on all CPUs.
#[derive(Clone, Debug)]
pub struct Measured {
    /// By CPU, as asked for.
    pub recordings: Vec<Recording>,
    /// Whether paging can have disturbed it.
    pub memory: MemoryLock,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeterError {
    /// A thread could not be put on its CPU.
    #[error("no thread can be put on CPU {cpu}: {source}", cpu = .cpu.0)]
    Pin {
        /// Which.
        cpu: CpuId,
        /// Why.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("no thread can be started for CPU {cpu}: {source}", cpu = .cpu.0)]
    Start {
        /// Which.
        cpu: CpuId,
        /// Why.
        source: io::Error,
    },
}

/// Measures all of `cpus` at the same time, for `span`.
///
/// # Errors
/// A thread cannot be started or put on its CPU.
pub fn measure(tsc: Tsc, cpus: &[CpuId], span: Duration) -> Result<Measured, MeterError> {
    let mut threads = Vec::with_capacity(cpus.len());
    for cpu in cpus {
        // Where one fails, the others see their sender go away, and end.
        threads.push(start(tsc, *cpu, span)?);
    }
    // A thread that has ended already says why when it is joined; the others need not begin then.
    let are_ready = threads.iter().all(|meter| meter.ready.recv().is_ok());
    // What the meters touch is there already; the allocator's reserves, a gigabyte and more, are not to
    // be brought for this.
    let memory = match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT) {
        Ok(()) => MemoryLock::Locked,
        Err(error) => MemoryLock::Refused(format!("mlockall: {}", io::Error::from(error))),
    };
    if are_ready {
        for meter in &threads {
            // All of them wait for it.
            let _ = meter.go.send(());
        }
    }
    let mut recordings = Vec::with_capacity(threads.len());
    let mut failure = None;
    for Meter { thread, go, .. } in threads {
        // Whoever still waits for it ends.
        drop(go);
        let ended = thread.join();
        match ended.expect("the meter's loop has nothing that panics") {
            Ok(recording) => recordings.push(recording),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    // Nothing is lost if this fails: the process ends soon.
    let _ = munlockall();
    match failure {
        Some(error) => Err(error),
        None => Ok(Measured { recordings, memory }),
    }
}

struct Meter {
    thread: JoinHandle<Result<Recording, MeterError>>,
    ready: Receiver<()>,
    go: Sender<()>,
}

fn start(tsc: Tsc, cpu: CpuId, span: Duration) -> Result<Meter, MeterError> {
    let (is_ready, ready) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let run = move || {
        pin_to(cpu).map_err(|source| MeterError::Pin { cpu, source })?;
        let mut watch = Watch::new(tsc, cpu, span);
        let before = switches();
        // Both ends live until the thread is joined, unless another thread could not be started;
        // then nobody wants the recording.
        let _ = is_ready.send(());
        if may_go.recv().is_ok() {
            watch.run();
        }
        let after = switches();
        Ok(watch.recorded(Switches {
            voluntary: after.voluntary.saturating_sub(before.voluntary),
            nonvoluntary: after.nonvoluntary.saturating_sub(before.nonvoluntary),
        }))
    };
    let thread = thread::Builder::new()
        .name(format!("jitter-{}", cpu.0))
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map_err(|source| MeterError::Start { cpu, source })?;
    Ok(Meter { thread, ready, go })
}

/// Of the calling thread, from `/proc/thread-self/status`; none where the kernel does not tell.
fn switches() -> Switches {
    let status = HostSys::new("/").read("/proc/thread-self/status");
    parse_switches(&status.unwrap_or_default())
}

fn parse_switches(status: &str) -> Switches {
    let field = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name));
        rest.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok())
            .unwrap_or(0)
    };
    Switches {
        voluntary: field("voluntary_ctxt_switches"),
        nonvoluntary: field("nonvoluntary_ctxt_switches"),
    }
}

/// One CPU's measurement. All of its memory is taken and touched before it runs.
struct Watch {
    tsc: Tsc,
    cpu: CpuId,
    span_ns: u64,
    step: u64,
    threshold: u64,
    /// When it began, by the counter.
    start: u64,
    histogram: Histogram<u64>,
    at_least: AtLeast,
    largest: Vec<Gap>,
    /// The shortest of `largest`, once that is full.
    shortest: usize,
    /// A ring: the gap number n lies at n modulo its length.
    recent: Vec<Gap>,
    recent_count: usize,
    lost_ns: u64,
    /// Lost in each piece of the time.
    pieces_ns: Vec<u64>,
}

impl Watch {
    fn new(tsc: Tsc, cpu: CpuId, span: Duration) -> Watch {
        let span_ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let step = shortest_step();
        let mut histogram = Histogram::new_with_bounds(1, GAP_NS_MAX, DIGITS)
            .expect("constant bounds that hdrhistogram allows");
        // Fresh memory is zero without being there; writing to it brings it.
        histogram.reset();
        let mut recent = vec![Gap::default(); RECENT_MAX];
        recent.fill(Gap {
            at_ns: 1,
            len_ns: 1,
        });
        // One piece more for what the last gap reaches beyond the end.
        let mut pieces_ns = vec![1; (span_ns / PIECE_NS) as usize + 2];
        pieces_ns.fill(0);
        Watch {
            tsc,
            cpu,
            span_ns,
            step,
            threshold: (step * THRESHOLD_STEPS).max(tsc.ticks_in(THRESHOLD_NS_MIN)),
            start: 0,
            histogram,
            at_least: AtLeast::default(),
            largest: Vec::with_capacity(LARGEST_MAX),
            shortest: 0,
            recent,
            recent_count: 0,
            lost_ns: 0,
            pieces_ns,
        }
    }

    /// Watches until the time is over.
    fn run(&mut self) {
        let span = self.tsc.ticks_in(self.span_ns);
        self.start = ticks();
        let end = self.start.saturating_add(span);
        let mut before = self.start;
        loop {
            let now = ticks();
            // Counters of two sockets may differ; the thread stays on one CPU, so it never goes
            // back here, and a wrap would take centuries.
            if now - before > self.threshold {
                self.record(before - self.start, now - before);
                if now >= end {
                    break;
                }
                // Recording takes its time, too, which is no gap.
                before = ticks();
            } else {
                if now >= end {
                    break;
                }
                before = now;
            }
        }
        self.span_ns = self.tsc.ns(ticks() - self.start);
    }

    fn record(&mut self, at: u64, len: u64) {
        let gap = Gap {
            at_ns: self.tsc.ns(at),
            len_ns: self.tsc.ns(len),
        };
        self.histogram.saturating_record(gap.len_ns);
        self.lost_ns += gap.len_ns;
        self.at_least.count(gap.len_ns);
        self.note_lost(gap);
        self.keep_if_large(gap);
        if gap.len_ns >= 1_000 {
            self.recent[self.recent_count % RECENT_MAX] = gap;
            self.recent_count += 1;
        }
    }

    /// A gap may span several pieces.
    fn note_lost(&mut self, gap: Gap) {
        let end = gap.at_ns + gap.len_ns;
        let mut from = gap.at_ns;
        while from < end {
            let piece = from / PIECE_NS;
            let to = end.min((piece + 1) * PIECE_NS);
            let last = self.pieces_ns.len() - 1;
            self.pieces_ns[(piece as usize).min(last)] += to - from;
            from = to;
        }
    }

    fn keep_if_large(&mut self, gap: Gap) {
        if self.largest.len() < LARGEST_MAX {
            // Within its capacity: no allocation.
            self.largest.push(gap);
        } else if gap.len_ns > self.largest[self.shortest].len_ns {
            self.largest[self.shortest] = gap;
        } else {
            return;
        }
        let lengths = self.largest.iter().enumerate();
        let shortest = lengths.min_by_key(|(_, gap)| gap.len_ns);
        self.shortest = shortest.map_or(0, |(index, _)| index);
    }

    fn recorded(self, switches: Switches) -> Recording {
        let mut largest = self.largest;
        largest.sort_unstable_by_key(|gap| gap.at_ns);
        let mut recent = self.recent;
        if self.recent_count < RECENT_MAX {
            recent.truncate(self.recent_count);
        } else {
            recent.rotate_left(self.recent_count % RECENT_MAX);
        }
        let seconds = self
            .pieces_ns
            .windows(PIECES)
            .map(|second| second.iter().sum());
        let worst = seconds.max();
        Recording {
            cpu: self.cpu,
            span_ns: self.span_ns,
            step_ns: self.tsc.ns(self.step),
            threshold_ns: self.tsc.ns(self.threshold),
            histogram: self.histogram,
            at_least: self.at_least,
            largest,
            recent,
            lost_ns: self.lost_ns,
            // Where it took less than a second, that was the worst.
            lost_worst_second_ns: worst.unwrap_or(self.lost_ns),
            switches,
        }
    }
}

impl AtLeast {
    fn count(&mut self, len_ns: u64) {
        self.us_1 += u64::from(len_ns >= 1_000);
        self.us_10 += u64::from(len_ns >= 10_000);
        self.us_100 += u64::from(len_ns >= 100_000);
        self.ms_1 += u64::from(len_ns >= 1_000_000);
    }
}

impl Recording {
    /// Lengths of gaps with how often each occurred, to three digits.
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        lengths(&self.histogram)
    }
}

/// Lengths with how often each was recorded.
pub fn lengths(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let recorded = histogram.iter_recorded();
    let length = |value| histogram.median_equivalent(value).min(histogram.max());
    recorded
        .map(|step| (length(step.value_iterated_to()), step.count_at_value()))
        .collect()
}

/// The fewest ticks between two readings, 1 at the least.
fn shortest_step() -> u64 {
    let mut before = ticks();
    let mut shortest = u64::MAX;
    for _ in 0..STEPS {
        let now = ticks();
        if now > before {
            shortest = shortest.min(now - before);
        }
        before = now;
    }
    // Where it never moved, which calibration has ruled out, any threshold would do.
    if shortest == u64::MAX { 1 } else { shortest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(span: Duration) -> Watch {
        // One tick a nanosecond.
        let tsc = Tsc::with_hz(1e9);
        Watch::new(tsc, CpuId(0), span)
    }

    #[test]
    fn every_gap_is_counted_once_in_each_figure() {
        let mut watch = watch(Duration::from_secs(3));
        for (at, len) in [
            (5, 300),
            (1_000, 1_500),
            (9_000, 20_000),
            (50_000, 2_000_000),
        ] {
            watch.record(at, len);
        }
        let seen = watch.recorded(Switches::default());
        assert_eq!(seen.histogram.len(), 4);
        assert_eq!(seen.lost_ns, 2_021_800);
        let at_least = AtLeast {
            us_1: 3,
            us_10: 2,
            us_100: 1,
            ms_1: 1,
        };
        assert_eq!(seen.at_least, at_least);
        let recent: Vec<u64> = seen.recent.iter().map(|gap| gap.at_ns).collect();
        assert_eq!(recent, [1_000, 9_000, 50_000]);
        assert_eq!(seen.largest.len(), 4);
        let sum: u64 = seen.gaps().iter().map(|(len, count)| len * count).sum();
        assert!(sum.abs_diff(seen.lost_ns) * 1000 <= seen.lost_ns, "{sum}");
    }

    #[test]
    fn the_largest_stay_and_the_newest_stay() {
        let mut watch = watch(Duration::from_secs(1));
        let count = RECENT_MAX as u64 + 10;
        for at in 0..count {
            // Lengths rise and fall, so that the largest come at any time.
            watch.record(at * 10_000, 1_000 + at * 7_919 % count);
        }
        let seen = watch.recorded(Switches::default());
        assert_eq!(seen.recent.len(), RECENT_MAX);
        assert_eq!(seen.recent[0].at_ns, 10 * 10_000);
        assert!(seen.recent.is_sorted_by_key(|gap| gap.at_ns));
        let mut lengths: Vec<u64> = seen.largest.iter().map(|gap| gap.len_ns).collect();
        lengths.sort_unstable();
        let mut all: Vec<u64> = (0..count).map(|at| 1_000 + at * 7_919 % count).collect();
        all.sort_unstable();
        assert_eq!(lengths, all[all.len() - LARGEST_MAX..]);
    }

    #[test]
    fn the_worst_second_is_found_wherever_it_begins() {
        let mut watch = watch(Duration::from_secs(4));
        let second = 1_000_000_000;
        // Across the second of the clock, and a gap across two pieces.
        watch.record(second * 9 / 5, 300_000_000);
        watch.record(second * 11 / 5, 250_000_000);
        watch.record(second * 7 / 2, 100_000_000);
        let seen = watch.recorded(Switches::default());
        assert_eq!(seen.lost_worst_second_ns, 550_000_000);
    }

    /// It would spin for a day otherwise.
    #[test]
    fn where_one_cpu_cannot_be_had_none_is_measured() {
        let first = crate::cpu::allowed_cpus().unwrap()[0];
        let cpus = [first, CpuId(1023), first];
        let day = Duration::from_secs(86_400);
        let error = measure(Tsc::with_hz(1e9), &cpus, day).unwrap_err();
        assert!(error.to_string().contains("CPU 1023: "), "{error}");
    }

    #[test]
    fn switches_are_read_from_a_status() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        let expected = Switches {
            voluntary: 12,
            nonvoluntary: 3,
        };
        assert_eq!(parse_switches(status), expected);
        assert_eq!(parse_switches(""), Switches::default());
    }
}
