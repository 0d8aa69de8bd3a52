//! The phases of a workload: the search for the highest rate, warm-up, test, backlog.
//!
//! Owns: their order and length, and looking at the target every ten seconds, as the OpenMessaging
//! Benchmark does. Never does: send. Runs on: the thread that asks; the load runs on another one.
//!
//! Two things differ from the original, so that figures mean what they say: the rate is searched before
//! the test and then held, where the original goes on changing it; and what was sent in the test is
//! waited for, where the original leaves out what is still under way at its end.

use std::num::NonZeroU64;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::file::Workload;
use super::rate::{Search, Tried};
use super::result::{Period, Tested};
use crate::bench::error::BenchError;
use crate::bench::kafka::Gate;
use crate::bench::meters::{Count, Snapshot};
use crate::bench::target::{End, Load, Stop, Target};

/// Between two lines of the result, at scale 1.
const PERIOD: Duration = Duration::from_secs(10);

/// How long the search tries a rate, at scale 1.
const TRY: Duration = Duration::from_secs(3);

/// Shorter says nothing.
const SHORTEST: Duration = Duration::from_millis(100);

/// How often the search tries at the most.
const TRIES_MAX: usize = 100;

/// The rate that the search begins with.
const FIRST_RATE: f64 = 10_000.0;

/// Records that a drained backlog may still hold.
const DRAINED: u64 = 1_000;

/// Between two looks at a backlog.
const LOOK: Duration = Duration::from_millis(20);

/// How long a load lasts whose end is not known before: a week.
const UNTIL_STOPPED: Duration = Duration::from_secs(7 * 86_400);

/// A share of the rate below which it counts as not reached.
const REACHED: f64 = 0.99;

/// Seconds that a sender may be behind at the end.
const SLACK_S: f64 = 0.1;

/// What a workload needs to be run.
pub struct Phases<'a> {
    /// What is run.
    pub workload: &'a Workload,
    /// How much longer a minute of it takes.
    pub scale: f64,
    /// What it is put on.
    pub target: &'a mut dyn Target,
    /// Holds the target's consumers back; needed for a backlog.
    pub gate: Option<Gate>,
    /// Whether somebody wants it to end.
    pub is_interrupted: &'a dyn Fn() -> bool,
    /// Told what is being done, for somebody who waits.
    pub note: &'a dyn Fn(&str),
}

/// What a load came to.
struct Watched {
    periods: Vec<Period>,
    total: Snapshot,
    end: End,
}

/// What is to become of a load that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

impl Phases<'_> {
    /// Runs all of it.
    ///
    /// # Errors
    /// A load could not be begun.
    pub fn run(mut self) -> Result<Tested, BenchError> {
        let mut tested = Tested::default();
        let rate = match NonZeroU64::new(self.workload.producer_rate.into()) {
            Some(rate) => rate,
            None => match self.search(&mut tested)? {
                Some(rate) => rate,
                None => return Ok(tested),
            },
        };
        tested.rate = rate.get();
        let warmup = self.workload.warmup(self.scale);
        if !warmup.is_zero() {
            self.say(format!("warm-up: {rate} records/s for {warmup:?}"));
            let watched = self.watch(rate, warmup, warmup, |_| Go::On)?;
            if let End::Partial(reason) = watched.end {
                tested.partial = Some(format!("in the warm-up: {reason}"));
                return Ok(tested);
            }
        }
        let watched = if self.workload.consumer_backlog_size_gb > 0.0 {
            self.backlog(rate, &mut tested)?
        } else {
            let span = self.workload.test(self.scale);
            self.say(format!("test: {rate} records/s for {span:?}"));
            self.watch(rate, span, self.period(), |_| Go::On)?
        };
        if let End::Partial(reason) = watched.end {
            tested.partial = Some(reason);
        }
        tested.periods = watched.periods;
        tested.total = watched.total;
        tested.notes.extend(missed(rate, &tested.periods));
        Ok(tested)
    }

    fn say(&self, what: impl AsRef<str>) {
        (self.note)(what.as_ref());
    }

    fn period(&self) -> Duration {
        PERIOD.mul_f64(self.scale).max(SHORTEST)
    }

    /// The highest rate that holds; none where none does, which `tested` then says.
    fn search(&mut self, tested: &mut Tested) -> Result<Option<NonZeroU64>, BenchError> {
        let span = TRY.mul_f64(self.scale).max(2 * SHORTEST);
        let mut search = Search::new(FIRST_RATE);
        for _ in 0..TRIES_MAX {
            let rate = NonZeroU64::new(search.rate()).expect("a search tries 1 or more");
            let watched = self.watch(rate, span, span, |_| Go::On)?;
            if let End::Partial(reason) = watched.end {
                tested.partial = Some(format!("in the search at {rate} records/s: {reason}"));
                return Ok(None);
            }
            let Some(period) = watched.periods.first() else {
                break;
            };
            let tried = Tried {
                seconds: period.seconds,
                published: period.recorded.count(Count::Acked),
                unread: period.backlog,
            };
            let reached = tried.published as f64 / tried.seconds;
            self.say(format!(
                "search: {rate} records/s asked for, {reached:.0} acknowledged, {} unread",
                tried.unread
            ));
            if !search.next(tried) {
                break;
            }
        }
        let held = search.held().and_then(NonZeroU64::new);
        if held.is_none() {
            tested.partial = Some("the search found no rate that holds".to_owned());
        }
        Ok(held)
    }

    /// Lets records pile up, then has them read, then goes on for the length of the test.
    fn backlog(&mut self, rate: NonZeroU64, tested: &mut Tested) -> Result<Watched, BenchError> {
        let Some(gate) = self.gate.clone() else {
            return Err(BenchError::Option {
                option: "target",
                found: "embedded".to_owned(),
                allowed: "consumerBacklogSizeGB needs consumers: listener or cluster".to_owned(),
            });
        };
        let bytes = self.workload.consumer_backlog_size_gb * f64::from(1 << 30);
        let wanted = (bytes / self.workload.message_size as f64) as u64;
        let rest = self.workload.test(self.scale);
        self.say(format!(
            "consumers wait until {wanted} records have piled up"
        ));
        gate.close();
        let mut stage = Stage::Building;
        let mut times = Vec::new();
        let watched = self.watch(rate, UNTIL_STOPPED, self.period(), |elapsed| {
            match stage {
                Stage::Building if gate.backlog() >= wanted => {
                    gate.open();
                    times.push(elapsed);
                    stage = Stage::Draining;
                }
                Stage::Draining if gate.backlog() <= DRAINED => {
                    times.push(elapsed);
                    stage = Stage::Resting(elapsed + rest);
                }
                Stage::Resting(until) if elapsed >= until => return Go::Stop,
                Stage::Building | Stage::Draining | Stage::Resting(_) => {}
            }
            Go::On
        });
        gate.open();
        if let [built, drained] = times[..] {
            tested.notes.push(format!(
                "a backlog of {wanted} records was built in {:.1} s and drained in {:.1} s",
                built.as_secs_f64(),
                (drained - built).as_secs_f64()
            ));
        }
        watched
    }

    /// Puts a load on the target and looks at it every `period`, and at the end of `span`; `each` is
    /// asked often whether to go on.
    fn watch(
        &mut self,
        rate: NonZeroU64,
        span: Duration,
        period: Duration,
        mut each: impl FnMut(Duration) -> Go,
    ) -> Result<Watched, BenchError> {
        let load = Load {
            rate: Some(rate),
            span,
        };
        let subscriptions = u64::from(self.workload.subscriptions_per_topic);
        let (probe, stop) = (self.target.probe(), Stop::default());
        let target = &mut *self.target;
        let first = probe.snapshot();
        let mut last = first.clone();
        let mut periods = Vec::new();
        let mut interrupted = false;
        let (done, is_done) = mpsc::channel::<()>();
        let end = std::thread::scope(|scope| {
            let stopping = &stop;
            let run = scope.spawn(move || {
                let _done = done;
                target.run(&load, stopping)
            });
            let start = Instant::now();
            let (mut seen, mut covered) = (Duration::ZERO, Duration::ZERO);
            loop {
                // On a grid, so that a late look shortens the next period and moves no other.
                let next = period.saturating_mul(periods.len() as u32 + 1).min(span);
                let wait = match covered < span {
                    true => next.saturating_sub(start.elapsed()).min(LOOK),
                    // All periods are over: only the end is waited for.
                    false => LOOK,
                };
                // Nothing is ever sent: the sender goes when the load is over.
                if is_done.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                    break;
                }
                let elapsed = start.elapsed();
                if elapsed >= next && covered < span {
                    let now = probe.snapshot();
                    periods.push(Period {
                        seconds: (elapsed - seen).as_secs_f64(),
                        recorded: now.since(&last),
                        backlog: unread(&now.since(&first), subscriptions),
                    });
                    (last, seen, covered) = (now, elapsed, next);
                }
                interrupted |= (self.is_interrupted)();
                if interrupted || each(elapsed) == Go::Stop {
                    stop.ask();
                }
            }
            run.join()
        });
        let end = end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let total = probe.snapshot().since(&first);
        Ok(Watched {
            periods,
            total,
            end: match (end, interrupted) {
                (End::Complete, true) => End::Partial("it was interrupted".to_owned()),
                (end, _) => end,
            },
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Building,
    Draining,
    Resting(Duration),
}

/// Records acknowledged and not consumed, summed over subscriptions.
fn unread(recorded: &Snapshot, subscriptions: u64) -> u64 {
    let expected = recorded.count(Count::Acked) * subscriptions;
    expected.saturating_sub(recorded.count(Count::Received))
}

/// What is to be said of a rate that was not reached.
fn missed(rate: NonZeroU64, periods: &[Period]) -> Option<String> {
    let seconds: f64 = periods.iter().map(|period| period.seconds).sum();
    let sent: u64 = periods
        .iter()
        .map(|period| period.recorded.count(Count::Sent))
        .sum();
    let asked = REACHED * rate.get() as f64 * (seconds - SLACK_S).max(0.0);
    ((sent as f64) < asked).then(|| {
        let reached = sent as f64 / seconds;
        format!(
            "{rate} records/s were not reached, but {reached:.0}: latencies are those of a growing queue"
        )
    })
}
