//! Waking one thread that parks.
//!
//! Owns: the handle of that thread. Never does: wait. Runs on: rung by any thread, librdkafka's
//! included.

use std::sync::{Mutex, PoisonError};
use std::thread::Thread;

/// Wakes whichever thread attached itself last. Whoever parks looks for work between attaching
/// and parking, so that a ring before the one is seen and a ring after the other wakes.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<Option<Thread>>);

impl Bell {
    /// This thread is the one to wake from now on.
    pub fn attach(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current());
    }

    /// Wakes the thread, or keeps its next park from waiting.
    pub fn ring(&self) {
        if let Some(thread) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }
}
