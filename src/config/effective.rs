//! A configuration as text again, with everything filled in.
//!
//! Owns: writing out defaults, and TOML that parses to the same configuration but for its secrets,
//! which are masked; and what each client of a cluster is made with. Never does: librdkafka's names
//! ([`crate::kafka::properties`]).

use super::clusters::ClusterConfig;
use super::resolve::StorageKind;
use super::{Config, ConfigError, ShardConfig};
use crate::ids::CoreId;
use crate::kafka::properties::{
    ExtraError, ProducerRole, Property, consumer_properties, producer_properties,
    with_given_positions,
};

/// The librdkafka properties of the clients that one core has of one cluster. Secrets are in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientProperties {
    /// Of the producer that takes transactions in.
    pub producer: Vec<Property>,
    /// Of the producer that outputs are written with; none with processing = "at_least_once", where
    /// the other one does that as well.
    pub transactional_producer: Option<Vec<Property>>,
    /// Of the consumer.
    pub consumer: Vec<Property>,
}

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

    /// What the clients of `core` are made with on the cluster `name`, if the core has so many of its
    /// partitions.
    ///
    /// # Errors
    /// The password's file cannot be read, or `extra` has a property that corelane relies on; never
    /// the latter for a validated configuration.
    pub fn client_properties(
        &self,
        name: &str,
        cluster: &ClusterConfig,
        core: CoreId,
        partitions: u32,
    ) -> Result<ClientProperties, ConfigError> {
        let settings = cluster
            .settings(&self.client_id(core), partitions)
            .map_err(|error| {
                ConfigError::key(
                    format!("clusters.{name}.sasl.password_file"),
                    format!("it cannot be read: {error}"),
                    "a file that this process may read",
                )
            })?;
        let refused = |error: ExtraError| {
            ConfigError::key(
                format!("clusters.{name}.extra.{}", error.property),
                format!("not to be set here: {}", error.instead),
                "",
            )
        };
        let producer = cluster.producer();
        let topics = self.shards_on(name).map(ShardConfig::topic_name).collect();
        let of_producer =
            |role: &ProducerRole| producer_properties(&producer, &settings, role).map_err(refused);
        let instance = self.membership_instance().unwrap_or_default();
        Ok(ClientProperties {
            producer: of_producer(&ProducerRole::Plain)?,
            transactional_producer: cluster
                .transactional_role(&instance, core)
                .map(|role| of_producer(&role))
                .transpose()?,
            consumer: consumer_properties(
                &cluster.consumer(topics),
                &settings,
                self.membership.mode.into(),
            )
            .map(with_given_positions)
            .map_err(refused)?,
        })
    }

    /// The configuration as TOML, secrets masked.
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
