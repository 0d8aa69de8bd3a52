//! The embedded log as a Kafka broker: one node, which leads every partition.
//!
//! Owns: connections that speak Kafka's protocol, requests under way, consumer groups, Kafka's
//! transactions. Never does: what the log does (order, durability, producers' sequences), blocking;
//! what takes long is the administrator's, on a housekeeping thread. Runs on: the engine's cores. A
//! connection stays on the core that accepted it, a partition on its owner; groups and transactions
//! belong to the core that owns stripe 0.

pub mod admin;
mod api;
pub mod cold;
mod connection;
pub mod coordinate;
pub mod coordinator;
pub mod core;
pub mod desk;
mod greeting;
pub mod inlet;
pub mod listen;
pub mod message;
pub mod options;
mod owner;
mod receive;
pub mod sasl;
pub mod tls;
mod underway;
mod verify;
pub mod versions;
pub mod view;
