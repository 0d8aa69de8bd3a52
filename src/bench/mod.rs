//! How fast the engine is on this host, honestly.
//!
//! Owns: loads, what is recorded of them, reports and their comparison. Never does: run beside an
//! engine that serves others; touch a data directory that it did not make. Runs on: threads of its own
//! on housekeeping CPUs.
//!
//! Loads are open loop: when each record is sent is known before ([`pace`]), and latencies count from
//! that. What only goes as fast as it is answered (closed loop) is never told as latency.
//!
//! | module | what |
//! |---|---|
//! | [`pace`] | when each record is meant to be sent |
//! | [`traffic`] | what a load is made of |
//! | [`feed`] | sending it to a node of this process, in process |
//! | [`punctual`] | waking up when it was asked for |
//! | `sender` | what is sent so, and what is recorded of it |
//! | [`scratch`] | where its data goes |
//! | [`target`] | what it is put on |
//! | [`embedded`] | a node of this process |
//! | [`kafka`] | a node's listener or a cluster, by Kafka's protocol |
//! | [`steady`] | whether the clock can be measured with |
//! | [`measure`] | from a load to figures, with a [`watch`] beside it |
//! | [`meters`] | what is recorded meanwhile |
//! | [`usage`] | what this process has used meanwhile |
//! | [`floor`] | what the host can do without us |
//! | [`workload`] | workloads of the OpenMessaging Benchmark |
//! | [`latency`], [`throughput`], [`sweep`] | what is measured in which order, as [`trial`]s |
//! | [`ratio`] | figures over the floor |
//! | [`report`] | what is told of it |
//! | [`compare`] | two reports side by side |

pub mod compare;
pub mod embedded;
pub mod error;
pub mod feed;
pub mod floor;
pub mod kafka;
pub mod latency;
pub mod measure;
pub mod meters;
pub mod pace;
pub mod punctual;
pub mod ratio;
pub mod report;
pub mod scratch;
mod sender;
pub mod steady;
pub mod sweep;
pub mod target;
pub mod throughput;
pub mod traffic;
pub mod trial;
pub mod usage;
pub mod watch;
pub mod workload;
