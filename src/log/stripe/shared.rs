//! What the stripes of one core share.
//!
//! Owns: the queue of partitions that a handler has something to do for, and their backlog; the
//! list of watched partitions of which there is news. Never does: I/O. Runs on: the stripes' core.

use std::collections::VecDeque;

use super::part::{Part, Watch};
use crate::ids::PartitionId;
use crate::storage::StorageCounts;

/// What the stripes of one core share.
#[derive(Debug)]
pub(in crate::log) struct Core<D> {
    pub(in crate::log) disk: D,
    /// Partitions with visible records that were not yet processed.
    pub(in crate::log) ready: VecDeque<PartitionId>,
    /// Records in them.
    pub(in crate::log) backlog: u64,
    /// Watched partitions with news. A partition is in it at most once.
    pub(in crate::log) woken: Vec<PartitionId>,
    /// What was counted since it was last asked for.
    pub(in crate::log) counts: StorageCounts,
}

impl<D> Core<D> {
    /// Changes a partition and keeps the backlog and the queue of ready partitions in step.
    pub(super) fn update(&mut self, part: &mut Part, change: impl FnOnce(&mut Part)) {
        let before = part.backlog();
        let visible = part.visible();
        change(part);
        self.backlog = self.backlog - before + part.backlog();
        self.queue(part);
        // The stable end moves only where the visible one does: a marker counts once it is visible.
        if part.visible() != visible {
            self.tell(part);
        }
    }

    /// Tells whoever watches the partition that there is news.
    pub(super) fn tell(&mut self, part: &mut Part) {
        match part.watch {
            Watch::On => {
                part.watch = Watch::Off;
                self.woken.push(part.id);
            }
            Watch::Off => {}
        }
    }

    /// Queues a partition if a handler has something to do.
    pub(super) fn queue(&mut self, part: &mut Part) {
        if part.is_ready() {
            part.queued = true;
            self.ready.push_back(part.id);
        }
    }
}
