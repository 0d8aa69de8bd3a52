//! A producer that is polled.
//!
//! Owns: one client, and the values under way. Never does: wait, copy a value handed to
//! [`NativeProducer::send`], allocate per message in steady state but for what librdkafka does.
//! Runs on: one core after it was made.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::bindings::{self as rd, rd_kafka_resp_err_t as Code};

use super::client::Client;
use super::conf::{ClientConf, Kind};
use super::control::{ClientControl, TransactionControl};
use super::error::{KafkaError, code0};
use super::event::Event;
use super::record::{NativeHeaders, Record};
use super::slab::{Slab, Slot, UnderWay};
use super::topics::{TopicRef, Topics};
use crate::ids::{Offset, UnixMillis};

/// A producer of one cluster. Dropping it discards what is under way, without a report, and waits
/// a few seconds at most for librdkafka's threads; drop it on a housekeeping thread.
pub struct NativeProducer {
    topics: Topics,
    under_way: Slab,
    /// Reports taken from librdkafka and not handed on yet, since the last poll was full.
    reports: Option<Event>,
    client: Arc<Client>,
    /// One thread at a time: the slab belongs to it.
    _not_sync: PhantomData<Cell<()>>,
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The client's memory is used up: try again after reports came.
    #[error("the producer's queue is full")]
    QueueFull,
    /// The record is larger than the client may send.
    #[error("the record is larger than the producer may send")]
    TooLarge,
    /// The client is fenced or broken, not in a transaction, or knows no such partition.
    #[error(transparent)]
    State(KafkaError),
}

/// What a poll reports.
#[derive(Debug)]
pub enum ProducerEvent {
    /// Acknowledged, as far as the client's `acks` ask for it.
    Delivered {
        /// As handed to send.
        token: u64,
        /// Where it is; -1 if the brokers did not say, as with `acks` none.
        offset: Offset,
        /// The record's timestamp as stored.
        timestamp: UnixMillis,
    },
    /// Given up.
    Failed {
        /// As handed to send.
        token: u64,
        /// Why.
        error: KafkaError,
        /// Whether it may be in the log all the same.
        persisted: Persisted,
        /// The value as it was handed over; none for a record of [`NativeProducer::send_copied`].
        value: Option<Bytes>,
    },
    /// Of the client as a whole: all brokers down, not authenticated, fatal.
    Error(KafkaError),
}

/// Whether a record that was given up may be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persisted {
    /// It is not: it never left, or a broker refused it.
    No,
    /// It was sent, and no answer came.
    Maybe,
}

impl NativeProducer {
    /// Makes the client. Threads start, so this belongs on a housekeeping thread.
    pub fn new(conf: ClientConf) -> Result<NativeProducer, KafkaError> {
        let client = conf.start(Kind::Producer)?;
        Ok(NativeProducer {
            topics: Topics::new(Arc::clone(&client)),
            under_way: Slab::default(),
            reports: None,
            client,
            _not_sync: PhantomData,
        })
    }

    /// The topic of this name, added if it is new to the client. Asks no broker.
    pub fn add_topic(&mut self, name: &str) -> Result<TopicRef, KafkaError> {
        self.topics.add(name)
    }

    /// Hands `value` over without a copy: it is kept until its report. The key is the part of the
    /// value that `key` names, copied by librdkafka; an empty range means no key. `partition` is
    /// one of the topic's, or -1 for librdkafka's partitioner. Every record taken is reported
    /// once, with `token`.
    ///
    /// Panics if `key` is not within the value or `topic` is of another client.
    pub fn send(
        &mut self,
        topic: TopicRef,
        partition: i32,
        key: Range<usize>,
        value: Bytes,
        token: u64,
    ) -> Result<(), (Bytes, SendError)> {
        let key = &value[key];
        let key_parts = (key.as_ptr(), key.len());
        // SAFETY: the key is part of the value, whose bytes do not move and outlive the call.
        unsafe { self.hand_over(topic, partition, key_parts, value, token) }
    }

    /// As [`NativeProducer::send`], with a key of its own, which is copied by librdkafka.
    ///
    /// # Errors
    /// As of [`NativeProducer::send`]; the value comes back.
    pub fn send_keyed(
        &mut self,
        topic: TopicRef,
        partition: i32,
        key: &[u8],
        value: Bytes,
        token: u64,
    ) -> Result<(), (Bytes, SendError)> {
        // SAFETY: the key is borrowed for longer than the call.
        unsafe { self.hand_over(topic, partition, (key.as_ptr(), key.len()), value, token) }
    }

    /// As [`NativeProducer::send`], with headers, for which librdkafka copies all of the record. The
    /// value is kept all the same: a report of failure brings it back.
    ///
    /// # Errors
    /// As of [`NativeProducer::send`]; the value comes back.
    pub fn send_with_headers<'a>(
        &mut self,
        topic: TopicRef,
        partition: i32,
        key: Range<usize>,
        value: Bytes,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        token: u64,
    ) -> Result<(), (Bytes, SendError)> {
        let headers = NativeHeaders::new(headers);
        let slot = self.under_way.put(UnderWay {
            token,
            value: Some(value.clone()),
        });
        let record = Record {
            topic: self.topics.handle(topic),
            partition,
            key: Some(&value[key]).filter(|key| !key.is_empty()),
            value: Some(&value),
            opaque: opaque_of(slot),
        };
        // SAFETY: client and topic are live, and the topic is of this client.
        let result = unsafe { record.produce(self.client.as_ptr(), headers) };
        result.map_err(|error| {
            self.under_way.take(slot);
            (value, SendError::from_error(error))
        })
    }

    /// # Safety
    /// The key's bytes are there during the call.
    unsafe fn hand_over(
        &mut self,
        topic: TopicRef,
        partition: i32,
        (key, key_length): (*const u8, usize),
        value: Bytes,
        token: u64,
    ) -> Result<(), (Bytes, SendError)> {
        let key = if key_length == 0 { null() } else { key };
        let (start, length) = (value.as_ptr(), value.len());
        let slot = self.under_way.put(UnderWay {
            token,
            value: Some(value),
        });
        // SAFETY: the topic is live. Without flags librdkafka reads the payload in place until it
        // reports the message, and never writes to it. The value is in the slab until then: its
        // bytes do not move when the `Bytes` does, and the slab is given up only in `poll`, for a
        // report, or after the client's end. The key, which the caller vouches for, is copied before
        // the call returns.
        let result = unsafe {
            rd::rd_kafka_produce(
                self.topics.handle(topic),
                partition,
                0,
                start.cast_mut().cast(),
                length,
                key.cast(),
                key_length,
                opaque_of(slot),
            )
        };
        if result == 0 {
            return Ok(());
        }
        let error = last_send_error();
        let value = self
            .under_way
            .take(slot)
            .and_then(|under_way| under_way.value)
            .expect("the slot was filled above, and nothing was reported since");
        Err((value, error))
    }

    /// Copies key, value and headers. A value of none is a tombstone.
    pub fn send_copied<'a>(
        &mut self,
        topic: TopicRef,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        token: u64,
    ) -> Result<(), SendError> {
        let headers = NativeHeaders::new(headers);
        let slot = self.under_way.put(UnderWay { token, value: None });
        let record = Record {
            topic: self.topics.handle(topic),
            partition,
            key,
            value,
            opaque: opaque_of(slot),
        };
        // SAFETY: client and topic are live, and the topic is of this client.
        let result = unsafe { record.produce(self.client.as_ptr(), headers) };
        result.map_err(|error| {
            self.under_way.take(slot);
            SendError::from_error(error)
        })
    }

    /// Hands up to `reports_max` events on and returns how many there were. Never waits.
    ///
    /// While [`TransactionControl::commit`] runs on a helper thread this has to go on: librdkafka
    /// waits there until every report was taken here.
    pub fn poll(&mut self, reports_max: usize, on: &mut impl FnMut(ProducerEvent)) -> usize {
        let mut count = 0;
        self.client.shared().lower();
        while count < reports_max {
            if self.reports.is_none() {
                let Some(event) = Event::next(&self.client) else {
                    break;
                };
                if event.kind() == rd::RD_KAFKA_EVENT_ERROR {
                    count += 1;
                    on(ProducerEvent::Error(event.error(&self.client)));
                } else if event.kind() == rd::RD_KAFKA_EVENT_DR {
                    self.reports = Some(event);
                }
                continue;
            }
            let message = self.reports.as_ref().and_then(Event::next_message);
            match message.and_then(|message| self.report(message)) {
                Some(event) => {
                    count += 1;
                    on(event);
                }
                None => self.reports = None,
            }
        }
        // Also short of the bound something may be left: librdkafka stops early at some of its
        // own operations.
        if self.reports.is_some() || !self.client.is_queue_empty() {
            self.client.shared().leave();
        }
        count
    }

    /// The event for one message that librdkafka is done with.
    fn report(&mut self, message: NonNull<rd::rd_kafka_message_t>) -> Option<ProducerEvent> {
        let message = message.as_ptr();
        // SAFETY: the message belongs to the event in `self.reports`, which lives until it has no
        // more. Its fields are read one by one, the error as a number.
        let (code, offset, slot) = unsafe {
            (
                (&raw const (*message).err).cast::<i32>().read(),
                (*message).offset,
                (*message)._private.addr(),
            )
        };
        let under_way = self.under_way.take(Slot::from_number(slot));
        debug_assert!(under_way.is_some(), "reported twice or never sent: {slot}");
        let UnderWay { token, value } = under_way?;
        if code == 0 {
            // SAFETY: as above; the second argument may be null.
            let timestamp = unsafe { rd::rd_kafka_message_timestamp(message, null_mut()) };
            return Some(ProducerEvent::Delivered {
                token,
                offset: Offset(offset),
                timestamp: UnixMillis(timestamp),
            });
        }
        // SAFETY: as above.
        let status = unsafe { rd::rd_kafka_message_status(message) };
        Some(ProducerEvent::Failed {
            token,
            error: KafkaError::from_code(code),
            persisted: match status {
                rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persisted::No,
                rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED
                | rd::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_PERSISTED => Persisted::Maybe,
            },
            value,
        })
    }

    /// False only if there is nothing to poll. One atomic load.
    pub fn has_news(&self) -> bool {
        self.client.shared().has_news()
    }

    /// Records sent and not reported yet.
    pub fn outstanding(&self) -> usize {
        self.under_way.len()
    }

    /// The blocking side of a transactional producer.
    pub fn transactions(&self) -> TransactionControl {
        TransactionControl::new(Arc::clone(&self.client))
    }

    /// Questions to the cluster, which block.
    pub fn admin(&self) -> ClientControl {
        ClientControl::new(Arc::clone(&self.client))
    }

    /// The error after which the client is of no more use, if there was one.
    pub fn fatal_error(&self) -> Option<KafkaError> {
        self.client.fatal_error()
    }
}

impl Drop for NativeProducer {
    fn drop(&mut self) {
        self.reports = None;
        // Controls may keep the client alive: what nobody waits for any more must not go on.
        const ALL: i32 = rd::RD_KAFKA_PURGE_F_QUEUE
            | rd::RD_KAFKA_PURGE_F_INFLIGHT
            | rd::RD_KAFKA_PURGE_F_NON_BLOCKING;
        // SAFETY: the client is live. It can only refuse a consumer.
        unsafe { rd::rd_kafka_purge(self.client.as_ptr(), ALL) };
        // librdkafka may read values until its end.
        self.client
            .keep(Box::new(std::mem::take(&mut self.under_way)));
    }
}

/// The number of a slot as the pointer librdkafka carries along; it is never followed.
fn opaque_of(slot: Slot) -> *mut c_void {
    std::ptr::without_provenance_mut(slot.number())
}

impl SendError {
    fn from_error(error: KafkaError) -> SendError {
        if error.code == Code::RD_KAFKA_RESP_ERR__QUEUE_FULL as i32 {
            SendError::QueueFull
        } else if error.code == Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as i32 {
            SendError::TooLarge
        } else {
            SendError::State(error)
        }
    }
}

/// Why rd_kafka_produce refused. Allocates only where the client is in a bad state.
fn last_send_error() -> SendError {
    // SAFETY: reads a number of this thread.
    let code = unsafe { code0(rd::rd_kafka_last_error)() };
    if code == Code::RD_KAFKA_RESP_ERR__QUEUE_FULL as i32 {
        return SendError::QueueFull;
    }
    SendError::from_error(KafkaError::from_code(code))
}
