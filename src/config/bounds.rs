//! The range of every number in the configuration, in one table.
//!
//! Owns: smallest and largest values, and the sentence that tells users what is allowed. Never
//! does: rules that need two keys (those are in [`super::validate`]).

use super::Config;
use super::cluster_bounds;
use super::error::ConfigError;
use crate::limits::{
    BATCH_BYTES_MAX, CORES_MAX, FRAME_BYTES_MAX, PARTITIONS_MAX, PAYLOAD_BYTES_MAX,
    SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, STRIPES_MAX,
};

/// One number: its key, its range, its unit and where it is.
struct Bound {
    key: &'static str,
    min: u64,
    max: u64,
    unit: &'static str,
    read: fn(&Config) -> u64,
}

/// Largest value of a TOML integer, which is signed.
const TOML_MAX: u64 = i64::MAX as u64;

/// Largest timeout on Kafka's wire.
const TIMEOUT_MS_MAX: u64 = i32::MAX as u64;

/// Partitions of one topic that its creator did not count.
const BROKER_PARTITIONS_MAX: u64 = 4096;

const fn bound(
    key: &'static str,
    min: u64,
    max: u64,
    unit: &'static str,
    read: fn(&Config) -> u64,
) -> Bound {
    Bound {
        key,
        min,
        max,
        unit,
        read,
    }
}

/// Every number that stands at one fixed path.
const BOUNDS: &[Bound] = &[
    bound("node.cores", 0, CORES_MAX as u64, "cores", |c| {
        u64::from(c.node.cores)
    }),
    bound(
        "node.preempt_timer_us",
        10_000,
        1_000_000,
        "microseconds",
        |c| u64::from(c.node.preempt_timer_us),
    ),
    bound("node.spin_us", 0, 1_000_000, "microseconds", |c| {
        u64::from(c.node.spin_us)
    }),
    bound("node.in_flight_max", 1, 1 << 20, "transactions", |c| {
        u64::from(c.node.in_flight_max)
    }),
    bound("node.mesh_capacity", 2, 1 << 16, "messages", |c| {
        u64::from(c.node.mesh_capacity)
    }),
    bound(
        "gateway.connection_in_flight_max",
        1,
        1 << 16,
        "transactions",
        |c| u64::from(c.gateway.connection_in_flight_max),
    ),
    bound("gateway.connections_max", 1, 1 << 16, "connections", |c| {
        u64::from(c.gateway.connections_max)
    }),
    bound("broker.node_id", 0, i32::MAX as u64, "", |c| {
        // Negative ones wrap to beyond the range.
        i64::from(c.broker.node_id) as u64
    }),
    bound(
        "broker.default_partitions",
        1,
        BROKER_PARTITIONS_MAX,
        "partitions",
        |c| u64::from(c.broker.default_partitions),
    ),
    bound("broker.connections_max", 1, 1 << 20, "connections", |c| {
        u64::from(c.broker.connections_max)
    }),
    bound(
        "broker.request_bytes_max",
        64 << 10,
        1 << 30,
        "bytes",
        |c| u64::from(c.broker.request_bytes_max),
    ),
    bound(
        "broker.connection_bytes_max",
        64 << 10,
        1 << 40,
        "bytes",
        |c| c.broker.connection_bytes_max,
    ),
    bound("broker.bytes_max", 64 << 10, 1 << 40, "bytes", |c| {
        c.broker.bytes_max
    }),
    bound(
        "broker.message_bytes_max",
        1,
        BATCH_BYTES_MAX as u64,
        "bytes",
        |c| u64::from(c.broker.message_bytes_max),
    ),
    bound("broker.fetch_bytes_max", 1024, 1 << 30, "bytes", |c| {
        u64::from(c.broker.fetch_bytes_max)
    }),
    bound(
        "broker.group_min_session_timeout_ms",
        1,
        TIMEOUT_MS_MAX,
        "milliseconds",
        |c| u64::from(c.broker.group_min_session_timeout_ms),
    ),
    bound(
        "broker.group_max_session_timeout_ms",
        1,
        TIMEOUT_MS_MAX,
        "milliseconds",
        |c| u64::from(c.broker.group_max_session_timeout_ms),
    ),
    bound(
        "broker.group_initial_rebalance_delay_ms",
        0,
        60_000,
        "milliseconds",
        |c| u64::from(c.broker.group_initial_rebalance_delay_ms),
    ),
    bound(
        "broker.transaction_timeout_max_ms",
        1000,
        TIMEOUT_MS_MAX,
        "milliseconds",
        |c| u64::from(c.broker.transaction_timeout_max_ms),
    ),
    bound("log.stripes", 0, STRIPES_MAX as u64, "stripes", |c| {
        u64::from(c.log.stripes)
    }),
    bound(
        "log.segment_bytes",
        SEGMENT_BYTES_MIN,
        SEGMENT_BYTES_MAX,
        "bytes",
        |c| c.log.segment_bytes,
    ),
    bound(
        "log.tail_bytes",
        2 * FRAME_BYTES_MAX as u64,
        64 << 30,
        "bytes",
        |c| c.log.tail_bytes,
    ),
    bound("log.retention_bytes", 0, TOML_MAX, "bytes", |c| {
        c.log.retention_bytes
    }),
    bound("log.retention_ms", 0, TOML_MAX, "milliseconds", |c| {
        c.log.retention_ms
    }),
    bound("log.writes_in_flight_max", 1, 64, "writes", |c| {
        u64::from(c.log.writes_in_flight_max)
    }),
    bound(
        "transactions.payload_bytes_max",
        1,
        PAYLOAD_BYTES_MAX as u64,
        "bytes",
        |c| u64::from(c.transactions.payload_bytes_max),
    ),
    bound(
        "transactions.partitions",
        0,
        PARTITIONS_MAX as u64,
        "partitions",
        |c| u64::from(c.transactions.partitions),
    ),
    bound(
        "transactions.duplicate_window_records",
        1,
        1 << 28,
        "transactions",
        |c| u64::from(c.transactions.duplicate_window_records),
    ),
    bound(
        "transactions.duplicate_window_ms",
        0,
        TOML_MAX,
        "milliseconds",
        |c| c.transactions.duplicate_window_ms,
    ),
    bound(
        "processing.batch_records_max",
        1,
        1 << 16,
        "transactions",
        |c| u64::from(c.processing.batch_records_max),
    ),
    bound(
        "processing.retry_backoff_ms",
        1,
        60_000,
        "milliseconds",
        |c| u64::from(c.processing.retry_backoff_ms),
    ),
];

/// What may stand at keys that are no number, or that stand in a list. The path has its list
/// indices removed.
const ALLOWED: &[(&str, &str)] = &[
    ("node.idle", "\"adaptive\" or \"spin\""),
    ("node.layout", "\"auto\", \"none\" or a path"),
    ("node.allow_unplanned", "true or false"),
    ("node.oversubscribe", "true or false"),
    ("gateway.tcp", ADDRESSES),
    ("gateway.unix", "a list of paths of sockets"),
    ("gateway.allow_remote", "true or false"),
    ("broker.listen", ADDRESSES),
    ("broker.tls_listen", ADDRESSES),
    ("broker.advertised", "a list of \"HOST:PORT\""),
    ("broker.allow_unauthenticated", "true or false"),
    ("broker.auto_create_topics", "true or false"),
    ("broker.retention_ms", "-1 (no bound), 0 and more"),
    ("broker.retention_bytes", "-1 (no bound), 0 and more"),
    ("broker.offsets_retention_ms", "-1 (no bound), 0 and more"),
    (
        "broker.sasl",
        "a list of \"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\"",
    ),
    ("broker.users", "entries with name and password"),
    ("broker.users.name", "a string"),
    ("broker.users.password", "a string"),
    ("broker.tls.certificate", "a path"),
    ("broker.tls.key", "a path"),
    ("broker.tls.client_ca", "a path"),
    (
        "control.http",
        "\"IP:PORT\" (IPv6 as \"[IP]:PORT\"), or \"\"",
    ),
    ("control.allow_remote", "true or false"),
    ("log.directory", "a path"),
    ("log.read_at", "\"durable\" or \"appended\""),
    ("transactions.acks", "\"none\", \"leader\" or \"all\""),
    ("transactions.default_shard.shard", SHARD_ID),
    ("transactions.default_shard.beyond_km", KILOMETRES),
    ("topics.name", TOPIC_NAME),
    ("topics.partitions", TOPIC_PARTITIONS),
    ("shards.id", SHARD_ID),
    ("shards.name", SHARD_NAME),
    ("shards.latitude", "-90 to 90 degrees"),
    ("shards.longitude", "-180 to 180 degrees"),
    ("shards.cluster", "\"embedded\", or the name of a cluster"),
    ("shards.topic", SHARD_TOPIC),
    ("shards.partitions", TOPIC_PARTITIONS),
    ("shards.replication", REPLICATION),
    ("topics.replication", REPLICATION),
    ("membership.mode", "\"static\" or \"group\""),
    ("membership.shards", "a list of ids of shards, each once"),
    ("membership.instance", INSTANCE),
];

const ADDRESSES: &str = "a list of \"IP:PORT\" (IPv6 as \"[IP]:PORT\")";
pub(super) const SHARD_ID: &str = "0 to 65535";
pub(super) const KILOMETRES: &str = "0 to 20100 kilometres";
pub(super) const TOPIC_NAME: &str =
    "1 to 200 of a-z A-Z 0-9 . _ -, not . or .., not starting with transactions-";
pub(super) const TOPIC_PARTITIONS: &str = "0 to 65536 partitions";
pub(super) const SHARD_NAME: &str = "1 to 64 of a-z 0-9 -";
pub(super) const SHARD_TOPIC: &str = "1 to 200 of a-z A-Z 0-9 . _ -, not . or ..";
pub(super) const REPLICATION: &str = "0 (the broker's default) to 32767";
pub(super) const INSTANCE: &str = "1 to 64 of a-z 0-9 -";
pub(super) const CLUSTER_NAME: &str = "1 to 64 of a-z 0-9 -, not \"embedded\"";

const _: () = assert!(
    PARTITIONS_MAX == 65_536,
    "the sentence about topics says so"
);

/// The sentence that says what may stand at `key`; empty for a key that is not listed, whose error
/// then has to say it.
pub(super) fn allowed(key: &str) -> String {
    let plain = without_indices(key);
    if let Some((_, below)) = plain
        .strip_prefix("clusters.")
        .and_then(|rest| rest.split_once('.'))
    {
        return cluster_bounds::allowed(below);
    }
    if let Some(bound) = BOUNDS.iter().find(|bound| bound.key == plain) {
        return sentence(bound);
    }
    ALLOWED
        .iter()
        .find(|(listed, _)| *listed == plain)
        .map(|(_, sentence)| (*sentence).to_owned())
        .unwrap_or_default()
}

/// Checks each number of the table.
pub(super) fn every_number_is_in_range(config: &Config) -> Result<(), ConfigError> {
    for bound in BOUNDS {
        let value = (bound.read)(config);
        if !(bound.min..=bound.max).contains(&value) {
            return Err(ConfigError::key(
                bound.key,
                format!("{value} is out of range"),
                sentence(bound),
            ));
        }
    }
    Ok(())
}

fn sentence(bound: &Bound) -> String {
    format!("{} to {} {}", bound.min, bound.max, bound.unit)
}

/// `shards[2].name` as `shards.name`.
fn without_indices(key: &str) -> String {
    let mut plain = String::with_capacity(key.len());
    let mut depth = 0_u32;
    for character in key.chars() {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            other if depth == 0 => plain.push(other),
            _ => {}
        }
    }
    plain
}
