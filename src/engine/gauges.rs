//! What a core tells of its shards, its rings and its memory besides its counts, now and then.
//!
//! Owns: how often it looks. Never does: anything per record.

use crate::ids::{Nanos, PartitionId};
use crate::storage::Storage;
use crate::telemetry::Owner;

use super::core::Core;
use super::guest::Guest;
use super::handler::HandlerFactory;

/// How often the lag of the shards and the memory of its owners are added up: with thousands of
/// partitions that takes some ten microseconds.
const LOOK_EVERY_NS: u64 = 250_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Gauges {
    due: Nanos,
    mesh_depth_max: u64,
}

impl Gauges {
    pub fn new() -> Gauges {
        Gauges {
            due: Nanos(0),
            mesh_depth_max: 0,
        }
    }

    /// So many transactions are in the rings to this core now. Returns the most that there ever were.
    pub fn note_mesh_depth(&mut self, depth: u64) -> u64 {
        self.mesh_depth_max = self.mesh_depth_max.max(depth);
        self.mesh_depth_max
    }

    /// Whether it is time to tell what takes longer; then the next time is some while away.
    pub fn is_due(&mut self, now: Nanos) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now.after(LOOK_EVERY_NS);
        }
        is_due
    }
}

impl<S: Storage, F: HandlerFactory, G: Guest<S>> Core<S, F, G> {
    /// Tells the lag of each shard on this core.
    pub(super) fn tell_lag(&mut self) {
        for (place, entry) in self.intake.table.shards().iter().enumerate() {
            let lag = |partition: &PartitionId| self.storage.lag(*partition);
            let sum = entry.partitions.iter().map(lag).sum();
            self.counters.shards.set_lag(place, sum);
        }
    }

    /// Tells what each owner has taken of memory.
    pub(super) fn tell_memory(&self) {
        let (storage, guest) = (self.storage.memory(), self.guest.memory());
        self.status.set_memory(|owner| match owner {
            Owner::DuplicateWindow => self.produce.window.bytes(),
            Owner::InFlight => self.produce.pending.bytes(),
            Owner::Mesh => self.intake.requests.ring_bytes() + self.outbox.ring_bytes(),
            Owner::LogFrames => storage.frames,
            Owner::LogChunks => storage.chunks,
            Owner::LogIndex => storage.index,
            Owner::Gateway => self.gate.bytes(),
            Owner::KafkaRequests => guest.requests,
            Owner::KafkaAnswers => guest.answers,
            Owner::Latencies => self.produce.stages.bytes() + self.counters.shards.bytes(),
        });
    }
}
