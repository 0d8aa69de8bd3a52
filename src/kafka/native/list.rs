//! librdkafka's list of topics, partitions and offsets.
//!
//! Owns: one `rd_kafka_topic_partition_list_t`. Never does: look at topics or offsets.
//! Runs on: any thread.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::NonNull;

use rdkafka::bindings as rd;

use super::error::{KafkaError, text_of};
use crate::ids::Offset;

/// A list that this process owns.
pub(super) struct List(NonNull<rd::rd_kafka_topic_partition_list_t>);

/// One entry of a list.
pub(super) struct Entry {
    pub topic: String,
    pub partition: i32,
    /// Negative: none, or one of librdkafka's logical offsets.
    pub offset: i64,
    /// Kafka's error code; 0 = none.
    pub code: i32,
}

impl List {
    pub fn new() -> List {
        // SAFETY: any size is fine, the list grows; librdkafka aborts rather than return null.
        let raw = unsafe { rd::rd_kafka_topic_partition_list_new(0) };
        List(NonNull::new(raw).expect("librdkafka aborts when memory is out"))
    }

    /// Adds a partition; an `offset` of none stays librdkafka's "no offset".
    pub fn add(&mut self, topic: &CStr, partition: i32, offset: Option<Offset>) {
        // SAFETY: the list is live and ours; the name is copied. The entry returned is valid
        // until the list changes, which is after this.
        unsafe {
            let entry =
                rd::rd_kafka_topic_partition_list_add(self.0.as_ptr(), topic.as_ptr(), partition);
            if let Some(offset) = offset {
                (*entry).offset = offset.0;
            }
        }
    }

    pub fn as_ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub fn entries(&self) -> Vec<Entry> {
        // SAFETY: the list is live and ours.
        unsafe { entries_of(self.0.as_ptr()) }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: the list is ours and not used again.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.0.as_ptr()) };
    }
}

/// The entries of a list, copied; none for null.
///
/// # Safety
/// `list` is null or points to a list that lives, and that nobody changes, during the call.
pub(super) unsafe fn entries_of(list: *const rd::rd_kafka_topic_partition_list_t) -> Vec<Entry> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller vouches for the list.
    let (elements, count) = unsafe { ((*list).elems, (*list).cnt) };
    let count = usize::try_from(count).unwrap_or(0);
    (0..count)
        .map(|index| {
            // SAFETY: `elems` has `cnt` entries. They are read field by field, the error as a
            // number, since a broker's code may be none that the enum knows.
            unsafe {
                let element = elements.add(index);
                Entry {
                    topic: text_of((*element).topic),
                    partition: (*element).partition,
                    offset: (*element).offset,
                    code: (&raw const (*element).err).cast::<i32>().read(),
                }
            }
        })
        .collect()
}

/// The first error of any entry.
pub(super) fn first_error(entries: &[Entry]) -> Result<(), KafkaError> {
    match entries.iter().find(|entry| entry.code != 0) {
        None => Ok(()),
        Some(entry) => {
            let mut error = KafkaError::from_code(entry.code);
            error.text = format!("{} [{}]: {}", entry.topic, entry.partition, error.text);
            Err(error)
        }
    }
}
