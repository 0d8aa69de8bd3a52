//! The requests of one producer, and how their answers are read.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    TransactionalId, TxnOffsetCommitRequest,
};

use super::*;

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn id(id: &str) -> TransactionalId {
    TransactionalId(text(id))
}

pub fn init(expected: Option<Producer>) -> InitProducerIdRequest {
    let expected = expected.unwrap_or(Producer {
        id: NO_ID,
        epoch: NO_EPOCH,
    });
    InitProducerIdRequest::default()
        .with_transactional_id(Some(id(ID)))
        .with_transaction_timeout_ms(TIMEOUT_MS)
        .with_producer_id(ProducerId(expected.id))
        .with_producer_epoch(expected.epoch)
}

pub fn add(producer: Producer, topics: &[(&str, &[i32])]) -> AddPartitionsToTxnRequest {
    let topics = topics
        .iter()
        .map(|(name, partitions)| {
            AddPartitionsToTxnTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(partitions.to_vec())
        })
        .collect();
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id(ID))
        .with_v3_and_below_producer_id(ProducerId(producer.id))
        .with_v3_and_below_producer_epoch(producer.epoch)
        .with_v3_and_below_topics(topics)
}

pub fn add_offsets(producer: Producer, group: &str) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(id(ID))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_group_id(GroupId(text(group)))
}

/// The offset of `a-0` for a group without members.
pub fn offsets(producer: Producer, group: &str, offset: i64) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(text("")));
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(TopicName(text("a")))
        .with_partitions(vec![partition]);
    TxnOffsetCommitRequest::default()
        .with_transactional_id(id(ID))
        .with_group_id(GroupId(text(group)))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_generation_id(-1)
        .with_topics(vec![topic])
}

pub fn end(producer: Producer, decision: Decision) -> EndTxnRequest {
    EndTxnRequest::default()
        .with_transactional_id(id(ID))
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
        .with_committed(decision == Decision::Commit)
}

/// The producer that InitProducerId answered, or its error.
pub fn producer_of(response: ResponseKind) -> Result<Producer, i16> {
    let ResponseKind::InitProducerId(response) = response else {
        panic!("{response:?}");
    };
    let producer = Producer {
        id: response.producer_id.0,
        epoch: response.producer_epoch,
    };
    if response.error_code != 0 {
        assert_eq!(producer, Producer::NONE, "an error names no producer");
        return Err(response.error_code);
    }
    Ok(producer)
}

/// The codes of AddPartitionsToTxn by partition.
pub fn codes(response: &ResponseKind) -> Vec<(String, i32, i16)> {
    let ResponseKind::AddPartitionsToTxn(response) = response else {
        panic!("{response:?}");
    };
    let mut codes = Vec::new();
    for topic in &response.results_by_topic_v3_and_below {
        for partition in &topic.results_by_partition {
            codes.push((
                topic.name.to_string(),
                partition.partition_index,
                partition.partition_error_code,
            ));
        }
    }
    codes
}

/// The one code of a response.
pub fn code(response: &ResponseKind) -> i16 {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "other responses have other codes"
    )]
    match response {
        ResponseKind::InitProducerId(response) => response.error_code,
        ResponseKind::AddOffsetsToTxn(response) => response.error_code,
        ResponseKind::EndTxn(response) => response.error_code,
        ResponseKind::AddPartitionsToTxn(_) => {
            let mut codes: Vec<i16> = codes(response).into_iter().map(|code| code.2).collect();
            codes.dedup();
            assert_eq!(codes.len(), 1, "{response:?}");
            codes[0]
        }
        ResponseKind::TxnOffsetCommit(response) => response.topics[0].partitions[0].error_code,
        other => panic!("{other:?}"),
    }
}
