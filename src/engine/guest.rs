//! What else runs in a core's cycle, beside transactions.
//!
//! Owns: the seam between the engine and another user of the same storage: the embedded Kafka broker.
//! Never does: anything itself. Runs on: the core.

use crate::clock::Now;
use crate::ids::Nanos;

use super::gateway::Gate;

/// Bytes of memory that a guest knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestMemory {
    /// Requests that are not answered.
    pub requests: usize,
    /// Answers that were not sent.
    pub answers: usize,
}

/// Another user of a core's storage. Its turn comes once a cycle, after storage has told its news and
/// before transactions are processed and taken in, so that what it appends joins the cycle's group.
pub trait Guest<S> {
    /// A part of one cycle. Returns the amount of work done. `gate` takes transactions that came in by
    /// the guest's way.
    fn turn(&mut self, now: Now, storage: &mut S, gate: &Gate) -> usize;

    /// Wakes those that were sent something in this cycle.
    fn ring(&mut self);

    /// Whether answers wait for their connections to send them.
    fn has_answers(&self) -> bool;

    /// Whether anything arrived that a turn could take.
    fn has_mail(&self) -> bool;

    /// Whether news may come through the kernel: connections are open.
    fn awaits_kernel(&self) -> bool;

    /// Whether something waits for room in another core's ring.
    fn awaits_ring(&self) -> bool;

    /// When it must have a turn even if nobody rings.
    fn next_wake(&self) -> Option<Nanos>;

    /// Takes nothing new from now on; what is under way is brought to its end.
    fn drain(&mut self);

    /// Requests under way.
    fn in_flight(&self) -> usize;

    /// Ends every connection once its answers are out.
    fn close(&mut self);

    /// Connections that are open.
    fn connections(&self) -> usize;

    /// What it takes of memory now.
    fn memory(&self) -> GuestMemory;
}

/// No other user.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl<S> Guest<S> for Alone {
    fn turn(&mut self, _: Now, _: &mut S, _: &Gate) -> usize {
        0
    }

    fn ring(&mut self) {}

    fn has_answers(&self) -> bool {
        false
    }

    fn has_mail(&self) -> bool {
        false
    }

    fn awaits_kernel(&self) -> bool {
        false
    }

    fn awaits_ring(&self) -> bool {
        false
    }

    fn next_wake(&self) -> Option<Nanos> {
        None
    }

    fn drain(&mut self) {}

    fn in_flight(&self) -> usize {
        0
    }

    fn close(&mut self) {}

    fn connections(&self) -> usize {
        0
    }

    fn memory(&self) -> GuestMemory {
        GuestMemory::default()
    }
}
