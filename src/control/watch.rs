//! The watch: wakes every executor now and then, whether there is a reason or not.
//!
//! The executor's reactor can sleep through its own timers and completions (see
//! `docs/decisions/0004-the-preempt-timer-and-the-watch.md`); a wake-up from another thread always
//! reaches it. With the watch such a stall ends after [`PERIOD`] instead of never.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::mesh::{Bells, Doorbell};

/// Time between two rounds. Waking a parked executor takes 50 to 200 µs of its CPU: at 20 ms an idle
/// node came to 2 % of a core, which is what it may take at the most.
const PERIOD: Duration = Duration::from_millis(200);

/// The watch's thread; ends when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    /// One for each executor; the cores' own doorbells only ring for a core that waits.
    pulses: Bells,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches `executors` executors, each of which runs [`beat`]. The thread inherits the
    /// caller's CPU mask, which must be that of housekeeping.
    pub fn spawn(executors: u16) -> std::io::Result<Watch> {
        let pulses: Bells = (0..executors).map(|_| Doorbell::default()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (watched, stopped) = (Arc::clone(&pulses), Arc::clone(&stop));
        let watch = move || {
            while !stopped.load(Ordering::Acquire) {
                for pulse in watched.iter() {
                    pulse.ring();
                }
                std::thread::park_timeout(PERIOD);
            }
        };
        let thread = std::thread::Builder::new()
            .name("core-watch".into())
            .spawn(watch)?;
        Ok(Watch {
            pulses,
            stop,
            thread: Some(thread),
        })
    }

    /// What the executors beat on, by core.
    pub fn pulses(&self) -> Bells {
        Arc::clone(&self.pulses)
    }
}

/// A task for the executor of one core: lets itself be woken by the watch, for ever.
pub(super) async fn beat(pulses: Bells, core: usize) {
    poll_fn(|cx| {
        pulses[core].announce_sleep(cx.waker());
        Poll::<()>::Pending
    })
    .await;
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
