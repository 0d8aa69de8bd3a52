//! Part `consume`: a topic that is full, read from its start to its end.

use std::time::Duration;

use corelane::clock;
use corelane::ids::Nanos;
use corelane::kafka::properties::{ProducerConfig, Property};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::bare::BareConsumer;
use crate::ours::{Consumer, Producer};
use crate::place::Place;
use crate::report::{Bound, Check, Rates, Section, rate_ratio};
use crate::values::Values;
use crate::{Failure, Scale, seconds, settings, throughput, values};

/// How long a wait for one message may take, for those that wait.
const POLL_MS: u64 = 100;

/// What a reader has seen: every offset has to come, once and in order.
struct Seen {
    next: i64,
    records: i64,
    bytes: usize,
    /// Of the first bytes, so that each value is looked at.
    sum: u64,
    is_in_order: bool,
    start: Nanos,
}

impl Seen {
    fn start(records: usize) -> Seen {
        Seen {
            next: 0,
            records: records as i64,
            bytes: 0,
            sum: 0,
            is_in_order: true,
            start: clock::monotonic(),
        }
    }

    fn take(&mut self, offset: i64, value: &[u8]) {
        self.is_in_order &= offset == self.next;
        self.next += 1;
        self.bytes += value.len();
        self.sum += u64::from(value.first().copied().unwrap_or_default());
    }

    /// Whether that was the last. Reads no clock while messages come.
    fn is_over(&self, before: i64) -> Result<bool, Failure> {
        const MAX_NS: u64 = 300_000_000_000;
        if self.next == before && clock::monotonic().since(self.start) > MAX_NS {
            return Err(format!("only {} of {} came", self.next, self.records).into());
        }
        Ok(self.next >= self.records)
    }

    /// Seconds since the start.
    fn end(self, record_bytes: usize) -> Result<f64, Failure> {
        let seconds = seconds(self.start, clock::monotonic());
        std::hint::black_box(self.sum);
        let expected = self.records as usize * record_bytes;
        if !self.is_in_order || self.bytes != expected {
            return Err("records are missing, doubled or out of order".into());
        }
        Ok(seconds)
    }
}

fn ours(consumer: &mut Consumer, scale: &Scale) -> Result<f64, Failure> {
    let mut seen = Seen::start(scale.records);
    let mut active = seen.start;
    consumer.start()?;
    loop {
        let before = seen.next;
        consumer.poll(&mut active, |offset, value| seen.take(offset, value))?;
        if seen.is_over(before)? {
            break;
        }
    }
    let seconds = seen.end(scale.record_bytes)?;
    consumer.stop()?;
    Ok(seconds)
}

fn base(consumer: &BaseConsumer, topic: &str, scale: &Scale) -> Result<f64, Failure> {
    let mut seen = Seen::start(scale.records);
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&assignment)?;
    loop {
        let before = seen.next;
        if let Some(message) = consumer.poll(Duration::from_millis(POLL_MS)) {
            let message = message?;
            seen.take(message.offset(), message.payload().unwrap_or_default());
        }
        if seen.is_over(before)? {
            break;
        }
    }
    let seconds = seen.end(scale.record_bytes)?;
    consumer.unassign()?;
    Ok(seconds)
}

fn bare(consumer: &mut BareConsumer, scale: &Scale) -> Result<f64, Failure> {
    let mut seen = Seen::start(scale.records);
    consumer.assign(Some(0))?;
    loop {
        let before = seen.next;
        consumer.poll(POLL_MS as i32, |offset, value| seen.take(offset, value))?;
        if seen.is_over(before)? {
            break;
        }
    }
    let seconds = seen.end(scale.record_bytes)?;
    consumer.assign(None)?;
    Ok(seconds)
}

fn base_consumer(properties: &[Property]) -> Result<BaseConsumer, Failure> {
    let mut config = ClientConfig::new();
    config.extend(properties.iter().cloned());
    Ok(config.create()?)
}

pub fn run(place: &Place, scale: &Scale) -> Result<Section, Failure> {
    let topic = place.topic("consume", 1)?;
    let filling = settings::producer(&place.brokers(), ProducerConfig::throughput())?;
    let mut producer = Producer::new(&filling, &topic.name, Values::new(scale.record_bytes))?;
    throughput::ours(&mut producer, scale.records)?;
    drop(producer);
    let properties = settings::consumer(&place.brokers())?;
    let mut our_consumer = Consumer::new(&properties, &topic.name)?;
    let base_consumer = base_consumer(&properties)?;
    let mut bare_consumer = BareConsumer::new(&properties, &topic.name)?;
    let mut rates = [
        Rates::new("corelane, in batches"),
        Rates::new("BaseConsumer::poll, one at a time"),
        Rates::new("bare rd_kafka_consumer_poll, one at a time"),
    ];
    // The first round fills the brokers' page cache and is not counted.
    for round in 0..=scale.rounds {
        for turn in 0..rates.len() {
            let at = (round + turn) % rates.len();
            let seconds = match at {
                0 => ours(&mut our_consumer, scale)?,
                1 => base(&base_consumer, &topic.name, scale)?,
                _ => bare(&mut bare_consumer, scale)?,
            };
            if round > 0 {
                rates[at].add(scale.records, seconds);
            }
        }
    }
    let [ours, base, bare] = &rates;
    Ok(Section {
        part: "consume",
        settings: format!(
            "{} records of {} B ({}), one partition, filled with the settings of \
             produce-throughput; {} rounds; fetch.min.bytes=1, up to {} messages a batch",
            scale.records,
            scale.record_bytes,
            values::KIND,
            scale.rounds,
            settings::POLL_RECORDS,
        ),
        latencies: Vec::new(),
        checks: vec![
            Check::new(
                "corelane / BaseConsumer",
                rate_ratio(ours, base),
                Bound::AtLeast(2.0),
            ),
            Check::told("corelane / bare, one at a time", rate_ratio(ours, bare)),
        ],
        rates: rates
            .iter()
            .map(|rate| rate.row(scale.record_bytes))
            .collect(),
    })
}
