//! Which librdkafka properties users set by a key of a cluster, and so not under `extra`.
//!
//! Owns: that list, aliases included. Never does: what corelane relies on without a key
//! ([`crate::kafka::properties`]); knowing all properties and their values (librdkafka is asked).

use super::Config;
use super::clusters::ClusterConfig;
use super::error::ConfigError;
use crate::ids::CoreId;
use crate::kafka::native::ClientConf;

/// A property and the key of a cluster that sets it.
const KEYS: &[(&str, &str)] = &[
    ("bootstrap.servers", "brokers"),
    ("metadata.broker.list", "brokers"),
    ("group.id", "consumer.group_id"),
    ("fetch.min.bytes", "consumer.fetch_min_bytes"),
    ("fetch.wait.max.ms", "consumer.fetch_max_wait_ms"),
    ("isolation.level", "consumer.isolation_level"),
    ("batch.size", "producer.batch_size"),
    ("linger.ms", "producer.linger_ms"),
    ("queue.buffering.max.ms", "producer.linger_ms"),
    ("compression.type", "producer.compression_type"),
    ("compression.codec", "producer.compression_type"),
    ("acks", "producer.acks"),
    ("request.required.acks", "producer.acks"),
    ("message.timeout.ms", "producer.timeout_ms"),
    ("delivery.timeout.ms", "producer.timeout_ms"),
    ("transaction.timeout.ms", "transaction.timeout_ms"),
    ("queue.buffering.max.kbytes", "memory_per_partition"),
    ("queued.max.messages.kbytes", "memory_per_partition"),
    ("security.protocol", "tls"),
    ("ssl.ca.location", "tls.ca"),
    ("ssl.ca.pem", "tls.ca"),
    ("ssl.certificate.location", "tls.certificate"),
    ("ssl.certificate.pem", "tls.certificate"),
    ("ssl.key.location", "tls.key"),
    ("ssl.key.pem", "tls.key"),
    ("ssl.key.password", "tls.key_password"),
    (
        "ssl.endpoint.identification.algorithm",
        "tls.verify_hostname",
    ),
    ("sasl.mechanism", "sasl.mechanism"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("sasl.username", "sasl.username"),
    ("sasl.password", "sasl.password"),
];

/// Otherwise a promise could be taken back where nobody would look for it.
pub(super) fn extras_leave_alone_what_is_relied_on(
    config: &Config,
    name: &str,
    cluster: &ClusterConfig,
) -> Result<(), ConfigError> {
    for (property, value) in &cluster.extra {
        if let Some((_, key)) = KEYS.iter().find(|(known, _)| known == property) {
            return Err(ConfigError::key(
                format!("clusters.{name}.extra.{property}"),
                "corelane has a key for it",
                format!("clusters.{name}.{key} instead"),
            ));
        }
        let alone = [(property.clone(), value.reveal().to_owned())];
        if let Err(error) = ClientConf::new(&alone) {
            return Err(ConfigError::key(
                format!("clusters.{name}.extra.{property}"),
                format!("librdkafka refuses it: {}", error.text),
                "",
            ));
        }
    }
    // The rest is known where the properties are made.
    config
        .client_properties(name, cluster, CoreId(0), 1)
        .map(|_| ())
}
