//! What the doorbell is built from, as loom has it.

use std::task::Waker;

use loom::sync::Mutex;
pub(crate) use loom::sync::atomic::{AtomicBool, Ordering, fence};

/// Padding changes nothing in a model.
pub(crate) type CachePadded<T> = T;

/// What the crate `atomic-waker` promises: the last waker that was registered is woken once.
///
/// Only a sender that saw the announcement comes here, so the lock orders nothing between a
/// sender and a sleeper that miss each other: that is left to the fences.
#[derive(Debug, Default)]
pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub(crate) fn register(&self, waker: &Waker) {
        *self.0.lock().expect("no model panics in here") = Some(waker.clone());
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().expect("no model panics in here").take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
