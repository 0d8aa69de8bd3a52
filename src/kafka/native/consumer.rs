//! A consumer that is polled, a batch at a time.
//!
//! Owns: one client, and the messages between librdkafka and the caller. Never does: wait, commit
//! or move a position by itself, answer a rebalance. Runs on: one core after it was made.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rdkafka::bindings as rd;

use super::client::Client;
use super::conf::{ClientConf, Kind};
use super::error::{KafkaError, code2, code5, text_of};
use super::group::{self, Report};
use super::list::{Entry, List};
use super::membership::ConsumerControl;
use super::message::Message;
use super::topics::{TopicPartition, TopicRef, Topics};
use crate::ids::Offset;

/// A consumer of one cluster. Dropping it does not leave its group, which notices after the
/// session's timeout ([`ConsumerControl::close`] leaves), and waits a few seconds at most for
/// librdkafka's threads; drop it on a housekeeping thread.
pub struct NativeConsumer {
    topics: Topics,
    batch: Batch,
    client: Arc<Client>,
    /// One thread at a time: the batch belongs to it.
    _not_sync: PhantomData<Cell<()>>,
}

/// What a poll reports.
pub enum ConsumerEvent {
    /// A message.
    Message(Message),
    /// Of the client as a whole: all brokers down, not authenticated, fatal.
    Error(KafkaError),
    /// Of one partition: it is gone, not allowed, or a batch in it cannot be read.
    Partition(TopicPartition, KafkaError),
    /// Everything before this offset was handed over; what comes next is not written yet. Told
    /// once for each end (`enable.partition.eof`). Not to be used where partitions may be paused, as
    /// a group's are while it rebalances: librdkafka 2.12.1 then goes on one offset after the end,
    /// since `rd_kafka_consume_batch_queue` takes the end for a message.
    End(TopicPartition, Offset),
    /// The group gives these to this member, in addition to what it has. To be answered by
    /// [`NativeConsumer::incremental_assign`], now or later.
    Assigned(Vec<TopicPartition>),
    /// The group takes these away. To be answered by [`NativeConsumer::incremental_unassign`], now
    /// or later, when their positions are committed.
    Revoked(Vec<TopicPartition>),
    /// As [`ConsumerEvent::Revoked`], but others may have them already: nothing can be committed.
    Lost(Vec<TopicPartition>),
    /// The outcome of [`NativeConsumer::commit_async`].
    Committed {
        /// What was to be committed.
        parts: Vec<(TopicPartition, Offset)>,
        /// Whether it is.
        result: Result<(), KafkaError>,
    },
}

/// Messages taken from librdkafka at once.
const BATCH_MAX: usize = 1024;

impl NativeConsumer {
    /// Makes the client. Threads start, so this belongs on a housekeeping thread.
    pub fn new(conf: ClientConf) -> Result<NativeConsumer, KafkaError> {
        let client = conf.start(Kind::Consumer)?;
        Ok(NativeConsumer {
            topics: Topics::new(Arc::clone(&client)),
            batch: Batch::new(),
            client,
            _not_sync: PhantomData,
        })
    }

    /// The topic of this name, added if it is new to the client. Asks no broker.
    pub fn add_topic(&mut self, name: &str) -> Result<TopicRef, KafkaError> {
        self.topics.add(name)
    }

    /// The name of `topic`. Panics for a number of another client.
    pub fn topic_name(&self, topic: TopicRef) -> &str {
        self.topics.name(topic)
    }

    /// Reads exactly these partitions, each from its offset. Replaces what was read before.
    pub fn assign(&mut self, parts: &[(TopicPartition, Offset)]) -> Result<(), KafkaError> {
        let list = self.list(parts.iter().map(|(part, offset)| (*part, Some(*offset))));
        // SAFETY: client and list are live; the list is copied.
        KafkaError::check(unsafe {
            code2(rd::rd_kafka_assign)(self.client.as_ptr(), list.as_ptr())
        })
    }

    /// Joins the group for these topics; assignments come as events.
    pub fn subscribe(&mut self, topics: &[TopicRef]) -> Result<(), KafkaError> {
        const ANY: i32 = -1;
        let list = self.list(topics.iter().map(|topic| {
            let part = TopicPartition {
                topic: *topic,
                partition: ANY,
            };
            (part, None)
        }));
        // SAFETY: client and list are live; the list is copied.
        KafkaError::check(unsafe {
            code2(rd::rd_kafka_subscribe)(self.client.as_ptr(), list.as_ptr())
        })
    }

    /// Takes over partitions of [`ConsumerEvent::Assigned`], each from its offset.
    pub fn incremental_assign(
        &mut self,
        parts: &[(TopicPartition, Offset)],
    ) -> Result<(), KafkaError> {
        let list = self.list(parts.iter().map(|(part, offset)| (*part, Some(*offset))));
        // SAFETY: client and list are live; the list is copied, the result ours.
        unsafe {
            KafkaError::take(rd::rd_kafka_incremental_assign(
                self.client.as_ptr(),
                list.as_ptr(),
            ))
        }
    }

    /// Gives partitions of [`ConsumerEvent::Revoked`] or [`ConsumerEvent::Lost`] away. No message
    /// of theirs is delivered afterwards.
    pub fn incremental_unassign(&mut self, parts: &[TopicPartition]) -> Result<(), KafkaError> {
        let list = self.list(parts.iter().map(|part| (*part, None)));
        // SAFETY: client and list are live; the list is copied, the result ours.
        unsafe {
            KafkaError::take(rd::rd_kafka_incremental_unassign(
                self.client.as_ptr(),
                list.as_ptr(),
            ))
        }
    }

    /// Reads on from `to`. Returns at once; no older message is delivered afterwards. A partition
    /// that is not assigned is left as it is, without an error.
    pub fn seek(&mut self, part: TopicPartition, to: Offset) -> Result<(), KafkaError> {
        let list = self.list(std::iter::once((part, Some(to))));
        const AT_ONCE: i32 = 0;
        // SAFETY: client and list are live; the list is used during the call only, since with a
        // timeout of 0 librdkafka works on copies; the result is ours.
        unsafe {
            KafkaError::take(rd::rd_kafka_seek_partitions(
                self.client.as_ptr(),
                list.as_ptr(),
                AT_ONCE,
            ))
        }
    }

    /// Hands up to `messages_max` messages and message errors on, then whatever else happened, and
    /// returns how many events there were. Never waits. Has to be called at least once in
    /// `max.poll.interval.ms` by a member of a group.
    pub fn poll(&mut self, messages_max: usize, on: &mut impl FnMut(ConsumerEvent)) -> usize {
        let mut count = 0;
        let mut taken = 0;
        self.client.shared().lower();
        while taken < messages_max {
            let size = (messages_max - taken).min(BATCH_MAX);
            let filled = self.batch.fill(&self.client, size);
            taken += filled;
            while let Some(message) = self.batch.next() {
                count += 1;
                on(self.message_event(message));
            }
            if filled < size {
                break;
            }
        }
        if self.client.shared().group.has_reports() {
            for report in self.client.shared().group.take() {
                count += 1;
                let event = self.report_event(report);
                on(event);
            }
        }
        // Also short of the bound something may be left: librdkafka stops early at some of its
        // own operations.
        if !self.client.is_queue_empty() {
            self.client.shared().leave();
        }
        count
    }

    fn message_event(&mut self, message: OwnMessage) -> ConsumerEvent {
        let raw = message.0.as_ptr();
        // SAFETY: the message is live and ours. Its fields are read one by one, the error as a
        // number.
        let (code, handle, partition) = unsafe {
            (
                (&raw const (*raw).err).cast::<i32>().read(),
                (*raw).rkt,
                (*raw).partition,
            )
        };
        let error = (code != 0).then(|| {
            // SAFETY: the message is live; its text is copied.
            KafkaError::new(code, unsafe { text_of(rd::rd_kafka_message_errstr(raw)) })
        });
        if handle.is_null() {
            let error = error.unwrap_or_else(|| {
                KafkaError::invalid("librdkafka delivered a message of no topic".to_owned())
            });
            return ConsumerEvent::Error(error);
        }
        // SAFETY: the handle is a topic of this client, held by the message.
        let topic = match unsafe { self.topics.find(handle) } {
            Ok(topic) => topic,
            Err(unknown) => return ConsumerEvent::Error(unknown),
        };
        let part = TopicPartition { topic, partition };
        match error {
            Some(error) if error.is_end() => {
                // SAFETY: the message is live; its offset is a plain field.
                let end = unsafe { (*raw).offset };
                ConsumerEvent::End(part, Offset(end))
            }
            Some(error) => ConsumerEvent::Partition(part, error),
            // SAFETY: the message has no error, is of this client, and nobody owns it any more.
            None => ConsumerEvent::Message(unsafe {
                Message::new(message.release(), part, Arc::clone(&self.client))
            }),
        }
    }

    fn report_event(&mut self, report: Report) -> ConsumerEvent {
        match report {
            Report::Error(error) => ConsumerEvent::Error(error),
            Report::Assigned(entries) => ConsumerEvent::Assigned(self.parts(&entries)),
            Report::Revoked(entries) => ConsumerEvent::Revoked(self.parts(&entries)),
            Report::Lost(entries) => ConsumerEvent::Lost(self.parts(&entries)),
            Report::Committed(entries, result) => {
                let offsets: Vec<Offset> =
                    entries.iter().map(|entry| Offset(entry.offset)).collect();
                let parts = self.parts(&entries).into_iter().zip(offsets).collect();
                ConsumerEvent::Committed { parts, result }
            }
        }
    }

    fn parts(&mut self, entries: &[Entry]) -> Vec<TopicPartition> {
        entries
            .iter()
            .map(|entry| TopicPartition {
                topic: self
                    .topics
                    .add(&entry.topic)
                    .expect("librdkafka takes a name that it gave"),
                partition: entry.partition,
            })
            .collect()
    }

    /// False only if there is nothing to poll. One atomic load.
    pub fn has_news(&self) -> bool {
        let shared = self.client.shared();
        shared.has_news() || shared.group.has_reports()
    }

    /// The end of the partition as the last fetch saw it: the offset after the newest record,
    /// committed or not. None before the first fetch. Asks no broker.
    pub fn cached_high(&self, part: TopicPartition) -> Option<Offset> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is live, the name ends with a zero, the rest are places for results.
        let code = unsafe {
            code5(rd::rd_kafka_get_watermark_offsets)(
                self.client.as_ptr(),
                self.topics.c_name(part.topic).as_ptr(),
                part.partition,
                &mut low,
                &mut high,
            )
        };
        (code == 0 && high >= 0).then_some(Offset(high))
    }

    /// Commits positions, each the offset to read next. The outcome comes as
    /// [`ConsumerEvent::Committed`].
    pub fn commit_async(&mut self, parts: &[(TopicPartition, Offset)]) -> Result<(), KafkaError> {
        let list = self.list(parts.iter().map(|(part, offset)| (*part, Some(*offset))));
        // SAFETY: client, queue and list are live, and the client holds its Shared to its end.
        unsafe {
            group::commit(
                self.client.as_ptr(),
                list.as_ptr(),
                self.client.queue(),
                self.client.shared(),
            )
        }
    }

    /// How far the application has come in each partition: the offset after the last message that
    /// was handed over, or after the control records that followed it. Zero before the first one.
    /// Asks no broker.
    pub fn positions(&self, parts: &[TopicPartition]) -> Vec<Offset> {
        let list = self.list(parts.iter().map(|part| (*part, None)));
        // SAFETY: client and list are live; the call fills the list's offsets from the client's
        // own memory. Its result is read as a number.
        unsafe { code2(rd::rd_kafka_position)(self.client.as_ptr(), list.as_ptr()) };
        let entries = list.entries();
        let offsets = entries.iter().map(|entry| entry.offset.max(0));
        offsets.map(Offset).collect()
    }

    /// The blocking side.
    pub fn control(&self) -> ConsumerControl {
        ConsumerControl::new(Arc::clone(&self.client))
    }

    /// The error after which the client is of no more use, if there was one.
    pub fn fatal_error(&self) -> Option<KafkaError> {
        self.client.fatal_error()
    }

    fn list(&self, parts: impl Iterator<Item = (TopicPartition, Option<Offset>)>) -> List {
        let mut list = List::new();
        for (part, offset) in parts {
            list.add(self.topics.c_name(part.topic), part.partition, offset);
        }
        list
    }
}

/// A message that is freed unless someone takes it over.
struct OwnMessage(NonNull<rd::rd_kafka_message_t>);

impl OwnMessage {
    fn release(self) -> NonNull<rd::rd_kafka_message_t> {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl Drop for OwnMessage {
    fn drop(&mut self) {
        // SAFETY: the message is ours and not used again; the consumer holds its client.
        unsafe { rd::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// Messages that librdkafka has handed over and that were not handed on yet: `next..filled`.
struct Batch {
    messages: Box<[*mut rd::rd_kafka_message_t]>,
    next: usize,
    filled: usize,
}

// SAFETY: the messages are owned, and freed on any thread.
unsafe impl Send for Batch {}

impl Batch {
    fn new() -> Batch {
        Batch {
            messages: vec![null_mut(); BATCH_MAX].into_boxed_slice(),
            next: 0,
            filled: 0,
        }
    }

    /// Takes up to `size` messages, at most [`BATCH_MAX`], and serves callbacks on the way. What
    /// a caller's panic left of the last batch is freed.
    fn fill(&mut self, client: &Client, size: usize) -> usize {
        while let Some(left) = self.next() {
            drop(left);
        }
        let size = size.min(self.messages.len());
        // SAFETY: the queue lives as long as the client, there is room for `size` pointers, and a
        // timeout of 0 does not wait. -1 stands for an error, of which there is none here.
        let filled = unsafe {
            rd::rd_kafka_consume_batch_queue(client.queue(), 0, self.messages.as_mut_ptr(), size)
        };
        self.next = 0;
        self.filled = usize::try_from(filled).unwrap_or(0);
        self.filled
    }

    fn next(&mut self) -> Option<OwnMessage> {
        let message = *self.messages[..self.filled].get(self.next)?;
        self.next += 1;
        NonNull::new(message).map(OwnMessage)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        while let Some(left) = self.next() {
            drop(left);
        }
    }
}
