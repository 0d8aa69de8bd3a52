//! Exactly once: what makes two submissions the same one.
//!
//! Owns: the [`Fingerprint`] of a transaction id, the duplicate [`Window`] and what a partition
//! knows of Kafka's [`producers`]. Never does: I/O, read a clock. Runs on: a core; each core has a
//! window of its own, for the partitions it owns.

mod fingerprint;
pub mod producers;
mod table;
mod window;

#[cfg(test)]
mod tests;

pub use fingerprint::{Fingerprint, Fingerprinter};
pub use window::{Entry, Seat, Window, WindowFull, WindowOptions};
