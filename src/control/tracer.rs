//! The tracer: tells of traced transactions, as log lines and to a collector.
//!
//! Owns: the thread that takes what cores leave. Never does: keep a core; what it cannot take in time is
//! dropped and counted by the core. Runs on: a housekeeping thread.

mod lines;
#[cfg(not(any(feature = "otlp", test)))]
mod no_otlp;
// Tests have it, so that they need no build of their own.
#[cfg(any(feature = "otlp", test))]
mod otlp;
mod span;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::TraceConfig;
use crate::engine::trace::TraceReader;
use crate::ids::CoreId;
use crate::telemetry::IdSource;

#[cfg(not(any(feature = "otlp", test)))]
use no_otlp::Exporter;
#[cfg(any(feature = "otlp", test))]
use otlp::Exporter;
use span::spans;

/// Time between two rounds: what a core leaves meanwhile has to fit its queue.
const PERIOD: Duration = Duration::from_millis(50);

/// Spans that went to the collector, and those that did not.
#[derive(Debug, Default)]
pub(in crate::control) struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// Spans that the collector took.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Spans that it did not take, or that waited for it in vain.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The tracer's thread. Dropped, it tells what the cores have left and ends.
#[derive(Debug)]
pub(super) struct Tracer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tracer {
    /// Tells of what these cores leave, the first being core 0. The thread runs where the calling one
    /// does.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn spawn(
        readers: Vec<TraceReader>,
        config: &TraceConfig,
        counts: Arc<Counts>,
    ) -> std::io::Result<Tracer> {
        let url = Some(&config.otlp).filter(|url| !url.is_empty());
        let exporter = url.map(|url| Exporter::spawn(url.clone(), counts));
        let exporter = exporter.transpose()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("core-tracer".to_owned())
            .spawn(move || {
                let mut ids = IdSource::new();
                // What was left before the stop is still told.
                let mut is_last = false;
                while !is_last {
                    is_last = stopped.load(Ordering::Acquire);
                    round(&readers, exporter.as_ref(), &mut ids);
                    if !is_last {
                        std::thread::park_timeout(PERIOD);
                    }
                }
            })?;
        Ok(Tracer {
            stop,
            thread: Some(thread),
        })
    }
}

/// Tells everything that is there now.
fn round(readers: &[TraceReader], exporter: Option<&Exporter>, ids: &mut IdSource) {
    let mut batch = Vec::new();
    for (core, reader) in (0..).map(CoreId).zip(readers) {
        while let Some(traced) = reader.next() {
            let spans = spans(core, &traced, ids);
            lines::write(&spans);
            if exporter.is_some() {
                batch.extend(spans);
            }
        }
    }
    if let Some(exporter) = exporter.filter(|_| !batch.is_empty()) {
        exporter.send(batch);
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic was printed when it happened, and only cost what was to be told.
            let _ = thread.join();
        }
    }
}
