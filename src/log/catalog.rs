//! Which topics a data directory holds, and where each partition lies.
//!
//! Owns: topic names and their rules, the ids of topics and partitions, the stripe of each
//! partition. Never does: I/O (its file is written by [`crate::log::directory`]). Runs on: any
//! thread; shared read-only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{PartitionId, PartitionIndex, StripeId, TopicId};
use crate::limits::PARTITIONS_MAX;
use crate::log::format::FORMAT_VERSION;

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
    /// Its partitions, by [`PartitionIndex`].
    pub partitions: Vec<PartitionId>,
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
    topics: Vec<Topic>,
    partitions: Vec<PartitionMeta>,
    by_name: BTreeMap<String, TopicId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogText {
    format_version: u16,
    topics: Vec<TopicText>,
    partitions: Vec<PartitionText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicText {
    id: u32,
    name: String,
    partitions: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionText {
    id: u32,
    topic: u32,
    index: u32,
    stripe: u16,
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
        let id = self.by_name.get(name)?;
        self.topics.get(id.index())
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(id.index())
    }

    /// The partitions of a topic, by [`PartitionIndex`]; none of an unknown topic.
    pub fn partitions_of(&self, topic: TopicId) -> &[PartitionId] {
        self.topic_by_id(topic)
            .map_or(&[], |topic| topic.partitions.as_slice())
    }

    /// All partitions, by id.
    pub fn partitions(&self) -> &[PartitionMeta] {
        &self.partitions
    }

    /// Where a partition belongs.
    #[inline]
    pub fn partition(&self, id: PartitionId) -> Option<&PartitionMeta> {
        self.partitions.get(id.index())
    }

    /// The partitions that lie in a stripe, ascending.
    pub fn partitions_in(&self, stripe: StripeId) -> impl Iterator<Item = PartitionId> + '_ {
        let ids = (0..).map(PartitionId).zip(&self.partitions);
        ids.filter(move |(_, meta)| meta.stripe == stripe)
            .map(|(id, _)| id)
    }

    /// Adds a topic; its partition i lies in stripe i modulo `stripes`. With the same number of
    /// partitions as before, nothing changes.
    ///
    /// # Errors
    /// A bad name, no room, or another number of partitions; nothing was added.
    pub fn ensure_topic(
        &mut self,
        name: &str,
        partitions: u32,
        stripes: u16,
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
        check_topic_name(name)?;
        let left = count(PARTITIONS_MAX - self.partitions.len());
        if partitions == 0 || partitions > left {
            return Err(CatalogError::Room {
                name: name.to_owned(),
                requested: partitions,
                left,
            });
        }
        let id = TopicId(count(self.topics.len()));
        let first = count(self.partitions.len());
        for index in 0..partitions {
            let stripe = index % u32::from(stripes);
            self.partitions.push(PartitionMeta {
                topic: id,
                index: PartitionIndex(index),
                stripe: StripeId(stripe.try_into().expect("below stripes, a u16")),
            });
        }
        self.by_name.insert(name.to_owned(), id);
        self.topics.push(Topic {
            id,
            name: name.to_owned(),
            partitions: (first..first + partitions).map(PartitionId).collect(),
        });
        Ok(id)
    }

    /// The catalog's file.
    pub fn to_json(&self) -> String {
        let topics = self.topics.iter().map(|topic| TopicText {
            id: topic.id.0,
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(|id| id.0).collect(),
        });
        let partitions = (0..).zip(&self.partitions).map(|(id, meta)| PartitionText {
            id,
            topic: meta.topic.0,
            index: meta.index.0,
            stripe: meta.stripe.0,
        });
        let text = CatalogText {
            format_version: FORMAT_VERSION,
            topics: topics.collect(),
            partitions: partitions.collect(),
        };
        serde_json::to_string_pretty(&text).expect("numbers and strings always serialize") + "\n"
    }

    /// Reads and checks the catalog's file.
    ///
    /// # Errors
    /// No JSON, unknown fields, another version, or ids, names and places that contradict each
    /// other.
    pub fn from_json(text: &str, stripes: u16) -> Result<Catalog, CatalogError> {
        let text: CatalogText =
            serde_json::from_str(text).map_err(|error| CatalogError::Text(error.to_string()))?;
        if text.format_version != FORMAT_VERSION {
            return Err(CatalogError::Text(format!(
                "format version {}; this program reads {FORMAT_VERSION}",
                text.format_version
            )));
        }
        let partitions = read_partitions(&text.partitions, stripes)?;
        let mut by_name = BTreeMap::new();
        let mut topics = Vec::with_capacity(text.topics.len());
        for (id, topic) in (0..).map(TopicId).zip(text.topics) {
            check_topic(id, &topic, &partitions)?;
            if by_name.insert(topic.name.clone(), id).is_some() {
                return Err(bad(format!("topics[{id}].name"), "is there twice"));
            }
            topics.push(Topic {
                id,
                name: topic.name,
                partitions: topic.partitions.into_iter().map(PartitionId).collect(),
            });
        }
        let listed: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
        if listed != partitions.len() {
            return Err(bad("partitions".into(), "some belong to no topic"));
        }
        Ok(Catalog {
            topics,
            partitions,
            by_name,
        })
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("bounded by PARTITIONS_MAX: a topic has at least one partition")
}

fn bad(field: String, reason: impl Into<String>) -> CatalogError {
    CatalogError::Field {
        field,
        reason: reason.into(),
    }
}

fn read_partitions(
    texts: &[PartitionText],
    stripes: u16,
) -> Result<Vec<PartitionMeta>, CatalogError> {
    if texts.len() > PARTITIONS_MAX {
        let reason = format!("{} of at most {PARTITIONS_MAX}", texts.len());
        return Err(bad("partitions".into(), reason));
    }
    let mut partitions = Vec::with_capacity(texts.len());
    for (id, text) in (0..).zip(texts) {
        if text.id != id {
            return Err(bad(
                format!("partitions[{id}].id"),
                format!("is {}", text.id),
            ));
        }
        if text.stripe >= stripes {
            let reason = format!("is {}; allowed: 0 to {}", text.stripe, stripes - 1);
            return Err(bad(format!("partitions[{id}].stripe"), reason));
        }
        partitions.push(PartitionMeta {
            topic: TopicId(text.topic),
            index: PartitionIndex(text.index),
            stripe: StripeId(text.stripe),
        });
    }
    Ok(partitions)
}

fn check_topic(
    id: TopicId,
    topic: &TopicText,
    partitions: &[PartitionMeta],
) -> Result<(), CatalogError> {
    if topic.id != id.0 {
        return Err(bad(format!("topics[{id}].id"), format!("is {}", topic.id)));
    }
    check_topic_name(&topic.name)?;
    for (index, partition) in (0..).map(PartitionIndex).zip(&topic.partitions) {
        let meta = partitions.get(*partition as usize);
        if meta.map(|meta| (meta.topic, meta.index)) != Some((id, index)) {
            return Err(bad(
                format!("topics[{id}].partitions[{index}]"),
                format!("partition {partition} does not say so too"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Catalog {
        let mut catalog = Catalog::default();
        catalog.ensure_topic("transactions-tokyo", 3, 2).unwrap();
        catalog
            .ensure_topic("transactions-tokyo.dlq", 1, 2)
            .unwrap();
        catalog
    }

    #[test]
    fn a_catalog_comes_back_as_written_and_spreads_partitions_over_stripes() {
        let catalog = sample();
        assert_eq!(
            Catalog::from_json(&catalog.to_json(), 2),
            Ok(catalog.clone())
        );
        let in_0: Vec<_> = catalog.partitions_in(StripeId(0)).collect();
        assert_eq!(in_0, [PartitionId(0), PartitionId(2), PartitionId(3)]);
        let dlq = catalog.topic("transactions-tokyo.dlq").unwrap();
        assert_eq!(catalog.partitions_of(dlq.id), [PartitionId(3)]);
        let meta = catalog.partition(PartitionId(1)).unwrap();
        assert_eq!((meta.index, meta.stripe), (PartitionIndex(1), StripeId(1)));
    }

    #[test]
    fn a_topic_keeps_its_id_and_its_number_of_partitions() {
        let mut catalog = sample();
        assert_eq!(
            catalog.ensure_topic("transactions-tokyo", 3, 2),
            Ok(TopicId(0))
        );
        let error = catalog
            .ensure_topic("transactions-tokyo", 4, 2)
            .unwrap_err();
        assert!(
            error.to_string().contains("has 3 partitions, not 4"),
            "{error}"
        );
        assert!(catalog.ensure_topic("new", 0, 2).is_err());
        assert!(
            catalog
                .ensure_topic("new", PARTITIONS_MAX as u32, 2)
                .is_err()
        );
        assert_eq!(catalog, sample());
    }

    #[test]
    fn names_follow_kafkas_rules() {
        for good in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert_eq!(check_topic_name(good), Ok(()));
        }
        for bad in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(250)] {
            assert!(check_topic_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_catalog_that_contradicts_itself_names_the_field() {
        let text = sample().to_json();
        let changed = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Catalog::from_json(&text.replacen(from, to, 1), 2)
                .unwrap_err()
                .to_string()
        };
        assert!(changed("\"stripe\": 1", "\"stripe\": 2").contains("partitions[1].stripe"));
        assert!(changed("\"index\": 2", "\"index\": 1").contains("topics[0].partitions[2]"));
        assert!(changed(".dlq", "").contains("topics[1].name"));
        assert!(changed("\"id\": 1", "\"id\": 5").contains("topics[1].id"));
        assert!(changed("\"format_version\": 1", "\"format_version\": 9").contains("version 9"));
        assert!(changed("\"topics\"", "\"things\"").contains("things"));
        assert!(Catalog::from_json("{", 2).is_err());
    }
}
