//! A log on a real folder, driven by a small duty cycle.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use corelane::clock::{self, Clock};
use corelane::ids::{FrameSeq, PartitionId, SegmentSeq, StripeId, TopicId};
use corelane::log::dma::DmaDisk;
use corelane::log::files::{StdFiles, segment_path};
use corelane::log::keeper::{KeeperOptions, KeeperThread};
use corelane::log::state::{Recovered, StripeState};
use corelane::log::storage::{LogStorage, StripeStart};
use corelane::log::stripe::{PartitionSpec, Processing, ReadAt, StripeOptions};
use corelane::storage::{
    Consumer, Offer, Outputs, Producer, ReadOutcome, Storage as _, StorageEvent, Visit,
};

use crate::Folder;

/// Offers between two flushes: what a busy duty cycle takes in, at the most.
const BURST: usize = 2048;

/// Bytes between two flushes: as much as one write takes, so that the device has the next one
/// while the one after that is being filled.
const BURST_BYTES: usize = 1 << 20;

/// How much of the log stays in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Roomy,
    /// Next to nothing, so that reads go to the device.
    Tight,
}

/// A record's value of `bytes` bytes with a key at its start.
pub fn record(bytes: usize) -> Bytes {
    let text = (0..bytes).map(|i| b'a' + (i * 7 % 26) as u8);
    text.collect::<Vec<u8>>().into()
}

#[derive(Default)]
struct Bell {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Bell {
    fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Gives the executor to the reactor until an operation has ended.
    async fn wait(&self) {
        poll_fn(|context| {
            if self.rung.replace(false) {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

pub struct Rig {
    pub log: LogStorage<DmaDisk>,
    _keeper: KeeperThread,
    bell: Rc<Bell>,
    clock: Clock,
    partitions: u32,
}

impl Rig {
    pub async fn start(
        folder: &Folder,
        segment_bytes: u32,
        partitions: u32,
        memory: Memory,
    ) -> io::Result<Rig> {
        let options = KeeperOptions {
            directory_id: 1,
            epoch: 1,
            segment_bytes: segment_bytes.into(),
            stripes: vec![StripeId(0)],
            spares_max: 0,
        };
        let files = StdFiles::new(folder.path());
        let (keeper, handles) = KeeperThread::spawn(files, options, Arc::new(|_| {}))?;
        let mut stripe = StripeOptions::new(segment_bytes, 1);
        if memory == Memory::Tight {
            stripe.tail_bytes = 1 << 20;
        }
        let starts = handles.into_iter().map(|keeper| StripeStart {
            recovered: Recovered {
                stripe: keeper.stripe(),
                state: StripeState::default(),
                segments: Vec::new(),
                frame_last: FrameSeq(0),
                recent: Vec::new(),
                torn: None,
            },
            partitions: (0..partitions).map(spec).collect(),
            options: stripe,
            keeper,
        });
        let bell = Rc::new(Bell::default());
        let ring = Rc::clone(&bell);
        let disk = DmaDisk::new(folder.path().to_owned(), Rc::new(move || ring.ring()))?;
        let mut rig = Rig {
            log: LogStorage::new(starts.collect(), disk),
            _keeper: keeper,
            bell,
            clock: Clock::new(),
            partitions,
        };
        rig.warm_up(folder).await;
        Ok(rig)
    }

    /// Waits until the keeper has written two segments, so that its zeros do not take bandwidth
    /// from what is measured.
    async fn warm_up(&mut self, folder: &Folder) {
        let value = record(100);
        self.one(&value).await;
        let next = folder.path().join(segment_path(StripeId(0), SegmentSeq(1)));
        while !next.exists() {
            glommio::timer::sleep(Duration::from_millis(10)).await;
            self.cycle(&mut |_| {});
        }
        for _ in 0..10 {
            self.one(&value).await;
        }
    }

    fn cycle(&mut self, on: &mut impl FnMut(StorageEvent)) -> usize {
        let now = self.clock.now();
        self.log.poll(now, on) + self.log.flush(now, on)
    }

    fn offer(&mut self, partition: u32, value: &Bytes) -> bool {
        let offer = Offer {
            partition: PartitionId(partition),
            value: value.clone(),
            key_start: 0,
            key_len: 16,
            taken: clock::monotonic(),
            trace: None,
            token: 0,
            seat: 0,
        };
        self.log.offer(offer).is_ok()
    }

    /// Offers one record and waits until it is durable. Nanoseconds until it was appended, and
    /// until it was durable.
    pub async fn one(&mut self, value: &Bytes) -> (u64, u64) {
        let start = clock::monotonic();
        while !self.offer(0, value) {
            glommio::timer::sleep(Duration::from_millis(1)).await;
            self.cycle(&mut |_| {});
        }
        let (mut appended, mut durable) = (None, None);
        loop {
            self.cycle(&mut |event| match event {
                StorageEvent::Appended(_) => appended = Some(clock::monotonic()),
                StorageEvent::Durable(_) => durable = Some(clock::monotonic()),
                StorageEvent::Written { .. } | StorageEvent::Group { .. } => {}
                StorageEvent::Sent { .. }
                | StorageEvent::Returned(_)
                | StorageEvent::Failed { .. } => panic!("the device failed"),
            });
            if let (Some(appended), Some(durable)) = (appended, durable) {
                return (appended.since(start), durable.since(start));
            }
            if self.log.awaits_look() {
                // As a core does: a kernel thread on this CPU may have to flush.
                rustix::thread::sched_yield();
            } else if appended.is_some() {
                self.bell.wait().await;
            } else {
                // No segment yet.
                glommio::timer::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Offers records as fast as they are taken. Seconds until all are durable.
    pub async fn bulk(&mut self, value: &Bytes, records: usize) -> f64 {
        let (mut offered, mut durable) = (0, 0);
        let mut turns: u32 = 0;
        let start = clock::monotonic();
        while durable < records {
            for _ in 0..BURST.min(BURST_BYTES / value.len()) {
                let partition = (offered / 64) as u32 % self.partitions;
                if offered == records || !self.offer(partition, value) {
                    break;
                }
                offered += 1;
            }
            let work = self.cycle(&mut |event| match event {
                StorageEvent::Appended(_)
                | StorageEvent::Written { .. }
                | StorageEvent::Group { .. } => {}
                StorageEvent::Durable(_) => durable += 1,
                StorageEvent::Sent { .. }
                | StorageEvent::Returned(_)
                | StorageEvent::Failed { .. } => panic!("the device failed"),
            });
            if self.log.awaits_look() {
                rustix::thread::sched_yield();
            }
            turns += 1;
            if turns.is_multiple_of(64) || (work == 0 && !self.log.awaits_look()) {
                // One trip through the reactor, for what else is under way. A sleep of zero is over at
                // once and makes none.
                glommio::timer::sleep(Duration::from_micros(1)).await;
            }
        }
        crate::seconds(start, clock::monotonic())
    }

    /// Reads every partition from its position to its end. Seconds, and bytes of values.
    pub async fn drain(&mut self) -> io::Result<(f64, usize)> {
        let outputs = Outputs::new(1 << 16);
        let mut bytes = 0;
        let start = clock::monotonic();
        while self.log.backlog() > 0 {
            let mut work = self.cycle(&mut |_| {});
            while let Some(partition) = self.log.next_ready() {
                let outcome = self.log.read(partition, &mut |record| {
                    bytes += record.value.len();
                    Visit::Continue
                });
                match outcome.map_err(|error| io::Error::other(error.to_string()))? {
                    ReadOutcome::Records(next) => {
                        let now = self.clock.now();
                        if self.log.commit(now, partition, next, &outputs).is_err() {
                            self.log.requeue(partition);
                            break;
                        }
                        work += 1;
                        self.log.requeue(partition);
                    }
                    ReadOutcome::Pending => {}
                    ReadOutcome::Empty => self.log.requeue(partition),
                }
            }
            if work == 0 {
                self.bell.wait().await;
            } else {
                glommio::timer::sleep(Duration::from_micros(1)).await;
            }
        }
        Ok((crate::seconds(start, clock::monotonic()), bytes))
    }
}

fn spec(partition: u32) -> PartitionSpec {
    PartitionSpec {
        id: PartitionId(partition),
        topic: TopicId(0),
        processing: Processing::Handler,
        read_at: ReadAt::Durable,
    }
}
