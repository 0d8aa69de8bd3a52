//! What a core tells of its shards and rings besides its counts, now and then.
//!
//! Owns: how often it looks. Never does: anything per record.

use crate::ids::{Nanos, PartitionId};
use crate::storage::Consumer;
use crate::telemetry::ShardWriter;

use super::route::RouteTable;

/// How often the lag of the shards is added up: with thousands of partitions that takes some ten
/// microseconds.
const LAG_EVERY_NS: u64 = 250_000_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Gauges {
    lag_due: Nanos,
    mesh_depth_max: u64,
}

impl Gauges {
    pub fn new() -> Gauges {
        Gauges {
            lag_due: Nanos(0),
            mesh_depth_max: 0,
        }
    }

    /// So many transactions are in the rings to this core now. Returns the most that there ever were.
    pub fn note_mesh_depth(&mut self, depth: u64) -> u64 {
        self.mesh_depth_max = self.mesh_depth_max.max(depth);
        self.mesh_depth_max
    }

    /// Tells the lag of each shard on this core, if it is time.
    pub fn tell_lag(
        &mut self,
        now: Nanos,
        table: &RouteTable,
        storage: &impl Consumer,
        shards: &mut ShardWriter,
    ) {
        if now < self.lag_due {
            return;
        }
        self.lag_due = now.after(LAG_EVERY_NS);
        for (place, entry) in table.shards().iter().enumerate() {
            let lag = |partition: &PartitionId| storage.lag(*partition);
            shards.set_lag(place, entry.partitions.iter().map(lag).sum());
        }
    }
}
