//! The line between the cores and the administrator, who alone changes topics and their settings.
//!
//! Owns: what is said in both directions, and the bounded queues it is said through. Never does:
//! deciding anything; blocking a core. Runs on: [`CoreEnd`] on a core, [`AdminEnd`] on the
//! administrator's housekeeping thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use super::view::View;
use crate::ids::{CoreId, PartitionId, StripeId};
use crate::log::stripe::PartitionSpec;
use crate::log::stripe::TopicRetention;
use crate::mesh::Bells;

/// Requests that may wait for the administrator, of all cores together.
const CALLS_MAX: usize = 256;

/// News that may wait for one core.
const NEWS_MAX: usize = 64;

/// How long the administrator looks away from a core that has no room for news, or that has not
/// applied a view yet, before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(5);

/// A request that a core hands to the administrator. `Metadata` asks to create those of its topics
/// that are missing, as far as that is allowed; its answer is empty, and the core answers from the
/// view that it has by then.
#[derive(Debug)]
pub struct AdminCall {
    /// The core that asks, and its own number of the request.
    pub to: (CoreId, u64),
    /// The listener that it came in at: an index of [`View::endpoints`].
    pub listener: usize,
    /// Version of the API.
    pub version: i16,
    /// What is asked for.
    pub request: Box<RequestKind>,
}

/// A partition to begin with, and where.
#[derive(Clone, Copy, Debug)]
pub struct AddedPartition {
    /// Its stripe, whose owner begins with it.
    pub stripe: StripeId,
    /// What the stripe is told of it.
    pub spec: PartitionSpec,
    /// How long it keeps what it holds.
    pub retention: TopicRetention,
}

/// What the administrator tells a core.
#[derive(Debug)]
pub enum AdminNews {
    /// The end of an [`AdminCall`].
    Answer {
        /// The number that the core gave.
        ticket: u64,
        /// What the client is told.
        response: Box<ResponseKind>,
    },
    /// The catalog has changed, durably. Of the lists each core takes what lies in its own stripes.
    View {
        /// What clients may know from now on.
        view: Arc<View>,
        /// Partitions to begin with.
        added: Arc<[AddedPartition]>,
        /// Partitions to end.
        dropped: Arc<[PartitionId]>,
        /// Partitions that keep their records for another time from now on.
        retention: Arc<[(PartitionId, TopicRetention)]>,
        /// To be told once the core has done all of that.
        done: SyncSender<()>,
    },
}

/// A core's end of the line.
#[derive(Debug)]
pub struct CoreEnd {
    calls: SyncSender<Mail>,
    news: Arc<ArrayQueue<AdminNews>>,
}

impl CoreEnd {
    /// Hands a request over.
    ///
    /// # Errors
    /// The request itself: too many wait already, or the administrator has stopped.
    pub fn call(&self, call: AdminCall) -> Result<(), AdminCall> {
        match self.calls.try_send(Mail::Call(call)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(mail) | TrySendError::Disconnected(mail)) => match mail {
                Mail::Call(call) => Err(call),
                Mail::Stop => unreachable!("a call was sent"),
            },
        }
    }

    /// The next piece of news, in the order in which they were told.
    pub fn take(&self) -> Option<AdminNews> {
        self.news.pop()
    }

    /// Whether there is news.
    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }
}

#[derive(Debug)]
enum Mail {
    Call(AdminCall),
    Stop,
}

/// Ends the administrator's waiting, from another thread.
#[derive(Clone, Debug)]
pub struct StopAdmin {
    stopping: Arc<AtomicBool>,
    calls: SyncSender<Mail>,
}

impl StopAdmin {
    /// Nothing is waited for any more from now on.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // With a full queue the administrator is awake, and looks at the flag before it waits.
        let _ = self.calls.try_send(Mail::Stop);
    }
}

/// The administrator is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is stopping")]
pub struct Stopping;

/// The administrator's end of the line.
#[derive(Debug)]
pub struct AdminEnd {
    calls: Receiver<Mail>,
    news: Vec<Arc<ArrayQueue<AdminNews>>>,
    bells: Bells,
    stopping: Arc<AtomicBool>,
}

/// Makes a line between `cores` cores and the administrator. Core i is woken by the bell i.
///
/// # Panics
/// There are fewer bells than cores.
pub fn line(cores: u16, bells: &Bells) -> (AdminEnd, Vec<CoreEnd>, StopAdmin) {
    assert!(bells.len() >= usize::from(cores), "documented: a bell each");
    let (sender, calls) = mpsc::sync_channel(CALLS_MAX);
    let stopping = Arc::new(AtomicBool::new(false));
    let news: Vec<_> = (0..cores)
        .map(|_| Arc::new(ArrayQueue::new(NEWS_MAX)))
        .collect();
    let ends = news
        .iter()
        .map(|news| CoreEnd {
            calls: sender.clone(),
            news: Arc::clone(news),
        })
        .collect();
    let stop = StopAdmin {
        stopping: Arc::clone(&stopping),
        calls: sender,
    };
    let end = AdminEnd {
        calls,
        news,
        bells: Arc::clone(bells),
        stopping,
    };
    (end, ends, stop)
}

/// What a core is to change with a new view; see [`AdminNews::View`].
#[derive(Clone, Debug)]
pub struct Change {
    /// What clients may know from now on.
    pub view: Arc<View>,
    /// Partitions to begin with.
    pub added: Vec<AddedPartition>,
    /// Partitions to end.
    pub dropped: Vec<PartitionId>,
    /// Partitions that keep their records for another time from now on.
    pub retention: Vec<(PartitionId, TopicRetention)>,
}

impl AdminEnd {
    /// Waits for the next request. None: it is time to stop.
    pub fn next(&self) -> Option<AdminCall> {
        if self.stopping.load(Ordering::Acquire) {
            return None;
        }
        match self.calls.recv() {
            Ok(Mail::Call(call)) => Some(call),
            Ok(Mail::Stop) | Err(_) => None,
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// The node stopped before there was room for the answer.
    pub fn answer(&self, to: (CoreId, u64), response: Box<ResponseKind>) -> Result<(), Stopping> {
        let (core, ticket) = to;
        self.tell(core.index(), AdminNews::Answer { ticket, response })
    }

    /// Tells every core of a change, and waits until all have made it.
    ///
    /// # Errors
    /// The node stopped before.
    pub fn publish(&self, change: Change) -> Result<(), Stopping> {
        let cores = self.news.len();
        let (sender, done) = mpsc::sync_channel(cores);
        let added: Arc<[AddedPartition]> = change.added.into();
        let dropped: Arc<[PartitionId]> = change.dropped.into();
        let retention: Arc<[(PartitionId, TopicRetention)]> = change.retention.into();
        for core in 0..cores {
            let news = AdminNews::View {
                view: Arc::clone(&change.view),
                added: Arc::clone(&added),
                dropped: Arc::clone(&dropped),
                retention: Arc::clone(&retention),
                done: sender.clone(),
            };
            self.tell(core, news)?;
        }
        drop(sender);
        let mut missing = cores;
        while missing > 0 {
            match done.recv_timeout(PATIENCE) {
                Ok(()) => missing -= 1,
                Err(mpsc::RecvTimeoutError::Timeout) => self.go_on()?,
                // A core has ended and dropped its news unread.
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Stopping),
            }
        }
        Ok(())
    }

    fn tell(&self, core: usize, mut news: AdminNews) -> Result<(), Stopping> {
        let Some(queue) = self.news.get(core) else {
            return Err(Stopping);
        };
        while let Err(back) = queue.push(news) {
            news = back;
            self.bells[core].ring();
            std::thread::sleep(PATIENCE);
            self.go_on()?;
        }
        self.bells[core].ring();
        Ok(())
    }

    fn go_on(&self) -> Result<(), Stopping> {
        match self.stopping.load(Ordering::Acquire) {
            true => Err(Stopping),
            false => Ok(()),
        }
    }
}

/// Whether a request is one for the administrator; of others it knows nothing, and does not answer.
pub fn takes(request: &RequestKind) -> bool {
    matches!(
        request,
        RequestKind::Metadata(_)
            | RequestKind::CreateTopics(_)
            | RequestKind::DeleteTopics(_)
            | RequestKind::CreatePartitions(_)
            | RequestKind::DescribeConfigs(_)
            | RequestKind::AlterConfigs(_)
            | RequestKind::IncrementalAlterConfigs(_)
    )
}

#[cfg(test)]
mod tests;
