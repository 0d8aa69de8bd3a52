//! Metadata and FindCoordinator: where everything is, which is always here.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse,
    RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::log::catalog::check_topic_name;

use super::super::core::Broker;
use super::super::options::AutoCreate;
use super::super::underway::{Client, Work};
use super::super::view::{Endpoint, TopicView, View};

/// What anybody may do with a topic, as bits by Kafka's AclOperation: read, write, create, delete,
/// alter, describe, describe configs, alter configs.
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;

/// The same for the cluster: create, alter, describe, cluster action, describe configs, alter
/// configs, idempotent write.
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

/// The first version that tells "no topics" from "all topics" by an empty list.
const EMPTY_IS_NONE: i16 = 1;

/// The last version whose answer holds the operations on the cluster.
const CLUSTER_OPERATIONS_LAST: i16 = 10;

impl Broker {
    /// Takes a Metadata request; topics that are missing are made first, where that is allowed.
    pub(in crate::broker) fn metadata_asked(&mut self, client: Client, request: MetadataRequest) {
        let allowed =
            request.allow_auto_topic_creation && self.options.auto_create == AutoCreate::Allowed;
        let missing =
            |name: &TopicName| self.view.topic(name).is_none() && check_topic_name(name).is_ok();
        let names = request
            .topics
            .iter()
            .flatten()
            .filter_map(|t| t.name.as_ref());
        if allowed && names.into_iter().any(missing) {
            let whole = RequestKind::Metadata(request.clone());
            let request = Box::new(request);
            self.administer(client, whole, |client| Work::Creation(client, request));
        } else {
            self.metadata(&client, &request);
        }
    }

    /// Answers a Metadata request from what is there.
    pub(in crate::broker) fn metadata(&self, client: &Client, request: &MetadataRequest) {
        let view = &self.view;
        let version = client.version;
        let topics: Vec<MetadataResponseTopic> = match &request.topics {
            Some(asked) if version >= EMPTY_IS_NONE || !asked.is_empty() => asked
                .iter()
                .map(|t| asked_topic(view, t.name.as_ref(), t.topic_id))
                .collect(),
            Some(_) | None => view.topics().map(|topic| known(view, topic)).collect(),
        };
        let topics = match request.include_topic_authorized_operations {
            false => topics,
            true => topics
                .into_iter()
                .map(|topic| topic.with_topic_authorized_operations(TOPIC_OPERATIONS))
                .collect(),
        };
        let Endpoint { host, port } = &view.endpoints[usize::from(client.listener)];
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(view.node_id))
            .with_host(StrBytes::from_string(host.clone()))
            .with_port((*port).into())
            .with_rack(None);
        let mut response = MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(StrBytes::from_string(view.cluster_id.clone())))
            .with_controller_id(BrokerId(view.node_id))
            .with_topics(topics);
        if request.include_cluster_authorized_operations && version <= CLUSTER_OPERATIONS_LAST {
            response.cluster_authorized_operations = CLUSTER_OPERATIONS;
        }
        self.respond(client, &ResponseKind::Metadata(response));
    }
}

fn asked_topic(view: &View, name: Option<&TopicName>, uuid: Uuid) -> MetadataResponseTopic {
    // Java's client sends an empty name beside an id.
    let name = name.filter(|_| uuid.is_nil());
    let (found, error) = match name {
        Some(name) => (view.topic(name), ResponseError::UnknownTopicOrPartition),
        None => (view.topic_by_uuid(uuid), ResponseError::UnknownTopicId),
    };
    if let Some(topic) = found {
        return known(view, topic);
    }
    let bad = name.is_some_and(|name| check_topic_name(name).is_err());
    let error = match bad {
        true => ResponseError::InvalidTopicException,
        false => error,
    };
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(name.cloned())
        .with_topic_id(uuid)
}

fn known(view: &View, topic: &TopicView) -> MetadataResponseTopic {
    let me = BrokerId(view.node_id);
    let partitions = (0..topic.partitions.len() as i32).map(|index| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(me)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![me])
            .with_isr_nodes(vec![me])
    });
    MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name.to_string()).into()))
        .with_topic_id(topic.uuid)
        .with_partitions(partitions.collect())
}

/// The coordinator of everything is this node.
pub(in crate::broker) fn find_coordinator(
    request: &FindCoordinatorRequest,
    version: i16,
    view: &View,
    endpoint: &Endpoint,
) -> ResponseKind {
    let host = StrBytes::from_string(endpoint.host.clone());
    // Groups, transactions; share groups (2) are not served.
    let known = matches!(request.key_type, 0 | 1);
    let error = match known {
        true => 0,
        false => ResponseError::InvalidRequest.code(),
    };
    let id = BrokerId(if known { view.node_id } else { -1 });
    if version < 4 {
        let response = FindCoordinatorResponse::default()
            .with_error_code(error)
            .with_error_message(None)
            .with_node_id(id)
            .with_host(host)
            .with_port(endpoint.port.into());
        return ResponseKind::FindCoordinator(response);
    }
    let each = request.coordinator_keys.iter().map(|key| {
        Coordinator::default()
            .with_key(key.clone())
            .with_node_id(id)
            .with_host(host.clone())
            .with_port(endpoint.port.into())
            .with_error_code(error)
            .with_error_message(None)
    });
    let response = FindCoordinatorResponse::default().with_coordinators(each.collect());
    ResponseKind::FindCoordinator(response)
}
