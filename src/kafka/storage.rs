//! Clusters behind the engine's seam: one core's ends of all of them as a [`Producer`] and a
//! [`Consumer`]. A lane is a partition.
//!
//! Owns: which partition lies on which cluster. Never does: waiting. Runs on: the core.

use super::cluster::Cluster;
use crate::clock::Now;
use crate::ids::{Acks, Nanos, Offset, PartitionId, UnixMillis};
use crate::storage::{
    Commit, CommitRefusal, Consumer, Hindrances, LaneNews, Offer, Outputs, Producer, ReadError,
    ReadOutcome, Record, Refusal, Storage, StorageCounts, StorageError, StorageEvent,
    StorageMemory, Visit,
};

/// Where a partition lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    cluster: u16,
    /// The cluster's number of it.
    part: u32,
}

/// See the module.
pub struct KafkaStorage {
    clusters: Vec<Cluster>,
    /// By partition.
    places: Vec<Option<Place>>,
    /// The first lane of each cluster.
    first_lanes: Vec<usize>,
    lanes: usize,
    /// The cluster that is asked first for what is ready.
    turn: usize,
    acks: Acks,
}

impl KafkaStorage {
    /// Puts a core's storage together; `acks` is the weakest of what the clusters' producers wait
    /// for.
    pub fn new(clusters: Vec<Cluster>, acks: Acks) -> KafkaStorage {
        let mut places = Vec::new();
        let mut first_lanes = Vec::new();
        let mut lanes = 0;
        for (number, cluster) in (0..).zip(&clusters) {
            first_lanes.push(lanes);
            for (part, id) in (0..).zip(cluster.partitions()) {
                if places.len() <= id.index() {
                    places.resize(id.index() + 1, None);
                }
                places[id.index()] = Some(Place {
                    cluster: number,
                    part,
                });
                lanes += 1;
            }
        }
        KafkaStorage {
            clusters,
            places,
            first_lanes,
            lanes,
            turn: 0,
            acks,
        }
    }

    fn place(&self, partition: PartitionId) -> Place {
        let place = self.places.get(partition.index()).copied().flatten();
        place.expect("every partition of a shard lies on a cluster")
    }

    fn cluster(&mut self, partition: PartitionId) -> (&mut Cluster, u32) {
        let place = self.place(partition);
        (&mut self.clusters[usize::from(place.cluster)], place.part)
    }

    fn cluster_ref(&self, partition: PartitionId) -> (&Cluster, u32) {
        let place = self.place(partition);
        (&self.clusters[usize::from(place.cluster)], place.part)
    }
}

impl Producer for KafkaStorage {
    fn offer(&mut self, offer: Offer) -> Result<(), (Offer, Refusal)> {
        let (cluster, part) = self.cluster(offer.partition);
        cluster.offer(part, offer)
    }

    fn flush(&mut self, now: Now, _on: &mut impl FnMut(StorageEvent)) -> usize {
        self.clusters.iter_mut().map(|c| c.flush(now)).sum()
    }

    fn poll(&mut self, now: Now, on: &mut impl FnMut(StorageEvent)) -> usize {
        self.clusters.iter_mut().map(|c| c.poll(now, on)).sum()
    }

    fn is_busy(&self) -> bool {
        self.clusters.iter().any(Cluster::is_busy)
    }

    fn is_available(&self, partition: PartitionId) -> bool {
        self.cluster_ref(partition).0.is_available()
    }

    fn acks_max(&self) -> Acks {
        self.acks
    }

    fn error(&self) -> Option<StorageError> {
        let failure = self.clusters.iter().find_map(Cluster::failure)?;
        Some(StorageError::Cluster(failure))
    }
}

impl Consumer for KafkaStorage {
    fn lanes(&self) -> usize {
        self.lanes
    }

    fn lane(&self, partition: PartitionId) -> usize {
        let place = self.place(partition);
        self.first_lanes[usize::from(place.cluster)] + place.part as usize
    }

    fn next_ready(&mut self) -> Option<PartitionId> {
        for _ in 0..self.clusters.len() {
            // In turn, so that a busy cluster does not keep the others waiting.
            self.turn = (self.turn + 1) % self.clusters.len();
            let cluster = &mut self.clusters[self.turn];
            if let Some(part) = cluster.next_ready() {
                return Some(cluster.part(part).id);
            }
        }
        None
    }

    fn requeue(&mut self, partition: PartitionId) {
        let (cluster, part) = self.cluster(partition);
        cluster.requeue(part);
    }

    fn read(
        &mut self,
        partition: PartitionId,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<ReadOutcome, ReadError> {
        let (cluster, part) = self.cluster(partition);
        Ok(cluster.read(part, visit))
    }

    fn commit(
        &mut self,
        now: Now,
        partition: PartitionId,
        next: Offset,
        outputs: &Outputs,
    ) -> Result<Commit, CommitRefusal> {
        let (cluster, part) = self.cluster(partition);
        cluster.commit(now, part, next, outputs)
    }

    fn lane_news(&mut self) -> Option<LaneNews> {
        let clusters = self.clusters.iter_mut().zip(&self.first_lanes);
        for (cluster, first) in clusters {
            match cluster.next_news() {
                None => {}
                Some(LaneNews::Settled { lane, commits }) => {
                    let lane = first + lane;
                    return Some(LaneNews::Settled { lane, commits });
                }
                Some(LaneNews::Undone { lane }) => {
                    return Some(LaneNews::Undone { lane: first + lane });
                }
            }
        }
        None
    }

    fn history(&mut self, seen: &mut impl FnMut(&[u8], PartitionId, Offset, UnixMillis)) -> usize {
        self.clusters.iter_mut().map(|c| c.history(seen)).sum()
    }

    fn position(&self, partition: PartitionId) -> Offset {
        let (cluster, part) = self.cluster_ref(partition);
        cluster.part(part).position
    }

    fn backlog(&self) -> u64 {
        self.clusters.iter().map(Cluster::backlog).sum()
    }

    fn lag(&self, partition: PartitionId) -> u64 {
        let place = self.places.get(partition.index()).copied().flatten();
        place.map_or(0, |place| {
            let cluster = &self.clusters[usize::from(place.cluster)];
            cluster.part(place.part).backlog()
        })
    }

    fn state(&self, lane: usize, visit: &mut dyn FnMut(&[u8], &[u8])) {
        let cluster = self.first_lanes.partition_point(|first| *first <= lane) - 1;
        let part = (lane - self.first_lanes[cluster]) as u32;
        let state = &self.clusters[cluster].part(part).state;
        state.iter().for_each(|(key, value)| visit(key, value));
    }
}

impl Storage for KafkaStorage {
    fn is_prepared(&self) -> bool {
        self.clusters.iter().all(Cluster::is_prepared)
    }

    /// News comes from librdkafka's threads, which ring.
    fn awaits_kernel(&self) -> bool {
        false
    }

    fn awaits_look(&self) -> bool {
        false
    }

    fn has_news(&self) -> bool {
        self.clusters.iter().any(Cluster::has_news)
    }

    fn next_wake(&self) -> Option<Nanos> {
        self.clusters.iter().filter_map(Cluster::next_wake).min()
    }

    fn take_counts(&mut self) -> StorageCounts {
        let mut sum = StorageCounts::default();
        for cluster in &mut self.clusters {
            sum += cluster.take_counts();
        }
        sum
    }

    fn hindrances(&self) -> Hindrances {
        let unreachable = self.clusters.iter().filter(|c| !c.is_reachable());
        Hindrances {
            stripes_without_space: 0,
            clusters_unreachable: unreachable.count() as u32,
        }
    }

    /// Nothing: the queues are librdkafka's, which tells only how many records are in them.
    fn memory(&self) -> StorageMemory {
        StorageMemory::default()
    }

    fn finish(&mut self, now: Now) -> usize {
        self.clusters.iter_mut().map(|c| c.finish(now)).sum()
    }
}
