//! What the broker does with the partitions of a core.
//!
//! Owns: the way from a partition's number to its stripe. Never does: waiting; whatever takes
//! long reports through [`LogStorage::watch`] or [`LogStorage::fate`]. Runs on: the core.
//!
//! Calls about a partition that this core never owned panic; one that was dropped is answered with
//! an error.

use super::{AppendError, BatchesRead, DeleteError, Ends, Fate, LogStorage, Mark, Place, Placed};
use super::{ReadBatchesError, ReadBounds, TimeLookup};
use crate::clock::Now;
use crate::exactly_once::producers::{ProducerSummary, Verdict};
use crate::ids::{Offset, PartitionId, StripeId, UnixMillis};
use crate::log::disk::Disk;
use crate::log::stripe::{PartitionSpec, Stripe, TopicRetention};

impl<D: Disk> LogStorage<D> {
    /// Whether this core owns the partition, deleted or not.
    pub fn owns(&self, partition: PartitionId) -> bool {
        self.places
            .get(partition.index())
            .is_some_and(Option::is_some)
    }

    fn stripe_by_id(&mut self, stripe: StripeId) -> usize {
        self.stripes
            .iter()
            .position(|s| s.id() == stripe)
            .expect("the caller asks only for stripes that this core owns")
    }

    fn look(&self, partition: PartitionId) -> (&Stripe<D>, super::Slot) {
        let place = self.place(partition);
        (&self.stripes[usize::from(place.lane)], place.slot)
    }

    /// What has become of an append.
    pub fn fate(&self, mark: Mark) -> Fate {
        self.stripes[usize::from(mark.lane)].fate(mark.frame)
    }

    /// Appends one record batch v2, byte for byte but for its base offset and leader epoch, which
    /// its CRC does not cover. Reads it once to check it, and copies it once.
    ///
    /// # Errors
    /// Nothing was appended: no room now, or the batch may not be stored.
    pub fn append_batch(
        &mut self,
        now: Now,
        partition: PartitionId,
        batch: &[u8],
    ) -> Result<Placed, AppendError> {
        self.append_batch_of(now, partition, batch, 0)
    }

    /// The same for a batch out of several: about `rest` bytes of others follow it for partitions of
    /// this core. A frame that has to be opened for it is made long enough for all, so that one
    /// write takes them.
    ///
    /// # Errors
    /// As for [`LogStorage::append_batch`].
    pub fn append_batch_of(
        &mut self,
        now: Now,
        partition: PartitionId,
        batch: &[u8],
        rest: usize,
    ) -> Result<Placed, AppendError> {
        // Partitions take turns over the stripes.
        let rest = rest / self.stripes.len();
        let (stripe, slot, core) = self.stripe(partition);
        stripe.append_produced(now, slot, (batch, rest), core)
    }

    /// Appends the end of a producer's transaction. `producer_epoch` counts from here on. A
    /// producer without an open transaction is only given the epoch.
    ///
    /// # Errors
    /// Nothing was appended: no room now, or the epoch is over.
    pub fn append_marker(
        &mut self,
        now: Now,
        partition: PartitionId,
        producer_id: i64,
        producer_epoch: i16,
        verdict: Verdict,
    ) -> Result<Placed, AppendError> {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.append_marker(now, slot, (producer_id, producer_epoch), verdict, core)
    }

    /// Stores pairs with reserved keys, all or none; an empty value removes its key. They can be
    /// read at once.
    ///
    /// # Panics
    /// A key is not reserved, or the stripe is another core's.
    ///
    /// # Errors
    /// Nothing was stored.
    pub fn put<'a>(
        &mut self,
        now: Now,
        stripe: StripeId,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<Mark, AppendError> {
        let lane = self.stripe_by_id(stripe);
        self.stripes[lane].put(now, pairs, &mut self.core)
    }

    /// Visits the pairs with reserved keys that begin with `prefix`, in the order of their keys.
    ///
    /// # Panics
    /// The stripe is another core's.
    pub fn values(&self, stripe: StripeId, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) {
        let found = self.stripes.iter().find(|s| s.id() == stripe);
        found
            .expect("the caller asks only for stripes that this core owns")
            .reserved_values(prefix, visit);
    }

    /// The value of a reserved key.
    ///
    /// # Panics
    /// The stripe is another core's.
    pub fn value(&self, stripe: StripeId, key: &[u8]) -> Option<&[u8]> {
        let found = self.stripes.iter().find(|s| s.id() == stripe);
        found
            .expect("the caller asks only for stripes that this core owns")
            .value(key)
    }

    /// The partition's offsets.
    pub fn ends(&self, partition: PartitionId) -> Ends {
        let (stripe, slot) = self.look(partition);
        stripe.ends(slot)
    }

    /// Appends whole batches to `out`, byte for byte, from the one that holds `from` on. Any
    /// number of readers may do so, each from where it likes.
    ///
    /// # Errors
    /// The offset is out of range, the partition is deleted, or storage is damaged or unreadable;
    /// `out` is as it was.
    pub fn read_batches(
        &mut self,
        partition: PartitionId,
        from: Offset,
        bounds: ReadBounds,
        out: &mut Vec<u8>,
    ) -> Result<BatchesRead, ReadBatchesError> {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.read_batches(slot, from, bounds, core, out)
    }

    /// Visits the aborted transactions of which records may lie in `from..to`: producer and first
    /// offset.
    pub fn aborted(
        &self,
        partition: PartitionId,
        from: Offset,
        to: Offset,
        visit: &mut dyn FnMut(i64, Offset),
    ) {
        let (stripe, slot) = self.look(partition);
        stripe.aborted(slot, from, to, visit);
    }

    /// From now on the next change of the visible or the stable end, the deletion of the
    /// partition, or the end of a read from the device is reported by
    /// [`LogStorage::take_woken`], once.
    pub fn watch(&mut self, partition: PartitionId) {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.watch(slot, core);
    }

    /// Visits the watched partitions of which there is news.
    pub fn take_woken(&mut self, visit: &mut dyn FnMut(PartitionId)) {
        self.core.woken.drain(..).for_each(visit);
    }

    /// The first visible record with a timestamp at or after `at`.
    ///
    /// # Errors
    /// As for [`LogStorage::read_batches`].
    pub fn offset_for_time(
        &mut self,
        partition: PartitionId,
        at: UnixMillis,
    ) -> Result<TimeLookup, ReadBatchesError> {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.offset_for_time(slot, at, core)
    }

    /// The first visible record with the largest timestamp (KIP-734).
    ///
    /// # Errors
    /// As for [`LogStorage::read_batches`].
    pub fn offset_of_max_timestamp(
        &mut self,
        partition: PartitionId,
    ) -> Result<TimeLookup, ReadBatchesError> {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.offset_of_max_timestamp(slot, core)
    }

    /// Moves the partition's start to `before`, or leaves it where it is further already (KIP-107).
    /// Effective at once, durable with the mark.
    ///
    /// # Errors
    /// The offset is not visible yet, or it cannot be stored.
    pub fn delete_records(
        &mut self,
        now: Now,
        partition: PartitionId,
        before: Offset,
    ) -> Result<(Offset, Mark), DeleteError> {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.delete_records(now, slot, before, core)
    }

    /// Visits the partition's producers, by id.
    pub fn producers(&self, partition: PartitionId, visit: &mut dyn FnMut(ProducerSummary)) {
        let (stripe, slot) = self.look(partition);
        stripe.producers(slot).for_each(visit);
    }

    /// Bytes of the partition's batches from its start on.
    pub fn bytes(&self, partition: PartitionId) -> u64 {
        let (stripe, slot) = self.look(partition);
        stripe.bytes(slot)
    }

    /// Adds partitions to a stripe. Those that are there already stay as they are.
    ///
    /// # Panics
    /// The stripe is another core's.
    pub fn add_partitions(&mut self, stripe: StripeId, specs: &[PartitionSpec]) {
        let lane = self.stripe_by_id(stripe);
        for spec in specs {
            if self.owns(spec.id) {
                continue;
            }
            if self.places.len() <= spec.id.index() {
                self.places.resize(spec.id.index() + 1, None);
            }
            let slot = self.stripes[lane].add_partition(spec, &mut self.core);
            self.places[spec.id.index()] = Some(Place {
                lane: lane as u16,
                slot,
            });
        }
    }

    /// Deletes a partition: nothing of it can be read or appended any more, and its records no
    /// longer keep segments from being recycled. The catalog makes this durable.
    pub fn drop_partition(&mut self, partition: PartitionId) {
        let (stripe, slot, core) = self.stripe(partition);
        stripe.drop_partition(slot, core);
    }

    /// Sets what is kept of a partition, within the stripe's own bounds.
    pub fn set_retention(&mut self, partition: PartitionId, retention: TopicRetention) {
        let (stripe, slot, _) = self.stripe(partition);
        stripe.set_retention(slot, retention);
    }
}
