//! Transaction to owning core.
//!
//! The shard is the nearest one. The partition is Kafka's own choice for the key, so that foreign
//! producers agree: `murmur2(id) mod partitions`. Partition i of every topic lies in stripe
//! i mod stripes and partition counts are multiples of the stripes, so the id's hash alone decides
//! the stripe and with it the core: the same id meets the same duplicate window even when its
//! client has moved to another shard in between.

use crate::geo::{GeoLocation, ShardManager};
use crate::ids::{CoreId, PartitionId, PartitionIndex, ShardId};
use crate::mesh::EndpointId;
use crate::storage::positive_murmur2;

use super::message::Destination;

/// One shard's partitions, in order of their [`PartitionIndex`].
#[derive(Debug, Clone)]
pub struct ShardPartitions {
    /// The shard.
    pub shard: ShardId,
    /// Its partitions.
    pub partitions: Vec<PartitionId>,
}

/// Where everything is: immutable, the same on every core.
#[derive(Debug)]
pub struct RouteTable {
    geo: ShardManager,
    /// Sorted by shard id.
    shards: Vec<ShardPartitions>,
    /// By [`PartitionId`].
    owners: Vec<CoreId>,
    /// By [`PartitionId`]; `None` for partitions of other topics.
    destinations: Vec<Option<Destination>>,
    /// By [`PartitionId`]: the place in `shards`; `None` as above.
    shard_places: Vec<Option<u16>>,
}

impl RouteTable {
    /// A table; `owners` names the owning core of every partition, by its id.
    ///
    /// # Panics
    /// If a shard of `geo` has no partitions, or a partition no owner.
    pub fn new(
        geo: ShardManager,
        mut shards: Vec<ShardPartitions>,
        owners: Vec<CoreId>,
    ) -> RouteTable {
        shards.sort_by_key(|shard| shard.shard);
        for spec in geo.shards() {
            let found = shards.binary_search_by_key(&spec.id, |shard| shard.shard);
            let place = found.expect("every shard has its partitions");
            assert!(
                !shards[place].partitions.is_empty(),
                "a shard has at least one partition"
            );
            assert!(
                shards[place]
                    .partitions
                    .iter()
                    .all(|p| p.index() < owners.len())
            );
        }
        let mut destinations = vec![None; owners.len()];
        let mut shard_places = vec![None; owners.len()];
        for (place, entry) in (0..).zip(&shards) {
            for (index, &partition) in entry.partitions.iter().enumerate() {
                let index = PartitionIndex(index as u32);
                shard_places[partition.index()] = Some(place);
                destinations[partition.index()] = Some(Destination {
                    shard: entry.shard,
                    index,
                    partition,
                });
            }
        }
        RouteTable {
            geo,
            shards,
            owners,
            destinations,
            shard_places,
        }
    }

    /// Where a transaction of this place and id goes.
    #[inline]
    pub fn route(&self, location: GeoLocation, id: &[u8]) -> Destination {
        self.within(self.geo.determine_shard(location), positive_murmur2(id))
    }

    /// As [`RouteTable::route`], to the nearest shard whose partition for this id is `available`;
    /// `None` where there is none. `by_distance` is a buffer, whose content is replaced.
    pub fn route_where(
        &self,
        location: GeoLocation,
        id: &[u8],
        by_distance: &mut Vec<ShardId>,
        available: impl Fn(PartitionId) -> bool,
    ) -> Option<Destination> {
        self.geo.by_distance_into(location, by_distance);
        let hash = positive_murmur2(id);
        let mut candidates = by_distance.iter().map(|shard| self.within(*shard, hash));
        candidates.find(|candidate| available(candidate.partition))
    }

    /// Where an id of this hash goes within a shard.
    #[inline]
    fn within(&self, shard: ShardId, hash: u32) -> Destination {
        let place = self
            .shards
            .binary_search_by_key(&shard, |entry| entry.shard)
            .expect("checked when the table was made");
        let partitions = &self.shards[place].partitions;
        let index = hash as usize % partitions.len();
        Destination {
            shard,
            index: PartitionIndex(index as u32),
            partition: partitions[index],
        }
    }

    /// The core that owns a partition.
    #[inline]
    pub fn owner(&self, partition: PartitionId) -> EndpointId {
        EndpointId(self.owners[partition.index()].0)
    }

    /// The shards, by id.
    pub fn shards(&self) -> &[ShardPartitions] {
        &self.shards
    }

    /// The place in [`RouteTable::shards`] of the shard that a partition belongs to; `None` for one of
    /// another topic.
    #[inline]
    pub fn shard_place(&self, partition: PartitionId) -> Option<usize> {
        self.shard_places[partition.index()].map(usize::from)
    }

    /// Which shard a partition belongs to, and as what; `None` for one of another topic.
    #[inline]
    pub fn destination(&self, partition: PartitionId) -> Option<Destination> {
        self.destinations[partition.index()]
    }
}
