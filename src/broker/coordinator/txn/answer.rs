//! Responses of the transaction APIs.
//!
//! Owns: how an outcome looks in each API and version. Never does: decide it. Runs on: the core that
//! owns stripe 0.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, EndTxnResponse, InitProducerIdResponse,
    ProducerId, ResponseKind, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::metadata::Producer;
use crate::broker::coordinator::Effect;

/// Who waits for which answer.
#[derive(Debug)]
pub struct Asker<R> {
    /// Whom to answer.
    pub to: R,
    /// The request's version.
    pub version: i16,
    /// What was asked.
    pub api: Api,
}

/// What was asked, as far as the answer repeats it.
#[derive(Debug)]
pub enum Api {
    /// InitProducerId.
    InitProducerId,
    /// AddPartitionsToTxn, with the partitions as they were named.
    AddPartitionsToTxn(Vec<(TopicName, Vec<i32>)>),
    /// AddOffsetsToTxn.
    AddOffsetsToTxn,
    /// EndTxn.
    EndTxn,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It is done, and this is the producer from now on.
    Producer(Producer),
    /// It is not.
    Error(ResponseError),
}

impl<R> Asker<R> {
    /// The answer.
    pub fn answer(self, verdict: Verdict) -> Effect<R> {
        let (error, producer) = match verdict {
            Verdict::Done => (0, Producer::NONE),
            Verdict::Producer(producer) => (0, producer),
            Verdict::Error(error) => (self.api.code(self.version, error), Producer::NONE),
        };
        let response = match self.api {
            Api::InitProducerId => InitProducerIdResponse::default()
                .with_error_code(error)
                .with_producer_id(ProducerId(producer.id))
                .with_producer_epoch(producer.epoch)
                .into(),
            Api::AddPartitionsToTxn(topics) => partitions(topics, |_, _| error),
            Api::AddOffsetsToTxn => AddOffsetsToTxnResponse::default()
                .with_error_code(error)
                .into(),
            Api::EndTxn => EndTxnResponse::default().with_error_code(error).into(),
        };
        Effect::Answer {
            to: self.to,
            response: Box::new(response),
        }
    }
}

impl Api {
    /// Versions that do not know PRODUCER_FENCED say INVALID_PRODUCER_EPOCH, as in Kafka's
    /// `KafkaApis`.
    fn code(&self, version: i16, error: ResponseError) -> i16 {
        let knows_fenced_from = match self {
            Api::InitProducerId => 4,
            Api::AddPartitionsToTxn(_) | Api::AddOffsetsToTxn | Api::EndTxn => 2,
        };
        if error == ResponseError::ProducerFenced && version < knows_fenced_from {
            return ResponseError::InvalidProducerEpoch.code();
        }
        error.code()
    }
}

/// AddPartitionsToTxn with a code for each partition.
pub fn partitions(
    topics: Vec<(TopicName, Vec<i32>)>,
    code: impl Fn(&TopicName, i32) -> i16,
) -> ResponseKind {
    let results = topics
        .into_iter()
        .map(|(name, partitions)| {
            let of_partitions = partitions
                .into_iter()
                .map(|partition| {
                    AddPartitionsToTxnPartitionResult::default()
                        .with_partition_index(partition)
                        .with_partition_error_code(code(&name, partition))
                })
                .collect();
            AddPartitionsToTxnTopicResult::default()
                .with_name(name)
                .with_results_by_partition(of_partitions)
        })
        .collect();
    AddPartitionsToTxnResponse::default()
        .with_results_by_topic_v3_and_below(results)
        .into()
}

/// TxnOffsetCommit, refused as a whole.
pub fn offsets_refused(request: TxnOffsetCommitRequest, error: ResponseError) -> ResponseKind {
    // This API has no PRODUCER_FENCED in any version.
    let code = if error == ResponseError::ProducerFenced {
        ResponseError::InvalidProducerEpoch.code()
    } else {
        error.code()
    };
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let partitions = topic
                .partitions
                .iter()
                .map(|partition| {
                    TxnOffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(code)
                })
                .collect();
            TxnOffsetCommitResponseTopic::default()
                .with_name(topic.name)
                .with_partitions(partitions)
        })
        .collect();
    TxnOffsetCommitResponse::default()
        .with_topics(topics)
        .into()
}
