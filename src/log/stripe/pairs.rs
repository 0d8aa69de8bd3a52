//! State pairs: those of handlers, and those with reserved keys, which are the broker's.
//!
//! Owns: their last values in memory. Never does: knowing what they mean. Runs on: the stripe's
//! core.

use std::ops::Bound;

use super::{Core, Stripe};
use crate::clock::Now;
use crate::ids::PartitionId;
use crate::log::disk::Disk;
use crate::log::format::{EntryKind, entry_bytes};
use crate::log::storage::{AppendError, Mark};
use crate::storage::RESERVED_KEY;

impl<D: Disk> Stripe<D> {
    /// Visits every state pair of handlers, as of the last commit.
    pub(in crate::log) fn state(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        let reserved = (Bound::Unbounded, Bound::Excluded(&[RESERVED_KEY][..]));
        for (key, value) in self.values.range::<[u8], _>(reserved) {
            visit(key, value);
        }
    }

    /// Visits the pairs with reserved keys that begin with `prefix`.
    pub(in crate::log) fn reserved_values(
        &self,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let from = prefix.max(&[RESERVED_KEY]);
        let pairs = self
            .values
            .range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        for (key, value) in pairs.take_while(|(key, _)| key.starts_with(prefix)) {
            visit(key, value);
        }
    }

    pub(in crate::log) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    /// Puts a state pair into the open frame, in which there is room, and into memory.
    pub(super) fn write_pair(&mut self, key: &[u8], value: &[u8]) {
        let open = self.writer.open.as_mut().expect("room was reserved in it");
        let key_bytes = u16::try_from(key.len()).expect("checked before the first write");
        let partition = PartitionId(0);
        open.push(EntryKind::State, partition, key_bytes, |out| {
            let (to_key, rest) = out.split_at_mut(key.len());
            to_key.copy_from_slice(key);
            rest[..value.len()].copy_from_slice(value);
            key.len() + value.len()
        });
        if value.is_empty() {
            self.values.remove(key);
        } else if let Some(stored) = self.values.get_mut(key) {
            stored.clear();
            stored.extend_from_slice(value);
        } else {
            self.values.insert(key.to_vec(), value.to_vec());
        }
    }

    /// See [`crate::log::storage::LogStorage::put`].
    pub(in crate::log) fn put<'a>(
        &mut self,
        now: Now,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
        core: &mut Core<D>,
    ) -> Result<Mark, AppendError> {
        if self.poison.is_some() {
            return Err(AppendError::Poisoned);
        }
        let mut bytes = 0;
        for (key, value) in pairs.clone() {
            assert!(
                key.first() == Some(&RESERVED_KEY),
                "the broker's keys are reserved ones"
            );
            if key.len() > usize::from(u16::MAX) {
                return Err(AppendError::TooLarge {
                    bytes: key.len(),
                    bytes_max: u16::MAX.into(),
                });
            }
            bytes += entry_bytes(key.len() + value.len());
        }
        if bytes > 0 {
            self.make_room(bytes, now, core)?;
        }
        for (key, value) in pairs {
            self.write_pair(key, value);
        }
        Ok(self.mark_last())
    }
}
