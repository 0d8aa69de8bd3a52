//! Looking at a load while it runs, and holding its consumers back.
//!
//! Owns: what counts as stuck. Never does: end a load. Runs on: the thread that measures.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::account::Account;
use crate::clock;
use crate::ids::Nanos;

/// Holds consumers back, so that a backlog builds up.
#[derive(Clone, Debug)]
pub struct Gate(pub(super) Arc<Account>);

impl Gate {
    /// Consumers take nothing from now on.
    pub fn close(&self) {
        self.0.paused.store(true, Ordering::Release);
    }

    /// Consumers go on.
    pub fn open(&self) {
        self.0.paused.store(false, Ordering::Release);
    }

    /// Records acknowledged and not yet received, summed over all subscriptions.
    pub fn backlog(&self) -> u64 {
        self.0.missing()
    }
}

/// Since when nothing has moved.
pub struct Watch {
    progress: u64,
    since: Nanos,
}

impl Watch {
    /// From now on.
    pub fn start(progress: u64) -> Watch {
        Watch {
            progress,
            since: clock::monotonic(),
        }
    }

    /// For how long something was waited for and nothing moved.
    pub fn look(&mut self, progress: u64, is_waiting: bool) -> Duration {
        let now = clock::monotonic();
        if !is_waiting || progress != self.progress {
            *self = Watch {
                progress,
                since: now,
            };
        }
        Duration::from_nanos(now.since(self.since))
    }
}
