//! Submitting transactions to a node of this process: at a pace, or as fast as they are taken.
//!
//! Owns: the order of sending, taking answers and sleeping. Never does: what is sent, what becomes of
//! an answer (that is its [`Source`]'s). Runs on: any thread that is no core; each has a port of its
//! own.

use std::time::Duration;

use bytes::Bytes;

use super::pace::Pace;
use crate::clock;
use crate::engine::message::Answer;
use crate::engine::submitter::{Entrance, Submitter};
use crate::frame::Correlation;
use crate::ids::{Acks, Nanos};
use crate::telemetry::TraceContext;

/// Submissions between two looks at the answers.
const BURST: u64 = 64;

/// Longest sleep while waiting for answers: bounds how late a signal or a failure is seen.
const NAP: Duration = Duration::from_millis(20);

/// Longest sleep while waiting for room that no answer tells of.
const BLIND_NAP: Duration = Duration::from_micros(100);

/// Shortest sleep at a fast pace. Waking for each of its records would take a third of a CPU from
/// what is measured. It makes records late by as much at the most, which their latencies show.
const GRAIN: Duration = Duration::from_micros(100);

/// When transactions are sent.
#[derive(Clone, Copy, Debug)]
pub enum Schedule {
    /// When they are meant to be, whatever the answers.
    Open(Pace),
    /// Each as soon as it is taken: so many, or until then.
    Closed {
        /// How many at the most.
        count: u64,
        /// None is sent later.
        until: Nanos,
    },
}

impl Schedule {
    /// Whether another one is to be sent, now or later.
    fn has_more(&self, sent: u64, now: Nanos) -> bool {
        match self {
            Schedule::Open(pace) => sent < pace.count(),
            Schedule::Closed { count, until } => sent < *count && now < *until,
        }
    }

    /// How many may have been sent by now.
    fn allowed(&self, now: Nanos) -> u64 {
        match self {
            Schedule::Open(pace) => pace.due(now),
            Schedule::Closed { count, .. } => *count,
        }
    }

    /// From when the latency of the next one counts.
    fn intended(&self, sent: u64, now: Nanos) -> Nanos {
        match self {
            Schedule::Open(pace) => pace.intended(sent),
            Schedule::Closed { .. } => now,
        }
    }
}

/// What a feed does while nothing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It sleeps until something is, or an answer comes. Being woken takes some ten microseconds, by
    /// which records and answers are late.
    Asleep,
    /// It looks again at once: for a thread that has a CPU of its own.
    Spinning,
}

/// Whether a feed goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// It does.
    On,
    /// Nothing more is sent; what was sent is still answered.
    Finish,
}

/// What is fed, and who is told.
pub trait Source {
    /// Why it cannot go on.
    type Error;

    /// Called in every round, `sent` being how many were sent: whether to go on.
    ///
    /// # Errors
    /// Ends the feed at once.
    fn round(&mut self, sent: u64) -> Result<Go, Self::Error>;

    /// The next transaction, encoded; called once for each number, in order from 0.
    ///
    /// # Errors
    /// Ends the feed at once.
    fn encode(&mut self, number: u64) -> Result<Bytes, Self::Error>;

    /// The trace that this transaction belongs to; none unless the source says so.
    fn trace(&self, _number: u64) -> Option<TraceContext> {
        None
    }

    /// One was handed over that was meant to be at `intended`.
    fn sent(&mut self, intended: Nanos);

    /// An answer has come to one that was meant to be sent at `intended`.
    fn answered(&mut self, intended: Nanos, answer: Answer);
}

/// Sends what `schedule` says through `port`, which becomes the calling thread's, and takes every
/// answer. Returns how many were sent.
///
/// # Errors
/// As the source says.
pub fn run<S: Source>(
    port: &mut Submitter,
    acks: Acks,
    schedule: Schedule,
    waiting: Waiting,
    source: &mut S,
) -> Result<u64, S::Error> {
    port.move_here();
    let mut feed = Feed {
        port,
        acks,
        schedule,
        sent: 0,
        held: None,
    };
    loop {
        let go = source.round(feed.sent)?;
        let more = go == Go::On && schedule.has_more(feed.sent, clock::monotonic());
        let mut work = 0;
        if more {
            work += feed.burst(source)?;
            feed.port.ring();
        }
        work += feed.port.poll(|intended, answer| {
            source.answered(Nanos(intended.0), answer);
        }) as u64;
        if !more && feed.port.outstanding() == 0 {
            return Ok(feed.sent);
        }
        match waiting {
            Waiting::Asleep if work == 0 => {
                let nap = if more { feed.nap() } else { NAP };
                feed.port.wait(nap);
            }
            Waiting::Asleep => {}
            Waiting::Spinning => std::hint::spin_loop(),
        }
    }
}

struct Feed<'a> {
    port: &'a mut Submitter,
    acks: Acks,
    schedule: Schedule,
    sent: u64,
    /// Encoded, but its core had no room yet.
    held: Option<(Bytes, Nanos)>,
}

impl Feed<'_> {
    /// Sends what is due and there is room for; how many that were.
    fn burst<S: Source>(&mut self, source: &mut S) -> Result<u64, S::Error> {
        let now = clock::monotonic();
        let first = self.sent;
        let end = self.schedule.allowed(now).min(first + BURST);
        while self.sent < end {
            let (body, intended) = match self.held.take() {
                Some(held) => held,
                None => {
                    let intended = self.schedule.intended(self.sent, now);
                    (source.encode(self.sent)?, intended)
                }
            };
            // An answer brings it back, so nothing has to be looked up.
            let mark = Correlation(intended.0);
            let entrance = Entrance::InTurn;
            let trace = source.trace(self.sent);
            let acks = self.acks;
            let submitted = self
                .port
                .submit_traced(entrance, body, acks, mark, intended, trace);
            if let Err(body) = submitted {
                self.held = Some((body, intended));
                break;
            }
            source.sent(intended);
            self.sent += 1;
        }
        Ok(self.sent - first)
    }

    /// How long there is nothing to do, unless an answer comes.
    fn nap(&self) -> Duration {
        if self.held.is_some() {
            return match self.port.outstanding() {
                0 => BLIND_NAP,
                _ => NAP,
            };
        }
        match self.schedule {
            Schedule::Open(pace) => {
                let due = pace.intended(self.sent).since(clock::monotonic());
                let due = Duration::from_nanos(due);
                if Duration::from_nanos(pace.gap_ns()) < GRAIN {
                    due.clamp(GRAIN, NAP)
                } else {
                    due.min(NAP)
                }
            }
            Schedule::Closed { .. } => BLIND_NAP,
        }
    }
}
