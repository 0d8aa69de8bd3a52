//! What a configuration comes to once defaults, profiles and names are filled in.
//!
//! Owns: the order in which a key's value is looked for: the file, then the profile. Never does:
//! judging a value ([`super::validate`]); talking to a cluster.

use std::io;
use std::path::Path;

use super::clusters::{
    ClusterConfig, ConsumerKeys, Delivery, EMBEDDED, MembershipMode, ProducerKeys, Profile,
    SaslConfig, TlsConfig,
};
use super::secret::Secret;
use super::{Config, ConfigError, ShardConfig};
use crate::ids::{CoreId, ShardId};
use crate::kafka::properties::{
    ClientSettings, ConsumerConfig, Membership, ProducerConfig, ProducerRole, Sasl, Security, Tls,
    VerifyHostname,
};

/// What holds a node's shards. One node is either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// The log built in.
    Embedded,
    /// Kafka clusters.
    Clusters,
}

impl Config {
    /// Fills `brokers` from the files that list them.
    ///
    /// # Errors
    /// A file cannot be read, or a cluster has both.
    pub(super) fn read_brokers(&mut self) -> Result<(), ConfigError> {
        for (name, cluster) in &mut self.clusters {
            let Some(file) = cluster.brokers_file.take() else {
                continue;
            };
            let error = |problem: String| {
                let key = format!("clusters.{name}.brokers_file");
                ConfigError::key(key, problem, "a file that lists HOST:PORT, or brokers")
            };
            if !cluster.brokers.is_empty() {
                return Err(error("brokers is given as well".to_owned()));
            }
            let text = std::fs::read_to_string(&file)
                .map_err(|source| error(format!("{}: {source}", file.display())))?;
            let listed = text.split([',', '\n', ' ']).map(str::trim);
            let listed = listed.filter(|broker| !broker.is_empty());
            cluster.brokers = listed.map(str::to_owned).collect();
        }
        Ok(())
    }

    /// What holds this node's shards.
    pub fn storage(&self) -> StorageKind {
        if self.shards.iter().any(|shard| shard.cluster != EMBEDDED) {
            StorageKind::Clusters
        } else {
            StorageKind::Embedded
        }
    }

    /// The cluster that holds a shard; none for the log built in.
    pub fn cluster_of(&self, shard: &ShardConfig) -> Option<&ClusterConfig> {
        self.clusters.get(&shard.cluster)
    }

    /// The shards that a cluster holds, in the order of the file.
    pub fn shards_on<'a>(&'a self, cluster: &'a str) -> impl Iterator<Item = &'a ShardConfig> {
        self.shards
            .iter()
            .filter(move |shard| shard.cluster == cluster)
    }

    /// Partitions of the topic of a shard on a cluster; at least 1 in a validated configuration.
    /// For the log built in see [`Config::partitions_of_shard`].
    pub fn shard_partitions(&self, shard: &ShardConfig) -> u32 {
        match shard.partitions {
            0 => self.transactions.partitions,
            own => own,
        }
    }

    /// Whether this node may process the shard. In a consumer group every node may process any.
    pub fn processes(&self, shard: ShardId) -> bool {
        match self.membership.mode {
            MembershipMode::Static => {
                self.membership.shards.is_empty() || self.membership.shards.contains(&shard)
            }
            MembershipMode::Group => true,
        }
    }

    /// The name of this node's place, 1 to 64 of a-z 0-9 - in a validated configuration. None in a
    /// consumer group where no name is given.
    pub fn membership_instance(&self) -> Option<String> {
        let membership = &self.membership;
        if !membership.instance.is_empty() {
            return Some(membership.instance.clone());
        }
        match membership.mode {
            MembershipMode::Static if membership.shards.is_empty() => Some("all".to_owned()),
            MembershipMode::Static => Some(name_of_shards(&membership.shards)),
            MembershipMode::Group => None,
        }
    }

    /// The name under which brokers log the clients of a core.
    pub fn client_id(&self, core: CoreId) -> String {
        match self.membership_instance() {
            Some(instance) => format!("corelane-{instance}-{core}"),
            None => format!("corelane-{core}"),
        }
    }
}

impl From<MembershipMode> for Membership {
    fn from(mode: MembershipMode) -> Membership {
        match mode {
            MembershipMode::Static => Membership::Static,
            MembershipMode::Group => Membership::Group,
        }
    }
}

/// `0to3-7` for the shards 0, 1, 2, 3 and 7, in whatever order they are listed.
fn name_of_shards(shards: &[ShardId]) -> String {
    let mut ids: Vec<u16> = shards.iter().map(|shard| shard.0).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.chunk_by(|a, b| *b - *a == 1)
        .map(|run| match run {
            [first, .., last] => format!("{first}to{last}"),
            [only] => only.to_string(),
            [] => String::new(),
        })
        .collect::<Vec<String>>()
        .join("-")
}

impl ShardConfig {
    /// The topic of its transactions.
    pub fn topic_name(&self) -> String {
        match &self.topic {
            Some(topic) => topic.clone(),
            None => format!("transactions-{}", self.name),
        }
    }

    /// The topic of its dead letters.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dlq", self.topic_name())
    }

    /// The topic that holds the state of its lanes, on a cluster.
    pub fn state_topic(&self) -> String {
        format!("{}.state", self.topic_name())
    }
}

impl ClusterConfig {
    /// The settings of this cluster's producers.
    pub fn producer(&self) -> ProducerConfig {
        let mut config = match self.profile {
            Profile::Latency => ProducerConfig::latency(),
            Profile::Throughput => ProducerConfig::throughput(),
        };
        config.brokers = self.brokers.clone();
        let ProducerKeys {
            batch_size,
            linger_ms,
            compression_type,
            acks,
            timeout_ms,
        } = self.producer;
        set(&mut config.batch_size, batch_size);
        set(&mut config.linger_ms, linger_ms);
        set(&mut config.compression_type, compression_type);
        set(&mut config.acks, acks);
        set(&mut config.timeout_ms, timeout_ms);
        config
    }

    /// The settings of a consumer of `topics`.
    pub fn consumer(&self, topics: Vec<String>) -> ConsumerConfig {
        let ConsumerKeys {
            group_id,
            fetch_min_bytes,
            fetch_max_wait_ms,
            max_poll_records,
            isolation_level,
        } = &self.consumer;
        let mut config = ConsumerConfig {
            brokers: self.brokers.clone(),
            group_id: group_id.clone(),
            topics,
            ..ConsumerConfig::default()
        };
        set(&mut config.fetch_min_bytes, *fetch_min_bytes);
        set(&mut config.fetch_max_wait_ms, *fetch_max_wait_ms);
        set(&mut config.max_poll_records, *max_poll_records);
        set(&mut config.isolation_level, *isolation_level);
        config
    }

    /// What the clients of one core have in common; `partitions` is what the core has of this
    /// cluster, so that memory is bounded by `memory_per_partition` for each.
    ///
    /// # Errors
    /// The password's file cannot be read.
    pub fn settings(&self, client_id: &str, partitions: u32) -> io::Result<ClientSettings> {
        Ok(ClientSettings {
            client_id: client_id.to_owned(),
            security: self.security()?,
            // A quarter each for the producer, the transactional producer, the consumer, and what
            // the core has read ahead.
            memory_bytes: self.memory_per_partition / 4 * u64::from(partitions.max(1)),
            extra: self
                .extra
                .iter()
                .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
                .collect(),
        })
    }

    /// The role of the producer that a core processes with, where processing is exactly once; its
    /// `transactional.id` is the same for whoever takes the place `instance` over. Otherwise none:
    /// outputs are then sent one by one.
    pub fn transactional_role(&self, instance: &str, core: CoreId) -> Option<ProducerRole> {
        match self.processing {
            Delivery::AtLeastOnce => None,
            Delivery::ExactlyOnce => Some(ProducerRole::Transactional {
                id: format!("{}-{instance}-{core}", self.consumer.group_id),
                timeout_ms: self.transaction.timeout_ms,
            }),
        }
    }

    fn security(&self) -> io::Result<Security> {
        Ok(Security {
            tls: self.tls.as_ref().map(TlsConfig::resolve),
            sasl: self.sasl.as_ref().map(SaslConfig::resolve).transpose()?,
        })
    }
}

fn set<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

impl TlsConfig {
    fn resolve(&self) -> Tls {
        Tls {
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            key_password: self.key_password.as_ref().map(|it| it.reveal().to_owned()),
            verify_hostname: if self.verify_hostname {
                VerifyHostname::Yes
            } else {
                VerifyHostname::No
            },
        }
    }
}

impl SaslConfig {
    fn resolve(&self) -> io::Result<Sasl> {
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => password.reveal().to_owned(),
            (None, Some(file)) => password_in(file)?.reveal().to_owned(),
            (None, None) => String::new(),
        };
        Ok(Sasl {
            mechanism: self.mechanism,
            username: self.username.clone(),
            password,
        })
    }
}

/// The password in a file, without the line end that editors leave.
pub(super) fn password_in(file: &Path) -> io::Result<Secret> {
    let mut text = std::fs::read_to_string(file)?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    Ok(text.into())
}
