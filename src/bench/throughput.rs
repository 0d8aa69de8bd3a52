//! `bench throughput`: the highest rate that holds.
//!
//! Owns: the search. Runs on: the thread that asks.
//!
//! What is taken where each record is sent as soon as the one before it was is only where the search
//! begins: it says nothing of what happens when records come on their own time. So rates are tried
//! open loop, upwards until one does not hold, then between the last that did and the first that did
//! not.

use std::num::NonZeroU64;
use std::time::Duration;

use super::error::BenchError;
use super::kafka::Profile;
use super::latency::most;
use super::measure::Measured;
use super::meters::{Count, Span};
use super::report::model::Kind;
use super::target::Load;
use super::trial::{Context, Options, Outcome, Trial};

/// A rate holds where so much of it is acknowledged, and consumed, within the span.
const TAKEN_SHARE_MIN: f64 = 0.99;

/// What may be under way at the end of the span, besides: what is due in so many seconds.
const UNDER_WAY_S_MAX: f64 = 0.02;

/// And where all but one of a hundred are sent within so many nanoseconds of their time.
const PUBLISH_DELAY_NS_MAX: u64 = 10_000_000;

/// First rate that is tried, as a share of what is taken at the most.
const FIRST: f64 = 0.5;

/// From one rate to the next while they hold.
const RAMP: f64 = 1.3;

/// The search ends where the lowest rate that did not hold is so little above the highest that did.
const CLOSE: f64 = 1.04;

/// How often a rate is tried before it is given up.
const TRIES_EACH: u32 = 2;

/// Rates that are tried at the most.
const TRIES_MAX: u32 = 16;

/// Where a rate that held for a step does not for the whole duration, the next one is lower by this.
const STEP_BACK: f64 = 0.93;

/// How often it is stepped back.
const STEPS_BACK_MAX: u32 = 5;

/// Finds the highest rate that holds for `step`, and measures it for the whole duration.
///
/// # Errors
/// Nothing was measured. What ended in the middle is a partial run, and no error.
pub fn throughput(
    options: &Options,
    step: Duration,
    context: &Context<'_>,
) -> Result<Outcome, BenchError> {
    let mut outcome = Outcome::begin(Kind::Throughput, options, context)?;
    for _ in 0..options.runs {
        let mut trial = Trial::start(&options.target, Profile::Throughput, context)?;
        let mut search = Search::new(first(&mut trial, step, context)?);
        while let Some(rate) = search.next() {
            let load = open(rate, step);
            match attempt(&mut trial, &load, context)? {
                Attempt::Held => search.held(rate),
                Attempt::Fell => search.fell(rate),
                Attempt::Ended(measured) => {
                    // Told as the run that it was.
                    outcome.put(&trial, &load, Duration::ZERO, *measured, None);
                    return Ok(outcome);
                }
            }
        }
        confirm(&mut outcome, &mut trial, search.best(), options, context)?;
        if outcome.is_partial() {
            break;
        }
    }
    Ok(outcome)
}

/// What became of a rate.
enum Attempt {
    Held,
    Fell,
    /// In the middle.
    Ended(Box<Measured>),
}

/// Tries a rate, and once more where it does not hold: a hiccup of the host is no saturation.
fn attempt(
    trial: &mut Trial<'_>,
    load: &Load,
    context: &Context<'_>,
) -> Result<Attempt, BenchError> {
    for _ in 0..TRIES_EACH {
        let measured = trial.put(load, Duration::ZERO)?;
        if measured.partial.is_some() {
            return Ok(Attempt::Ended(Box::new(measured)));
        }
        let why = why_not(load, &measured);
        let rate = load.rate.map_or(0, NonZeroU64::get);
        (context.note)(&match why {
            None => format!("{rate}/s holds"),
            Some(why) => format!("{rate}/s does not hold: {why}"),
        });
        if why.is_none() {
            return Ok(Attempt::Held);
        }
    }
    Ok(Attempt::Fell)
}

/// Measures the rate for the whole duration; a lower one where it does not hold.
fn confirm(
    outcome: &mut Outcome,
    trial: &mut Trial<'_>,
    best: NonZeroU64,
    options: &Options,
    context: &Context<'_>,
) -> Result<(), BenchError> {
    let mut rate = best;
    for back in 0..=STEPS_BACK_MAX {
        (context.note)(&format!(
            "{rate}/s for {} s",
            options.duration.as_secs_f64()
        ));
        let load = open(rate, options.duration);
        let measured = trial.put(&load, options.warmup)?;
        let is_done = measured.partial.is_some() || why_not(&load, &measured).is_none();
        if is_done || back == STEPS_BACK_MAX {
            let saturation = is_done.then_some(rate.get() as f64);
            outcome.put(trial, &load, options.warmup, measured, saturation);
            return Ok(());
        }
        rate = scaled(rate, STEP_BACK);
    }
    Ok(())
}

/// Where the search begins.
fn first(
    trial: &mut Trial<'_>,
    step: Duration,
    context: &Context<'_>,
) -> Result<NonZeroU64, BenchError> {
    (context.note)("measuring how much it takes at the most");
    let most = most(trial, step)?.unwrap_or(1.0);
    (context.note)(&format!("closed loop: {most:.0}/s; now open loop"));
    Ok(NonZeroU64::new((most * FIRST) as u64).unwrap_or(NonZeroU64::MIN))
}

fn open(rate: NonZeroU64, span: Duration) -> Load {
    Load {
        rate: Some(rate),
        span,
    }
}

fn scaled(rate: NonZeroU64, by: f64) -> NonZeroU64 {
    NonZeroU64::new((rate.get() as f64 * by) as u64).unwrap_or(NonZeroU64::MIN)
}

/// Why a load was not kept up with; none where neither the sender nor the readers fell behind.
fn why_not(load: &Load, measured: &Measured) -> Option<&'static str> {
    let rate = load.rate.map_or(0.0, |rate| rate.get() as f64);
    let asked = rate * load.span.as_secs_f64();
    let least = (asked * TAKEN_SHARE_MIN - rate * UNDER_WAY_S_MAX).floor();
    let within = &measured.within_span.0;
    let is_missed = |count| (within.count(count) as f64) < least;
    let delays = measured.recorded.span(Span::PublishDelay);
    if !measured.reached.kept_pace {
        Some("it was not reached")
    } else if measured.reached.failed > 0 {
        Some("records were refused")
    } else if is_missed(Count::Acked) {
        Some("acknowledgements fell behind")
    } else if is_missed(Count::Received) {
        Some("consumers fell behind")
    } else if delays.value_at_quantile(0.99) > PUBLISH_DELAY_NS_MAX {
        Some("the sender was late")
    } else {
        None
    }
}

/// Which rate is tried next.
#[derive(Debug)]
struct Search {
    next: NonZeroU64,
    held: Option<NonZeroU64>,
    failed: Option<NonZeroU64>,
    tries: u32,
}

impl Search {
    fn new(first: NonZeroU64) -> Search {
        Search {
            next: first,
            held: None,
            failed: None,
            tries: 0,
        }
    }

    /// None where it is found, or as near as it gets.
    fn next(&self) -> Option<NonZeroU64> {
        let close = match (self.held, self.failed) {
            (Some(held), Some(failed)) => {
                let (held, failed) = (held.get(), failed.get());
                failed as f64 <= held as f64 * CLOSE || failed <= held + 1
            }
            (None, Some(failed)) => failed == NonZeroU64::MIN,
            (Some(_) | None, None) => false,
        };
        (!close && self.tries < TRIES_MAX).then_some(self.next)
    }

    fn held(&mut self, rate: NonZeroU64) {
        self.held = Some(rate);
        self.go_on(rate);
    }

    fn fell(&mut self, rate: NonZeroU64) {
        self.failed = Some(rate);
        self.go_on(rate);
    }

    fn go_on(&mut self, rate: NonZeroU64) {
        self.tries += 1;
        self.next = match (self.held, self.failed) {
            (Some(held), Some(failed)) => {
                let middle = held.get() + failed.get().saturating_sub(held.get()) / 2;
                NonZeroU64::new(middle).unwrap_or(NonZeroU64::MIN)
            }
            (Some(held), None) => {
                NonZeroU64::new((held.get() as f64 * RAMP).ceil() as u64).unwrap_or(NonZeroU64::MIN)
            }
            (None, _) => scaled(rate, 0.5),
        };
    }

    /// The highest that held; where none did, the lowest that was thought of.
    fn best(&self) -> NonZeroU64 {
        self.held.unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a target that takes `capacity` is found to take.
    fn found(first: u64, capacity: u64) -> u64 {
        let mut search = Search::new(NonZeroU64::new(first).expect("not 0"));
        while let Some(rate) = search.next() {
            match rate.get() <= capacity {
                true => search.held(rate),
                false => search.fell(rate),
            }
        }
        search.best().get()
    }

    #[test]
    fn the_search_ends_close_below_what_holds_wherever_it_begins() {
        for capacity in [1_u64, 7, 1_000, 900_000, 4_000_000] {
            for first in [capacity / 20, capacity / 2, capacity, capacity * 3] {
                let found = found(first.max(1), capacity);
                let lowest = (capacity as f64 / CLOSE).floor();
                assert!(
                    found <= capacity && found as f64 >= lowest,
                    "{found} of {capacity} from {first}"
                );
            }
        }
        assert_eq!(found(1_000, 0), 1);
    }
}
