//! corelane: a thread-per-core transaction engine with a durable log built in.
//!
//! ```text
//! client ──frame──▶ core A: gateway ─▶ decode (borrow) ─▶ nearest shard ─▶ owner?
//!                                                                  │ no        │ yes
//!                                                    mesh (crossbeam ring)     │
//!                                                                  ▼           ▼
//!                                                           core B: duplicate? ─▶ stripe append,
//!                                                                                 group commit
//!                                                                                      │
//!                                                           receipt ◀── durable ───────┘
//! client ◀─frame── core A ◀── mesh ◀────────┘                       │
//!                                                                   ▼
//!                                                core B: read ─▶ decode (borrow) ─▶ handler
//!                                                        ─▶ outputs + position, atomically
//! ```
//!
//! To run a node in a program of yours, see [`control::Node`] and `examples/custom_handler.rs`; to
//! talk to one, [`client`]; to send transactions to a Kafka or Redpanda cluster and to process them
//! without a node, [`kafka::client`]; to find the nearest shard of a place, [`geo::ShardManager`]. `docs/ARCHITECTURE.md` says where to start reading.
//!
//! The modules stand in layer order. Imports point down only, and `tests/tidy.rs` holds that.

// Words: std only.
pub mod clock;
pub mod ids;
pub mod limits;
pub mod location;
// Rules: pure; no I/O, no async, no unsafe.
pub mod exactly_once;
pub mod frame;
pub mod geo;
pub mod storage;
pub mod telemetry;
pub mod transaction;
pub mod wire;
// Resources: each owns one kind of outside thing.
pub mod cpu;
pub mod kafka;
pub mod log;
pub mod mesh;
// Planes.
pub mod broker;
pub mod engine;
// Control.
pub mod bench;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod tuning;
