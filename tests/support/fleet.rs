//! Nodes in this process on real clusters, load on them, and the books that must balance.
//!
//! The nodes run [`Echo`]: an output per transaction, and the ledger's totals as state.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelane::clock;
use corelane::config::{Config, HttpChoice};
use corelane::control::{Node, NodeOptions, NodeReport};
use corelane::engine::handler::{BatchContext, HandlerContext, ProcessError, TransactionHandler};
use corelane::engine::ledger::Ledger;
use corelane::engine::message::Answer;
use corelane::engine::submitter::{Entrance, Submitter};
use corelane::frame::Correlation;
use corelane::ids::{Acks, ShardId, TopicId, UnixMicros};
use corelane::location::GeoLocation;
use corelane::storage::{Outputs, OutputsRefused};
use corelane::telemetry::Counter;
use corelane::transaction::{TransactionRef, codec};
use tracing_subscriber::EnvFilter;

use super::kafka::{Isolation, KafkaCluster};

/// The topic of the outputs; its key is the transaction's id.
pub const OUTPUTS: &str = "outputs";

/// How long anything may take that only needs time.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Puts out each transaction's id, and counts.
pub struct Echo {
    ledger: Ledger,
    outputs: TopicId,
}

impl Echo {
    pub fn new(context: &HandlerContext<'_>) -> Echo {
        Echo {
            ledger: Ledger::new(context),
            outputs: context.topic(OUTPUTS).expect("every test configures it"),
        }
    }
}

impl TransactionHandler for Echo {
    fn begin(&mut self, batch: BatchContext) {
        self.ledger.begin(batch);
    }

    fn process(&mut self, tx: &TransactionRef<'_>, out: &mut Outputs) -> Result<(), ProcessError> {
        out.send(self.outputs, tx.id, b"done")?;
        self.ledger.process(tx, out)
    }

    fn commit(&mut self, out: &mut Outputs) -> Result<(), OutputsRefused> {
        self.ledger.commit(out)
    }
}

/// A shard of a test, and how a client near it says where it is.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    pub id: ShardId,
    pub name: &'static str,
    pub latitude: f64,
    pub longitude: f64,
    /// The cluster's name in the configuration.
    pub cluster: &'static str,
    pub partitions: u32,
}

/// The configuration's text: `head`, clusters with their keys, shards, and the outputs' topic.
pub fn text(head: &str, clusters: &[(&str, &str, &str)], regions: &[Region]) -> String {
    let mut text =
        format!("{head}\n[[topics]]\nname = \"{OUTPUTS}\"\npartitions = 2\nreplication = 1\n");
    for (name, brokers, keys) in clusters {
        text += &format!("[clusters.{name}]\nbrokers = [\"{brokers}\"]\n{keys}\n");
    }
    for region in regions {
        let Region {
            id,
            name,
            latitude,
            longitude,
            cluster,
            partitions,
        } = region;
        text += &format!(
            "[[shards]]\nid = {}\nname = \"{name}\"\nlatitude = {latitude:?}\n\
             longitude = {longitude:?}\ncluster = \"{cluster}\"\npartitions = {partitions}\n\
             replication = 1\n",
            id.0
        );
    }
    text
}

/// A configuration without a gateway: the tests submit in process.
pub fn config(text: &str) -> Config {
    let mut config = Config::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    config.gateway.tcp.clear();
    config.control.http = HttpChoice::Off;
    config.gateway.unix.clear();
    config
}

/// Starts a node with two ports. `CORELANE_LOG` shows what it says.
pub fn start(config: &Config) -> Node {
    if let Ok(filter) = EnvFilter::try_from_env("CORELANE_LOG") {
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter);
        // Another test may have done it.
        let _ = subscriber.with_writer(std::io::stderr).try_init();
    }
    Node::start(config, NodeOptions { ports: 2 }, Echo::new).unwrap_or_else(|e| panic!("{e}"))
}

/// Waits for a condition.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_until_within(PATIENCE, what, &mut is_so);
}

/// Waits for a condition, not for ever.
pub fn wait_until_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How often something was counted so far.
pub fn count(node: &Node, counter: Counter) -> u64 {
    node.counters().get(counter)
}

/// A transaction that was submitted.
#[derive(Clone, Debug)]
pub struct Sent {
    pub id: String,
    /// The nearest shard.
    pub home: ShardId,
    pub amount: u64,
    pub at: Instant,
    pub answer: Option<(Instant, Answer)>,
}

impl Sent {
    /// The shard of the receipt, and when it came.
    pub fn stored_at(&self) -> Option<(Instant, ShardId)> {
        match self.answer {
            Some((at, Answer::Stored(stored))) => Some((at, stored.shard)),
            Some((_, Answer::Rejected(_))) | None => None,
        }
    }
}

/// A client in process that submits at a rate, whatever the answers, near each region in turn.
pub struct Load {
    sent: Arc<Mutex<Vec<Sent>>>,
    is_stopping: Arc<AtomicBool>,
    is_abandoned: Arc<AtomicBool>,
    thread: JoinHandle<Submitter>,
}

impl Load {
    /// Begins. `name` begins the ids.
    pub fn start(submitter: Submitter, name: &str, per_second: u64, regions: &[Region]) -> Load {
        let sent = Arc::default();
        let (is_stopping, is_abandoned) = (Arc::default(), Arc::default());
        let runner = Runner {
            submitter,
            name: name.to_owned(),
            per_second,
            regions: regions.to_vec(),
            sent: Arc::clone(&sent),
            is_stopping: Arc::clone(&is_stopping),
            is_abandoned: Arc::clone(&is_abandoned),
        };
        Load {
            sent,
            is_stopping,
            is_abandoned,
            thread: std::thread::spawn(move || runner.run()),
        }
    }

    /// What was submitted so far.
    pub fn sent(&self) -> MutexGuard<'_, Vec<Sent>> {
        self.sent.lock().expect("no holder panics")
    }

    /// How many of those near `home` have a receipt.
    pub fn receipts_near(&self, home: ShardId) -> usize {
        let near = |sent: &&Sent| sent.home == home && sent.stored_at().is_some();
        self.sent().iter().filter(near).count()
    }

    /// Submits no more and waits for nothing, as for the answers of a node that is gone.
    pub fn abandon(self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load does not panic");
    }

    /// Submits no more, waits for every answer, and gives the port back.
    pub fn stop(self) -> (Vec<Sent>, Submitter) {
        self.is_stopping.store(true, Ordering::Relaxed);
        let submitter = self.thread.join().expect("the load does not panic");
        let sent = self.sent.lock().expect("no holder panics").clone();
        (sent, submitter)
    }
}

/// The thread's side of a [`Load`].
struct Runner {
    submitter: Submitter,
    name: String,
    per_second: u64,
    regions: Vec<Region>,
    sent: Arc<Mutex<Vec<Sent>>>,
    is_stopping: Arc<AtomicBool>,
    is_abandoned: Arc<AtomicBool>,
}

impl Runner {
    fn run(mut self) -> Submitter {
        let start = Instant::now();
        let mut deadline = None;
        loop {
            let stops = self.is_stopping.load(Ordering::Relaxed);
            if !stops {
                self.submit_until(start.elapsed().as_millis() as u64 * self.per_second / 1000);
            }
            self.submitter.ring();
            let sent = &self.sent;
            self.submitter.poll(|correlation, answer| {
                let mut sent = sent.lock().expect("no holder panics");
                let place = &mut sent[correlation.0 as usize].answer;
                assert!(place.is_none(), "one answer each");
                *place = Some((Instant::now(), answer));
            });
            if stops {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                if self.submitter.outstanding() == 0 || Instant::now() > deadline {
                    return self.submitter;
                }
            }
            if self.is_abandoned.load(Ordering::Relaxed) {
                return self.submitter;
            }
            // The pace of the load; nothing waits for it.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Submits up to number `due`, as far as there is room.
    fn submit_until(&mut self, due: u64) {
        let mut sent = self.sent.lock().expect("no holder panics");
        for number in sent.len() as u64..due {
            let region = &self.regions[number as usize % self.regions.len()];
            let id = format!("{}-{number}", self.name);
            let amount = 1 + number;
            if !submit(&mut self.submitter, &id, amount, region, number) {
                break;
            }
            sent.push(Sent {
                id,
                home: region.id,
                amount,
                at: Instant::now(),
                answer: None,
            });
        }
    }
}

fn submit(
    submitter: &mut Submitter,
    id: &str,
    amount: u64,
    region: &Region,
    correlation: u64,
) -> bool {
    let location = GeoLocation::new(region.latitude, region.longitude).expect("in range");
    let transaction = TransactionRef {
        id: id.as_bytes(),
        client_location: location,
        submitted_at: UnixMicros(1),
        amount: Some(amount),
        payload: b"payload",
    };
    let mut body = Vec::new();
    codec::encode(&transaction, &mut body).expect("short");
    let correlation = Correlation(correlation);
    submitter
        .submit(
            Entrance::InTurn,
            Bytes::from(body),
            Acks::All,
            correlation,
            clock::monotonic(),
        )
        .is_ok()
}

/// Submits transactions once more, one after another, and returns the answers.
pub fn again(submitter: &mut Submitter, sent: &[Sent], regions: &[Region]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (number, sent) in (0..).zip(sent) {
        let region = regions.iter().find(|r| r.id == sent.home);
        let region = region.expect("a region of the test");
        wait_until("a port takes it", || {
            submit(submitter, &sent.id, sent.amount, region, number)
        });
        submitter.ring();
        wait_until("an answer", || {
            submitter.poll(|_, answer| answers.push(answer));
            answers.len() as u64 > number
        });
    }
    answers
}

/// A record's shard, partition and offset.
type Place = (ShardId, i32, i64);

/// What the clusters hold.
pub struct Books {
    stored: BTreeMap<String, Vec<Place>>,
    /// Outputs that a `read_committed` reader sees, with their number over all clusters.
    outputs: BTreeMap<String, u32>,
}

impl Books {
    /// Reads everything; `clusters` are those of `regions`, by name.
    pub fn read(clusters: &[(&str, &KafkaCluster)], regions: &[Region]) -> Books {
        let mut books = Books {
            stored: BTreeMap::new(),
            outputs: BTreeMap::new(),
        };
        let text = |key: Option<Vec<u8>>| String::from_utf8(key.expect("a key")).expect("an id");
        for region in regions {
            let found = clusters.iter().find(|(name, _)| *name == region.cluster);
            let (_, cluster) = found.expect("every region's cluster is given");
            let topic = format!("transactions-{}", region.name);
            for record in cluster.consume_all(&topic, Isolation::ReadUncommitted) {
                let place = (region.id, record.partition, record.offset);
                books
                    .stored
                    .entry(text(record.key))
                    .or_default()
                    .push(place);
            }
        }
        for (_, cluster) in clusters {
            for record in cluster.consume_all(OUTPUTS, Isolation::ReadCommitted) {
                *books.outputs.entry(text(record.key)).or_default() += 1;
            }
        }
        books
    }

    /// Records in the shards' topics.
    pub fn len(&self) -> usize {
        self.stored.values().map(Vec::len).sum()
    }

    /// Each record of a shard.
    pub fn of_shard(&self, shard: ShardId) -> usize {
        let places = self.stored.values().flatten();
        places.filter(|(found, ..)| *found == shard).count()
    }

    /// Checks that every receipt is true, and that every id lies in one record and was put out
    /// once, whatever its submitter was told.
    pub fn check(&self, sent: &[Sent]) {
        let mut wrong = Vec::new();
        for (id, places) in &self.stored {
            if places.len() != 1 {
                wrong.push(format!("{id} is stored at {places:?}"));
            }
            match self.outputs.get(id) {
                Some(1) => {}
                other => wrong.push(format!("{id} at {places:?} was put out {other:?} times")),
            }
        }
        for sent in sent {
            let Some((_, Answer::Stored(receipt))) = sent.answer else {
                continue;
            };
            let place = (receipt.shard, receipt.partition.0 as i32, receipt.offset.0);
            let found = self.stored.get(&sent.id);
            if !found.is_some_and(|places| places.contains(&place)) {
                wrong.push(format!("{} is not at {place:?} but {found:?}", sent.id));
            }
        }
        wrong.truncate(20);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Checks that the ledger has counted each stored transaction once.
    pub fn check_ledger(&self, report: &NodeReport, sent: &[Sent]) {
        let amounts: BTreeMap<_, _> = sent.iter().map(|s| (&s.id[..], s.amount)).collect();
        let stored: u128 = self
            .stored
            .keys()
            .map(|id| u128::from(amounts[&id[..]]))
            .sum();
        let totals = report.ledger.values();
        let (transactions, amount) = totals.fold((0, 0), |(transactions, amount), totals| {
            (transactions + totals.transactions, amount + totals.amount)
        });
        assert_eq!(
            transactions,
            self.stored.len() as u64,
            "transactions counted"
        );
        assert_eq!(amount, stored, "the sum of the amounts");
    }
}

/// Checks that every submission got a receipt.
pub fn all_have_receipts(sent: &[Sent]) {
    let without: Vec<_> = sent.iter().filter(|s| s.stored_at().is_none()).collect();
    let some = &without[..without.len().min(5)];
    assert!(
        without.is_empty(),
        "{} of {} have none: {some:?}",
        without.len(),
        sent.len()
    );
}
