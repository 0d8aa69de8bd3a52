//! A world around the coordinator: storage that completes, refuses or crashes when it is told to.

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use uuid::Uuid;

use super::*;
use crate::broker::coordinator::group::{self, GroupOptions, Groups};
use crate::broker::coordinator::{Call, Caller, Effect};
use crate::broker::view::{Home, TopicKind, TopicLimits, TopicView, View};
use crate::clock::Now;
use crate::ids::{CoreId, Nanos, PartitionId, PartitionIndex, TopicId, UnixMicros};

/// A marker that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub ticket: u64,
    pub partition: Partition,
    pub producer: Producer,
    pub decision: Decision,
}

/// The coordinator, its storage, its clients' mailbox.
pub struct World {
    pub txns: Transactions<u64>,
    pub groups: Groups<u64>,
    view: View,
    pub now: Now,
    /// What survives a crash.
    pub durable: BTreeMap<Vec<u8>, Vec<u8>>,
    pub stores: VecDeque<(u64, Vec<Pair>)>,
    pub marks: Vec<Mark>,
    /// Each fact about [`ID`] that became durable, in order; `None` when it was forgotten.
    pub facts: Vec<Option<Metadata>>,
    /// The markers in each partition, in order.
    pub markers: BTreeMap<Partition, Vec<(Producer, Decision)>>,
    /// Answers that no test has looked at, in order.
    pub answers: VecDeque<(u64, ResponseKind)>,
    last_asker: u64,
}

fn topic(number: u32, name: &str, kind: TopicKind, partitions: u32) -> TopicView {
    TopicView {
        name: name.into(),
        id: TopicId(number),
        uuid: Uuid::from_u128(number.into()),
        kind,
        partitions: (0..partitions)
            .map(|index| Home {
                id: PartitionId(number * 100 + index),
                owner: CoreId(0),
            })
            .collect(),
        limits: TopicLimits {
            message_bytes_max: 1 << 20,
        },
    }
}

/// Partition `index` of topic `a`.
pub fn a(index: u32) -> Partition {
    (TopicId(1), PartitionIndex(index))
}

/// The partition of topic `b`.
pub fn b() -> Partition {
    (TopicId(2), PartitionIndex(0))
}

impl World {
    pub fn new() -> World {
        let topics = vec![
            topic(1, "a", TopicKind::Plain, 3),
            topic(2, "b", TopicKind::Plain, 1),
            topic(3, "transactions", TopicKind::Inlet, 2),
            topic(4, "transactions-eu", TopicKind::Shard, 2),
        ];
        World {
            txns: Transactions::new(TxnOptions::default()),
            groups: Groups::new(GroupOptions::default(), 1),
            view: View::new(0, "cluster".to_owned(), Vec::new(), topics),
            now: Now {
                mono: Nanos(1_000_000_000),
                wall: UnixMicros(1_700_000_000_000_000),
            },
            durable: BTreeMap::new(),
            stores: VecDeque::new(),
            marks: Vec::new(),
            facts: Vec::new(),
            markers: BTreeMap::new(),
            answers: VecDeque::new(),
            last_asker: 0,
        }
    }

    /// Sends a request and leaves what it asks for under way.
    pub fn ask(&mut self, version: i16, request: impl Into<RequestKind>) -> u64 {
        self.last_asker += 1;
        let caller = Caller::default();
        let call = Call {
            now: self.now,
            caller: &caller,
            version,
            to: self.last_asker,
            topics: &self.view,
        };
        let mut effects = Vec::new();
        self.txns
            .handle(&call, request.into(), &mut self.groups, &mut effects);
        self.take(effects);
        self.last_asker
    }

    /// Sends a request to the groups.
    pub fn ask_groups(&mut self, version: i16, request: impl Into<RequestKind>) -> u64 {
        self.last_asker += 1;
        let caller = Caller::default();
        let call = Call {
            now: self.now,
            caller: &caller,
            version,
            to: self.last_asker,
            topics: &self.view,
        };
        let mut effects = Vec::new();
        self.groups.handle(&call, request.into(), &mut effects);
        self.take(effects);
        self.last_asker
    }

    fn take(&mut self, effects: Vec<Effect<u64>>) {
        for effect in effects {
            match effect {
                Effect::Answer { to, response } => self.answers.push_back((to, *response)),
                Effect::Store { ticket, pairs } => self.stores.push_back((ticket, pairs)),
                Effect::Mark {
                    ticket,
                    topic,
                    partition,
                    producer_id,
                    producer_epoch,
                    decision,
                } => self.marks.push(Mark {
                    ticket,
                    partition: (topic, partition),
                    producer: Producer {
                        id: producer_id,
                        epoch: producer_epoch,
                    },
                    decision,
                }),
            }
        }
    }

    fn write(&mut self, pairs: Vec<Pair>) {
        for Pair { key, value } in pairs {
            if key == codec::key(ID) {
                self.facts.push(codec::decode(&value));
            }
            if value.is_empty() {
                self.durable.remove(&key);
            } else {
                self.durable.insert(key, value);
            }
        }
    }

    /// Appends a marker, which must be what the durable fact demands.
    fn append(&mut self, mark: Mark) {
        let fact = self.fact().expect("markers follow a durable decision");
        assert_eq!(fact.state.deciding(), Some(mark.decision));
        assert_eq!(fact.producer, mark.producer);
        assert!(fact.partitions.contains(&mark.partition));
        let markers = self.markers.entry(mark.partition).or_default();
        markers.push((mark.producer, mark.decision));
    }

    /// Ends the oldest store.
    pub fn end_store(&mut self, outcome: Outcome) {
        let Some((ticket, pairs)) = self.stores.pop_front() else {
            return;
        };
        if outcome == Outcome::Durable {
            self.write(pairs);
        }
        self.report(ticket, outcome);
    }

    /// Storage is poisoned: of the stores under way the first `durable` survive, and nobody knows.
    pub fn poison(&mut self, durable: usize) {
        for (index, (ticket, pairs)) in std::mem::take(&mut self.stores).into_iter().enumerate() {
            if index < durable {
                self.write(pairs);
            }
            self.report(ticket, Outcome::Lost);
        }
    }

    fn report(&mut self, ticket: u64, outcome: Outcome) {
        let mut effects = Vec::new();
        if ticket & group::TICKET_BIT != 0 {
            self.groups.stored(ticket, outcome, self.now, &mut effects);
        } else {
            let groups = &mut self.groups;
            self.txns
                .stored(ticket, outcome, self.now, groups, &mut effects);
        }
        self.take(effects);
    }

    /// Ends one of the markers under way.
    pub fn end_mark(&mut self, index: usize, outcome: Outcome) {
        let mark = self.marks.remove(index);
        if outcome == Outcome::Durable {
            self.append(mark);
        }
        let mut effects = Vec::new();
        let groups = &self.groups;
        self.txns
            .marked(mark.ticket, outcome, self.now, groups, &mut effects);
        self.take(effects);
    }

    /// Ends all that is under way, and what follows from it.
    pub fn settle(&mut self) {
        while !self.stores.is_empty() || !self.marks.is_empty() {
            self.end_store(Outcome::Durable);
            if !self.marks.is_empty() {
                self.end_mark(0, Outcome::Durable);
            }
        }
    }

    /// Lets time pass, by both clocks, and does what is due then.
    pub fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.after(ms * 1_000_000);
        self.now.wall.0 += (ms * 1000) as i64;
        let mut effects = Vec::new();
        self.txns.tick(self.now, &self.groups, &mut effects);
        self.groups.tick(self.now, &mut effects);
        self.take(effects);
    }

    /// The process dies, and another begins `ms` later: of what was under way, the first `stores` and
    /// the markers that `marked` names had become durable.
    pub fn crash(&mut self, stores: usize, marked: impl Fn(usize) -> bool, ms: u64) {
        for (_, pairs) in std::mem::take(&mut self.stores).into_iter().take(stores) {
            self.write(pairs);
        }
        let marks = std::mem::take(&mut self.marks);
        for (index, mark) in marks.into_iter().enumerate() {
            if marked(index) {
                self.append(mark);
            }
        }
        self.answers.clear();
        self.txns = Transactions::new(TxnOptions::default());
        self.groups = Groups::new(GroupOptions::default(), 2);
        for (key, value) in &self.durable {
            if key.starts_with(group::PREFIX) {
                self.groups.restore(key, value).expect("our own pair");
            } else {
                self.txns.restore(key, value).expect("our own pair");
            }
        }
        // Another boot's monotonic clock.
        self.now.mono = Nanos(5_000_000_000);
        self.now.wall.0 += (ms * 1000) as i64;
        let mut effects = Vec::new();
        self.txns.resume(self.now, &self.groups, &mut effects);
        self.take(effects);
    }

    /// The answer to a request; panics if there is none.
    pub fn answer(&mut self, to: u64) -> ResponseKind {
        self.try_answer(to).expect("an answer")
    }

    pub fn try_answer(&mut self, to: u64) -> Option<ResponseKind> {
        let at = self.answers.iter().position(|(asker, _)| *asker == to)?;
        Some(self.answers.remove(at)?.1)
    }

    /// The durable fact about [`ID`].
    pub fn fact(&self) -> Option<Metadata> {
        let value = self.durable.get(&codec::key(ID))?;
        Some(codec::decode(value).expect("our own value"))
    }

    pub fn state(&self) -> Option<State> {
        Some(self.fact()?.state)
    }

    /// InitProducerId by a new producer, to its end.
    pub fn init(&mut self) -> Producer {
        let to = self.ask(INIT, init(None));
        self.settle();
        producer_of(self.answer(to)).expect("a producer")
    }

    /// A request that is answered with one code, to its end.
    pub fn code(&mut self, version: i16, request: impl Into<RequestKind>) -> i16 {
        let to = self.ask(version, request);
        self.settle();
        let answer = self.answer(to);
        code(&answer)
    }

    /// A producer with an open transaction that has written to `a-0` and `b-0`.
    pub fn open(&mut self) -> Producer {
        let producer = self.init();
        let code = self.code(ADD, add(producer, &[("a", &[0]), ("b", &[0])]));
        assert_eq!(code, NONE);
        producer
    }

    pub fn markers_of(&self, partition: Partition) -> Vec<(Producer, Decision)> {
        self.markers.get(&partition).cloned().unwrap_or_default()
    }
}

/// The committed offset of `a-0` in group `g`; -1 if there is none.
pub fn committed(world: &mut World) -> i64 {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(TopicName(text("a")))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_topics(Some(vec![topic]))
        .with_require_stable(true);
    let to = world.ask_groups(7, request);
    let ResponseKind::OffsetFetch(response) = world.answer(to) else {
        panic!("another response");
    };
    let partition = &response.topics[0].partitions[0];
    assert_eq!((response.error_code, partition.error_code), (NONE, NONE));
    partition.committed_offset
}
