//! What librdkafka puts on a producer's queue.
//!
//! Owns: one event, until its last message was handed on. Never does: wait. Runs on: the
//! producer's core.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use rdkafka::bindings::{self as rd, rd_kafka_resp_err_t as Code};

use super::client::Client;
use super::error::{KafkaError, code1, text_of};

/// Something librdkafka put on the client's queue. It must not outlive the client.
pub(super) struct Event(NonNull<rd::rd_kafka_event_t>);

// SAFETY: an event taken from the queue belongs to its taker, on whatever thread that is.
unsafe impl Send for Event {}

impl Event {
    pub fn next(client: &Client) -> Option<Event> {
        // SAFETY: the queue lives as long as the client; a timeout of 0 does not wait.
        NonNull::new(unsafe { rd::rd_kafka_queue_poll(client.queue(), 0) }).map(Event)
    }

    pub fn kind(&self) -> i32 {
        // SAFETY: the event is live.
        unsafe { rd::rd_kafka_event_type(self.0.as_ptr()) }
    }

    /// The next message of a delivery report; it lives as long as the event.
    pub fn next_message(&self) -> Option<NonNull<rd::rd_kafka_message_t>> {
        // SAFETY: the event is live. `&self` is enough: nothing else reads it meanwhile, since
        // the event is not Sync.
        let message = unsafe { rd::rd_kafka_event_message_next(self.0.as_ptr()) };
        NonNull::new(message.cast_mut())
    }

    pub fn error(&self, client: &Client) -> KafkaError {
        // SAFETY: the event is live; its text is copied.
        let (code, is_fatal, text) = unsafe {
            (
                code1(rd::rd_kafka_event_error)(self.0.as_ptr()),
                rd::rd_kafka_event_error_is_fatal(self.0.as_ptr()) != 0,
                text_of(rd::rd_kafka_event_error_string(self.0.as_ptr())),
            )
        };
        let error = KafkaError::new(code, text);
        if is_fatal || code == Code::RD_KAFKA_RESP_ERR__FATAL as i32 {
            return client.fatal_error().unwrap_or_else(|| error.made_fatal());
        }
        error
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours and not used again.
        unsafe { rd::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}
