//! Part `produce-throughput`: as many records as one partition takes.

use corelane::clock;
use corelane::ids::Nanos;
use corelane::kafka::properties::ProducerConfig;

use crate::bare::BareProducer;
use crate::flood::flood;
use crate::ours::{Idle, Producer};
use crate::place::Place;
use crate::report::{Bound, Check, Rates, Section, rate_ratio};
use crate::round::Once;
use crate::values::Values;
use crate::{Failure, Scale, seconds, settings, values};

/// Records sent between two looks at the reports, as a core bounds a cycle.
const BURST: usize = 1024;

/// Sends `records` as fast as they are taken. Seconds until all are acknowledged.
pub fn ours(producer: &mut Producer, records: usize) -> Result<f64, Failure> {
    let mut once = Once::new(records);
    let mut sent = 0;
    let start = clock::monotonic();
    let mut active = Nanos(0);
    while !once.is_complete()? {
        let before = sent;
        let burst = records.min(sent + BURST);
        while sent < burst && producer.produce(sent)? {
            sent += 1;
        }
        let reported = producer.poll(&mut once, |_| {});
        if !reported && sent == before {
            Idle::Adaptive.rest(active, clock::monotonic(), None);
        } else if sent < burst || sent == records {
            // Soon there may be nothing to do. Until then no clock is read.
            active = clock::monotonic();
        }
    }
    Ok(seconds(start, clock::monotonic()))
}

pub fn run(place: &Place, scale: &Scale) -> Result<Section, Failure> {
    let topic = place.topic("produce-throughput", 1)?;
    let properties = settings::producer(&place.brokers(), ProducerConfig::throughput())?;
    let values = || Values::new(scale.record_bytes);
    let mut our_producer = Producer::new(&properties, &topic.name, values())?;
    let mut bare_producer = BareProducer::new(&properties, &topic.name, values())?;
    let warm_up = scale.records / 10;
    ours(&mut our_producer, warm_up)?;
    flood(&mut bare_producer, warm_up)?;
    let mut our_rates = Rates::new("corelane");
    let mut bare_rates = Rates::new("bare librdkafka, as rdkafka_performance");
    for round in 0..scale.rounds {
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                our_rates.add(scale.records, ours(&mut our_producer, scale.records)?);
            } else {
                bare_rates.add(scale.records, flood(&mut bare_producer, scale.records)?);
            }
        }
    }
    let ratio = rate_ratio(&our_rates, &bare_rates);
    // Whichever is smaller: a million, or 95 % of bare.
    let met = (our_rates.median() / 1e6).max(ratio / 0.95);
    Ok(Section {
        part: "produce-throughput",
        settings: format!(
            "{} records of {} B ({}) as fast as they are taken, one partition, {} rounds; {}",
            scale.records,
            scale.record_bytes,
            values::KIND,
            scale.rounds,
            settings::shown(&properties),
        ),
        latencies: Vec::new(),
        rates: vec![
            our_rates.row(scale.record_bytes),
            bare_rates.row(scale.record_bytes),
        ],
        checks: vec![
            Check::told("corelane / bare", ratio),
            Check::new(
                "the better of rate / 1 M/s and ratio / 0.95",
                met,
                Bound::AtLeast(1.0),
            ),
        ],
    })
}
