//! The seam between the engine and storage: a [`Producer`] and a [`Consumer`], both poll-based so
//! that they fit the duty cycle, both statically dispatched.
//!
//! Owns: the two traits and the plain data that crosses them. Never does: I/O. Runs on: a core.
//!
//! [`crate::log`] provides both for the embedded log. Nothing in here waits: every call does
//! bounded work and returns.
//!
//! A *lane* is a set of partitions whose outputs, state and positions commit together: a stripe
//! of the embedded log. A core owns one or more lanes, numbered from 0 on that core.

mod consumer;
mod outputs;
mod partitioner;
mod producer;

pub use consumer::{CommitRefusal, Consumer, ReadError, ReadOutcome, Record, Visit};
pub use outputs::{Mark, OutputRecord, OutputRecords, Outputs, OutputsFull, StateChanges};
pub use partitioner::positive_murmur2;
pub use producer::{Ack, Offer, Producer, Refusal, StorageError, StorageEvent};
