//! Part `spread`: one record for each of many partitions, in one request, as the Java client sends it.
//!
//! librdkafka sends a request for each partition instead, so what it takes is told beside.

use std::net::SocketAddr;

use bytes::Bytes;
use corelane::clock;
use hdrhistogram::Histogram;
use kafka_protocol::messages::ProduceRequest;

use crate::bare::{BareProducer, Taken};
use crate::kafka_peer::{Peer, one_record, produce_request, request_bytes};
use crate::place::Place;
use crate::report::{Bound, Check, Latencies, Section, percentile_ratio};
use crate::round::{Once, latencies};
use crate::stage::{PRODUCE_VERSION, Stage, properties};
use crate::values::Values;
use crate::{Failure, RECORD_BYTES, Scale};

/// A connection and one request that it repeats.
struct Raw {
    peer: Peer,
    request: Bytes,
}

impl Raw {
    /// A request of one record for each of these partitions; it was sent once, and was taken.
    fn new(place: &Place, topic: &str, partitions: u16) -> Result<Raw, Failure> {
        let address: SocketAddr = place.brokers().parse()?;
        let mut peer = Peer::connect(address);
        let mut request = produce_request(topic, 0, one_record(&[b'x'; RECORD_BYTES]));
        let data = &mut request.topic_data[0].partition_data;
        let one = data[0].clone();
        *data = (0..i32::from(partitions))
            .map(|index| one.clone().with_index(index))
            .collect();
        let answer = peer.try_ask::<ProduceRequest>(PRODUCE_VERSION, &request);
        let answer = answer.ok_or("no answer to Produce")?;
        let results = answer
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses);
        let stored = results.filter(|result| result.error_code == 0).count();
        if stored != usize::from(partitions) {
            return Err(format!("{stored} of {partitions} records were stored").into());
        }
        let request = request_bytes(PRODUCE_VERSION, 0, &request);
        Ok(Raw { peer, request })
    }

    fn round(&mut self, count: usize) -> Result<Histogram<u64>, Failure> {
        let mut latency = latencies();
        for _ in 0..count {
            let start = clock::monotonic();
            self.peer.send(&self.request)?;
            self.peer.frame().ok_or("the broker has closed")?;
            latency.saturating_record(clock::monotonic().since(start));
        }
        Ok(latency)
    }
}

/// Nanoseconds until librdkafka has reported one record for each partition.
fn librdkafka(producer: &mut BareProducer, partitions: u16) -> Result<u64, Failure> {
    const WAIT_MS: i32 = 1_000;
    let mut once = Once::new(partitions.into());
    let start = clock::monotonic();
    for partition in 0..partitions {
        if producer.produce(partition.into(), partition.into())? == Taken::QueueFull {
            return Err("a record for each partition fills the queue".into());
        }
    }
    while !once.is_complete()? {
        producer.poll(WAIT_MS, |(number, error)| match error {
            0 => once.delivered(number),
            error => once.fail(format!("librdkafka's error {error}")),
        });
    }
    Ok(clock::monotonic().since(start))
}

struct Contender {
    one: (Raw, Latencies),
    many: (Raw, Latencies),
    /// One record for each partition, by librdkafka.
    library: (BareProducer, Latencies),
}

impl Contender {
    fn new(
        place: &Place,
        topic: &str,
        partitions: u16,
        [one, many, library]: [&'static str; 3],
    ) -> Result<Contender, Failure> {
        let settings = [("acks", "all"), ("linger.ms", "0")];
        let values = Values::new(RECORD_BYTES);
        let mut producer = BareProducer::new(&properties(place, &settings), topic, values)?;
        librdkafka(&mut producer, partitions)?;
        Ok(Contender {
            one: (Raw::new(place, topic, 1)?, Latencies::new(one)),
            many: (Raw::new(place, topic, partitions)?, Latencies::new(many)),
            library: (producer, Latencies::new(library)),
        })
    }

    fn round(&mut self, scale: &Scale) -> Result<(), Failure> {
        for (raw, rows) in [&mut self.one, &mut self.many] {
            rows.add(raw.round(scale.spreads)?);
        }
        let mut latency = latencies();
        for _ in 0..scale.spreads.div_ceil(10) {
            latency.saturating_record(librdkafka(&mut self.library.0, scale.partitions)?);
        }
        self.library.1.add(latency);
        Ok(())
    }
}

pub fn run(stage: &Stage, scale: &Scale) -> Result<Section, Failure> {
    let topic = stage.ours.topic("spread", scale.partitions)?;
    let names = [
        "corelane, one partition",
        "corelane, each partition, one request",
        "corelane, each partition, librdkafka",
    ];
    let mut contenders = vec![Contender::new(
        &stage.ours,
        &topic.name,
        scale.partitions,
        names,
    )?];
    let kafka = stage.kafka.as_ref();
    let kafka =
        kafka.map(|kafka| Ok::<_, Failure>((kafka, kafka.topic("spread", scale.partitions)?)));
    let kafka = kafka.transpose()?;
    if let Some((kafka, topic)) = &kafka {
        let names = [
            "Apache Kafka (not synced), one partition",
            "Apache Kafka, each partition, one request",
            "Apache Kafka, each partition, librdkafka",
        ];
        contenders.push(Contender::new(kafka, &topic.name, scale.partitions, names)?);
    }
    for _ in 0..scale.rounds {
        for contender in &mut contenders {
            contender.round(scale)?;
        }
    }
    let ours = &contenders[0];
    Ok(Section {
        part: "spread",
        settings: format!(
            "one record of {RECORD_BYTES} B for each of {} partitions, acks=all, one request in flight, \
             {} rounds of {}",
            scale.partitions, scale.rounds, scale.spreads
        ),
        latencies: contenders
            .iter()
            .flat_map(|c| [&c.one.1, &c.many.1, &c.library.1])
            .map(Latencies::row)
            .collect(),
        rates: Vec::new(),
        checks: vec![Check::new(
            "each partition p50 / one partition p50",
            percentile_ratio(&ours.many.1, &ours.one.1, 0.5),
            Bound::AtMost(3.0),
        )],
    })
}
