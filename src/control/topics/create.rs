//! `CreateTopics` and `CreatePartitions`.
//!
//! Owns: the rules of Kafka's `ReplicationControlManager` for a cluster of one broker.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::refusal::Refusal;
use super::settings::{TOPIC, topic_setting};
use super::work::{Run, Work, repeated, text};
use crate::ids::TopicId;

/// The first version of `CreateTopics` whose answer describes the topic (KIP-525).
const DESCRIBES: i16 = 5;

impl Work<'_> {
    pub(super) fn create_topics(
        &mut self,
        version: i16,
        request: CreateTopicsRequest,
    ) -> CreateTopicsResponse {
        let run = Run::from(request.validate_only);
        let before = self.catalog.clone();
        let twice = repeated(request.topics.iter().map(|topic| &topic.name));
        let results = request.topics.into_iter().map(|topic| {
            let result = match twice.contains(&topic.name) {
                true => Err(Refusal::request("Duplicate topic name.")),
                false => self.create_topic(&topic),
            };
            let answer = CreatableTopicResult::default().with_name(topic.name);
            match result {
                Ok(id) => self.created(answer, id, version),
                Err(refusal) => answer
                    .with_error_code(refusal.code())
                    .with_error_message(Some(refusal.text())),
            }
        });
        let results = results.collect();
        if run == Run::ValidateOnly {
            self.catalog = before;
        }
        CreateTopicsResponse::default().with_topics(results)
    }

    fn created(
        &self,
        answer: CreatableTopicResult,
        id: TopicId,
        version: i16,
    ) -> CreatableTopicResult {
        let topic = self.catalog.topic_by_id(id).expect("it was just made");
        let answer = answer.with_error_message(None);
        if version < DESCRIBES {
            return answer;
        }
        let configs = TOPIC.iter().filter_map(|setting| {
            let levels = self.facts.levels(setting, &self.catalog, &topic.configs);
            let level = levels.into_iter().next()?;
            Some(
                CreatableTopicConfigs::default()
                    .with_name(StrBytes::from_static_str(setting.name))
                    .with_value(Some(StrBytes::from_string(level.value)))
                    .with_config_source(level.source as i8),
            )
        });
        answer
            .with_topic_id(topic.uuid)
            .with_num_partitions(topic.partitions.len() as i32)
            .with_replication_factor(1)
            .with_configs(Some(configs.collect()))
    }

    fn create_topic(&mut self, topic: &CreatableTopic) -> Result<TopicId, Refusal> {
        let partitions = match topic.assignments.as_slice() {
            [] => self.partitions_asked_for(topic)?,
            _ => self.partitions_assigned(topic)?,
        };
        let mut configs = BTreeMap::new();
        for config in &topic.configs {
            let value = config.value.as_deref();
            let (name, value) = self.checked(&config.name, value)?;
            configs.insert(name, value);
        }
        self.add_topic(text(&topic.name), partitions, configs)
    }

    /// A setting of a topic that can be set so.
    pub(super) fn checked(
        &self,
        name: &str,
        value: Option<&str>,
    ) -> Result<(String, String), Refusal> {
        let refuse = |message: String| Refusal::new(ResponseError::InvalidConfig, message);
        let Some(value) = value else {
            return Err(refuse(format!(
                "Null value not supported for topic configs: {name}"
            )));
        };
        let setting = topic_setting(name)
            .ok_or_else(|| refuse(format!("Unknown topic config name: {name}")))?;
        setting.check(value).map_err(refuse)?;
        Ok((name.to_owned(), value.to_owned()))
    }

    fn partitions_asked_for(&self, topic: &CreatableTopic) -> Result<u32, Refusal> {
        match topic.replication_factor {
            -1 | 1 => {}
            factor if factor < 1 => {
                return Err(Refusal::new(
                    ResponseError::InvalidReplicationFactor,
                    "Replication factor must be larger than 0, or -1 to use the default value.",
                ));
            }
            factor => {
                return Err(Refusal::new(
                    ResponseError::InvalidReplicationFactor,
                    format!(
                        "Unable to replicate the partition {factor} time(s): The target \
                         replication factor of {factor} cannot be reached because only 1 \
                         broker(s) are registered."
                    ),
                ));
            }
        }
        match topic.num_partitions {
            -1 => Ok(self.facts.default_partitions),
            count => u32::try_from(count)
                .ok()
                .filter(|it| *it > 0)
                .ok_or_else(|| {
                    Refusal::new(
                        ResponseError::InvalidPartitions,
                        "Number of partitions was set to an invalid non-positive value.",
                    )
                }),
        }
    }

    /// Whoever says which broker has which partition can only say that we have all.
    fn partitions_assigned(&self, topic: &CreatableTopic) -> Result<u32, Refusal> {
        if topic.replication_factor != -1 {
            return Err(Refusal::request(
                "A manual partition assignment was specified, but replication factor was not set \
                 to -1.",
            ));
        }
        if topic.num_partitions != -1 {
            return Err(Refusal::request(
                "A manual partition assignment was specified, but numPartitions was not set to -1.",
            ));
        }
        let mut indexes: Vec<i32> = Vec::with_capacity(topic.assignments.len());
        for assignment in &topic.assignments {
            self.check_replicas(&assignment.broker_ids)?;
            indexes.push(assignment.partition_index);
        }
        indexes.sort_unstable();
        if !indexes.iter().copied().eq(0..indexes.len() as i32) {
            return Err(Refusal::new(
                ResponseError::InvalidReplicaAssignment,
                "partitions should be a consecutive 0-based integer sequence.",
            ));
        }
        Ok(indexes.len() as u32)
    }

    fn check_replicas(&self, replicas: &[BrokerId]) -> Result<(), Refusal> {
        let refuse = |message: String| {
            Err(Refusal::new(
                ResponseError::InvalidReplicaAssignment,
                message,
            ))
        };
        if replicas.is_empty() {
            return refuse(
                "The manual partition assignment includes an empty replica list.".to_owned(),
            );
        }
        let own = BrokerId(self.facts.node_id);
        if let Some(other) = replicas.iter().find(|id| **id != own) {
            return refuse(format!(
                "The manual partition assignment includes broker {}, but no such broker is \
                 registered.",
                other.0
            ));
        }
        if replicas.len() > 1 {
            return refuse(format!(
                "The manual partition assignment includes the broker {} more than once.",
                own.0
            ));
        }
        Ok(())
    }

    pub(super) fn create_partitions(
        &mut self,
        request: CreatePartitionsRequest,
    ) -> CreatePartitionsResponse {
        let run = Run::from(request.validate_only);
        let before = self.catalog.clone();
        let twice = repeated(request.topics.iter().map(|topic| &topic.name));
        let results = request.topics.into_iter().map(|topic| {
            let result = match twice.contains(&topic.name) {
                true => Err(Refusal::request("Duplicate topic name.")),
                false => self.grow(&topic),
            };
            let answer = CreatePartitionsTopicResult::default().with_name(topic.name);
            match result {
                Ok(()) => answer,
                Err(refusal) => answer
                    .with_error_code(refusal.code())
                    .with_error_message(Some(refusal.text())),
            }
        });
        let results = results.collect();
        if run == Run::ValidateOnly {
            self.catalog = before;
        }
        CreatePartitionsResponse::default().with_results(results)
    }

    fn grow(&mut self, request: &CreatePartitionsTopic) -> Result<(), Refusal> {
        let topic = self.find(text(&request.name))?;
        self.check_is_not_the_engines(topic)?;
        let (id, count) = (topic.id, topic.partitions.len() as i64);
        let refuse = |message: String| Err(Refusal::new(ResponseError::InvalidPartitions, message));
        let more = i64::from(request.count) - count;
        if more == 0 {
            return refuse(format!("Topic already has {count} partition(s)."));
        }
        if more < 0 {
            return refuse(format!(
                "The topic {} currently has {count} partition(s); {} would not be an increase.",
                text(&request.name),
                request.count
            ));
        }
        if let Some(assignments) = &request.assignments {
            if assignments.len() as i64 != more {
                return Err(Refusal::new(
                    ResponseError::InvalidReplicaAssignment,
                    format!(
                        "Attempted to add {more} additional partition(s), but only {} \
                         assignment(s) were specified.",
                        assignments.len()
                    ),
                ));
            }
            for assignment in assignments {
                self.check_replicas(&assignment.broker_ids)?;
            }
        }
        let stripes = self.facts.stripes;
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        Ok(self.catalog.create_partitions(id, more, stripes)?)
    }
}
