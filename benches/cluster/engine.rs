//! Part `engine`: a node of this process whose shard lies on the cluster, from intake to the end of
//! processing.
//!
//! First bursts, each transaction as soon as it is taken: what comes of them is saturation. Then an
//! open loop at a share of that. Every burst and loop has a node and a topic of its own, and each
//! transaction has to be processed once.

use std::time::Duration;

use bytes::Bytes;
use corelane::bench::pace::Pace;
use corelane::bench::punctual::Punctual;
use corelane::clock;
use corelane::config::Config;
use corelane::control::{Node, NodeOptions};
use corelane::engine::ledger::Ledger;
use corelane::engine::message::Answer;
use corelane::engine::submitter::{Entrance, Submitter};
use corelane::frame::Correlation;
use corelane::ids::{Acks, Nanos};
use corelane::location::GeoLocation;
use corelane::telemetry::{Counter, Stage, StageHistograms, Summary};
use corelane::transaction::{TransactionRef, codec};

use crate::pace;
use crate::place::Place;
use crate::report::{Bound, Check, LatencyRow, Rates, Section, median, rate_ratio};
use crate::values::Values;
use crate::{Failure, Scale, seconds, values};

/// How long what was submitted may take to be processed.
const PROCESSING_MAX: Duration = Duration::from_secs(120);

const PARTITIONS: u16 = 4;

/// What is promised about processing, with its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    AtLeastOnce,
    ExactlyOnce,
}

impl Promise {
    const ALL: [Promise; 2] = [Promise::AtLeastOnce, Promise::ExactlyOnce];

    fn name(self) -> &'static str {
        match self {
            Promise::AtLeastOnce => "at_least_once",
            Promise::ExactlyOnce => "exactly_once",
        }
    }
}

/// A node of one core with one shard; every run has its own topic, group and place.
fn config(brokers: &str, promise: Promise, topic: &str, linger_ms: f64) -> Result<Config, Failure> {
    let promise = promise.name();
    let brokers: Vec<String> = brokers
        .split(',')
        .map(|broker| format!("'{broker}'"))
        .collect();
    let brokers = brokers.join(", ");
    let text = format!(
        "[node]
         cores = 1
         [gateway]
         tcp = []
         [control]
         http = ''
         [clusters.bench]
         brokers = [{brokers}]
         profile = 'latency'
         processing = '{promise}'
         [clusters.bench.producer]
         linger_ms = {linger_ms:?}
         [clusters.bench.consumer]
         group_id = '{topic}'
         [[shards]]
         id = 0
         name = 'bench'
         latitude = 35.6764
         longitude = 139.65
         cluster = 'bench'
         topic = '{topic}'
         partitions = {PARTITIONS}
         replication = 1
        "
    );
    Ok(Config::parse(&text, "the bench's configuration")?)
}

/// Submits transactions of one run; the thread that makes it has to be the one that uses it.
struct Feed {
    port: Submitter,
    values: Values,
    location: GeoLocation,
    /// Submitted so far.
    sent: usize,
    /// Encoded, but its core had no room yet.
    held: Option<(Bytes, Nanos)>,
    rejected: usize,
}

impl Feed {
    /// Submits `records` more, at a pace or as soon as there is room, takes every answer, and
    /// waits until all are processed.
    fn run(&mut self, node: &Node, records: usize, rate: Option<u64>) -> Result<(), Failure> {
        const NAP: Duration = Duration::from_millis(20);
        // Waking for each record of a fast pace would take a third of a CPU from what is measured.
        // It makes records late by as much at the most, which their latencies show.
        const GRAIN: Duration = Duration::from_micros(200);
        let run = Run {
            first: self.sent,
            end: self.sent + records,
            pace: rate.map(|rate| pace::start(rate, records)),
        };
        while self.sent < run.end || self.port.outstanding() > 0 {
            let mut work = self.burst(&run)?;
            self.port.ring();
            let rejected = &mut self.rejected;
            work += self.port.poll(|_, answer| match answer {
                Answer::Stored(_) => {}
                Answer::Rejected(_) => *rejected += 1,
            });
            if work == 0 {
                node.failure().map_or(Ok(()), Err)?;
                let due = run.due(self.sent);
                let nap = match (&self.held, due) {
                    (None, Some(due)) => {
                        Duration::from_nanos(due.since(clock::monotonic())).max(GRAIN)
                    }
                    (Some(_), _) | (None, None) => NAP,
                };
                self.port.wait(nap.min(NAP));
            }
        }
        match self.rejected {
            0 => processed(node, self.sent),
            rejected => Err(format!("{rejected} transactions were rejected").into()),
        }
    }

    /// Submits what is due and there is room for; how many that were.
    fn burst(&mut self, run: &Run) -> Result<usize, Failure> {
        const BURST: usize = 64;
        let mut done = 0;
        while done < BURST && self.sent < run.end {
            let (body, taken) = match self.held.take() {
                Some(held) => held,
                None => {
                    let now = clock::monotonic();
                    let taken = run.due(self.sent).unwrap_or(now);
                    if taken > now {
                        break;
                    }
                    (self.encode()?, taken)
                }
            };
            let mark = Correlation(self.sent as u64);
            let entrance = Entrance::InTurn;
            if let Err(body) = self.port.submit(entrance, body, Acks::All, mark, taken) {
                self.held = Some((body, taken));
                break;
            }
            self.sent += 1;
            done += 1;
        }
        Ok(done)
    }

    fn encode(&self) -> Result<Bytes, Failure> {
        let transaction = TransactionRef {
            id: &self.sent.to_be_bytes(),
            client_location: self.location,
            submitted_at: clock::wall(),
            amount: Some(1),
            payload: self.values.borrow(self.sent),
        };
        let mut body = Vec::with_capacity(codec::encoded_len(&transaction));
        codec::encode(&transaction, &mut body)?;
        Ok(body.into())
    }
}

/// Transactions that are submitted in one go: `first..end`.
struct Run {
    first: usize,
    end: usize,
    /// None where each is due as soon as there is room.
    pace: Option<Pace>,
}

impl Run {
    /// When the next one is meant to be submitted; none at no pace, and after the last.
    fn due(&self, sent: usize) -> Option<Nanos> {
        self.pace
            .and_then(|pace| pace.next((sent - self.first) as u64))
    }
}

/// Waits until this many transactions are processed, each once.
fn processed(node: &Node, records: usize) -> Result<(), Failure> {
    let start = clock::monotonic();
    loop {
        let counters = node.counters();
        let processed = counters.get(Counter::Processed);
        let again = counters.get(Counter::ProcessedDuplicates);
        if processed == records as u64 && again == 0 {
            return Ok(());
        }
        let waited = Duration::from_nanos(clock::monotonic().since(start));
        if processed > records as u64 || again > 0 || waited > PROCESSING_MAX {
            return Err(format!("of {records}, {processed} were processed, {again} again").into());
        }
        node.failure().map_or(Ok(()), Err)?;
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Runs a node of its own through `records`, after a burst that warms it up and is not counted.
/// What was timed, and the seconds from the first submission until all were processed.
fn node(
    place: &Place,
    promise: Promise,
    scale: &Scale,
    records: usize,
    rate: Option<u64>,
) -> Result<(StageHistograms, f64), Failure> {
    let topic = place.topic(promise.name(), PARTITIONS)?;
    let config = config(&place.brokers(), promise, &topic.name, scale.linger_ms)?;
    let mut node = Node::start(&config, NodeOptions { ports: 1 }, Ledger::new)?;
    let mut feed = Feed {
        port: node.submitter().ok_or("the node has no port left")?,
        values: Values::new(scale.record_bytes),
        location: config.shards[0].location()?,
        sent: 0,
        held: None,
        rejected: 0,
    };
    feed.run(&node, scale.transactions / 10, None)?;
    let before = node.latencies();
    let _punctual = Punctual::start();
    let start = clock::monotonic();
    feed.run(&node, records, rate)?;
    let seconds = seconds(start, clock::monotonic());
    let after = node.latencies();
    node.drain(PROCESSING_MAX)?;
    node.stop()?;
    Ok((after.since(&before), seconds))
}

fn row(name: String, rounds: &[Summary]) -> LatencyRow {
    let of = |figure: fn(&Summary) -> f64| median(rounds.iter().map(figure).collect());
    LatencyRow {
        name,
        p50_us: of(|round| round.p50_us),
        p90_us: of(|round| round.p90_us),
        p99_us: of(|round| round.p99_us),
        p999_us: of(|round| round.p999_us),
        max_us: rounds.iter().map(|round| round.max_us).fold(0.0, f64::max),
        records: rounds.iter().map(|round| round.count).sum(),
    }
}

/// Bursts that are not counted, for as long as the brokers' just-in-time compiler takes: before it is
/// done it needs half a CPU, which is a quarter of a small machine.
fn warm_up(place: &Place, scale: &Scale) -> Result<(), Failure> {
    let start = clock::monotonic();
    for promise in Promise::ALL.into_iter().cycle() {
        if seconds(start, clock::monotonic()) >= scale.warm_seconds {
            break;
        }
        node(place, promise, scale, scale.transactions / 5, None)?;
    }
    Ok(())
}

/// Bursts: how many transactions a second each promise allows.
fn saturations(place: &Place, scale: &Scale) -> Result<[Rates; 2], Failure> {
    let mut saturations = Promise::ALL.map(|promise| Rates::new(promise.name()));
    for _ in 0..scale.engine_rounds {
        for (promise, rates) in Promise::ALL.into_iter().zip(&mut saturations) {
            let (_, seconds) = node(place, promise, scale, scale.transactions, None)?;
            rates.add(scale.transactions, seconds);
        }
    }
    Ok(saturations)
}

/// Open loops: what each round timed at `rates`, by promise.
fn open_loops(
    place: &Place,
    scale: &Scale,
    rates: [u64; 2],
) -> Result<[Vec<StageHistograms>; 2], Failure> {
    let mut timed = [Vec::new(), Vec::new()];
    for _ in 0..scale.engine_rounds {
        for ((promise, rate), timed) in Promise::ALL.into_iter().zip(rates).zip(&mut timed) {
            let records = (rate as f64 * scale.engine_seconds).ceil() as usize;
            let (histograms, _) = node(place, promise, scale, records, Some(rate))?;
            timed.push(histograms);
        }
    }
    Ok(timed)
}

fn stage_row(promise: Promise, rate: u64, stage: Stage, timed: &[StageHistograms]) -> LatencyRow {
    let rounds = timed.iter().map(|histograms| histograms.summary(stage));
    let name = format!("{}, {} at {rate}/s", promise.name(), stage.name());
    row(name, &rounds.collect::<Vec<Summary>>())
}

pub fn run(place: &Place, scale: &Scale) -> Result<Section, Failure> {
    warm_up(place, scale)?;
    let saturations = saturations(place, scale)?;
    let rates = saturations
        .each_ref()
        .map(|rates| (rates.median() * scale.share).max(1.0) as u64);
    let timed = open_loops(place, scale, rates)?;
    let mut latencies = Vec::new();
    let mut p99_us = [0.0; 2];
    for (at, promise) in Promise::ALL.into_iter().enumerate() {
        let row = |stage| stage_row(promise, rates[at], stage, &timed[at]);
        let end_to_end = row(Stage::EndToEnd);
        p99_us[at] = end_to_end.p99_us;
        latencies.extend([row(Stage::Produce), row(Stage::Consume), end_to_end]);
    }
    let [at_least, exactly] = &saturations;
    Ok(Section {
        part: "engine",
        settings: format!(
            "one core, one shard of {PARTITIONS} partitions, linger {} ms, acks=all, payloads of \
             {} B ({}); {} rounds; saturation by bursts of {}, then an open loop of {} s at {:.0} % \
             of it",
            scale.linger_ms,
            scale.record_bytes,
            values::KIND,
            scale.engine_rounds,
            scale.transactions,
            scale.engine_seconds,
            100.0 * scale.share,
        ),
        latencies,
        checks: vec![
            Check::new(
                "at_least_once, end_to_end p99 (us)",
                p99_us[0],
                Bound::AtMost(10_000.0),
            ),
            Check::told(
                "price: p99, exactly_once / at_least_once",
                p99_us[1] / p99_us[0],
            ),
            Check::told(
                "price: saturation, exactly_once / at_least_once",
                rate_ratio(exactly, at_least),
            ),
        ],
        rates: saturations
            .iter()
            .map(|rates| rates.row(scale.record_bytes))
            .collect(),
    })
}
