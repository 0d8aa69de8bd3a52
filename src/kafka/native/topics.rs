//! The topics a client knows, by number, name and handle.
//!
//! Owns: the client's topic handles. Never does: create a topic on the cluster. Runs on: the
//! client's core.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ffi::CString;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rdkafka::bindings as rd;

use super::client::Client;
use super::error::{KafkaError, code0, text_of};

/// A topic of ONE client, dense from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicRef(pub u32);

/// A partition of ONE client's topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicRef,
    /// Its partition, from 0.
    pub partition: i32,
}

struct Topic {
    handle: NonNull<rd::rd_kafka_topic_t>,
    name: CString,
    text: String,
}

// SAFETY: a handle is a counted reference that librdkafka's functions take from any thread.
unsafe impl Send for Topic {}

pub(super) struct Topics {
    topics: Vec<Topic>,
    by_name: HashMap<String, TopicRef>,
    /// Addresses of handles, in ascending order.
    by_handle: Vec<(usize, TopicRef)>,
    /// What [`Topics::find`] found last: messages come in runs of one topic.
    last: (usize, TopicRef),
    /// Handles have to go before their client.
    client: Arc<Client>,
}

impl Topics {
    pub fn new(client: Arc<Client>) -> Topics {
        Topics {
            topics: Vec::new(),
            by_name: HashMap::new(),
            by_handle: Vec::new(),
            last: (0, TopicRef(0)),
            client,
        }
    }

    pub fn add(&mut self, name: &str) -> Result<TopicRef, KafkaError> {
        if let Some(topic) = self.by_name.get(name) {
            return Ok(*topic);
        }
        let c_name = CString::new(name)
            .map_err(|_| KafkaError::invalid("a topic's name has no zero byte".to_owned()))?;
        // SAFETY: the client is live, the name ends with a zero and is copied; null stands for
        // the client's own topic properties.
        let handle =
            unsafe { rd::rd_kafka_topic_new(self.client.as_ptr(), c_name.as_ptr(), null_mut()) };
        let Some(handle) = NonNull::new(handle) else {
            // SAFETY: reads a number of this thread.
            let code = unsafe { code0(rd::rd_kafka_last_error)() };
            let mut error = KafkaError::from_code(code);
            error.text = format!("topic '{name}': {}", error.text);
            return Err(error);
        };
        let topic = TopicRef(u32::try_from(self.topics.len()).expect("fewer topics than memory"));
        self.topics.push(Topic {
            handle,
            name: c_name,
            text: name.to_owned(),
        });
        self.by_name.insert(name.to_owned(), topic);
        let address = handle.as_ptr().addr();
        let at = self
            .by_handle
            .partition_point(|(known, _)| *known < address);
        self.by_handle.insert(at, (address, topic));
        Ok(topic)
    }

    /// The topic a message names. librdkafka has one handle per topic and client, so this is a
    /// comparison in all but the first case; a topic not known yet is added.
    ///
    /// # Safety
    /// `handle` is a live topic of this client.
    pub unsafe fn find(
        &mut self,
        handle: *mut rd::rd_kafka_topic_t,
    ) -> Result<TopicRef, KafkaError> {
        let address = handle.addr();
        if self.last.0 == address {
            return Ok(self.last.1);
        }
        let found = self
            .by_handle
            .binary_search_by_key(&address, |(known, _)| *known);
        let topic = match found {
            Ok(at) => self.by_handle[at].1,
            Err(_) => {
                // SAFETY: the caller vouches for the handle; the name is copied.
                let name = unsafe { text_of(rd::rd_kafka_topic_name(handle)) };
                self.add(&name)?
            }
        };
        self.last = (address, topic);
        Ok(topic)
    }

    /// The handle of `topic`. Panics for a number of another client.
    pub fn handle(&self, topic: TopicRef) -> *mut rd::rd_kafka_topic_t {
        self.topics[topic.0 as usize].handle.as_ptr()
    }

    /// The name of `topic`. Panics for a number of another client.
    pub fn c_name(&self, topic: TopicRef) -> &CString {
        &self.topics[topic.0 as usize].name
    }

    /// The name of `topic`. Panics for a number of another client.
    pub fn name(&self, topic: TopicRef) -> &str {
        &self.topics[topic.0 as usize].text
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        for topic in &self.topics {
            // SAFETY: each handle is a reference of ours, given back once.
            unsafe { rd::rd_kafka_topic_destroy(topic.handle.as_ptr()) };
        }
    }
}
