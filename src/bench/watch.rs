//! Looking at a load while it runs.
//!
//! Owns: when it is looked at, and ending a load that a signal ends or that cannot be kept up with.
//! Never does: judge what it sees. Runs on: a thread beside the load.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::meters::Snapshot;
use super::target::{Load, Probe, Stop, Usage};
use crate::control::signals::StopSignal;

/// Longest time between two looks at signals.
const LOOK: Duration = Duration::from_millis(20);

/// Intervals of a short load, and of a long one; between these they are seconds.
const INTERVALS: (f64, f64) = (10.0, 60.0);

/// What was recorded in a part of a load.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Since the load began.
    pub start: Duration,
    /// How long it was.
    pub length: Duration,
    /// What was recorded.
    pub recorded: Snapshot,
}

/// Why a load was asked to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// By a signal.
    Signal,
    /// It would have gone on far beyond its span.
    Overload,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// In order of time, without gaps.
    pub intervals: Vec<Interval>,
    /// What was recorded within the span of the load, and seconds; none where it ended before.
    pub within_span: Option<(Snapshot, f64)>,
    pub cut: Option<Cut>,
    pub elapsed: Duration,
    /// Of the target, since it was started.
    pub used: Usage,
}

/// Looks at one load.
pub(super) struct Watcher<'a> {
    pub probe: Box<dyn Probe>,
    pub load: Load,
    pub stop: &'a Stop,
    pub signal: &'a StopSignal,
}

/// The length of intervals; the span is a whole number of them.
fn interval(span: Duration) -> Duration {
    let intervals = span.as_secs_f64().round().clamp(INTERVALS.0, INTERVALS.1);
    span.div_f64(intervals)
}

/// How long what was due within the span may be sent after it.
fn grace(span: Duration) -> Duration {
    (span / 2).max(Duration::from_secs(1))
}

impl Watcher<'_> {
    /// Looks until `done` tells that the load is over, or its sender is gone. The load has to begin
    /// right after this. `before` is what was recorded by then.
    pub fn watch(&self, before: Snapshot, done: &Receiver<()>) -> Seen {
        let started = Instant::now();
        let length = interval(self.load.span);
        let mut seen = Seen {
            intervals: Vec::new(),
            within_span: None,
            cut: None,
            elapsed: Duration::ZERO,
            used: Usage::default(),
        };
        let (mut last, mut last_at) = (before.clone(), Duration::ZERO);
        loop {
            let tick = length * (seen.intervals.len() as u32 + 1);
            let nap = tick.saturating_sub(started.elapsed()).min(LOOK);
            let is_over = done.recv_timeout(nap) != Err(RecvTimeoutError::Timeout);
            let at = started.elapsed();
            if is_over || at >= tick {
                let now = self.probe.snapshot();
                seen.intervals.push(Interval {
                    start: last_at,
                    length: at - last_at,
                    recorded: now.since(&last),
                });
                // Half an interval, as their lengths are rounded.
                if at + length / 2 >= self.load.span && seen.within_span.is_none() && !is_over {
                    seen.within_span = Some((now.since(&before), at.as_secs_f64()));
                }
                (last, last_at) = (now, at);
            }
            if is_over {
                seen.elapsed = at;
                seen.used = self.probe.usage();
                join_last(&mut seen.intervals, length);
                return seen;
            }
            self.cut(&mut seen, at);
        }
    }

    fn cut(&self, seen: &mut Seen, now: Duration) {
        let cut = if self.signal.is_asked() {
            Cut::Signal
        } else if self.load.rate.is_some() && now > self.load.span + grace(self.load.span) {
            Cut::Overload
        } else {
            return;
        };
        seen.cut.get_or_insert(cut);
        self.stop.ask();
    }
}

/// What comes after the last whole interval is no interval of its own where it is short: a rate over
/// the milliseconds until the last answer would be a peak or a gap that was none.
fn join_last(intervals: &mut Vec<Interval>, length: Duration) {
    if intervals.len() < 2 {
        return;
    }
    let Some(rest) = intervals.pop_if(|last| last.length < length / 2) else {
        return;
    };
    let last = intervals.last_mut().expect("there were two");
    last.length += rest.length;
    last.recorded.merge(&rest.recorded);
}
