//! What control can read of a core at any time, without asking it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How far a core is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Not in its loop yet.
    Starting = 0,
    /// Takes transactions.
    Running = 1,
    /// Refuses new ones; finishes what it has.
    Draining = 2,
    /// Has left its loop.
    Stopped = 3,
}

/// Written by the core, read by control.
#[derive(Debug, Default)]
pub struct CoreStatus {
    phase: AtomicU8,
    in_flight: AtomicU64,
    backlog: AtomicU64,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl CoreStatus {
    /// How far the core is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            2 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Whether nothing was in flight and nothing unprocessed when the core last looked.
    pub fn is_quiet(&self) -> bool {
        self.in_flight() == 0 && self.backlog() == 0
    }

    /// Transactions taken in and not yet answered or durable.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Visible records not yet processed.
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Acquire)
    }

    /// Why the core cannot go on as it should: storage failed, or a handler said stop.
    #[allow(clippy::disallowed_methods)] // Read by control.
    pub fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets the phase.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(super) fn set_load(&self, in_flight: u64, backlog: u64) {
        self.in_flight.store(in_flight, Ordering::Release);
        self.backlog.store(backlog, Ordering::Release);
    }

    /// Whether there is a [`CoreStatus::failure`].
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Notes a failure; the first one stays and later calls cost one load.
    #[allow(clippy::disallowed_methods)] // Once in a core's life.
    pub fn fail_once(&self, reason: &str) {
        if self.has_failed() {
            return;
        }
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        self.failed.store(true, Ordering::Relaxed);
    }
}
