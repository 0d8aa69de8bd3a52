//! What is asked of a partition's owner, and what it keeps waiting.
//!
//! Owns: answers that wait until something is durable, appends that wait for space, reads that wait for
//! the device, and who wants to be told of news. Never does: waiting itself; a look at all of it is
//! part of each cycle. Runs on: the core that owns the partitions.

mod read;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::clock::Now;
use crate::exactly_once::producers::{ProducerError, Verdict};
use crate::ids::{Acks, FrameSeq, Nanos, Offset, PartitionId, UnixMillis};
use crate::log::disk::Disk;
use crate::log::storage::{
    AppendError, DeleteError, Fate, LogStorage, Mark, Placed, ReadBatchesError, ReadEnd, TimeLookup,
};

use super::coordinator::Decision;
use super::message::{
    Appended, Asker, FoundOffset, FrameEnd, PartAsk, PartDone, PartOp, ReadAsk, Tell, Watch,
};

use read::{Waits, read_one};

/// An answer that is given once a frame is durable.
#[derive(Debug)]
struct Waiting {
    frame: FrameSeq,
    asker: Asker,
    share: Share,
}

/// Which share of a request waits for a frame.
#[derive(Debug)]
enum Share {
    /// One part, whose answer is this.
    Part(u32, PartDone),
    /// All parts that lie in the frame. The asker, on this core, has their answers already.
    Frame,
}

/// The owner's side of one core.
#[derive(Debug)]
pub(super) struct Owner {
    patience_ns: u64,
    /// By lane, in the order of frames.
    durable: Vec<VecDeque<Waiting>>,
    /// Appends that found no room, in order, and since when.
    blocked: VecDeque<(PartAsk, Nanos)>,
    reading: Vec<ReadAsk>,
    looking: Vec<PartAsk>,
    watchers: HashMap<PartitionId, Vec<Asker>>,
    /// Answers that leave at the end of the turn.
    finished: Vec<(Asker, Tell)>,
}

/// A batch within a request.
#[derive(Debug)]
pub(super) struct Append<'a> {
    /// Where to.
    pub partition: PartitionId,
    /// The request.
    pub frame: &'a Bytes,
    /// Where in it the batch lies.
    pub records: Range<usize>,
    /// When it counts as done.
    pub acks: Acks,
    /// Bytes of batches that the request brings to this core after this one, more or less.
    pub rest: usize,
}

/// What became of a batch of this core's own client.
#[derive(Debug)]
pub(super) enum Took {
    /// Nothing is waited for.
    Done(Appended),
    /// It is done once this is durable, for which [`Owner::when_settled`] waits.
    Durable(Mark, Appended),
    /// [`Tell::Part`] says it.
    Later,
}

impl Append<'_> {
    /// The same in a message.
    fn ask(self, asker: Asker, index: u32) -> PartAsk {
        PartAsk {
            asker,
            index,
            partition: self.partition,
            op: PartOp::Append {
                batch: self.frame.slice(self.records),
                acks: self.acks,
            },
        }
    }
}

/// What became of something that was tried.
enum Tried {
    Done(PartDone),
    /// Its answer waits for a frame.
    Durable(Mark, PartDone),
    /// No room for it now.
    Full(PartAsk),
    /// The device must read first.
    Later(PartAsk),
}

impl Owner {
    pub fn new(patience_ns: u64) -> Owner {
        Owner {
            patience_ns,
            durable: Vec::new(),
            blocked: VecDeque::new(),
            reading: Vec::new(),
            looking: Vec::new(),
            watchers: HashMap::new(),
            finished: Vec::new(),
        }
    }

    /// The next answer that is ready.
    pub fn next_finished(&mut self) -> Option<(Asker, Tell)> {
        self.finished.pop()
    }

    /// Whether something waits for the device.
    pub fn is_busy(&self) -> bool {
        !self.blocked.is_empty() || self.durable.iter().any(|lane| !lane.is_empty())
    }

    /// When waiting for space ends for the one that waits longest.
    pub fn next_wake(&self) -> Option<Nanos> {
        let (_, since) = self.blocked.front()?;
        Some(since.after(self.patience_ns))
    }

    /// Looks at everything that waits. Returns the amount of work done.
    pub fn turn<D: Disk>(&mut self, now: Now, storage: &mut LogStorage<D>) -> usize {
        let work = self.settle(storage) + self.retry_blocked(now, storage);
        work + self.wake(now, storage)
    }

    /// Takes something to be done with one partition.
    pub fn part<D: Disk>(&mut self, ask: PartAsk, now: Now, storage: &mut LogStorage<D>) {
        if !storage.owns(ask.partition) {
            let done = PartDone::Gone(ResponseError::UnknownTopicOrPartition.code());
            return self.finish(ask.asker, ask.index, done);
        }
        let appends = matches!(ask.op, PartOp::Append { .. } | PartOp::Mark { .. });
        // What comes later must not overtake what waits for space.
        if appends && !self.blocked.is_empty() {
            return self.blocked.push_back((ask, now.mono));
        }
        let (asker, index) = (ask.asker, ask.index);
        match attempt(ask, now, storage) {
            Tried::Done(done) => self.finish(asker, index, done),
            Tried::Durable(mark, done) => {
                self.when_durable(mark, asker, Share::Part(index, done));
            }
            Tried::Full(ask) => self.blocked.push_back((ask, now.mono)),
            Tried::Later(ask) => {
                storage.watch(ask.partition);
                self.looking.push(ask);
            }
        }
    }

    /// Takes a batch of a client of this core: as [`Owner::part`], but what is known at once is
    /// returned, and the batch is shared only where it has to wait: a request may have thousands.
    pub fn append<D: Disk>(
        &mut self,
        (asker, index): (Asker, u32),
        append: Append<'_>,
        now: Now,
        storage: &mut LogStorage<D>,
    ) -> Took {
        if !storage.owns(append.partition) || !self.blocked.is_empty() {
            self.part(append.ask(asker, index), now, storage);
            return Took::Later;
        }
        let batch = &append.frame[append.records.clone()];
        match storage.append_batch_of(now, append.partition, batch, append.rest) {
            Ok(placed) => match append.acks {
                Acks::All => Took::Durable(placed.mark, appended(&placed)),
                Acks::Leader | Acks::None => Took::Done(appended(&placed)),
            },
            Err(AppendError::Full) => {
                let ask = append.ask(asker, index);
                self.blocked.push_back((ask, now.mono));
                Took::Later
            }
            Err(error) => Took::Done(Appended::refused(code(&error))),
        }
    }

    /// Tells a request of this core, by [`Tell::Settled`], what becomes of a frame that holds parts
    /// of it: once for all of them.
    pub fn when_settled(&mut self, mark: Mark, asker: Asker) {
        self.when_durable(mark, asker, Share::Frame);
    }

    /// Takes the reads of one Fetch.
    pub fn read<D: Disk>(&mut self, ask: ReadAsk, storage: &mut LogStorage<D>) {
        let mut pending = false;
        let mut failed = false;
        let mut bytes = 0;
        let mut done = Vec::with_capacity(ask.reads.len());
        for read in &ask.reads {
            let left = ask.bytes_max.saturating_sub(bytes);
            let (part, waits) = read_one(read, left, bytes == 0, ask.end, storage);
            bytes += part.records.len();
            pending |= waits == Waits::Device;
            failed |= part.error != 0;
            done.push(part);
        }
        if pending && !failed && bytes == 0 {
            for read in &ask.reads {
                if storage.owns(read.partition) {
                    storage.watch(read.partition);
                }
            }
            return self.reading.push(ask);
        }
        if let Watch::Below(enough) = ask.watch
            && bytes < enough
            && !failed
        {
            for read in &ask.reads {
                if storage.owns(read.partition) {
                    self.watch(read.partition, ask.asker);
                    storage.watch(read.partition);
                }
            }
        }
        let ticket = ask.asker.ticket;
        self.finished.push((ask.asker, Tell::Read { ticket, done }));
    }

    /// A place holds one request at a time: an entry for an earlier one in it is replaced, so that
    /// the list is no longer than there are requests under way.
    fn watch(&mut self, partition: PartitionId, asker: Asker) {
        let watchers = self.watchers.entry(partition).or_default();
        let same = |known: &&mut Asker| {
            known.core == asker.core && known.ticket.place == asker.ticket.place
        };
        match watchers.iter_mut().find(same) {
            Some(known) => *known = asker,
            None => watchers.push(asker),
        }
    }

    fn when_durable(&mut self, mark: Mark, asker: Asker, share: Share) {
        let lane = usize::from(mark.lane);
        if self.durable.len() <= lane {
            self.durable.resize_with(lane + 1, VecDeque::new);
        }
        self.durable[lane].push_back(Waiting {
            frame: mark.frame,
            asker,
            share,
        });
    }

    fn finish(&mut self, asker: Asker, index: u32, done: PartDone) {
        let ticket = asker.ticket;
        let tell = Tell::Part {
            ticket,
            index,
            done,
        };
        self.finished.push((asker, tell));
    }

    /// Gives the answers that waited for frames.
    fn settle<D: Disk>(&mut self, storage: &LogStorage<D>) -> usize {
        let mut work = 0;
        for lane in 0..self.durable.len() {
            while let Some(front) = self.durable[lane].front() {
                let mark = Mark {
                    lane: lane as u16,
                    frame: front.frame,
                };
                let end = match storage.fate(mark) {
                    Fate::Underway => break,
                    Fate::Durable => FrameEnd::Durable,
                    Fate::Lost => FrameEnd::Lost,
                };
                let Some(Waiting { asker, share, .. }) = self.durable[lane].pop_front() else {
                    break;
                };
                match (share, end) {
                    (Share::Part(index, done), FrameEnd::Durable) => {
                        self.finish(asker, index, done);
                    }
                    (Share::Part(index, done), FrameEnd::Lost) => {
                        self.finish(asker, index, storage_failed(done));
                    }
                    (Share::Frame, end) => {
                        let ticket = asker.ticket;
                        let tell = Tell::Settled { ticket, mark, end };
                        self.finished.push((asker, tell));
                    }
                }
                work += 1;
            }
        }
        work
    }

    fn retry_blocked<D: Disk>(&mut self, now: Now, storage: &mut LogStorage<D>) -> usize {
        let mut work = 0;
        while let Some((ask, since)) = self.blocked.pop_front() {
            let (asker, index) = (ask.asker, ask.index);
            match attempt(ask, now, storage) {
                Tried::Done(done) => self.finish(asker, index, done),
                Tried::Durable(mark, done) => {
                    self.when_durable(mark, asker, Share::Part(index, done));
                }
                Tried::Full(_) if now.mono.since(since) >= self.patience_ns => {
                    let error = ResponseError::KafkaStorageError.code();
                    self.finish(asker, index, PartDone::Appended(Appended::refused(error)));
                }
                Tried::Full(ask) | Tried::Later(ask) => {
                    self.blocked.push_front((ask, since));
                    break;
                }
            }
            work += 1;
        }
        work
    }

    /// Tells those who wait for news of partitions, and reads again what waited for the device.
    fn wake<D: Disk>(&mut self, now: Now, storage: &mut LogStorage<D>) -> usize {
        let mut work = 0;
        let Owner {
            watchers, finished, ..
        } = self;
        storage.take_woken(&mut |partition| {
            work += 1;
            for asker in watchers
                .get_mut(&partition)
                .into_iter()
                .flat_map(|w| w.drain(..))
            {
                let ticket = asker.ticket;
                finished.push((asker, Tell::Woken { ticket }));
            }
        });
        if work > 0 {
            for ask in std::mem::take(&mut self.reading) {
                self.read(ask, storage);
            }
            for ask in std::mem::take(&mut self.looking) {
                self.part(ask, now, storage);
            }
        }
        work
    }
}

/// Tries what is asked. The partition is this core's.
fn attempt<D: Disk>(ask: PartAsk, now: Now, storage: &mut LogStorage<D>) -> Tried {
    let partition = ask.partition;
    match &ask.op {
        PartOp::Append { batch, acks } => {
            let acks = *acks;
            placed(storage.append_batch(now, partition, batch), acks, ask)
        }
        &PartOp::Mark {
            producer_id,
            producer_epoch,
            decision,
        } => {
            let decision = match decision {
                Decision::Commit => Verdict::Commit,
                Decision::Abort => Verdict::Abort,
            };
            let end = storage.append_marker(now, partition, producer_id, producer_epoch, decision);
            placed(end, Acks::All, ask)
        }
        PartOp::Earliest => at(storage.ends(partition).start),
        &PartOp::Latest(end) => {
            let ends = storage.ends(partition);
            at(match end {
                ReadEnd::Visible => ends.visible,
                ReadEnd::Stable => ends.stable,
            })
        }
        &PartOp::AtTime(time) => looked_up(storage.offset_for_time(partition, time), ask),
        PartOp::MaxTimestamp => looked_up(storage.offset_of_max_timestamp(partition), ask),
        &PartOp::DeleteBefore(before) => delete(before, now, ask, storage),
        PartOp::Producers => {
            let mut producers = Vec::new();
            storage.producers(partition, &mut |summary| producers.push(summary));
            Tried::Done(PartDone::Producers(producers))
        }
        PartOp::Size => Tried::Done(PartDone::Size(storage.bytes(partition))),
    }
}

fn delete<D: Disk>(before: Offset, now: Now, ask: PartAsk, storage: &mut LogStorage<D>) -> Tried {
    let ends = storage.ends(ask.partition);
    // -1 stands for the high watermark.
    let before = match before.0 {
        -1 => ends.visible,
        _ => before,
    };
    if before < Offset::ZERO {
        return found(ResponseError::OffsetOutOfRange.code(), -1, -1);
    }
    match storage.delete_records(now, ask.partition, before) {
        Ok((start, mark)) => Tried::Durable(
            mark,
            PartDone::Offset(FoundOffset {
                error: 0,
                offset: start.0,
                timestamp: -1,
            }),
        ),
        Err(DeleteError::Append(AppendError::Full)) => Tried::Full(ask),
        Err(DeleteError::Append(error)) => found(code(&error), -1, -1),
        Err(DeleteError::OutOfRange { .. }) => {
            found(ResponseError::OffsetOutOfRange.code(), -1, -1)
        }
    }
}

fn placed(result: Result<Placed, AppendError>, acks: Acks, ask: PartAsk) -> Tried {
    match (result, acks) {
        (Ok(placed), Acks::All) => {
            Tried::Durable(placed.mark, PartDone::Appended(appended(&placed)))
        }
        (Ok(placed), Acks::Leader | Acks::None) => {
            Tried::Done(PartDone::Appended(appended(&placed)))
        }
        (Err(AppendError::Full), _) => Tried::Full(ask),
        (Err(error), _) => Tried::Done(PartDone::Appended(Appended::refused(code(&error)))),
    }
}

fn appended(placed: &Placed) -> Appended {
    Appended {
        error: 0,
        base_offset: placed.base_offset.0,
        log_start: placed.log_start.0,
    }
}

fn found(error: i16, offset: i64, timestamp: i64) -> Tried {
    Tried::Done(PartDone::Offset(FoundOffset {
        error,
        offset,
        timestamp,
    }))
}

fn at(offset: Offset) -> Tried {
    found(0, offset.0, -1)
}

fn looked_up(lookup: Result<TimeLookup, ReadBatchesError>, ask: PartAsk) -> Tried {
    let lookup = match lookup {
        Ok(lookup) => lookup,
        Err(error) => {
            tracing::error!(partition = %ask.partition, %error, "a search by time failed");
            return found(ResponseError::KafkaStorageError.code(), -1, -1);
        }
    };
    match lookup {
        TimeLookup::Found {
            offset,
            timestamp: UnixMillis(timestamp),
        } => found(0, offset.0, timestamp),
        TimeLookup::None => found(0, -1, -1),
        TimeLookup::Pending => Tried::Later(ask),
    }
}

/// The same answer after the frame it waited for was lost.
fn storage_failed(done: PartDone) -> PartDone {
    let error = ResponseError::KafkaStorageError.code();
    match done {
        PartDone::Appended(_) => PartDone::Appended(Appended::refused(error)),
        PartDone::Offset(_) => PartDone::Offset(FoundOffset {
            error,
            offset: -1,
            timestamp: -1,
        }),
        PartDone::Producers(_) | PartDone::Size(_) | PartDone::Gone(_) => PartDone::Gone(error),
    }
}

/// Kafka's error for a refused append.
pub(super) fn code(error: &AppendError) -> i16 {
    use ResponseError as E;
    match error {
        AppendError::Full | AppendError::Poisoned => E::KafkaStorageError,
        AppendError::TooLarge { .. } => E::MessageTooLarge,
        AppendError::Deleted => E::UnknownTopicOrPartition,
        AppendError::Invalid(invalid) => return invalid_code(invalid),
        AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => {
            E::OutOfOrderSequenceNumber
        }
        AppendError::Producer(ProducerError::InvalidProducerEpoch { .. }) => {
            E::InvalidProducerEpoch
        }
        AppendError::Producer(ProducerError::InvalidTxnState { .. }) => E::InvalidTxnState,
    }
    .code()
}

pub(super) fn invalid_code(error: &crate::wire::BatchError) -> i16 {
    use crate::wire::BatchError as B;
    match error {
        B::Short { .. } | B::Crc { .. } => ResponseError::CorruptMessage,
        B::Magic(_) | B::Field { .. } | B::Record { .. } | B::Trailing(_) | B::Compressed(_) => {
            ResponseError::InvalidRecord
        }
    }
    .code()
}

#[cfg(test)]
mod tests;
