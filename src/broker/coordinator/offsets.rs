//! The committed offsets of one group, and those of transactions that have not ended.
//!
//! What readers see is what is durable. A commit under way is known by its order, a number that counts
//! all commits and deletions of the node: of two commits for a partition the later one stands, whichever
//! way it was made, as in Kafka's `OffsetMetadataManager`.
//!
//! Owns: offsets in memory. Never does: storing them, checking who commits. Runs on: the core that owns
//! stripe 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{Offset, PartitionIndex, UnixMillis};

/// A topic's partition, by the topic's name.
pub(super) type Place = (Arc<str>, PartitionIndex);

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// When it was asked for, among all commits and deletions; greater is later.
    pub(super) order: u64,
    pub(super) offset: Offset,
    /// Of the last record read; -1 if the client did not say.
    pub(super) leader_epoch: i32,
    pub(super) committed: UnixMillis,
    /// When the client wants it forgotten, if it said so (OffsetCommit before version 5).
    pub(super) expires: Option<UnixMillis>,
    pub(super) metadata: Arc<str>,
}

/// By what an offset is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// OffsetCommit.
    Plain,
    /// TxnOffsetCommit of this producer: it counts once the transaction is committed.
    Transaction(i64),
}

#[derive(Debug, Default)]
struct Slot {
    durable: Option<Entry>,
    /// The orders of commits and deletions.
    under_way: Vec<u64>,
}

impl Slot {
    /// The order of the newest commit or deletion, the ones under way included.
    fn newest(&self) -> Option<u64> {
        let durable = self.durable.as_ref().map(|entry| entry.order);
        self.under_way.iter().copied().max().max(durable)
    }

    fn is_void(&self) -> bool {
        self.durable.is_none() && self.under_way.is_empty()
    }
}

/// A transaction's offset for one place: the durable one first, then those under way.
type Queue = Vec<Entry>;

/// The offsets of one group.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    slots: BTreeMap<Place, Slot>,
    pending: BTreeMap<i64, BTreeMap<Place, Queue>>,
}

impl Offsets {
    /// Whether there are none, under way ones included.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.pending.is_empty()
    }

    /// Whether a transaction that has not ended holds some.
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many partitions there are, those of each transaction counted by themselves.
    pub(super) fn len(&self) -> usize {
        self.slots.len() + self.pending.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Whether there is something for the place already, so that a commit takes no further room.
    pub(super) fn holds(&self, origin: Origin, place: &Place) -> bool {
        match origin {
            Origin::Plain => self.slots.contains_key(place),
            Origin::Transaction(producer) => self
                .pending
                .get(&producer)
                .is_some_and(|places| places.contains_key(place)),
        }
    }

    /// A commit was asked for.
    pub(super) fn begin(&mut self, origin: Origin, place: Place, entry: Entry) {
        match origin {
            Origin::Plain => {
                let slot = self.slots.entry(place).or_default();
                slot.under_way.push(entry.order);
            }
            Origin::Transaction(producer) => {
                let places = self.pending.entry(producer).or_default();
                places.entry(place).or_default().push(entry);
            }
        }
    }

    /// A commit is durable.
    pub(super) fn settle(&mut self, origin: Origin, place: Place, entry: Entry) {
        match origin {
            Origin::Plain => {
                let slot = self.slots.entry(place).or_default();
                slot.under_way.retain(|order| *order != entry.order);
                replace_older(&mut slot.durable, entry);
            }
            Origin::Transaction(producer) => {
                // It is gone if the transaction has ended or the offset was deleted meanwhile.
                if let Some(queue) = self.queue(producer, &place) {
                    queue.retain(|queued| queued.order >= entry.order);
                }
            }
        }
    }

    /// A commit was not stored, or with [`Origin::Plain`] a deletion.
    pub(super) fn revoke(&mut self, origin: Origin, place: &Place, order: u64) {
        match origin {
            Origin::Plain => {
                if let Some(slot) = self.slots.get_mut(place) {
                    slot.under_way.retain(|other| *other != order);
                    if slot.is_void() {
                        self.slots.remove(place);
                    }
                }
            }
            Origin::Transaction(producer) => {
                if let Some(queue) = self.queue(producer, place) {
                    queue.retain(|queued| queued.order != order);
                }
                self.drop_voids(producer, place);
            }
        }
    }

    /// A stored offset, at the start.
    pub(super) fn restore(&mut self, origin: Origin, place: Place, entry: Entry) {
        self.begin(origin, place.clone(), entry.clone());
        self.settle(origin, place, entry);
    }

    fn queue(&mut self, producer: i64, place: &Place) -> Option<&mut Queue> {
        self.pending.get_mut(&producer)?.get_mut(place)
    }

    fn drop_voids(&mut self, producer: i64, place: &Place) {
        let Some(places) = self.pending.get_mut(&producer) else {
            return;
        };
        if places.get(place).is_some_and(Vec::is_empty) {
            places.remove(place);
        }
        if places.is_empty() {
            self.pending.remove(&producer);
        }
    }

    /// What readers see of a place.
    pub(super) fn get(&self, place: &Place) -> Option<&Entry> {
        self.slots.get(place)?.durable.as_ref()
    }

    /// Whether a transaction that has not ended may change what readers see.
    pub(super) fn is_unstable(&self, place: &Place) -> bool {
        self.pending
            .values()
            .any(|places| places.contains_key(place))
    }

    /// What readers see, by place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Place, &Entry)> {
        self.slots
            .iter()
            .filter_map(|(place, slot)| Some((place, slot.durable.as_ref()?)))
    }

    /// Each place with a committed offset or a commit under way.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.slots.keys()
    }

    /// Each place that a transaction holds.
    pub(super) fn pending_places(&self) -> impl Iterator<Item = (i64, &Place)> {
        let each = |(producer, places): (&i64, _)| {
            let producer = *producer;
            BTreeMap::<Place, Queue>::keys(places).map(move |place| (producer, place))
        };
        self.pending.iter().flat_map(each)
    }

    /// The newest offset that a producer's transaction has for each place.
    pub(super) fn pending_of(&self, producer: i64) -> impl Iterator<Item = (&Place, &Entry)> {
        self.pending
            .get(&producer)
            .into_iter()
            .flatten()
            .filter_map(|(place, queue)| Some((place, queue.last()?)))
    }

    /// Whether an offset of a transaction that commits now is the newest of its place.
    pub(super) fn would_stand(&self, place: &Place, entry: &Entry) -> bool {
        let newest = self.slots.get(place).and_then(Slot::newest);
        newest.is_none_or(|newest| newest < entry.order)
    }

    /// A producer's transaction has ended with its offsets counted.
    pub(super) fn commit_pending(&mut self, producer: i64) {
        for (place, mut queue) in self.pending.remove(&producer).unwrap_or_default() {
            if let Some(entry) = queue.pop() {
                let slot = self.slots.entry(place).or_default();
                replace_older(&mut slot.durable, entry);
            }
        }
    }

    /// It has ended with them forgotten.
    pub(super) fn abort_pending(&mut self, producer: i64) {
        self.pending.remove(&producer);
    }

    /// The deletion of a place was asked for.
    pub(super) fn begin_deletion(&mut self, place: &Place, order: u64) {
        let slot = self.slots.entry(place.clone()).or_default();
        slot.under_way.push(order);
    }

    /// Forgets what was committed to a place before the deletion of this order, pending ones included.
    pub(super) fn forget(&mut self, place: &Place, order: u64) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.under_way.retain(|other| *other != order);
            if slot
                .durable
                .as_ref()
                .is_some_and(|entry| entry.order < order)
            {
                slot.durable = None;
            }
            if slot.is_void() {
                self.slots.remove(place);
            }
        }
        let producers: Vec<i64> = self.pending.keys().copied().collect();
        for producer in producers {
            if let Some(queue) = self.queue(producer, place) {
                queue.retain(|queued| queued.order >= order);
            }
            self.drop_voids(producer, place);
        }
    }
}

/// Of two for the same place in one request, the last one stands.
fn replace_older(durable: &mut Option<Entry>, entry: Entry) {
    if durable.as_ref().is_none_or(|old| old.order <= entry.order) {
        *durable = Some(entry);
    }
}
