//! JoinGroup.
//!
//! Owns: who becomes a member. Never does: beginning a generation, see [`super::rebalance`]. Runs on:
//! the core that owns stripe 0.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::JoinGroupRequest;

use super::answers::{self, Listing, answer, join_error};
use super::member::{Member, Protocol, Standing, Waiting};
use super::state::Group;
use super::words::{News, State};
use super::{GroupOptions, Groups, Name, Scope};
use crate::broker::coordinator::{Call, Caller, Effect};

/// From this version members without an instance id join a second time, with the id that the first
/// answer has (KIP-394): a client that never gets its answer leaves no member behind.
const REQUIRES_MEMBER_ID: i16 = 4;
/// From this version a static leader that is back is told all members, and to keep its assignment
/// (KIP-814).
const SKIPS_ASSIGNMENT: i16 = 9;
/// Before this version the time to rejoin is that of the session.
const HAS_REBALANCE_TIMEOUT: i16 = 1;
/// What a protocol is counted to take beside its name and metadata, so that many empty ones count.
const PROTOCOL_BYTES: usize = 64;

/// A JoinGroup, read.
struct Join<R> {
    member: Name,
    instance: Option<Name>,
    kind: Name,
    protocols: Vec<Protocol>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    waiting: Waiting<R>,
}

impl<R: Copy> Join<R> {
    fn read(request: &JoinGroupRequest, waiting: Waiting<R>) -> Join<R> {
        let rebalance_timeout_ms = match waiting.version < HAS_REBALANCE_TIMEOUT {
            true => request.session_timeout_ms,
            false => request.rebalance_timeout_ms,
        };
        let protocol =
            |protocol: &kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol| {
                Protocol {
                    name: (&*protocol.name).into(),
                    // A copy: a slice would keep the whole frame alive.
                    metadata: Bytes::copy_from_slice(&protocol.metadata),
                }
            };
        Join {
            member: (&*request.member_id).into(),
            instance: request.group_instance_id.as_deref().map(Name::from),
            kind: (&*request.protocol_type).into(),
            protocols: request.protocols.iter().map(protocol).collect(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms,
            waiting,
        }
    }

    fn refuse(&self, member: &str, error: ResponseError, effects: &mut Vec<Effect<R>>) {
        let response = join_error(self.waiting.version, member, error);
        answer(effects, self.waiting.to, response);
    }

    fn names(&self) -> Vec<Name> {
        let names = self.protocols.iter().map(|protocol| &protocol.name);
        names.cloned().collect()
    }

    /// As a member that waits for its first generation.
    fn member(self, id: Name, caller: &Caller) -> Member<R> {
        Member {
            id,
            instance: self.instance,
            client_id: caller.client_id.as_str().into(),
            host: caller.host.as_str().into(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            protocols: self.protocols,
            assignment: Bytes::new(),
            standing: Standing::New,
            joining: Some(self.waiting),
            syncing: None,
        }
    }

    /// As what a member says from now on.
    fn update(self, member: &mut Member<R>, effects: &mut Vec<Effect<R>>) {
        member.rebalance_timeout_ms = self.rebalance_timeout_ms;
        member.session_timeout_ms = self.session_timeout_ms;
        member.protocols = self.protocols;
        let former = member.joining.replace(self.waiting);
        // The client has given up on that one.
        let error = ResponseError::CoordinatorNotAvailable;
        answers::end_join(former, &member.id, error, effects);
    }
}

/// What can be said of a request whatever the group.
fn check(request: &JoinGroupRequest, options: &GroupOptions) -> Result<(), ResponseError> {
    answers::check_group(&request.group_id)?;
    let sessions = options.session_timeout_min_ms..=options.session_timeout_max_ms;
    if !sessions.contains(&request.session_timeout_ms) {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    let bytes_of =
        |protocol: &kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol| {
            PROTOCOL_BYTES + protocol.name.len() + protocol.metadata.len()
        };
    let instance = request.group_instance_id.as_ref();
    let bytes = request.protocols.iter().map(bytes_of).sum::<usize>()
        + instance.map_or(0, |instance| instance.len());
    match bytes <= options.member_bytes_max {
        true => Ok(()),
        false => Err(ResponseError::PolicyViolation),
    }
}

impl<R: Copy> Groups<R> {
    pub(super) fn join(
        &mut self,
        call: &Call<'_, R>,
        request: &JoinGroupRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let (to, version) = (call.to, call.version);
        let name = request.group_id.as_str();
        let is_new = request.member_id.is_empty();
        let found = check(request, &self.core.options).and_then(|()| match self.groups.get(name) {
            None if !is_new => Err(ResponseError::UnknownMemberId),
            None if self.groups.len() >= self.core.options.groups_max => {
                Err(ResponseError::PolicyViolation)
            }
            Some(_) | None => Ok(()),
        });
        if let Err(error) = found {
            answer(effects, to, join_error(version, &request.member_id, error));
            return;
        }
        let join = Join::read(request, Waiting { to, version });
        let name = Name::from(name);
        let group = self
            .groups
            .entry(Name::clone(&name))
            .or_insert_with(|| Group::new(Name::clone(&name)));
        let mut scope = self.core.scope(call.now, effects);
        group.join(join, call.caller, &mut scope);
        self.remove_if_void(&name);
    }
}

impl<R: Copy> Group<R> {
    fn join(&mut self, join: Join<R>, caller: &Caller, scope: &mut Scope<'_, R>) {
        if !self.has_room_for(&join.member, scope.core.options.members_max) {
            let member = Name::clone(&join.member);
            self.dismiss(&member, scope);
            join.refuse("", ResponseError::GroupMaxSizeReached, scope.effects);
            self.try_complete_join(scope);
        } else if !self.accepts(&join.kind, &join.names()) {
            let error = ResponseError::InconsistentGroupProtocol;
            join.refuse(&join.member, error, scope.effects);
        } else if join.member.is_empty() {
            self.join_new(join, caller, scope);
        } else if self.expected.contains(&join.member) && join.instance.is_none() {
            let member = Name::clone(&join.member);
            self.add_member(join, member, caller, scope);
        } else {
            self.join_again(join, scope);
        }
    }

    /// Kafka's acceptJoiningMember. While members rejoin, those who have are counted: the last ones are
    /// those who find the group full. Ids that were only told count too, or they could grow without
    /// bound.
    fn has_room_for(&self, member: &str, most: usize) -> bool {
        let is_told = self.expected.contains(member);
        if member.is_empty() && self.expected.len() >= most {
            return false;
        }
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                let known = self.members.get(member);
                known.is_some_and(|member| member.joining.is_some()) || self.joining() < most
            }
            State::CompletingRebalance | State::Stable => {
                let is_member = self.members.contains_key(member);
                is_member || self.members.len() + usize::from(!is_told) * self.expected.len() < most
            }
        }
    }

    fn join_new(&mut self, join: Join<R>, caller: &Caller, scope: &mut Scope<'_, R>) {
        let Some(instance) = join.instance.clone() else {
            let id = scope.core.ids.next(&caller.client_id);
            if join.waiting.version < REQUIRES_MEMBER_ID {
                self.add_member(join, id, caller, scope);
                return;
            }
            self.expected.insert(Name::clone(&id));
            self.expect(&id, i64::from(join.session_timeout_ms), scope);
            join.refuse(&id, ResponseError::MemberIdRequired, scope.effects);
            return;
        };
        let id = scope.core.ids.next(&instance);
        match self.statics.get(&instance).cloned() {
            Some(former) => self.replace_static(join, &former, id, scope),
            None => self.add_member(join, id, caller, scope),
        }
    }

    fn add_member(&mut self, join: Join<R>, id: Name, caller: &Caller, scope: &mut Scope<'_, R>) {
        if let Some(initial) = &mut self.initial {
            initial.news = News::Member;
        }
        let kind = Name::clone(&join.kind);
        self.add(&kind, join.member(Name::clone(&id), caller));
        self.expect_new(&id, scope);
        self.rebalance(scope);
    }

    fn join_again(&mut self, join: Join<R>, scope: &mut Scope<'_, R>) {
        let id = Name::clone(&join.member);
        if let Err(error) = self.check_member(&id, join.instance.as_deref()) {
            join.refuse(&id, error, scope.effects);
            return;
        }
        let is_leader = self.is_leader(&id);
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let is_same = member.protocols == join.protocols;
        match self.state {
            // The answer was lost on its way, or a follower asks once more.
            State::CompletingRebalance if is_same => self.tell_again(&join.waiting, &id, scope),
            State::Stable if is_same && !is_leader => self.tell_again(&join.waiting, &id, scope),
            // A leader that rejoins wants its group to be assigned anew.
            State::Empty
            | State::PreparingRebalance
            | State::CompletingRebalance
            | State::Stable => {
                join.update(member, scope.effects);
                self.rebalance(scope);
            }
        }
    }

    /// Answers with the generation that there is.
    fn tell_again(&mut self, waiting: &Waiting<R>, id: &Name, scope: &mut Scope<'_, R>) {
        let listing = match self.is_leader(id) {
            true => Listing::Members,
            false => Listing::None,
        };
        let leader = self.leader.clone().unwrap_or_default();
        let response = answers::joined(self, waiting.version, id, &leader, listing);
        answer(scope.effects, waiting.to, response);
    }

    /// A static member is back under a new id (KIP-345).
    fn replace_static(&mut self, join: Join<R>, former: &Name, id: Name, scope: &mut Scope<'_, R>) {
        let version = join.waiting.version;
        let former_leader = self.leader.clone().unwrap_or_default();
        self.fence(former, &id, scope);
        if let Some(member) = self.members.get_mut(&id) {
            join.update(member, scope.effects);
        }
        self.heard_of(&id, scope);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                let is_leader = self.is_leader(&id);
                if version < SKIPS_ASSIGNMENT {
                    // A leader that does not know its own id in the answer assigns nothing; the group
                    // would not take it.
                    self.end_join_well(&id, &former_leader, Listing::None, scope);
                    return;
                }
                let listing = match is_leader {
                    true => Listing::MembersToKeep,
                    false => Listing::None,
                };
                let leader = self.leader.clone().unwrap_or_default();
                self.end_join_well(&id, &leader, listing, scope);
            }
            // While the leader assigns, it may do so for the former id.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(scope),
            State::Empty | State::PreparingRebalance => self.try_complete_join(scope),
        }
    }

    fn fence(&mut self, former: &Name, id: &Name, scope: &mut Scope<'_, R>) {
        let Some(removed) = self.replace(former, id) else {
            return;
        };
        let timer = super::timers::Timer::Member(Name::clone(&self.name), Name::clone(former));
        scope.core.timers.cancel(timer);
        let error = ResponseError::FencedInstanceId;
        answers::end_join(removed.joining, former, error, scope.effects);
        answers::end_sync(removed.syncing, error, scope.effects);
    }
}
