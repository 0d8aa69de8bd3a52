//! The jitter meter: how long and how often something else takes a CPU away from a thread that never
//! gives it up.
//!
//! Owns: measuring, the noise beside it, the report and the comparison of two. Never does: changing
//! the host. Runs on: a thread on each CPU that is measured; the main thread waits.
//!
//! | module | what |
//! |---|---|
//! | [`tsc`] | the CPU's own clock |
//! | [`meter`] | the loop on each CPU and what it records |
//! | [`wait`] | from gaps to how long work waits that arrives at any time |
//! | [`periodicity`] | from the rhythm of gaps to where they may come from |
//! | [`counters`] | what the kernel counted meanwhile |
//! | [`stress`] | noise on the other CPUs |
//! | [`report`], [`diff`] | what is printed and kept |

pub mod counters;
pub mod diff;
pub mod meter;
mod pages;
pub mod periodicity;
mod pin;
pub mod report;
pub mod stress;
pub mod tsc;
pub mod wait;

use std::io;
use std::time::Duration;

use crate::cpu::{CpuSet, Sys, SysError};
use crate::ids::CpuId;

use counters::Counters;
use meter::MeterError;
use report::{Facts, JitterReport};
use stress::{Noise, Stress};
use tsc::{Tsc, TscError};

pub use pin::pin_to;

/// What to measure.
#[derive(Clone, Debug)]
pub struct JitterOptions {
    /// CPUs that are measured.
    pub cpus: CpuSet,
    /// For how long.
    pub span: Duration,
    /// Noise beside it, and where.
    pub stress: Option<(Stress, CpuSet)>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum JitterError {
    /// The CPU has no counter that is a clock.
    #[error(transparent)]
    Clock(#[from] TscError),
    /// A CPU cannot be measured.
    #[error(transparent)]
    Meter(#[from] MeterError),
    /// The kernel's counters cannot be read.
    #[error(transparent)]
    Counters(#[from] SysError),
    /// The noise cannot be made.
    #[error("the stress {} cannot be made: {source}", .stress.name())]
    Stress {
        /// Which.
        stress: Stress,
        /// Why.
        source: io::Error,
    },
}

/// Measures. Spins on every CPU of `options.cpus` for the whole span.
///
/// # Errors
/// The counter is no clock, a CPU cannot be used, the noise cannot be made.
pub fn run(sys: &dyn Sys, options: &JitterOptions) -> Result<JitterReport, JitterError> {
    let tsc = Tsc::calibrate(sys)?;
    let cpus: Vec<CpuId> = options.cpus.iter().collect();
    let mut facts = Facts::read(sys, tsc);
    let failed = |stress| move |source| JitterError::Stress { stress, source };
    let noise = match &options.stress {
        Some((stress, on)) => {
            let on: Vec<CpuId> = on.iter().collect();
            Some((
                *stress,
                Noise::start(*stress, &on).map_err(failed(*stress))?,
            ))
        }
        None => None,
    };
    let before = Counters::read(sys, &cpus)?;
    let measured = meter::measure(tsc, &cpus, options.span)?;
    let after = Counters::read(sys, &cpus)?;
    if let Some((stress, noise)) = noise {
        facts.stress = Some(stress);
        facts.stress_rounds = Some(noise.stop().map_err(failed(stress))?);
    }
    let deltas = cpus.iter().map(|cpu| after.since(&before, *cpu)).collect();
    Ok(JitterReport::new(facts, measured, deltas))
}
