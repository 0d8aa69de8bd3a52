//! Every advertised version of every API gets an answer in its own layout: none of its fields is one
//! that only other versions have.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/node.rs"]
mod node;

use corelane::broker::versions::{self, APIS};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    ApiVersionsRequest, BrokerId, DeleteGroupsRequest, DeleteRecordsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    FindCoordinatorRequest, GroupId, HeartbeatRequest, InitProducerIdRequest, LeaveGroupRequest,
    ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};
use kafka_protocol::protocol::{Request, StrBytes};

use broker_node::BrokerNode;
use kafka_peer::{Peer, fetch_request, name, one_record, produce_request};

const TOPIC: &str = "versions";

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// Asks in every advertised version, with what `request` makes of it.
fn each<R: Request>(peer: &mut Peer, request: impl Fn(i16) -> R, holds: impl Fn(i16, R::Response)) {
    let api = versions::find(R::KEY).expect("it is served");
    for version in api.decoded_from..=api.max {
        match peer.try_ask(version, &request(version)) {
            Some(response) => holds(version, response),
            None => panic!("{} {version}: the connection ended", api.name),
        }
    }
}

#[test]
fn records_are_written_and_read_in_every_version() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic(TOPIC);
    each::<ProduceRequest>(
        &mut peer,
        |_| produce_request(TOPIC, 0, one_record(b"value")),
        |version, response| {
            let row = &response.responses[0].partition_responses[0];
            assert_eq!(row.error_code, 0, "Produce {version}");
        },
    );
    let topic_id = topic_id(&mut peer);
    let by_version = |version: i16| {
        let mut request = fetch_request(TOPIC, 0, 0);
        if version >= 13 {
            request.topics[0].topic = name("");
            request.topics[0].topic_id = topic_id;
        }
        request
    };
    each(&mut peer, by_version, |version, response| {
        let row = &response.responses[0].partitions[0];
        assert_eq!(row.error_code, 0, "Fetch {version}");
        assert!(row.records.as_ref().is_some_and(|bytes| !bytes.is_empty()));
    });
    broker.serves_others();
}

fn topic_id(peer: &mut Peer) -> uuid::Uuid {
    let asked = MetadataRequestTopic::default().with_name(Some(name(TOPIC)));
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    let response = peer.ask(12, &request);
    let id = response.topics[0].topic_id;
    assert!(!id.is_nil(), "every topic has an id");
    id
}

#[test]
fn offsets_of_a_partition_are_told_in_every_version() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic(TOPIC);
    assert_eq!(peer.produce(TOPIC, 0, one_record(b"x")).error, 0);
    for (at, offset) in [(-1, 1), (-2, 0), (1_700_000_000_000, 0), (i64::MAX, -1)] {
        let request = |_| {
            let partition = ListOffsetsPartition::default()
                .with_timestamp(at)
                .with_current_leader_epoch(-1);
            let topic = ListOffsetsTopic::default()
                .with_name(name(TOPIC))
                .with_partitions(vec![partition]);
            ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_topics(vec![topic])
        };
        each(&mut peer, request, |version, response| {
            let row = &response.topics[0].partitions[0];
            let told = (row.error_code, row.offset);
            assert_eq!(told, (0, offset), "ListOffsets {version} of {at}");
        });
    }
    let request = |_| {
        let partition = OffsetForLeaderPartition::default()
            .with_current_leader_epoch(-1)
            .with_leader_epoch(0);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(name(TOPIC))
            .with_partitions(vec![partition]);
        OffsetForLeaderEpochRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic])
    };
    each(&mut peer, request, |version, response| {
        let row = &response.topics[0].partitions[0];
        let told = (row.error_code, row.end_offset);
        assert_eq!(told, (0, 1), "OffsetForLeaderEpoch {version}");
    });
    let request = |_| {
        let partition = DeleteRecordsPartition::default().with_offset(1);
        let topic = DeleteRecordsTopic::default()
            .with_name(name(TOPIC))
            .with_partitions(vec![partition]);
        DeleteRecordsRequest::default()
            .with_timeout_ms(10_000)
            .with_topics(vec![topic])
    };
    each(&mut peer, request, |version, response| {
        let row = &response.topics[0].partitions[0];
        let told = (row.error_code, row.low_watermark);
        assert_eq!(told, (0, 1), "DeleteRecords {version}");
    });
    broker.serves_others();
}

#[test]
fn the_node_describes_itself_in_every_version() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic(TOPIC);
    each(
        &mut peer,
        |_| {
            ApiVersionsRequest::default()
                .with_client_software_name(text("peer"))
                .with_client_software_version(text("1"))
        },
        |version, response| {
            assert_eq!(response.error_code, 0, "ApiVersions {version}");
            assert_eq!(response.api_keys.len(), APIS.len());
        },
    );
    let metadata = |version: i16| {
        let topic = MetadataRequestTopic::default().with_name(Some(name(TOPIC)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        request.with_allow_auto_topic_creation(version >= 4)
    };
    each(&mut peer, metadata, |version, response| {
        assert_eq!(response.brokers.len(), 1, "Metadata {version}");
        assert_eq!(response.topics[0].error_code, 0, "Metadata {version}");
        assert_eq!(response.topics[0].partitions.len(), 4);
    });
    let cluster = |_| DescribeClusterRequest::default().with_endpoint_type(1);
    each(&mut peer, cluster, |version, response| {
        assert_eq!(response.error_code, 0, "DescribeCluster {version}");
        assert_eq!(response.brokers.len(), 1);
    });
    let configs = |_| {
        let topic = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(TOPIC))
            .with_configuration_keys(None);
        let node = DescribeConfigsResource::default()
            .with_resource_type(4)
            .with_resource_name(text("0"))
            .with_configuration_keys(None);
        DescribeConfigsRequest::default().with_resources(vec![topic, node])
    };
    each(&mut peer, configs, |version, response| {
        for row in &response.results {
            assert_eq!(row.error_code, 0, "DescribeConfigs {version}");
            assert!(!row.configs.is_empty());
        }
    });
    let log_dirs = |_| DescribeLogDirsRequest::default().with_topics(None);
    each(&mut peer, log_dirs, |version, response| {
        assert_eq!(response.results.len(), 1, "DescribeLogDirs {version}");
    });
    broker.serves_others();
}

#[test]
fn groups_answer_in_every_version() {
    let mut broker = BrokerNode::start();
    let mut peer = broker.peer();
    peer.make_topic(TOPIC);
    let group = || GroupId(text("group"));
    let find = |version: i16| {
        let request = FindCoordinatorRequest::default();
        match version {
            4.. => request.with_coordinator_keys(vec![text("group")]),
            _ => request.with_key(text("group")),
        }
    };
    each(&mut peer, find, |version, response| {
        let error = match response.coordinators.first() {
            Some(row) => row.error_code,
            None => response.error_code,
        };
        assert_eq!(error, 0, "FindCoordinator {version}");
    });
    let commit = |_| {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(name(TOPIC))
            .with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic])
    };
    each(&mut peer, commit, |version, response| {
        let row = &response.topics[0].partitions[0];
        assert_eq!(row.error_code, 0, "OffsetCommit {version}");
    });
    let fetch = |version: i16| {
        let request = OffsetFetchRequest::default();
        if version >= 8 {
            let topic = OffsetFetchRequestTopics::default()
                .with_name(name(TOPIC))
                .with_partition_indexes(vec![0]);
            let group = OffsetFetchRequestGroup::default()
                .with_group_id(group())
                .with_topics(Some(vec![topic]));
            return request.with_groups(vec![group]);
        }
        let topic = OffsetFetchRequestTopic::default()
            .with_name(name(TOPIC))
            .with_partition_indexes(vec![0]);
        request
            .with_group_id(group())
            .with_topics(Some(vec![topic]))
    };
    each(&mut peer, fetch, |version, response| {
        let offset = match response.groups.first() {
            Some(group) => group.topics[0].partitions[0].committed_offset,
            None => response.topics[0].partitions[0].committed_offset,
        };
        assert_eq!(offset, 7, "OffsetFetch {version}");
    });
    let list = |_| ListGroupsRequest::default();
    each(&mut peer, list, |version, response| {
        assert_eq!(response.error_code, 0, "ListGroups {version}");
        assert_eq!(response.groups.len(), 1);
    });
    let describe = |_| DescribeGroupsRequest::default().with_groups(vec![group()]);
    each(&mut peer, describe, |version, response| {
        assert_eq!(response.groups.len(), 1, "DescribeGroups {version}");
    });
    let beat = |_| HeartbeatRequest::default().with_group_id(group());
    each(&mut peer, beat, |version, response| {
        assert_ne!(response.error_code, 0, "Heartbeat {version} of nobody");
    });
    let leave = |_| LeaveGroupRequest::default().with_group_id(group());
    each(&mut peer, leave, |_, _| {});
    let delete = |_| DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    each(&mut peer, delete, |version, response| {
        assert_eq!(response.results.len(), 1, "DeleteGroups {version}");
    });
    let producer = |_| {
        InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
    };
    each(&mut peer, producer, |version, response| {
        assert_eq!(response.error_code, 0, "InitProducerId {version}");
    });
    broker.serves_others();
}
