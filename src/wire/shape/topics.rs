//! Requests about topics, their partitions and their settings.

use crate::wire::api;
use crate::wire::shape::{
    Field, boolean, int8, int16, int32, int32s, int64, optional_struct, string, strings, structs,
    uuid,
};

const LIST_OFFSETS: &[Field] = &[
    int32("replica_id"),
    int8("isolation_level").since(2),
    structs("topics", LIST_OFFSETS_TOPIC),
    int32("timeout_ms").since(10),
];

const LIST_OFFSETS_TOPIC: &[Field] = &[
    string("name"),
    structs("partitions", LIST_OFFSETS_PARTITION),
];

const LIST_OFFSETS_PARTITION: &[Field] = &[
    int32("partition_index"),
    int32("current_leader_epoch").since(4),
    int64("timestamp"),
];

const METADATA: &[Field] = &[
    structs("topics", METADATA_TOPIC).nullable_since(1),
    boolean("allow_auto_topic_creation").since(4),
    boolean("include_cluster_authorized_operations")
        .since(8)
        .until(10),
    boolean("include_topic_authorized_operations").since(8),
];

const METADATA_TOPIC: &[Field] = &[
    uuid("topic_id").since(10),
    string("name").nullable_since(10),
];

const CREATE_TOPICS: &[Field] = &[
    structs("topics", CREATE_TOPICS_TOPIC),
    int32("timeout_ms"),
    boolean("validate_only").since(1),
];

const CREATE_TOPICS_TOPIC: &[Field] = &[
    string("name"),
    int32("num_partitions"),
    int16("replication_factor"),
    structs("assignments", CREATE_TOPICS_ASSIGNMENT),
    structs("configs", CONFIG),
];

const CREATE_TOPICS_ASSIGNMENT: &[Field] = &[int32("partition_index"), int32s("broker_ids")];

/// A setting of a topic that is created, or of a resource that is altered.
const CONFIG: &[Field] = &[string("name"), string("value").nullable_since(0)];

const DELETE_TOPICS: &[Field] = &[
    structs("topics", DELETE_TOPICS_TOPIC).since(6),
    strings("topic_names").until(5),
    int32("timeout_ms"),
];

const DELETE_TOPICS_TOPIC: &[Field] = &[string("name").nullable_since(6), uuid("topic_id")];

const DELETE_RECORDS: &[Field] = &[structs("topics", DELETE_RECORDS_TOPIC), int32("timeout_ms")];

const DELETE_RECORDS_TOPIC: &[Field] = &[
    string("name"),
    structs("partitions", DELETE_RECORDS_PARTITION),
];

const DELETE_RECORDS_PARTITION: &[Field] = &[int32("partition_index"), int64("offset")];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[
    int32("replica_id").since(3),
    structs("topics", OFFSET_FOR_LEADER_EPOCH_TOPIC),
];

const OFFSET_FOR_LEADER_EPOCH_TOPIC: &[Field] = &[
    string("topic"),
    structs("partitions", OFFSET_FOR_LEADER_EPOCH_PARTITION),
];

const OFFSET_FOR_LEADER_EPOCH_PARTITION: &[Field] = &[
    int32("partition"),
    int32("current_leader_epoch").since(2),
    int32("leader_epoch"),
];

const DESCRIBE_CONFIGS: &[Field] = &[
    structs("resources", DESCRIBE_CONFIGS_RESOURCE),
    boolean("include_synonyms").since(1),
    boolean("include_documentation").since(3),
];

const DESCRIBE_CONFIGS_RESOURCE: &[Field] = &[
    int8("resource_type"),
    string("resource_name"),
    strings("configuration_keys").nullable_since(0),
];

const ALTER_CONFIGS: &[Field] = &[
    structs("resources", ALTER_CONFIGS_RESOURCE),
    boolean("validate_only"),
];

const ALTER_CONFIGS_RESOURCE: &[Field] = &[
    int8("resource_type"),
    string("resource_name"),
    structs("configs", CONFIG),
];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    structs("resources", INCREMENTAL_RESOURCE),
    boolean("validate_only"),
];

const INCREMENTAL_RESOURCE: &[Field] = &[
    int8("resource_type"),
    string("resource_name"),
    structs("configs", INCREMENTAL_CONFIG),
];

const INCREMENTAL_CONFIG: &[Field] = &[
    string("name"),
    int8("config_operation"),
    string("value").nullable_since(0),
];

const CREATE_PARTITIONS: &[Field] = &[
    structs("topics", CREATE_PARTITIONS_TOPIC),
    int32("timeout_ms"),
    boolean("validate_only"),
];

const CREATE_PARTITIONS_TOPIC: &[Field] = &[
    string("name"),
    int32("count"),
    structs("assignments", CREATE_PARTITIONS_ASSIGNMENT).nullable_since(0),
];

const CREATE_PARTITIONS_ASSIGNMENT: &[Field] = &[int32s("broker_ids")];

const DESCRIBE_PRODUCERS: &[Field] = &[structs("topics", DESCRIBE_PRODUCERS_TOPIC)];

const DESCRIBE_PRODUCERS_TOPIC: &[Field] = &[string("name"), int32s("partition_indexes")];

const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[
    structs("topics", DESCRIBE_TOPIC_PARTITIONS_TOPIC),
    int32("response_partition_limit"),
    optional_struct("cursor", DESCRIBE_TOPIC_PARTITIONS_CURSOR),
];

const DESCRIBE_TOPIC_PARTITIONS_TOPIC: &[Field] = &[string("name")];

const DESCRIBE_TOPIC_PARTITIONS_CURSOR: &[Field] =
    &[string("topic_name"), int32("partition_index")];

pub(super) fn fields(api_key: i16) -> Option<&'static [Field]> {
    Some(match api_key {
        api::LIST_OFFSETS => LIST_OFFSETS,
        api::METADATA => METADATA,
        api::CREATE_TOPICS => CREATE_TOPICS,
        api::DELETE_TOPICS => DELETE_TOPICS,
        api::DELETE_RECORDS => DELETE_RECORDS,
        api::OFFSET_FOR_LEADER_EPOCH => OFFSET_FOR_LEADER_EPOCH,
        api::DESCRIBE_CONFIGS => DESCRIBE_CONFIGS,
        api::ALTER_CONFIGS => ALTER_CONFIGS,
        api::INCREMENTAL_ALTER_CONFIGS => INCREMENTAL_ALTER_CONFIGS,
        api::CREATE_PARTITIONS => CREATE_PARTITIONS,
        api::DESCRIBE_PRODUCERS => DESCRIBE_PRODUCERS,
        api::DESCRIBE_TOPIC_PARTITIONS => DESCRIBE_TOPIC_PARTITIONS,
        _ => return None,
    })
}
