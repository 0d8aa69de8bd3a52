//! Waking up when it was asked for.
//!
//! Owns: the timer slack of the calling thread. Runs on: threads that keep a pace.

use std::num::NonZeroU64;

use rustix::thread::set_current_timer_slack;

/// While it lives, the calling thread is woken when it asked to be, and not up to 50 us later.
/// Threads that are started meanwhile inherit it.
#[derive(Debug)]
pub struct Punctual(());

impl Punctual {
    /// From now on. Where the system refuses, wake-ups stay as they were, which the publish delay
    /// tells of.
    pub fn start() -> Punctual {
        if let Err(error) = set_current_timer_slack(NonZeroU64::new(1)) {
            tracing::warn!(%error, "a sender may be woken late");
        }
        Punctual(())
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        // None stands for the default; what worked once with another number works with it.
        let _ = set_current_timer_slack(None);
    }
}
