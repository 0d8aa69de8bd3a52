//! The keeper: everything about a data directory's files that takes long and must not be done on
//! a core. It makes segments ready, writes index files and takes recycled segments back.
//!
//! Owns: segment files that are not in use, index files, spares. Never does: appending, reading
//! of batches, deciding what to keep (retention is the stripe's). Runs on: one housekeeping
//! thread per data directory, or inside a test that calls [`Keeper::step`].
//!
//! A stripe talks to it through a [`KeeperHandle`]: two bounded queues. Neither side ever waits
//! for the other.

mod work;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use crate::clock;
use crate::ids::{Nanos, SegmentSeq, StripeId};
use crate::log::files::Files;
use crate::log::state::{SegmentIndex, StripeState};

use work::Port;

/// Requests of one stripe that may wait; also the bound of replies not yet taken.
pub const KEEPER_QUEUE: usize = 32;

/// Longest nap of the thread while something waits; requests wake it earlier.
const NAP: Duration = Duration::from_millis(100);

/// What a stripe asks for.
#[derive(Debug)]
pub enum Request {
    /// Make a segment's file: whole, with its header, durable, under its final name. A whole file
    /// that is there already is kept.
    PrepareSegment {
        /// Its number.
        seq: SegmentSeq,
    },
    /// Write the index file of a segment whose frames are all durable and which gets no more.
    Seal {
        /// Its number.
        seq: SegmentSeq,
        /// Where its batches lie; shared with the stripe, which goes on reading by it.
        index: Arc<SegmentIndex>,
        /// The stripe's state at the end of the segment.
        state: StripeState,
    },
    /// Take a segment's file out of the log; nothing may have it open any more. Carried out once
    /// a later segment is sealed, since the state up to there lives in its index alone.
    Recycle {
        /// Its number.
        seq: SegmentSeq,
    },
}

/// What the keeper says. Every request gets one of `Prepared`, `Sealed`, `Recycled` or `Failed`.
#[derive(Debug)]
pub enum Reply {
    /// The segment's file is ready.
    Prepared {
        /// Its number.
        seq: SegmentSeq,
    },
    /// The segment's index is durable.
    Sealed {
        /// Its number.
        seq: SegmentSeq,
    },
    /// The segment is out of the log.
    Recycled {
        /// Its number.
        seq: SegmentSeq,
    },
    /// No space is left on the device; said once, and the request is tried again every 100 ms.
    NoSpace {
        /// What waits.
        action: Action,
        /// The segment of the request that waits.
        seq: SegmentSeq,
    },
    /// The device refused; the request was dropped.
    Failed {
        /// The segment of the request.
        seq: SegmentSeq,
        /// What was tried.
        action: Action,
        /// Which file, and what the device said.
        error: String,
    },
}

/// The kind of a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// [`Request::PrepareSegment`].
    Prepare,
    /// [`Request::Seal`].
    Seal,
    /// [`Request::Recycle`].
    Recycle,
}

/// What a keeper needs to know about its data directory.
#[derive(Clone, Debug)]
pub struct KeeperOptions {
    /// Identifies the data directory.
    pub directory_id: u128,
    /// How often it was opened for writing.
    pub epoch: u32,
    /// Size of a segment in bytes; a multiple of the block.
    pub segment_bytes: u64,
    /// The stripes whose files it keeps.
    pub stripes: Vec<StripeId>,
    /// Recycled files kept for reuse, per stripe; more are removed.
    pub spares_max: usize,
}

/// Called after each reply, so that a parked core wakes.
pub type Wake = Arc<dyn Fn(StripeId) + Send + Sync>;

/// The queues of one stripe.
#[derive(Debug)]
struct Queues {
    requests: ArrayQueue<Request>,
    replies: ArrayQueue<Reply>,
}

/// A stripe's end.
#[derive(Debug)]
pub struct KeeperHandle {
    stripe: StripeId,
    queues: Arc<Queues>,
    thread: Option<Thread>,
}

impl KeeperHandle {
    /// The stripe it serves.
    pub const fn stripe(&self) -> StripeId {
        self.stripe
    }

    /// Hands a request over; never waits.
    ///
    /// # Errors
    /// The queue is full: the request is given back, ask again later.
    #[allow(clippy::result_large_err)] // Moved back, not boxed: asked again in the next cycle.
    pub fn request(&self, request: Request) -> Result<(), Request> {
        self.queues.requests.push(request)?;
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
        Ok(())
    }

    /// Takes the next reply, if there is one.
    pub fn poll(&self) -> Option<Reply> {
        self.queues.replies.pop()
    }
}

/// Does the work; see the module's text.
pub struct Keeper<F> {
    files: F,
    options: KeeperOptions,
    ports: Vec<Port>,
    wake: Wake,
}

impl<F: Files> Keeper<F> {
    /// A keeper and the stripes' ends, in the order of `options.stripes`. Reads the folders once.
    ///
    /// # Errors
    /// A stripe's folder cannot be read.
    pub fn new(
        files: F,
        options: KeeperOptions,
        wake: Wake,
    ) -> io::Result<(Keeper<F>, Vec<KeeperHandle>)> {
        let mut ports = Vec::with_capacity(options.stripes.len());
        let mut handles = Vec::with_capacity(options.stripes.len());
        for &stripe in &options.stripes {
            let queues = Arc::new(Queues {
                requests: ArrayQueue::new(KEEPER_QUEUE),
                replies: ArrayQueue::new(KEEPER_QUEUE),
            });
            ports.push(Port::open(&files, stripe, Arc::clone(&queues))?);
            handles.push(KeeperHandle {
                stripe,
                queues,
                thread: None,
            });
        }
        let keeper = Keeper {
            files,
            options,
            ports,
            wake,
        };
        Ok((keeper, handles))
    }

    /// Carries out what was asked for, and what waited long enough to be tried again. Returns the
    /// number of replies sent.
    pub fn step(&mut self, now: Nanos) -> usize {
        let mut replies = 0;
        for port in &mut self.ports {
            let sent = port.step(&self.files, &self.options, now);
            if sent > 0 {
                (self.wake)(port.stripe());
            }
            replies += sent;
        }
        replies
    }

    /// Whether a request waits for space, for a later seal, or for room in the reply queue.
    pub fn is_waiting(&self) -> bool {
        self.ports.iter().any(Port::is_waiting)
    }
}

impl<F> std::fmt::Debug for Keeper<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The keeper's thread. Dropping it stops the thread after what was already asked for.
#[derive(Debug)]
pub struct KeeperThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KeeperThread {
    /// Starts the keeper on a thread of its own and returns the stripes' ends.
    ///
    /// The thread inherits the CPU mask of the caller, so this must be called from a housekeeping
    /// thread: from a pinned core the keeper would run on that core.
    ///
    /// # Errors
    /// A stripe's folder cannot be read, or no thread can be made.
    pub fn spawn<F: Files + 'static>(
        files: F,
        options: KeeperOptions,
        wake: Wake,
    ) -> io::Result<(KeeperThread, Vec<KeeperHandle>)> {
        let (keeper, mut handles) = Keeper::new(files, options, wake)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("log-keeper".into())
            .spawn(move || run(keeper, &stopped))?;
        for handle in &mut handles {
            handle.thread = Some(thread.thread().clone());
        }
        let keeper = KeeperThread {
            stop,
            thread: Some(thread),
        };
        Ok((keeper, handles))
    }

    /// Carries out what was already asked for, then ends the thread.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for KeeperThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the keeper has already been printed; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

fn run<F: Files>(mut keeper: Keeper<F>, stop: &AtomicBool) {
    loop {
        // Read first: a request made before the stop is seen by the step that follows.
        let stopping = stop.load(Ordering::Acquire);
        let replies = keeper.step(clock::monotonic());
        if stopping {
            return;
        }
        if replies > 0 {
            continue;
        }
        if keeper.is_waiting() {
            thread::park_timeout(NAP);
        } else {
            thread::park();
        }
    }
}

#[cfg(test)]
mod tests;
