//! Part `join`: how soon the first member of a new group has partitions.

use std::time::Duration;

use corelane::clock;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::place::Place;
use crate::report::{Bound, Check, Latencies, Section};
use crate::round::latencies;
use crate::stage::{Stage, properties};
use crate::{Failure, Scale};

const PARTITIONS: u16 = 4;

/// Nanoseconds from a consumer's subscription to its assignment; the consumer is new, so that
/// connecting is in it.
fn join(place: &Place, topic: &str, group: &str) -> Result<u64, Failure> {
    const POLL: Duration = Duration::from_millis(1);
    const PATIENCE_NS: u64 = 30_000_000_000;
    let mut config = ClientConfig::new();
    config.extend(properties(place, &[("group.id", group)]));
    let start = clock::monotonic();
    let consumer: BaseConsumer = config.create()?;
    consumer.subscribe(&[topic])?;
    loop {
        consumer.poll(POLL).transpose()?;
        let ns = clock::monotonic().since(start);
        if consumer.assignment()?.count() == usize::from(PARTITIONS) {
            return Ok(ns);
        }
        if ns > PATIENCE_NS {
            return Err("a group was not joined".into());
        }
    }
}

pub fn run(stage: &Stage, scale: &Scale) -> Result<Section, Failure> {
    let mut places = vec![(&stage.ours, Latencies::new("corelane"))];
    if let Some(kafka) = &stage.kafka {
        places.push((kafka, Latencies::new("Apache Kafka, no initial delay")));
    }
    let topics = places
        .iter()
        .map(|(place, _)| place.topic("join", PARTITIONS));
    let topics: Vec<_> = topics.collect::<Result<_, _>>()?;
    for round in 0..scale.rounds {
        for ((place, rows), topic) in places.iter_mut().zip(&topics) {
            let mut latency = latencies();
            for number in 0..scale.groups {
                let group = format!("{}-{round}-{number}", topic.name);
                latency.saturating_record(join(place, &topic.name, &group)?);
            }
            rows.add(latency);
        }
    }
    let rows: Vec<_> = places.iter().map(|(_, rows)| rows.row()).collect();
    Ok(Section {
        part: "join",
        settings: format!(
            "librdkafka's defaults, a new client and group each time, {PARTITIONS} partitions, {} rounds of {}",
            scale.rounds, scale.groups
        ),
        checks: vec![
            Check::new(
                "corelane, p50, ms",
                rows[0].p50_us / 1e3,
                Bound::AtMost(300.0),
            ),
            Check::new(
                "corelane, longest, ms",
                rows[0].max_us / 1e3,
                Bound::AtMost(300.0),
            ),
        ],
        latencies: rows,
        rates: Vec::new(),
    })
}
