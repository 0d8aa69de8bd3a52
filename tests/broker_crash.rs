//! kill -9 of a node whose Kafka clients are in the middle of their work: what was acknowledged is
//! there, once and in order; what was aborted or never ended is not; groups go on where they were.
//!
//! Every client holds its own promises each time it comes back, and once more at the end.
//! `CORELANE_TEST_SEED` repeats a run's choices (not its timing), `CORELANE_BROKER_KILLS` sets how
//! often the node is killed.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/kafka_txn.rs"]
mod kafka_txn;
#[path = "support/mortal.rs"]
mod mortal;
#[path = "support/node.rs"]
mod node;
#[path = "support/random.rs"]
mod random;

use std::time::{Duration, Instant};

use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::records::Compression;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use broker_node::BrokerNode;
use kafka_peer::{Peer, Produced, Sequence, batch, produce_request};
use kafka_txn::{End, Member, Txn, commit, committed, create_topic, join};
use mortal::{Lives, kill_again_and_again};
use random::Random;

const PATIENCE: Duration = Duration::from_secs(30);
/// Times that each test kills the node.
const KILLS: u32 = 6;
/// What a transaction writes to.
const PLACES: [i32; 3] = [0, 1, 2];

fn kills() -> u32 {
    std::env::var("CORELANE_BROKER_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"))
}

/// The values of a partition, as a client of librdkafka reads them.
fn values(broker: &BrokerNode, topic: &str, partition: i32, isolation: &str) -> Vec<String> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.address.to_string())
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation);
    let consumer: BaseConsumer = config.create().expect("a valid configuration");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, partition, Offset::Beginning)
        .expect("an offset");
    consumer.assign(&from).expect("an assignment");
    let started = Instant::now();
    let mut values = Vec::new();
    loop {
        assert!(
            started.elapsed() < PATIENCE,
            "{topic}-{partition} does not end"
        );
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let value = message.payload().unwrap_or_default();
                values.push(String::from_utf8_lossy(value).into_owned());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return values,
            Some(Err(error)) => panic!("{topic}-{partition}: {error}"),
            None => {}
        }
    }
}

/// Somebody who commits offsets, one after the other.
struct Committer {
    group: String,
    partition: i32,
    /// A member of its group, which it rejoins; else nobody in particular.
    member: Option<Member>,
    acknowledged: i64,
    sent: i64,
    rejoined: u32,
}

impl Committer {
    fn new(number: i32, member: Option<Member>) -> Committer {
        Committer {
            group: format!("committer-{number}"),
            partition: number % 4,
            member,
            acknowledged: -1,
            sent: -1,
            rejoined: 0,
        }
    }

    fn check(&mut self, peer: &mut Peer) -> Option<()> {
        let found = committed(peer, &self.group, "read", self.partition)?;
        assert!(
            self.acknowledged <= found && found <= self.sent,
            "{}: {found}, acknowledged up to {}, sent up to {}",
            self.group,
            self.acknowledged,
            self.sent
        );
        self.acknowledged = found;
        Some(())
    }

    fn life(&mut self, peer: &mut Peer, lives: &Lives) -> Option<()> {
        self.check(peer)?;
        loop {
            let who = self.member.clone().unwrap_or_else(Member::none);
            self.sent += 1;
            let place = ("read", self.partition);
            match commit(peer, &self.group, &who, place, self.sent)? {
                0 => {
                    self.acknowledged = self.sent;
                    lives.note();
                }
                // ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS.
                code @ (22 | 25 | 27) if self.member.is_some() => self.rejoin(peer, code)?,
                code => panic!("{}: error {code}", self.group),
            }
            if lives.is_over() {
                return self.check(peer);
            }
        }
    }

    /// Becomes a member of a new generation.
    fn rejoin(&mut self, peer: &mut Peer, code: i16) -> Option<()> {
        const UNKNOWN_MEMBER_ID: i16 = 25;
        let before = self.member.clone().unwrap_or_else(Member::none);
        let mut as_whom = before.clone();
        if code == UNKNOWN_MEMBER_ID {
            as_whom.id = String::new();
        }
        let member = match join(peer, &self.group, &as_whom)? {
            Ok(member) => member,
            Err(UNKNOWN_MEMBER_ID) => {
                join(peer, &self.group, &Member::none())?.expect("a new member is taken in")
            }
            Err(code) => panic!("{}: error {code} to who joins", self.group),
        };
        // Members do not survive, and no new one is taken for an old one.
        assert_ne!(member.id, before.id, "{}", self.group);
        let (group, place) = (&self.group, ("read", self.partition));
        if before != Member::none() {
            let code = commit(peer, group, &before, place, i64::MAX)?;
            assert_eq!(code, UNKNOWN_MEMBER_ID, "{group}: {before:?} is over");
        }
        self.member = Some(member);
        self.rejoined += 1;
        Some(())
    }
}

#[test]
fn acknowledged_offsets_of_groups_survive_kill_9_under_load() {
    let mut random = Random::from_environment("acknowledged_offsets_of_groups");
    let mut broker = BrokerNode::start();
    create_topic(&mut broker.peer(), "read", 4);
    let lives = Lives::new(broker.address);
    let mut committers: Vec<Committer> = (0..3)
        .map(|number| Committer::new(number, None))
        .chain((3..6).map(|number| Committer::new(number, Some(Member::none()))))
        .collect();
    for committer in &mut committers {
        // As a group without members takes commits from nobody in particular, it has some first.
        if committer.member.is_some() {
            committer
                .rejoin(&mut broker.peer(), 25)
                .expect("the node is up");
        }
    }
    std::thread::scope(|scope| {
        let _ending = lives.ending();
        for committer in &mut committers {
            let lives = &lives;
            scope.spawn(move || lives.live(|peer| committer.life(peer, lives)));
        }
        kill_again_and_again(&mut broker, &lives, kills(), &mut random);
    });
    for committer in &mut committers {
        let Committer {
            group,
            acknowledged,
            rejoined,
            ..
        } = &*committer;
        println!("{group}: {acknowledged} commits, joined {rejoined} times");
        assert!(*acknowledged > 0, "{group} got something done");
    }
    // A group's consumers go on where it was.
    broker.node.kill9();
    broker.node.restart();
    for committer in &mut committers {
        let found = committed(
            &mut broker.peer(),
            &committer.group,
            "read",
            committer.partition,
        );
        assert_eq!(found, Some(committer.acknowledged), "{}", committer.group);
    }
    broker.serves_others();
}

/// How much an acknowledgement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acks {
    Leader,
    All,
}

struct Sent {
    first: i32,
    records: i32,
    /// Where it was stored, as far as that is known.
    base_offset: Option<i64>,
}

/// An idempotent producer with a partition of its own.
struct Writer {
    partition: i32,
    acks: Acks,
    by: Sequence,
    sent: Vec<Sent>,
    random: Random,
    repeated: u32,
    lost: u32,
}

impl Writer {
    fn next_sequence(&self) -> i32 {
        self.sent.last().map_or(0, |last| last.first + last.records)
    }

    fn send(&self, peer: &mut Peer, sent: &Sent, acks: Acks) -> Option<Produced> {
        let values: Vec<String> = (sent.first..sent.first + sent.records)
            .map(|number| number.to_string())
            .collect();
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let first = sent.first;
        let by = Sequence { first, ..self.by };
        let records = batch(&values, Compression::None, Some(by));
        let request = produce_request("written", self.partition, records);
        let response = peer.ask_mortal::<ProduceRequest>(
            9,
            &request.with_acks(match acks {
                Acks::Leader => 1,
                Acks::All => -1,
            }),
        )?;
        let row = &response.responses[0].partition_responses[0];
        Some(Produced {
            error: row.error_code,
            base_offset: row.base_offset,
        })
    }

    /// Sends a batch, for the first time or again.
    fn write(&mut self, peer: &mut Peer, index: usize) -> Option<()> {
        let produced = self.send(peer, &self.sent[index], self.acks)?;
        // Every record has its sequence number as its offset: there is nothing else in the partition.
        let expected = Produced {
            error: 0,
            base_offset: self.sent[index].first.into(),
        };
        assert_eq!(produced, expected, "partition {}", self.partition);
        self.sent[index].base_offset = Some(produced.base_offset);
        Some(())
    }

    fn come_back(&mut self, peer: &mut Peer) -> Option<()> {
        // Before anything else is written: what has survived.
        let survived = mortal_end(peer, "written", self.partition)?;
        let ends_at = |sent: &Sent| i64::from(sent.first + sent.records) <= survived;
        let whole = self.sent.iter().take_while(|sent| ends_at(sent)).count();
        let boundary = self.sent[..whole].last().map_or(0, |s| s.first + s.records);
        assert_eq!(survived, i64::from(boundary), "batches are stored whole");
        if self.acks == Acks::Leader {
            // Appended is not durable: the last ones may be gone, and are written again.
            self.lost += (self.sent.len() - whole) as u32;
            for sent in &mut self.sent[whole..] {
                sent.base_offset = None;
            }
        }
        let acknowledged = self.sent.iter().take_while(|s| s.base_offset.is_some());
        let acknowledged = acknowledged.count();
        assert!(
            acknowledged <= whole,
            "partition {} lost some",
            self.partition
        );
        // A producer's last five batches are known again.
        let again = self.random.within(0..5) as usize;
        for index in acknowledged.saturating_sub(again)..self.sent.len() {
            self.repeated += u32::from(index < whole);
            self.write(peer, index)?;
        }
        Some(())
    }

    fn life(&mut self, peer: &mut Peer, lives: &Lives) -> Option<()> {
        self.come_back(peer)?;
        while !lives.is_over() {
            self.sent.push(Sent {
                first: self.next_sequence(),
                records: self.random.within(1..6) as i32,
                base_offset: None,
            });
            self.write(peer, self.sent.len() - 1)?;
            match self.acks {
                Acks::All => lives.note(),
                // They wait for no device, and are not to take all of the machine.
                Acks::Leader => {
                    let rest = Duration::from_micros(self.random.within(0..1000));
                    std::thread::sleep(rest);
                }
            }
        }
        // Known again, and durable with it.
        let last = self.sent.last()?;
        let produced = self.send(peer, last, Acks::All)?;
        assert_eq!(produced.base_offset, i64::from(last.first));
        Some(())
    }
}

/// The offset after a partition's last record, of a broker that may be killed.
fn mortal_end(peer: &mut Peer, topic: &str, partition: i32) -> Option<i64> {
    kafka_txn::try_end_offset(peer, topic, partition, kafka_txn::Stable::No)
}

#[test]
fn acknowledged_batches_survive_kill_9_once_and_repeated_ones_are_known() {
    let mut random = Random::from_environment("acknowledged_batches_survive");
    let mut broker = BrokerNode::start();
    create_topic(&mut broker.peer(), "written", 6);
    let lives = Lives::new(broker.address);
    let mut writers: Vec<Writer> = (0..6)
        .map(|partition| Writer {
            partition,
            acks: match partition {
                0..4 => Acks::All,
                _ => Acks::Leader,
            },
            by: broker.peer().producer(),
            sent: Vec::new(),
            random: random.fork(),
            repeated: 0,
            lost: 0,
        })
        .collect();
    std::thread::scope(|scope| {
        let _ending = lives.ending();
        for writer in &mut writers {
            let lives = &lives;
            scope.spawn(move || lives.live(|peer| writer.life(peer, lives)));
        }
        kill_again_and_again(&mut broker, &lives, kills(), &mut random);
    });
    broker.node.kill9();
    broker.node.restart();
    for writer in &writers {
        let Writer {
            partition,
            acks,
            sent,
            repeated,
            lost,
            ..
        } = writer;
        println!(
            "partition {partition}, {acks:?}: {} batches, {repeated} repeated, {lost} lost",
            sent.len()
        );
        let expected: Vec<String> = (0..writer.next_sequence()).map(|n| n.to_string()).collect();
        let found = values(&broker, "written", *partition, "read_uncommitted");
        assert_eq!(
            found, expected,
            "partition {partition}: each once, in order"
        );
    }
    broker.serves_others();
}

/// Somebody who moves: in one transaction, records in several partitions and the offset that they came
/// from.
struct Mover {
    id: String,
    random: Random,
    number: i64,
    /// The numbers of committed transactions.
    committed: Vec<i64>,
    /// The commit of this one was asked for, and no answer came.
    unknown: Option<i64>,
    aborted: u32,
    unfinished: u32,
}

impl Mover {
    /// The living producer, once all that its predecessor began has ended as it should.
    fn come_back(&mut self, peer: &mut Peer) -> Option<Txn> {
        let txn = Txn::init(peer, &self.id)?;
        let found = committed(peer, &self.id, "moved", 0)?;
        let unknown = self.unknown;
        if found >= 0 && unknown == Some(found) {
            self.committed.push(found);
        }
        let known = self.committed.last().copied().unwrap_or(-1);
        assert_eq!(found, known, "{}, {unknown:?} being unknown", self.id);
        self.unknown = None;
        Some(txn)
    }

    fn life(&mut self, peer: &mut Peer, lives: &Lives) -> Option<()> {
        let txn = self.come_back(peer)?;
        let mut sequence = 0;
        while !lives.is_over() {
            self.number += 1;
            self.unfinished += 1;
            let value = format!("{}:{}", self.id, self.number);
            assert_eq!(txn.add_partitions(peer, "moved", &PLACES)?, 0);
            for place in PLACES {
                let value = value.as_bytes();
                let produced = txn.produce(peer, ("moved", place), sequence, &[value, value])?;
                assert_eq!(produced.error, 0, "{value:?}");
            }
            sequence += 2;
            assert_eq!(txn.add_offsets(peer, &self.id)?, 0);
            let line = (self.number, "");
            let code = txn.commit_offsets(peer, &self.id, ("moved", &[0]), line)?;
            assert_eq!(code, 0, "offsets of {value}");
            if self.random.within(0..3) == 0 {
                assert_eq!(txn.end(peer, End::Abort)?, 0);
                self.aborted += 1;
            } else {
                self.unknown = Some(self.number);
                assert_eq!(txn.end(peer, End::Commit)?, 0);
                self.unknown = None;
                self.committed.push(self.number);
            }
            self.unfinished -= 1;
            lives.note();
        }
        // Its end is everywhere once the next one can begin.
        self.come_back(peer).map(|_| ())
    }
}

#[test]
fn transactions_and_their_offsets_are_whole_or_nothing_after_kill_9() {
    let mut random = Random::from_environment("transactions_and_their_offsets");
    let mut broker = BrokerNode::start();
    create_topic(&mut broker.peer(), "moved", 3);
    let lives = Lives::new(broker.address);
    let mut movers: Vec<Mover> = (0..4)
        .map(|number| Mover {
            id: format!("mover-{number}"),
            random: random.fork(),
            number: 0,
            committed: Vec::new(),
            unknown: None,
            aborted: 0,
            unfinished: 0,
        })
        .collect();
    std::thread::scope(|scope| {
        let _ending = lives.ending();
        for mover in &mut movers {
            let lives = &lives;
            scope.spawn(move || lives.live(|peer| mover.life(peer, lives)));
        }
        kill_again_and_again(&mut broker, &lives, kills(), &mut random);
    });
    broker.node.kill9();
    broker.node.restart();
    let found: Vec<Vec<String>> = PLACES
        .iter()
        .map(|place| values(&broker, "moved", *place, "read_committed"))
        .collect();
    for mover in &movers {
        let Mover {
            id,
            committed,
            aborted,
            unfinished,
            ..
        } = mover;
        println!(
            "{id}: {} committed, {aborted} aborted, {unfinished} not ended by itself",
            committed.len()
        );
        assert!(!committed.is_empty(), "{id} got something done");
        let expected: Vec<String> = committed
            .iter()
            .flat_map(|number| [format!("{id}:{number}"), format!("{id}:{number}")])
            .collect();
        for (place, found) in PLACES.iter().zip(&found) {
            let own = found
                .iter()
                .filter(|value| value.starts_with(&format!("{id}:")));
            let own: Vec<&String> = own.collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>(), "{id} in {place}");
        }
        let offset = kafka_txn::committed(&mut broker.peer(), id, "moved", 0);
        assert_eq!(offset, committed.last().copied(), "{id}");
    }
    broker.serves_others();
}
