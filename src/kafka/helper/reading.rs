//! Where partitions stand when this core takes them over: the committed position, the end, the
//! lane's state, and the ids of the last records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{CALL_MAX, Reply, Worker};
use crate::ids::{Offset, UnixMillis};
use crate::kafka::native::{
    ConsumerEvent, ErrorClass, KafkaError, Message, NativeConsumer, TopicPartition, Wake,
};

/// Messages taken from the reader at a time.
const POLL_MAX: usize = 1024;

/// Ids in one [`History`], so that a core takes them in bounded pieces.
const HISTORY_IDS_MAX: usize = 1024;

/// Longest wait for messages between two looks at whether to give up.
const NAP: Duration = Duration::from_millis(100);

/// A partition to find out about.
#[derive(Debug)]
pub(in crate::kafka) struct OpenRequest {
    /// The core's number of the partition.
    pub part: u32,
    /// Tells this request from earlier ones for the same partition.
    pub turn: u32,
    /// The shard's topic.
    pub topic: String,
    /// The topic that holds the lanes' state.
    pub state_topic: String,
    /// The partition's number in both.
    pub index: i32,
}

/// Where a partition stands.
#[derive(Debug)]
pub(in crate::kafka) struct Opened {
    /// The core's number of the partition.
    pub part: u32,
    /// [`OpenRequest::turn`].
    pub turn: u32,
    /// The next record to process.
    pub position: Offset,
    /// The offset after the last record.
    pub end: Offset,
    /// The lane's state.
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Ids of records of a partition.
#[derive(Debug, Default)]
pub(in crate::kafka) struct History {
    /// The core's number of the partition.
    pub part: u32,
    /// The ids, one after another.
    keys: Vec<u8>,
    /// Length of each id in `keys`, and where its record lies.
    records: Vec<(u32, Offset, UnixMillis)>,
}

impl History {
    /// Each id with its record's place, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Offset, UnixMillis)> {
        let mut rest = &self.keys[..];
        self.records.iter().map(move |&(len, offset, timestamp)| {
            let (key, tail) = rest.split_at(len as usize);
            rest = tail;
            (key, offset, timestamp)
        })
    }

    fn push(&mut self, message: &Message) {
        let key = message.key();
        self.keys.extend_from_slice(key);
        // Kafka bounds a key below 4 GiB.
        let place = (key.len() as u32, message.offset(), message.timestamp());
        self.records.push(place);
    }
}

/// A stretch of a partition to read.
struct Stretch {
    part: u32,
    topic: String,
    index: i32,
    from: Offset,
    to: To,
}

/// How far a stretch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// Up to this offset.
    Offset(Offset),
    /// Up to the end, which is at this offset or after it, once no transaction is open there. A
    /// commit has the positions before the last of its other records: state that was read too early
    /// would be older than its position.
    StableEnd(Offset),
}

impl To {
    /// Whether a reader that meets an end has gone far enough; `high` is the high watermark of the
    /// leader's last answer, if there was one.
    ///
    /// An end is no proof by itself. A leader that was just elected gives out what its own, still
    /// old high watermark covers, and only when asked for the watermarks it waits for its followers
    /// (KIP-207). So the end counts from where the leader, when it was asked, said that it is.
    fn is_met(self, end: Offset, high: Option<Offset>) -> bool {
        match self {
            // What is left before it are control records.
            To::Offset(to) => end >= to,
            To::StableEnd(known) => end >= known && high.is_none_or(|high| end >= high),
        }
    }
}

impl Worker {
    pub(super) fn open(&self, requests: Vec<OpenRequest>) -> Result<Vec<Opened>, KafkaError> {
        let names: Vec<_> = requests
            .iter()
            .map(|r| (r.topic.clone(), r.index))
            .collect();
        let committed = self.persist(|| self.committed(&names))?;
        let mut reader = self.reader()?;
        let mut opened = BTreeMap::new();
        let (mut histories, mut states) = (Vec::new(), Vec::new());
        for (request, committed) in requests.into_iter().zip(committed) {
            let OpenRequest {
                part,
                turn,
                topic,
                state_topic,
                index,
            } = request;
            let (low, end) = self.watermarks(&reader, &topic, index)?;
            let most = i64::try_from(self.parts.history_records_max).unwrap_or(i64::MAX);
            histories.push(Stretch {
                part,
                topic,
                index,
                from: low.max(Offset(end.0.saturating_sub(most))),
                to: To::Offset(end),
            });
            let (from, stable) = self.watermarks(&reader, &state_topic, index)?;
            states.push(Stretch {
                part,
                topic: state_topic,
                index,
                from,
                to: To::StableEnd(stable),
            });
            // Without a committed position everything that is there is still to be processed; what
            // retention has taken cannot be.
            let position = committed.map_or(low, |at| at.max(low));
            let state = BTreeMap::new();
            opened.insert(
                part,
                Opened {
                    part,
                    turn,
                    position,
                    end,
                    state,
                },
            );
        }
        self.read(&mut reader, &states, |part, message| {
            let lane = opened.get_mut(&part).expect("asked for");
            let key = message.key().to_vec();
            // No value: the key was removed. A state's value always has bytes.
            match message.value() {
                [] => lane.state.remove(&key),
                value => lane.state.insert(key, value.to_vec()),
            };
        })?;
        let mut piece = History::default();
        self.read(&mut reader, &histories, |part, message| {
            if piece.part != part || piece.records.len() == HISTORY_IDS_MAX {
                self.replies
                    .send(Reply::History(std::mem::take(&mut piece)));
                piece.part = part;
            }
            piece.push(message);
        })?;
        self.replies.send(Reply::History(piece));
        Ok(opened.into_values().collect())
    }

    /// The committed positions of partitions.
    ///
    /// After a broker that stood still, librdkafka 2.12.1 may never find the group's coordinator
    /// again, and then every call of this client times out, although it reads and others are
    /// answered. So where it does, a client of its own asks.
    pub(super) fn committed(
        &self,
        names: &[(String, i32)],
    ) -> Result<Vec<Option<Offset>>, KafkaError> {
        match self.parts.consumer.committed(names, CALL_MAX) {
            Err(error) if error.class() == ErrorClass::Retry => {
                let reader = self.reader()?;
                reader.control().committed(names, CALL_MAX)
            }
            result => result,
        }
    }

    pub(super) fn reader(&self) -> Result<NativeConsumer, KafkaError> {
        let thread = std::thread::current();
        let wake: Wake = Arc::new(move || thread.unpark());
        (self.parts.make_reader)(wake)
    }

    fn watermarks(
        &self,
        reader: &NativeConsumer,
        topic: &str,
        index: i32,
    ) -> Result<(Offset, Offset), KafkaError> {
        let client = reader.control().client();
        self.persist(|| client.watermarks(topic, index, CALL_MAX))
    }

    /// Gives every message of the stretches to `each`, in order per partition.
    fn read(
        &self,
        reader: &mut NativeConsumer,
        stretches: &[Stretch],
        mut each: impl FnMut(u32, &Message),
    ) -> Result<(), KafkaError> {
        let mut open = BTreeMap::new();
        let has_any = |s: &&Stretch| !matches!(s.to, To::Offset(to) if to <= s.from);
        for stretch in stretches.iter().filter(has_any) {
            let topic = reader.add_topic(&stretch.topic)?;
            let partition = stretch.index;
            open.insert(TopicPartition { topic, partition }, stretch);
        }
        let starts: Vec<_> = open.iter().map(|(part, s)| (*part, s.from)).collect();
        reader.assign(&starts)?;
        while !open.is_empty() {
            let mut failure = None;
            let mut ends = Vec::new();
            let work = reader.poll(POLL_MAX, &mut |event| match event {
                ConsumerEvent::Message(message) => {
                    let part = message.part();
                    let Some(stretch) = open.get(&part) else {
                        return;
                    };
                    let To::Offset(to) = stretch.to else {
                        return each(stretch.part, &message);
                    };
                    if message.offset() < to {
                        each(stretch.part, &message);
                    }
                    if message.offset().plus(1) >= to {
                        open.remove(&part);
                    }
                }
                ConsumerEvent::End(part, end) => ends.push((part, end)),
                ConsumerEvent::Partition(_, error) => failure = Some(error),
                // The client mends its connections by itself.
                ConsumerEvent::Error(_)
                | ConsumerEvent::Assigned(_)
                | ConsumerEvent::Revoked(_)
                | ConsumerEvent::Lost(_)
                | ConsumerEvent::Committed { .. } => {}
            });
            for (part, end) in ends {
                let high = reader.cached_high(part);
                if open.get(&part).is_some_and(|s| s.to.is_met(end, high)) {
                    open.remove(&part);
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
            if self.give_up.load(Ordering::Acquire) {
                return Err(KafkaError::gave_up());
            }
            if work == 0 {
                std::thread::park_timeout(NAP);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Offset = Offset(20);
    const MORE: Offset = Offset(22);

    #[test]
    fn the_end_of_a_leader_that_is_behind_ends_nothing() {
        // The old leader said 22; the new one gives out 20 so far.
        assert!(!To::Offset(MORE).is_met(SOME, Some(SOME)));
        assert!(!To::StableEnd(MORE).is_met(SOME, Some(SOME)));
        assert!(To::Offset(MORE).is_met(MORE, Some(MORE)));
        assert!(To::StableEnd(MORE).is_met(MORE, Some(MORE)));
    }

    #[test]
    fn state_is_read_until_no_transaction_is_open() {
        assert!(!To::StableEnd(SOME).is_met(SOME, Some(MORE)));
        assert!(To::StableEnd(SOME).is_met(MORE, Some(MORE)));
        // Ids are records outside of transactions: nothing after the offset is waited for.
        assert!(To::Offset(SOME).is_met(SOME, Some(MORE)));
    }
}
