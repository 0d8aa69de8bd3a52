//! ListGroups and DescribeGroups.
//!
//! Owns: how groups are shown. Never does: changing them. Runs on: the core that owns stripe 0.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ListGroupsRequest, ListGroupsResponse,
    ResponseKind,
};
use kafka_protocol::protocol::StrBytes;

use super::Groups;
use super::answers::{answer, text};
use super::member::Member;
use super::state::Group;
use super::words::State;
use crate::broker::coordinator::{Call, Effect};

/// From these versions ListGroups has a group's state, and its type (KIP-518, KIP-848).
const LIST_WITH_STATE: i16 = 4;
const LIST_WITH_TYPE: i16 = 5;
/// From this version DescribeGroups shows instance ids.
const DESCRIBE_WITH_INSTANCE: i16 = 4;
/// From this version a group that is not there is an error; before, it was a dead group (KIP-1043).
const DESCRIBE_NAMES_MISSING: i16 = 6;

/// The only type of group here.
const CLASSIC: &str = "classic";
/// The state of a group that is not there.
const DEAD: &str = "Dead";
/// READ, DELETE and DESCRIBE by the numbers of Kafka's `AclOperation`: all that can be done with a
/// group, as there are no access lists.
const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8;

/// Kafka's filters know no case.
fn passes(filter: &[StrBytes], value: &str) -> bool {
    let is_it = |wanted: &StrBytes| wanted.trim().eq_ignore_ascii_case(value);
    filter.is_empty() || filter.iter().any(is_it)
}

impl<R: Copy> Groups<R> {
    pub(super) fn list(
        &self,
        call: &Call<'_, R>,
        request: &ListGroupsRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let groups = self
            .groups
            .values()
            .filter(|group| passes(&request.states_filter, group.state.name()))
            .filter(|_| passes(&request.types_filter, CLASSIC))
            .map(|group| listed(group, call.version));
        let response = ListGroupsResponse::default().with_groups(groups.collect());
        answer(effects, call.to, ResponseKind::ListGroups(response));
    }

    pub(super) fn describe(
        &self,
        call: &Call<'_, R>,
        request: &DescribeGroupsRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
        let operations = match request.include_authorized_operations {
            true => ALL_OPERATIONS,
            false => i32::MIN,
        };
        let each = request.groups.iter().map(|id| {
            let described = match self.groups.get(id.as_str()) {
                Some(group) => described(group, call.version),
                None => missing(id, call.version),
            };
            described
                .with_group_id(id.clone())
                .with_authorized_operations(operations)
        });
        let response = DescribeGroupsResponse::default().with_groups(each.collect());
        answer(effects, call.to, ResponseKind::DescribeGroups(response));
    }
}

fn listed<R>(group: &Group<R>, version: i16) -> ListedGroup {
    let mut listed = ListedGroup::default()
        .with_group_id(GroupId(text(&group.name)))
        .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or("")));
    if version >= LIST_WITH_STATE {
        listed.group_state = StrBytes::from_static_str(group.state.name());
    }
    if version >= LIST_WITH_TYPE {
        listed.group_type = StrBytes::from_static_str(CLASSIC);
    }
    listed
}

fn missing(id: &GroupId, version: i16) -> DescribedGroup {
    let missing = DescribedGroup::default().with_group_state(StrBytes::from_static_str(DEAD));
    if version < DESCRIBE_NAMES_MISSING {
        return missing;
    }
    let message = format!("Group {} not found.", id.as_str());
    missing
        .with_error_code(ResponseError::GroupIdNotFound.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn described<R: Copy>(group: &Group<R>, version: i16) -> DescribedGroup {
    // Before all know what they read, what they said may not be by the same protocol.
    let protocol = match group.state {
        State::Stable => group.protocol.as_deref(),
        State::Empty | State::PreparingRebalance | State::CompletingRebalance => None,
    };
    let members = group.members.values();
    let members = members.map(|member| shown(member, protocol, version));
    DescribedGroup::default()
        .with_group_state(StrBytes::from_static_str(group.state.name()))
        .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or("")))
        .with_protocol_data(text(protocol.unwrap_or("")))
        .with_members(members.collect())
}

fn shown<R>(member: &Member<R>, protocol: Option<&str>, version: i16) -> DescribedGroupMember {
    let instance = member.instance.as_deref().map(text);
    let metadata = match protocol {
        Some(_) => member.metadata(protocol),
        None => Bytes::new(),
    };
    DescribedGroupMember::default()
        .with_member_id(text(&member.id))
        .with_group_instance_id(instance.filter(|_| version >= DESCRIBE_WITH_INSTANCE))
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.host))
        .with_member_metadata(metadata)
        .with_member_assignment(member.assignment.clone())
}
