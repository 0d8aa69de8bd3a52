//! A driver's file of the OpenMessaging Benchmark, for Kafka.
//!
//! Owns: its keys, and the properties in it. Never does: connect.

use std::path::Path;

use serde::Deserialize;

use super::{names, yaml};
use crate::bench::error::BenchError;
use crate::ids::Acks;
use crate::kafka::properties::Property;

/// What the driver for Kafka ends with, in whichever package it is.
const CLASS: &str = "KafkaBenchmarkDriver";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    name: String,
    driver_class: String,
    #[serde(default)]
    replication_factor: u16,
    #[serde(default)]
    topic_config: String,
    #[serde(default)]
    common_config: String,
    #[serde(default)]
    producer_config: String,
    #[serde(default)]
    consumer_config: String,
    #[serde(default)]
    reset: bool,
}

/// A driver, in librdkafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// What it is called in results.
    pub name: String,
    /// Where the brokers are and how they are reached: of all clients.
    pub common: Vec<Property>,
    /// Of producers; without `acks`.
    pub producer: Vec<Property>,
    /// What an acknowledgement stands for.
    pub acks: Acks,
    /// Of consumers.
    pub consumer: Vec<Property>,
    /// Of topics, in Kafka's words.
    pub topic: Vec<Property>,
    /// Copies of each partition; none for the brokers' default.
    pub replication: Option<u16>,
    /// What of the file is left out, and why.
    pub notes: Vec<String>,
}

impl Driver {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is for something else than Kafka, or has a key or property that cannot be
    /// used; named.
    pub fn load(path: &Path) -> Result<Driver, BenchError> {
        let (file, _): (File, String) = yaml::read(path)?;
        Driver::of(file).map_err(|problem| yaml::content(path, problem))
    }

    fn of(file: File) -> Result<Driver, String> {
        if !file.driver_class.ends_with(CLASS) {
            let class = file.driver_class;
            return Err(format!(
                "driverClass: {class} is not for Kafka; allowed: *.{CLASS}"
            ));
        }
        let mut notes = Vec::new();
        if file.reset {
            notes.push("reset is left out: only topics of our own are deleted".to_owned());
        }
        let mut section = |key: &str, text: &str| {
            let named = |problem: String| format!("{key}: {problem}");
            let java = properties(text).map_err(named)?;
            let (native, left_out) = names::translate(&java).map_err(named)?;
            notes.extend(left_out.into_iter().map(|note| format!("{key}: {note}")));
            Ok::<Vec<Property>, String>(native)
        };
        let mut common = section("commonConfig", &file.common_config)?;
        let mut producer = section("producerConfig", &file.producer_config)?;
        let consumer = section("consumerConfig", &file.consumer_config)?;
        // librdkafka has this one for producers only.
        let requests = |(name, _): &mut Property| name == "request.timeout.ms";
        let of_producers: Vec<Property> = common.extract_if(.., requests).collect();
        producer.splice(0..0, of_producers);
        let is_acks = |(name, _): &mut Property| name == "acks";
        let given: Vec<Property> = producer.extract_if(.., is_acks).collect();
        let acks = match given.last() {
            None => Acks::All,
            Some((_, value)) => acks(value)?,
        };
        Ok(Driver {
            name: file.name,
            common,
            producer,
            acks,
            consumer,
            topic: properties(&file.topic_config)
                .map_err(|problem| format!("topicConfig: {problem}"))?,
            replication: (file.replication_factor > 0).then_some(file.replication_factor),
            notes,
        })
    }

    /// Whether it says where brokers are.
    pub fn has_brokers(&self) -> bool {
        self.common
            .iter()
            .any(|(name, _)| name == "bootstrap.servers")
    }
}

fn acks(value: &str) -> Result<Acks, String> {
    match value {
        "0" => Ok(Acks::None),
        "1" => Ok(Acks::Leader),
        "all" | "-1" => Ok(Acks::All),
        _ => Err(format!(
            "producerConfig: acks: '{value}' is unknown; allowed: 0, 1, all, -1"
        )),
    }
}

/// The lines `name=value` or `name: value` of a text, as Java reads properties; the later of two wins.
fn properties(text: &str) -> Result<Vec<Property>, String> {
    let mut properties: Vec<Property> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let split = line.find(['=', ':']).filter(|at| *at > 0);
        let at = split.ok_or_else(|| format!("'{line}' is no NAME=VALUE"))?;
        let (name, value) = (line[..at].trim_end(), line[at + 1..].trim_start());
        properties.retain(|(known, _)| known != name);
        properties.push((name.to_owned(), value.to_owned()));
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: Kafka\n\
        driverClass: io.openmessaging.benchmark.driver.kafka.KafkaBenchmarkDriver\n\
        replicationFactor: 3\nreset: true\n\
        topicConfig: |\n  min.insync.replicas=2\n\
        commonConfig: |\n  bootstrap.servers=one:9092,two:9092\n  request.timeout.ms=120000\n\
        producerConfig: |\n  # as much as there is\n  acks=1\n  linger.ms=1\n  batch.size: 131072\n\
        consumerConfig: |\n  auto.offset.reset=earliest\n  max.partition.fetch.bytes=10485760\n";

    fn driver(text: &str) -> Result<Driver, String> {
        yaml::parse(text).and_then(Driver::of)
    }

    fn property(name: &str, value: &str) -> Property {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_driver_says_how_each_client_is_made() {
        let driver = driver(TEXT).unwrap();
        assert_eq!(driver.name, "Kafka");
        assert!(driver.has_brokers());
        assert_eq!(
            driver.common,
            [property("bootstrap.servers", "one:9092,two:9092")]
        );
        let producer = [
            property("request.timeout.ms", "120000"),
            property("linger.ms", "1"),
            property("batch.size", "131072"),
        ];
        assert_eq!(driver.producer, producer);
        assert_eq!(driver.acks, Acks::Leader);
        assert_eq!(
            driver.consumer,
            [property("max.partition.fetch.bytes", "10485760")]
        );
        assert_eq!(driver.topic, [property("min.insync.replicas", "2")]);
        assert_eq!(driver.replication, Some(3));
        let notes = driver.notes.join("\n");
        assert!(
            notes.contains("reset") && notes.contains("auto.offset.reset"),
            "{notes}"
        );
    }

    #[test]
    fn what_a_driver_cannot_mean_is_named() {
        for (from, to, words) in [
            ("reset: true", "resett: true", "resett"),
            ("kafka.KafkaBench", "pulsar.PulsarBench", "is not for Kafka"),
            ("acks=1", "acks=2", "acks: '2' is unknown"),
            (
                "linger.ms=1",
                "linger.ms",
                "producerConfig: 'linger.ms' is no NAME=VALUE",
            ),
            (
                "linger.ms=1",
                "transactional.id=x",
                "producerConfig: transactional.id",
            ),
            ("replicationFactor: 3", "replicationFactor: -1", "-1"),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let error = driver(&TEXT.replace(from, to)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
