//! From a load to figures.
//!
//! Owns: what is cut off as warm-up, what of a load counts for which figure, whether a sender kept its
//! pace. Never does: send. Runs on: the thread that asks; a [`watch`](super::watch) runs beside it.
//!
//! The warm-up is a load of its own, which is at its end before the measured one begins: so every
//! record belongs to one of the two with all its latencies, and the counts are exact.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use super::error::BenchError;
use super::meters::{Count, Snapshot, Span};
use super::report::model::{Latencies, Point, Reached, Used};
use super::target::{End, Load, Stop, Target, Usage};
use super::watch::{Cut, Interval, Seen, Watcher};
use crate::control::signals::StopSignal;

/// A sender that keeps its pace has sent so much of what it was asked for.
const SENT_SHARE_MIN: f64 = 0.99;

/// And is at the end of the span at most so many seconds behind.
const BEHIND_S_MAX: f64 = 0.1;

/// What came of a load.
#[derive(Debug)]
pub struct Measured {
    /// Why it ended early; none where it did not.
    pub partial: Option<String>,
    /// What was recorded, without the warm-up.
    pub recorded: Snapshot,
    /// The same by time.
    pub intervals: Vec<Interval>,
    /// What was recorded within the span of the load, and how many seconds that were; more of it may
    /// have come later.
    pub within_span: (Snapshot, f64),
    /// The rates.
    pub reached: Reached,
    /// In order of time, warm-up included.
    pub series: Vec<Point>,
    /// What it cost.
    pub used: Used,
}

impl Measured {
    /// By the names of [`Span`]. None of a load that was no open loop: it has no latencies that
    /// anybody should see.
    pub fn latency(&self, load: &Load) -> BTreeMap<String, Latencies> {
        if load.rate.is_none() {
            return BTreeMap::new();
        }
        let of = |span: Span| {
            let latencies = Latencies::of(self.recorded.span(span));
            (span.name().to_owned(), latencies)
        };
        Span::ALL.into_iter().map(of).collect()
    }
}

/// Puts a load on a target, after a warm-up of the same kind.
///
/// # Errors
/// A load could not be begun.
pub fn measure(
    target: &mut dyn Target,
    load: &Load,
    warmup: Duration,
    signal: &StopSignal,
) -> Result<Measured, BenchError> {
    let mut series = Vec::new();
    if !warmup.is_zero() {
        let warm = Load {
            span: warmup,
            ..*load
        };
        let measured = once(target, &warm, signal)?;
        series = measured.series;
        for point in &mut series {
            point.at_s -= warmup.as_secs_f64();
        }
        if measured.partial.is_some() {
            // There will be nothing but this to tell of.
            return Ok(Measured { series, ..measured });
        }
    }
    let measured = once(target, load, signal)?;
    series.extend(measured.series);
    Ok(Measured { series, ..measured })
}

/// One load, watched.
fn once(target: &mut dyn Target, load: &Load, signal: &StopSignal) -> Result<Measured, BenchError> {
    let probe = target.probe();
    let stop = Stop::default();
    let (before, used_before) = (probe.snapshot(), probe.usage());
    let (over, done) = mpsc::channel::<()>();
    let (end, seen) = std::thread::scope(|scope| {
        let watcher = Watcher {
            probe,
            load: *load,
            stop: &stop,
            signal,
        };
        let watching = scope.spawn(move || {
            watcher.probe.settle();
            watcher.watch(before, &done)
        });
        let end = target.run(load, &stop);
        // Ends the watch.
        drop(over);
        (end, watching.join())
    });
    let seen = seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let partial = match (end?, seen.cut) {
        (End::Complete, _) | (End::Partial(_), Some(Cut::Overload)) => None,
        (End::Partial(_), Some(Cut::Signal)) => Some("a signal ended it".to_owned()),
        (End::Partial(reason), None) => Some(reason),
    };
    Ok(measured(load, seen, &used_before, partial))
}

fn measured(load: &Load, seen: Seen, used_before: &Usage, partial: Option<String>) -> Measured {
    let seconds = seen.elapsed.as_secs_f64();
    let mut recorded = Snapshot::default();
    for interval in &seen.intervals {
        recorded.merge(&interval.recorded);
    }
    let within_span = seen
        .within_span
        .unwrap_or_else(|| (recorded.clone(), seconds));
    let is_whole = partial.is_none() && seen.cut.is_none();
    let reached = reached(load, &recorded, &within_span, is_whole);
    let bytes = recorded.count(Count::Acked) as f64 * bytes_each(&recorded);
    Measured {
        partial,
        series: seen.intervals.iter().map(|of| point(load, of)).collect(),
        used: Used::between(used_before, &seen.used, seconds, bytes),
        intervals: seen.intervals,
        recorded,
        within_span,
        reached,
    }
}

/// The rates. Of a load that kept its pace, every record belongs to its span, and all of them were
/// taken; of others, what was done within the span counts.
fn reached(
    load: &Load,
    recorded: &Snapshot,
    (within, seconds): &(Snapshot, f64),
    is_whole: bool,
) -> Reached {
    let span = load.span.as_secs_f64();
    let kept_pace = match load.rate {
        Some(rate) => {
            let rate = rate.get() as f64;
            let behind = rate * span - within.count(Count::Sent) as f64;
            let sent = recorded.count(Count::Sent) as f64;
            is_whole
                && sent >= (SENT_SHARE_MIN * rate * span).floor()
                && behind <= BEHIND_S_MAX * rate
        }
        // It had none to keep.
        None => true,
    };
    let (counted, seconds) = match load.rate {
        Some(_) if kept_pace => (recorded, span),
        Some(_) | None => (within, seconds.max(f64::MIN_POSITIVE)),
    };
    let per_s = |count| counted.count(count) as f64 / seconds;
    Reached {
        sent_per_s: per_s(Count::Sent),
        acked_per_s: per_s(Count::Acked),
        bytes_per_s: per_s(Count::Acked) * bytes_each(recorded),
        received_per_s: per_s(Count::Received),
        failed: recorded.count(Count::Failed),
        share_of_saturation: None,
        saturation_per_s: None,
        kept_pace,
    }
}

/// Bytes of a value, on average.
fn bytes_each(recorded: &Snapshot) -> f64 {
    match recorded.count(Count::Sent) {
        0 => 0.0,
        sent => recorded.count(Count::SentBytes) as f64 / sent as f64,
    }
}

fn point(load: &Load, interval: &Interval) -> Point {
    let end = interval.start + interval.length;
    let seconds = interval.length.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut point = Point::of(&interval.recorded, end.as_secs_f64(), seconds);
    if load.rate.is_none() {
        // As in `Measured::latency`.
        point.latency.clear();
    }
    point
}
