//! The range of every number of a cluster, in one table, and what may stand at its other keys.
//!
//! Owns: smallest and largest values; those of the clients are librdkafka's own. Never does: rules
//! that need two keys ([`super::cluster_rules`]).

use super::clusters::ClusterConfig;
use super::error::ConfigError;

/// One number: its key below `clusters.NAME`, its range, its unit and where it is; none where the
/// profile decides.
struct Bound {
    key: &'static str,
    min: u32,
    max: u32,
    unit: &'static str,
    read: fn(&ClusterConfig) -> Option<f64>,
}

const fn bound(
    key: &'static str,
    min: u32,
    max: u32,
    unit: &'static str,
    read: fn(&ClusterConfig) -> Option<f64>,
) -> Bound {
    Bound {
        key,
        min,
        max,
        unit,
        read,
    }
}

/// Largest value of librdkafka's integers.
const INT_MAX: u32 = i32::MAX as u32;

const BOUNDS: &[Bound] = &[
    bound("memory_per_partition", 1 << 20, 1 << 30, "bytes", |c| {
        Some(c.memory_per_partition as f64)
    }),
    bound("unreachable_ms", 100, 60_000, "milliseconds", |c| {
        Some(c.unreachable_ms.into())
    }),
    bound("start_timeout_ms", 1000, 600_000, "milliseconds", |c| {
        Some(c.start_timeout_ms.into())
    }),
    bound("producer.batch_size", 1, INT_MAX, "bytes", |c| {
        c.producer.batch_size.map(f64::from)
    }),
    bound("producer.linger_ms", 0, 900_000, "milliseconds", |c| {
        c.producer.linger_ms
    }),
    bound("producer.timeout_ms", 1, INT_MAX, "milliseconds", |c| {
        c.producer.timeout_ms.map(f64::from)
    }),
    bound("consumer.fetch_min_bytes", 1, 100_000_000, "bytes", |c| {
        c.consumer.fetch_min_bytes.map(f64::from)
    }),
    bound(
        "consumer.fetch_max_wait_ms",
        0,
        300_000,
        "milliseconds",
        |c| c.consumer.fetch_max_wait_ms.map(f64::from),
    ),
    bound("consumer.max_poll_records", 1, 1_000_000, "records", |c| {
        c.consumer.max_poll_records.map(f64::from)
    }),
    bound("transaction.interval_ms", 0, 60_000, "milliseconds", |c| {
        Some(c.transaction.interval_ms)
    }),
    bound("transaction.records_max", 1, 1_000_000, "records", |c| {
        Some(c.transaction.records_max.into())
    }),
    bound(
        "transaction.timeout_ms",
        1000,
        INT_MAX,
        "milliseconds",
        |c| Some(c.transaction.timeout_ms.into()),
    ),
];

/// What may stand at keys that are no number.
const ALLOWED: &[(&str, &str)] = &[
    ("brokers", BROKERS),
    ("profile", "\"latency\" or \"throughput\""),
    ("processing", "\"exactly_once\" or \"at_least_once\""),
    ("failover", "\"wait\" or \"next-nearest\""),
    ("create_topics", "true or false"),
    (
        "extra",
        "a table of librdkafka properties, each value a string",
    ),
    ("tls.ca", "a path"),
    ("tls.certificate", "a path"),
    ("tls.key", "a path"),
    ("tls.key_password", "a string"),
    ("tls.verify_hostname", "true or false"),
    (
        "sasl.mechanism",
        "\"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\"",
    ),
    ("sasl.username", "a name"),
    ("sasl.password", "a string"),
    ("sasl.password_file", "a path"),
    (
        "producer.compression_type",
        "\"none\", \"gzip\", \"snappy\", \"lz4\" or \"zstd\"",
    ),
    ("producer.acks", "\"none\", \"leader\" or \"all\""),
    ("consumer.group_id", GROUP_ID),
    (
        "consumer.isolation_level",
        "\"read_committed\" or \"read_uncommitted\"",
    ),
];

pub(super) const BROKERS: &str = "a list of \"HOST:PORT\" (IPv6 as \"[IP]:PORT\"), at least one";
pub(super) const GROUP_ID: &str = "1 to 249 characters";

/// The sentence that says what may stand at `key` (below `clusters.NAME`, without indices); empty
/// for a key that is not listed.
pub(super) fn allowed(key: &str) -> String {
    if let Some(bound) = BOUNDS.iter().find(|bound| bound.key == key) {
        return sentence(bound);
    }
    // Whatever is below `extra` is a property of librdkafka.
    let key = if key.starts_with("extra.") {
        "extra"
    } else {
        key
    };
    ALLOWED
        .iter()
        .find(|(listed, _)| *listed == key)
        .map(|(_, sentence)| (*sentence).to_owned())
        .unwrap_or_default()
}

/// Checks each number of the table.
pub(super) fn every_number_is_in_range(
    name: &str,
    cluster: &ClusterConfig,
) -> Result<(), ConfigError> {
    for bound in BOUNDS {
        let Some(value) = (bound.read)(cluster) else {
            continue;
        };
        // A range check is false for NaN, so NaN is refused here as well.
        if !(f64::from(bound.min)..=f64::from(bound.max)).contains(&value) {
            return Err(ConfigError::key(
                format!("clusters.{name}.{}", bound.key),
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
