//! What passes between the futures of a producer and the thread that takes its reports.
//!
//! Owns: a [`PolledProducer`] behind a lock, the answers, and the wakers of who waits. Never does:
//! wait inside a future; run a waker, or other code of the caller's, under the lock. Runs on:
//! futures anywhere, [`Reports`] on the producer's thread.
//!
//! Who waits for room holds its record itself, so that memory is bounded by librdkafka's queue and
//! the futures the caller keeps. Wakers are called in the order of arrival, one for each report,
//! and all of them when nothing is under way: a future that is woken and never polled again can
//! not strand the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::bell::Bell;
use super::polled::{PolledProducer, Report, SendError, TrySendError};
use super::shards::Prepared;
use super::slots::Slots;
use crate::transaction::TxReceipt;

/// What the producer's thread and its futures share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    bell: Arc<Bell>,
    /// Reports were taken.
    reported: Condvar,
}

struct State {
    /// None once it is closed.
    producer: Option<PolledProducer>,
    is_stopping: bool,
    /// By token: each transaction under way, or answered and not looked at.
    sent: Slots<Sent>,
    /// Who waits for room, in the order of arrival.
    waiting: BTreeMap<u64, Waker>,
    ticket_next: u64,
}

/// A transaction that was handed over.
enum Sent {
    Waiting(Option<Waker>),
    Answered(Result<TxReceipt, SendError>),
    /// Nobody waits for its report.
    Dropped,
}

impl Shared {
    /// Around a producer that rings `bell`.
    pub fn new(producer: PolledProducer, bell: Arc<Bell>) -> Shared {
        Shared {
            state: Mutex::new(State {
                producer: Some(producer),
                is_stopping: false,
                sent: Slots::default(),
                waiting: BTreeMap::new(),
                ticket_next: 0,
            }),
            bell,
            reported: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under the lock, so that what a panic leaves is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes nothing more, and lets the thread end.
    pub fn stop(&self) {
        self.lock().is_stopping = true;
        self.bell.ring();
    }

    /// Blocks until nothing is under way; how much is, if that takes longer than `timeout`.
    pub fn wait_for_all(&self, timeout: Duration) -> usize {
        let (state, _) = self
            .reported
            .wait_timeout_while(self.lock(), timeout, |state| state.outstanding() > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.outstanding()
    }

    /// The answer for a transaction, once; until it is there, its reader's waker is kept.
    pub fn poll_answer(
        &self,
        slot: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<TxReceipt, SendError>> {
        let mut state = self.lock();
        let sent = state.sent.get_mut(slot).expect("kept until it is taken");
        if let Sent::Waiting(waker) = sent {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        let Some(Sent::Answered(result)) = state.sent.remove(slot) else {
            unreachable!("only a reader that is gone drops it, and the slot was looked at above");
        };
        Poll::Ready(result)
    }

    /// Nobody reads this answer.
    pub fn forget(&self, slot: usize) {
        let mut state = self.lock();
        match state.sent.get_mut(slot) {
            // The report frees it.
            Some(sent @ Sent::Waiting(_)) => *sent = Sent::Dropped,
            Some(Sent::Answered(_) | Sent::Dropped) | None => {
                state.sent.remove(slot);
            }
        }
    }
}

impl State {
    fn outstanding(&self) -> usize {
        self.producer
            .as_ref()
            .map_or(0, PolledProducer::outstanding)
    }

    #[allow(clippy::result_large_err)] // The record is moved back, not boxed: no allocation here.
    fn try_send(&mut self, prepared: Prepared) -> Result<usize, (Prepared, TrySendError)> {
        let Some(producer) = self.producer.as_mut().filter(|_| !self.is_stopping) else {
            return Err((prepared, SendError::Closed.into()));
        };
        let slot = self.sent.insert(Sent::Waiting(None));
        match producer.try_send_prepared(prepared, slot as u64) {
            Ok(()) => Ok(slot),
            Err(refused) => {
                self.sent.remove(slot);
                Err(refused)
            }
        }
    }

    /// Takes what is reported, up to a bound, and returns how much it was. `wakers` gets those
    /// that have an answer, then as many of those that wait for room as there may be.
    fn poll(&mut self, wakers: &mut Vec<Waker>) -> usize {
        let State {
            producer: Some(producer),
            sent,
            waiting,
            ..
        } = self
        else {
            return 0;
        };
        const REPORTS_MAX: usize = 1024;
        let mut answers = 0;
        let count = producer.poll(REPORTS_MAX, &mut |report| match report {
            Report::Sent { token, result } => {
                answers += 1;
                wakers.extend(answer(sent, token, result));
            }
            Report::Client(error) => tracing::warn!(%error, "a cluster reports an error"),
        });
        let room = match producer.outstanding() {
            0 => waiting.len(),
            _ => answers,
        };
        for _ in 0..room {
            let Some((_, waker)) = waiting.pop_first() else {
                break;
            };
            wakers.push(waker);
        }
        count
    }
}

/// Keeps an answer for its reader and returns who waits for it.
fn answer(
    sent: &mut Slots<Sent>,
    token: u64,
    result: Result<TxReceipt, SendError>,
) -> Option<Waker> {
    let slot = usize::try_from(token).expect("tokens are made from slots");
    let entry = sent
        .get_mut(slot)
        .expect("kept until its one report at least");
    match std::mem::replace(entry, Sent::Answered(result)) {
        Sent::Waiting(waker) => waker,
        Sent::Dropped => {
            sent.remove(slot);
            None
        }
        Sent::Answered(_) => unreachable!("a transaction has one report"),
    }
}

/// One that waits for room.
pub(super) struct Turn<'a> {
    shared: &'a Shared,
    ticket: Option<u64>,
}

impl<'a> Turn<'a> {
    pub fn new(shared: &'a Shared) -> Turn<'a> {
        Turn {
            shared,
            ticket: None,
        }
    }

    /// Hands the record over where there is room, and says under which number.
    pub fn poll(
        &mut self,
        prepared: &mut Option<Prepared>,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, SendError>> {
        let record = prepared
            .take()
            .expect("a future is not polled after it was ready");
        let mut state = self.shared.lock();
        match state.try_send(record) {
            Ok(slot) => Poll::Ready(Ok(slot)),
            Err((record, TrySendError::Full)) => {
                *prepared = Some(record);
                let ticket = *self.ticket.get_or_insert_with(|| {
                    state.ticket_next += 1;
                    state.ticket_next
                });
                state.waiting.insert(ticket, context.waker().clone());
                Poll::Pending
            }
            Err((_, TrySendError::Refused(error))) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.lock().waiting.remove(&ticket);
        }
    }
}

/// The thread's part. However it ends, nobody is left waiting.
pub(super) struct Reports(Arc<Shared>);

impl Reports {
    pub fn new(shared: Arc<Shared>) -> Reports {
        Reports(shared)
    }

    /// Takes reports until the producer is stopped.
    pub fn run(self) {
        self.0.bell.attach();
        let mut wakers = Vec::new();
        loop {
            let mut state = self.0.lock();
            if state.is_stopping {
                return;
            }
            let count = state.poll(&mut wakers);
            let has_news = state
                .producer
                .as_ref()
                .is_some_and(PolledProducer::has_news);
            drop(state);
            if count > 0 {
                self.0.reported.notify_all();
            }
            let is_idle = count == 0 && wakers.is_empty() && !has_news;
            for waker in wakers.drain(..) {
                waker.wake();
            }
            // Only after a round in which no waker ran: one that parks uses up our wake-up.
            if is_idle {
                std::thread::park();
            }
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_stopping = true;
        let producer = state.producer.take();
        let mut wakers: Vec<Waker> = std::mem::take(&mut state.waiting).into_values().collect();
        for sent in state.sent.values_mut() {
            if let Sent::Waiting(waker) = sent {
                wakers.extend(waker.take());
                *sent = Sent::Answered(Err(SendError::Abandoned));
            }
        }
        drop(state);
        self.0.reported.notify_all();
        for waker in wakers {
            waker.wake();
        }
        // Waits for librdkafka's threads.
        drop(producer);
    }
}
