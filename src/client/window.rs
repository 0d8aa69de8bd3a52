//! What is unanswered on a connection, shared by its two halves.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::frame::Correlation;
use crate::transaction::TransactionId;

/// A submit without an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) id: TransactionId,
    pub(super) tag: u64,
}

#[derive(Debug)]
struct State {
    pending: HashMap<Correlation, Pending>,
    /// No more answers will come.
    is_closed: bool,
}

/// Holds at most `in_flight_max` submits.
#[derive(Debug)]
pub(super) struct Window {
    state: Mutex<State>,
    freed: Condvar,
    in_flight_max: usize,
}

/// What [`Window::wait_for_room`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// One more may be submitted.
    Free,
    /// As many as may be are still unanswered.
    Full,
    /// No more answers will come.
    Closed,
}

impl Window {
    pub(super) fn new(in_flight_max: usize) -> Window {
        Window {
            state: Mutex::new(State {
                pending: HashMap::new(),
                is_closed: false,
            }),
            freed: Condvar::new(),
            in_flight_max,
        }
    }

    pub(super) fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    pub(super) fn unanswered(&self) -> usize {
        self.lock().pending.len()
    }

    pub(super) fn room(&self) -> Room {
        self.room_of(&self.lock())
    }

    /// Waits until one more may be submitted, for at most `timeout`.
    pub(super) fn wait_for_room(&self, timeout: Option<Duration>) -> Room {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.lock();
        loop {
            let room = self.room_of(&state);
            if room != Room::Full {
                return room;
            }
            let Some(deadline) = deadline else {
                state = self.freed.wait(state).expect(NOT_POISONED);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Room::Full;
            }
            state = self.freed.wait_timeout(state, left).expect(NOT_POISONED).0;
        }
    }

    pub(super) fn insert(&self, correlation: Correlation, pending: Pending) {
        self.lock().pending.insert(correlation, pending);
    }

    /// Takes out the submit that was just answered.
    pub(super) fn take(&self, correlation: Correlation) -> Option<Pending> {
        let pending = self.lock().pending.remove(&correlation)?;
        self.freed.notify_one();
        Some(pending)
    }

    /// No more answers will come: wakes whoever waits for room.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.freed.notify_all();
    }

    fn room_of(&self, state: &State) -> Room {
        if state.is_closed {
            Room::Closed
        } else if state.pending.len() >= self.in_flight_max {
            Room::Full
        } else {
            Room::Free
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NOT_POISONED)
    }
}

const NOT_POISONED: &str = "nothing panics while the lock is held";
