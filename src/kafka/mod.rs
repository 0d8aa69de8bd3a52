//! Kafka and Redpanda clusters, through librdkafka.
//!
//! Owns: the clients of one core and cluster, and the names of librdkafka's properties. Never
//! does: create a client on a shard's core, print, sleep. Runs on: a core where it polls, a
//! housekeeping thread where it creates or blocks.
//!
//! - [`native`]: the safe API over librdkafka. All unsafe code is in there.
//! - [`properties`]: typed options to librdkafka's properties, and nothing else knows these names.
//! - [`admin`]: topics that have to exist before a shard starts.
//! - [`operator`]: topics and consumer groups, for people at a terminal.
//! - [`client`]: transactions sent to a cluster and read from it by programs without an engine.
//! - `cluster`: one core's end of one cluster; `helper`: its blocking calls.
//! - [`storage`]: all of a core's clusters behind the engine's seam.

pub mod admin;
pub mod client;
pub mod cluster;
pub mod fence;
mod helper;
pub mod native;
pub mod operator;
mod placement;
pub mod properties;
pub mod storage;

/// The version of librdkafka that this program is built with, as in `2.12.1`.
pub fn library_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
