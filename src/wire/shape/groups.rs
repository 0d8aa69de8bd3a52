//! Requests about consumer groups and their offsets.

use crate::wire::api;
use crate::wire::shape::{
    Field, boolean, bytes, int8, int32, int32s, int64, string, strings, structs,
};

const OFFSET_COMMIT: &[Field] = &[
    string("group_id"),
    int32("generation_id_or_member_epoch").since(1),
    string("member_id").since(1),
    string("group_instance_id").since(7).nullable_since(7),
    int64("retention_time_ms").since(2).until(4),
    structs("topics", OFFSET_COMMIT_TOPIC),
];

const OFFSET_COMMIT_TOPIC: &[Field] = &[
    string("name"),
    structs("partitions", OFFSET_COMMIT_PARTITION),
];

const OFFSET_COMMIT_PARTITION: &[Field] = &[
    int32("partition_index"),
    int64("committed_offset"),
    int32("committed_leader_epoch").since(6),
    string("committed_metadata").nullable_since(0),
];

const OFFSET_FETCH: &[Field] = &[
    string("group_id").until(7),
    structs("topics", OFFSET_FETCH_TOPIC)
        .until(7)
        .nullable_since(2),
    structs("groups", OFFSET_FETCH_GROUP).since(8),
    boolean("require_stable").since(7),
];

const OFFSET_FETCH_TOPIC: &[Field] = &[string("name"), int32s("partition_indexes")];

const OFFSET_FETCH_GROUP: &[Field] = &[
    string("group_id"),
    string("member_id").since(9).nullable_since(9),
    int32("member_epoch").since(9),
    structs("topics", OFFSET_FETCH_TOPIC).nullable_since(8),
];

const FIND_COORDINATOR: &[Field] = &[
    string("key").until(3),
    int8("key_type").since(1),
    strings("coordinator_keys").since(4),
];

const JOIN_GROUP: &[Field] = &[
    string("group_id"),
    int32("session_timeout_ms"),
    int32("rebalance_timeout_ms").since(1),
    string("member_id"),
    string("group_instance_id").since(5).nullable_since(5),
    string("protocol_type"),
    structs("protocols", JOIN_GROUP_PROTOCOL),
    string("reason").since(8).nullable_since(8),
];

const JOIN_GROUP_PROTOCOL: &[Field] = &[string("name"), bytes("metadata")];

const HEARTBEAT: &[Field] = &[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable_since(3),
];

const LEAVE_GROUP: &[Field] = &[
    string("group_id"),
    string("member_id").until(2),
    structs("members", LEAVE_GROUP_MEMBER).since(3),
];

const LEAVE_GROUP_MEMBER: &[Field] = &[
    string("member_id"),
    string("group_instance_id").nullable_since(3),
    string("reason").since(5).nullable_since(5),
];

const SYNC_GROUP: &[Field] = &[
    string("group_id"),
    int32("generation_id"),
    string("member_id"),
    string("group_instance_id").since(3).nullable_since(3),
    string("protocol_type").since(5).nullable_since(5),
    string("protocol_name").since(5).nullable_since(5),
    structs("assignments", SYNC_GROUP_ASSIGNMENT),
];

const SYNC_GROUP_ASSIGNMENT: &[Field] = &[string("member_id"), bytes("assignment")];

const DESCRIBE_GROUPS: &[Field] = &[
    strings("groups"),
    boolean("include_authorized_operations").since(3),
];

const LIST_GROUPS: &[Field] = &[
    strings("states_filter").since(4),
    strings("types_filter").since(5),
];

const DELETE_GROUPS: &[Field] = &[strings("groups_names")];

const OFFSET_DELETE: &[Field] = &[string("group_id"), structs("topics", OFFSET_DELETE_TOPIC)];

const OFFSET_DELETE_TOPIC: &[Field] = &[
    string("name"),
    structs("partitions", OFFSET_DELETE_PARTITION),
];

const OFFSET_DELETE_PARTITION: &[Field] = &[int32("partition_index")];

pub(super) fn fields(api_key: i16) -> Option<&'static [Field]> {
    Some(match api_key {
        api::OFFSET_COMMIT => OFFSET_COMMIT,
        api::OFFSET_FETCH => OFFSET_FETCH,
        api::FIND_COORDINATOR => FIND_COORDINATOR,
        api::JOIN_GROUP => JOIN_GROUP,
        api::HEARTBEAT => HEARTBEAT,
        api::LEAVE_GROUP => LEAVE_GROUP,
        api::SYNC_GROUP => SYNC_GROUP,
        api::DESCRIBE_GROUPS => DESCRIBE_GROUPS,
        api::LIST_GROUPS => LIST_GROUPS,
        api::DELETE_GROUPS => DELETE_GROUPS,
        api::OFFSET_DELETE => OFFSET_DELETE,
        _ => return None,
    })
}
