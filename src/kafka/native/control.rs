//! Calls that block: transactions, and questions to the cluster.
//!
//! Owns: a reference to a client. Never does: run on a core; every call has a timeout. Runs on:
//! helper threads, several at a time if they like.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::{self as rd, rd_kafka_resp_err_t as Code};

use super::client::Client;
use super::error::{KafkaError, code0, code5, code6};
use super::list::List;
use super::membership::GroupMetadata;
use crate::ids::Offset;

/// The blocking side of a transactional producer.
#[derive(Clone)]
pub struct TransactionControl {
    client: Arc<Client>,
}

impl TransactionControl {
    pub(super) fn new(client: Arc<Client>) -> TransactionControl {
        TransactionControl { client }
    }

    /// Takes the transactional id over: fences its last user and finishes what that left. To be
    /// called once; after a timeout it may be called again and goes on.
    pub fn init(&self, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: the client is live; the result is ours.
        unsafe {
            KafkaError::take(rd::rd_kafka_init_transactions(
                self.client.as_ptr(),
                millis(timeout),
            ))
        }
    }

    /// Begins a transaction. Local: it does not wait.
    pub fn begin(&self) -> Result<(), KafkaError> {
        // SAFETY: the client is live; the result is ours.
        unsafe { KafkaError::take(rd::rd_kafka_begin_transaction(self.client.as_ptr())) }
    }

    /// Makes a consumer's positions part of the transaction: topic, partition, and the offset to
    /// read next.
    pub fn send_offsets(
        &self,
        offsets: &[(String, i32, Offset)],
        group: &GroupMetadata,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let list = list_of(
            offsets
                .iter()
                .map(|(topic, part, offset)| (topic.as_str(), *part, Some(*offset))),
        )?;
        // SAFETY: client, list and metadata are live, and are used during the call only.
        unsafe {
            KafkaError::take(rd::rd_kafka_send_offsets_to_transaction(
                self.client.as_ptr(),
                list.as_ptr(),
                group.raw.as_ptr(),
                millis(timeout),
            ))
        }
    }

    /// Sends what is queued, waits for it, and commits. Meanwhile the producer has to be polled:
    /// librdkafka waits until each report was taken. After a timeout it may be called again.
    pub fn commit(&self, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: the client is live; the result is ours.
        unsafe {
            KafkaError::take(rd::rd_kafka_commit_transaction(
                self.client.as_ptr(),
                millis(timeout),
            ))
        }
    }

    /// Discards what is queued and aborts. Meanwhile the producer has to be polled, as for
    /// [`TransactionControl::commit`]. After a timeout it may be called again.
    pub fn abort(&self, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: the client is live; the result is ours.
        unsafe {
            KafkaError::take(rd::rd_kafka_abort_transaction(
                self.client.as_ptr(),
                millis(timeout),
            ))
        }
    }
}

/// Questions to the cluster, asked through a producer or a consumer.
#[derive(Clone)]
pub struct ClientControl {
    client: Arc<Client>,
}

impl ClientControl {
    pub(super) fn new(client: Arc<Client>) -> ClientControl {
        ClientControl { client }
    }

    /// Asks the partition's leader for its first offset and the offset after its last record; for
    /// a client that reads committed records only, after the last stable one.
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<(Offset, Offset), KafkaError> {
        let name = c_name(topic)?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is live, the name ends with a zero, the rest are places for results.
        let code = unsafe {
            code6(rd::rd_kafka_query_watermark_offsets)(
                self.client.as_ptr(),
                name.as_ptr(),
                partition,
                &mut low,
                &mut high,
                millis(timeout),
            )
        };
        KafkaError::check(code)?;
        Ok((Offset(low), Offset(high)))
    }

    /// How many partitions the topic has; none if there is no such topic. It is not created where
    /// the client has `allow.auto.create.topics` off, as all of ours have.
    pub fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, KafkaError> {
        let name = c_name(topic)?;
        // SAFETY: the client is live, the name ends with a zero and is copied.
        let handle =
            unsafe { rd::rd_kafka_topic_new(self.client.as_ptr(), name.as_ptr(), null_mut()) };
        if handle.is_null() {
            // SAFETY: reads a number of this thread.
            return Err(KafkaError::from_code(unsafe {
                code0(rd::rd_kafka_last_error)()
            }));
        }
        // SAFETY: the handle is live until it is given back below, and not used again then.
        let metadata = unsafe {
            let metadata = Metadata::ask(&self.client, handle, timeout);
            rd::rd_kafka_topic_destroy(handle);
            metadata?
        };
        let Some((code, partitions)) = metadata.first_topic() else {
            return Ok(None);
        };
        if code == Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as i32 {
            return Ok(None);
        }
        KafkaError::check(code)?;
        Ok(Some(partitions))
    }

    /// How many brokers the cluster has: the probe that it answers.
    pub fn brokers(&self, timeout: Duration) -> Result<u32, KafkaError> {
        // SAFETY: null stands for no topic in particular.
        let metadata = unsafe { Metadata::ask(&self.client, null_mut(), timeout)? };
        Ok(metadata.brokers())
    }
}

/// A broker's answer to a metadata request.
struct Metadata(NonNull<rd::rd_kafka_metadata>);

impl Metadata {
    /// Asks whichever broker can be reached.
    ///
    /// # Safety
    /// `topic` is null or a live topic of this client.
    unsafe fn ask(
        client: &Client,
        topic: *mut rd::rd_kafka_topic_t,
        timeout: Duration,
    ) -> Result<Metadata, KafkaError> {
        const TOPICS_OF_CLIENT: i32 = 0;
        let mut answer = null();
        // SAFETY: the client is live, the caller vouches for the topic, and the answer is ours.
        let code = unsafe {
            code5(rd::rd_kafka_metadata)(
                client.as_ptr(),
                TOPICS_OF_CLIENT,
                topic,
                &mut answer,
                millis(timeout),
            )
        };
        KafkaError::check(code)?;
        let answer = NonNull::new(answer.cast_mut()).expect("success comes with an answer");
        Ok(Metadata(answer))
    }

    fn brokers(&self) -> u32 {
        // SAFETY: the answer is live and ours.
        u32::try_from(unsafe { (*self.0.as_ptr()).broker_cnt }).unwrap_or(0)
    }

    /// The error code and number of partitions of the first topic.
    fn first_topic(&self) -> Option<(i32, u32)> {
        // SAFETY: the answer is live and ours, and `topics` has `topic_cnt` entries. The error is
        // read as a number, since a broker's code may be none that the enum knows.
        unsafe {
            let answer = self.0.as_ptr();
            if (*answer).topic_cnt < 1 {
                return None;
            }
            let topic = (*answer).topics;
            let code = (&raw const (*topic).err).cast::<i32>().read();
            let partitions = u32::try_from((*topic).partition_cnt).unwrap_or(0);
            Some((code, partitions))
        }
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { rd::rd_kafka_metadata_destroy(self.0.as_ptr()) };
    }
}

pub(super) fn c_name(topic: &str) -> Result<CString, KafkaError> {
    CString::new(topic)
        .map_err(|_| KafkaError::invalid("a topic's name has no zero byte".to_owned()))
}

pub(super) fn list_of<'a>(
    parts: impl Iterator<Item = (&'a str, i32, Option<Offset>)>,
) -> Result<List, KafkaError> {
    let mut list = List::new();
    for (topic, partition, offset) in parts {
        list.add(&c_name(topic)?, partition, offset);
    }
    Ok(list)
}

/// A timeout as librdkafka counts; what is too long for that becomes the longest.
pub(super) fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}
