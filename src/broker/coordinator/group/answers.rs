//! The forms of answers, by version.
//!
//! Owns: which fields a version has. Never does: deciding what is answered. Runs on: the core that owns
//! stripe 0.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupResponse, ResponseKind, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::member::{Member, Waiting};
use super::state::Group;
use crate::broker::coordinator::Effect;

/// From this version JoinGroup and SyncGroup (v5 there) name the protocol's type, and its name may be
/// null.
const JOIN_WITH_TYPE: i16 = 7;
const SYNC_WITH_TYPE: i16 = 5;
/// From this version JoinGroup knows static members.
const JOIN_WITH_INSTANCE: i16 = 5;

/// A copy: what a request carries keeps its whole frame alive.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Longest group id. Kafka has no rule of its own, but its strings end here.
const GROUP_ID_BYTES_MAX: usize = i16::MAX as usize;

/// Refuses what is no name for a group with members.
pub(super) fn check_group(id: &str) -> Result<(), ResponseError> {
    if id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    check_length(id)
}

/// Refuses a group id that is too long. The empty one may have offsets, as old clients commit them.
pub(super) fn check_length(id: &str) -> Result<(), ResponseError> {
    match id.len() <= GROUP_ID_BYTES_MAX {
        true => Ok(()),
        false => Err(ResponseError::InvalidGroupId),
    }
}

/// Sends it.
pub(super) fn answer<R>(effects: &mut Vec<Effect<R>>, to: R, response: ResponseKind) {
    let response = Box::new(response);
    effects.push(Effect::Answer { to, response });
}

/// JoinGroup failed.
pub(super) fn join_error(version: i16, member: &str, error: ResponseError) -> ResponseKind {
    let protocol = (version < JOIN_WITH_TYPE).then(StrBytes::default);
    ResponseKind::JoinGroup(
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_member_id(text(member))
            .with_protocol_name(protocol),
    )
}

/// What the leader is to assign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    /// Nothing: not the leader.
    None,
    /// All members.
    Members,
    /// All members, but it keeps the assignment that there is (KIP-814).
    MembersToKeep,
}

/// JoinGroup succeeded. `leader`: as told, which for a replaced static leader may be its former id.
pub(super) fn joined<R>(
    group: &Group<R>,
    version: i16,
    member: &str,
    leader: &str,
    listing: Listing,
) -> ResponseKind {
    let protocol = group.protocol.as_deref().map(text);
    let protocol = match version < JOIN_WITH_TYPE {
        true => Some(protocol.unwrap_or_default()),
        false => protocol,
    };
    let kind = group.protocol_type.as_deref().map(text);
    let members = match listing {
        Listing::None => Vec::new(),
        Listing::Members | Listing::MembersToKeep => group
            .members
            .values()
            .map(|member| listed(member, group.protocol.as_deref(), version))
            .collect(),
    };
    ResponseKind::JoinGroup(
        JoinGroupResponse::default()
            .with_generation_id(group.generation)
            .with_protocol_type(kind.filter(|_| version >= JOIN_WITH_TYPE))
            .with_protocol_name(protocol)
            .with_leader(text(leader))
            .with_skip_assignment(listing == Listing::MembersToKeep)
            .with_member_id(text(member))
            .with_members(members),
    )
}

fn listed<R>(member: &Member<R>, protocol: Option<&str>, version: i16) -> JoinGroupResponseMember {
    let instance = member.instance.as_deref().map(text);
    JoinGroupResponseMember::default()
        .with_member_id(text(&member.id))
        .with_group_instance_id(instance.filter(|_| version >= JOIN_WITH_INSTANCE))
        .with_metadata(member.metadata(protocol))
}

/// SyncGroup failed.
pub(super) fn sync_error(error: ResponseError) -> ResponseKind {
    ResponseKind::SyncGroup(SyncGroupResponse::default().with_error_code(error.code()))
}

/// SyncGroup succeeded.
pub(super) fn synced<R>(group: &Group<R>, version: i16, assignment: Bytes) -> ResponseKind {
    let with_type = version >= SYNC_WITH_TYPE;
    let kind = group.protocol_type.as_deref().filter(|_| with_type);
    let protocol = group.protocol.as_deref().filter(|_| with_type);
    ResponseKind::SyncGroup(
        SyncGroupResponse::default()
            .with_protocol_type(kind.map(text))
            .with_protocol_name(protocol.map(text))
            .with_assignment(assignment),
    )
}

/// Ends a JoinGroup under way, if there is one.
pub(super) fn end_join<R: Copy>(
    waiting: Option<Waiting<R>>,
    member: &str,
    error: ResponseError,
    effects: &mut Vec<Effect<R>>,
) {
    if let Some(waiting) = waiting {
        let response = join_error(waiting.version, member, error);
        answer(effects, waiting.to, response);
    }
}

/// Ends a SyncGroup under way, if there is one.
pub(super) fn end_sync<R: Copy>(
    waiting: Option<Waiting<R>>,
    error: ResponseError,
    effects: &mut Vec<Effect<R>>,
) {
    if let Some(waiting) = waiting {
        answer(effects, waiting.to, sync_error(error));
    }
}
