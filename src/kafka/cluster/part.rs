//! One partition on a cluster, as one core sees it: what was read ahead, how far processing has
//! come, and the lane's state.
//!
//! A partition is a lane of its own, so that its state can move with it to another core or node.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{Nanos, Offset, PartitionId};
use crate::kafka::native::{Message, TopicPartition, TopicRef};
use crate::storage::{Outputs, Record, Visit};
use crate::telemetry::TRACE_HEADER;

/// Moments of intake that are remembered until their records are read back, per partition. Where
/// nobody reads (another node processes the partition), the oldest are forgotten.
const TAKEN_MAX: usize = 16 << 10;

/// Whether this core processes the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No: another core or node does, or nobody yet.
    Away,
    /// It was assigned; the helper finds out where it stands.
    Opening,
    /// Yes.
    Open,
    /// It is given away: nothing more is processed, what is open is brought to its end.
    Closing,
}

/// A commit whose outputs are not settled yet.
#[derive(Debug)]
pub struct OpenCommit {
    /// The position that it commits.
    pub next: Offset,
    /// Outputs without a report yet (`at_least_once`).
    pub outstanding: u32,
    /// What its state changes have replaced, in order.
    undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// See the module.
pub struct Part {
    pub id: PartitionId,
    /// The shard's topic.
    pub topic: TopicRef,
    /// Its number there.
    pub index: i32,
    pub phase: Phase,
    /// Counts the times that it was opened.
    pub turn: u32,
    /// Whether the consumer reads it.
    pub is_read: bool,
    /// Read and not yet settled, in order, each with the moment of its arrival.
    messages: VecDeque<(Message, Nanos)>,
    /// The first message at or after the position.
    cursor: usize,
    /// The next record to process.
    pub position: Offset,
    /// The position of the last settled commit: where processing begins again.
    pub settled: Offset,
    /// `settled`, as of the last commit to the broker (`at_least_once`).
    pub reported: Offset,
    /// The offset after the last record that is known to be there.
    pub end: Offset,
    /// How far the consumer had come at the last look, control records included.
    pub met_end: Offset,
    /// Whether it is in the queue of ready partitions.
    pub queued: bool,
    /// The lane's state with every commit, open ones included.
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    open: VecDeque<OpenCommit>,
    /// The number of the first open commit; numbers are never used twice.
    first_open: u32,
    taken: VecDeque<(Offset, Nanos)>,
}

impl Part {
    pub fn new(id: PartitionId, topic: TopicRef, index: i32) -> Part {
        Part {
            id,
            topic,
            index,
            phase: Phase::Away,
            turn: 0,
            is_read: false,
            messages: VecDeque::new(),
            cursor: 0,
            position: Offset::ZERO,
            settled: Offset::ZERO,
            reported: Offset::ZERO,
            end: Offset::ZERO,
            met_end: Offset::ZERO,
            queued: false,
            state: BTreeMap::new(),
            open: VecDeque::new(),
            first_open: 0,
            taken: VecDeque::new(),
        }
    }

    /// Where it lies.
    pub fn place(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic,
            partition: self.index,
        }
    }

    /// Begins to be processed here, at `position`, with this state.
    pub fn open(&mut self, position: Offset, end: Offset, state: BTreeMap<Vec<u8>, Vec<u8>>) {
        self.clear();
        self.phase = Phase::Open;
        self.position = position;
        self.settled = position;
        self.reported = position;
        self.end = self.end.max(end);
        self.state = state;
    }

    /// Ends to be processed here. Returns the bytes of read-ahead messages that went.
    pub fn close(&mut self) -> usize {
        self.phase = Phase::Away;
        self.clear()
    }

    fn clear(&mut self) -> usize {
        let gone = self.messages.drain(..);
        let dropped = gone.map(|(message, _)| held_by(&message)).sum();
        self.cursor = 0;
        // What the consumer had met may be read again.
        self.met_end = Offset::ZERO;
        self.drop_open();
        self.state.clear();
        dropped
    }

    /// Takes a message that the consumer has read, if it is wanted. Returns the bytes that it holds.
    pub fn take(&mut self, message: Message, now: Nanos) -> usize {
        let next = message.offset().plus(1);
        let known = self.messages.back().map(|(last, _)| last.offset());
        let is_wanted = match self.phase {
            Phase::Open | Phase::Closing => {
                message.offset() >= self.settled && known.is_none_or(|last| last < message.offset())
            }
            Phase::Away | Phase::Opening => false,
        };
        if !is_wanted {
            return 0;
        }
        self.end = self.end.max(next);
        let held = held_by(&message);
        self.messages.push_back((message, now));
        held
    }

    /// Whether there is something to process.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Open && self.cursor < self.messages.len()
    }

    /// Whether everything that was read is processed, though more is known to be there.
    pub fn waits_for_more(&self) -> bool {
        let has_none = self.cursor == self.messages.len();
        self.phase == Phase::Open && has_none && self.position < self.end
    }

    /// Records that are there and not yet processed.
    pub fn backlog(&self) -> u64 {
        match self.phase {
            // Up to the end there may be nothing but control records.
            Phase::Open if self.waits_for_more() && self.met_end >= self.end => 0,
            Phase::Open => (self.end.0 - self.position.0).max(0) as u64,
            // Not known yet, but not nothing.
            Phase::Opening => 1,
            Phase::Away | Phase::Closing => 0,
        }
    }

    /// Visits the messages from the position on. Returns the offset after the last one visited;
    /// `None` where there is none.
    pub fn read(&mut self, visit: &mut impl FnMut(Record<'_>) -> Visit) -> Option<Offset> {
        let mut next = None;
        for place in self.cursor..self.messages.len() {
            let offset = self.messages[place].0.offset();
            let taken = self.taken_of(offset);
            let (message, arrived) = &self.messages[place];
            let record = Record {
                offset,
                timestamp: message.timestamp(),
                key: message.key(),
                value: message.value(),
                trace: trace_of(message),
                taken,
                seat: None,
                visible: Some(*arrived),
            };
            next = Some(offset.plus(1));
            if visit(record) == Visit::Stop {
                break;
            }
        }
        next
    }

    /// Notes when the record that has now got this offset was taken in.
    pub fn note_taken(&mut self, offset: Offset, taken: Nanos) {
        if self.phase != Phase::Open || offset < self.position {
            return;
        }
        if self.taken.len() == TAKEN_MAX {
            self.taken.pop_front();
        }
        self.taken.push_back((offset, taken));
    }

    fn taken_of(&mut self, offset: Offset) -> Option<Nanos> {
        while self.taken.front().is_some_and(|(o, _)| *o < self.settled) {
            self.taken.pop_front();
        }
        let place = self.taken.binary_search_by_key(&offset, |(o, _)| *o).ok()?;
        Some(self.taken[place].1)
    }

    /// Moves the position, with the outputs' state changes, as a new open commit.
    pub fn commit(&mut self, next: Offset, outputs: &Outputs, outstanding: u32) {
        let mut undo = Vec::new();
        for (key, value) in outputs.state_changes() {
            let before = match value {
                [] => self.state.remove(key),
                _ => self.state.insert(key.to_vec(), value.to_vec()),
            };
            undo.push((key.to_vec(), before));
        }
        self.position = next;
        while self
            .messages
            .get(self.cursor)
            .is_some_and(|(m, _)| m.offset() < next)
        {
            self.cursor += 1;
        }
        self.open.push_back(OpenCommit {
            next,
            outstanding,
            undo,
        });
    }

    /// The number that the next open commit gets.
    pub fn next_number(&self) -> u32 {
        self.first_open.wrapping_add(self.open.len() as u32)
    }

    /// Open commits.
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// The open commit of this number, if it is still open.
    pub fn open_mut(&mut self, number: u32) -> Option<&mut OpenCommit> {
        let place = number.wrapping_sub(self.first_open) as usize;
        self.open.get_mut(place)
    }

    /// Settles the first `commits` open commits. Returns the bytes of read-ahead messages that went.
    pub fn settle(&mut self, commits: usize) -> usize {
        for _ in 0..commits {
            let commit = self.open.pop_front().expect("the caller has counted them");
            self.settled = commit.next;
            self.first_open = self.first_open.wrapping_add(1);
        }
        let settled = self.settled;
        let done = self.messages.partition_point(|(m, _)| m.offset() < settled);
        self.cursor -= done;
        let gone = self.messages.drain(..done);
        gone.map(|(message, _)| held_by(&message)).sum()
    }

    /// How many of the first open commits have every report.
    pub fn complete(&self) -> usize {
        self.open.iter().take_while(|c| c.outstanding == 0).count()
    }

    /// Takes back every open commit: position and state are those of the last settled one.
    pub fn undo(&mut self) {
        while let Some(commit) = self.open.pop_back() {
            self.first_open = self.first_open.wrapping_add(1);
            for (key, before) in commit.undo.into_iter().rev() {
                match before {
                    Some(value) => self.state.insert(key, value),
                    None => self.state.remove(&key),
                };
            }
        }
        self.position = self.settled;
        self.cursor = 0;
    }

    fn drop_open(&mut self) {
        self.first_open = self.first_open.wrapping_add(self.open.len() as u32);
        self.open.clear();
    }
}

/// The header of a traced record; the last one counts, as everywhere in Kafka.
fn trace_of(message: &Message) -> Option<&[u8]> {
    let named = |(name, _): &(&[u8], &[u8])| *name == TRACE_HEADER.as_bytes();
    message
        .headers()
        .filter(named)
        .last()
        .map(|(_, value)| value)
}

/// What a message takes beside its key and value, about.
const MESSAGE_OVERHEAD_BYTES: usize = 256;

fn held_by(message: &Message) -> usize {
    message.key().len() + message.value().len() + MESSAGE_OVERHEAD_BYTES
}
