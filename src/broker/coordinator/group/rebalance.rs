//! From one generation to the next.
//!
//! Owns: when members are asked to rejoin, when a generation begins, who is dropped on the way: what
//! Kafka's `GroupMetadataManager` calls prepareRebalance, completeClassicGroupJoin and their timers.
//! Never does: reading requests. Runs on: the core that owns stripe 0.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::answers::{self, Listing, answer};
use super::format::{Fact, Key};
use super::member::Standing;
use super::state::Group;
use super::stores::Change;
use super::timers::Timer;
use super::words::{InitialDelay, Leader, News, Recorded, Removed, State};
use super::{Name, Scope};
use crate::broker::coordinator::Pair;

/// How long a member that has never been told of a generation may wait for it, in milliseconds: its
/// client may be gone without our knowing. Kafka's `classicGroupNewMemberJoinTimeoutMs`.
const NEW_MEMBER_TIMEOUT_MS: i64 = 300_000;

impl<R: Copy> Group<R> {
    fn member_timer(&self, member: &Name) -> Timer {
        Timer::Member(Name::clone(&self.name), Name::clone(member))
    }

    fn join_timer(&self) -> Timer {
        Timer::Join(Name::clone(&self.name))
    }

    fn sync_timer(&self) -> Timer {
        Timer::Sync(Name::clone(&self.name))
    }

    /// Expects to hear of an id within a time.
    pub(super) fn expect(&self, member: &Name, ms: i64, scope: &mut Scope<'_, R>) {
        let timer = self.member_timer(member);
        scope.core.timers.set(timer, scope.now.mono, ms);
    }

    /// A member was heard of.
    pub(super) fn heard_of(&self, member: &str, scope: &mut Scope<'_, R>) {
        if let Some(member) = self.members.get(member) {
            let ms = i64::from(member.session_timeout_ms);
            self.expect(&member.id, ms, scope);
        }
    }

    /// A new member waits for its first generation.
    pub(super) fn expect_new(&self, member: &Name, scope: &mut Scope<'_, R>) {
        self.expect(member, NEW_MEMBER_TIMEOUT_MS, scope);
    }

    /// Forgets a member, or who was expected to become one; what it waits for ends in an error.
    pub(super) fn dismiss(&mut self, member: &Name, scope: &mut Scope<'_, R>) {
        scope.core.timers.cancel(self.member_timer(member));
        let Removed { joining, syncing } = self.remove(member);
        // The client begins anew if it is still there.
        answers::end_join(joining, "", ResponseError::UnknownMemberId, scope.effects);
        answers::end_sync(syncing, ResponseError::UnknownMemberId, scope.effects);
    }

    /// Members changed: they are asked to rejoin, or if they are joining already, that may be complete.
    pub(super) fn rebalance(&mut self, scope: &mut Scope<'_, R>) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(scope);
            }
            State::PreparingRebalance => self.try_complete_join(scope),
        }
    }

    /// Asks all members to rejoin.
    pub(super) fn prepare_rebalance(&mut self, scope: &mut Scope<'_, R>) {
        if self.state == State::CompletingRebalance {
            self.end_syncs(scope);
        }
        self.unsynced.clear();
        scope.core.timers.cancel(self.sync_timer());
        let was_empty = self.state == State::Empty;
        self.enter(State::PreparingRebalance, scope.now.millis());
        let delay_ms = i64::from(scope.core.options.initial_rebalance_delay_ms);
        if was_empty && delay_ms > 0 {
            let remaining_ms = (self.rebalance_timeout_ms() - delay_ms).max(0);
            self.delay(delay_ms, remaining_ms, scope);
        } else if was_empty || self.all_joined() {
            self.complete_join(scope);
        } else {
            let (timer, ms) = (self.join_timer(), self.rebalance_timeout_ms());
            scope.core.timers.set(timer, scope.now.mono, ms);
        }
    }

    /// Members that wait for an assignment are told to rejoin. Their sessions begin anew, as they may
    /// have ended while nothing was asked of them.
    fn end_syncs(&mut self, scope: &mut Scope<'_, R>) {
        let mut told = Vec::new();
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(waiting) = member.syncing.take() {
                let error = ResponseError::RebalanceInProgress;
                answers::end_sync(Some(waiting), error, scope.effects);
                told.push(Name::clone(&member.id));
            }
        }
        for member in &told {
            self.heard_of(member, scope);
        }
    }

    fn delay(&mut self, delay_ms: i64, remaining_ms: i64, scope: &mut Scope<'_, R>) {
        self.initial = Some(InitialDelay {
            delay_ms,
            remaining_ms,
            news: News::None,
        });
        scope
            .core
            .timers
            .set(self.join_timer(), scope.now.mono, delay_ms);
    }

    /// Begins the next generation if there is nobody to wait for.
    pub(super) fn try_complete_join(&mut self, scope: &mut Scope<'_, R>) {
        if self.state == State::PreparingRebalance && self.initial.is_none() && self.all_joined() {
            self.complete_join(scope);
        }
    }

    /// The wait for members to rejoin is over.
    pub(super) fn join_expired(&mut self, scope: &mut Scope<'_, R>) {
        match self.initial {
            Some(initial) if initial.news == News::Member && initial.remaining_ms > 0 => {
                let most = i64::from(scope.core.options.initial_rebalance_delay_ms);
                let delay_ms = most.min(initial.remaining_ms);
                let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
                self.delay(delay_ms, remaining_ms, scope);
            }
            Some(_) | None => self.complete_join(scope),
        }
    }

    /// Begins the next generation with those who have joined, and with static members, who may take
    /// until their session ends.
    fn complete_join(&mut self, scope: &mut Scope<'_, R>) {
        scope.core.timers.cancel(self.join_timer());
        let late: Vec<Name> = self
            .members
            .values()
            .filter(|member| member.joining.is_none() && member.instance.is_none())
            .map(|member| Name::clone(&member.id))
            .collect();
        for member in &late {
            self.dismiss(member, scope);
        }
        if !self.members.is_empty() && self.elect_joined_leader() == Leader::Absent {
            // Only static members, none of them back: sessions will end, or one rejoins.
            self.initial = None;
            let (timer, ms) = (self.join_timer(), self.rebalance_timeout_ms());
            scope.core.timers.set(timer, scope.now.mono, ms);
            return;
        }
        self.begin_generation(scope.now.millis());
        self.record(scope);
        if self.state == State::Empty {
            return;
        }
        let leader = self.leader.clone().unwrap_or_default();
        let members: Vec<Name> = self.members.keys().cloned().collect();
        for id in &members {
            let listing = match *id == leader {
                true => Listing::Members,
                false => Listing::None,
            };
            self.end_join_well(id, &leader, listing, scope);
            self.heard_of(id, scope);
        }
        for member in self.members.values_mut() {
            member.standing = Standing::Known;
        }
        self.unsynced = members.into_iter().collect();
        let (timer, ms) = (self.sync_timer(), self.rebalance_timeout_ms());
        scope.core.timers.set(timer, scope.now.mono, ms);
    }

    /// Answers a member's JoinGroup with the generation that there is, if it waits for it.
    pub(super) fn end_join_well(
        &mut self,
        id: &Name,
        leader: &str,
        listing: Listing,
        scope: &mut Scope<'_, R>,
    ) {
        let waiting = self
            .members
            .get_mut(id)
            .and_then(|member| member.joining.take());
        if let Some(waiting) = waiting {
            let response = answers::joined(self, waiting.version, id, leader, listing);
            answer(scope.effects, waiting.to, response);
        }
    }

    /// A member has asked for its assignment.
    pub(super) fn has_synced(&mut self, member: &str, scope: &mut Scope<'_, R>) {
        self.unsynced.remove(member);
        if self.unsynced.is_empty() {
            scope.core.timers.cancel(self.sync_timer());
        }
    }

    /// The wait for members to ask for their assignment is over.
    pub(super) fn sync_expired(&mut self, scope: &mut Scope<'_, R>) {
        match self.state {
            State::Empty | State::PreparingRebalance => {}
            State::CompletingRebalance | State::Stable => {
                let late: Vec<Name> = self.unsynced.iter().cloned().collect();
                for member in &late {
                    self.dismiss(member, scope);
                }
                if !late.is_empty() {
                    self.prepare_rebalance(scope);
                }
            }
        }
    }

    /// Nothing was heard of a member, or of who was expected to become one, for too long.
    pub(super) fn member_expired(&mut self, member: &Name, scope: &mut Scope<'_, R>) {
        if self
            .members
            .get(member)
            .is_some_and(|member| member.is_excused())
        {
            return;
        }
        let was_member = self.members.contains_key(member);
        self.dismiss(member, scope);
        match was_member {
            true => self.rebalance(scope),
            false => self.try_complete_join(scope),
        }
    }

    /// Stores whether the group has members, if that is not stored already: offsets are kept while it
    /// has, and for a time from when it has not.
    pub(super) fn record(&mut self, scope: &mut Scope<'_, R>) {
        let Some(protocol_type) = self.protocol_type.clone() else {
            return;
        };
        let fact = Fact {
            empty_since: self.since.filter(|_| self.state == State::Empty),
            protocol_type,
        };
        if self.recorded == Recorded::Fact(fact.clone()) {
            return;
        }
        let pair = Pair {
            key: Key::Standing(Name::clone(&self.name)).bytes(),
            value: fact.bytes(),
        };
        self.recorded = Recorded::Fact(fact);
        let change = Change::Record(Name::clone(&self.name));
        let changes = vec![(change, vec![pair])];
        scope.core.stores.begin(changes, None, scope.effects);
    }

    /// Tries once more what could not be stored.
    pub(super) fn record_again(&mut self, scope: &mut Scope<'_, R>) {
        if self.recorded == Recorded::Unknown {
            self.record(scope);
        }
    }
}
