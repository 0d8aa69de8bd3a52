//! A configuration as text again, with everything filled in.
//!
//! Owns: writing out defaults, and TOML that parses to the same configuration but for its secrets,
//! which are `***`. Never does: librdkafka's properties.

use super::Config;
use super::clusters::ClusterConfig;
use super::resolve::StorageKind;

impl Config {
    /// The same configuration with what would be filled in written out, as if the file had said so:
    /// what profiles decide, topics, partitions, the name of this node's place.
    pub fn effective(&self) -> Config {
        let mut filled = self.clone();
        for cluster in filled.clusters.values_mut() {
            cluster.fill_in();
        }
        for shard in &mut filled.shards {
            shard.topic = Some(shard.topic_name());
        }
        match self.storage() {
            // How many there are is known once the stripes are.
            StorageKind::Embedded => {}
            StorageKind::Clusters => {
                for (shard, own) in filled.shards.iter_mut().zip(&self.shards) {
                    shard.partitions = self.shard_partitions(own);
                }
                filled.membership.instance = self.membership_instance().unwrap_or_default();
            }
        }
        filled
    }

    /// The configuration as TOML, secrets as `***`.
    ///
    /// # Panics
    /// A number is larger than TOML can hold; never for a validated configuration.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every number of a valid configuration fits TOML")
    }
}

impl ClusterConfig {
    fn fill_in(&mut self) {
        let producer = self.producer();
        self.producer.batch_size = Some(producer.batch_size);
        self.producer.linger_ms = Some(producer.linger_ms);
        self.producer.compression_type = Some(producer.compression_type);
        self.producer.acks = Some(producer.acks);
        self.producer.timeout_ms = Some(producer.timeout_ms);
        let consumer = self.consumer(Vec::new());
        self.consumer.fetch_min_bytes = Some(consumer.fetch_min_bytes);
        self.consumer.fetch_max_wait_ms = Some(consumer.fetch_max_wait_ms);
        self.consumer.max_poll_records = Some(consumer.max_poll_records);
        self.consumer.isolation_level = Some(consumer.isolation_level);
    }
}
