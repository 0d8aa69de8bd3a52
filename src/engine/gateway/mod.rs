//! The gateway: connections of one core, from bytes to inbound transactions and back.
//!
//! A connection lives on the core that accepted it, as one task of the executor. The task reads
//! and writes the socket; the duty cycle takes transactions from the [`Gate`] and leaves answers
//! there. Both run on the same thread, so the gate needs no lock.

mod connection;
mod gate;
mod listen;

pub use gate::{GUEST, Gate, GateOptions, LocalEvent};
pub use listen::{Listeners, bind};
