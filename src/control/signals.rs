//! SIGINT and SIGTERM: the first one asks for a graceful stop, the second one stops at once. SIGUSR1
//! asks for the slowest transactions.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

/// Exit code of a stop that did not wait.
const AT_ONCE: i32 = 1;

/// Whether a stop was asked for.
#[derive(Debug, Clone, Default)]
pub struct StopSignal {
    asked: Arc<AtomicBool>,
}

impl StopSignal {
    /// Listens for the signals from now on.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub fn listen() -> io::Result<StopSignal> {
        let signal = StopSignal::default();
        for number in [SIGINT, SIGTERM] {
            // In this order: the shutdown looks at the flag before the first signal sets it.
            flag::register_conditional_shutdown(number, AT_ONCE, Arc::clone(&signal.asked))?;
            flag::register(number, Arc::clone(&signal.asked))?;
        }
        Ok(signal)
    }

    /// Whether the first signal has come.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Whether somebody wants to see the slowest transactions.
#[derive(Debug, Clone, Default)]
pub struct DumpSignal {
    asked: Arc<AtomicBool>,
}

impl DumpSignal {
    /// Listens for SIGUSR1 from now on.
    ///
    /// # Errors
    /// The kernel refuses a handler.
    pub fn listen() -> io::Result<DumpSignal> {
        let signal = DumpSignal::default();
        flag::register(SIGUSR1, Arc::clone(&signal.asked))?;
        Ok(signal)
    }

    /// Whether it has come since it was looked at last.
    pub fn take(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }
}
