//! The sections `[clusters.NAME]` and `[membership]`, as types, with their defaults.
//!
//! Owns: names and defaults of the keys. A key whose default depends on the profile is an `Option`
//! here; [`super::resolve`] fills it. Units, ranges and effects are documented where users read
//! them, in `config/default.toml`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::secret::{self, Extra, Secret};
use super::{shards, text};
use crate::ids::{Acks, ShardId};
use crate::kafka::properties::{CompressionType, IsolationLevel, SaslMechanism};

/// The name that stands for the log built in, so no cluster has it.
pub const EMBEDDED: &str = "embedded";

/// Section `[clusters.NAME]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// `host:port` of brokers to start from.
    pub brokers: Vec<String>,
    /// A file that lists them, in place of `brokers`; read when the configuration is, which leaves
    /// it empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brokers_file: Option<PathBuf>,
    /// Where defaults of the producers come from.
    pub profile: Profile,
    /// What is promised about processing.
    pub processing: Delivery,
    /// What happens to intake while the whole cluster is unreachable.
    pub failover: Failover,
    /// Whether missing topics are created.
    pub create_topics: bool,
    /// Bytes per partition that bound what is queued and read ahead.
    pub memory_per_partition: u64,
    /// Milliseconds without any acknowledgement after which the cluster counts as unreachable.
    pub unreachable_ms: u32,
    /// Milliseconds that a start waits for the cluster.
    pub start_timeout_ms: u32,
    /// Further librdkafka properties.
    #[serde(serialize_with = "secret::serialize_extra")]
    pub extra: Extra,
    /// Encryption; none = off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Authentication; none = off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslConfig>,
    /// Section `[clusters.NAME.producer]`.
    pub producer: ProducerKeys,
    /// Section `[clusters.NAME.consumer]`.
    pub consumer: ConsumerKeys,
    /// Section `[clusters.NAME.transaction]`.
    pub transaction: TransactionKeys,
}

/// Where defaults of a cluster's producers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Send at once.
    #[default]
    Latency,
    /// Fill batches first.
    Throughput,
}

/// What is promised about processing on a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Outputs and positions are committed together, in a transaction of Kafka.
    #[default]
    ExactlyOnce,
    /// Positions are committed after the outputs; a crash may repeat some.
    AtLeastOnce,
}

/// What happens to intake while a shard's whole cluster is unreachable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failover {
    /// It waits: clients feel back-pressure.
    #[default]
    Wait,
    /// The nearest shard on another cluster takes it.
    NextNearest,
}

/// Section `[clusters.NAME.tls]`; that it is there turns encryption on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// File with the certificates of trusted authorities; none = those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// File with the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// File with its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// What the private key is encrypted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_password: Option<Secret>,
    /// Whether a broker's certificate must name its host.
    pub verify_hostname: bool,
}

/// Section `[clusters.NAME.sasl]`; that it is there turns authentication on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SaslConfig {
    /// The mechanism.
    #[serde(with = "text")]
    pub mechanism: SaslMechanism,
    /// The user.
    #[serde(default)]
    pub username: String,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A file that holds the password; a line end after it is not part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// Section `[clusters.NAME.producer]`: what is none comes from the profile.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProducerKeys {
    /// Bytes of a batch.
    pub batch_size: Option<u32>,
    /// Milliseconds to wait for a batch to fill.
    pub linger_ms: Option<f64>,
    /// How batches are compressed.
    #[serde(with = "text::optional")]
    pub compression_type: Option<CompressionType>,
    /// When a record counts as written.
    #[serde(with = "text::optional")]
    pub acks: Option<Acks>,
    /// Milliseconds until an unacknowledged record fails.
    pub timeout_ms: Option<u32>,
}

/// Section `[clusters.NAME.consumer]`: what is none has its default, whatever the profile.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsumerKeys {
    /// The group whose positions are kept.
    pub group_id: String,
    /// Bytes that a fetch waits for.
    pub fetch_min_bytes: Option<u32>,
    /// Milliseconds that a fetch waits for them.
    pub fetch_max_wait_ms: Option<u32>,
    /// Records that one poll hands over at the most.
    pub max_poll_records: Option<u32>,
    /// Which records are seen.
    #[serde(with = "text::optional")]
    pub isolation_level: Option<IsolationLevel>,
}

/// Section `[clusters.NAME.transaction]`: Kafka's transactions, where processing is exactly once.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransactionKeys {
    /// Milliseconds after which a transaction that holds something is committed.
    pub interval_ms: f64,
    /// Records processed after which it is committed.
    pub records_max: u32,
    /// Milliseconds after which the broker aborts a transaction whose node has gone silent.
    pub timeout_ms: u32,
}

/// Section `[membership]`: which shards on clusters this node processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MembershipConfig {
    /// Who decides.
    pub mode: MembershipMode,
    /// The shards of this node; empty = all.
    #[serde(with = "shards::ids")]
    pub shards: Vec<ShardId>,
    /// The name of this node's place, which a standby shares; empty = derived from `shards`.
    pub instance: String,
}

/// Who decides which node processes what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MembershipMode {
    /// The configuration.
    #[default]
    Static,
    /// The consumer group, partition by partition.
    Group,
}

impl Default for ClusterConfig {
    fn default() -> ClusterConfig {
        ClusterConfig {
            brokers: Vec::new(),
            brokers_file: None,
            profile: Profile::Latency,
            processing: Delivery::ExactlyOnce,
            failover: Failover::Wait,
            create_topics: true,
            memory_per_partition: 32 << 20,
            unreachable_ms: 1000,
            start_timeout_ms: 30_000,
            extra: Extra::new(),
            tls: None,
            sasl: None,
            producer: ProducerKeys::default(),
            consumer: ConsumerKeys::default(),
            transaction: TransactionKeys::default(),
        }
    }
}

impl Default for TlsConfig {
    fn default() -> TlsConfig {
        TlsConfig {
            ca: None,
            certificate: None,
            key: None,
            key_password: None,
            verify_hostname: true,
        }
    }
}

impl Default for ConsumerKeys {
    fn default() -> ConsumerKeys {
        ConsumerKeys {
            group_id: "corelane".to_owned(),
            fetch_min_bytes: None,
            fetch_max_wait_ms: None,
            max_poll_records: None,
            isolation_level: None,
        }
    }
}

impl Default for TransactionKeys {
    fn default() -> TransactionKeys {
        TransactionKeys {
            interval_ms: 2.0,
            records_max: 1000,
            timeout_ms: 60_000,
        }
    }
}
