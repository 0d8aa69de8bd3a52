//! Requests of groups and transactions. The broker may be killed at any moment: `None` says that it
//! was, and then nobody knows what became of the request.

#![allow(dead_code)] // Each test uses its own part of this.

use bytes::Bytes;
use corelane::exactly_once::producers::Membership;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, BrokerId, CreateTopicsRequest,
    EndTxnRequest, GroupId, InitProducerIdRequest, JoinGroupRequest, ListOffsetsRequest,
    OffsetCommitRequest, OffsetFetchRequest, ProducerId, SyncGroupRequest, TransactionalId,
    TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Compression;

use crate::kafka_peer::{Peer, Produced, Sequence, batch, name, produce_request};

/// Asked again for: the coordinator is busy with what came before.
const CONCURRENT_TRANSACTIONS: i16 = 51;
const MEMBER_ID_REQUIRED: i16 = 79;

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Commit,
    Abort,
}

/// A member of a group, in one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub generation: i32,
}

impl Member {
    /// Who commits offsets without being one.
    pub fn none() -> Member {
        Member {
            id: String::new(),
            generation: -1,
        }
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Asks until the coordinator has finished what came before.
fn patiently(mut ask: impl FnMut() -> Option<i16>) -> Option<i16> {
    for _ in 0..20_000 {
        match ask()? {
            CONCURRENT_TRANSACTIONS => std::thread::sleep(std::time::Duration::from_millis(1)),
            code => return Some(code),
        }
    }
    panic!("the coordinator stays busy");
}

/// Makes a topic with so many partitions, and waits until it can be used.
pub fn create_topic(peer: &mut Peer, topic: &str, partitions: i32) {
    let wanted = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![wanted])
        .with_timeout_ms(30_000);
    let response = peer.ask(5, &request);
    assert_eq!(response.topics[0].error_code, 0, "{topic} is made");
    peer.make_topic(topic);
}

/// The offset after the last record, or that up to which committed records may be read.
pub fn end_offset(peer: &mut Peer, topic: &str, partition: i32, stable: Stable) -> i64 {
    try_end_offset(peer, topic, partition, stable).expect("the broker is up")
}

/// The same with a broker that may be killed.
pub fn try_end_offset(peer: &mut Peer, topic: &str, partition: i32, stable: Stable) -> Option<i64> {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(match stable {
            Stable::Yes => 1,
            Stable::No => 0,
        })
        .with_topics(vec![topic]);
    let response = peer.ask_mortal(7, &request)?;
    let row = &response.topics[0].partitions[0];
    assert_eq!(row.error_code, 0, "the end of a partition");
    Some(row.offset)
}

/// Which end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stable {
    Yes,
    No,
}

/// A producer with a transactional id.
#[derive(Clone, Debug)]
pub struct Txn {
    pub id: String,
    /// Who it is, with the sequence number that comes first in each partition.
    pub by: Sequence,
}

impl Txn {
    /// The living producer of this id from now on. What its predecessor left open is aborted first.
    pub fn init(peer: &mut Peer, id: &str) -> Option<Txn> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let mut by = None;
        let code = patiently(|| {
            let response = peer.ask_mortal(4, &request)?;
            by = Some(Sequence {
                producer_id: response.producer_id.0,
                producer_epoch: response.producer_epoch,
                first: 0,
                membership: Membership::Transactional,
            });
            Some(response.error_code)
        })?;
        assert_eq!(code, 0, "InitProducerId of {id}");
        Some(Txn {
            id: id.to_owned(),
            by: by?,
        })
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(text(&self.id))
    }

    /// AddPartitionsToTxn: the code of the first partition.
    pub fn add_partitions(&self, peer: &mut Peer, topic: &str, partitions: &[i32]) -> Option<i16> {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(name(topic))
            .with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(self.by.producer_id))
            .with_v3_and_below_producer_epoch(self.by.producer_epoch)
            .with_v3_and_below_topics(vec![topic]);
        patiently(|| {
            let response = peer.ask_mortal(3, &request)?;
            let topic = &response.results_by_topic_v3_and_below[0];
            Some(topic.results_by_partition[0].partition_error_code)
        })
    }

    /// AddOffsetsToTxn.
    pub fn add_offsets(&self, peer: &mut Peer, group: &str) -> Option<i16> {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.by.producer_id))
            .with_producer_epoch(self.by.producer_epoch)
            .with_group_id(GroupId(text(group)));
        patiently(|| Some(peer.ask_mortal(3, &request)?.error_code))
    }

    /// TxnOffsetCommit of the same offset and metadata in several partitions: the first code that is
    /// not 0.
    pub fn commit_offsets(
        &self,
        peer: &mut Peer,
        group: &str,
        (topic, partitions): (&str, &[i32]),
        (offset, metadata): (i64, &str),
    ) -> Option<i16> {
        let lines = partitions.iter().map(|partition| {
            TxnOffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(offset)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(Some(text(metadata)))
        });
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(name(topic))
            .with_partitions(lines.collect());
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_group_id(GroupId(text(group)))
            .with_producer_id(ProducerId(self.by.producer_id))
            .with_producer_epoch(self.by.producer_epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        patiently(|| {
            let response = peer.ask_mortal(3, &request)?;
            let codes = response.topics[0].partitions.iter();
            Some(codes.map(|p| p.error_code).find(|c| *c != 0).unwrap_or(0))
        })
    }

    /// Writes one batch of these values, as part of the transaction, from this sequence number on.
    pub fn produce(
        &self,
        peer: &mut Peer,
        (topic, partition): (&str, i32),
        first: i32,
        values: &[&[u8]],
    ) -> Option<Produced> {
        let by = Sequence { first, ..self.by };
        let batch = batch(values, Compression::None, Some(by));
        produce_mortal(peer, Some(&self.id), (topic, partition), batch)
    }

    /// EndTxn, asked once.
    pub fn end_once(&self, peer: &mut Peer, end: End) -> Option<i16> {
        Some(peer.ask_mortal(3, &self.end_request(end))?.error_code)
    }

    /// EndTxn.
    pub fn end(&self, peer: &mut Peer, end: End) -> Option<i16> {
        patiently(|| self.end_once(peer, end))
    }

    /// The request of EndTxn.
    pub fn end_request(&self, end: End) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.by.producer_id))
            .with_producer_epoch(self.by.producer_epoch)
            .with_committed(end == End::Commit)
    }
}

/// Writes one batch, `acks=all`.
pub fn produce_mortal(
    peer: &mut Peer,
    transactional_id: Option<&str>,
    (topic, partition): (&str, i32),
    batch: Bytes,
) -> Option<Produced> {
    let request = produce_request(topic, partition, batch)
        .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))));
    let response = peer.ask_mortal(9, &request)?;
    let row = &response.responses[0].partition_responses[0];
    Some(Produced {
        error: row.error_code,
        base_offset: row.base_offset,
    })
}

/// OffsetCommit of one partition.
pub fn commit(
    peer: &mut Peer,
    group: &str,
    member: &Member,
    (topic, partition): (&str, i32),
    offset: i64,
) -> Option<i16> {
    let line = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(text("")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![line]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(member.generation)
        .with_member_id(text(&member.id))
        .with_topics(vec![topic]);
    let response = peer.ask_mortal(8, &request)?;
    Some(response.topics[0].partitions[0].error_code)
}

/// The committed offset of a partition, -1 where there is none; waits for transactions that end.
pub fn committed(peer: &mut Peer, group: &str, topic: &str, partition: i32) -> Option<i64> {
    const UNSTABLE_OFFSET_COMMIT: i16 = 88;
    let topic = OffsetFetchRequestTopic::default()
        .with_name(name(topic))
        .with_partition_indexes(vec![partition]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(Some(vec![topic]))
        .with_require_stable(true);
    let mut offset = -1;
    let code = patiently(|| {
        let response = peer.ask_mortal(7, &request)?;
        assert_eq!(response.error_code, 0, "OffsetFetch of {group}");
        let row = &response.topics[0].partitions[0];
        offset = row.committed_offset;
        match row.error_code {
            UNSTABLE_OFFSET_COMMIT => Some(CONCURRENT_TRANSACTIONS),
            code => Some(code),
        }
    })?;
    assert_eq!(code, 0, "OffsetFetch of {group}");
    Some(offset)
}

/// Joins as the only member of a group, as `member` if that is one already. The codes of JoinGroup and
/// SyncGroup are errors.
pub fn join(peer: &mut Peer, group: &str, member: &Member) -> Option<Result<Member, i16>> {
    let mut id = member.id.clone();
    let response = loop {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\0\0\0\0"));
        let request = JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(&id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        let response = peer.ask_mortal(7, &request)?;
        match response.error_code {
            MEMBER_ID_REQUIRED => id = response.member_id.to_string(),
            0 => break response,
            code => return Some(Err(code)),
        }
    };
    let member = Member {
        id: response.member_id.to_string(),
        generation: response.generation_id,
    };
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(response.member_id.clone())
        .with_assignment(Bytes::from_static(b"all"));
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id(member.generation)
        .with_member_id(response.member_id)
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(vec![assignment]);
    let response = peer.ask_mortal(5, &request)?;
    match response.error_code {
        0 => Some(Ok(member)),
        code => Some(Err(code)),
    }
}
