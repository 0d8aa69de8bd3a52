//! A safe API over librdkafka, made for a loop that polls.
//!
//! Owns: each `rd_kafka_t` with its queue, topics and messages. Never does: block, but for
//! [`TransactionControl`], [`ClientControl`], [`ConsumerControl`], and making and dropping a client.
//! Runs on: a producer or consumer is made on a housekeeping thread and then polled by one core;
//! controls are for helper threads.
//!
//! Why not the safe `rdkafka` types: they copy each payload on the way out, poll one message at a
//! time with an allocation for each, and cannot place librdkafka's threads.
//!
//! Invariants worth naming:
//! - A value handed to [`NativeProducer::send`] lives until its report: reports are taken from
//!   librdkafka only by [`NativeProducer::poll`], and values without one go down with the client,
//!   after `rd_kafka_destroy`.
//! - Whatever points into a client (topics, messages, controls, group metadata) holds it, so that
//!   the client is destroyed last.
//! - The news flag is never false while something waits: it is cleared before a poll, set again
//!   when that poll left something, and set by librdkafka, under the queue's lock, when the queue
//!   stops being empty.
//! - Error codes are read as numbers. A broker may send a code that is newer than the bindings,
//!   and a Rust enum that holds an unknown value is undefined behaviour.
//!
//! Foreign functions cannot run under Miri; what is pure (the slab of values) can. The rest is
//! argued in `SAFETY` comments and tested against librdkafka's own mock cluster.

mod client;
mod conf;
mod consumer;
mod control;
mod error;
mod event;
mod group;
mod list;
mod membership;
mod message;
mod producer;
mod record;
mod slab;
mod topics;

pub use conf::{ClientConf, Wake};
pub use consumer::{ConsumerEvent, NativeConsumer};
pub use control::{ClientControl, TransactionControl};
pub use error::{ErrorClass, KafkaError};
pub use membership::{ConsumerControl, GroupMetadata};
pub use message::{Headers, Message};
pub use producer::{NativeProducer, Persisted, ProducerEvent, SendError};
pub use topics::{TopicPartition, TopicRef};

#[cfg(test)]
mod tests;
