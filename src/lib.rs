//! corelane: a thread-per-core transaction engine with a durable log built in.
//!
//! Modules in layer order; imports point down only, and `tests/tidy.rs` holds that.

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
pub mod log;
pub mod mesh;
// Planes.
pub mod engine;
// Control.
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
