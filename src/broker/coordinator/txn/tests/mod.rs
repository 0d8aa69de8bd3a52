//! What producers and groups may rely on, whatever storage does.

mod errors;
mod random;
mod requests;
mod scenarios;
mod wide;
mod world;

use kafka_protocol::messages::{GroupId, ProducerId, RequestKind, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::metadata::{Metadata, NO_EPOCH, NO_ID, Partition, Producer, State};
use super::{Transactions, TxnOptions, codec};
use crate::broker::coordinator::{Decision, Outcome, Pair};
use requests::*;
use world::*;

/// The transactional id of nearly all tests.
pub const ID: &str = "payments";
/// The newest version of each API, as advertised.
pub const INIT: i16 = 5;
pub const ADD: i16 = 3;
pub const END: i16 = 4;
pub const TIMEOUT_MS: i32 = 60_000;

pub const NONE: i16 = 0;
pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
pub const COORDINATOR_NOT_AVAILABLE: i16 = 15;
pub const INVALID_GROUP_ID: i16 = 24;
pub const INVALID_REQUEST: i16 = 42;
pub const POLICY_VIOLATION: i16 = 44;
pub const INVALID_PRODUCER_EPOCH: i16 = 47;
pub const INVALID_TXN_STATE: i16 = 48;
pub const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
pub const INVALID_TRANSACTION_TIMEOUT: i16 = 50;
pub const CONCURRENT_TRANSACTIONS: i16 = 51;
pub const OPERATION_NOT_ATTEMPTED: i16 = 55;
pub const PRODUCER_FENCED: i16 = 90;
pub const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;
