//! Part `produce-latency`: one record at a time at a steady rate, from when it was meant to be sent
//! to its acknowledgement.

use std::time::Duration;

use corelane::bench::pace::Pace;
use corelane::bench::punctual::Punctual;
use corelane::clock;
use corelane::ids::Nanos;
use corelane::kafka::properties::{ProducerConfig, Property};
use hdrhistogram::Histogram;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::runtime::Runtime;

use crate::bare::{BareProducer, Taken};
use crate::ours::{Idle, Producer};
use crate::pace;
use crate::place::Place;
use crate::report::{Bound, Check, Latencies, Section, percentile_ratio};
use crate::round::{Once, latencies};
use crate::values::Values;
use crate::{Failure, Scale, seconds, settings, values};

type Latency = Histogram<u64>;

/// A way to send records, for as many rounds as there are.
trait Contender {
    /// Sends the records of a round as they fall due and waits for every report.
    fn round(&mut self, pace: Pace) -> Result<Latency, Failure>;
}

fn note(latency: &mut Latency, pace: &Pace, number: usize, now: Nanos) {
    latency.saturating_record(now.since(pace.intended(number as u64)).max(1));
}

struct Ours {
    producer: Producer,
    idle: Idle,
}

impl Contender for Ours {
    fn round(&mut self, pace: Pace) -> Result<Latency, Failure> {
        let (mut once, mut latency) = (Once::new(pace.count() as usize), latencies());
        let mut sent = 0;
        let mut active = Nanos(0);
        while !once.is_complete()? {
            let now = clock::monotonic();
            let before = sent;
            while pace.next(sent as u64).is_some_and(|due| due <= now)
                && self.producer.produce(sent)?
            {
                sent += 1;
            }
            let reported = self.producer.poll(&mut once, |number| {
                note(&mut latency, &pace, number, clock::monotonic());
            });
            if reported || sent > before {
                active = now;
            } else {
                self.idle.rest(active, now, pace.next(sent as u64));
            }
        }
        Ok(latency)
    }
}

struct Bare {
    producer: BareProducer,
    wait_ms: i32,
}

impl Contender for Bare {
    fn round(&mut self, pace: Pace) -> Result<Latency, Failure> {
        let (mut once, mut latency) = (Once::new(pace.count() as usize), latencies());
        let mut sent = 0;
        while !once.is_complete()? {
            let now = clock::monotonic();
            while pace.next(sent as u64).is_some_and(|due| due <= now)
                && self.producer.produce(0, sent)? == Taken::Yes
            {
                sent += 1;
            }
            self.producer.poll(self.wait_ms, |(number, error)| {
                note(&mut latency, &pace, number, clock::monotonic());
                match error {
                    0 => once.delivered(number),
                    error => once.fail(format!("record {number}: librdkafka's error {error}")),
                }
            });
        }
        Ok(latency)
    }
}

/// rust-rdkafka's producer as its examples use it: a task for each record, which awaits `send`.
struct Future {
    producer: FutureProducer,
    runtime: Runtime,
    topic: String,
    values: Values,
}

impl Future {
    fn new(properties: &[Property], topic: &str, values: Values) -> Result<Future, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_time()
            .build()?;
        let mut config = ClientConfig::new();
        config.extend(properties.iter().cloned());
        let producer = {
            let _inside = runtime.enter();
            config.create()?
        };
        Ok(Future {
            producer,
            runtime,
            topic: topic.to_owned(),
            values,
        })
    }
}

impl Contender for Future {
    fn round(&mut self, pace: Pace) -> Result<Latency, Failure> {
        const QUEUE_WAIT: Duration = Duration::from_secs(5);
        let mut tasks = Vec::with_capacity(pace.count() as usize);
        for number in 0..pace.count() as usize {
            // From a thread of its own: tokio's timers tick in milliseconds, and that is not what
            // is compared here.
            let due = pace.intended(number as u64);
            loop {
                let now = clock::monotonic();
                if now >= due {
                    break;
                }
                Idle::Adaptive.rest(Nanos(0), now, Some(due));
            }
            let (producer, topic) = (self.producer.clone(), self.topic.clone());
            let value = self.values.share(number);
            tasks.push(self.runtime.spawn(async move {
                let record = FutureRecord::<(), [u8]>::to(&topic)
                    .partition(0)
                    .payload(&value[..]);
                let result = producer.send(record, QUEUE_WAIT).await;
                (result, clock::monotonic())
            }));
        }
        let (mut once, mut latency) = (Once::new(pace.count() as usize), latencies());
        for (number, task) in tasks.into_iter().enumerate() {
            let (result, now) = self.runtime.block_on(task)?;
            result.map_err(|(error, _)| error)?;
            once.delivered(number);
            note(&mut latency, &pace, number, now);
        }
        match once.is_complete()? {
            true => Ok(latency),
            false => Err("a record was not reported".into()),
        }
    }
}

const NAMES: [&str; 6] = [
    "corelane, parks when idle",
    "corelane, spins when idle",
    "bare librdkafka, poll(0), spins",
    "bare librdkafka, poll(1 ms), blocks",
    "FutureProducer, tokio, linger 5 ms",
    "FutureProducer, tokio, linger 0",
];
const OURS: usize = 0;
const OURS_SPINS: usize = 1;
const BARE: usize = 2;
const FUTURE: usize = 4;

fn contenders(
    scale: &Scale,
    properties: &[Property],
    topic: &str,
) -> Result<[Box<dyn Contender>; NAMES.len()], Failure> {
    let values = || Values::new(scale.record_bytes);
    let ours = |idle| -> Result<_, Failure> {
        let producer = Producer::new(properties, topic, values())?;
        Ok(Box::new(Ours { producer, idle }))
    };
    let bare = |wait_ms| -> Result<_, Failure> {
        let producer = BareProducer::new(properties, topic, values())?;
        Ok(Box::new(Bare { producer, wait_ms }))
    };
    let lingering = settings::with(properties, "linger.ms", "5");
    Ok([
        ours(Idle::Adaptive)?,
        ours(Idle::Spin)?,
        bare(0)?,
        bare(1)?,
        Box::new(Future::new(&lingering, topic, values())?),
        Box::new(Future::new(properties, topic, values())?),
    ])
}

/// Requests of one record each until the brokers' just-in-time compiler has seen enough of them: at
/// the pace of a round that would take minutes, and its pauses would be everybody's 99th percentile.
fn warm_up(contender: &mut dyn Contender, scale: &Scale) -> Result<(), Failure> {
    const RATE: u64 = 10_000;
    let start = clock::monotonic();
    while seconds(start, clock::monotonic()) < scale.warm_seconds {
        contender.round(pace::start(RATE, RATE as usize))?;
    }
    Ok(())
}

pub fn run(place: &Place, scale: &Scale) -> Result<Section, Failure> {
    let topic = place.topic("produce-latency", 1)?;
    let properties = settings::producer(&place.brokers(), ProducerConfig::latency())?;
    let mut contenders = contenders(scale, &properties, &topic.name)?;
    let _punctual = Punctual::start();
    let count = (scale.rate as f64 * scale.seconds).ceil() as usize;
    for contender in &mut contenders {
        // Connections, metadata, the producer's id.
        contender.round(pace::start(scale.rate, count))?;
    }
    warm_up(contenders[OURS].as_mut(), scale)?;
    let mut rows: Vec<Latencies> = NAMES.map(Latencies::new).into();
    for round in 0..scale.rounds {
        for place in 0..contenders.len() {
            // Whoever came first comes last in the next round.
            let at = (round + place) % contenders.len();
            let latency = contenders[at].round(pace::start(scale.rate, count))?;
            rows[at].add(latency);
        }
    }
    let checks = vec![
        Check::new(
            "corelane p99 / bare poll(0) p99",
            percentile_ratio(&rows[OURS], &rows[BARE], 0.99),
            Bound::AtMost(1.0),
        ),
        Check::told(
            "the same, both spinning",
            percentile_ratio(&rows[OURS_SPINS], &rows[BARE], 0.99),
        ),
        Check::new(
            "FutureProducer linger 5 ms p99 / corelane p99",
            percentile_ratio(&rows[FUTURE], &rows[OURS], 0.99),
            Bound::AtLeast(5.0),
        ),
    ];
    Ok(Section {
        part: "produce-latency",
        settings: format!(
            "open loop, {} records/s, {} B ({}), one partition, {} rounds of {} s; {}",
            scale.rate,
            scale.record_bytes,
            values::KIND,
            scale.rounds,
            scale.seconds,
            settings::shown(&properties),
        ),
        latencies: rows.iter().map(Latencies::row).collect(),
        rates: Vec::new(),
        checks,
    })
}
