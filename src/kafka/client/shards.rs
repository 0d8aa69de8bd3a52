//! Which topic and partition a transaction belongs to.
//!
//! Owns: the table of shards with their topics. Never does: I/O. Runs on: any thread.

use std::ops::Range;

use bytes::Bytes;

use crate::geo::{GeoLocation, ShardManager};
use crate::ids::{PartitionIndex, ShardId};
use crate::storage::positive_murmur2;
use crate::transaction::{TransactionError, TransactionId, TransactionRef, codec};

/// Where a shard's transactions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardTopic {
    /// The shard.
    pub shard: ShardId,
    /// Its topic; the engine's is `transactions-{shard}`.
    pub topic: String,
    /// The topic's partitions: 1 to 2147483647, exactly as many as it has. With another number an
    /// id would go to another partition than other producers send it to.
    pub partitions: u32,
}

/// All shards with their topics, on one cluster.
#[derive(Debug)]
pub struct ShardTopics {
    geo: ShardManager,
    /// One for each shard of `geo`, by ascending id.
    topics: Vec<ShardTopic>,
}

/// Why shards and topics make no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardTopicsError {
    /// A shard has no topic.
    #[error("shard {shard} has no topic; allowed: exactly one")]
    Missing {
        /// The shard.
        shard: ShardId,
    },
    /// A shard has two topics.
    #[error("shard {shard} has topic '{second}' as well; allowed: exactly one")]
    Twice {
        /// The shard.
        shard: ShardId,
        /// The topic too many.
        second: String,
    },
    /// A topic is of no shard.
    #[error("topic '{topic}' is of shard {shard}, which is not in the table of shards")]
    UnknownShard {
        /// The shard.
        shard: ShardId,
        /// Its topic.
        topic: String,
    },
    /// Two shards have one topic: what is read from it would be of no shard in particular.
    #[error("topic '{topic}' is of more than one shard; allowed: one")]
    SharedTopic {
        /// Its name.
        topic: String,
    },
    /// A number of partitions that no topic has.
    #[error("topic '{topic}': partitions is {partitions}; allowed: 1 to 2147483647")]
    Partitions {
        /// Its name.
        topic: String,
        /// What was given.
        partitions: u32,
    },
}

impl ShardTopics {
    /// A table in which each shard of `geo` has one topic.
    ///
    /// # Errors
    /// A shard without a topic or with two, a topic of no shard or of two, a number of partitions
    /// out of range.
    pub fn new(
        geo: ShardManager,
        mut topics: Vec<ShardTopic>,
    ) -> Result<ShardTopics, ShardTopicsError> {
        topics.sort_by_key(|entry| entry.shard);
        for (at, entry) in topics.iter().enumerate() {
            let (shard, topic) = (entry.shard, entry.topic.clone());
            if at > 0 && topics[at - 1].shard == shard {
                return Err(ShardTopicsError::Twice {
                    shard,
                    second: topic,
                });
            }
            if topics[..at].iter().any(|other| other.topic == topic) {
                return Err(ShardTopicsError::SharedTopic { topic });
            }
            if geo.shards().iter().all(|spec| spec.id != shard) {
                return Err(ShardTopicsError::UnknownShard { shard, topic });
            }
            if entry.partitions == 0 || i32::try_from(entry.partitions).is_err() {
                let partitions = entry.partitions;
                return Err(ShardTopicsError::Partitions { topic, partitions });
            }
        }
        for spec in geo.shards() {
            if topics.iter().all(|entry| entry.shard != spec.id) {
                return Err(ShardTopicsError::Missing { shard: spec.id });
            }
        }
        Ok(ShardTopics { geo, topics })
    }

    /// The topics, by ascending shard.
    pub fn topics(&self) -> &[ShardTopic] {
        &self.topics
    }

    /// Where the transaction with this id, of a client at this place, belongs: its shard's topic
    /// and the partition in it. The nearest shard, and the partition that Kafka's own producers
    /// choose for the id as key: what the engine does.
    pub fn route(&self, client: GeoLocation, id: &[u8]) -> (&ShardTopic, PartitionIndex) {
        let (at, partition) = self.place(client, id);
        (&self.topics[at], partition)
    }

    fn place(&self, client: GeoLocation, id: &[u8]) -> (usize, PartitionIndex) {
        let shard = self.geo.determine_shard(client);
        let at = self
            .topics
            .binary_search_by_key(&shard, |entry| entry.shard)
            .expect("each shard has its topic: checked when the table was made");
        let partition = positive_murmur2(id) % self.topics[at].partitions;
        (at, PartitionIndex(partition))
    }

    /// The record for a transaction.
    pub(super) fn prepare(&self, tx: &TransactionRef<'_>) -> Result<Prepared, TransactionError> {
        let id = tx.transaction_id()?;
        let mut value = Vec::with_capacity(codec::encoded_len(tx));
        codec::encode(tx, &mut value)?;
        let key = codec::key_range(tx);
        let start = key.start as usize;
        let (at, partition) = self.place(tx.client_location, tx.id);
        Ok(Prepared {
            value: Bytes::from(value),
            key: start..start + key.len as usize,
            id,
            at,
            partition,
        })
    }
}

/// A record that is ready to be sent.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The encoded transaction.
    pub value: Bytes,
    /// Its id within the value.
    pub key: Range<usize>,
    pub id: TransactionId,
    /// The index in [`ShardTopics::topics`].
    pub at: usize,
    pub partition: PartitionIndex,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::ShardSpec;

    fn geo(ids: &[u16]) -> ShardManager {
        let shards = ids
            .iter()
            .map(|&id| ShardSpec {
                id: ShardId(id),
                location: GeoLocation::new(f64::from(id), 0.0).unwrap(),
            })
            .collect();
        ShardManager::new(shards, None).unwrap()
    }

    fn topic(shard: u16, topic: &str, partitions: u32) -> ShardTopic {
        ShardTopic {
            shard: ShardId(shard),
            topic: topic.to_owned(),
            partitions,
        }
    }

    #[test]
    fn each_shard_has_exactly_one_topic_of_its_own() {
        let refused = |topics: Vec<ShardTopic>| {
            ShardTopics::new(geo(&[1, 2]), topics)
                .unwrap_err()
                .to_string()
        };
        let text = refused(vec![topic(1, "a", 1)]);
        assert!(text.contains("shard 2 has no topic"), "{text}");
        let text = refused(vec![topic(1, "a", 1), topic(2, "b", 1), topic(1, "c", 1)]);
        assert!(text.contains("shard 1 has topic 'c' as well"), "{text}");
        let text = refused(vec![topic(1, "a", 1), topic(2, "a", 1)]);
        assert!(text.contains("more than one shard"), "{text}");
        let text = refused(vec![topic(1, "a", 1), topic(2, "b", 1), topic(3, "c", 1)]);
        assert!(text.contains("shard 3"), "{text}");
        for partitions in [0, 1 << 31] {
            let text = refused(vec![topic(1, "a", partitions), topic(2, "b", 1)]);
            assert!(text.contains("1 to 2147483647"), "{text}");
        }
    }

    #[test]
    fn a_record_is_the_engines_and_goes_where_the_engine_sends_it() {
        let table = ShardTopics::new(geo(&[3, 40]), vec![topic(40, "b", 7), topic(3, "a", 5)]);
        let table = table.unwrap();
        let tx = TransactionRef {
            id: b"foobar",
            client_location: GeoLocation::new(38.0, 1.0).unwrap(),
            submitted_at: crate::ids::UnixMicros(5),
            amount: Some(300),
            payload: b"payload",
        };
        let prepared = table.prepare(&tx).unwrap();
        assert_eq!(codec::decode(&prepared.value), Ok(tx));
        assert_eq!(&prepared.value[prepared.key.clone()], b"foobar");
        // Kafka's own test has the hash of "foobar".
        let partition = (-790_332_482_i32 & 0x7fff_ffff) % 7;
        assert_eq!(i64::from(prepared.partition.0), i64::from(partition));
        let (entry, routed) = table.route(tx.client_location, tx.id);
        assert_eq!((entry.shard, routed), (ShardId(40), prepared.partition));
        assert_eq!(&table.topics()[prepared.at], entry);
    }
}
