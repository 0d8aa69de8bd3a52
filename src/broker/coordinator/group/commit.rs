//! OffsetCommit and TxnOffsetCommit.
//!
//! Owns: who may commit offsets, what is stored of them. Never does: answering before they are durable.
//! Runs on: the core that owns stripe 0.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{OffsetCommitRequest, TxnOffsetCommitRequest};

use super::format::{Key, entry_bytes};
use super::lines::{Lines, good, plain_lines, plain_reply, transaction_lines, transaction_reply};
use super::state::Group;
use super::stores::Change;
use super::words::State;
use super::{GroupOptions, Groups, Name, answers};
use crate::broker::coordinator::offsets::{Entry, Origin, Place};
use crate::broker::coordinator::{Call, Effect, Pair, Topics};
use crate::ids::{Offset, PartitionIndex, UnixMillis};

/// From this version a group that is not there is called by its name; before, the generation was wrong.
const NAMES_MISSING_GROUP: i16 = 9;
/// OffsetCommit's retention time for "as the broker thinks".
const DEFAULT_RETENTION: i64 = -1;

/// Who commits, as it says.
struct Committer<'a> {
    group: &'a str,
    member: &'a str,
    instance: Option<&'a str>,
    generation: i32,
    origin: Origin,
    version: i16,
}

/// What all entries of a commit share.
struct Terms {
    order: u64,
    committed: UnixMillis,
    expires: Option<UnixMillis>,
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
        let terms = Terms {
            order: self.core.stores.order(),
            committed: call.now.millis(),
            expires,
        };
        group.begin_commit(committer.origin, &terms, lines, &self.core.options)
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

/// What a pair counts: a transaction's is stored once more at its end, under a longer key than it has
/// then, and all of them together.
fn bytes_of(origin: Origin, pair: &Pair) -> usize {
    match origin {
        Origin::Plain => pair.key.len() + pair.value.len(),
        Origin::Transaction(_) => 2 * pair.key.len() + pair.value.len(),
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
    /// Begins the commit of the good lines that there is room for. Gives back what is to be stored.
    fn begin_commit(
        &mut self,
        origin: Origin,
        terms: &Terms,
        lines: &mut [Lines],
        options: &GroupOptions,
    ) -> Vec<(Change, Vec<Pair>)> {
        let mut entries = Vec::new();
        let mut pairs = Vec::new();
        let mut bytes = self.bytes_of_end(origin);
        let mut room = options.offsets_max.saturating_sub(self.offsets.len());
        for (topic, line) in good(lines) {
            if line.metadata.len() > options.offset_metadata_max {
                line.error = ResponseError::OffsetMetadataTooLarge.code();
                continue;
            }
            // It was found, so it is not negative.
            let index = PartitionIndex(line.partition.unsigned_abs());
            let place: Place = (topic.as_str().into(), index);
            let entry = Entry {
                order: terms.order,
                offset: Offset(line.offset),
                leader_epoch: line.leader_epoch,
                committed: terms.committed,
                expires: terms.expires,
                metadata: Name::clone(&line.metadata),
            };
            let pair = pair(&self.name, origin, &place, &entry);
            let more = bytes_of(origin, &pair);
            let is_known = self.offsets.holds(origin, &place);
            if bytes + more > options.commit_bytes_max || (!is_known && room == 0) {
                line.error = ResponseError::InvalidCommitOffsetSize.code();
                continue;
            }
            bytes += more;
            room -= usize::from(!is_known);
            self.offsets.begin(origin, place.clone(), entry.clone());
            entries.push((place, entry));
            pairs.push(pair);
        }
        let change = Change::Commit(Name::clone(&self.name), origin, entries);
        match pairs.is_empty() {
            true => Vec::new(),
            false => vec![(change, pairs)],
        }
    }

    /// What the end of a transaction has to store as it is now.
    fn bytes_of_end(&self, origin: Origin) -> usize {
        let Origin::Transaction(producer) = origin else {
            return 0;
        };
        let pending = self.offsets.pending_of(producer);
        let pairs = pending.map(|(place, entry)| pair(&self.name, origin, place, entry));
        pairs.map(|pair| bytes_of(origin, &pair)).sum()
    }

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
