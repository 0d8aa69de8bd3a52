//! OffsetCommit and TxnOffsetCommit.
//!
//! Owns: who may commit offsets, what is stored of them. Never does: answering before they are durable.
//! Runs on: the core that owns stripe 0.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, TopicName, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::format::{Key, entry_bytes};
use super::state::{Group, State};
use super::stores::{Change, Reply};
use super::{Groups, Name, answers};
use crate::broker::coordinator::offsets::{Entry, Origin, Place};
use crate::broker::coordinator::{Call, Effect, Pair, Topics};
use crate::ids::{Offset, PartitionIndex, UnixMillis};

/// From this version a group that is not there is called by its name; before, the generation was wrong.
const NAMES_MISSING_GROUP: i16 = 9;
/// OffsetCommit's retention time for "as the broker thinks".
const DEFAULT_RETENTION: i64 = -1;

/// One partition of a commit, and what becomes of it.
struct Line {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: Name,
    error: i16,
}

struct Lines {
    name: TopicName,
    partitions: Vec<Line>,
}

/// Who commits, as it says.
struct Committer<'a> {
    group: &'a str,
    member: &'a str,
    instance: Option<&'a str>,
    generation: i32,
    origin: Origin,
    version: i16,
}

fn plain_lines(request: &OffsetCommitRequest) -> Vec<Lines> {
    let topics = request.topics.iter().map(|topic| Lines {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| Line {
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
                error: 0,
            })
            .collect(),
    });
    topics.collect()
}

fn transaction_lines(request: &TxnOffsetCommitRequest) -> Vec<Lines> {
    let topics = request.topics.iter().map(|topic| Lines {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| Line {
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
                error: 0,
            })
            .collect(),
    });
    topics.collect()
}

fn plain_reply(lines: Vec<Lines>) -> Reply {
    let partition = |line: &Line| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(line.partition)
            .with_error_code(line.error)
    };
    let topic = |lines: Lines| {
        OffsetCommitResponseTopic::default()
            .with_name(lines.name)
            .with_partitions(lines.partitions.iter().map(partition).collect())
    };
    let topics = lines.into_iter().map(topic).collect();
    Reply::OffsetCommit(OffsetCommitResponse::default().with_topics(topics))
}

fn transaction_reply(lines: Vec<Lines>) -> Reply {
    let partition = |line: &Line| {
        TxnOffsetCommitResponsePartition::default()
            .with_partition_index(line.partition)
            .with_error_code(line.error)
    };
    let topic = |lines: Lines| {
        TxnOffsetCommitResponseTopic::default()
            .with_name(lines.name)
            .with_partitions(lines.partitions.iter().map(partition).collect())
    };
    let topics = lines.into_iter().map(topic).collect();
    Reply::TxnOffsetCommit(TxnOffsetCommitResponse::default().with_topics(topics))
}

/// A partition that exists, by its number on the wire.
pub(super) fn find_partition(
    topics: &dyn Topics,
    topic: &str,
    partition: i32,
) -> Result<PartitionIndex, ResponseError> {
    let known = topics.topic(topic);
    let index = u32::try_from(partition).ok();
    match (known, index) {
        (Some((_, partitions)), Some(index)) if index < partitions => Ok(PartitionIndex(index)),
        (Some(_) | None, Some(_) | None) => Err(ResponseError::UnknownTopicOrPartition),
    }
}

/// The lines that nothing is wrong with yet.
fn good(lines: &mut [Lines]) -> impl Iterator<Item = (&TopicName, &mut Line)> {
    lines.iter_mut().flat_map(|topic| {
        let lines = topic.partitions.iter_mut().filter(|line| line.error == 0);
        lines.map(|line| (&topic.name, line))
    })
}

impl<R: Copy> Groups<R> {
    pub(super) fn commit(
        &mut self,
        call: &Call<'_, R>,
        request: &OffsetCommitRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let committer = Committer {
            group: &request.group_id,
            member: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id_or_member_epoch,
            origin: Origin::Plain,
            version: call.version,
        };
        let expires = (request.retention_time_ms != DEFAULT_RETENTION).then(|| {
            let now = call.now.millis().0;
            UnixMillis(now.saturating_add(request.retention_time_ms.max(0)))
        });
        let mut lines = plain_lines(request);
        let changes = self.place(call, &committer, expires, &mut lines, effects);
        let reply = Some((call.to, plain_reply(lines)));
        self.core.stores.begin(changes, reply, effects);
        self.remove_if_void(&request.group_id);
    }

    /// TxnOffsetCommit, after the transaction's coordinator has found the transaction in order: checks
    /// the member, stores the offsets as pending, then answers.
    pub fn txn_offset_commit(
        &mut self,
        call: &Call<'_, R>,
        request: TxnOffsetCommitRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let committer = Committer {
            group: &request.group_id,
            member: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            generation: request.generation_id,
            origin: Origin::Transaction(request.producer_id.0),
            version: call.version,
        };
        let mut lines = transaction_lines(&request);
        let changes = self.place(call, &committer, None, &mut lines, effects);
        let reply = Some((call.to, transaction_reply(lines)));
        self.core.stores.begin(changes, reply, effects);
        self.remove_if_void(&request.group_id);
    }

    /// Checks all lines, and begins the commit of the good ones. Gives back what is to be stored.
    fn place(
        &mut self,
        call: &Call<'_, R>,
        committer: &Committer<'_>,
        expires: Option<UnixMillis>,
        lines: &mut [Lines],
        effects: &mut Vec<Effect<R>>,
    ) -> Vec<(Change, Vec<Pair>)> {
        for (topic, line) in good(lines) {
            if let Err(error) = find_partition(call.topics, topic, line.partition) {
                line.error = error.code();
            }
        }
        // As in Kafka, nobody is asked who they are for nothing.
        if good(lines).next().is_none() {
            return Vec::new();
        }
        if let Err(error) = self.check_committer(committer) {
            good(lines).for_each(|(_, line)| line.error = error.code());
            return Vec::new();
        }
        let name = Name::from(committer.group);
        let group = self
            .groups
            .entry(Name::clone(&name))
            .or_insert_with(|| Group::new(Name::clone(&name)));
        let is_in_generation = committer.generation >= 0;
        if committer.origin == Origin::Plain
            && is_in_generation
            && matches!(group.state, State::Stable | State::PreparingRebalance)
        {
            let mut scope = self.core.scope(call.now, effects);
            group.heard_of(committer.member, &mut scope);
        }
        let order = self.core.stores.order();
        let mut entries = Vec::new();
        let mut pairs = Vec::new();
        let mut bytes = 0;
        let options = &self.core.options;
        let mut room = options.offsets_max.saturating_sub(group.offsets.len());
        for (topic, line) in good(lines) {
            if line.metadata.len() > options.offset_metadata_max {
                line.error = ResponseError::OffsetMetadataTooLarge.code();
                continue;
            }
            let index = PartitionIndex(line.partition.unsigned_abs());
            let place: Place = ((topic.as_str()).into(), index);
            let entry = Entry {
                order,
                offset: Offset(line.offset),
                leader_epoch: line.leader_epoch,
                committed: call.now.millis(),
                expires,
                metadata: Name::clone(&line.metadata),
            };
            let pair = pair(&name, committer.origin, &place, &entry);
            bytes += pair.key.len() + pair.value.len();
            let is_known = group.offsets.holds(committer.origin, &place);
            if bytes > options.commit_bytes_max || (!is_known && room == 0) {
                line.error = ResponseError::InvalidCommitOffsetSize.code();
                continue;
            }
            if !is_known {
                room -= 1;
            }
            group
                .offsets
                .begin(committer.origin, place.clone(), entry.clone());
            entries.push((place, entry));
            pairs.push(pair);
        }
        match entries.is_empty() {
            true => Vec::new(),
            false => vec![(Change::Commit(name, committer.origin, entries), pairs)],
        }
    }

    fn check_committer(&self, committer: &Committer<'_>) -> Result<(), ResponseError> {
        match committer.origin {
            Origin::Plain => answers::check_length(committer.group)?,
            Origin::Transaction(_) => answers::check_group(committer.group)?,
        }
        match self.groups.get(committer.group) {
            Some(group) => group.check_committer(committer),
            // Offsets without a group's members make a group.
            None if committer.generation < 0 => {
                match self.groups.len() < self.core.options.groups_max {
                    true => Ok(()),
                    false => Err(ResponseError::PolicyViolation),
                }
            }
            None => match committer.origin {
                Origin::Plain if committer.version >= NAMES_MISSING_GROUP => {
                    Err(ResponseError::GroupIdNotFound)
                }
                Origin::Plain | Origin::Transaction(_) => Err(ResponseError::IllegalGeneration),
            },
        }
    }
}

/// How an entry is stored.
pub(super) fn pair(group: &Name, origin: Origin, place: &Place, entry: &Entry) -> Pair {
    Pair {
        key: key(group, origin, place).bytes(),
        value: entry_bytes(entry),
    }
}

/// Where.
pub(super) fn key(group: &Name, origin: Origin, (topic, partition): &Place) -> Key {
    let (group, topic) = (Name::clone(group), Name::clone(topic));
    match origin {
        Origin::Plain => Key::Offset(group, topic, *partition),
        Origin::Transaction(producer) => Key::Pending(producer, group, topic, *partition),
    }
}

impl<R: Copy> Group<R> {
    /// Kafka's validateOffsetCommit.
    fn check_committer(&self, committer: &Committer<'_>) -> Result<(), ResponseError> {
        let is_plain = committer.origin == Origin::Plain;
        let is_empty = self.state == State::Empty;
        if committer.generation < 0 && is_empty {
            return Ok(());
        }
        let says_who = committer.generation >= 0
            || !committer.member.is_empty()
            || committer.instance.is_some();
        if says_who {
            self.check_member(committer.member, committer.instance)?;
            if committer.generation != self.generation {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if is_plain {
            // Only members commit while there are some. Old transactional clients cannot say that they
            // are one.
            return Err(ResponseError::UnknownMemberId);
        }
        match self.state {
            // The member knows the new generation, but not yet what it reads in it.
            State::CompletingRebalance if is_plain => Err(ResponseError::RebalanceInProgress),
            State::Empty
            | State::PreparingRebalance
            | State::CompletingRebalance
            | State::Stable => Ok(()),
        }
    }
}
