//! Fetch: each owner reads its partitions; what is not there yet is waited for.
//!
//! Owns: a request while it waits, and its answer. Never does: copying records on this core; polling. An
//! owner tells when there is more. Runs on: the connection's core, per request.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::ids::{CoreId, Nanos, Offset};
use crate::log::disk::Disk;
use crate::log::storage::ReadEnd;
use crate::wire::fetch::{FetchResponse, FetchView, Fetched, Isolation, TopicRef};

use super::super::core::{Around, Broker};
use super::super::desk::Answer;
use super::super::message::{Read, ReadAsk, ReadDone, Ticket, Watch};
use super::super::underway::{Client, Work};
use super::super::view::{TopicKind, View};

/// A request that waits for many bytes is not read again for each few that arrive.
const READ_AGAIN_NS: u64 = 2_000_000;

/// The longest that a request waits, whatever it asks for, in milliseconds.
const WAIT_MS_MAX: i32 = 60_000;

/// The least that is read for a request although other answers take all memory.
const BYTES_MIN: usize = 64 << 10;

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Owners are reading; `Woken` says that there is more since.
    Reading(News),
    /// Too little was there.
    Parked,
    /// Too little was there, and there is more since; it is read at its next reminder.
    ReadAgain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    Woken,
}

/// A request under way.
#[derive(Debug)]
pub(in crate::broker) struct Fetch {
    frame: Bytes,
    body: usize,
    /// By owner.
    reads: Vec<(CoreId, Vec<Read>)>,
    /// By partition, in the request's order.
    results: Vec<ReadDone>,
    bytes_min: usize,
    bytes_max: usize,
    end: ReadEnd,
    deadline: Nanos,
    read_at: Nanos,
    left: usize,
    state: State,
}

impl Fetch {
    fn bytes(&self) -> usize {
        self.results.iter().map(|result| result.records.len()).sum()
    }

    /// Whether the answer need not wait.
    fn is_complete(&self) -> bool {
        self.bytes() >= self.bytes_min || self.results.iter().any(|result| result.error != 0)
    }
}

impl Broker {
    /// Takes a Fetch request.
    pub(in crate::broker) fn fetch<D: Disk>(
        &mut self,
        client: Client,
        frame: Bytes,
        body: usize,
        around: &mut Around<'_, D>,
    ) {
        let Ok(view) = FetchView::parse(&frame, body, client.version) else {
            return self.answer(&client, Answer::HangUp);
        };
        let now = around.now.mono;
        let wait_ns = u64::from(view.wait_ms_max.clamp(0, WAIT_MS_MAX).unsigned_abs()) * 1_000_000;
        let room = self
            .options
            .bytes_max
            .saturating_sub(self.desk.answer_bytes());
        let mut fetch = Fetch {
            body,
            reads: Vec::new(),
            results: Vec::new(),
            bytes_min: usize::try_from(view.bytes_min).unwrap_or(0),
            bytes_max: usize::try_from(view.bytes_max)
                .unwrap_or(0)
                .min(self.options.fetch_bytes_max)
                .min(room.max(BYTES_MIN)),
            end: match view.isolation {
                Isolation::Uncommitted => ReadEnd::Visible,
                Isolation::Committed => ReadEnd::Stable,
            },
            deadline: now.after(wait_ns),
            read_at: now,
            left: 0,
            state: State::Parked,
            frame: frame.clone(),
        };
        plan(&view, &self.view, &mut fetch);
        // More than can be sent is not waited for.
        fetch.bytes_min = fetch.bytes_min.min(fetch.bytes_max);
        let deadline = fetch.deadline;
        let ticket = self.underway.insert(Work::Fetch(client, fetch));
        self.read_parts(ticket, around);
        if self.underway.get_mut(ticket).is_some() {
            self.underway.remind(deadline, ticket);
        }
    }

    /// Asks the owners.
    fn read_parts<D: Disk>(&mut self, ticket: Ticket, around: &mut Around<'_, D>) {
        let Some(Work::Fetch(_, fetch)) = self.underway.get_mut(ticket) else {
            return;
        };
        fetch.left = fetch.reads.len();
        fetch.state = State::Reading(News::None);
        fetch.read_at = around.now.mono;
        let waits = !fetch.is_complete() && fetch.deadline > around.now.mono;
        let watch = match waits {
            true => Watch::Below(fetch.bytes_min),
            false => Watch::No,
        };
        let (bytes_max, end) = (fetch.bytes_max, fetch.end);
        let reads = fetch.reads.clone();
        if reads.is_empty() {
            return self.read_ended(ticket, around);
        }
        let asker = self.asker(ticket);
        for (owner, reads) in reads {
            let ask = ReadAsk {
                asker,
                reads,
                bytes_max,
                end,
                watch,
            };
            self.ask_read(owner, ask, around);
        }
    }

    /// Takes what one owner has read.
    pub(in crate::broker) fn fetch_read<D: Disk>(
        &mut self,
        ticket: Ticket,
        done: Vec<ReadDone>,
        around: &mut Around<'_, D>,
    ) {
        let Some(Work::Fetch(_, fetch)) = self.underway.get_mut(ticket) else {
            return;
        };
        for part in done {
            let index = part.index as usize;
            fetch.results[index] = part;
        }
        fetch.left -= 1;
        if fetch.left == 0 {
            self.read_ended(ticket, around);
        }
    }

    fn read_ended<D: Disk>(&mut self, ticket: Ticket, around: &mut Around<'_, D>) {
        let Some(Work::Fetch(_, fetch)) = self.underway.get_mut(ticket) else {
            return;
        };
        if fetch.is_complete() || fetch.deadline <= around.now.mono || self.desk.is_closing() {
            return self.finish_fetch(ticket);
        }
        let woken = fetch.state == State::Reading(News::Woken);
        fetch.state = State::Parked;
        if woken {
            self.fetch_woken(ticket, around);
        }
    }

    /// An owner has more.
    pub(in crate::broker) fn fetch_woken<D: Disk>(
        &mut self,
        ticket: Ticket,
        around: &mut Around<'_, D>,
    ) {
        let Some(Work::Fetch(_, fetch)) = self.underway.get_mut(ticket) else {
            return;
        };
        match fetch.state {
            State::Reading(_) => fetch.state = State::Reading(News::Woken),
            State::Parked if fetch.bytes_min <= 1 => self.read_parts(ticket, around),
            State::Parked => {
                fetch.state = State::ReadAgain;
                let at = fetch.read_at.after(READ_AGAIN_NS).min(fetch.deadline);
                self.underway.remind(at, ticket);
            }
            State::ReadAgain => {}
        }
    }

    /// A request's time has come.
    pub(in crate::broker) fn fetch_due<D: Disk>(
        &mut self,
        ticket: Ticket,
        around: &mut Around<'_, D>,
    ) {
        let Some(Work::Fetch(_, fetch)) = self.underway.get_mut(ticket) else {
            return;
        };
        match fetch.state {
            // It ends when what is asked for has come.
            State::Reading(_) => {}
            State::ReadAgain => self.read_parts(ticket, around),
            State::Parked if fetch.deadline <= around.now.mono => self.finish_fetch(ticket),
            State::Parked => {}
        }
    }

    /// Answers with what is there.
    pub(in crate::broker) fn finish_fetch(&mut self, ticket: Ticket) {
        if let Some(Work::Fetch(client, fetch)) = self.underway.remove(ticket) {
            let answer = response(&client, fetch);
            self.answer(&client, answer);
        }
    }
}

/// Which owner reads what; what cannot be read has its error at once.
fn plan(request: &FetchView<'_>, view: &View, fetch: &mut Fetch) {
    for topic in request.topics() {
        let (found, missing) = match topic.topic {
            TopicRef::Name(name) => (view.topic(name), ResponseError::UnknownTopicOrPartition),
            TopicRef::Id(id) => (view.topic_by_uuid(id), ResponseError::UnknownTopicId),
        };
        for partition in topic.partitions {
            let index = fetch.results.len() as u32;
            let home = found.map(|topic| (topic.kind, topic.home(partition.index)));
            let error = match home {
                None => Some(missing),
                Some((_, None)) => Some(ResponseError::UnknownTopicOrPartition),
                // The one leader has epoch 0.
                Some(_) if partition.leader_epoch > 0 => Some(ResponseError::UnknownLeaderEpoch),
                Some(_) => None,
            };
            let nothing = match home {
                Some((TopicKind::Inlet, _)) => 0,
                Some(_) | None => -1,
            };
            fetch.results.push(ReadDone {
                index,
                error: error.map_or(0, |error| error.code()),
                high_watermark: nothing,
                stable: nothing,
                log_start: nothing,
                aborted: Vec::new(),
                records: Bytes::new(),
            });
            if let (None, Some((TopicKind::Plain | TopicKind::Shard, Some(home)))) = (error, home) {
                let read = Read {
                    index,
                    partition: home.id,
                    from: Offset(partition.offset),
                    bytes_max: usize::try_from(partition.bytes_max).unwrap_or(0),
                };
                match fetch
                    .reads
                    .iter_mut()
                    .find(|(owner, _)| *owner == home.owner)
                {
                    Some((_, reads)) => reads.push(read),
                    None => fetch.reads.push((home.owner, vec![read])),
                }
            }
        }
    }
}

/// The answer: headers of our own and, between them, the records as the owners gave them.
fn response(client: &Client, mut fetch: Fetch) -> Answer {
    let Ok(view) = FetchView::parse(&fetch.frame, fetch.body, client.version) else {
        return Answer::HangUp;
    };
    let mut out = Vec::with_capacity(256);
    let mut places = Vec::new();
    let mut left = fetch.bytes_max;
    let topics = view.topics();
    let mut results = fetch.results.iter_mut();
    let (version, to) = (client.version, client.correlation_id);
    let mut response = FetchResponse::begin(&mut out, version, to, 0, topics.len());
    for topic in topics {
        response.topic(topic.topic, topic.partitions.len());
        for (partition, result) in topic.partitions.zip(&mut results) {
            // Several owners together may have read more than was asked for.
            let records = std::mem::take(&mut result.records);
            let fits = records.len() <= left || places.is_empty();
            let records = if fits { records } else { Bytes::new() };
            left = left.saturating_sub(records.len());
            let committed = view.isolation == Isolation::Committed;
            let at = response.partition(&Fetched {
                index: partition.index,
                error: result.error,
                high_watermark: result.high_watermark,
                last_stable_offset: result.stable,
                log_start_offset: result.log_start,
                aborted: committed.then_some(&result.aborted[..]),
                records_bytes: records.len(),
            });
            if !records.is_empty() {
                places.push((at, records));
            }
        }
    }
    response.finish();
    let head = Bytes::from(out);
    let mut parts = Vec::with_capacity(places.len() * 2 + 1);
    let mut sent = 0;
    for (at, records) in places {
        parts.push(head.slice(sent..at));
        parts.push(records);
        sent = at;
    }
    parts.push(head.slice(sent..));
    Answer::Frame(parts)
}
