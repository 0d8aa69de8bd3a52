//! What groups promise, in virtual time.

mod joining;
mod leaving;
mod offsets;
mod random;
mod restoring;
mod showing;
mod statics;
mod transactions;
mod world;

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, RequestKind, ResponseKind, SyncGroupRequest,
    SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{GroupOptions, Groups, TICKET_BIT};
use crate::broker::coordinator::{Call, Caller, Effect, Outcome, Pair, Topics};
use crate::broker::view::TopicView;
use crate::clock::Now;
use crate::ids::{Nanos, TopicId, UnixMicros};

use self::world::*;
