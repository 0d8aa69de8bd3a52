//! Requests of transactional and idempotent producers.

use crate::wire::api;
use crate::wire::shape::{
    Field, boolean, int16, int32, int32s, int64, int64s, string, strings, structs,
};

const INIT_PRODUCER_ID: &[Field] = &[
    string("transactional_id").nullable_since(0),
    int32("transaction_timeout_ms"),
    int64("producer_id").since(3),
    int16("producer_epoch").since(3),
];

/// Up to version 3, which is all that clients send.
const ADD_PARTITIONS_TO_TXN: &[Field] = &[
    string("v3_and_below_transactional_id"),
    int64("v3_and_below_producer_id"),
    int16("v3_and_below_producer_epoch"),
    structs("v3_and_below_topics", ADD_PARTITIONS_TOPIC),
];

const ADD_PARTITIONS_TOPIC: &[Field] = &[string("name"), int32s("partitions")];

const ADD_OFFSETS_TO_TXN: &[Field] = &[
    string("transactional_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    string("group_id"),
];

const END_TXN: &[Field] = &[
    string("transactional_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    boolean("committed"),
];

const TXN_OFFSET_COMMIT: &[Field] = &[
    string("transactional_id"),
    string("group_id"),
    int64("producer_id"),
    int16("producer_epoch"),
    int32("generation_id").since(3),
    string("member_id").since(3),
    string("group_instance_id").since(3).nullable_since(3),
    structs("topics", TXN_OFFSET_COMMIT_TOPIC),
];

const TXN_OFFSET_COMMIT_TOPIC: &[Field] = &[
    string("name"),
    structs("partitions", TXN_OFFSET_COMMIT_PARTITION),
];

const TXN_OFFSET_COMMIT_PARTITION: &[Field] = &[
    int32("partition_index"),
    int64("committed_offset"),
    int32("committed_leader_epoch").since(2),
    string("committed_metadata").nullable_since(0),
];

const DESCRIBE_TRANSACTIONS: &[Field] = &[strings("transactional_ids")];

const LIST_TRANSACTIONS: &[Field] = &[
    strings("state_filters"),
    int64s("producer_id_filters"),
    int64("duration_filter").since(1),
];

pub(super) fn fields(api_key: i16) -> Option<&'static [Field]> {
    Some(match api_key {
        api::INIT_PRODUCER_ID => INIT_PRODUCER_ID,
        api::ADD_PARTITIONS_TO_TXN => ADD_PARTITIONS_TO_TXN,
        api::ADD_OFFSETS_TO_TXN => ADD_OFFSETS_TO_TXN,
        api::END_TXN => END_TXN,
        api::TXN_OFFSET_COMMIT => TXN_OFFSET_COMMIT,
        api::DESCRIBE_TRANSACTIONS => DESCRIBE_TRANSACTIONS,
        api::LIST_TRANSACTIONS => LIST_TRANSACTIONS,
        _ => return None,
    })
}
