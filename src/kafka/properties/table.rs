//! Which of librdkafka's properties each key becomes: the table in the documentation.
//!
//! Owns: the words of the table. Never does: the mapping itself. Runs on: documentation and tests.

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The section the key is in: producer, consumer or cluster.
    pub section: &'static str,
    /// corelane's key.
    pub key: &'static str,
    /// librdkafka's property; empty where there is none.
    pub property: &'static str,
    /// What it does there.
    pub effect: &'static str,
}

const fn row(
    section: &'static str,
    key: &'static str,
    property: &'static str,
    effect: &'static str,
) -> Mapping {
    Mapping {
        section,
        key,
        property,
        effect,
    }
}

/// Every key, in the order of the configuration.
pub const MAPPING: &[Mapping] = &[
    row(
        "producer",
        "brokers",
        "bootstrap.servers",
        "joined by commas",
    ),
    row(
        "producer",
        "batch_size",
        "batch.size",
        "bytes of a batch at most",
    ),
    row(
        "producer",
        "batch_size",
        "message.max.bytes",
        "the same, and at least 1048588, which brokers take by default",
    ),
    row(
        "producer",
        "linger_ms",
        "linger.ms",
        "milliseconds a record waits for others",
    ),
    row(
        "producer",
        "compression_type",
        "compression.type",
        "as named",
    ),
    row(
        "producer",
        "acks",
        "acks",
        "none = 0, leader = 1, all = all",
    ),
    row(
        "producer",
        "acks",
        "enable.idempotence",
        "true for all, else false",
    ),
    row(
        "producer",
        "acks",
        "max.in.flight.requests.per.connection",
        "5 for all, else 1, so that order is kept",
    ),
    row(
        "producer",
        "timeout_ms",
        "delivery.timeout.ms",
        "a record is given up; in a transaction not later than its timeout",
    ),
    row(
        "producer",
        "timeout_ms",
        "request.timeout.ms",
        "a broker's time to answer: as stated, at most 10 s",
    ),
    row(
        "consumer",
        "brokers",
        "bootstrap.servers",
        "joined by commas",
    ),
    row("consumer", "group_id", "group.id", "as stated"),
    row("consumer", "topics", "", "what is assigned or subscribed"),
    row(
        "consumer",
        "fetch_min_bytes",
        "fetch.min.bytes",
        "bytes a broker gathers",
    ),
    row(
        "consumer",
        "fetch_max_wait_ms",
        "fetch.wait.max.ms",
        "milliseconds it waits for them",
    ),
    row(
        "consumer",
        "max_poll_records",
        "",
        "records of one poll at most",
    ),
    row("consumer", "isolation_level", "isolation.level", "as named"),
    row(
        "cluster",
        "memory_per_partition",
        "queue.buffering.max.kbytes",
        "a producer's queue: a quarter of it",
    ),
    row(
        "cluster",
        "memory_per_partition",
        "queued.max.messages.kbytes",
        "the consumer's queue: an eighth of it",
    ),
    row(
        "cluster",
        "memory_per_partition",
        "fetch.max.bytes",
        "one answer of a broker: a thirty-second of it, 1 MB to 50 MiB",
    ),
    row(
        "cluster",
        "tls, sasl",
        "security.protocol",
        "plaintext, ssl, sasl_plaintext or sasl_ssl",
    ),
    row("cluster", "tls.ca", "ssl.ca.location", "a file"),
    row(
        "cluster",
        "tls.certificate",
        "ssl.certificate.location",
        "a file",
    ),
    row("cluster", "tls.key", "ssl.key.location", "a file"),
    row(
        "cluster",
        "tls.key_password",
        "ssl.key.password",
        "masked where it is shown",
    ),
    row(
        "cluster",
        "tls.verify_hostname",
        "ssl.endpoint.identification.algorithm",
        "true = https, false = none",
    ),
    row("cluster", "sasl.mechanism", "sasl.mechanism", "as named"),
    row("cluster", "sasl.username", "sasl.username", "as stated"),
    row(
        "cluster",
        "sasl.password",
        "sasl.password",
        "masked where it is shown",
    ),
];
