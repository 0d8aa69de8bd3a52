//! DescribeCluster and DescribeTopicPartitions: what the view alone can answer.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::super::view::{Endpoint, TopicView, View};
use super::metadata::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS};
use crate::log::catalog::check_topic_name;

/// The endpoints of brokers, in contrast to those of controllers (KIP-919).
const BROKERS: i8 = 1;

/// Partitions of one answer at the most, as Kafka's `max.request.partition.size.limit`.
const PARTITIONS_MAX: usize = 2000;

/// The cluster: this node.
pub(in crate::broker) fn cluster(
    request: &DescribeClusterRequest,
    view: &View,
    endpoint: &Endpoint,
) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default()
        .with_endpoint_type(request.endpoint_type)
        .with_error_message(None);
    if request.endpoint_type != BROKERS {
        // As Kafka says on a listener for clients.
        let error = ResponseError::MismatchedEndpointType;
        return response
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(error.to_string())));
    }
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(view.node_id))
        .with_host(StrBytes::from_string(endpoint.host.clone()))
        .with_port(endpoint.port.into())
        .with_rack(None);
    let response = response
        .with_cluster_id(StrBytes::from_string(view.cluster_id.clone()))
        .with_controller_id(BrokerId(view.node_id))
        .with_brokers(vec![broker]);
    match request.include_cluster_authorized_operations {
        true => response.with_cluster_authorized_operations(CLUSTER_OPERATIONS),
        false => response,
    }
}

/// Partitions of topics in the order of their names, page by page (KIP-966).
pub(in crate::broker) fn topic_partitions(
    request: &DescribeTopicPartitionsRequest,
    view: &View,
) -> DescribeTopicPartitionsResponse {
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut left = limit.clamp(1, PARTITIONS_MAX);
    let (from, from_partition) = match &request.cursor {
        Some(cursor) => (&**cursor.topic_name, cursor.partition_index.max(0)),
        None => ("", 0),
    };
    let asked: BTreeSet<&str> = request.topics.iter().map(|topic| &**topic.name).collect();
    let names: Vec<&str> = match asked.is_empty() {
        true => view.topics().map(|topic| &*topic.name).collect(),
        false => asked.into_iter().collect(),
    };
    let mut response = DescribeTopicPartitionsResponse::default().with_next_cursor(None);
    for name in names.into_iter().filter(|name| *name >= from) {
        let Some(topic) = view.topic(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let first = match name == from {
            true => from_partition,
            false => 0,
        };
        let count = topic.partitions.len() as i32;
        if left == 0 {
            response.next_cursor = Some(cursor(topic, first));
            break;
        }
        let end = count.min(first.saturating_add(left as i32));
        left -= (end - first).max(0) as usize;
        response.topics.push(known(view, topic, first..end));
        if end < count {
            response.next_cursor = Some(cursor(topic, end));
            break;
        }
    }
    response
}

fn cursor(topic: &TopicView, partition: i32) -> Cursor {
    Cursor::default()
        .with_topic_name(named(&topic.name))
        .with_partition_index(partition)
}

fn named(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = match check_topic_name(name) {
        Ok(()) => ResponseError::UnknownTopicOrPartition,
        Err(_) => ResponseError::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(named(name)))
}

fn known(
    view: &View,
    topic: &TopicView,
    partitions: std::ops::Range<i32>,
) -> DescribeTopicPartitionsResponseTopic {
    let me = BrokerId(view.node_id);
    let partitions = partitions.map(|index| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(me)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![me])
            .with_isr_nodes(vec![me])
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    });
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(named(&topic.name)))
        .with_topic_id(topic.uuid)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::describe_topic_partitions_request::{
        Cursor as AskedCursor, TopicRequest,
    };
    use kafka_protocol::protocol::Encodable;
    use uuid::Uuid;

    use super::*;
    use crate::broker::view::{Home, TopicKind, TopicLimits};
    use crate::ids::{CoreId, PartitionId, TopicId};

    fn view() -> View {
        let topic = |(number, (name, partitions)): (u32, (&str, u32))| TopicView {
            name: name.into(),
            id: TopicId(number),
            uuid: Uuid::from_u128(1 + u128::from(number)),
            kind: TopicKind::Plain,
            partitions: (0..partitions)
                .map(|id| Home {
                    id: PartitionId(id),
                    owner: CoreId(0),
                })
                .collect(),
            limits: TopicLimits {
                message_bytes_max: 1,
            },
        };
        let topics = (0..).zip([("b", 3), ("a", 2), ("c", 1)]).map(topic);
        View::new(7, "cluster".to_owned(), Vec::new(), topics.collect())
    }

    /// Names with the partitions listed, and where to go on.
    type Page = (Vec<(String, Vec<i32>)>, Option<(String, i32)>);

    fn page(names: &[&str], limit: i32, from: Option<(&str, i32)>) -> Page {
        let topics = names
            .iter()
            .map(|name| TopicRequest::default().with_name(named(name)));
        let cursor = from.map(|(name, partition)| {
            AskedCursor::default()
                .with_topic_name(named(name))
                .with_partition_index(partition)
        });
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        let response = topic_partitions(&request, &view());
        response.encode(&mut BytesMut::new(), 0).unwrap();
        let topics = response.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|it| it.partition_index);
            let name = topic.name.as_ref().unwrap();
            (name.to_string(), partitions.collect())
        });
        let next = response
            .next_cursor
            .map(|it| (it.topic_name.to_string(), it.partition_index));
        (topics.collect(), next)
    }

    #[test]
    fn pages_together_are_every_partition_once() {
        let (mut all, mut from) = (Vec::new(), None);
        for _ in 0..10 {
            let at = from
                .as_ref()
                .map(|(name, index): &(String, i32)| (name.as_str(), *index));
            let (topics, next) = page(&[], 2, at);
            assert!(topics.iter().map(|(_, it)| it.len()).sum::<usize>() <= 2);
            for (name, partitions) in topics {
                all.extend(partitions.into_iter().map(|it| (name.clone(), it)));
            }
            from = next;
            if from.is_none() {
                break;
            }
        }
        let of = |name: &str, count| {
            (0..count)
                .map(move |it| (name.to_owned(), it))
                .collect::<Vec<_>>()
        };
        assert_eq!(all, [of("a", 2), of("b", 3), of("c", 1)].concat());
    }

    #[test]
    fn asked_topics_come_in_the_order_of_names_with_unknown_ones_named() {
        let (topics, next) = page(&["c", "nope", "a"], 100, None);
        let names: Vec<&str> = topics.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, next), (vec!["a", "c", "nope"], None));
        assert!(topics[2].1.is_empty());
    }

    #[test]
    fn a_cursor_beyond_the_end_and_odd_limits_are_harmless() {
        assert_eq!(
            page(&["b"], 100, Some(("b", 9))).0,
            [("b".to_owned(), vec![])]
        );
        assert_eq!(
            page(&["b"], -5, Some(("b", -3))).0,
            [("b".to_owned(), vec![0])]
        );
        assert_eq!(page(&["b"], i32::MAX, Some(("b", i32::MAX))).1, None);
    }

    #[test]
    fn the_cluster_is_this_node_and_controllers_are_elsewhere() {
        let endpoint = Endpoint {
            host: "h".to_owned(),
            port: 9,
        };
        for version in 0..=2 {
            let request = DescribeClusterRequest::default().with_endpoint_type(1);
            let response = cluster(&request, &view(), &endpoint);
            response.encode(&mut BytesMut::new(), version).unwrap();
            assert_eq!(response.brokers[0].broker_id, BrokerId(7));
            assert_eq!((response.brokers[0].port, response.error_code), (9, 0));
        }
        let request = DescribeClusterRequest::default().with_endpoint_type(2);
        assert_eq!(cluster(&request, &view(), &endpoint).error_code, 114);
    }
}
