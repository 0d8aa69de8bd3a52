//! Kafka's APIs by key, and which of their versions are flexible.
//!
//! Owns: the keys that are served, and what a header looks like for each version. Never does: say
//! what is advertised; that is the broker's table. Runs on: any thread.
//!
//! A *flexible* version (KIP-482) writes lengths as variable-length numbers and ends every structure
//! with tagged fields.

/// Produce.
pub const PRODUCE: i16 = 0;
/// Fetch.
pub const FETCH: i16 = 1;
/// ListOffsets.
pub const LIST_OFFSETS: i16 = 2;
/// Metadata.
pub const METADATA: i16 = 3;
/// OffsetCommit.
pub const OFFSET_COMMIT: i16 = 8;
/// OffsetFetch.
pub const OFFSET_FETCH: i16 = 9;
/// FindCoordinator.
pub const FIND_COORDINATOR: i16 = 10;
/// JoinGroup.
pub const JOIN_GROUP: i16 = 11;
/// Heartbeat.
pub const HEARTBEAT: i16 = 12;
/// LeaveGroup.
pub const LEAVE_GROUP: i16 = 13;
/// SyncGroup.
pub const SYNC_GROUP: i16 = 14;
/// DescribeGroups.
pub const DESCRIBE_GROUPS: i16 = 15;
/// ListGroups.
pub const LIST_GROUPS: i16 = 16;
/// SaslHandshake.
pub const SASL_HANDSHAKE: i16 = 17;
/// ApiVersions.
pub const API_VERSIONS: i16 = 18;
/// CreateTopics.
pub const CREATE_TOPICS: i16 = 19;
/// DeleteTopics.
pub const DELETE_TOPICS: i16 = 20;
/// DeleteRecords.
pub const DELETE_RECORDS: i16 = 21;
/// InitProducerId.
pub const INIT_PRODUCER_ID: i16 = 22;
/// OffsetForLeaderEpoch.
pub const OFFSET_FOR_LEADER_EPOCH: i16 = 23;
/// AddPartitionsToTxn.
pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
/// AddOffsetsToTxn.
pub const ADD_OFFSETS_TO_TXN: i16 = 25;
/// EndTxn.
pub const END_TXN: i16 = 26;
/// TxnOffsetCommit.
pub const TXN_OFFSET_COMMIT: i16 = 28;
/// DescribeConfigs.
pub const DESCRIBE_CONFIGS: i16 = 32;
/// AlterConfigs.
pub const ALTER_CONFIGS: i16 = 33;
/// DescribeLogDirs.
pub const DESCRIBE_LOG_DIRS: i16 = 35;
/// SaslAuthenticate.
pub const SASL_AUTHENTICATE: i16 = 36;
/// CreatePartitions.
pub const CREATE_PARTITIONS: i16 = 37;
/// DeleteGroups.
pub const DELETE_GROUPS: i16 = 42;
/// IncrementalAlterConfigs.
pub const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
/// OffsetDelete.
pub const OFFSET_DELETE: i16 = 47;
/// DescribeCluster.
pub const DESCRIBE_CLUSTER: i16 = 60;
/// DescribeProducers.
pub const DESCRIBE_PRODUCERS: i16 = 61;
/// DescribeTransactions.
pub const DESCRIBE_TRANSACTIONS: i16 = 65;
/// ListTransactions.
pub const LIST_TRANSACTIONS: i16 = 66;
/// DescribeTopicPartitions.
pub const DESCRIBE_TOPIC_PARTITIONS: i16 = 75;

/// Of an API that has no flexible version.
const NEVER: i16 = i16::MAX;

/// How a structure of some version writes its lengths, and whether tagged fields end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lengths of fixed width, no tagged fields.
    Fixed,
    /// Variable lengths, tagged fields (KIP-482).
    Flexible,
}

/// How requests and responses of this version are written; nothing for an API that is not served.
#[inline]
pub const fn encoding(api_key: i16, version: i16) -> Option<Encoding> {
    let flexible_from = match api_key {
        DESCRIBE_CLUSTER
        | DESCRIBE_PRODUCERS
        | DESCRIBE_TRANSACTIONS
        | LIST_TRANSACTIONS
        | DESCRIBE_TOPIC_PARTITIONS => 0,
        INCREMENTAL_ALTER_CONFIGS => 1,
        DELETE_RECORDS | INIT_PRODUCER_ID | ALTER_CONFIGS | DESCRIBE_LOG_DIRS
        | SASL_AUTHENTICATE | CREATE_PARTITIONS | DELETE_GROUPS => 2,
        FIND_COORDINATOR
        | LIST_GROUPS
        | API_VERSIONS
        | ADD_PARTITIONS_TO_TXN
        | ADD_OFFSETS_TO_TXN
        | END_TXN
        | TXN_OFFSET_COMMIT => 3,
        HEARTBEAT
        | LEAVE_GROUP
        | SYNC_GROUP
        | DELETE_TOPICS
        | OFFSET_FOR_LEADER_EPOCH
        | DESCRIBE_CONFIGS => 4,
        DESCRIBE_GROUPS | CREATE_TOPICS => 5,
        LIST_OFFSETS | OFFSET_FETCH | JOIN_GROUP => 6,
        OFFSET_COMMIT => 8,
        PRODUCE | METADATA => 9,
        FETCH => 12,
        SASL_HANDSHAKE | OFFSET_DELETE => NEVER,
        _ => return None,
    };
    Some(if version >= flexible_from {
        Encoding::Flexible
    } else {
        Encoding::Fixed
    })
}

/// How the header of a response is written. That of ApiVersions is always the oldest, since the
/// client does not know yet what the broker speaks (KIP-511).
#[inline]
pub const fn response_header(api_key: i16, version: i16) -> Option<Encoding> {
    match api_key {
        API_VERSIONS => Some(Encoding::Fixed),
        _ => encoding(api_key, version),
    }
}
