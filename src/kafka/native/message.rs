//! A consumed message, borrowed from librdkafka.
//!
//! Owns: one `rd_kafka_message_t`, which keeps the fetched batch it lies in alive. Never does:
//! copy the payload. Runs on: any thread, one at a time.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use rdkafka::bindings as rd;

use super::client::Client;
use super::topics::TopicPartition;
use crate::ids::{Offset, UnixMillis};

/// A message. Key and value lie in librdkafka's fetch buffer, which lives as long as any message
/// in it: holding few messages for long holds much memory. Dropping one frees it.
pub struct Message {
    raw: NonNull<rd::rd_kafka_message_t>,
    part: TopicPartition,
    /// Freeing a message touches its client.
    _client: Arc<Client>,
}

// SAFETY: librdkafka frees a message on any thread; the buffers it shares with others are counted
// atomically and not written to. It is not Sync: reading headers parses them into the message.
unsafe impl Send for Message {}

impl Message {
    /// # Safety
    /// `raw` is a message without error that `client` delivered and nobody else owns.
    pub(super) unsafe fn new(
        raw: NonNull<rd::rd_kafka_message_t>,
        part: TopicPartition,
        client: Arc<Client>,
    ) -> Message {
        Message {
            raw,
            part,
            _client: client,
        }
    }

    /// Where it comes from.
    #[inline]
    pub fn part(&self) -> TopicPartition {
        self.part
    }

    /// Its offset.
    #[inline]
    pub fn offset(&self) -> Offset {
        // SAFETY: the message is live and ours.
        Offset(unsafe { (*self.raw.as_ptr()).offset })
    }

    /// Its timestamp, whichever kind the topic has; -1 if it has none.
    pub fn timestamp(&self) -> UnixMillis {
        // SAFETY: the message is live; the second argument may be null.
        UnixMillis(unsafe { rd::rd_kafka_message_timestamp(self.raw.as_ptr(), null_mut()) })
    }

    /// Its key; empty if it has none.
    #[inline]
    pub fn key(&self) -> &[u8] {
        // SAFETY: the message is live and ours, and these are its key and length.
        unsafe {
            let message = self.raw.as_ptr();
            slice_of((*message).key.cast(), (*message).key_len)
        }
    }

    /// Its value; empty also for a tombstone.
    #[inline]
    pub fn value(&self) -> &[u8] {
        // SAFETY: the message is live and ours, and these are its payload and length.
        unsafe {
            let message = self.raw.as_ptr();
            slice_of((*message).payload.cast(), (*message).len)
        }
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers()
            .find(|(known, _)| *known == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// All headers in order, as name and value.
    pub fn headers(&self) -> Headers<'_> {
        let mut list = null_mut();
        // SAFETY: the message is live and ours, and not Sync, so that nobody else parses its
        // headers now; the list, if any, belongs to the message.
        unsafe {
            super::error::code2(rd::rd_kafka_message_headers)(self.raw.as_ptr(), &mut list);
        }
        Headers {
            list,
            next: 0,
            _message: self,
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours and not used again; its client lives.
        unsafe { rd::rd_kafka_message_destroy(self.raw.as_ptr()) };
    }
}

/// The headers of a [`Message`].
pub struct Headers<'a> {
    list: *mut rd::rd_kafka_headers_t,
    next: usize,
    _message: &'a Message,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.list.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (null(), null(), 0);
        // SAFETY: the list lives as long as the message, which is borrowed; the rest are places
        // for results.
        let code = unsafe {
            super::error::code5(rd::rd_kafka_header_get_all)(
                self.list, self.next, &mut name, &mut value, &mut size,
            )
        };
        if code != 0 {
            return None;
        }
        self.next += 1;
        // SAFETY: the name ends with a zero, the value has `size` bytes or is null, and both live
        // as long as the list.
        unsafe {
            Some((
                CStr::from_ptr(name).to_bytes(),
                slice_of(value.cast(), size),
            ))
        }
    }
}

/// # Safety
/// `start` is null or points to `length` bytes that live and stay unchanged for `'a`.
unsafe fn slice_of<'a>(start: *const u8, length: usize) -> &'a [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller vouches for it.
    unsafe { std::slice::from_raw_parts(start, length) }
}
