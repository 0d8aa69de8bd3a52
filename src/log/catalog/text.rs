//! The catalog's file.
//!
//! Owns: its fields, and checking that they agree with each other. Never does: reading or writing
//! the file. Runs on: any thread.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Catalog, CatalogError, PartitionMeta, Topic, check_topic_name};
use crate::ids::{PartitionId, PartitionIndex, StripeId, TopicId};
use crate::limits::{PARTITION_IDS_MAX, PARTITIONS_MAX};
use crate::log::format::FORMAT_VERSION;

/// Fields with a default are missing in what earlier programs wrote.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogText {
    format_version: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_topic: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_partition: Option<u32>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
    topics: Vec<TopicText>,
    partitions: Vec<PartitionText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicText {
    id: u32,
    name: String,
    #[serde(default, skip_serializing_if = "Uuid::is_nil", with = "uuid_text")]
    uuid: Uuid,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    configs: BTreeMap<String, String>,
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

mod uuid_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(uuid)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Uuid, D::Error> {
        let text = String::deserialize(deserializer)?;
        Uuid::parse_str(&text).map_err(serde::de::Error::custom)
    }
}

impl Catalog {
    /// The catalog's file.
    pub fn to_json(&self) -> String {
        let topics = self.topics.iter().map(|topic| TopicText {
            id: topic.id.0,
            name: topic.name.clone(),
            uuid: topic.uuid,
            configs: topic.configs.clone(),
            partitions: topic.partitions.iter().map(|id| id.0).collect(),
        });
        let partitions = self.partitions().map(|(id, meta)| PartitionText {
            id: id.0,
            topic: meta.topic.0,
            index: meta.index.0,
            stripe: meta.stripe.0,
        });
        let text = CatalogText {
            format_version: FORMAT_VERSION,
            next_topic: Some(self.next_topic),
            next_partition: Some(self.next_partition().0),
            settings: self.settings.clone(),
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
        let partitions = read_partitions(&text.partitions, text.next_partition, stripes)?;
        let mut catalog = Catalog {
            topics: Vec::with_capacity(text.topics.len()),
            next_topic: 0,
            partitions,
            by_name: BTreeMap::new(),
            settings: text.settings,
        };
        let mut uuids = BTreeSet::new();
        for (place, topic) in text.topics.into_iter().enumerate() {
            catalog.read_topic(place, topic, &mut uuids)?;
        }
        let least = catalog.next_topic;
        catalog.next_topic = text.next_topic.unwrap_or(least);
        if catalog.next_topic < least {
            let reason = format!("is {}; topic {} is there", catalog.next_topic, least - 1);
            return Err(bad("next_topic".into(), reason));
        }
        let listed: usize = catalog.topics.iter().map(|it| it.partitions.len()).sum();
        if listed != text.partitions.len() {
            return Err(bad("partitions".into(), "some belong to no topic"));
        }
        Ok(catalog)
    }

    fn read_topic(
        &mut self,
        place: usize,
        topic: TopicText,
        uuids: &mut BTreeSet<Uuid>,
    ) -> Result<(), CatalogError> {
        let id = TopicId(topic.id);
        if topic.id < self.next_topic || topic.id == u32::MAX {
            return Err(bad(format!("topics[{place}].id"), format!("is {id}")));
        }
        self.next_topic = topic.id + 1;
        check_topic_name(&topic.name)?;
        for (index, partition) in (0..).map(PartitionIndex).zip(&topic.partitions) {
            let meta = self.partition(PartitionId(*partition));
            if meta.map(|meta| (meta.topic, meta.index)) != Some((id, index)) {
                return Err(bad(
                    format!("topics[{place}].partitions[{index}]"),
                    format!("partition {partition} does not say so too"),
                ));
            }
        }
        if self.by_name.insert(topic.name.clone(), id).is_some() {
            return Err(bad(format!("topics[{place}].name"), "is there twice"));
        }
        let uuid = topic.uuid;
        if !uuid.is_nil() && !uuids.insert(uuid) {
            return Err(bad(format!("topics[{place}].uuid"), "is there twice"));
        }
        self.topics.push(Topic {
            id,
            name: topic.name,
            uuid,
            configs: topic.configs,
            partitions: topic.partitions.into_iter().map(PartitionId).collect(),
        });
        Ok(())
    }
}

fn bad(field: String, reason: impl Into<String>) -> CatalogError {
    CatalogError::Field {
        field,
        reason: reason.into(),
    }
}

/// By id, with gaps where deleted ones were.
fn read_partitions(
    texts: &[PartitionText],
    next: Option<u32>,
    stripes: u16,
) -> Result<Vec<Option<PartitionMeta>>, CatalogError> {
    if texts.len() > PARTITIONS_MAX {
        let reason = format!("{} of at most {PARTITIONS_MAX}", texts.len());
        return Err(bad("partitions".into(), reason));
    }
    let next = match next {
        // Earlier programs deleted nothing.
        None => texts.len(),
        Some(next) => next as usize,
    };
    if next > PARTITION_IDS_MAX {
        let reason = format!("is {next}; allowed: 0 to {PARTITION_IDS_MAX}");
        return Err(bad("next_partition".into(), reason));
    }
    let mut partitions = vec![None; next];
    let mut least = 0;
    for (place, text) in texts.iter().enumerate() {
        let id = text.id as usize;
        if id < least || id >= next {
            let field = format!("partitions[{place}].id");
            return Err(bad(field, format!("is {id}")));
        }
        least = id + 1;
        if text.stripe >= stripes {
            let reason = format!("is {}; allowed: 0 to {}", text.stripe, stripes - 1);
            return Err(bad(format!("partitions[{place}].stripe"), reason));
        }
        partitions[id] = Some(PartitionMeta {
            topic: TopicId(text.topic),
            index: PartitionIndex(text.index),
            stripe: StripeId(text.stripe),
        });
    }
    Ok(partitions)
}
