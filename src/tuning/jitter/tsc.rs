//! The counter that a CPU keeps by itself: the time-stamp counter of x86-64, the virtual counter of
//! aarch64.
//!
//! Owns: reading it, whether it can be trusted, and how fast it runs. Never does: entering the
//! kernel to read it. Runs on: any thread.
//!
//! JUSTIFICATION of unsafe code: no safe function reads the counter. The clock of the kernel costs
//! 20 to 30 ns a reading and adds its own interrupts of the count (sequence locks), where the meter
//! has to tell gaps of 100 ns apart.
#![allow(unsafe_code)]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::cpu::{Sys, SysError};

/// Where the kernel lists what a CPU can do.
pub const CPUINFO: &str = "/proc/cpuinfo";

/// Flags without which the counter stops or changes its pace: `tsc(7)` of the kernel's documents,
/// Documentation/virt/kvm/x86/timekeeping.rst, "TSC hardware".
const FLAGS: [&str; 2] = ["constant_tsc", "nonstop_tsc"];

/// How long each of the two calibrations takes.
const CALIBRATION: Duration = Duration::from_millis(200);

/// How far apart they may be, in millionths.
const APART_PPM_MAX: f64 = 50.0;

/// Readings of which the tightest counts, so that an interrupt between two clocks does no harm.
const TRIES: usize = 32;

/// Why the counter is of no use.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TscError {
    /// The kernel does not say what the CPU can do.
    #[error(transparent)]
    Unreadable(#[from] SysError),
    /// The counter is not a clock on this CPU.
    #[error("{CPUINFO}: the CPU lacks the flag {0}, so that its counter is no clock")]
    NotAClock(&'static str),
    /// Two calibrations gave two rates.
    #[error(
        "the CPU's counter ran at {first_hz:.0} Hz and then at {second_hz:.0} Hz, {apart_ppm:.0} ppm \
         apart; allowed: {APART_PPM_MAX} ppm"
    )]
    Unsteady {
        /// Ticks a second, first.
        first_hz: f64,
        /// Ticks a second, then.
        second_hz: f64,
        /// Difference in millionths.
        apart_ppm: f64,
    },
}

/// A counter that was found to be a clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tsc {
    hz: f64,
}

/// Reads the counter: about 10 ns.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn ticks() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    // SAFETY: every x86-64 CPU has both instructions (SSE2 is part of the architecture), and neither
    // touches memory. Linux leaves the counter readable for processes unless one asks for the
    // opposite with PR_SET_TSC, which nothing here does.
    unsafe {
        let now = _rdtsc();
        // Nothing behind it starts before it is read.
        _mm_lfence();
        now
    }
}

/// Reads the counter, which runs at 1 MHz to 1 GHz.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub fn ticks() -> u64 {
    let now: u64;
    // SAFETY: Linux lets processes read CNTVCT_EL0 (it is what the vDSO reads); the instruction
    // changes no memory, no flags and no stack.
    unsafe {
        std::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) now, options(nostack, nomem));
    }
    now
}

/// Reads the kernel's clock, where the counter's instruction is not known.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn ticks() -> u64 {
    crate::clock::monotonic().0
}

impl Tsc {
    /// Checks the counter of this machine and finds its rate, which takes 0.4 s.
    ///
    /// # Errors
    /// The CPU's counter is no clock, or its rate is not steady.
    pub fn calibrate(sys: &dyn Sys) -> Result<Tsc, TscError> {
        check_flags(&sys.read(CPUINFO)?)?;
        agreed(rate_hz(CALIBRATION), rate_hz(CALIBRATION))
    }

    /// A counter of a known rate.
    #[cfg(test)]
    pub(super) fn with_hz(hz: f64) -> Tsc {
        Tsc { hz }
    }

    /// Ticks a second.
    pub fn hz(&self) -> f64 {
        self.hz
    }

    /// Nanoseconds that `ticks` take.
    #[inline]
    pub fn ns(&self, ticks: u64) -> u64 {
        // A cast of a float saturates.
        (ticks as f64 * 1e9 / self.hz).round() as u64
    }

    /// Ticks that `ns` nanoseconds take.
    #[inline]
    pub fn ticks_in(&self, ns: u64) -> u64 {
        (ns as f64 * self.hz / 1e9) as u64
    }
}

fn check_flags(cpuinfo: &str) -> Result<(), TscError> {
    if cfg!(not(target_arch = "x86_64")) {
        // The generic timer of aarch64 is constant and does not stop by its definition.
        return Ok(());
    }
    let flags = flags(cpuinfo);
    match FLAGS.into_iter().find(|flag| !flags.contains(flag)) {
        Some(missing) => Err(TscError::NotAClock(missing)),
        None => Ok(()),
    }
}

/// What the first CPU can do, as `/proc/cpuinfo` lists it.
pub fn flags(cpuinfo: &str) -> Vec<&str> {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("flags"))
        .and_then(|rest| rest.split_once(':'))
        .map_or_else(Vec::new, |(_, flags)| flags.split_whitespace().collect())
}

fn agreed(first_hz: f64, second_hz: f64) -> Result<Tsc, TscError> {
    let apart_ppm = (second_hz / first_hz - 1.0).abs() * 1e6;
    // Not a number, as of a counter that stands still, is no agreement either.
    if apart_ppm <= APART_PPM_MAX && second_hz > 0.0 {
        Ok(Tsc { hz: second_hz })
    } else {
        Err(TscError::Unsteady {
            first_hz,
            second_hz,
            apart_ppm,
        })
    }
}

fn rate_hz(span: Duration) -> f64 {
    let (ticks_before, ns_before) = both();
    std::thread::sleep(span);
    let (ticks_after, ns_after) = both();
    ticks_after.wrapping_sub(ticks_before) as f64 * 1e9 / (ns_after - ns_before) as f64
}

/// The counter and the clock at one moment. The raw clock, since the other is slewed by NTP.
fn both() -> (u64, i64) {
    let read = || {
        let before = ticks();
        let time = clock_gettime(ClockId::MonotonicRaw);
        let width = ticks().wrapping_sub(before);
        (width, before.wrapping_add(width / 2), time)
    };
    let tightest = (0..TRIES).map(|_| read()).min_by_key(|(width, ..)| *width);
    let (_, ticks, time) = tightest.expect("more than none were read");
    (ticks, time.tv_sec * 1_000_000_000 + time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_stops_or_changes_its_pace_is_refused() {
        let info = |flags: &str| format!("processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t: x\n");
        assert_eq!(check_flags(&info("tsc constant_tsc nonstop_tsc")), Ok(()));
        if cfg!(target_arch = "x86_64") {
            for (flags, missing) in [
                ("tsc nonstop_tsc", "constant_tsc"),
                ("tsc constant_tsc", "nonstop_tsc"),
            ] {
                let found = check_flags(&info(flags));
                assert_eq!(found, Err(TscError::NotAClock(missing)));
            }
            assert!(check_flags("").is_err());
        }
    }

    #[test]
    fn rates_that_differ_by_more_than_50_ppm_are_refused() {
        let ghz = 2.5e9;
        assert_eq!(agreed(ghz, ghz * 1.000_049).unwrap().hz(), ghz * 1.000_049);
        for other in [ghz * 1.000_051, ghz * 0.999_949, f64::NAN, 0.0] {
            assert!(agreed(ghz, other).is_err(), "{other}");
        }
        assert!(agreed(0.0, 0.0).is_err());
    }

    #[test]
    fn ticks_and_nanoseconds_convert_both_ways() {
        let tsc = Tsc { hz: 2.5e9 };
        assert_eq!(tsc.ns(25), 10);
        assert_eq!(tsc.ticks_in(10), 25);
        assert_eq!(tsc.ns(tsc.ticks_in(10_000_000_000)), 10_000_000_000);
    }

    #[test]
    fn the_counter_does_not_run_backwards() {
        let mut last = ticks();
        for _ in 0..10_000 {
            let now = ticks();
            assert!(now >= last);
            last = now;
        }
    }
}
