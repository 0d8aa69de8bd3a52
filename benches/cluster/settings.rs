//! What all contenders are set to: the properties that the profiles come to.

use corelane::kafka::properties::{
    ClientSettings, ConsumerConfig, Membership, ProducerConfig, ProducerRole, Property,
    consumer_properties, producer_properties,
};

use crate::Failure;

/// The default of `memory_per_partition`.
const MEMORY_BYTES: u64 = 32 << 20;

/// Messages that one poll of ours hands over, as `max_poll_records` says by default.
pub const POLL_RECORDS: usize = 1_000;

fn client() -> ClientSettings {
    ClientSettings {
        client_id: "corelane-bench".to_owned(),
        memory_bytes: MEMORY_BYTES,
        ..ClientSettings::default()
    }
}

/// The properties of a profile's producer.
pub fn producer(brokers: &str, profile: ProducerConfig) -> Result<Vec<Property>, Failure> {
    let config = ProducerConfig {
        brokers: vec![brokers.to_owned()],
        ..profile
    };
    Ok(producer_properties(
        &config,
        &client(),
        &ProducerRole::Plain,
    )?)
}

/// The properties of a consumer that is told what to read.
pub fn consumer(brokers: &str) -> Result<Vec<Property>, Failure> {
    let config = ConsumerConfig {
        brokers: vec![brokers.to_owned()],
        group_id: "corelane-bench".to_owned(),
        max_poll_records: POLL_RECORDS as u32,
        // At the end of a turn a fetch is left that waits for more. The consumer's next turn begins
        // when it is over.
        fetch_max_wait_ms: 10,
        ..ConsumerConfig::default()
    };
    Ok(consumer_properties(&config, &client(), Membership::Static)?)
}

/// The same with one property changed.
pub fn with(properties: &[Property], name: &str, value: &str) -> Vec<Property> {
    let mut changed = properties.to_vec();
    changed.retain(|(known, _)| known != name);
    changed.push((name.to_owned(), value.to_owned()));
    changed
}

/// What of a profile is printed beside its figures.
pub fn shown(properties: &[Property]) -> String {
    const SHOWN: [&str; 6] = [
        "acks",
        "enable.idempotence",
        "linger.ms",
        "batch.size",
        "compression.type",
        "queue.buffering.max.kbytes",
    ];
    let pairs = properties
        .iter()
        .filter(|(name, _)| SHOWN.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}
