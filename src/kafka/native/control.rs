//! Calls that block: transactions, questions to the cluster, commits that are waited for.
//!
//! Owns: a reference to a client. Never does: run on a core; every call has a timeout. Runs on:
//! helper threads, several at a time if they like.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings::{self as rd, rd_kafka_resp_err_t as Code};

use super::client::Client;
use super::error::{KafkaError, code0, code1, code2, code3, code5, code6};
use super::list::{List, entries_of, first_error};
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

/// The blocking side of a consumer.
#[derive(Clone)]
pub struct ConsumerControl {
    client: Arc<Client>,
}

impl ConsumerControl {
    pub(super) fn new(client: Arc<Client>) -> ConsumerControl {
        ConsumerControl { client }
    }

    /// The group's positions, in the order asked for: the offset to read next, or none.
    pub fn committed(
        &self,
        parts: &[(String, i32)],
        timeout: Duration,
    ) -> Result<Vec<Option<Offset>>, KafkaError> {
        let list = list_of(
            parts
                .iter()
                .map(|(topic, part)| (topic.as_str(), *part, None)),
        )?;
        // SAFETY: client and list are live; the list is filled in during the call.
        KafkaError::check(unsafe {
            code3(rd::rd_kafka_committed)(self.client.as_ptr(), list.as_ptr(), millis(timeout))
        })?;
        let entries = list.entries();
        first_error(&entries)?;
        Ok(entries
            .iter()
            .map(|entry| (entry.offset >= 0).then_some(Offset(entry.offset)))
            .collect())
    }

    /// Commits positions, each the offset to read next, and waits. After a timeout it may still
    /// happen.
    pub fn commit(
        &self,
        parts: &[(String, i32, Offset)],
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let list = list_of(
            parts
                .iter()
                .map(|(topic, part, offset)| (topic.as_str(), *part, Some(*offset))),
        )?;
        let queue = Queue::new(&self.client);
        // SAFETY: client, list and queue are live; the list is copied. Without a callback the
        // outcome comes as an event.
        let code = unsafe {
            code5(rd::rd_kafka_commit_queue)(
                self.client.as_ptr(),
                list.as_ptr(),
                queue.as_ptr(),
                None,
                null_mut(),
            )
        };
        KafkaError::check(code)?;
        let answer = queue.next(timeout)?;
        // SAFETY: the event is live, and its list a part of it.
        unsafe {
            KafkaError::check(code1(rd::rd_kafka_event_error)(answer.0.as_ptr()))?;
            let list = rd::rd_kafka_event_topic_partition_list(answer.0.as_ptr());
            first_error(&entries_of(list))
        }
    }

    /// Who this consumer is in its group, for [`TransactionControl::send_offsets`]. It changes
    /// with each rebalance.
    pub fn group_metadata(&self) -> Result<GroupMetadata, KafkaError> {
        // SAFETY: the client is live; the result is null or ours.
        let raw = unsafe { rd::rd_kafka_consumer_group_metadata(self.client.as_ptr()) };
        NonNull::new(raw)
            .map(|raw| GroupMetadata { raw })
            .ok_or_else(|| KafkaError::from_code(Code::RD_KAFKA_RESP_ERR__UNKNOWN_GROUP as i32))
    }

    /// Questions to the cluster.
    pub fn client(&self) -> ClientControl {
        ClientControl::new(Arc::clone(&self.client))
    }

    /// Gives all partitions away and leaves the group. Rebalances are answered here from now on,
    /// so positions have to be committed before, and the consumer reads nothing afterwards. After
    /// a timeout librdkafka goes on by itself until the client is dropped.
    pub fn close(&self, timeout: Duration) -> Result<(), KafkaError> {
        let deadline = Instant::now() + timeout;
        let rk = self.client.as_ptr();
        let queue = Queue::new(&self.client);
        // SAFETY: client and queue are live; the result is ours. Whatever the group asks from now
        // on comes to this queue.
        unsafe { KafkaError::take(rd::rd_kafka_consumer_close_queue(rk, queue.as_ptr()))? };
        self.client.shared().group.close();
        // A rebalance that the consumer was told of and has not answered would hold the group for
        // ever. librdkafka handles this after the close, which makes any answer "nothing held".
        // SAFETY: the client is live; null stands for no partitions.
        unsafe { code2(rd::rd_kafka_assign)(rk, null()) };
        const SLICE: Duration = Duration::from_millis(20);
        // SAFETY: the client is live.
        while unsafe { rd::rd_kafka_consumer_closed(rk) } == 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(KafkaError::from_code(
                    Code::RD_KAFKA_RESP_ERR__TIMED_OUT as i32,
                ));
            }
            queue.serve(left.min(SLICE));
        }
        Ok(())
    }
}

/// Who a consumer is in its group, at one moment.
pub struct GroupMetadata {
    raw: NonNull<rd::rd_kafka_consumer_group_metadata_t>,
}

// SAFETY: plain memory that is never changed.
unsafe impl Send for GroupMetadata {}
// SAFETY: as above.
unsafe impl Sync for GroupMetadata {}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { rd::rd_kafka_consumer_group_metadata_destroy(self.raw.as_ptr()) };
    }
}

/// A queue for the answers of one call. What comes after it is gone is discarded.
struct Queue<'a> {
    raw: NonNull<rd::rd_kafka_queue_t>,
    _client: &'a Client,
}

impl Queue<'_> {
    fn new(client: &Client) -> Queue<'_> {
        // SAFETY: the client is live; librdkafka aborts rather than return null.
        let raw = unsafe { rd::rd_kafka_queue_new(client.as_ptr()) };
        Queue {
            raw: NonNull::new(raw).expect("librdkafka aborts when memory is out"),
            _client: client,
        }
    }

    fn as_ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.raw.as_ptr()
    }

    /// The next event.
    fn next(&self, timeout: Duration) -> Result<Answer, KafkaError> {
        // SAFETY: the queue is live.
        let event = unsafe { rd::rd_kafka_queue_poll(self.as_ptr(), millis(timeout)) };
        NonNull::new(event)
            .map(Answer)
            .ok_or_else(|| KafkaError::from_code(Code::RD_KAFKA_RESP_ERR__TIMED_OUT as i32))
    }

    /// Serves callbacks for `time`, and drops messages.
    fn serve(&self, time: Duration) {
        let mut messages = [null_mut(); 64];
        // SAFETY: the queue is live and there is room for that many pointers.
        let count = unsafe {
            rd::rd_kafka_consume_batch_queue(
                self.as_ptr(),
                millis(time),
                messages.as_mut_ptr(),
                messages.len(),
            )
        };
        for message in messages.iter().take(usize::try_from(count).unwrap_or(0)) {
            // SAFETY: librdkafka filled in that many messages, which are ours.
            unsafe { rd::rd_kafka_message_destroy(*message) };
        }
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and not used again.
        unsafe { rd::rd_kafka_queue_destroy(self.as_ptr()) };
    }
}

/// An event that answers a call.
struct Answer(NonNull<rd::rd_kafka_event_t>);

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: the event is ours and not used again.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

fn c_name(topic: &str) -> Result<CString, KafkaError> {
    CString::new(topic)
        .map_err(|_| KafkaError::invalid("a topic's name has no zero byte".to_owned()))
}

fn list_of<'a>(
    parts: impl Iterator<Item = (&'a str, i32, Option<Offset>)>,
) -> Result<List, KafkaError> {
    let mut list = List::new();
    for (topic, partition, offset) in parts {
        list.add(&c_name(topic)?, partition, offset);
    }
    Ok(list)
}

/// A timeout as librdkafka counts; what is too long for that becomes the longest.
fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}
