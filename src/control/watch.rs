//! The watch: wakes every core now and then, whether there is a reason or not.
//!
//! The executor's reactor can sleep through its own timers and completions (see
//! `docs/decisions/0004-the-preempt-timer-and-the-watch.md`); a wake-up from another thread always
//! reaches it. With the watch such a stall ends after [`PERIOD`] instead of never.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::mesh::Bells;

/// Time between two rounds. Waking a parked core costs about 50 µs of its CPU, so this is 0.1 %.
const PERIOD: Duration = Duration::from_millis(50);

/// The watch's thread; ends when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Rings the first `cores` bells every [`PERIOD`]. The thread inherits the caller's CPU mask,
    /// which must be that of housekeeping.
    pub fn spawn(bells: &Bells, cores: u16) -> std::io::Result<Watch> {
        let stop = Arc::new(AtomicBool::new(false));
        let (bells, stopped) = (Arc::clone(bells), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("core-watch".into())
            .spawn(move || {
                while !stopped.load(Ordering::Acquire) {
                    for bell in &bells[..usize::from(cores)] {
                        bell.ring();
                    }
                    std::thread::park_timeout(PERIOD);
                }
            })?;
        Ok(Watch {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It cannot panic, and there would be nobody left to tell.
            let _ = thread.join();
        }
    }
}
