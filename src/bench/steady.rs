//! Whether the clock can be measured with.
//!
//! Owns: asking the kernel which counter it reads, and looking at it from every CPU. Runs on: the
//! calling thread, which visits every CPU that it may use for a moment.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::error::BenchError;
use crate::clock;
use crate::cpu::allowed_cpus;
use crate::ids::Nanos;

/// What the kernel counts time with.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Counters that run evenly, are the same on every CPU and are read without entering the kernel.
/// Others (hpet, acpi_pm, jiffies) take a microsecond to read, or step.
const STEADY: [&str; 5] = [
    "tsc",
    "kvm-clock",
    "arch_sys_counter",
    "hyperv_clocksource_tsc_page",
    "riscv_clocksource",
];

/// Rounds over all CPUs.
const ROUNDS: usize = 20;

/// Refuses a clock with which no latency can be measured.
///
/// # Errors
/// Its source is none of the steady ones, or it ran backwards from one CPU to another.
pub fn check() -> Result<(), BenchError> {
    source_is_steady(&fs::read_to_string(SOURCE).unwrap_or_default())?;
    let readings = around().map_err(|source| BenchError::System {
        what: "looking at the clock from every CPU",
        source,
    })?;
    never_backwards(&readings)
}

fn source_is_steady(source: &str) -> Result<(), BenchError> {
    let source = source.trim();
    // Where the kernel does not tell (in some containers), the look at it has to do.
    if source.is_empty() || STEADY.contains(&source) {
        return Ok(());
    }
    Err(BenchError::Clock(format!(
        "the kernel reads the clock source {source}; allowed: {}",
        STEADY.join(", ")
    )))
}

/// The clock, read on one CPU after the other.
fn around() -> io::Result<Vec<Nanos>> {
    let cpus = allowed_cpus().map_err(io::Error::other)?;
    let before = sched_getaffinity(None)?;
    let mut readings = Vec::new();
    for cpu in (0..ROUNDS).flat_map(|_| &cpus) {
        let mut only = CpuSet::new();
        if cpu.index() < CpuSet::MAX_CPU {
            only.set(cpu.index());
            sched_setaffinity(None, &only)?;
            readings.push(clock::monotonic());
        }
    }
    sched_setaffinity(None, &before)?;
    Ok(readings)
}

fn never_backwards(readings: &[Nanos]) -> Result<(), BenchError> {
    for pair in readings.windows(2) {
        if pair[1] < pair[0] {
            let ns = pair[0].since(pair[1]);
            return Err(BenchError::Clock(format!(
                "it ran {ns} ns backwards from one CPU to another"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_slow_or_steps_is_refused_with_the_reason() {
        assert!(source_is_steady("tsc\n").is_ok());
        let error = source_is_steady("hpet\n").unwrap_err().to_string();
        assert!(error.contains("clock source hpet; allowed: tsc"), "{error}");
        assert!(never_backwards(&[Nanos(1), Nanos(1), Nanos(2)]).is_ok());
        let error = never_backwards(&[Nanos(5), Nanos(2)]).unwrap_err();
        assert!(error.to_string().contains("3 ns backwards"), "{error}");
    }

    #[test]
    fn a_look_from_every_cpu_leaves_the_thread_where_it_was() {
        let before = allowed_cpus().unwrap();
        assert!(around().unwrap().len() >= ROUNDS);
        assert_eq!(allowed_cpus().unwrap(), before);
    }
}
