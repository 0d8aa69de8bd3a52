//! SyncGroup, Heartbeat, LeaveGroup.
//!
//! Owns: what members of a generation do. Never does: changing who they are but by their leave. Runs on:
//! the core that owns stripe 0.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse, ResponseKind,
    SyncGroupRequest,
};

use super::answers::{self, answer, sync_error, synced};
use super::member::Waiting;
use super::state::Group;
use super::words::State;
use super::{Groups, Name, Scope};
use crate::broker::coordinator::{Call, Effect};

/// From this version SyncGroup must name the protocol and its type (KIP-559).
const SYNC_NAMES_PROTOCOL: i16 = 5;
/// From this version LeaveGroup is for several members, each with its own error (KIP-345).
const LEAVE_OF_SEVERAL: i16 = 3;

impl<R: Copy> Groups<R> {
    pub(super) fn sync(
        &mut self,
        call: &Call<'_, R>,
        request: &SyncGroupRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let has_names = request.protocol_type.is_some() && request.protocol_name.is_some();
        let checked = match call.version < SYNC_NAMES_PROTOCOL || has_names {
            true => answers::check_group(&request.group_id),
            false => Err(ResponseError::InconsistentGroupProtocol),
        };
        let found = checked.and_then(|()| {
            let group = self.groups.get_mut(request.group_id.as_str());
            group.ok_or(ResponseError::UnknownMemberId)
        });
        match found {
            Err(error) => answer(effects, call.to, sync_error(error)),
            Ok(group) => {
                let mut scope = self.core.scope(call.now, effects);
                let (to, version) = (call.to, call.version);
                if let Err(error) = group.sync(Waiting { to, version }, request, &mut scope) {
                    answer(effects, call.to, sync_error(error));
                }
            }
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        call: &Call<'_, R>,
        request: &HeartbeatRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let checked = answers::check_group(&request.group_id);
        let result = checked.and_then(|()| {
            let group = self.groups.get(request.group_id.as_str());
            let group = group.ok_or(ResponseError::UnknownMemberId)?;
            let mut scope = self.core.scope(call.now, effects);
            group.heartbeat(request, &mut scope)
        });
        let code = result.map_or_else(|error| error.code(), |()| 0);
        let response = HeartbeatResponse::default().with_error_code(code);
        answer(effects, call.to, ResponseKind::Heartbeat(response));
    }

    pub(super) fn leave(
        &mut self,
        call: &Call<'_, R>,
        request: &LeaveGroupRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        if let Err(error) = answers::check_group(&request.group_id) {
            let response = LeaveGroupResponse::default().with_error_code(error.code());
            answer(effects, call.to, ResponseKind::LeaveGroup(response));
            return;
        }
        let alone;
        let leaving = match call.version < LEAVE_OF_SEVERAL {
            true => {
                alone = [MemberIdentity::default().with_member_id(request.member_id.clone())];
                &alone[..]
            }
            false => &request.members,
        };
        let results = match self.groups.get_mut(request.group_id.as_str()) {
            None => vec![Err(ResponseError::UnknownMemberId); leaving.len()],
            Some(group) => {
                let mut scope = self.core.scope(call.now, effects);
                group.leave(leaving, &mut scope)
            }
        };
        let code = |result: &Result<(), ResponseError>| match result {
            Ok(()) => 0,
            Err(error) => error.code(),
        };
        let response = match call.version < LEAVE_OF_SEVERAL {
            true => LeaveGroupResponse::default().with_error_code(results.first().map_or(0, code)),
            false => {
                let members = leaving.iter().zip(&results).map(|(member, result)| {
                    MemberResponse::default()
                        .with_member_id(member.member_id.clone())
                        .with_group_instance_id(member.group_instance_id.clone())
                        .with_error_code(code(result))
                });
                LeaveGroupResponse::default().with_members(members.collect())
            }
        };
        answer(effects, call.to, ResponseKind::LeaveGroup(response));
        self.remove_if_void(&request.group_id);
    }
}

/// A name that is given must be the group's.
fn check_same(given: Option<&str>, own: Option<&str>) -> Result<(), ResponseError> {
    match given.is_none() || given == own {
        true => Ok(()),
        false => Err(ResponseError::InconsistentGroupProtocol),
    }
}

impl<R: Copy> Group<R> {
    fn sync(
        &mut self,
        waiting: Waiting<R>,
        request: &SyncGroupRequest,
        scope: &mut Scope<'_, R>,
    ) -> Result<(), ResponseError> {
        let id = &*request.member_id;
        self.check_member(id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        check_same(
            request.protocol_type.as_deref(),
            self.protocol_type.as_deref(),
        )?;
        check_same(request.protocol_name.as_deref(), self.protocol.as_deref())?;
        match self.state {
            State::Empty => return Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => return Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance => {
                let is_leader = self.is_leader(id);
                let most = scope.core.options.member_bytes_max;
                let mut sizes = request.assignments.iter().map(|one| one.assignment.len());
                if is_leader && sizes.any(|bytes| bytes > most) {
                    return Err(ResponseError::PolicyViolation);
                }
                if let Some(member) = self.members.get_mut(id) {
                    let former = member.syncing.replace(waiting);
                    // The client has given up on that one.
                    let error = ResponseError::CoordinatorNotAvailable;
                    answers::end_sync(former, error, scope.effects);
                }
                self.has_synced(id, scope);
                if is_leader {
                    self.assign(request, scope);
                }
            }
            State::Stable => {
                self.has_synced(id, scope);
                let assignment = self.members.get(id).map(|member| member.assignment.clone());
                let response = synced(self, waiting.version, assignment.unwrap_or_default());
                answer(scope.effects, waiting.to, response);
            }
        }
        Ok(())
    }

    /// The leader has spoken. Who is not in its list is assigned nothing.
    fn assign(&mut self, request: &SyncGroupRequest, scope: &mut Scope<'_, R>) {
        let mut assignments: BTreeMap<&str, &Bytes> = request
            .assignments
            .iter()
            .map(|one| (&*one.member_id, &one.assignment))
            .collect();
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            // A copy: a slice would keep the whole frame alive.
            let assigned = assignments.remove(&*member.id);
            member.assignment = assigned
                .map(|bytes| Bytes::copy_from_slice(bytes))
                .unwrap_or_default();
            if let Some(one) = member.syncing.take() {
                waiting.push((one, Name::clone(&member.id), member.assignment.clone()));
            }
        }
        for (one, id, assignment) in waiting {
            answer(scope.effects, one.to, synced(self, one.version, assignment));
            self.heard_of(&id, scope);
        }
        self.enter(State::Stable, scope.now.millis());
    }

    fn heartbeat(
        &self,
        request: &HeartbeatRequest,
        scope: &mut Scope<'_, R>,
    ) -> Result<(), ResponseError> {
        let id = &*request.member_id;
        self.check_member(id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => {
                self.heard_of(id, scope);
                Err(ResponseError::RebalanceInProgress)
            }
            State::CompletingRebalance | State::Stable => {
                self.heard_of(id, scope);
                Ok(())
            }
        }
    }

    /// Members leave together, so that those who stay rejoin once.
    fn leave(
        &mut self,
        leaving: &[MemberIdentity],
        scope: &mut Scope<'_, R>,
    ) -> Vec<Result<(), ResponseError>> {
        let mut results = Vec::with_capacity(leaving.len());
        for one in leaving {
            let found = self.find_leaving(one);
            if let Ok(id) = &found {
                self.dismiss(id, scope);
            }
            results.push(found.map(|_| ()));
        }
        if results.iter().any(Result::is_ok) {
            match self.state {
                State::Empty => {}
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(scope),
                State::PreparingRebalance => self.try_complete_join(scope),
            }
        }
        results
    }

    /// Administrators name a static member by its instance id alone.
    fn find_leaving(&self, one: &MemberIdentity) -> Result<Name, ResponseError> {
        let instance = one.group_instance_id.as_deref();
        if one.member_id.is_empty() {
            let id = instance.and_then(|instance| self.statics.get(instance));
            return id.cloned().ok_or(ResponseError::UnknownMemberId);
        }
        if !self.expected.contains(&*one.member_id) {
            self.check_member(&one.member_id, instance)?;
        }
        Ok((&*one.member_id).into())
    }
}
