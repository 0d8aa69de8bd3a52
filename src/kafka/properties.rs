//! Typed options to librdkafka's properties. Their names live here and nowhere else.
//!
//! Owns: the mapping, and what of it users may not override. Never does: talk to librdkafka.
//! Runs on: any thread, before a client is made.

mod options;
mod relied;
mod table;

#[cfg(test)]
mod tests;

pub use options::{
    ClientSettings, CompressionType, ConsumerConfig, IsolationLevel, MASK, Membership,
    ProducerConfig, ProducerRole, Sasl, SaslMechanism, Security, Tls, VerifyHostname,
};
pub use relied::ExtraError;
pub use table::{MAPPING, Mapping};

use relied::Side;

/// A property and its value, as librdkafka takes them.
pub type Property = (String, String);

/// The properties of a producer.
pub fn producer_properties(
    config: &ProducerConfig,
    settings: &ClientSettings,
    role: &ProducerRole,
) -> Result<Vec<Property>, ExtraError> {
    let mut list = List::new(&config.brokers, settings);
    list.acks(config.acks);
    list.add("batch.size", config.batch_size);
    let message_bytes = config.batch_size.clamp(MESSAGE_BYTES_MIN, 1_000_000_000);
    list.add("message.max.bytes", message_bytes);
    // A batch is bounded in bytes; the count must not end it before.
    list.add("batch.num.messages", 1_000_000);
    list.add("linger.ms", config.linger_ms);
    list.add("compression.type", config.compression_type.name());
    list.add("delivery.timeout.ms", config.timeout_ms);
    // A broker that does not answer is given up, and the record sent again, well before the
    // record itself is.
    list.add("request.timeout.ms", config.timeout_ms.clamp(1, 10_000));
    list.add("queue.buffering.max.kbytes", memory_bytes(settings) / 1024);
    list.add("queue.buffering.max.messages", MESSAGES_MAX);
    // As Java's clients place keys, for records whose partition is left to librdkafka.
    list.add("partitioner", "murmur2_random");
    list.add("socket.timeout.ms", SOCKET_TIMEOUT_MS);
    match role {
        ProducerRole::Plain => {}
        ProducerRole::Transactional { id, timeout_ms } => {
            list.add("transactional.id", id);
            list.add("transaction.timeout.ms", timeout_ms);
            // librdkafka asks that a transaction outlives its records and requests.
            list.replace("delivery.timeout.ms", config.timeout_ms.min(*timeout_ms));
            list.replace("socket.timeout.ms", SOCKET_TIMEOUT_MS.min(*timeout_ms));
        }
    }
    list.finish(settings, Side::Producer)
}

/// The properties of a consumer.
pub fn consumer_properties(
    config: &ConsumerConfig,
    settings: &ClientSettings,
    membership: Membership,
) -> Result<Vec<Property>, ExtraError> {
    let mut list = List::new(&config.brokers, settings);
    list.add("group.id", &config.group_id);
    list.add("enable.auto.commit", false);
    list.add("enable.auto.offset.store", false);
    list.add("enable.partition.eof", false);
    // For a group that has committed nothing yet.
    list.add("auto.offset.reset", "earliest");
    list.add("isolation.level", config.isolation_level.name());
    list.add("fetch.min.bytes", config.fetch_min_bytes);
    list.add("fetch.wait.max.ms", config.fetch_max_wait_ms);
    // The queue's bound is looked at before a fetch, and each broker may have one under way: half
    // for the queue and an eighth for an answer hold the bound for four brokers.
    let bytes = memory_bytes(settings);
    list.add("queued.max.messages.kbytes", bytes / 2 / 1024);
    list.add("queued.min.messages", 1_000_000);
    let fetch_bytes = (bytes / 8).clamp(FETCH_BYTES_MIN, FETCH_BYTES_MAX);
    list.add("fetch.max.bytes", fetch_bytes);
    list.add("fetch.message.max.bytes", PARTITION_BYTES.min(fetch_bytes));
    let answer_ms = config.fetch_max_wait_ms.saturating_add(5_000);
    list.add(
        "socket.timeout.ms",
        answer_ms.clamp(SOCKET_TIMEOUT_MS, 300_000),
    );
    // The default pauses a full second after the queue was full once.
    list.add("fetch.queue.backoff.ms", 5);
    list.add("fetch.error.backoff.ms", 50);
    list.add("check.crcs", true);
    match membership {
        Membership::Static => {}
        Membership::Group => {
            list.add("partition.assignment.strategy", "cooperative-sticky");
        }
    }
    list.finish(settings, Side::Consumer)
}

/// The properties of a consumer that is given every position, as the engine's are.
pub fn with_given_positions(mut consumer: Vec<Property>) -> Vec<Property> {
    let reset = "auto.offset.reset";
    consumer.retain(|(known, _)| known != reset);
    // A position that retention has overtaken is an error: records would be lost without a word.
    consumer.push((reset.to_owned(), "error".to_owned()));
    consumer
}

/// The properties of a client that only asks and administers.
pub fn admin_properties(
    brokers: &[String],
    settings: &ClientSettings,
) -> Result<Vec<Property>, ExtraError> {
    List::new(brokers, settings).finish(settings, Side::Admin)
}

/// The same with secrets replaced, for logs and for people.
pub fn masked(properties: &[Property]) -> Vec<Property> {
    properties
        .iter()
        .map(|(name, value)| {
            let shown = if relied::is_secret(name) { MASK } else { value };
            (name.clone(), shown.to_owned())
        })
        .collect()
}

/// Records in a producer's queue: so many that the bound in bytes is met first.
const MESSAGES_MAX: u64 = 10_000_000;

/// What brokers take at most by default; librdkafka's own default is less than a batch of 1 MiB.
const MESSAGE_BYTES_MIN: u32 = 1_048_588;

/// How long a broker that accepts a request and says nothing is waited for: one that is stopped
/// or cut off must not hold records for the default of a minute.
const SOCKET_TIMEOUT_MS: u32 = 10_000;

/// librdkafka refuses less than its limit of a request.
const FETCH_BYTES_MIN: u64 = 1_000_000;
const FETCH_BYTES_MAX: u64 = 50 * 1024 * 1024;
/// Of one partition in a fetch, so that many partitions share an answer.
const PARTITION_BYTES: u64 = 1024 * 1024;

const MEMORY_BYTES_MIN: u64 = 4 * 1024 * 1024;
/// librdkafka counts KiB in 31 bits, and half of them for consumers.
const MEMORY_BYTES_MAX: u64 = 2_097_151 * 1024;

fn memory_bytes(settings: &ClientSettings) -> u64 {
    settings
        .memory_bytes
        .clamp(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX)
}

/// Properties in the making.
struct List(Vec<Property>);

impl List {
    /// What every client has.
    fn new(brokers: &[String], settings: &ClientSettings) -> List {
        let mut list = List(Vec::new());
        list.add("bootstrap.servers", brokers.join(","));
        list.add("client.id", &settings.client_id);
        list.security(&settings.security);
        list.add("allow.auto.create.topics", false);
        list.add("socket.nagle.disable", true);
        list.add("socket.keepalive.enable", true);
        list.add("socket.connection.setup.timeout.ms", 5_000);
        list.add("reconnect.backoff.ms", 50);
        list.add("reconnect.backoff.max.ms", 1_000);
        list.add("retry.backoff.ms", 20);
        list.add("retry.backoff.max.ms", 500);
        list.add("topic.metadata.refresh.fast.interval.ms", 50);
        list.add("topic.metadata.propagation.max.ms", 5_000);
        list.add("statistics.interval.ms", 0);
        list.add("enable.metrics.push", false);
        list.add("log.connection.close", false);
        list
    }

    fn add(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    fn replace(&mut self, name: &str, value: impl ToString) {
        self.0.retain(|(known, _)| known != name);
        self.add(name, value);
    }

    fn acks(&mut self, acks: crate::ids::Acks) {
        use crate::ids::Acks;
        let (native, is_idempotent) = match acks {
            Acks::None => ("0", false),
            Acks::Leader => ("1", false),
            Acks::All => ("all", true),
        };
        self.add("acks", native);
        self.add("enable.idempotence", is_idempotent);
        if is_idempotent {
            // The most that brokers keep order and detect duplicates for.
            self.add("max.in.flight.requests.per.connection", 5);
        } else {
            // Without idempotence a retry of one request would overtake the next.
            self.add("max.in.flight.requests.per.connection", 1);
        }
    }

    fn security(&mut self, security: &Security) {
        let protocol = match (&security.tls, &security.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        self.add("security.protocol", protocol);
        if let Some(tls) = &security.tls {
            let files = [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.certificate),
                ("ssl.key.location", &tls.key),
            ];
            for (name, file) in files {
                if let Some(file) = file {
                    self.add(name, file.display());
                }
            }
            if let Some(password) = &tls.key_password {
                self.add("ssl.key.password", password);
            }
            let algorithm = match tls.verify_hostname {
                VerifyHostname::Yes => "https",
                VerifyHostname::No => "none",
            };
            self.add("ssl.endpoint.identification.algorithm", algorithm);
        }
        if let Some(sasl) = &security.sasl {
            self.add("sasl.mechanism", sasl.mechanism.name());
            self.add("sasl.username", &sasl.username);
            self.add("sasl.password", &sasl.password);
        }
    }

    /// The user's own properties, last: the later of two entries wins.
    fn finish(
        mut self,
        settings: &ClientSettings,
        side: Side,
    ) -> Result<Vec<Property>, ExtraError> {
        for (name, value) in &settings.extra {
            relied::check(name)?;
            if side.takes(name) {
                self.add(name, value);
            }
        }
        Ok(self.0)
    }
}
