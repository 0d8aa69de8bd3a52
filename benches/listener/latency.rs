//! Part `produce-latency`: one record at a time, the next when the one before is acknowledged.

use tempfile::TempDir;

use crate::bare::{BareProducer, Taken};
use crate::device::{Blocking, Way};
use crate::echo::{Plain, Relayed};
use crate::kafka_peer::{one_record, produce_request, request_bytes};
use crate::place::{Place, Topic};
use crate::report::{Bound, Check, Latencies, Section, median};
use crate::round::{Once, latencies};
use crate::stage::{PRODUCE_VERSION, Stage, properties};
use crate::values::Values;
use crate::{Failure, RECORD_BYTES, Scale};

/// Makes one record durable, or sends it there and back. Nanoseconds.
type Single<'a> = Box<dyn FnMut() -> Result<u64, Failure> + 'a>;

/// A producer that has one record in flight, and its topic.
struct Producer<'a> {
    // Before the topic, which is removed at its end.
    producer: BareProducer,
    _topic: Topic<'a>,
}

impl<'a> Producer<'a> {
    fn new(place: &'a Place, acks: &str, config: &[(&str, &str)]) -> Result<Self, Failure> {
        let topic = place.topic_with("single", 1, config)?;
        let settings = [("acks", acks), ("linger.ms", "0")];
        let values = Values::new(RECORD_BYTES);
        let producer = BareProducer::new(&properties(place, &settings), &topic.name, values)?;
        Ok(Producer {
            producer,
            _topic: topic,
        })
    }

    /// Blocks until the report, as `rd_kafka_flush` does.
    fn once(&mut self) -> Result<u64, Failure> {
        const WAIT_MS: i32 = 10_000;
        let mut once = Once::new(1);
        let start = corelane::clock::monotonic();
        if self.producer.produce(0, 0)? == Taken::QueueFull {
            return Err("one record fills the queue".into());
        }
        while !once.is_complete()? {
            self.producer.poll(WAIT_MS, |(number, error)| match error {
                0 => once.delivered(number),
                error => once.fail(format!("librdkafka's error {error}")),
            });
        }
        Ok(corelane::clock::monotonic().since(start))
    }
}

/// Their places in [`contenders`].
const SYNCED: usize = 0;
const ECHO: usize = 2;
const RELAYED: usize = 3;
const MOCK: usize = 4;
const ALL: usize = 5;
const LEADER: usize = 6;

type Contenders<'a> = Vec<(&'static str, Single<'a>)>;

fn contenders<'a>(stage: &'a Stage, files: &TempDir) -> Result<Contenders<'a>, Failure> {
    let device = |way| -> Result<Single<'a>, Failure> {
        let mut device = Blocking::new(files.path(), way)?;
        Ok(Box::new(move || Ok(device.write_block()?)))
    };
    let produce = |place, acks, config: &[(&str, &str)]| -> Result<Single<'a>, Failure> {
        let mut producer = Producer::new(place, acks, config)?;
        Ok(Box::new(move || producer.once()))
    };
    let request = produce_request("corelane-bench", 0, one_record(&[b'x'; RECORD_BYTES]));
    let bytes = request_bytes(PRODUCE_VERSION, 0, &request).len();
    let mut plain = Plain::new(bytes)?;
    let mut relayed = Relayed::new(bytes)?;
    let mut all: Contenders<'a> = vec![
        (
            "device: 4 KiB O_DIRECT write + fdatasync",
            device(Way::WriteThenSync)?,
        ),
        (
            "device: 4 KiB O_DIRECT|O_DSYNC write",
            device(Way::SyncWrite)?,
        ),
        ("echo, blocking", Box::new(move || Ok(plain.once()?))),
        (
            "echo by a client with a thread for the socket",
            Box::new(move || Ok(relayed.once()?)),
        ),
        ("librdkafka's mock, acks=1", produce(&stage.mock, "1", &[])?),
        (
            "corelane, acks=all (synced)",
            produce(&stage.ours, "all", &[])?,
        ),
        ("corelane, acks=1", produce(&stage.ours, "1", &[])?),
    ];
    if let Some(kafka) = &stage.kafka {
        let synced = [("flush.messages", "1")];
        all.push((
            "Apache Kafka, acks=all (not synced)",
            produce(kafka, "all", &[])?,
        ));
        all.push((
            "Apache Kafka, acks=all, flush.messages=1",
            produce(kafka, "all", &synced)?,
        ));
        all.push(("Apache Kafka, acks=1", produce(kafka, "1", &[])?));
    }
    Ok(all)
}

pub fn run(stage: &Stage, scale: &Scale) -> Result<Section, Failure> {
    let files = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut contenders = contenders(stage, &files)?;
    let mut rows: Vec<Latencies> = contenders
        .iter()
        .map(|(name, _)| Latencies::new(name))
        .collect();
    for (_, single) in &mut contenders {
        for _ in 0..scale.warm_singles {
            single()?;
        }
    }
    for round in 0..scale.rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let mut latency = latencies();
            for _ in 0..scale.singles {
                latency.saturating_record(contenders[at].1()?.max(1));
            }
            rows[at].add(latency);
        }
    }
    let p50 = |at: usize| rows[at].percentiles(0.5);
    let ratio = |of: usize, to: &[usize]| {
        let parts: Vec<Vec<f64>> = to.iter().map(|at| p50(*at)).collect();
        let of_round = |(round, of): (usize, f64)| of / parts.iter().map(|p| p[round]).sum::<f64>();
        median(p50(of).into_iter().enumerate().map(of_round).collect())
    };
    let checks = vec![
        Check::new(
            "acks=all p50 / (echo + write + fdatasync)",
            ratio(ALL, &[ECHO, SYNCED]),
            Bound::AtMost(1.3),
        ),
        Check::told(
            "the same, echo by a client with a thread",
            ratio(ALL, &[RELAYED, SYNCED]),
        ),
        Check::told(
            "the same, by the round trip to the mock",
            ratio(ALL, &[MOCK, SYNCED]),
        ),
        Check::new(
            "acks=1 p50 / echo by a client with a thread",
            ratio(LEADER, &[RELAYED]),
            Bound::AtMost(1.5),
        ),
        Check::told("acks=1 p50 / blocking echo", ratio(LEADER, &[ECHO])),
        Check::told("acks=1 p50 / librdkafka's mock", ratio(LEADER, &[MOCK])),
    ];
    Ok(Section {
        part: "produce-latency",
        settings: format!(
            "one record of {RECORD_BYTES} B in flight, linger.ms=0, blocking poll, {} rounds of {}",
            scale.rounds, scale.singles
        ),
        latencies: rows.iter().map(Latencies::row).collect(),
        rates: Vec::new(),
        checks,
    })
}
