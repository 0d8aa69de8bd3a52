//! Log lines: how they look, and how they leave.
//!
//! Owns: the process's subscriber of events, and the queue between whoever writes a line and standard
//! error. Never does: make a thread wait once the queue is there: standard error that nobody reads costs
//! lines, which are counted. Runs on: a thread of its own; before that, whoever writes.

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// Which events are written where `CORELANE_LOG` says nothing.
const EVENTS: &str = "warn,corelane::trace=info";

/// Lines that wait to be written, at the most.
const LINES_MAX: usize = 1024;

/// How long the last lines may take at the end.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Standard error is one for the whole process.
static LINES: Lines = Lines::new();

/// Says how events are written: to standard error, so that standard output holds results only.
/// `CORELANE_LOG` says which, as in `CORELANE_LOG=debug`. A host program that has set up tracing
/// already keeps what it has.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("CORELANE_LOG").unwrap_or_else(|_| EnvFilter::new(EVENTS));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(&LINES)
        .with_ansi(io::stderr().is_terminal());
    // Fails only where there is a subscriber.
    let _ = match format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// From now on lines are written by a thread, which runs where the calling one does. Until the end of
/// what is returned, which waits for the last lines, though not for ever.
///
/// # Errors
/// The thread cannot be started; lines are then written as before.
pub fn leave_to_thread() -> io::Result<LastLines> {
    LINES.leave_to_thread(io::stderr())
}

/// Lines that were dropped because standard error took none.
pub fn dropped_lines() -> u64 {
    LINES.dropped.load(Ordering::Relaxed)
}

/// The way of lines to standard error.
#[derive(Debug)]
struct Lines {
    /// None before there is a thread.
    queue: OnceLock<SyncSender<Item>>,
    dropped: AtomicU64,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// Everything before was written.
    Flushed(SyncSender<()>),
}

/// Writes the last lines when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it waits for the last lines"]
pub struct LastLines(SyncSender<Item>);

impl Lines {
    const fn new() -> Lines {
        Lines {
            queue: OnceLock::new(),
            dropped: AtomicU64::new(0),
        }
    }

    fn leave_to_thread(&'static self, sink: impl Write + Send + 'static) -> io::Result<LastLines> {
        let (queue, items) = sync_channel(LINES_MAX);
        std::thread::Builder::new()
            .name("log-lines".to_owned())
            .spawn(move || self.write_out(&items, sink))?;
        // Called once in a process; a second thread would have nothing to do and end.
        let queue = self.queue.get_or_init(|| queue);
        Ok(LastLines(queue.clone()))
    }

    /// Writes what comes until nobody sends any more.
    fn write_out(&self, items: &Receiver<Item>, mut sink: impl Write) {
        let mut told = 0;
        for item in items {
            match item {
                // Where standard error is closed, there is nobody to tell.
                Item::Line(line) => drop(sink.write_all(&line)),
                Item::Flushed(to) => drop(to.try_send(())),
            }
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped != told {
                // Goes behind what waits, into the room that was just made.
                tracing::warn!(lines = dropped - told, "log lines were dropped");
                told = dropped;
            }
        }
    }

    fn put(&self, line: &[u8]) -> io::Result<()> {
        let Some(queue) = self.queue.get() else {
            return io::stderr().write_all(line);
        };
        if queue.try_send(Item::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Takes a whole line at a time, as the subscriber gives them.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static Lines {
    type Writer = &'static Lines;

    fn make_writer(&'a self) -> &'static Lines {
        self
    }
}

impl Drop for LastLines {
    fn drop(&mut self) {
        let start = Instant::now();
        let (to, flushed) = sync_channel(1);
        let mut item = Item::Flushed(to);
        while let Err(TrySendError::Full(back)) = self.0.try_send(item) {
            if start.elapsed() > FLUSH_MAX {
                return;
            }
            item = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        // Standard error that takes nothing keeps nobody from ending.
        let _ = flushed.recv_timeout(FLUSH_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink that takes a line when it is told to.
    struct Slow {
        go: Receiver<()>,
        lines: SyncSender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // Whoever does not say any more lets everything pass.
            let _ = self.go.recv();
            let _ = self.lines.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_takes_nothing_costs_lines_and_no_time() {
        let lines: &'static Lines = Box::leak(Box::new(Lines::new()));
        let (go, wait) = sync_channel(0);
        let (to, written) = sync_channel(4 * LINES_MAX);
        let slow = Slow {
            go: wait,
            lines: to,
        };
        let last = lines.leave_to_thread(slow).unwrap();
        let count = 2 * LINES_MAX;
        for number in 0..count {
            (&*lines)
                .write_all(format!("{number}\n").as_bytes())
                .unwrap();
        }
        let dropped = lines.dropped.load(Ordering::Relaxed) as usize;
        // The thread may hold one line that is in no queue any more.
        assert!((LINES_MAX - 1..=LINES_MAX).contains(&dropped), "{dropped}");
        drop(go);
        drop(last);
        let written: Vec<String> = written.try_iter().collect();
        assert_eq!(written[0], "0\n", "what came first is there");
        assert_eq!(written.len() + dropped, count);
    }
}
