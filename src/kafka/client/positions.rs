//! How far the partitions that a consumer holds were read.
//!
//! Owns: their positions. Never does: commit. Runs on: the consumer's thread.

use std::collections::BTreeMap;

use crate::ids::Offset;
use crate::kafka::native::TopicPartition;

/// How far one partition was read.
#[derive(Clone, Copy, Default)]
struct Position {
    /// After the last record that was processed; none before the first.
    next: Option<Offset>,
    /// What the group is known to have.
    committed: Option<Offset>,
}

/// The positions of all partitions held.
#[derive(Default)]
pub(super) struct Positions(BTreeMap<TopicPartition, Position>);

impl Positions {
    /// The partition is held from now on, and was not read yet.
    pub fn hold(&mut self, part: TopicPartition) {
        self.0.insert(part, Position::default());
    }

    /// The partition is held no more.
    pub fn release(&mut self, part: TopicPartition) {
        self.0.remove(&part);
    }

    pub fn parts(&self) -> Vec<TopicPartition> {
        self.0.keys().copied().collect()
    }

    /// The record at `offset` is processed. A partition that is not held is left out, here and
    /// below: its position is its new holder's.
    pub fn processed(&mut self, part: TopicPartition, offset: Offset) {
        if let Some(position) = self.0.get_mut(&part) {
            position.next = Some(offset.plus(1));
        }
    }

    /// The group has these positions.
    pub fn committed(&mut self, parts: &[(TopicPartition, Offset)]) {
        for (part, offset) in parts {
            if let Some(position) = self.0.get_mut(part) {
                position.committed = position.committed.max(Some(*offset));
            }
        }
    }

    /// Those of `parts` that were read further than the group is known to know.
    pub fn ahead(&self, parts: &[TopicPartition]) -> Vec<(TopicPartition, Offset)> {
        let ahead = |part: &TopicPartition| {
            let position = self.0.get(part)?;
            let next = position.next?;
            (position.committed < Some(next)).then_some((*part, next))
        };
        parts.iter().filter_map(ahead).collect()
    }
}
