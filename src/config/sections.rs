//! The sections of the configuration file, as types, with their defaults.
//!
//! Owns: names and defaults of the keys. Units, ranges and effects are documented where users
//! read them, in `config/default.toml`, and enforced in [`super::bounds`] and [`super::validate`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::broker::BrokerConfig;
use super::clusters::{ClusterConfig, MembershipConfig};
use super::control::ControlConfig;
use super::shards::{self, ShardConfig};
use super::text;
use super::trace::{LoggingConfig, TraceConfig};
use crate::ids::{Acks, ShardId};
use crate::limits::PAYLOAD_BYTES_DEFAULT;

/// The whole configuration of a node.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Cores and their loops.
    pub node: NodeConfig,
    /// Where clients connect.
    pub gateway: GatewayConfig,
    /// Where Kafka clients connect.
    pub broker: BrokerConfig,
    /// Where the node tells of itself.
    pub control: ControlConfig,
    /// What it tells of single transactions.
    pub trace: TraceConfig,
    /// Its log lines.
    pub logging: LoggingConfig,
    /// The embedded log.
    pub log: LogConfig,
    /// What is taken in, and how it is acknowledged.
    pub transactions: TransactionsConfig,
    /// How transactions are processed.
    pub processing: ProcessingConfig,
    /// Kafka clusters by name.
    pub clusters: BTreeMap<String, ClusterConfig>,
    /// Which shards on clusters this node processes.
    pub membership: MembershipConfig,
    /// Topics that handlers write to.
    pub topics: Vec<TopicConfig>,
    /// The geographic shards.
    pub shards: Vec<ShardConfig>,
}

/// Section `[node]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Cores to run on; 0 = every CPU that the process may use.
    pub cores: u16,
    /// What a core does when it has nothing to do.
    pub idle: Idle,
    /// Where the layout of CPUs comes from.
    #[serde(with = "text")]
    pub layout: LayoutChoice,
    /// Whether the node starts without a layout where the one that is there does not hold.
    pub allow_unplanned: bool,
    /// Whether more cores than CPUs are accepted.
    pub oversubscribe: bool,
    /// Microseconds after which a core's running task is asked to yield.
    pub preempt_timer_us: u32,
    /// Microseconds that an idle core spins before it parks.
    pub spin_us: u32,
    /// Transactions under way per core.
    pub in_flight_max: u32,
    /// Messages that fit a ring between two cores.
    pub mesh_capacity: u32,
}

/// Where the layout of CPUs comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LayoutChoice {
    /// From where `corelane tune layout --write` puts it; none where there is no such file.
    #[default]
    Auto,
    /// There is none: cores take the highest CPUs that the process may use.
    None,
    /// From this file.
    File(PathBuf),
}

impl fmt::Display for LayoutChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutChoice::Auto => f.write_str("auto"),
            LayoutChoice::None => f.write_str("none"),
            LayoutChoice::File(path) => path.display().fmt(f),
        }
    }
}

impl FromStr for LayoutChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<LayoutChoice, &'static str> {
        match text {
            "" => Err("it is empty"),
            "auto" => Ok(LayoutChoice::Auto),
            "none" => Ok(LayoutChoice::None),
            path => Ok(LayoutChoice::File(PathBuf::from(path))),
        }
    }
}

/// What a core does when it has nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Spin for a while, then park until something arrives.
    #[default]
    Adaptive,
    /// Spin for ever: lowest latency, a whole CPU per core.
    Spin,
}

/// Section `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Addresses to listen on.
    pub tcp: Vec<SocketAddr>,
    /// Unix sockets to listen on.
    pub unix: Vec<PathBuf>,
    /// Whether `tcp` may name an address that other machines can reach.
    pub allow_remote: bool,
    /// Transactions of one connection that may be unanswered.
    pub connection_in_flight_max: u32,
    /// Connections per core.
    pub connections_max: u32,
}

/// Section `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// The data directory.
    pub directory: PathBuf,
    /// Stripes of a new data directory; 0 = one per core.
    pub stripes: u16,
    /// Bytes of a segment's file.
    pub segment_bytes: u64,
    /// Bytes of the newest records that a stripe keeps in memory.
    pub tail_bytes: u64,
    /// Bytes that a stripe keeps on the device; 0 = no bound.
    pub retention_bytes: u64,
    /// Milliseconds that records are kept; 0 = no bound.
    pub retention_ms: u64,
    /// Writes that a stripe has under way at once.
    pub writes_in_flight_max: u16,
    /// When a record may be read.
    pub read_at: ReadAt,
}

/// When a record may be read by a consumer; the words are defined at [`crate::log`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadAt {
    /// Once it is durable.
    #[default]
    Durable,
    /// As soon as it is appended.
    Appended,
}

/// Section `[transactions]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransactionsConfig {
    /// The promise of a receipt, where the submitter asks for none in particular.
    #[serde(with = "text")]
    pub acks: Acks,
    /// Longest payload in bytes.
    pub payload_bytes_max: u32,
    /// Partitions of each shard's topic; 0 = one per stripe.
    pub partitions: u32,
    /// Transaction ids that each core remembers.
    pub duplicate_window_records: u32,
    /// Milliseconds that a transaction id is remembered; 0 = no bound.
    pub duplicate_window_ms: u64,
    /// The shard that takes what is far from every shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_shard: Option<DefaultShardConfig>,
}

/// Section `[transactions.default_shard]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultShardConfig {
    /// The shard.
    #[serde(with = "shards::id")]
    pub shard: ShardId,
    /// Kilometres from the nearest shard beyond which this one is taken instead.
    pub beyond_km: f64,
}

/// Section `[processing]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessingConfig {
    /// Transactions whose outputs and position are committed together, at the most.
    pub batch_records_max: u32,
    /// Milliseconds until a transaction is processed again whose handler said *retry*.
    pub retry_backoff_ms: u32,
}

/// One `[[topics]]` entry: a topic that handlers write to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// Its name.
    pub name: String,
    /// Its partitions; 0 = one per stripe, on clusters the broker's default.
    #[serde(default)]
    pub partitions: u32,
    /// Copies of each partition on a cluster; 0 = the broker's default.
    #[serde(default)]
    pub replication: u16,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            node: NodeConfig::default(),
            gateway: GatewayConfig::default(),
            broker: BrokerConfig::default(),
            control: ControlConfig::default(),
            trace: TraceConfig::default(),
            logging: LoggingConfig::default(),
            log: LogConfig::default(),
            transactions: TransactionsConfig::default(),
            processing: ProcessingConfig::default(),
            clusters: BTreeMap::new(),
            membership: MembershipConfig::default(),
            topics: Vec::new(),
            shards: shards::default_table(),
        }
    }
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            cores: 0,
            idle: Idle::Adaptive,
            layout: LayoutChoice::Auto,
            allow_unplanned: false,
            oversubscribe: false,
            preempt_timer_us: 100_000,
            spin_us: 50,
            in_flight_max: 8192,
            mesh_capacity: 1024,
        }
    }
}

impl Default for GatewayConfig {
    fn default() -> GatewayConfig {
        GatewayConfig {
            tcp: vec![SocketAddr::from(([127, 0, 0, 1], 7171))],
            unix: Vec::new(),
            allow_remote: false,
            connection_in_flight_max: 1024,
            connections_max: 1024,
        }
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            directory: PathBuf::from("corelane-data"),
            stripes: 0,
            segment_bytes: 64 << 20,
            tail_bytes: 32 << 20,
            retention_bytes: 0,
            retention_ms: 0,
            writes_in_flight_max: 8,
            read_at: ReadAt::Durable,
        }
    }
}

impl Default for TransactionsConfig {
    fn default() -> TransactionsConfig {
        TransactionsConfig {
            acks: Acks::All,
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT as u32,
            partitions: 0,
            duplicate_window_records: 1_000_000,
            duplicate_window_ms: 0,
            default_shard: None,
        }
    }
}

impl Default for ProcessingConfig {
    fn default() -> ProcessingConfig {
        ProcessingConfig {
            batch_records_max: 512,
            retry_backoff_ms: 10,
        }
    }
}
