//! The partitions of OffsetCommit and TxnOffsetCommit, which are the same but for their types.
//!
//! Owns: reading the requests, writing the answers. Never does: judging them. Runs on: the core that owns
//! stripe 0.

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, TopicName, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::Name;
use super::stores::Reply;

/// One partition of a commit, and what becomes of it.
pub(super) struct Line {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Name,
    pub(super) error: i16,
}

/// The partitions of a topic.
pub(super) struct Lines {
    pub(super) name: TopicName,
    pub(super) partitions: Vec<Line>,
}

/// Of OffsetCommit.
pub(super) fn plain_lines(request: &OffsetCommitRequest) -> Vec<Lines> {
    let topics = request.topics.iter().map(|topic| Lines {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| Line {
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
                error: 0,
            })
            .collect(),
    });
    topics.collect()
}

/// Of TxnOffsetCommit.
pub(super) fn transaction_lines(request: &TxnOffsetCommitRequest) -> Vec<Lines> {
    let topics = request.topics.iter().map(|topic| Lines {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| Line {
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
                error: 0,
            })
            .collect(),
    });
    topics.collect()
}

/// OffsetCommit's answer.
pub(super) fn plain_reply(lines: Vec<Lines>) -> Reply {
    let partition = |line: &Line| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(line.partition)
            .with_error_code(line.error)
    };
    let topic = |lines: Lines| {
        OffsetCommitResponseTopic::default()
            .with_name(lines.name)
            .with_partitions(lines.partitions.iter().map(partition).collect())
    };
    let topics = lines.into_iter().map(topic).collect();
    Reply::OffsetCommit(OffsetCommitResponse::default().with_topics(topics))
}

/// TxnOffsetCommit's answer.
pub(super) fn transaction_reply(lines: Vec<Lines>) -> Reply {
    let partition = |line: &Line| {
        TxnOffsetCommitResponsePartition::default()
            .with_partition_index(line.partition)
            .with_error_code(line.error)
    };
    let topic = |lines: Lines| {
        TxnOffsetCommitResponseTopic::default()
            .with_name(lines.name)
            .with_partitions(lines.partitions.iter().map(partition).collect())
    };
    let topics = lines.into_iter().map(topic).collect();
    Reply::TxnOffsetCommit(TxnOffsetCommitResponse::default().with_topics(topics))
}

/// The lines that nothing is wrong with yet.
pub(super) fn good(lines: &mut [Lines]) -> impl Iterator<Item = (&TopicName, &mut Line)> {
    lines.iter_mut().flat_map(|topic| {
        let lines = topic.partitions.iter_mut().filter(|line| line.error == 0);
        lines.map(|line| (&topic.name, line))
    })
}
