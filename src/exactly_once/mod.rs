//! Exactly once: what makes two submissions the same one.
//!
//! Owns: the [`Fingerprint`] of a transaction id and the duplicate [`Window`]. Never does: I/O,
//! read a clock. Runs on: a core; each core has a window of its own, for the partitions it owns.

mod fingerprint;
mod table;
mod window;

#[cfg(test)]
mod tests;

pub use fingerprint::{Fingerprint, Fingerprinter};
pub use window::{Entry, Window, WindowFull, WindowOptions};
