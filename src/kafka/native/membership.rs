//! The blocking side of a consumer: positions that are waited for, and leaving the group.
//!
//! Owns: a reference to a client. Never does: run on a core; every call has a timeout. Runs on:
//! helper threads, several at a time if they like.
#![allow(unsafe_code)]

use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings::{self as rd, rd_kafka_resp_err_t as Code};

use super::client::Client;
use super::control::{ClientControl, list_of, millis};
use super::error::{KafkaError, code1, code2, code3, code5};
use super::list::{entries_of, first_error};
use crate::ids::Offset;

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

    /// Who this consumer is in its group, for [`super::TransactionControl::send_offsets`]. It changes
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
    pub(super) raw: NonNull<rd::rd_kafka_consumer_group_metadata_t>,
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
