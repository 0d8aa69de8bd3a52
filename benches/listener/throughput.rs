//! Part `throughput`: as many records as one partition takes from librdkafka.

use crate::bare::BareProducer;
use crate::flood::flood;
use crate::place::{Place, Topic};
use crate::report::{Bound, Check, Rates, Section, rate_ratio};
use crate::stage::{Stage, properties};
use crate::values::{KIND, Values};
use crate::{Failure, RECORD_BYTES, Scale};

/// Batches as large as the broker takes them by default, filled for 5 ms, not compressed: the broker
/// gets all bytes.
const SETTINGS: [(&str, &str); 3] = [
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    ("batch.num.messages", "10000"),
];

struct Contender<'a> {
    // Before the topic, which is removed at its end.
    producer: BareProducer,
    _topic: Topic<'a>,
    rates: Rates,
}

impl<'a> Contender<'a> {
    fn new(name: &'static str, place: &'a Place, acks: &str) -> Result<Contender<'a>, Failure> {
        let topic = place.topic("throughput", 1)?;
        let mut settings = vec![("acks", acks)];
        settings.extend(SETTINGS);
        let values = Values::new(RECORD_BYTES);
        let producer = BareProducer::new(&properties(place, &settings), &topic.name, values)?;
        Ok(Contender {
            producer,
            _topic: topic,
            rates: Rates::new(name),
        })
    }
}

pub fn run(stage: &Stage, scale: &Scale) -> Result<Section, Failure> {
    let mut contenders = vec![
        Contender::new("librdkafka's mock, acks=all", &stage.mock, "all")?,
        Contender::new("corelane, acks=all (synced)", &stage.ours, "all")?,
        Contender::new("corelane, acks=1", &stage.ours, "1")?,
    ];
    if let Some(kafka) = &stage.kafka {
        let name = "Apache Kafka, acks=all (not synced)";
        contenders.push(Contender::new(name, kafka, "all")?);
    }
    for contender in &mut contenders {
        flood(&mut contender.producer, scale.records / 4)?;
    }
    for round in 0..scale.rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let Contender {
                producer, rates, ..
            } = &mut contenders[at];
            rates.add(scale.records, flood(producer, scale.records)?);
        }
    }
    let [mock, all, leader, ..] = &contenders[..] else {
        return Err("three contenders are always there".into());
    };
    let checks = vec![
        Check::new(
            "corelane, acks=all / librdkafka's mock",
            rate_ratio(&all.rates, &mock.rates),
            Bound::AtLeast(0.95),
        ),
        Check::told(
            "corelane, acks=1 / librdkafka's mock",
            rate_ratio(&leader.rates, &mock.rates),
        ),
    ];
    Ok(Section {
        part: "throughput",
        settings: format!(
            "{} records of {RECORD_BYTES} B ({KIND}) into one partition, {} rounds; {SETTINGS:?}",
            scale.records, scale.rounds
        ),
        latencies: Vec::new(),
        rates: contenders
            .iter()
            .map(|c| c.rates.row(RECORD_BYTES))
            .collect(),
        checks,
    })
}
