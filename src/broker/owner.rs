//! What is asked of a partition's owner, and what it keeps waiting.
//!
//! Owns: answers that wait until something is durable, appends that wait for space, reads that wait for
//! the device, and who wants to be told of news. Never does: waiting itself; a look at all of it is
//! part of each cycle. Runs on: the core that owns the partitions.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::clock::Now;
use crate::exactly_once::producers::{ProducerError, Verdict};
use crate::ids::{Acks, FrameSeq, Nanos, Offset, PartitionId, UnixMillis};
use crate::log::disk::Disk;
use crate::log::storage::{
    AppendError, AtLeastOne, BatchesRead, DeleteError, Fate, LogStorage, Mark, Placed,
    ReadBatchesError, ReadBounds, ReadEnd, TimeLookup,
};

use crate::wire::fetch::Aborted;

use super::coordinator::Decision;
use super::message::{
    Appended, Asker, FoundOffset, PartAsk, PartDone, PartOp, Read, ReadAsk, ReadDone, Tell, Watch,
};

/// An answer that is given once a frame is durable.
#[derive(Debug)]
struct Waiting {
    frame: FrameSeq,
    asker: Asker,
    index: u32,
    done: PartDone,
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
            Tried::Durable(mark, done) => self.when_durable(mark, asker, index, done),
            Tried::Full(ask) => self.blocked.push_back((ask, now.mono)),
            Tried::Later(ask) => {
                storage.watch(ask.partition);
                self.looking.push(ask);
            }
        }
    }

    /// Takes a batch of a client of this core: as [`Owner::part`], but the batch is shared only where
    /// it has to wait, not once for each of a request's partitions.
    pub fn append<D: Disk>(
        &mut self,
        (asker, index): (Asker, u32),
        append: Append<'_>,
        now: Now,
        storage: &mut LogStorage<D>,
    ) {
        if !storage.owns(append.partition) || !self.blocked.is_empty() {
            return self.part(append.ask(asker, index), now, storage);
        }
        let batch = &append.frame[append.records.clone()];
        match storage.append_batch(now, append.partition, batch) {
            Ok(placed) => match append.acks {
                Acks::All => self.when_durable(placed.mark, asker, index, appended(&placed)),
                Acks::Leader | Acks::None => self.finish(asker, index, appended(&placed)),
            },
            Err(AppendError::Full) => {
                let ask = append.ask(asker, index);
                self.blocked.push_back((ask, now.mono));
            }
            Err(error) => self.finish(asker, index, refused(&error)),
        }
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

    fn when_durable(&mut self, mark: Mark, asker: Asker, index: u32, done: PartDone) {
        let lane = usize::from(mark.lane);
        if self.durable.len() <= lane {
            self.durable.resize_with(lane + 1, VecDeque::new);
        }
        self.durable[lane].push_back(Waiting {
            frame: mark.frame,
            asker,
            index,
            done,
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
                let lost = match storage.fate(mark) {
                    Fate::Underway => break,
                    Fate::Durable => false,
                    Fate::Lost => true,
                };
                let Some(waiting) = self.durable[lane].pop_front() else {
                    break;
                };
                let done = match lost {
                    true => storage_failed(waiting.done),
                    false => waiting.done,
                };
                self.finish(waiting.asker, waiting.index, done);
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
                Tried::Durable(mark, done) => self.when_durable(mark, asker, index, done),
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
        (Ok(placed), Acks::All) => Tried::Durable(placed.mark, appended(&placed)),
        (Ok(placed), Acks::Leader | Acks::None) => Tried::Done(appended(&placed)),
        (Err(AppendError::Full), _) => Tried::Full(ask),
        (Err(error), _) => Tried::Done(refused(&error)),
    }
}

fn appended(placed: &Placed) -> PartDone {
    PartDone::Appended(Appended {
        error: 0,
        base_offset: placed.base_offset.0,
        log_start: placed.log_start.0,
    })
}

fn refused(error: &AppendError) -> PartDone {
    PartDone::Appended(Appended::refused(code(error)))
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

/// What a read waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    Nothing,
    Device,
}

/// Reads one partition. `whole` says that nothing was found yet, so that a first batch counts
/// whatever its length.
fn read_one<D: Disk>(
    read: &Read,
    left: usize,
    whole: bool,
    end: ReadEnd,
    storage: &mut LogStorage<D>,
) -> (ReadDone, Waits) {
    let mut done = ReadDone {
        index: read.index,
        error: 0,
        high_watermark: -1,
        stable: -1,
        log_start: -1,
        aborted: Vec::new(),
        records: Bytes::new(),
    };
    if !storage.owns(read.partition) {
        done.error = ResponseError::UnknownTopicOrPartition.code();
        return (done, Waits::Nothing);
    }
    let ends = storage.ends(read.partition);
    done.high_watermark = ends.visible.0;
    done.stable = ends.stable.0;
    done.log_start = ends.start.0;
    if read.from < ends.start || read.from > ends.next {
        done.error = ResponseError::OffsetOutOfRange.code();
        return (done, Waits::Nothing);
    }
    let bounds = ReadBounds {
        bytes_max: read.bytes_max.min(left),
        end,
        at_least_one: match whole {
            true => AtLeastOne::Yes,
            false => AtLeastOne::No,
        },
    };
    let mut records = Vec::new();
    match storage.read_batches(read.partition, read.from, bounds, &mut records) {
        Ok(BatchesRead::Batches { next }) => {
            if end == ReadEnd::Stable {
                storage.aborted(read.partition, read.from, next, &mut |producer, first| {
                    done.aborted.push(Aborted {
                        producer_id: producer,
                        first_offset: first.0,
                    });
                });
            }
            done.records = records.into();
            (done, Waits::Nothing)
        }
        Ok(BatchesRead::Empty) => (done, Waits::Nothing),
        Ok(BatchesRead::Pending) => (done, Waits::Device),
        Err(error) => {
            tracing::error!(partition = %read.partition, %error, "a read failed");
            done.error = ResponseError::KafkaStorageError.code();
            (done, Waits::Nothing)
        }
    }
}

#[cfg(test)]
mod tests;
