//! Topics and consumer groups of a cluster, for people at a terminal.
//!
//! Owns: asking for what is there, creating and deleting topics. Never does: print; anything that a
//! node needs ([`super::admin`] does that). Runs on: the main thread of a command; it blocks up to
//! its timeout for each question.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_lite::future::block_on;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;
use rdkafka::topic_partition_list::Offset;
use serde::Serialize;

use super::admin::Logged;
use super::properties::Property;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// No client can be made of these properties.
    #[error("no client can be made: {0}")]
    Client(String),
    /// The cluster did not answer, or refused the question.
    #[error("{what}: {reason}")]
    Cluster {
        /// What was asked for.
        what: &'static str,
        /// In librdkafka's words.
        reason: String,
    },
    /// The cluster refused what was to be done with a topic.
    #[error("topic '{topic}': {reason}")]
    Topic {
        /// Its name.
        topic: String,
        /// In librdkafka's words.
        reason: String,
    },
    /// There is no such group.
    #[error("there is no group '{0}'")]
    NoGroup(String),
}

/// A topic among others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicSummary {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// Copies of its first partition.
    pub replication: usize,
}

/// A topic in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicDetails {
    /// Its name.
    pub name: String,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionDetails>,
    /// What was set for it: what differs from the brokers' defaults.
    pub configs: BTreeMap<String, String>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionDetails {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; -1 = none.
    pub leader: i32,
    /// The brokers that have it.
    pub replicas: Vec<i32>,
    /// Those of them that have all of it.
    pub in_sync: Vec<i32>,
    /// The offset of the first record that is still there.
    pub start: i64,
    /// The offset that the next record gets.
    pub end: i64,
}

/// A consumer group among others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupSummary {
    /// Its name.
    pub name: String,
    /// Its state, in Kafka's words.
    pub state: String,
    /// How many members it has.
    pub members: usize,
}

/// A consumer group in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupDetails {
    /// Its name.
    pub name: String,
    /// Its state, in Kafka's words.
    pub state: String,
    /// How partitions are assigned; empty without members.
    pub assignor: String,
    /// Its members.
    pub members: Vec<MemberDetails>,
    /// What it has committed, by topic and partition.
    pub offsets: Vec<GroupOffset>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberDetails {
    /// Its id in the group.
    pub id: String,
    /// What it calls itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
}

/// How far a group is in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset that it goes on from.
    pub committed: i64,
    /// The offset that the next record gets.
    pub end: i64,
    /// Records between the two.
    pub lag: i64,
}

/// A client that looks after a cluster for somebody.
pub struct Operator {
    admin: AdminClient<Logged>,
    config: ClientConfig,
    timeout: Duration,
}

fn cluster(what: &'static str) -> impl FnOnce(KafkaError) -> OperatorError {
    move |error| OperatorError::Cluster {
        what,
        reason: error.to_string(),
    }
}

impl Operator {
    /// A client of the cluster that the properties name. Connects in the background.
    ///
    /// # Errors
    /// librdkafka refuses the properties.
    pub fn new(properties: &[Property], timeout: Duration) -> Result<Operator, OperatorError> {
        let mut config = ClientConfig::new();
        config.extend(properties.iter().cloned());
        config.set_log_level(RDKafkaLogLevel::Warning);
        let admin = config.create_with_context(Logged);
        let admin = admin.map_err(|error| OperatorError::Client(error.to_string()))?;
        Ok(Operator {
            admin,
            config,
            timeout,
        })
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn topics(&self) -> Result<Vec<TopicSummary>, OperatorError> {
        let client = self.admin.inner();
        let metadata = client.fetch_metadata(None, self.timeout);
        let metadata = metadata.map_err(cluster("topics"))?;
        let mut topics: Vec<TopicSummary> = metadata
            .topics()
            .iter()
            .map(|topic| TopicSummary {
                name: topic.name().to_owned(),
                partitions: topic.partitions().len(),
                replication: topic.partitions().first().map_or(0, |p| p.replicas().len()),
            })
            .collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// One topic.
    ///
    /// # Errors
    /// The cluster does not answer, or has no such topic.
    pub fn topic(&self, name: &str) -> Result<TopicDetails, OperatorError> {
        let client = self.admin.inner();
        let metadata = client.fetch_metadata(Some(name), self.timeout);
        let metadata = metadata.map_err(cluster("topic"))?;
        let refused = |code: RDKafkaErrorCode| OperatorError::Topic {
            topic: name.to_owned(),
            reason: code.to_string(),
        };
        let topic = metadata.topics().iter().find(|it| it.name() == name);
        let topic = topic.ok_or_else(|| refused(RDKafkaErrorCode::UnknownTopicOrPartition))?;
        if let Some(error) = topic.error() {
            return Err(refused(error.into()));
        }
        let mut partitions = Vec::with_capacity(topic.partitions().len());
        for partition in topic.partitions() {
            let (start, end) = client
                .fetch_watermarks(name, partition.id(), self.timeout)
                .map_err(cluster("offsets"))?;
            partitions.push(PartitionDetails {
                partition: partition.id(),
                leader: partition.leader(),
                replicas: partition.replicas().to_vec(),
                in_sync: partition.isr().to_vec(),
                start,
                end,
            });
        }
        partitions.sort_by_key(|it| it.partition);
        Ok(TopicDetails {
            name: name.to_owned(),
            partitions,
            configs: self.configs(name)?,
        })
    }

    /// What was set for a topic.
    fn configs(&self, name: &str) -> Result<BTreeMap<String, String>, OperatorError> {
        let set = self.settings(name)?.into_iter();
        let set = set.filter(|(_, _, source)| *source == ConfigSource::DynamicTopic);
        Ok(set.map(|(name, value, _)| (name, value)).collect())
    }

    /// What holds for a topic, whoever set it.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    pub fn effective(&self, name: &str) -> Result<BTreeMap<String, String>, OperatorError> {
        let all = self.settings(name)?.into_iter();
        Ok(all.map(|(name, value, _)| (name, value)).collect())
    }

    /// A topic's settings: name, value, and who set it.
    fn settings(&self, name: &str) -> Result<Vec<(String, String, ConfigSource)>, OperatorError> {
        let topic = [ResourceSpecifier::Topic(name)];
        let described = block_on(self.admin.describe_configs(&topic, &self.options()));
        let mut settings = Vec::new();
        for resource in described.map_err(cluster("settings"))? {
            let resource = resource.map_err(|code| OperatorError::Topic {
                topic: name.to_owned(),
                reason: code.to_string(),
            })?;
            let entries = resource.entries.into_iter();
            settings.extend(entries.map(|it| (it.name, it.value.unwrap_or_default(), it.source)));
        }
        Ok(settings)
    }

    /// Creates a topic; partitions and replication of none are the brokers' defaults.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    pub fn create(
        &self,
        name: &str,
        partitions: Option<u32>,
        replication: Option<u16>,
        configs: &[(String, String)],
    ) -> Result<(), OperatorError> {
        const DEFAULT: i32 = -1;
        let partitions = partitions.map_or(DEFAULT, |it| i32::try_from(it).unwrap_or(i32::MAX));
        let replication = replication.map_or(DEFAULT, i32::from);
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let done = block_on(self.admin.create_topics([&topic], &self.options()));
        settled(done.map_err(cluster("creating a topic"))?)
    }

    /// Deletes a topic with all that is in it.
    ///
    /// # Errors
    /// The cluster does not answer, or refuses.
    pub fn delete(&self, name: &str) -> Result<(), OperatorError> {
        let done = block_on(self.admin.delete_topics(&[name], &self.options()));
        settled(done.map_err(cluster("deleting a topic"))?)
    }

    /// All consumer groups, by name.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn groups(&self) -> Result<Vec<GroupSummary>, OperatorError> {
        let client = self.admin.inner();
        let list = client.fetch_group_list(None, self.timeout);
        let list = list.map_err(cluster("groups"))?;
        let mut groups: Vec<GroupSummary> = list
            .groups()
            .iter()
            .map(|group| GroupSummary {
                name: group.name().to_owned(),
                state: group.state().to_owned(),
                members: group.members().len(),
            })
            .collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// One consumer group, with how far it is.
    ///
    /// # Errors
    /// The cluster does not answer, or has no such group.
    pub fn group(&self, name: &str) -> Result<GroupDetails, OperatorError> {
        let client = self.admin.inner();
        let list = client.fetch_group_list(Some(name), self.timeout);
        let list = list.map_err(cluster("group"))?;
        let group = list.groups().iter().find(|group| group.name() == name);
        let offsets = self.offsets(name)?;
        // A broker describes a group that it has never seen as dead.
        let is_there =
            |group: &&GroupInfo| !matches!(group.state(), "Dead" | "") || !offsets.is_empty();
        let group = group.filter(is_there);
        let group = group.ok_or_else(|| OperatorError::NoGroup(name.to_owned()))?;
        Ok(GroupDetails {
            name: name.to_owned(),
            state: group.state().to_owned(),
            assignor: group.protocol().to_owned(),
            members: group
                .members()
                .iter()
                .map(|member| MemberDetails {
                    id: member.id().to_owned(),
                    client_id: member.client_id().to_owned(),
                    host: member.client_host().to_owned(),
                })
                .collect(),
            offsets,
        })
    }

    /// What a group has committed, of all topics that there are.
    fn offsets(&self, group: &str) -> Result<Vec<GroupOffset>, OperatorError> {
        let mut config = self.config.clone();
        config.set("group.id", group);
        // It only asks: it never joins.
        let consumer: BaseConsumer = config
            .create()
            .map_err(|error| OperatorError::Client(error.to_string()))?;
        let mut all = TopicPartitionList::new();
        for topic in self.topics()? {
            let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
            for partition in 0..partitions {
                all.add_partition(&topic.name, partition);
            }
        }
        let committed = consumer
            .committed_offsets(all, self.timeout)
            .map_err(cluster("committed offsets"))?;
        let mut offsets = Vec::new();
        for element in committed.elements() {
            let Offset::Offset(committed) = element.offset() else {
                continue;
            };
            let (topic, partition) = (element.topic(), element.partition());
            let (_, end) = consumer
                .fetch_watermarks(topic, partition, self.timeout)
                .map_err(cluster("offsets"))?;
            offsets.push(GroupOffset {
                topic: topic.to_owned(),
                partition,
                committed,
                end,
                lag: end.saturating_sub(committed).max(0),
            });
        }
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Ok(offsets)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }
}

/// The first refusal.
fn settled(results: Vec<rdkafka::admin::TopicResult>) -> Result<(), OperatorError> {
    for result in results {
        result.map_err(|(topic, code)| OperatorError::Topic {
            topic,
            reason: code.to_string(),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn operator(brokers: String) -> Operator {
        let properties = [("bootstrap.servers".to_owned(), brokers)];
        Operator::new(&properties, PATIENCE).unwrap()
    }

    // The mock neither changes topics by request nor lists groups: those run against a node.

    #[test]
    fn topics_are_listed_by_name() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("b", 3, 1).unwrap();
        mock.create_topic("a", 1, 1).unwrap();
        let topics = operator(mock.bootstrap_servers()).topics().unwrap();
        let shown: Vec<_> = topics
            .iter()
            .map(|topic| (topic.name.as_str(), topic.partitions, topic.replication))
            .collect();
        assert_eq!(shown, [("a", 1, 1), ("b", 3, 1)]);
    }

    #[test]
    fn a_groups_lag_is_what_it_has_not_committed() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("t", 2, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", mock.bootstrap_servers());
        let producer: BaseProducer = config.create().unwrap();
        for value in ["x", "y", "z"] {
            let record: BaseRecord<'_, str, str> = BaseRecord::to("t").partition(1).payload(value);
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let consumer: BaseConsumer = config.clone().set("group.id", "g").create().unwrap();
        let mut one = TopicPartitionList::new();
        one.add_partition_offset("t", 1, Offset::Offset(1)).unwrap();
        consumer
            .commit(&one, rdkafka::consumer::CommitMode::Sync)
            .unwrap();
        let offsets = operator(mock.bootstrap_servers()).offsets("g").unwrap();
        let shown: Vec<_> = offsets
            .iter()
            .map(|it| (it.partition, it.committed, it.end, it.lag))
            .collect();
        assert_eq!(shown, [(1, 1, 3, 2)], "only where something is committed");
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_an_error() {
        let properties = [("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
        let operator = Operator::new(&properties, Duration::from_millis(300)).unwrap();
        let error = operator.topics().unwrap_err();
        assert!(matches!(error, OperatorError::Cluster { .. }), "{error}");
        let nonsense = [("no.such.property".to_owned(), "x".to_owned())];
        assert!(Operator::new(&nonsense, PATIENCE).is_err());
    }
}
