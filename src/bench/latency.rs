//! `bench latency`: an open loop at a rate.
//!
//! Owns: what is done in which order. Runs on: the thread that asks.

use std::num::NonZeroU64;
use std::time::Duration;

use super::error::BenchError;
use super::kafka::Profile;
use super::report::model::Kind;
use super::target::Load;
use super::trial::{Context, Options, Outcome, Trial};

/// How long is looked at how much is taken at the most.
const SATURATION_SPAN: Duration = Duration::from_secs(2);

/// Whether it is measured first how much the target takes at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithSaturation {
    /// It is, so that the rate can be told as a share of it.
    Measured,
    /// It is not.
    LeftOut,
}

/// Measures latencies at `rate` records a second.
///
/// # Errors
/// Nothing was measured. What ended in the middle is a partial run, and no error.
pub fn latency(
    options: &Options,
    rate: NonZeroU64,
    saturation: WithSaturation,
    context: &Context<'_>,
) -> Result<Outcome, BenchError> {
    let mut outcome = Outcome::begin(Kind::Latency, options, context)?;
    let load = Load {
        rate: Some(rate),
        span: options.duration,
    };
    for number in 1..=options.runs {
        let mut trial = Trial::start(&options.target, Profile::Latency, context)?;
        let most = match saturation {
            WithSaturation::Measured => {
                (context.note)("measuring how much it takes at the most");
                Some(most(&mut trial, options.duration)?)
            }
            WithSaturation::LeftOut => None,
        };
        (context.note)(&format!(
            "run {number} of {}: {rate}/s for {} s",
            options.runs,
            options.duration.as_secs_f64()
        ));
        outcome.add(&mut trial, &load, options.warmup, most.flatten())?;
        if outcome.is_partial() {
            break;
        }
    }
    Ok(outcome)
}

/// Records a second that are acknowledged where each is sent as soon as it is taken; none where that
/// ended early. Says nothing about latency.
pub(super) fn most(trial: &mut Trial<'_>, duration: Duration) -> Result<Option<f64>, BenchError> {
    let load = Load {
        rate: None,
        span: duration.min(SATURATION_SPAN),
    };
    let measured = trial.put(&load, Duration::ZERO)?;
    let is_whole = measured.partial.is_none();
    Ok(is_whole.then_some(measured.reached.acked_per_s))
}
