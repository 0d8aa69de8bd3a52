//! The embedded log behind the engine's seam: the stripes of one core as a [`Producer`] and a
//! [`Consumer`]. A lane is a stripe.
//!
//! Owns: which partition lives where on this core, and the queue of ready partitions. Never does:
//! waiting. Runs on: the core.

mod broker;
mod words;

use std::collections::VecDeque;

use super::catalog::Catalog;
use super::disk::{Completion, Disk, Done, Op};
use super::keeper::KeeperHandle;
use super::state::Recovered;
use super::stripe::{Core, PartitionSpec, Processing, ReadAt, Slot, Stripe, StripeOptions};
use crate::clock::Now;
use crate::ids::{Acks, Nanos, Offset, PartitionId, StripeId, TopicId, UnixMillis};
use crate::storage::{
    Commit, CommitRefusal, Consumer, Hindrances, LaneNews, Offer, Outputs, Producer, ReadError,
    ReadOutcome, Record, Refusal, Storage, StorageCounts, StorageError, StorageEvent,
    StorageMemory, Visit,
};

pub use words::{
    AppendError, AtLeastOne, BatchesRead, DeleteError, Ends, Fate, Mark, Placed, ReadBatchesError,
    ReadBounds, ReadEnd, Submission, TimeLookup,
};

/// What a stripe is made of at start.
#[derive(Debug)]
pub struct StripeStart {
    /// What recovery found.
    pub recovered: Recovered,
    /// Its partitions, in ascending order within each topic.
    pub partitions: Vec<PartitionSpec>,
    /// How it behaves.
    pub options: StripeOptions,
    /// Its line to the keeper.
    pub keeper: KeeperHandle,
}

/// The partitions of a stripe, with what `role` says of each one's topic.
pub fn partition_specs(
    catalog: &Catalog,
    stripe: StripeId,
    role: impl Fn(TopicId) -> (Processing, ReadAt),
) -> Vec<PartitionSpec> {
    // Ids ascend with the index within a topic, since a topic's partitions are made together.
    catalog
        .partitions_in(stripe)
        .filter_map(|id| {
            let topic = catalog.partition(id)?.topic;
            let (processing, read_at) = role(topic);
            Some(PartitionSpec {
                id,
                topic,
                processing,
                read_at,
            })
        })
        .collect()
}

/// Where a partition lives.
#[derive(Clone, Copy, Debug)]
struct Place {
    lane: u16,
    slot: Slot,
}

/// The stripes of one core.
#[derive(Debug)]
pub struct LogStorage<D: Disk> {
    stripes: Vec<Stripe<D>>,
    core: Core<D>,
    /// By partition; none where another core owns it.
    places: Vec<Option<Place>>,
}

impl<D: Disk> LogStorage<D> {
    /// Goes on where recovery ended. Lanes are numbered in the order of `starts`.
    pub fn new(starts: Vec<StripeStart>, disk: D) -> LogStorage<D> {
        let mut places: Vec<Option<Place>> = Vec::new();
        for (lane, start) in (0u16..).zip(&starts) {
            for (slot, spec) in (0u32..).zip(&start.partitions) {
                if places.len() <= spec.id.index() {
                    places.resize(spec.id.index() + 1, None);
                }
                let slot = Slot(slot);
                places[spec.id.index()] = Some(Place { lane, slot });
            }
        }
        let partitions = starts.iter().map(|s| s.partitions.len()).sum();
        let mut core = Core {
            disk,
            // A partition is in it at most once, so that it never grows.
            ready: VecDeque::with_capacity(partitions),
            backlog: 0,
            woken: Vec::new(),
            counts: StorageCounts::default(),
        };
        let stripes = (0u16..)
            .zip(starts)
            .map(|(lane, start)| Stripe::new(lane, start, &mut core))
            .collect();
        LogStorage {
            stripes,
            core,
            places,
        }
    }

    fn place(&self, partition: PartitionId) -> Place {
        self.places
            .get(partition.index())
            .copied()
            .flatten()
            .expect("the caller asks only for partitions that this core owns")
    }

    fn stripe(&mut self, partition: PartitionId) -> (&mut Stripe<D>, Slot, &mut Core<D>) {
        let place = self.place(partition);
        let stripe = &mut self.stripes[usize::from(place.lane)];
        (stripe, place.slot, &mut self.core)
    }

    /// Offsets of a partition: the first one kept, and those after the last visible and the last
    /// appended record.
    pub fn offsets(&self, partition: PartitionId) -> Offsets {
        let place = self.place(partition);
        self.stripes[usize::from(place.lane)].offsets(place.slot)
    }

    /// [`Consumer::read`] from any offset at or after the first one kept. After
    /// [`ReadOutcome::Pending`] ask again once [`Producer::poll`] has done something.
    ///
    /// # Errors
    /// Damaged or unreadable storage, or an offset that retention has taken.
    pub fn read_from(
        &mut self,
        partition: PartitionId,
        from: Offset,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<ReadOutcome, ReadError> {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.read(slot, from, core, visit)
    }

    /// Whether a stripe waits for a segment to go on in, as it does while no space is left.
    pub fn is_blocked(&self) -> bool {
        self.stripes.iter().any(Stripe::is_blocked)
    }

    /// The disk, for tests that drive it.
    pub fn disk_mut(&mut self) -> &mut D {
        &mut self.core.disk
    }

    fn complete(
        &mut self,
        completion: Completion<D::Chunk>,
        now: Now,
        on: &mut impl FnMut(StorageEvent),
    ) {
        let Completion { tag, result } = completion;
        let stripe = &mut self.stripes[usize::from(tag.lane)];
        let core = &mut self.core;
        match (tag.op, result) {
            (Op::Open(segment), Ok(Done::Opened(file))) => stripe.on_opened(segment, file, core),
            (Op::Open(segment), Err(error)) => stripe.on_open_failed(segment, &error, core, on),
            (Op::Write(frame), Ok(Done::Written)) => {
                stripe.on_written(frame, Ok(()), now, core, on);
            }
            (Op::Write(frame), Err(error)) => stripe.on_written(frame, Err(error), now, core, on),
            (Op::Read { segment, position }, Ok(Done::Read(chunk))) => {
                stripe.on_read(segment, position, Ok(chunk), core);
            }
            (Op::Read { segment, position }, Err(error)) => {
                stripe.on_read(segment, position, Err(error.to_string()), core);
            }
            (Op::Alarm, _) => stripe.on_alarm(),
            (Op::Open(_) | Op::Write(_) | Op::Read { .. }, Ok(_)) => {
                unreachable!("a disk completes an operation with what was asked for")
            }
        }
    }
}

/// Offsets of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The first offset that retention has left.
    pub start: Offset,
    /// The offset after the last visible record.
    pub visible: Offset,
    /// The offset after the last durable record.
    pub durable: Offset,
    /// The offset that the next record gets.
    pub next: Offset,
}

impl<D: Disk> Producer for LogStorage<D> {
    fn offer(&mut self, offer: Offer) -> Result<(), (Offer, Refusal)> {
        let (stripe, slot, _) = self.stripe(offer.partition);
        stripe.offer(slot, offer)
    }

    fn flush(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize {
        let mut work = 0;
        for stripe in &mut self.stripes {
            work += stripe.append_offers(now, &mut self.core, on);
            work += stripe.start_write(now, &mut self.core);
        }
        work
    }

    fn append(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize {
        let core = &mut self.core;
        let stripes = self.stripes.iter_mut();
        stripes.map(|it| it.append_offers(now, core, on)).sum()
    }

    fn poll(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize {
        let mut work = 0;
        while let Some(completion) = self.core.disk.poll() {
            self.complete(completion, now, on);
            work += 1;
        }
        for stripe in &mut self.stripes {
            work += stripe.talk_to_keeper(&mut self.core, on);
            work += stripe.start_write(now, &mut self.core);
            work += stripe.witness_when_idle(now, &mut self.core);
            work += stripe.clean(now);
            work += stripe.retain(now, &mut self.core);
            stripe.expire_chunks(now, &mut self.core);
        }
        work
    }

    fn is_busy(&self) -> bool {
        self.stripes.iter().any(Stripe::is_busy)
    }

    fn is_available(&self, _partition: PartitionId) -> bool {
        true
    }

    fn acks_max(&self) -> Acks {
        Acks::All
    }

    fn error(&self) -> Option<StorageError> {
        self.stripes.iter().find_map(Stripe::error).cloned()
    }
}

impl<D: Disk> Storage for LogStorage<D> {
    /// Whether every stripe has a segment to write to and one to go on in, so that the keeper
    /// does not write zeros while the first records come.
    fn is_prepared(&self) -> bool {
        self.stripes.iter().all(Stripe::is_prepared)
    }

    fn awaits_kernel(&self) -> bool {
        self.core.disk.awaits_executor()
    }

    fn awaits_look(&self) -> bool {
        self.core.disk.awaits_look()
    }

    fn has_news(&self) -> bool {
        false
    }

    fn next_wake(&self) -> Option<Nanos> {
        None
    }

    fn take_counts(&mut self) -> StorageCounts {
        std::mem::take(&mut self.core.counts)
    }

    fn hindrances(&self) -> Hindrances {
        let without_space = self.stripes.iter().filter(|s| s.is_without_space());
        Hindrances {
            stripes_without_space: without_space.count() as u32,
            clusters_unreachable: 0,
        }
    }

    fn memory(&self) -> StorageMemory {
        let sum = |of: fn(&Stripe<D>) -> usize| self.stripes.iter().map(of).sum::<usize>();
        StorageMemory {
            frames: self.core.disk.spare_bytes() + sum(Stripe::frame_bytes),
            chunks: sum(Stripe::chunk_bytes),
            index: sum(Stripe::index_bytes),
        }
    }

    /// Writes what is still open, then a marker that witnesses it.
    fn finish(&mut self, now: Now) -> usize {
        let core = &mut self.core;
        self.stripes.iter_mut().map(|s| s.finish(now, core)).sum()
    }
}

impl<D: Disk> Consumer for LogStorage<D> {
    fn lanes(&self) -> usize {
        self.stripes.len()
    }

    fn lane(&self, partition: PartitionId) -> usize {
        usize::from(self.place(partition).lane)
    }

    fn next_ready(&mut self) -> Option<PartitionId> {
        let partition = self.core.ready.pop_front()?;
        let (stripe, slot, _) = self.stripe(partition);
        stripe.taken_from_queue(slot);
        Some(partition)
    }

    fn requeue(&mut self, partition: PartitionId) {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.requeue(slot, core);
    }

    fn read(
        &mut self,
        partition: PartitionId,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<ReadOutcome, ReadError> {
        let from = self.position(partition);
        self.read_from(partition, from, visit)
    }

    fn commit(
        &mut self,
        now: Now,
        partition: PartitionId,
        next: Offset,
        outputs: &Outputs,
    ) -> Result<Commit, CommitRefusal> {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.commit(now, slot, next, outputs, core)?;
        // What a crash takes back, it takes back with everything after it, the handler included.
        Ok(Commit::Settled)
    }

    fn lane_news(&mut self) -> Option<LaneNews> {
        None
    }

    /// None: recovery has read the ids before the core starts.
    fn history(&mut self, _: &mut impl FnMut(&[u8], PartitionId, Offset, UnixMillis)) -> usize {
        0
    }

    fn position(&self, partition: PartitionId) -> Offset {
        let place = self.place(partition);
        self.stripes[usize::from(place.lane)].position(place.slot)
    }

    fn backlog(&self) -> u64 {
        self.core.backlog
    }

    fn lag(&self, partition: PartitionId) -> u64 {
        let place = self.places.get(partition.index()).copied().flatten();
        place.map_or(0, |place| {
            self.stripes[usize::from(place.lane)].lag(place.slot)
        })
    }

    fn state(&self, lane: usize, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.stripes[lane].state(visit);
    }
}
