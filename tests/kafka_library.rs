//! The library surface over clusters, `corelane::kafka::client`, against librdkafka's mock cluster,
//! which answers on loopback from a thread of this process.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "kafka_library/consume.rs"]
mod consume;
#[path = "kafka_library/produce.rs"]
mod produce;
#[path = "kafka_library/support.rs"]
mod support;
