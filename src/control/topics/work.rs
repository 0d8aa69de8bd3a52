//! One request against a copy of the catalog: what would change, and what the client is told.
//!
//! Owns: which function does what. Never does: I/O; the copy becomes the catalog once it is durable.
//! Runs on: any thread.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    MetadataRequest, MetadataResponse, RequestKind, ResponseKind, TopicName,
};
use uuid::Uuid;

use super::facts::{Facts, RESERVED, Role};
use super::refusal::Refusal;
use crate::config::INLET;
use crate::ids::{StripeId, TopicId};
use crate::log::catalog::{Catalog, CatalogError, NewTopic, Topic};

/// Makes ids for new topics; fails where the system has no random numbers.
pub type MakeUuid<'a> = &'a mut dyn FnMut() -> Result<Uuid, String>;

/// A request that is being worked on.
pub struct Work<'a> {
    /// What is fixed.
    pub facts: &'a Facts,
    /// The catalog as it will be.
    pub catalog: Catalog,
    /// Ids for new topics.
    pub uuid: MakeUuid<'a>,
}

/// Whether to do it, or only to say what would come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Do it.
    Real,
    /// Say it.
    ValidateOnly,
}

impl From<bool> for Run {
    fn from(validate_only: bool) -> Run {
        match validate_only {
            true => Run::ValidateOnly,
            false => Run::Real,
        }
    }
}

impl Work<'_> {
    /// What the client is told; [`Work::catalog`] has what changes. None: not a request for the
    /// administrator ([`crate::broker::admin::takes`]).
    pub fn execute(&mut self, version: i16, request: RequestKind) -> Option<ResponseKind> {
        use ResponseKind as Is;
        Some(if let RequestKind::Metadata(it) = request {
            self.create_missing(&it);
            Is::Metadata(MetadataResponse::default())
        } else if let RequestKind::CreateTopics(it) = request {
            Is::CreateTopics(self.create_topics(version, it))
        } else if let RequestKind::DeleteTopics(it) = request {
            Is::DeleteTopics(self.delete_topics(version, it))
        } else if let RequestKind::CreatePartitions(it) = request {
            Is::CreatePartitions(self.create_partitions(it))
        } else if let RequestKind::DescribeConfigs(it) = request {
            Is::DescribeConfigs(self.describe_configs(&it))
        } else if let RequestKind::AlterConfigs(it) = request {
            Is::AlterConfigs(self.alter_configs(it))
        } else if let RequestKind::IncrementalAlterConfigs(it) = request {
            Is::IncrementalAlterConfigs(self.incremental_alter_configs(it))
        } else {
            return None;
        })
    }

    /// Creates what is missing, as far as that is allowed. Why something was not created, the core
    /// says: it finds it missing still.
    fn create_missing(&mut self, request: &MetadataRequest) {
        if !(self.facts.auto_create && request.allow_auto_topic_creation) {
            return;
        }
        let names = request.topics.iter().flatten();
        for name in names.filter_map(|topic| topic.name.as_ref()) {
            if self.find(name).is_err() {
                let partitions = self.facts.default_partitions;
                if let Err(refusal) = self.add_topic(name, partitions, BTreeMap::new()) {
                    tracing::debug!(topic = %name.0, reason = refusal.message, "not created");
                }
            }
        }
    }

    /// Adds a topic for a client.
    pub(super) fn add_topic(
        &mut self,
        name: &str,
        partitions: u32,
        configs: BTreeMap<String, String>,
    ) -> Result<TopicId, Refusal> {
        check_name_is_free(name)?;
        let uuid = (self.uuid)();
        let uuid = uuid.map_err(|error| Refusal::new(ResponseError::UnknownServerError, error))?;
        let stripes = self.facts.stripes;
        // Topics with few partitions do not all begin in the same stripe.
        let turn = self.catalog.next_topic().0 % u32::from(stripes);
        let new = NewTopic {
            name,
            partitions,
            first: StripeId(turn as u16),
            uuid,
            configs,
        };
        Ok(self.catalog.create_topic(new, stripes)?)
    }

    /// A topic of the catalog by its name.
    pub(super) fn find(&self, name: &str) -> Result<&Topic, Refusal> {
        let unknown = ResponseError::UnknownTopicOrPartition;
        match self.catalog.topic(name) {
            // The inlet is there, though not in the catalog.
            _ if name == INLET => Err(own(INLET)),
            Some(topic) => Ok(topic),
            None => Err(Refusal::plain(unknown)),
        }
    }

    /// Whether clients may delete a topic, or give it more partitions.
    pub(super) fn check_is_not_the_engines(&self, topic: &Topic) -> Result<(), Refusal> {
        match self.facts.roles.get(&topic.id) {
            None => Ok(()),
            Some(Role::Shard | Role::DeadLetters | Role::Output) => Err(own(&topic.name)),
        }
    }
}

/// The engine made it, and counts on it.
pub(super) fn own(name: &str) -> Refusal {
    Refusal::new(
        ResponseError::TopicAuthorizationFailed,
        format!("topic '{name}' belongs to the engine: its configuration decides about it"),
    )
}

fn check_name_is_free(name: &str) -> Result<(), Refusal> {
    if name == INLET {
        let name = name.to_owned();
        return Err(CatalogError::Exists { name }.into());
    }
    if name.starts_with(RESERVED) {
        return Err(Refusal::new(
            ResponseError::PolicyViolation,
            format!("names that begin with '{RESERVED}' are kept for the topics of shards"),
        ));
    }
    Ok(())
}

/// The names that stand in a list more than once.
pub(super) fn repeated<'a, T: Ord + Clone + 'a>(items: impl Iterator<Item = &'a T>) -> Vec<T> {
    let mut counts: BTreeMap<&T, u32> = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(item, _)| item.clone())
        .collect()
}

/// A name as clients wrote it.
pub(super) fn text(name: &TopicName) -> &str {
    &name.0
}
