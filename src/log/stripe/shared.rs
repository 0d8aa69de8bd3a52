//! What the stripes of one core share.
//!
//! Owns: the queue of partitions that a handler has something to do for, and their backlog. Never
//! does: I/O. Runs on: the stripes' core.

use std::collections::VecDeque;

use super::part::Part;
use crate::ids::PartitionId;

/// What the stripes of one core share.
#[derive(Debug)]
pub(in crate::log) struct Core<D> {
    pub(in crate::log) disk: D,
    /// Partitions with visible records that were not yet processed.
    pub(in crate::log) ready: VecDeque<PartitionId>,
    /// Records in them.
    pub(in crate::log) backlog: u64,
}

impl<D> Core<D> {
    /// Changes a partition and keeps the backlog and the queue of ready partitions in step.
    pub(super) fn update(&mut self, part: &mut Part, change: impl FnOnce(&mut Part)) {
        let before = part.backlog();
        change(part);
        self.backlog = self.backlog - before + part.backlog();
        self.queue(part);
    }

    /// Queues a partition if a handler has something to do.
    pub(super) fn queue(&mut self, part: &mut Part) {
        if part.is_ready() {
            part.queued = true;
            self.ready.push_back(part.id);
        }
    }
}
