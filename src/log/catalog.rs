//! Which topics a data directory holds, and where each partition lies.
//!
//! Owns: topic names and their rules, the ids of topics and partitions, the stripe of each
//! partition, what clients have set about topics. Never does: I/O (its file is written by
//! [`crate::log::directory`]); knowing what a setting means. Runs on: any thread; shared read-only.

mod text;

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::ids::{PartitionId, PartitionIndex, StripeId, TopicId};
use crate::limits::{PARTITION_IDS_MAX, PARTITIONS_MAX};

/// Bytes of a topic's name: 1 to this, as in Kafka.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Why a catalog or a topic is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The name breaks Kafka's rules.
    #[error(
        "topic name '{name}' {reason}; allowed: 1 to {TOPIC_NAME_BYTES_MAX} of a-z, A-Z, 0-9, \
         '.', '_', '-', but not '.' or '..'"
    )]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The topic exists with another number of partitions.
    #[error("topic '{name}' has {existing} partitions, not {requested}; that cannot be changed")]
    PartitionCount {
        /// The topic.
        name: String,
        /// How many it has.
        existing: u32,
        /// How many were asked for.
        requested: u32,
    },
    /// The topic exists.
    #[error("topic '{name}' already exists")]
    Exists {
        /// The topic.
        name: String,
    },
    /// There is no such topic.
    #[error("there is no topic {id}")]
    Missing {
        /// The id.
        id: TopicId,
    },
    /// A topic needs a partition, and the directory holds so many at the most.
    #[error(
        "topic '{name}' with {requested} partitions does not fit: allowed are 1 to {left} of the \
         {PARTITIONS_MAX} partitions of a data directory"
    )]
    Room {
        /// The topic.
        name: String,
        /// How many were asked for.
        requested: u32,
        /// How many there is room for.
        left: u32,
    },
    /// The file is no catalog.
    #[error("not a catalog: {0}")]
    Text(String),
    /// The file contradicts itself.
    #[error("catalog field {field}: {reason}")]
    Field {
        /// Which field, with the number of the topic or partition.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its id as Kafka's: random, another one for each topic, also for one of a former name. Nil in
    /// a directory of an earlier program that was opened for reading only.
    pub uuid: Uuid,
    /// What was set for it, in Kafka's names. What is not in here has its default.
    pub configs: BTreeMap<String, String>,
    /// Its partitions, by [`PartitionIndex`].
    pub partitions: Vec<PartitionId>,
}

/// A topic that is to be made.
#[derive(Clone, Debug)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions it has.
    pub partitions: u32,
    /// The stripe of its first partition; the others follow, each in the next stripe.
    pub first: StripeId,
    /// Its id as Kafka's; not nil, and no other topic's.
    pub uuid: Uuid,
    /// What is set for it.
    pub configs: BTreeMap<String, String>,
}

/// Where a partition belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMeta {
    /// Its topic.
    pub topic: TopicId,
    /// Its number within the topic.
    pub index: PartitionIndex,
    /// The stripe that holds it.
    pub stripe: StripeId,
}

/// All topics and partitions of a data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Ascending by id.
    topics: Vec<Topic>,
    next_topic: u32,
    /// By [`PartitionId`]; none for those of deleted topics.
    partitions: Vec<Option<PartitionMeta>>,
    by_name: BTreeMap<String, TopicId>,
    settings: BTreeMap<String, String>,
}

/// Checks a topic's name by Kafka's rules.
///
/// # Errors
/// Says which rule it breaks.
pub fn check_topic_name(name: &str) -> Result<(), CatalogError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let reason = match name {
        "" => "is empty",
        "." | ".." => "names a folder",
        _ if name.len() > TOPIC_NAME_BYTES_MAX => "is too long",
        _ if !name.bytes().all(allowed) => "has a character that is not allowed",
        _ => return Ok(()),
    };
    // An over-long name is not repeated in full.
    let name = name.chars().take(TOPIC_NAME_BYTES_MAX).collect();
    Err(CatalogError::Name { name, reason })
}

impl Catalog {
    /// All topics, by id.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The topic with this name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topic_by_id(*self.by_name.get(name)?)
    }

    /// The topic with this id; none of a deleted one.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.place(id).map(|place| &self.topics[place])
    }

    /// The id that the next new topic gets.
    pub fn next_topic(&self) -> TopicId {
        TopicId(self.next_topic)
    }

    /// The partitions of a topic, by [`PartitionIndex`]; none of an unknown topic.
    pub fn partitions_of(&self, topic: TopicId) -> &[PartitionId] {
        self.topic_by_id(topic)
            .map_or(&[], |topic| topic.partitions.as_slice())
    }

    /// All partitions, by id; those of deleted topics are left out.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &PartitionMeta)> + '_ {
        let ids = (0..).map(PartitionId).zip(&self.partitions);
        ids.filter_map(|(id, meta)| Some((id, meta.as_ref()?)))
    }

    /// The id that the next new partition gets: every partition that ever was has a lower one.
    pub fn next_partition(&self) -> PartitionId {
        PartitionId(count(self.partitions.len()))
    }

    /// Where a partition belongs; none of a deleted topic.
    #[inline]
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionMeta> {
        self.partitions.get(id.index())?.as_ref()
    }

    /// Whether this was a partition of a topic that is deleted by now.
    pub fn was_deleted(&self, id: PartitionId) -> bool {
        matches!(self.partitions.get(id.index()), Some(None))
    }

    /// The partitions that lie in a stripe, ascending.
    pub fn partitions_in(&self, stripe: StripeId) -> impl Iterator<Item = PartitionId> + '_ {
        self.partitions()
            .filter(move |(_, meta)| meta.stripe == stripe)
            .map(|(id, _)| id)
    }

    /// What was set for the whole node, in Kafka's names.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// Makes sure of a topic of the engine; its partition i lies in stripe i modulo `stripes`. With
    /// the same number of partitions as before, nothing changes; `uuid` is for a new one.
    ///
    /// # Errors
    /// A bad name, no room, or another number of partitions; nothing was added.
    pub fn ensure_topic(
        &mut self,
        name: &str,
        partitions: u32,
        stripes: u16,
        uuid: Uuid,
    ) -> Result<TopicId, CatalogError> {
        if let Some(topic) = self.topic(name) {
            let existing = count(topic.partitions.len());
            if existing != partitions {
                return Err(CatalogError::PartitionCount {
                    name: name.to_owned(),
                    existing,
                    requested: partitions,
                });
            }
            return Ok(topic.id);
        }
        let new = NewTopic {
            name,
            partitions,
            first: StripeId(0),
            uuid,
            configs: BTreeMap::new(),
        };
        self.create_topic(new, stripes)
    }

    /// Adds a topic.
    ///
    /// # Errors
    /// A bad name, one that is taken, or no room; nothing was added.
    pub fn create_topic(
        &mut self,
        new: NewTopic<'_>,
        stripes: u16,
    ) -> Result<TopicId, CatalogError> {
        let name = new.name;
        check_topic_name(name)?;
        if self.by_name.contains_key(name) {
            let name = name.to_owned();
            return Err(CatalogError::Exists { name });
        }
        self.check_room(name, new.partitions)?;
        let id = TopicId(self.next_topic);
        self.next_topic += 1;
        self.by_name.insert(name.to_owned(), id);
        self.topics.push(Topic {
            id,
            name: name.to_owned(),
            uuid: new.uuid,
            configs: new.configs,
            partitions: Vec::new(),
        });
        self.append_partitions(id, new.partitions, new.first.0, stripes);
        Ok(id)
    }

    /// Gives a topic more partitions: `more` new ones behind those that it has, each in the stripe
    /// after that of the one before.
    ///
    /// # Errors
    /// No such topic, or no room; nothing was added.
    pub fn create_partitions(
        &mut self,
        id: TopicId,
        more: u32,
        stripes: u16,
    ) -> Result<(), CatalogError> {
        let topic = self.topic_by_id(id).ok_or(CatalogError::Missing { id })?;
        self.check_room(&topic.name, more)?;
        let last = topic
            .partitions
            .last()
            .and_then(|last| self.partition(*last));
        let next = last.map_or(0, |last| (last.stripe.0 + 1) % stripes);
        self.append_partitions(id, more, next, stripes);
        Ok(())
    }

    /// Takes a topic out. Its ids are never used again; its name is free. Returns its partitions.
    ///
    /// # Errors
    /// No such topic.
    pub fn delete_topic(&mut self, id: TopicId) -> Result<Vec<PartitionId>, CatalogError> {
        let place = self.place(id).ok_or(CatalogError::Missing { id })?;
        let topic = self.topics.remove(place);
        self.by_name.remove(&topic.name);
        for partition in &topic.partitions {
            self.partitions[partition.index()] = None;
        }
        Ok(topic.partitions)
    }

    /// Replaces all that was set for a topic.
    ///
    /// # Errors
    /// No such topic.
    pub fn set_configs(
        &mut self,
        id: TopicId,
        configs: BTreeMap<String, String>,
    ) -> Result<(), CatalogError> {
        let place = self.place(id).ok_or(CatalogError::Missing { id })?;
        self.topics[place].configs = configs;
        Ok(())
    }

    /// Replaces all that was set for the node.
    pub fn set_settings(&mut self, settings: BTreeMap<String, String>) {
        self.settings = settings;
    }

    /// Gives an id to each topic that has none: those of a directory of an earlier program.
    ///
    /// # Errors
    /// Those of `uuid`; some may have got theirs.
    pub(super) fn name_all<E>(
        &mut self,
        mut uuid: impl FnMut() -> Result<Uuid, E>,
    ) -> Result<(), E> {
        for topic in self.topics.iter_mut().filter(|it| it.uuid.is_nil()) {
            topic.uuid = uuid()?;
        }
        Ok(())
    }

    fn place(&self, id: TopicId) -> Option<usize> {
        self.topics.binary_search_by_key(&id, |topic| topic.id).ok()
    }

    fn check_room(&self, name: &str, requested: u32) -> Result<(), CatalogError> {
        let live: usize = self.topics.iter().map(|it| it.partitions.len()).sum();
        let ever = PARTITION_IDS_MAX.saturating_sub(self.partitions.len());
        let left = count(PARTITIONS_MAX.saturating_sub(live).min(ever));
        if requested == 0 || requested > left {
            return Err(CatalogError::Room {
                name: name.to_owned(),
                requested,
                left,
            });
        }
        Ok(())
    }

    fn append_partitions(&mut self, id: TopicId, more: u32, first: u16, stripes: u16) {
        let place = self.place(id).expect("the caller has it");
        let topic = &mut self.topics[place];
        let from = count(topic.partitions.len());
        for index in from..from + more {
            let stripe = (u32::from(first) + index - from) % u32::from(stripes);
            topic
                .partitions
                .push(PartitionId(count(self.partitions.len())));
            self.partitions.push(Some(PartitionMeta {
                topic: id,
                index: PartitionIndex(index),
                stripe: StripeId(stripe.try_into().expect("below stripes, a u16")),
            }));
        }
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("bounded by PARTITION_IDS_MAX: a topic has at least one partition")
}

#[cfg(test)]
mod tests;
