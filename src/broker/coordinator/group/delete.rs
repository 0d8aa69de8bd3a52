//! OffsetDelete, DeleteGroups, topics that are gone, offsets that nobody has used for long.
//!
//! Owns: what is forgotten and when. Never does: forgetting before that is durable. Runs on: the core
//! that owns stripe 0.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse,
};

use super::commit::{find_partition, key};
use super::format::Key;
use super::state::Group;
use super::stores::{Change, Reply};
use super::timers::Timer;
use super::words::{Recorded, State, UnusedSince};
use super::{Groups, Name, answers};
use crate::broker::coordinator::offsets::{Entry, Origin, Place};
use crate::broker::coordinator::{Call, Effect, Pair};
use crate::clock::Now;
use crate::ids::UnixMillis;

/// Groups that one look for unused offsets goes through; the next follows at once, after others had
/// their turn.
const GROUPS_PER_LOOK: usize = 64;

type Changes = Vec<(Change, Vec<Pair>)>;

impl<R: Copy> Group<R> {
    /// Begins to delete places; both what was committed and what transactions hold. A store has at most
    /// that many bytes.
    fn delete(
        &mut self,
        places: BTreeSet<Place>,
        order: u64,
        bytes_max: usize,
        changes: &mut Changes,
    ) {
        let mut pending: BTreeMap<Place, Vec<i64>> = BTreeMap::new();
        for (producer, place) in self.offsets.pending_places() {
            pending.entry(place.clone()).or_default().push(producer);
        }
        let (mut gone, mut pairs, mut bytes) = (Vec::new(), Vec::new(), 0);
        let change = |gone| Change::Delete(Name::clone(&self.name), order, gone);
        for place in places {
            self.offsets.begin_deletion(&place, order);
            let producers = pending.remove(&place).unwrap_or_default();
            let transactions = producers.into_iter().map(Origin::Transaction);
            let origins = std::iter::once(Origin::Plain).chain(transactions);
            let removal = |origin| key(&self.name, origin, &place).removal();
            let removals: Vec<Pair> = origins.map(removal).collect();
            let more: usize = removals.iter().map(|pair| pair.key.len()).sum();
            if bytes + more > bytes_max && !gone.is_empty() {
                let full = (std::mem::take(&mut gone), std::mem::take(&mut pairs));
                changes.push((change(full.0), full.1));
                bytes = 0;
            }
            bytes += more;
            gone.push(place);
            pairs.extend(removals);
        }
        if !gone.is_empty() {
            changes.push((change(gone), pairs));
        }
    }

    /// Begins to delete all of it.
    fn delete_all(&mut self, order: u64, bytes_max: usize, changes: &mut Changes) {
        let committed = self.offsets.places();
        let pending = self.offsets.pending_places().map(|(_, place)| place);
        let places: BTreeSet<Place> = committed.chain(pending).cloned().collect();
        self.delete(places, order, bytes_max, changes);
        let standing = Key::Standing(Name::clone(&self.name));
        // Whoever joins from here on has it stored again.
        self.recorded = Recorded::Nothing;
        changes.push((
            Change::Drop(Name::clone(&self.name)),
            vec![standing.removal()],
        ));
    }

    fn is_unused(&self, place: &Place, entry: &Entry, now: UnixMillis, retention_ms: i64) -> bool {
        let Some(since) = self.unused_since() else {
            return false;
        };
        let since = match since {
            UnusedSince::At(at) => at,
            UnusedSince::Commit => entry.committed,
        };
        let is_old = match entry.expires {
            Some(at) => now >= at,
            None => now.0.saturating_sub(since.0) >= retention_ms,
        };
        is_old && !self.is_subscribed(&place.0) && !self.offsets.is_unstable(place)
    }
}

impl<R: Copy> Groups<R> {
    pub(super) fn delete_offsets(
        &mut self,
        call: &Call<'_, R>,
        request: &OffsetDeleteRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let checked = answers::check_group(&request.group_id).and_then(|()| {
            let group = self.groups.get_mut(request.group_id.as_str());
            let group = group.ok_or(ResponseError::GroupIdNotFound)?;
            group.check_offset_deletion()?;
            Ok(group)
        });
        let bytes_max = self.core.options.commit_bytes_max;
        let mut changes = Vec::new();
        let response = match checked {
            Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
            Ok(group) => {
                let mut places = BTreeSet::new();
                let mut topics = Vec::new();
                for topic in &request.topics {
                    let name = Name::from(topic.name.as_str());
                    let partitions = topic.partitions.iter().map(|partition| {
                        let index = partition.partition_index;
                        let found = find_partition(call.topics, &name, index);
                        let result = found.and_then(|index| match group.is_subscribed(&name) {
                            true => Err(ResponseError::GroupSubscribedToTopic),
                            false => Ok((Name::clone(&name), index)),
                        });
                        let error = result.as_ref().map_or_else(|error| error.code(), |_| 0);
                        places.extend(result);
                        OffsetDeleteResponsePartition::default()
                            .with_partition_index(index)
                            .with_error_code(error)
                    });
                    let partitions = partitions.collect();
                    topics.push(
                        OffsetDeleteResponseTopic::default()
                            .with_name(topic.name.clone())
                            .with_partitions(partitions),
                    );
                }
                places.retain(|place| {
                    group.offsets.get(place).is_some() || group.offsets.is_unstable(place)
                });
                let order = self.core.stores.order();
                group.delete(places, order, bytes_max, &mut changes);
                OffsetDeleteResponse::default().with_topics(topics)
            }
        };
        let reply = Some((call.to, Reply::OffsetDelete(response)));
        self.core.stores.begin(changes, reply, effects);
    }

    pub(super) fn delete_groups(
        &mut self,
        call: &Call<'_, R>,
        request: &DeleteGroupsRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let bytes_max = self.core.options.commit_bytes_max;
        let mut changes = Vec::new();
        let mut results = Vec::new();
        let mut seen = BTreeSet::new();
        for id in &request.groups_names {
            if !seen.insert(id.as_str()) {
                continue;
            }
            let error = match self.groups.get_mut(id.as_str()) {
                None => ResponseError::GroupIdNotFound.code(),
                Some(group) if group.state != State::Empty => ResponseError::NonEmptyGroup.code(),
                Some(group) => {
                    let order = self.core.stores.order();
                    group.delete_all(order, bytes_max, &mut changes);
                    0
                }
            };
            let result = DeletableGroupResult::default().with_group_id(id.clone());
            results.push(result.with_error_code(error));
        }
        let response = DeleteGroupsResponse::default().with_results(results);
        let reply = Some((call.to, Reply::DeleteGroups(response)));
        self.core.stores.begin(changes, reply, effects);
    }

    /// A topic was deleted: no group remembers offsets of it.
    pub fn forget_topic(&mut self, name: &str, effects: &mut Vec<Effect<R>>) {
        let bytes_max = self.core.options.commit_bytes_max;
        let mut changes = Vec::new();
        for group in self.groups.values_mut() {
            let committed = group.offsets.places();
            let pending = group.offsets.pending_places().map(|(_, place)| place);
            let of_topic = committed
                .chain(pending)
                .filter(|(topic, _)| **topic == *name);
            let places: BTreeSet<Place> = of_topic.cloned().collect();
            if !places.is_empty() {
                let order = self.core.stores.order();
                group.delete(places, order, bytes_max, &mut changes);
            }
        }
        self.core.stores.begin(changes, None, effects);
    }

    /// Looks for offsets that nobody uses any more, and for groups that have nothing.
    pub(super) fn expire(&mut self, now: Now, effects: &mut Vec<Effect<R>>) {
        let from = match &self.looked_to {
            Some(name) => Bound::Excluded(Name::clone(name)),
            None => Bound::Unbounded,
        };
        let names: Vec<Name> = self
            .groups
            .range((from, Bound::Unbounded))
            .take(GROUPS_PER_LOOK)
            .map(|(name, _)| Name::clone(name))
            .collect();
        for name in &names {
            self.expire_group(name, now, effects);
        }
        let interval = self.core.options.retention_check_interval_ms;
        let (looked_to, ms) = match names.len() < GROUPS_PER_LOOK {
            true => (None, i64::try_from(interval).unwrap_or(i64::MAX)),
            false => (names.last().cloned(), 0),
        };
        self.looked_to = looked_to;
        self.core.timers.set(Timer::Retention, now.mono, ms);
    }

    fn expire_group(&mut self, name: &Name, now: Now, effects: &mut Vec<Effect<R>>) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let retention_ms = self.core.options.offsets_retention_ms;
        let is_unused = |place: &Place, entry: &Entry| {
            group.is_unused(place, entry, now.millis(), retention_ms)
        };
        let unused: BTreeSet<Place> = group
            .offsets
            .iter()
            .filter(|(place, entry)| is_unused(place, entry))
            .map(|(place, _)| place.clone())
            .collect();
        let keeps_some = unused.len() < group.offsets.places().count();
        let may_go = group.state == State::Empty
            && group.expected.is_empty()
            && !keeps_some
            && !group.offsets.has_pending();
        let bytes_max = self.core.options.commit_bytes_max;
        let mut changes = Vec::new();
        let order = self.core.stores.order();
        if may_go {
            group.delete_all(order, bytes_max, &mut changes);
        } else if !unused.is_empty() {
            group.delete(unused, order, bytes_max, &mut changes);
        }
        self.core.stores.begin(changes, None, effects);
    }
}
