//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers, DescribeLogDirs: which parts
//! they need, and what is known without asking an owner.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, TopicResponse};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeProducersRequest, DescribeProducersResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ResponseKind,
};

use crate::ids::{Offset, UnixMillis};
use crate::log::storage::ReadEnd;

use super::super::message::PartOp;
use super::super::view::{Home, TopicKind, View};
use super::gather::Part;

/// What ListOffsets may ask for instead of a time (KIP-79, KIP-734, KIP-405, KIP-1005).
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// An answer that lacks parts.
pub(in crate::broker) type Begun = (ResponseKind, Vec<Part>);

/// The leader's epoch is always 0: there is no other leader to take over.
fn epoch_error(current: i32) -> Option<ResponseError> {
    (current > 0).then_some(ResponseError::UnknownLeaderEpoch)
}

fn home(view: &View, topic: &str, partition: i32) -> Result<Home, ResponseError> {
    let topic = view
        .topic(topic)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    topic
        .home(partition)
        .ok_or(ResponseError::UnknownTopicOrPartition)
}

/// The inlet holds nothing, so it has no parts to ask for.
fn is_inlet(view: &View, topic: &str) -> bool {
    view.topic(topic)
        .is_some_and(|topic| topic.kind == TopicKind::Inlet)
}

pub(in crate::broker) fn list_offsets(request: &ListOffsetsRequest, view: &View) -> Begun {
    let end = match request.isolation_level {
        0 => ReadEnd::Visible,
        _ => ReadEnd::Stable,
    };
    let mut parts = Vec::new();
    let topics = request.topics.iter().enumerate().map(|(t, topic)| {
        let partitions = topic.partitions.iter().enumerate().map(|(p, asked)| {
            let mut entry = ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_offset(-1)
                .with_timestamp(-1)
                .with_leader_epoch(-1);
            let home = match home(view, &topic.name, asked.partition_index) {
                Err(error) => return entry.with_error_code(error.code()),
                Ok(home) => home,
            };
            if let Some(error) = epoch_error(asked.current_leader_epoch) {
                return entry.with_error_code(error.code());
            }
            if is_inlet(view, &topic.name) {
                entry.offset = if matches!(asked.timestamp, LATEST | EARLIEST) {
                    0
                } else {
                    -1
                };
                return entry;
            }
            let op = match asked.timestamp {
                LATEST => PartOp::Latest(end),
                EARLIEST | EARLIEST_LOCAL => PartOp::Earliest,
                MAX_TIMESTAMP => PartOp::MaxTimestamp,
                // Nothing was ever moved to other storage.
                LATEST_TIERED => return entry,
                time if time >= 0 => PartOp::AtTime(UnixMillis(time)),
                _ => return entry.with_error_code(ResponseError::InvalidRequest.code()),
            };
            parts.push(Part {
                at: (t, p),
                owner: home.owner,
                partition: home.id,
                op,
            });
            entry
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    let response = ListOffsetsResponse::default().with_topics(topics.collect());
    (ResponseKind::ListOffsets(response), parts)
}

pub(in crate::broker) fn leader_epochs(
    request: &OffsetForLeaderEpochRequest,
    view: &View,
) -> Begun {
    let mut parts = Vec::new();
    let topics = request.topics.iter().enumerate().map(|(t, topic)| {
        let partitions = topic.partitions.iter().enumerate().map(|(p, asked)| {
            let entry = EpochEndOffset::default()
                .with_partition(asked.partition)
                .with_leader_epoch(-1)
                .with_end_offset(-1);
            match home(view, &topic.topic, asked.partition) {
                Err(error) => return entry.with_error_code(error.code()),
                Ok(_) if asked.current_leader_epoch > 0 => {
                    return entry.with_error_code(ResponseError::UnknownLeaderEpoch.code());
                }
                // An epoch that never was has no end; the inlet has no records.
                Ok(_) if asked.leader_epoch != 0 || is_inlet(view, &topic.topic) => {}
                Ok(home) => parts.push(Part {
                    at: (t, p),
                    owner: home.owner,
                    partition: home.id,
                    op: PartOp::Latest(ReadEnd::Visible),
                }),
            }
            entry
        });
        OffsetForLeaderTopicResult::default()
            .with_topic(topic.topic.clone())
            .with_partitions(partitions.collect())
    });
    let response = OffsetForLeaderEpochResponse::default().with_topics(topics.collect());
    (ResponseKind::OffsetForLeaderEpoch(response), parts)
}

pub(in crate::broker) fn delete_records(request: &DeleteRecordsRequest, view: &View) -> Begun {
    let mut parts = Vec::new();
    let topics = request.topics.iter().enumerate().map(|(t, topic)| {
        let kind = view.topic(&topic.name).map(|topic| topic.kind);
        let partitions = topic.partitions.iter().enumerate().map(|(p, asked)| {
            let entry = DeleteRecordsPartitionResult::default()
                .with_partition_index(asked.partition_index)
                .with_low_watermark(-1);
            match home(view, &topic.name, asked.partition_index) {
                Err(error) => entry.with_error_code(error.code()),
                // What the engine has not processed must stay, and the inlet is empty.
                Ok(_) if kind != Some(TopicKind::Plain) => {
                    entry.with_error_code(ResponseError::PolicyViolation.code())
                }
                Ok(home) => {
                    parts.push(Part {
                        at: (t, p),
                        owner: home.owner,
                        partition: home.id,
                        op: PartOp::DeleteBefore(Offset(asked.offset)),
                    });
                    entry
                }
            }
        });
        DeleteRecordsTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    let response = DeleteRecordsResponse::default().with_topics(topics.collect());
    (ResponseKind::DeleteRecords(response), parts)
}

pub(in crate::broker) fn producers(request: &DescribeProducersRequest, view: &View) -> Begun {
    let mut parts = Vec::new();
    let topics = request.topics.iter().enumerate().map(|(t, topic)| {
        let partitions = topic
            .partition_indexes
            .iter()
            .enumerate()
            .map(|(p, &index)| {
                let entry = PartitionResponse::default()
                    .with_partition_index(index)
                    .with_error_message(None);
                match home(view, &topic.name, index) {
                    Err(error) => entry.with_error_code(error.code()),
                    Ok(_) if is_inlet(view, &topic.name) => entry,
                    Ok(home) => {
                        parts.push(Part {
                            at: (t, p),
                            owner: home.owner,
                            partition: home.id,
                            op: PartOp::Producers,
                        });
                        entry
                    }
                }
            });
        TopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    let response = DescribeProducersResponse::default().with_topics(topics.collect());
    (ResponseKind::DescribeProducers(response), parts)
}

/// The one log directory. What is asked for and is not there is left out, as Kafka does.
pub(in crate::broker) fn log_dirs(
    request: &DescribeLogDirsRequest,
    view: &View,
    directory: &str,
) -> Begun {
    let wanted: Vec<(String, Vec<i32>)> = match &request.topics {
        Some(topics) => topics
            .iter()
            .map(|topic| (topic.topic.to_string(), topic.partitions.clone()))
            .collect(),
        None => view
            .topics()
            .map(|topic| {
                (
                    topic.name.to_string(),
                    (0..topic.partitions.len() as i32).collect(),
                )
            })
            .collect(),
    };
    let mut parts = Vec::new();
    let mut topics = Vec::new();
    for (name, indexes) in wanted {
        let t = topics.len();
        let mut partitions = Vec::new();
        for index in indexes {
            let Ok(home) = home(view, &name, index) else {
                continue;
            };
            if !is_inlet(view, &name) {
                parts.push(Part {
                    at: (t, partitions.len()),
                    owner: home.owner,
                    partition: home.id,
                    op: PartOp::Size,
                });
            }
            partitions.push(DescribeLogDirsPartition::default().with_partition_index(index));
        }
        let name = kafka_protocol::protocol::StrBytes::from_string(name);
        topics.push(
            DescribeLogDirsTopic::default()
                .with_name(name.into())
                .with_partitions(partitions),
        );
    }
    let directory = kafka_protocol::protocol::StrBytes::from_string(directory.to_owned());
    let result = DescribeLogDirsResult::default()
        .with_log_dir(directory)
        .with_topics(topics);
    let response = DescribeLogDirsResponse::default().with_results(vec![result]);
    (ResponseKind::DescribeLogDirs(response), parts)
}
