//! The helper thread of one core's end of one cluster: every librdkafka call that blocks.
//!
//! Owns: the thread, its jobs and its replies. Never does: anything that a core waits for; a core
//! asks, goes on, and finds the reply in its queue. Runs on: housekeeping CPUs.
//!
//! Jobs are carried out one after another. A job that can be tried again is tried until it
//! succeeds, fails for good, or the helper is told to give up, so that a stop never hangs on a
//! cluster that is away.

mod calls;
mod reading;
mod transact;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::native::{
    ConsumerControl, ErrorClass, KafkaError, NativeConsumer, NativeProducer, TransactionControl,
    Wake,
};
use super::placement::run_on;
use crate::ids::{CpuId, Nanos, Offset};

pub(super) use reading::{History, OpenRequest, Opened};
pub(super) use transact::{Ended, Fate};

/// Timeout of one blocking call. A call that takes longer is made again, unless the helper was
/// told to give up meanwhile.
const CALL_MAX: Duration = Duration::from_secs(5);

/// How long the commit of positions outside of transactions is tried.
const COMMIT_MAX: Duration = Duration::from_secs(3);

/// Pause after a call that failed and may be made again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A topic's name, a partition's number in it, and an offset.
pub(super) type NamedOffset = (String, i32, Offset);

/// What a core knows of a partition's committed position.
pub(super) struct KnownPosition {
    /// The topic.
    pub topic: String,
    /// The partition's number in it.
    pub index: i32,
    /// As last committed.
    pub settled: Offset,
    /// As the transaction under way would commit it.
    pub attempted: Offset,
}

/// What a core asks for.
pub(super) enum Job {
    /// Fence predecessors and be ready for transactions.
    InitTransactions,
    /// Find out where partitions stand: position, end, state, and the ids of their last records.
    Open(Vec<OpenRequest>),
    /// End the open transaction, these positions in it.
    CommitTransaction {
        /// The positions.
        offsets: Vec<NamedOffset>,
        /// When it began.
        begun: Nanos,
    },
    /// End the open transaction without any effect.
    AbortTransaction {
        /// When it began.
        begun: Nanos,
    },
    /// Make another transactional producer after [`Ended::ProducerLost`].
    ReplaceProducer {
        /// Where this core's partitions stand as far as it knows, where a successor may have gone
        /// on with them unnoticed.
        known: Vec<KnownPosition>,
        /// How the last one ended.
        why: KafkaError,
    },
    /// Drop a producer that is of no more use, which waits for librdkafka's threads.
    DropProducer(Box<NativeProducer>),
    /// Commit positions outside of a transaction.
    CommitOffsets(Vec<NamedOffset>),
    /// Ask the cluster whether it is there.
    Probe,
    /// Commit these positions outside of a transaction, then leave the group.
    Close(Vec<NamedOffset>),
}

/// What became of a job.
pub(super) enum Reply {
    /// [`Job::InitTransactions`].
    TransactionsReady,
    /// [`Job::Open`], a part of the ids; comes before [`Reply::Opened`].
    History(History),
    /// [`Job::Open`].
    Opened(Vec<Opened>),
    /// [`Job::CommitTransaction`], [`Job::AbortTransaction`] or [`Job::ReplaceProducer`].
    Ended(Ended),
    /// [`Job::CommitOffsets`]; the error is one that the next commit makes good.
    OffsetsCommitted(Result<(), KafkaError>),
    /// [`Job::Probe`].
    Probed(Result<(), KafkaError>),
    /// [`Job::Close`].
    Closed,
    /// A job failed for good.
    Failed(KafkaError),
}

/// What the helper works with.
pub(super) struct HelperParts {
    /// Names the thread.
    pub name: String,
    /// Where it may run.
    pub cpus: Vec<CpuId>,
    /// The core's consumer.
    pub consumer: ConsumerControl,
    /// The core's transactional producer, where there is one.
    pub transactions: Option<TransactionControl>,
    /// Makes a transactional producer like it.
    pub make_transactional: Box<dyn Fn() -> Result<NativeProducer, KafkaError> + Send>,
    /// After so long the cluster ends a transaction by itself.
    pub transaction_timeout: Duration,
    /// Makes a consumer for reading history and state.
    pub make_reader: Box<dyn Fn(Wake) -> Result<NativeConsumer, KafkaError> + Send>,
    /// Ids wanted of each partition.
    pub history_records_max: u64,
    /// Called after each reply.
    pub wake: Wake,
}

/// A core's line to its helper. Dropping it ends the thread, which finishes the call that it is in.
pub(super) struct Helper {
    jobs: Option<Sender<Job>>,
    replies: Receiver<Reply>,
    news: Arc<AtomicBool>,
    give_up: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Helper {
    /// Starts the thread.
    pub fn spawn(parts: HelperParts) -> std::io::Result<Helper> {
        let (jobs, asked) = channel();
        let (answers, replies) = channel();
        let news = Arc::new(AtomicBool::new(false));
        let give_up = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            replies: Replies {
                to: answers,
                news: Arc::clone(&news),
                wake: Arc::clone(&parts.wake),
            },
            give_up: Arc::clone(&give_up),
            caller: None,
            parts,
        };
        let thread = std::thread::Builder::new()
            .name(worker.parts.name.clone())
            .spawn(move || worker.run(&asked))?;
        Ok(Helper {
            jobs: Some(jobs),
            replies,
            news,
            give_up,
            thread: Some(thread),
        })
    }

    /// Asks for something.
    pub fn ask(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("taken only on drop");
        // The thread ends only with this handle, unless it panicked; then there is no reply, which
        // the bounds on waiting cover.
        let _ = jobs.send(job);
    }

    /// Whether a reply may wait.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// Takes the next reply.
    pub fn reply(&self) -> Option<Reply> {
        if !self.news.swap(false, Ordering::AcqRel) {
            return None;
        }
        let reply = self.replies.try_recv().ok();
        if reply.is_some() {
            // There may be more.
            self.news.store(true, Ordering::Release);
        }
        reply
    }

    /// From now on nothing is tried again.
    pub fn give_up(&self) {
        self.give_up.store(true, Ordering::Release);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.give_up();
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// Where replies go.
struct Replies {
    to: Sender<Reply>,
    news: Arc<AtomicBool>,
    wake: Wake,
}

impl Replies {
    fn send(&self, reply: Reply) {
        // Without a core nobody needs it.
        let _ = self.to.send(reply);
        self.news.store(true, Ordering::Release);
        (self.wake)();
    }
}

/// The thread's side.
struct Worker {
    parts: HelperParts,
    replies: Replies,
    give_up: Arc<AtomicBool>,
    /// Makes the calls that may never come back.
    caller: Option<calls::Caller>,
}

impl Worker {
    fn run(mut self, asked: &Receiver<Job>) {
        run_on(&self.parts.cpus);
        while let Ok(job) = asked.recv() {
            let reply = match job {
                Job::InitTransactions => self.init_transactions(),
                Job::Open(requests) => match self.open(requests) {
                    Ok(opened) => Reply::Opened(opened),
                    Err(error) => Reply::Failed(error),
                },
                Job::CommitTransaction { offsets, begun } => {
                    Reply::Ended(self.commit(&offsets, begun))
                }
                Job::AbortTransaction { begun } => Reply::Ended(self.abort(None, begun)),
                Job::ReplaceProducer { known, why } => Reply::Ended(self.replace(&known, why)),
                Job::DropProducer(producer) => {
                    drop(producer);
                    continue;
                }
                Job::CommitOffsets(offsets) => {
                    Reply::OffsetsCommitted(self.commit_offsets(&offsets))
                }
                Job::Probe => Reply::Probed(self.probe()),
                Job::Close(offsets) => {
                    if !offsets.is_empty()
                        && let Err(error) = self.commit_offsets(&offsets)
                    {
                        let helper = &*self.parts.name;
                        tracing::warn!(helper, %error, "positions were not committed at the stop");
                    }
                    // What cannot leave now is removed by the group's session timeout.
                    let _ = self.parts.consumer.close(CALL_MAX);
                    Reply::Closed
                }
            };
            self.replies.send(reply);
        }
    }

    /// Tries for a while also where the group is between two generations: what is not committed is
    /// processed again by whoever comes next.
    fn commit_offsets(&self, offsets: &[NamedOffset]) -> Result<(), KafkaError> {
        let start = Instant::now();
        loop {
            let mut result = self.parts.consumer.commit(offsets, CALL_MAX);
            if result.as_ref().is_err_and(KafkaError::is_timeout) {
                // As with `Worker::committed`. Of a group with members the cluster takes no
                // positions from outside, so this does no harm there.
                let reader = self.reader();
                result = reader.and_then(|reader| reader.control().commit(offsets, CALL_MAX));
            }
            let is_over = start.elapsed() > COMMIT_MAX || self.give_up.load(Ordering::Acquire);
            let helper = &*self.parts.name;
            tracing::debug!(helper, ?offsets, ?result, "positions are committed");
            if result.is_ok() || is_over {
                return result;
            }
            std::thread::sleep(AGAIN_AFTER);
        }
    }

    fn probe(&self) -> Result<(), KafkaError> {
        let client = self.parts.consumer.client();
        client.brokers(Duration::from_secs(1)).map(|_| ())
    }

    /// Calls until it succeeds, fails with what another try does not mend, or nothing shall be
    /// tried again.
    fn persist<T>(&self, mut call: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
        loop {
            match call() {
                Err(error)
                    if error.class() == ErrorClass::Retry
                        && !self.give_up.load(Ordering::Acquire) =>
                {
                    let helper = &*self.parts.name;
                    tracing::info!(helper, %error, "a call is made again");
                    std::thread::sleep(AGAIN_AFTER);
                }
                result => return result,
            }
        }
    }
}
