//! Section `[broker]`: the Kafka listener of the log built in, as types, with their defaults.
//!
//! Owns: names and defaults of the keys, and which listeners there are. Units, ranges and effects
//! are documented where users read them, in `config/default.toml`; the rules are in
//! [`super::broker_rules`].

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::resolve::StorageKind;
use super::secret::Secret;
use super::{Config, text};
use crate::kafka::properties::SaslMechanism;

/// Section `[broker]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerConfig {
    /// Addresses to listen on without encryption.
    pub listen: Vec<SocketAddr>,
    /// Addresses to listen on with TLS.
    pub tls_listen: Vec<SocketAddr>,
    /// `host:port` that clients are told, by listener: first those of `listen`, then those of
    /// `tls_listen`. Empty = the addresses that they are bound to.
    pub advertised: Vec<String>,
    /// Whether listeners that other machines can reach may go without authentication.
    pub allow_unauthenticated: bool,
    /// The broker's id.
    pub node_id: i32,
    /// Partitions of a topic whose creator does not say how many, and of the inlet.
    pub default_partitions: u32,
    /// Whether a topic that a client asks about is created where it is missing.
    pub auto_create_topics: bool,
    /// Connections per core.
    pub connections_max: u32,
    /// Bytes of the longest request.
    pub request_bytes_max: u32,
    /// Bytes of the requests of one connection that are under way.
    pub connection_bytes_max: u64,
    /// Bytes of the requests of one core that are under way and, apart from that, of the answers.
    pub bytes_max: u64,
    /// Bytes of the longest batch, where the topic says nothing else.
    pub message_bytes_max: u32,
    /// Bytes of the records in one answer to a fetch.
    pub fetch_bytes_max: u32,
    /// Milliseconds that a topic keeps its records, where it says nothing else; -1 = no bound.
    pub retention_ms: i64,
    /// Bytes that each partition of a topic keeps, where it says nothing else; -1 = no bound.
    pub retention_bytes: i64,
    /// Shortest session timeout of a group's member, in milliseconds.
    pub group_min_session_timeout_ms: u32,
    /// Longest session timeout of a group's member, in milliseconds.
    pub group_max_session_timeout_ms: u32,
    /// Milliseconds that the first members of an empty group wait for others.
    pub group_initial_rebalance_delay_ms: u32,
    /// Milliseconds after which the committed offsets of an empty group are forgotten; -1 = never.
    pub offsets_retention_ms: i64,
    /// Longest timeout of a transaction of Kafka, in milliseconds.
    pub transaction_timeout_max_ms: u32,
    /// How clients may authenticate; empty = they do not.
    #[serde(with = "mechanisms")]
    pub sasl: Vec<SaslMechanism>,
    /// Who may.
    pub users: Vec<BrokerUser>,
    /// The certificate of `tls_listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<BrokerTls>,
}

/// One `[[broker.users]]` entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// Section `[broker.tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerTls {
    /// File with the certificate that clients are shown, and those that vouch for it, PEM.
    pub certificate: PathBuf,
    /// File with its private key, PEM.
    pub key: PathBuf,
    /// File with the authorities whose clients are let in, PEM; none = clients show none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

impl Default for BrokerConfig {
    fn default() -> BrokerConfig {
        BrokerConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 9092))],
            tls_listen: Vec::new(),
            advertised: Vec::new(),
            allow_unauthenticated: false,
            node_id: 0,
            default_partitions: 4,
            auto_create_topics: true,
            connections_max: 16_384,
            request_bytes_max: 16 << 20,
            connection_bytes_max: 64 << 20,
            bytes_max: 512 << 20,
            message_bytes_max: 1_048_588,
            fetch_bytes_max: 50 << 20,
            retention_ms: -1,
            retention_bytes: -1,
            group_min_session_timeout_ms: 6000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 0,
            offsets_retention_ms: 604_800_000,
            transaction_timeout_max_ms: 900_000,
            sasl: Vec::new(),
            users: Vec::new(),
            tls: None,
        }
    }
}

impl BrokerConfig {
    /// Whether there is an address to listen on.
    pub fn is_on(&self) -> bool {
        !(self.listen.is_empty() && self.tls_listen.is_empty())
    }

    /// Listens nowhere.
    pub fn turn_off(&mut self) {
        self.listen.clear();
        self.tls_listen.clear();
        self.advertised.clear();
    }
}

impl Config {
    /// Whether this node has a Kafka listener: with clusters there is no log that it could serve.
    pub fn has_kafka_listener(&self) -> bool {
        match self.storage() {
            StorageKind::Embedded => self.broker.is_on(),
            StorageKind::Clusters => false,
        }
    }
}

/// A list of mechanisms by their names.
mod mechanisms {
    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Named(#[serde(with = "text")] SaslMechanism);

    pub(super) fn serialize<S: Serializer>(
        list: &[SaslMechanism],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().copied().map(Named))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<SaslMechanism>, D::Error> {
        let list = Vec::<Named>::deserialize(deserializer)?;
        Ok(list.into_iter().map(|Named(it)| it).collect())
    }
}
