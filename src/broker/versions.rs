//! What is advertised: every API with its range of versions, in one table.
//!
//! Owns: the table, the ApiVersions response made from it, its form in the documentation. Never
//! does: decode a request. Runs on: any thread; read once per request, to check its version.
//!
//! Why the ranges are what they are:
//! - Minimums are as low as real brokers of Kafka 4.x have them. librdkafka before 2.11.1 derives what
//!   a broker can do from exact old versions: JoinGroup 0 for groups, FindCoordinator 0 for LZ4,
//!   Produce 3 with Fetch 4 for batches v2 (KAFKA-19444).
//! - Produce begins at 0, though what is older than 3 is refused when it comes: librdkafka before
//!   2.11.1 stops compressing if the minimum is higher (KAFKA-18659).
//! - No minimum is above what kafkajs can do, for it looks at maximums only.
//! - Maximums are those of Kafka 4.0, before topics were addressed by id in Produce.
//! - `transaction.version` is not among the features, so that clients stay with explicit
//!   AddPartitionsToTxn; the ranges of the transactional APIs end where that does (KIP-890).

use std::fmt::Write;

use bytes::BufMut;

use crate::wire::api;

/// An API that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// Its key.
    pub key: i16,
    /// Its name, as Kafka's protocol guide has it.
    pub name: &'static str,
    /// The first version that is advertised.
    pub min: i16,
    /// The last version that is advertised.
    pub max: i16,
    /// The first version that can be decoded. One that is advertised but cannot be is answered with
    /// UNSUPPORTED_VERSION in its own layout.
    pub decoded_from: i16,
    /// The range that Redpanda serves, where it serves the API: the first aim, for which most
    /// clients settle.
    pub tier_a: Option<(i16, i16)>,
    /// What to know of it.
    pub note: &'static str,
}

/// An API of Kafka that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its key, or the keys from and to which a family goes.
    pub keys: (i16, i16),
    /// Its name, or the family's.
    pub name: &'static str,
    /// Why.
    pub reason: &'static str,
}

const fn api(key: i16, name: &'static str, (min, max): (i16, i16)) -> Api {
    Api {
        key,
        name,
        min,
        max,
        decoded_from: min,
        tier_a: None,
        note: "",
    }
}

impl Api {
    const fn tier_a(mut self, min: i16, max: i16) -> Api {
        self.tier_a = Some((min, max));
        self
    }

    const fn note(mut self, note: &'static str) -> Api {
        self.note = note;
        self
    }

    const fn decoded_from(mut self, version: i16) -> Api {
        self.decoded_from = version;
        self
    }

    /// Whether `version` is advertised.
    #[inline]
    pub const fn has(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

/// Every API that is served, by key.
pub const APIS: &[Api] = &[
    api(api::PRODUCE, "Produce", (0, 11))
        .tier_a(0, 7)
        .decoded_from(3)
        .note("0 to 2 are answered with UNSUPPORTED_VERSION; 12 and 13 need transactions v2"),
    api(api::FETCH, "Fetch", (4, 17))
        .tier_a(4, 11)
        .note("sessions are declined: the session id is always 0"),
    api(api::LIST_OFFSETS, "ListOffsets", (1, 10)).tier_a(0, 4),
    api(api::METADATA, "Metadata", (0, 13)).tier_a(0, 8),
    api(api::OFFSET_COMMIT, "OffsetCommit", (2, 9)).tier_a(1, 8),
    api(api::OFFSET_FETCH, "OffsetFetch", (1, 9)).tier_a(1, 7),
    api(api::FIND_COORDINATOR, "FindCoordinator", (0, 6)).tier_a(0, 3),
    api(api::JOIN_GROUP, "JoinGroup", (0, 9)).tier_a(0, 6),
    api(api::HEARTBEAT, "Heartbeat", (0, 4)).tier_a(0, 4),
    api(api::LEAVE_GROUP, "LeaveGroup", (0, 5)).tier_a(0, 4),
    api(api::SYNC_GROUP, "SyncGroup", (0, 5)).tier_a(0, 4),
    api(api::DESCRIBE_GROUPS, "DescribeGroups", (0, 6)).tier_a(0, 5),
    api(api::LIST_GROUPS, "ListGroups", (0, 5)).tier_a(0, 4),
    api(api::SASL_HANDSHAKE, "SaslHandshake", (0, 1)).tier_a(0, 1),
    api(api::API_VERSIONS, "ApiVersions", (0, 4))
        .tier_a(0, 3)
        .note("no tagged field in the response: librdkafka before 2.2.0 misreads them"),
    api(api::CREATE_TOPICS, "CreateTopics", (2, 7)).tier_a(0, 6),
    api(api::DELETE_TOPICS, "DeleteTopics", (1, 6)).tier_a(0, 5),
    api(api::DELETE_RECORDS, "DeleteRecords", (0, 2)).tier_a(0, 2),
    api(api::INIT_PRODUCER_ID, "InitProducerId", (0, 5)).tier_a(0, 3),
    api(api::OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", (2, 4)),
    api(api::ADD_PARTITIONS_TO_TXN, "AddPartitionsToTxn", (0, 3))
        .tier_a(0, 3)
        .note("4 and 5 are for brokers among themselves"),
    api(api::ADD_OFFSETS_TO_TXN, "AddOffsetsToTxn", (0, 4)).tier_a(0, 1),
    api(api::END_TXN, "EndTxn", (0, 4))
        .tier_a(0, 3)
        .note("5 needs transactions v2"),
    api(api::TXN_OFFSET_COMMIT, "TxnOffsetCommit", (0, 4))
        .tier_a(0, 3)
        .note("5 needs transactions v2"),
    api(api::DESCRIBE_CONFIGS, "DescribeConfigs", (1, 4)).tier_a(0, 4),
    api(api::ALTER_CONFIGS, "AlterConfigs", (0, 2)).tier_a(0, 2),
    api(api::DESCRIBE_LOG_DIRS, "DescribeLogDirs", (1, 4)),
    api(api::SASL_AUTHENTICATE, "SaslAuthenticate", (0, 2)).tier_a(0, 2),
    api(api::CREATE_PARTITIONS, "CreatePartitions", (0, 3)).tier_a(0, 3),
    api(api::DELETE_GROUPS, "DeleteGroups", (0, 2)).tier_a(0, 2),
    api(
        api::INCREMENTAL_ALTER_CONFIGS,
        "IncrementalAlterConfigs",
        (0, 1),
    )
    .tier_a(0, 1),
    api(api::OFFSET_DELETE, "OffsetDelete", (0, 0)),
    api(api::DESCRIBE_CLUSTER, "DescribeCluster", (0, 2)),
    api(api::DESCRIBE_PRODUCERS, "DescribeProducers", (0, 0)),
    api(api::DESCRIBE_TRANSACTIONS, "DescribeTransactions", (0, 0)),
    api(api::LIST_TRANSACTIONS, "ListTransactions", (0, 1)),
    api(
        api::DESCRIBE_TOPIC_PARTITIONS,
        "DescribeTopicPartitions",
        (0, 0),
    ),
];

const fn left_out(keys: (i16, i16), name: &'static str, reason: &'static str) -> LeftOut {
    LeftOut { keys, name, reason }
}

/// What Kafka has and this broker has not.
pub const LEFT_OUT: &[LeftOut] = &[
    left_out(
        (4, 7),
        "LeaderAndIsr, StopReplica, UpdateMetadata, ControlledShutdown",
        "between brokers, and gone from Kafka 4",
    ),
    left_out((27, 27), "WriteTxnMarkers", "between brokers"),
    left_out(
        (29, 31),
        "DescribeAcls, CreateAcls, DeleteAcls",
        "there are no access rules: who may connect may do everything",
    ),
    left_out(
        (34, 34),
        "AlterReplicaLogDirs",
        "there is one data directory",
    ),
    left_out(
        (38, 41),
        "Delegation tokens",
        "users log in with SASL PLAIN or SCRAM",
    ),
    left_out((43, 43), "ElectLeaders", "one node leads every partition"),
    left_out(
        (45, 46),
        "AlterPartitionReassignments, ListPartitionReassignments",
        "one node has every partition",
    ),
    left_out((48, 49), "Client quotas", "there are no quotas"),
    left_out(
        (50, 51),
        "SCRAM credentials",
        "users are in the configuration",
    ),
    left_out(
        (52, 59),
        "Raft and features of the controller",
        "there is no controller quorum",
    ),
    left_out(
        (62, 64),
        "Broker registration",
        "there is no controller quorum",
    ),
    left_out((67, 67), "AllocateProducerIds", "between brokers"),
    left_out(
        (68, 69),
        "ConsumerGroupHeartbeat, ConsumerGroupDescribe",
        "groups use the classic protocol; KIP-848 is not implemented",
    ),
    left_out(
        (70, 70),
        "ControllerRegistration",
        "there is no controller quorum",
    ),
    left_out(
        (71, 72),
        "GetTelemetrySubscriptions, PushTelemetry",
        "clients' metrics (KIP-714) are not collected; clients ask as soon as it is advertised",
    ),
    left_out((73, 73), "AssignReplicasToDirs", "between brokers"),
    left_out(
        (74, 74),
        "ListConfigResources",
        "there are no client metrics to list",
    ),
    left_out((76, 79), "Share groups", "KIP-932 is not implemented"),
    left_out((80, 82), "Raft voters", "there is no controller quorum"),
    left_out(
        (83, 92),
        "Share groups' state and offsets, streams groups",
        "KIP-932 and KIP-1071 are not implemented",
    ),
];

/// The row of an API; nothing if it is not served.
#[inline]
pub fn find(key: i16) -> Option<&'static Api> {
    APIS.binary_search_by_key(&key, |api| api.key)
        .ok()
        .map(|at| &APIS[at])
}

/// Kafka's error for a version that is not served.
pub const UNSUPPORTED_VERSION: i16 = 35;

/// Adds the response to an ApiVersions request of any version to `out`: a whole frame, with its
/// length. A version that is not served gets the oldest layout, UNSUPPORTED_VERSION and the one row
/// that says what to ask with instead (KIP-511).
pub fn put_api_versions(out: &mut Vec<u8>, version: i16, correlation_id: i32) {
    let own = find(api::API_VERSIONS).expect("ApiVersions has a row");
    let (layout, error, rows) = if own.has(version) {
        (version, 0, APIS)
    } else {
        (0, UNSUPPORTED_VERSION, std::slice::from_ref(own))
    };
    let start = out.len();
    out.put_i32(0);
    out.put_i32(correlation_id);
    out.put_i16(error);
    if layout >= 3 {
        out.put_u8(u8::try_from(rows.len() + 1).expect("fewer than 127 APIs: one byte"));
    } else {
        out.put_i32(i32::try_from(rows.len()).expect("fewer than 127 APIs"));
    }
    for row in rows {
        out.put_i16(row.key);
        out.put_i16(row.min);
        out.put_i16(row.max);
        if layout >= 3 {
            out.put_u8(0);
        }
    }
    if layout >= 1 {
        out.put_i32(0);
    }
    if layout >= 3 {
        out.put_u8(0);
    }
    let length = i32::try_from(out.len() - start - 4).expect("a response of a few hundred bytes");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn range((min, max): (i16, i16)) -> String {
    if min == max {
        min.to_string()
    } else {
        format!("{min}-{max}")
    }
}

/// The tables of this file in Markdown, as `docs/kafka-compatibility.md` has them.
pub fn markdown() -> String {
    let mut text =
        String::from("| key | API | versions | Redpanda's | note |\n|---:|---|---|---|---|\n");
    for api in APIS {
        let versions = range((api.min, api.max));
        let tier_a = api.tier_a.map_or_else(|| "-".to_owned(), range);
        writeln!(
            text,
            "| {} | {} | {versions} | {tier_a} | {} |",
            api.key, api.name, api.note
        )
        .expect("writing to a string cannot fail");
    }
    text.push_str("\nNot served:\n\n| key | API | why |\n|---:|---|---|\n");
    for left in LEFT_OUT {
        let keys = range(left.keys);
        writeln!(text, "| {keys} | {} | {} |", left.name, left.reason)
            .expect("writing to a string cannot fail");
    }
    text
}
