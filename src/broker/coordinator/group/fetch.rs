//! OffsetFetch.
//!
//! Owns: what readers see of offsets. Never does: changing anything. Runs on: the core that owns
//! stripe 0.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::answers::{self, answer, text};
use super::state::Group;
use super::{Groups, Name};
use crate::broker::coordinator::offsets::Place;
use crate::broker::coordinator::{Call, Effect};
use crate::ids::PartitionIndex;

/// From this version several groups are asked for, and one was before.
const SEVERAL_GROUPS: i16 = 8;
/// From this version the answer has an error of its own.
const TOP_LEVEL_ERROR: i16 = 2;
/// From this version it has leader epochs. A field of another version may not be set.
const LEADER_EPOCHS: i16 = 5;
const NONE: i32 = -1;

/// Which offsets may be told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stability {
    /// Also those that a transaction may change.
    Any,
    /// Only those that none does (KIP-447).
    Required,
}

/// A partition's answer.
struct Found {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: StrBytes,
    error: i16,
}

type FoundTopics = Vec<(TopicName, Vec<Found>)>;

fn find<R: Copy>(
    group: Option<&Group<R>>,
    topic: &Name,
    partition: i32,
    stability: Stability,
) -> Found {
    let mut found = Found {
        partition,
        offset: -1,
        leader_epoch: NONE,
        metadata: StrBytes::default(),
        error: 0,
    };
    let (Some(group), Ok(index)) = (group, u32::try_from(partition)) else {
        return found;
    };
    let place: Place = (Name::clone(topic), PartitionIndex(index));
    if stability == Stability::Required && group.offsets.is_unstable(&place) {
        found.error = ResponseError::UnstableOffsetCommit.code();
    } else if let Some(entry) = group.offsets.get(&place) {
        found.offset = entry.offset.0;
        found.leader_epoch = entry.leader_epoch;
        found.metadata = text(&entry.metadata);
    }
    found
}

fn find_all<R: Copy>(group: Option<&Group<R>>, stability: Stability) -> FoundTopics {
    let mut topics: BTreeMap<&Name, Vec<Found>> = BTreeMap::new();
    let entries = group.into_iter().flat_map(|group| group.offsets.iter());
    for ((topic, partition), _) in entries {
        // The number came as one of these.
        let partition = i32::try_from(partition.0).unwrap_or(i32::MAX);
        let found = find(group, topic, partition, stability);
        topics.entry(topic).or_default().push(found);
    }
    let name = |topic: &Name| TopicName(text(topic));
    topics
        .into_iter()
        .map(|(topic, found)| (name(topic), found))
        .collect()
}

fn find_these<'a, R: Copy>(
    group: Option<&Group<R>>,
    topics: impl Iterator<Item = (&'a TopicName, &'a [i32])>,
    stability: Stability,
) -> FoundTopics {
    let each = |(topic, partitions): (&TopicName, &[i32])| {
        let name = Name::from(topic.as_str());
        let partitions = partitions.iter();
        let found = partitions.map(|partition| find(group, &name, *partition, stability));
        (topic.clone(), found.collect())
    };
    topics.map(each).collect()
}

impl<R: Copy> Groups<R> {
    pub(super) fn fetch(
        &self,
        call: &Call<'_, R>,
        request: &OffsetFetchRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let stability = match request.require_stable {
            true => Stability::Required,
            false => Stability::Any,
        };
        let response = match call.version < SEVERAL_GROUPS {
            true => self.fetch_one(call.version, request, stability),
            false => self.fetch_several(request, stability),
        };
        answer(effects, call.to, ResponseKind::OffsetFetch(response));
    }

    fn fetch_one(
        &self,
        version: i16,
        request: &OffsetFetchRequest,
        stability: Stability,
    ) -> OffsetFetchResponse {
        let checked = answers::check_length(&request.group_id);
        let error = checked.map_or_else(|error| error.code(), |()| 0);
        let group = self.groups.get(request.group_id.as_str());
        let found = match &request.topics {
            None => find_all(group, stability),
            Some(topics) => {
                let each = topics.iter();
                let each = each.map(|topic| (&topic.name, &*topic.partition_indexes));
                find_these(group, each, stability)
            }
        };
        let epoch = |epoch| match version < LEADER_EPOCHS {
            true => NONE,
            false => epoch,
        };
        let has_error = version >= TOP_LEVEL_ERROR;
        let partition = |found: Found| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(found.partition)
                .with_committed_offset(found.offset)
                .with_committed_leader_epoch(epoch(found.leader_epoch))
                .with_metadata(Some(found.metadata))
                .with_error_code(match has_error || error == 0 {
                    true => found.error,
                    false => error,
                })
        };
        let topic = |(name, found): (TopicName, Vec<Found>)| {
            OffsetFetchResponseTopic::default()
                .with_name(name)
                .with_partitions(found.into_iter().map(partition).collect())
        };
        OffsetFetchResponse::default()
            .with_error_code(if has_error { error } else { 0 })
            .with_topics(found.into_iter().map(topic).collect())
    }

    fn fetch_several(
        &self,
        request: &OffsetFetchRequest,
        stability: Stability,
    ) -> OffsetFetchResponse {
        let partition = |found: Found| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(found.partition)
                .with_committed_offset(found.offset)
                .with_committed_leader_epoch(found.leader_epoch)
                .with_metadata(Some(found.metadata))
                .with_error_code(found.error)
        };
        let topic = |(name, found): (TopicName, Vec<Found>)| {
            OffsetFetchResponseTopics::default()
                .with_name(name)
                .with_partitions(found.into_iter().map(partition).collect())
        };
        let groups = request.groups.iter().map(|asked| {
            let checked = answers::check_length(&asked.group_id);
            let group = self.groups.get(asked.group_id.as_str());
            let found = match &asked.topics {
                None => find_all(group, stability),
                Some(topics) => {
                    let each = topics.iter();
                    let each = each.map(|topic| (&topic.name, &*topic.partition_indexes));
                    find_these(group, each, stability)
                }
            };
            OffsetFetchResponseGroup::default()
                .with_group_id(asked.group_id.clone())
                .with_topics(found.into_iter().map(topic).collect())
                .with_error_code(checked.map_or_else(|error| error.code(), |()| 0))
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    }
}
