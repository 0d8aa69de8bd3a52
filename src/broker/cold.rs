//! Requests that are not on the hot path, and their responses: `kafka-protocol` behind a check.
//!
//! Owns: what reaches the library, and frames around what comes from it. Never does: hand it a byte
//! that the request's shape has not been walked over, for it reserves memory from counts; Produce and
//! Fetch, which have views of their own. Runs on: the cores and the administrator.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AlterConfigsRequest, ApiKey,
    ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    DescribeGroupsRequest, DescribeLogDirsRequest, DescribeProducersRequest,
    DescribeTopicPartitionsRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, HeartbeatRequest, IncrementalAlterConfigsRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
    ListOffsetsRequest, ListTransactionsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, RequestKind,
    ResponseKind, SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
    TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::broker::versions;
use crate::wire::api::{self, Encoding};
use crate::wire::shape::{self, ShapeError};

/// Why a request cannot be decoded, or a response not encoded. A client that sends such a request is
/// cut off, as Kafka does.
#[derive(Debug, thiserror::Error)]
pub enum ColdError {
    /// The API or its version is not served here.
    #[error("API key {key} version {version} is not served")]
    Unsupported {
        /// Which API.
        key: i16,
        /// Which version.
        version: i16,
    },
    /// The body does not have the shape of its API and version.
    #[error("request of API key {key} version {version}: {reason}")]
    Shape {
        /// Which API.
        key: i16,
        /// Which version.
        version: i16,
        /// What is wrong.
        reason: ShapeError,
    },
    /// The library refuses what the shape allows, or a response has a field that its version does not
    /// have.
    #[error("API key {key} version {version}: {reason}")]
    Library {
        /// Which API.
        key: i16,
        /// Which version.
        version: i16,
        /// What it says.
        reason: String,
    },
}

fn library_error(key: i16, version: i16, reason: impl std::fmt::Display) -> ColdError {
    ColdError::Library {
        key,
        version,
        reason: reason.to_string(),
    }
}

/// The library's name of a key, for an API and version that are advertised and decoded by it.
fn served(key: i16, version: i16) -> Result<ApiKey, ColdError> {
    let unsupported = ColdError::Unsupported { key, version };
    match versions::find(key) {
        Some(row) if row.has(version) && row.decoded_from <= version => {
            ApiKey::try_from(key).map_err(|()| unsupported)
        }
        _ => Err(unsupported),
    }
}

/// The library's own `RequestKind::decode` and `ResponseKind::encode` reach the code of all of Kafka's
/// messages, those between brokers included: three times as much to compile as these.
macro_rules! rare_apis {
    ($($name:ident($request:ident)),+ $(,)?) => {
        fn decode_body(
            api: ApiKey,
            body: &mut Bytes,
            version: i16,
        ) -> Result<RequestKind, String> {
            #[allow(clippy::wildcard_enum_match_arm)] // The enum of all of Kafka's APIs.
            let request = match api {
                $(ApiKey::$name => $request::decode(body, version).map(RequestKind::$name),)+
                other => return Err(format!("{other:?} is not read here")),
            };
            request.map_err(|error| error.to_string())
        }

        fn encode_body(
            response: &ResponseKind,
            frame: &mut BytesMut,
            version: i16,
        ) -> Result<(), String> {
            #[allow(clippy::wildcard_enum_match_arm)] // The enum of all of Kafka's responses.
            let written = match response {
                $(ResponseKind::$name(response) => response.encode(frame, version),)+
                other => return Err(format!("{other:?} is not written here")),
            };
            written.map_err(|error| error.to_string())
        }
    };
}

rare_apis! {
    ApiVersions(ApiVersionsRequest),
    ListOffsets(ListOffsetsRequest),
    Metadata(MetadataRequest),
    OffsetCommit(OffsetCommitRequest),
    OffsetFetch(OffsetFetchRequest),
    FindCoordinator(FindCoordinatorRequest),
    JoinGroup(JoinGroupRequest),
    Heartbeat(HeartbeatRequest),
    LeaveGroup(LeaveGroupRequest),
    SyncGroup(SyncGroupRequest),
    DescribeGroups(DescribeGroupsRequest),
    ListGroups(ListGroupsRequest),
    CreateTopics(CreateTopicsRequest),
    DeleteTopics(DeleteTopicsRequest),
    DeleteRecords(DeleteRecordsRequest),
    InitProducerId(InitProducerIdRequest),
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest),
    AddPartitionsToTxn(AddPartitionsToTxnRequest),
    AddOffsetsToTxn(AddOffsetsToTxnRequest),
    EndTxn(EndTxnRequest),
    TxnOffsetCommit(TxnOffsetCommitRequest),
    DescribeConfigs(DescribeConfigsRequest),
    AlterConfigs(AlterConfigsRequest),
    DescribeLogDirs(DescribeLogDirsRequest),
    CreatePartitions(CreatePartitionsRequest),
    DeleteGroups(DeleteGroupsRequest),
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest),
    OffsetDelete(OffsetDeleteRequest),
    DescribeCluster(DescribeClusterRequest),
    DescribeProducers(DescribeProducersRequest),
    DescribeTransactions(DescribeTransactionsRequest),
    ListTransactions(ListTransactionsRequest),
    DescribeTopicPartitions(DescribeTopicPartitionsRequest),
    SaslHandshake(SaslHandshakeRequest),
    SaslAuthenticate(SaslAuthenticateRequest),
}

/// Decodes a request's body: what follows its header. Strings and bytes of the request share the
/// memory of `body`; all else takes at most [`shape::DECODED_BYTES_FACTOR`] times its length and
/// [`shape::DECODED_BYTES_FREE`].
///
/// # Errors
/// An API or version that is not served by a shape, or a body that does not have it.
pub fn decode(key: i16, version: i16, body: Bytes) -> Result<RequestKind, ColdError> {
    let api = served(key, version)?;
    shape::check(key, version, &body).map_err(|reason| ColdError::Shape {
        key,
        version,
        reason,
    })?;
    let mut rest = body;
    decode_body(api, &mut rest, version).map_err(|reason| library_error(key, version, reason))
}

/// Encodes a response as a whole frame, with its length and header.
///
/// # Errors
/// The API or version is not served, or the response has a field that the version does not have; that
/// is a fault of whoever made it.
pub fn encode(
    key: i16,
    version: i16,
    correlation_id: i32,
    response: &ResponseKind,
) -> Result<Bytes, ColdError> {
    served(key, version)?;
    let header =
        api::response_header(key, version).ok_or(ColdError::Unsupported { key, version })?;
    let mut frame = BytesMut::with_capacity(256);
    frame.put_i32(0);
    frame.put_i32(correlation_id);
    if header == Encoding::Flexible {
        frame.put_u8(0);
    }
    encode_body(response, &mut frame, version)
        .map_err(|reason| library_error(key, version, reason))?;
    let length = i32::try_from(frame.len() - 4)
        .map_err(|_| library_error(key, version, "the response is longer than 2 GiB"))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}
