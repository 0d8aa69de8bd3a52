//! What a cluster's clients are set to, in librdkafka's terms.
//!
//! Owns: the defaults of the two profiles. Never does: librdkafka's property names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::ids::Acks;

/// How batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressionType {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl CompressionType {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            CompressionType::None => "none",
            CompressionType::Gzip => "gzip",
            CompressionType::Snappy => "snappy",
            CompressionType::Lz4 => "lz4",
            CompressionType::Zstd => "zstd",
        }
    }
}

impl fmt::Display for CompressionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CompressionType {
    type Err = String;

    fn from_str(text: &str) -> Result<CompressionType, String> {
        [
            CompressionType::None,
            CompressionType::Gzip,
            CompressionType::Snappy,
            CompressionType::Lz4,
            CompressionType::Zstd,
        ]
        .into_iter()
        .find(|value| value.name() == text)
        .ok_or_else(|| format!("compression type '{text}' is unknown"))
    }
}

/// Which records a consumer sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Every one.
    ReadUncommitted,
    /// None of open or aborted transactions.
    #[default]
    ReadCommitted,
}

impl IsolationLevel {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            IsolationLevel::ReadUncommitted => "read_uncommitted",
            IsolationLevel::ReadCommitted => "read_committed",
        }
    }
}

impl fmt::Display for IsolationLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for IsolationLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<IsolationLevel, String> {
        [
            IsolationLevel::ReadUncommitted,
            IsolationLevel::ReadCommitted,
        ]
        .into_iter()
        .find(|value| value.name() == text)
        .ok_or_else(|| format!("isolation level '{text}' is unknown"))
    }
}

/// A producer's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerConfig {
    /// `host:port` of brokers to start from.
    pub brokers: Vec<String>,
    /// Bytes of a batch.
    pub batch_size: u32,
    /// Milliseconds to wait for a batch to fill.
    pub linger_ms: f64,
    /// How batches are compressed.
    pub compression_type: CompressionType,
    /// When a record counts as written.
    pub acks: Acks,
    /// Milliseconds until an unacknowledged record fails.
    pub timeout_ms: u32,
}

/// A consumer's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerConfig {
    /// `host:port` of brokers to start from.
    pub brokers: Vec<String>,
    /// The group whose positions are kept.
    pub group_id: String,
    /// What is read.
    pub topics: Vec<String>,
    /// Bytes that a fetch waits for.
    pub fetch_min_bytes: u32,
    /// Milliseconds that a fetch waits for them.
    pub fetch_max_wait_ms: u32,
    /// Records that one poll hands over at the most.
    pub max_poll_records: u32,
    /// Which records are seen.
    pub isolation_level: IsolationLevel,
}

/// How connections are secured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Security {
    /// Encryption.
    pub tls: Option<Tls>,
    /// Authentication.
    pub sasl: Option<Sasl>,
}

/// Encryption.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Authorities' certificates.
    pub ca: Option<PathBuf>,
    /// The client's certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The key's password.
    pub key_password: Option<String>,
    /// Whether the broker's certificate must name its host.
    pub verify_hostname: bool,
}

/// Authentication.
#[derive(Clone, Debug, PartialEq)]
pub struct Sasl {
    /// The mechanism.
    pub mechanism: SaslMechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself.
    Plain,
    /// A proof by SHA-256.
    ScramSha256,
    /// A proof by SHA-512.
    ScramSha512,
}

/// What producers and consumers of a cluster have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSettings {
    /// The name in brokers' logs.
    pub client_id: String,
    /// How connections are secured.
    pub security: Security,
    /// Bound of the client's queues.
    pub memory_bytes: u64,
    /// Further properties.
    pub extra: BTreeMap<String, String>,
}

impl ProducerConfig {
    /// Sends at once.
    pub fn latency(brokers: Vec<String>) -> ProducerConfig {
        ProducerConfig {
            brokers,
            batch_size: 1_000_000,
            linger_ms: 0.0,
            compression_type: CompressionType::None,
            acks: Acks::All,
            timeout_ms: 30_000,
        }
    }

    /// Fills batches first.
    pub fn throughput(brokers: Vec<String>) -> ProducerConfig {
        ProducerConfig {
            batch_size: 1 << 20,
            linger_ms: 5.0,
            compression_type: CompressionType::Lz4,
            ..ProducerConfig::latency(brokers)
        }
    }
}

impl ConsumerConfig {
    /// Takes what is there.
    pub fn latency(brokers: Vec<String>, group_id: &str, topics: Vec<String>) -> ConsumerConfig {
        ConsumerConfig {
            brokers,
            group_id: group_id.to_owned(),
            topics,
            fetch_min_bytes: 1,
            fetch_max_wait_ms: 500,
            max_poll_records: 1000,
            isolation_level: IsolationLevel::ReadCommitted,
        }
    }

    /// Takes more at once.
    pub fn throughput(brokers: Vec<String>, group_id: &str, topics: Vec<String>) -> ConsumerConfig {
        ConsumerConfig::latency(brokers, group_id, topics)
    }
}
