//! The typed options, with the names that users know.
//!
//! Owns: their types and defaults. Never does: check ranges; librdkafka refuses what it cannot
//! take, and the configuration refuses it earlier. Runs on: any thread.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::ids::Acks;

/// How a producer sends.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerConfig {
    /// `host:port` of some brokers; the others are found through them.
    pub brokers: Vec<String>,
    /// Bytes of a batch at most, before compression: 1 to 2147483647.
    pub batch_size: u32,
    /// Milliseconds that a record waits for others to share its batch: 0 to 900000.
    pub linger_ms: f64,
    /// How batches are compressed.
    pub compression_type: CompressionType,
    /// Who has to have a record before it counts as delivered.
    pub acks: Acks,
    /// Milliseconds after which an undelivered record is given up: 1 to 2147483647.
    pub timeout_ms: u32,
}

impl ProducerConfig {
    /// Each record at once: nothing waits for company.
    pub fn latency() -> ProducerConfig {
        ProducerConfig {
            brokers: Vec::new(),
            batch_size: 1_000_000,
            linger_ms: 0.0,
            compression_type: CompressionType::None,
            acks: Acks::All,
            timeout_ms: 30_000,
        }
    }

    /// Large, compressed batches: a record may wait 5 ms for others.
    pub fn throughput() -> ProducerConfig {
        ProducerConfig {
            batch_size: 1024 * 1024,
            linger_ms: 5.0,
            compression_type: CompressionType::Lz4,
            ..ProducerConfig::latency()
        }
    }
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig::latency()
    }
}

/// How a consumer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// `host:port` of some brokers; the others are found through them.
    pub brokers: Vec<String>,
    /// The group whose positions are read and committed.
    pub group_id: String,
    /// What is read.
    pub topics: Vec<String>,
    /// Bytes that a broker gathers before it answers, within the wait: 1 to 100000000.
    pub fetch_min_bytes: u32,
    /// Milliseconds that a broker waits for these bytes: 0 to 300000.
    pub fetch_max_wait_ms: u32,
    /// Records of one poll at most. No property: it bounds a batch on our side.
    pub max_poll_records: u32,
    /// Which records are seen.
    pub isolation_level: IsolationLevel,
}

impl Default for ConsumerConfig {
    /// Profile latency: a broker answers as soon as it has one byte.
    fn default() -> ConsumerConfig {
        ConsumerConfig {
            brokers: Vec::new(),
            group_id: "corelane".to_owned(),
            topics: Vec::new(),
            fetch_min_bytes: 1,
            fetch_max_wait_ms: 500,
            max_poll_records: 1_000,
            isolation_level: IsolationLevel::ReadCommitted,
        }
    }
}

macro_rules! named {
    ($(#[$doc:meta])* $type:ident ($what:literal) {
        $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        pub enum $type {
            $($(#[$variant_doc])* #[serde(rename = $name)] $variant,)*
        }

        impl $type {
            /// Every value.
            pub const ALL: &'static [$type] = &[$($type::$variant),*];

            /// The name used in configuration and documents.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$variant => $name,)*
                }
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<$type, String> {
                $type::ALL
                    .iter()
                    .copied()
                    .find(|known| known.name() == text)
                    .ok_or_else(|| {
                        let names: Vec<&str> =
                            $type::ALL.iter().map(|known| known.name()).collect();
                        format!(
                            concat!($what, " '{}' is unknown; allowed: {}"),
                            text,
                            names.join(", ")
                        )
                    })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

named! {
    /// How batches are compressed.
    CompressionType("compression_type") {
        /// Not at all.
        None = "none",
        /// Small, and slow to make.
        Gzip = "gzip",
        /// Fast.
        Snappy = "snappy",
        /// Fast.
        Lz4 = "lz4",
        /// Smallest for its speed.
        Zstd = "zstd",
    }
}

named! {
    /// Which records a consumer sees.
    IsolationLevel("isolation_level") {
        /// All, also of transactions that are open or were aborted.
        ReadUncommitted = "read_uncommitted",
        /// Those of committed transactions, and those of none.
        ReadCommitted = "read_committed",
    }
}

named! {
    /// How a password is proven.
    SaslMechanism("mechanism") {
        /// It is sent: with TLS only.
        Plain = "PLAIN",
        /// By challenge and response.
        ScramSha256 = "SCRAM-SHA-256",
        /// By challenge and response.
        ScramSha512 = "SCRAM-SHA-512",
    }
}

/// How a cluster is reached safely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Encryption; none = plain text.
    pub tls: Option<Tls>,
    /// Who we are; none = nobody in particular.
    pub sasl: Option<Sasl>,
}

/// Encryption, and whom to trust.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of authorities to trust, PEM; none = those of the system.
    pub ca: Option<PathBuf>,
    /// Our certificate, PEM, for clusters that ask for one.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// The key's password.
    pub key_password: Option<String>,
    /// Whether a broker's certificate must name its host.
    pub verify_hostname: VerifyHostname,
}

/// Whether a broker's certificate must name its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyHostname {
    /// It must.
    #[default]
    Yes,
    /// Any certificate of a trusted authority will do.
    No,
}

/// A user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: SaslMechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// What stands for a secret.
pub const MASK: &str = "***";

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca)
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("key_password", &self.key_password.as_ref().map(|_| MASK))
            .field("verify_hostname", &self.verify_hostname)
            .finish()
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("password", &MASK)
            .finish()
    }
}

/// What a client needs besides how it sends or reads. It has no `Debug`: `extra` may hold secrets
/// under any name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// The name that brokers log.
    pub client_id: String,
    /// How the cluster is reached.
    pub security: Security,
    /// Bytes that the client may hold in its queues: of records under way for a producer, of
    /// records fetched ahead for a consumer. Up to 4 MiB are raised to that.
    pub memory_bytes: u64,
    /// Further properties of librdkafka.
    pub extra: BTreeMap<String, String>,
}

/// What a producer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProducerRole {
    /// Single records.
    Plain,
    /// Transactions.
    Transactional {
        /// Stable across restarts: the next user of the same id fences the last.
        id: String,
        /// Milliseconds after which brokers abort an open transaction: 1000 to what they allow.
        timeout_ms: u32,
    },
}

/// How a consumer comes by its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It is told.
    Static,
    /// The group shares them out, and moves no more of them than it has to.
    Group,
}
