//! The mesh: how cores, and threads that are no cores, hand things to each other.
//!
//! Owns: one bounded single-producer ring per ordered pair of endpoints, and one doorbell per
//! endpoint. Never does: wait, lock, allocate after it was built. Runs on: every core.
//!
//! Invariants worth naming:
//! - A ring is FIFO, so what one endpoint sends to another arrives in order.
//! - A full ring refuses; what to do then is the sender's business (back-pressure).
//! - A busy endpoint polls. Only one that has announced its sleep is woken, by [`Port::ring`],
//!   which a sender calls once per cycle and not once per message. `loom/` holds the model that
//!   no wake-up is lost.

mod doorbell;
mod port;
mod sync;

pub use doorbell::{Bells, Doorbell};
pub use port::{EndpointId, Port, Take, build};
