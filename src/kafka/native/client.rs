//! One `rd_kafka_t`, and its end.
//!
//! Owns: the client, its main queue, and what must outlive it. Never does: poll. Runs on: any
//! thread; dropping the last reference waits, see [`Client`].
#![allow(unsafe_code)]

use std::any::Any;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rdkafka::bindings as rd;
use rustix::thread::CpuSet;

use super::conf::{Kind, Wake, disable_news, enable_news};
use super::error::{ErrorText, KafkaError, code3, written_text};
use super::group::GroupNews;

/// What librdkafka's callbacks see of us. Its address is their opaque pointer.
pub(super) struct Shared {
    /// True whenever something may wait in the client's queue.
    news: AtomicBool,
    wake: Option<Wake>,
    cpus: Option<CpuSet>,
    /// What callbacks of a consumer reported since the last poll.
    pub group: GroupNews,
}

impl Shared {
    pub fn new(wake: Option<Wake>, cpus: Option<CpuSet>) -> Shared {
        Shared {
            // What arrived before the callback was set raises no flag.
            news: AtomicBool::new(true),
            wake,
            cpus,
            group: GroupNews::default(),
        }
    }

    pub fn cpus(&self) -> Option<&CpuSet> {
        self.cpus.as_ref()
    }

    /// Something may wait.
    pub fn raise(&self) {
        self.news.store(true, Ordering::Release);
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    /// Something was left: the owner knows, so nobody is woken.
    pub fn leave(&self) {
        self.news.store(true, Ordering::Relaxed);
    }

    /// Before a poll. What arrives later than the poll looks finds the queue empty under its
    /// lock and raises the flag again, after this store.
    pub fn lower(&self) {
        self.news.store(false, Ordering::Relaxed);
    }

    pub fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }
}

/// A client of librdkafka. Dropping the last reference destroys it on a thread made for that, and
/// waits up to [`CLOSE_WAIT`] for it: librdkafka joins its threads, and one of them may hang in
/// the resolver. After that the thread is left to finish by itself, with all it needs.
pub(super) struct Client {
    rk: NonNull<rd::rd_kafka_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
    shared: Arc<Shared>,
    /// What librdkafka may read until it is destroyed.
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

// SAFETY: librdkafka's functions may be called from any thread at any time ("librdkafka is
// completely thread-safe", its introduction); both pointers are only passed to them.
unsafe impl Send for Client {}
// SAFETY: as above; the other fields are Sync.
unsafe impl Sync for Client {}

/// How long dropping a client waits for librdkafka's threads.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(5);

impl Client {
    /// # Safety
    /// `rk` is a new client of `kind`, owned by nobody else, with `shared` as its opaque pointer.
    pub unsafe fn adopt(rk: NonNull<rd::rd_kafka_t>, kind: Kind, shared: Arc<Shared>) -> Client {
        // SAFETY: the client is live; librdkafka hands out references to queues it has, and
        // `shared` is held until after the client's end.
        let queue = unsafe {
            let queue = match kind {
                Kind::Producer => rd::rd_kafka_queue_get_main(rk.as_ptr()),
                Kind::Consumer => {
                    // Everything on one queue: without a group it changes nothing.
                    rd::rd_kafka_poll_set_consumer(rk.as_ptr());
                    let queue = rd::rd_kafka_queue_get_consumer(rk.as_ptr());
                    if queue.is_null() {
                        rd::rd_kafka_queue_get_main(rk.as_ptr())
                    } else {
                        queue
                    }
                }
            };
            enable_news(queue, Arc::as_ptr(&shared));
            queue
        };
        Client {
            rk,
            queue: NonNull::new(queue).expect("every client has a main queue"),
            shared,
            kept: Mutex::default(),
        }
    }

    pub fn as_ptr(&self) -> *mut rd::rd_kafka_t {
        self.rk.as_ptr()
    }

    pub fn queue(&self) -> *mut rd::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether the client's queue holds anything. Takes its lock.
    pub fn is_queue_empty(&self) -> bool {
        // SAFETY: the queue lives as long as `self`.
        unsafe { rd::rd_kafka_queue_length(self.queue()) == 0 }
    }

    /// Keeps `what` until librdkafka is done with everything.
    pub fn keep(&self, what: Box<dyn Any + Send>) {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }

    /// The error after which the client is of no more use, if there was one.
    pub fn fatal_error(&self) -> Option<KafkaError> {
        let mut text: ErrorText = [0; 512];
        // SAFETY: the client is live; the buffer goes with its size.
        let code = unsafe {
            code3(rd::rd_kafka_fatal_error)(self.as_ptr(), text.as_mut_ptr(), text.len())
        };
        (code != 0).then(|| KafkaError::new(code, written_text(&text)).made_fatal())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let remains = Remains {
            rk: self.rk,
            queue: self.queue,
            _shared: Arc::clone(&self.shared),
            _kept: std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        // In a cell, since a thread that cannot be made drops what it was to run.
        let remains = Arc::new(Mutex::new(Some(remains)));
        let for_thread = Arc::clone(&remains);
        let (done, is_done) = mpsc::channel();
        let destroying = std::thread::Builder::new()
            .name("kafka-destroy".to_owned())
            .spawn(move || {
                Remains::destroy(&for_thread);
                // Nobody listens any more after CLOSE_WAIT.
                let _ = done.send(());
            });
        match destroying {
            Ok(_) => {
                if is_done.recv_timeout(CLOSE_WAIT).is_err() {
                    tracing::warn!(
                        "librdkafka's threads did not end in {CLOSE_WAIT:?}; they are left behind"
                    );
                }
            }
            Err(_) => Remains::destroy(&remains),
        }
    }
}

/// A client on its way out.
struct Remains {
    rk: NonNull<rd::rd_kafka_t>,
    queue: NonNull<rd::rd_kafka_queue_t>,
    _shared: Arc<Shared>,
    _kept: Vec<Box<dyn Any + Send>>,
}

// SAFETY: as for Client.
unsafe impl Send for Remains {}

impl Remains {
    fn destroy(cell: &Mutex<Option<Remains>>) {
        let Some(remains) = cell.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        // SAFETY: this was the last reference, so no topic, message or control is left, and
        // `remains` was taken once. The callback is cleared before the queue goes, and `_shared`
        // and `_kept` are dropped after rd_kafka_destroy has joined librdkafka's threads.
        unsafe {
            disable_news(remains.queue.as_ptr());
            rd::rd_kafka_queue_destroy(remains.queue.as_ptr());
            // Leaving a group may wait for a broker that is gone: who wants to leave calls
            // ConsumerControl::close before, which has a timeout.
            rd::rd_kafka_destroy_flags(
                remains.rk.as_ptr(),
                rd::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE,
            );
        }
    }
}
