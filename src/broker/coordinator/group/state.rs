//! One group: its members, its state, what its members agree on.
//!
//! Owns: what Kafka's `ClassicGroup` owns. Never does: answering, timers. Runs on: the core that owns
//! stripe 0.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

use super::Name;
use super::member::{Member, Standing};
use super::subscription::{self, CONSUMER};
use super::words::{InitialDelay, Leader, Recorded, Removed, State, UnusedSince};
use crate::broker::coordinator::offsets::Offsets;
use crate::ids::UnixMillis;

/// A group.
#[derive(Debug)]
pub(super) struct Group<R> {
    pub(super) name: Name,
    pub(super) state: State,
    /// When that state began; not known of a group that was restored with members.
    pub(super) since: Option<UnixMillis>,
    /// Set exactly while the first members of an empty group join.
    pub(super) initial: Option<InitialDelay>,
    pub(super) generation: i32,
    /// As `consumer`; that of the last members if there are none, `None` before the first.
    pub(super) protocol_type: Option<Name>,
    /// What the members of this generation agreed on.
    pub(super) protocol: Option<Name>,
    /// A member, whenever there is one.
    pub(super) leader: Option<Name>,
    pub(super) members: BTreeMap<Name, Member<R>>,
    /// Members with an instance id, by it.
    pub(super) statics: BTreeMap<Name, Name>,
    /// Ids that were told to clients who have not joined with them yet.
    pub(super) expected: BTreeSet<Name>,
    /// Members of this generation that have not asked for their assignment.
    pub(super) unsynced: BTreeSet<Name>,
    /// What this generation's members read; `None` if that is not known.
    pub(super) subscribed: Option<BTreeSet<Name>>,
    pub(super) recorded: Recorded,
    pub(super) offsets: Offsets,
}

impl<R: Copy> Group<R> {
    /// A group without anything.
    pub(super) fn new(name: Name) -> Group<R> {
        Group {
            name,
            state: State::Empty,
            since: None,
            initial: None,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            expected: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            subscribed: None,
            recorded: Recorded::Nothing,
            offsets: Offsets::default(),
        }
    }

    /// Whether nobody would miss it: no members now or soon, no offsets.
    pub(super) fn is_removable(&self) -> bool {
        self.state == State::Empty && self.expected.is_empty() && self.offsets.is_empty()
    }

    /// Whether it is as if it had never been.
    pub(super) fn is_void(&self) -> bool {
        self.is_removable() && self.protocol_type.is_none() && self.recorded == Recorded::Nothing
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// How many members have a JoinGroup under way.
    pub(super) fn joining(&self) -> usize {
        let joins = |member: &&Member<R>| member.joining.is_some();
        self.members.values().filter(joins).count()
    }

    /// Whether there is nobody to wait for. Without members there is not: who is only expected begins a
    /// group anew.
    pub(super) fn all_joined(&self) -> bool {
        let has_joined = |member: &Member<R>| member.joining.is_some();
        self.members.is_empty()
            || (self.expected.is_empty() && self.members.values().all(has_joined))
    }

    /// How long members are given to rejoin, in milliseconds: as long as the most patient one wants.
    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        let timeouts = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        i64::from(timeouts.max().unwrap_or(0).max(0))
    }

    /// Whether a member with these may join.
    pub(super) fn accepts(&self, kind: &str, protocols: &[Name]) -> bool {
        if self.state == State::Empty {
            return !kind.is_empty() && !protocols.is_empty();
        }
        let agrees = |protocol: &Name| {
            self.members
                .values()
                .all(|member| member.supports(protocol))
        };
        self.protocol_type.as_deref() == Some(kind) && protocols.iter().any(agrees)
    }

    /// The protocol that most members prefer of those that all know; among equals the one that the
    /// leader prefers. `None` without members.
    pub(super) fn select_protocol(&self) -> Option<Name> {
        let leader = self.members.get(self.leader.as_ref()?)?;
        let candidates: Vec<&Name> = leader
            .protocols
            .iter()
            .map(|protocol| &protocol.name)
            .filter(|name| self.members.values().all(|member| member.supports(name)))
            .collect();
        let votes_for = |candidate: &Name| {
            let votes = |member: &&Member<R>| {
                let mut known = member.protocols.iter().map(|protocol| &protocol.name);
                known.find(|name| candidates.contains(name)) == Some(candidate)
            };
            self.members.values().filter(votes).count()
        };
        // `max_by_key` takes the last of equals.
        let preferred_last = candidates.iter().rev();
        preferred_last
            .max_by_key(|candidate| votes_for(candidate))
            .map(|name| Name::clone(name))
    }

    /// Makes a member of the id; it must not be one.
    pub(super) fn add(&mut self, kind: &str, member: Member<R>) {
        let id = Name::clone(&member.id);
        if self.members.is_empty() {
            self.protocol_type = Some(kind.into());
        }
        if self.leader.is_none() {
            self.leader = Some(Name::clone(&id));
        }
        if let Some(instance) = &member.instance {
            self.statics.insert(Name::clone(instance), Name::clone(&id));
        }
        self.expected.remove(&id);
        self.members.insert(id, member);
    }

    /// Forgets a member, or who was expected to become one. Gives back the requests whose answers are
    /// owed.
    pub(super) fn remove(&mut self, id: &str) -> Removed<R> {
        self.expected.remove(id);
        self.unsynced.remove(id);
        let Some(member) = self.members.remove(id) else {
            return Removed {
                joining: None,
                syncing: None,
            };
        };
        if let Some(instance) = &member.instance {
            self.statics.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Removed {
            joining: member.joining,
            syncing: member.syncing,
        }
    }

    /// Gives a static member a new id. `None` if there is no such member.
    pub(super) fn replace(&mut self, old: &str, new: &Name) -> Option<Removed<R>> {
        let mut member = self.members.remove(old)?;
        let removed = Removed {
            joining: member.joining.take(),
            syncing: member.syncing.take(),
        };
        if self.is_leader(old) {
            self.leader = Some(Name::clone(new));
        }
        if let Some(instance) = &member.instance {
            let instance = Name::clone(instance);
            self.statics.insert(instance, Name::clone(new));
        }
        if self.unsynced.remove(old) {
            self.unsynced.insert(Name::clone(new));
        }
        member.id = Name::clone(new);
        member.standing = Standing::Known;
        self.members.insert(Name::clone(new), member);
        Some(removed)
    }

    /// Makes sure that the leader is one of those who joined. Says whether there is one.
    pub(super) fn elect_joined_leader(&mut self) -> Leader {
        let has_joined = |id: &Name| {
            let member = self.members.get(id);
            member.is_some_and(|member| member.joining.is_some())
        };
        if self.leader.as_ref().is_some_and(has_joined) {
            return Leader::Present;
        }
        let mut joined = self
            .members
            .values()
            .filter(|member| member.joining.is_some());
        match joined.next() {
            Some(member) => {
                self.leader = Some(Name::clone(&member.id));
                Leader::Present
            }
            None => Leader::Absent,
        }
    }

    /// Whether a request's member is one, and the one of its instance id.
    pub(super) fn check_member(
        &self,
        id: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            match self.statics.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(member) if **member != *id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        match self.members.contains_key(id) {
            true => Ok(()),
            false => Err(ResponseError::UnknownMemberId),
        }
    }

    /// Moves on to another state.
    pub(super) fn enter(&mut self, state: State, at: UnixMillis) {
        self.state = state;
        self.since = Some(at);
        self.initial = None;
    }

    /// Begins the next generation with the members that there are.
    pub(super) fn begin_generation(&mut self, at: UnixMillis) {
        // Kafka's would turn negative here, which clients take for no generation.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.select_protocol();
        self.subscribed = self.subscriptions();
        self.unsynced.clear();
        let next = match self.members.is_empty() {
            true => State::Empty,
            false => State::CompletingRebalance,
        };
        self.enter(next, at);
    }

    fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    fn subscriptions(&self) -> Option<BTreeSet<Name>> {
        if !self.is_of_consumers() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            subscription::topics(&member.metadata(self.protocol.as_deref()), &mut topics)?;
        }
        Some(topics)
    }

    /// Whether members read a topic, or may for all we know.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// Whether offsets may be deleted from it, those that [`Group::is_subscribed`] protects aside.
    pub(super) fn check_offset_deletion(&self) -> Result<(), ResponseError> {
        match self.state {
            State::Empty => Ok(()),
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                match self.is_of_consumers() {
                    true => Ok(()),
                    false => Err(ResponseError::NonEmptyGroup),
                }
            }
        }
    }

    /// From when on offsets count as unused: `None` while they are used, else since when the group has
    /// been without members, or `Commit` for since they were committed (Kafka's
    /// `offsetExpirationCondition`).
    pub(super) fn unused_since(&self) -> Option<UnusedSince> {
        match (&self.protocol_type, self.state) {
            (None, _) => Some(UnusedSince::Commit),
            (Some(_), State::Empty) => {
                Some(self.since.map_or(UnusedSince::Commit, UnusedSince::At))
            }
            (Some(_), State::Stable) if self.is_of_consumers() && self.subscribed.is_some() => {
                Some(UnusedSince::Commit)
            }
            (Some(_), State::Stable | State::PreparingRebalance | State::CompletingRebalance) => {
                None
            }
        }
    }
}
