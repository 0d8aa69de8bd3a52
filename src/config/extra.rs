//! Which librdkafka properties users may not set under `extra`, and why.
//!
//! Owns: that list. Never does: knowing all properties (librdkafka refuses those that it does not
//! know when the client is made).

use super::clusters::ClusterConfig;
use super::error::ConfigError;

/// Why a property is not the user's.
enum Reserved {
    /// This key of the cluster sets it.
    Key(&'static str),
    /// The engine needs it as it is.
    Needed(&'static str),
}

use Reserved::{Key, Needed};

/// Properties, aliases next to each other.
const RESERVED: &[(&[&str], Reserved)] = &[
    (
        &["bootstrap.servers", "metadata.broker.list"],
        Key("brokers"),
    ),
    (&["group.id"], Key("consumer.group_id")),
    (&["fetch.min.bytes"], Key("consumer.fetch_min_bytes")),
    (&["fetch.wait.max.ms"], Key("consumer.fetch_max_wait_ms")),
    (&["isolation.level"], Key("consumer.isolation_level")),
    (&["batch.size"], Key("producer.batch_size")),
    (
        &["linger.ms", "queue.buffering.max.ms"],
        Key("producer.linger_ms"),
    ),
    (
        &["compression.type", "compression.codec"],
        Key("producer.compression_type"),
    ),
    (&["acks", "request.required.acks"], Key("producer.acks")),
    (
        &["message.timeout.ms", "delivery.timeout.ms"],
        Key("producer.timeout_ms"),
    ),
    (&["transaction.timeout.ms"], Key("transaction.timeout_ms")),
    (
        &[
            "queue.buffering.max.kbytes",
            "queue.buffering.max.messages",
            "queued.max.messages.kbytes",
            "queued.min.messages",
        ],
        Key("memory_per_partition"),
    ),
    (&["security.protocol"], Key("tls")),
    (&["ssl.ca.location", "ssl.ca.pem"], Key("tls.ca")),
    (
        &["ssl.certificate.location", "ssl.certificate.pem"],
        Key("tls.certificate"),
    ),
    (&["ssl.key.location", "ssl.key.pem"], Key("tls.key")),
    (&["ssl.key.password"], Key("tls.key_password")),
    (
        &["ssl.endpoint.identification.algorithm"],
        Key("tls.verify_hostname"),
    ),
    (
        &["sasl.mechanism", "sasl.mechanisms"],
        Key("sasl.mechanism"),
    ),
    (&["sasl.username"], Key("sasl.username")),
    (&["sasl.password"], Key("sasl.password")),
    (
        &["allow.auto.create.topics"],
        Needed("topics are created before the start (create_topics)"),
    ),
    (
        &["transactional.id", "group.instance.id"],
        Needed("it follows from membership.instance"),
    ),
    (
        &["client.id"],
        Needed("it says which core of which node it is"),
    ),
    (
        &[
            "enable.idempotence",
            "enable.gapless.guarantee",
            "max.in.flight",
            "max.in.flight.requests.per.connection",
            "message.send.max.retries",
            "retries",
            "queuing.strategy",
        ],
        Needed("records must stay in order and be written once"),
    ),
    (
        &[
            "auto.commit.enable",
            "auto.commit.interval.ms",
            "auto.offset.reset",
            "enable.auto.commit",
            "enable.auto.offset.store",
            "offset.store.method",
        ],
        Needed("positions are committed by the engine, after the outputs"),
    ),
    (
        &[
            "group.protocol",
            "group.remote.assignor",
            "partition.assignment.strategy",
        ],
        Needed("partitions are given away one by one (cooperative-sticky)"),
    ),
    (
        &["partitioner"],
        Needed("the engine picks the partition, by the transaction's id"),
    ),
    (
        &["delivery.report.only.error"],
        Needed("receipts need every report"),
    ),
    (
        &["enable.partition.eof", "enabled_events", "log.queue"],
        Needed("the engine reads the queues' events"),
    ),
];

/// Otherwise a promise could be taken back where nobody would look for it.
pub(super) fn extras_leave_alone_what_is_relied_on(
    name: &str,
    cluster: &ClusterConfig,
) -> Result<(), ConfigError> {
    for property in cluster.extra.keys() {
        let found = RESERVED
            .iter()
            .find(|(names, _)| names.contains(&property.as_str()));
        let (problem, allowed) = match found {
            None => continue,
            Some((_, Key(key))) => (
                "corelane has a key for it".to_owned(),
                format!("clusters.{name}.{key} instead"),
            ),
            Some((_, Needed(reason))) => (format!("not to be changed: {reason}"), String::new()),
        };
        return Err(ConfigError::key(
            format!("clusters.{name}.extra.{property}"),
            problem,
            allowed,
        ));
    }
    Ok(())
}
