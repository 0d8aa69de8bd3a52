//! Random requests of two producers with one transactional id, random ends of what they cause, crashes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Whose credentials a producer shows when it asks for an id.
#[derive(Clone, Copy, Debug)]
enum Credentials {
    None,
    Own,
}

#[derive(Clone, Debug)]
enum Step {
    Init(usize, Credentials),
    Anonymous,
    Add(usize, usize),
    AddOffsets(usize),
    Offsets(usize),
    End(usize, Decision),
    EndStore(Outcome),
    EndMark(usize, Outcome),
    Settle,
    Pass(u64),
    Poison(usize),
    Crash(usize, u8, u64),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![4 => Just(Outcome::Durable), 1 => Just(Outcome::Refused)]
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..2_usize;
    let credentials = prop_oneof![Just(Credentials::None), Just(Credentials::Own)];
    let decision = prop_oneof![2 => Just(Decision::Commit), 1 => Just(Decision::Abort)];
    prop_oneof![
        3 => (who.clone(), credentials).prop_map(|(who, with)| Step::Init(who, with)),
        1 => Just(Step::Anonymous),
        6 => (who.clone(), 0..4_usize).prop_map(|(who, place)| Step::Add(who, place)),
        3 => who.clone().prop_map(Step::AddOffsets),
        4 => who.clone().prop_map(Step::Offsets),
        4 => (who, decision).prop_map(|(who, decision)| Step::End(who, decision)),
        12 => outcome().prop_map(Step::EndStore),
        8 => (0..8_usize, outcome()).prop_map(|(index, outcome)| Step::EndMark(index, outcome)),
        4 => Just(Step::Settle),
        2 => prop_oneof![Just(500), Just(20_000), Just(60_000)].prop_map(Step::Pass),
        1 => (0..3_usize).prop_map(Step::Poison),
        2 => (0..4_usize, any::<u8>(), prop_oneof![Just(0), Just(40_000_u64)])
            .prop_map(|(stores, marked, ms)| Step::Crash(stores, marked, ms)),
    ]
}

/// What a request was, to judge its answer.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Init(usize, Credentials),
    Anonymous,
    Write(Producer),
    Offsets(Producer, i64),
    End(Producer, Decision),
}

/// What must hold, kept up with each step. Transactions are counted as their begins become durable.
struct Run {
    world: World,
    producers: [Option<Producer>; 2],
    asked: BTreeMap<u64, Asked>,
    last_fact: Option<Metadata>,
    begun: usize,
    decided: BTreeMap<usize, Decision>,
    promised: BTreeMap<usize, Decision>,
    /// What producers asked to be the end of which transaction.
    wanted: Vec<(usize, Producer, Decision)>,
    /// Every producer that was handed out as a new one.
    handed_out: BTreeSet<(i64, i16)>,
    /// Producer ids of those without a transactional id.
    anonymous: BTreeSet<i64>,
    last_offset: i64,
    /// Each offset that was sent, by its transaction.
    sent: BTreeMap<i64, usize>,
    /// The last offset that was answered with success, by its transaction.
    acknowledged: BTreeMap<usize, i64>,
}

const PLACES: [(&str, i32); 4] = [("a", 0), ("a", 1), ("a", 2), ("b", 0)];

impl Run {
    fn new(mut world: World) -> Run {
        world.facts.clear();
        let last_fact = world.fact();
        Run {
            world,
            producers: [None; 2],
            asked: BTreeMap::new(),
            last_fact,
            begun: 0,
            decided: BTreeMap::new(),
            promised: BTreeMap::new(),
            wanted: Vec::new(),
            handed_out: BTreeSet::new(),
            anonymous: BTreeSet::new(),
            last_offset: 0,
            sent: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
        }
    }

    fn ask(&mut self, version: i16, request: impl Into<RequestKind>, asked: Asked) {
        let to = self.world.ask(version, request);
        self.asked.insert(to, asked);
    }

    fn step(&mut self, step: &Step) {
        let of = |who: usize| self.producers[who];
        match *step {
            Step::Init(who, with) => {
                let expected = match with {
                    Credentials::None => None,
                    Credentials::Own => of(who),
                };
                // Without credentials of its own it asks as a new one.
                let with = expected.map_or(Credentials::None, |_| with);
                self.ask(INIT, init(expected), Asked::Init(who, with));
            }
            Step::Anonymous => {
                let request = init(None).with_transactional_id(None);
                self.ask(INIT, request, Asked::Anonymous);
            }
            Step::Add(who, place) => {
                if let Some(producer) = of(who) {
                    let (topic, partition) = PLACES[place];
                    let request = add(producer, &[(topic, &[partition])]);
                    self.ask(ADD, request, Asked::Write(producer));
                }
            }
            Step::AddOffsets(who) => {
                if let Some(producer) = of(who) {
                    let request = add_offsets(producer, "g");
                    self.ask(ADD, request, Asked::Write(producer));
                }
            }
            Step::Offsets(who) => {
                if let Some(producer) = of(who) {
                    self.last_offset += 1;
                    let offset = self.last_offset;
                    self.sent.insert(offset, self.begun);
                    let request = offsets(producer, "g", offset);
                    self.ask(ADD, request, Asked::Offsets(producer, offset));
                }
            }
            Step::End(who, decision) => {
                if let Some(producer) = of(who) {
                    self.wanted.push((self.begun, producer, decision));
                    self.ask(END, end(producer, decision), Asked::End(producer, decision));
                }
            }
            Step::EndStore(outcome) => self.world.end_store(outcome),
            Step::EndMark(index, outcome) => {
                let marks = self.world.marks.len();
                if marks > 0 {
                    self.world.end_mark(index % marks, outcome);
                }
            }
            // What a settled world answers is judged step by step, so it is not World::settle.
            Step::Settle => {
                for _ in 0..12 {
                    self.step(&Step::EndStore(Outcome::Durable));
                    self.step(&Step::EndMark(0, Outcome::Durable));
                }
            }
            Step::Pass(ms) => self.world.pass(ms),
            Step::Poison(durable) => {
                if !self.world.stores.is_empty() {
                    self.world.poison(durable);
                }
            }
            Step::Crash(stores, marked, ms) => {
                let is_marked = |index: usize| marked >> (index % 8) & 1 == 1;
                self.world.crash(stores, is_marked, ms);
                self.asked.clear();
            }
        }
        self.judge_facts();
        self.judge_answers();
    }

    fn judge_facts(&mut self) {
        for fact in std::mem::take(&mut self.world.facts) {
            let before = self.last_fact.take();
            let was = before.as_ref().map(|fact| fact.state);
            if let (Some(before), Some(fact)) = (&before, &fact) {
                assert!(
                    before.producer.id != fact.producer.id
                        || before.producer.epoch <= fact.producer.epoch,
                    "an epoch never goes back"
                );
            }
            let is = fact.as_ref().map(|fact| fact.state);
            match (was, is) {
                (Some(State::PrepareCommit), is) => assert_eq!(is, Some(State::CompleteCommit)),
                (Some(State::PrepareAbort), is) => assert_eq!(is, Some(State::CompleteAbort)),
                (Some(State::Ongoing), Some(State::Ongoing)) => {
                    let (before, fact) = (before.as_ref().unwrap(), fact.as_ref().unwrap());
                    assert_eq!(
                        (before.producer, before.started),
                        (fact.producer, fact.started)
                    );
                    assert!(before.partitions.is_subset(&fact.partitions));
                    assert!(before.groups.is_subset(&fact.groups));
                }
                (Some(State::Ongoing), Some(State::PrepareCommit | State::PrepareAbort)) => {
                    let fact = fact.as_ref().unwrap();
                    assert_eq!(before.as_ref().unwrap().partitions, fact.partitions);
                    let decision = fact.state.deciding().unwrap();
                    let wanted = (self.begun, before.as_ref().unwrap().producer, decision);
                    let fenced = wanted.1.epoch < fact.producer.epoch;
                    assert!(
                        self.wanted.contains(&wanted) || (fenced && decision == Decision::Abort),
                        "a producer whose transaction others end is fenced"
                    );
                    assert_eq!(self.decided.insert(self.begun, decision), None);
                }
                (Some(State::Ongoing), is) => panic!("from Ongoing to {is:?}"),
                (_, Some(State::Ongoing)) => self.begun += 1,
                (_, is) => assert!(matches!(is, None | Some(State::Empty)), "{was:?} {is:?}"),
            }
            self.last_fact = fact;
        }
    }

    fn judge_answers(&mut self) {
        for (to, answer) in std::mem::take(&mut self.world.answers) {
            let asked = self.asked.remove(&to).expect("one answer each");
            if code(&answer) != NONE {
                continue;
            }
            match asked {
                Asked::Init(who, with) => {
                    let producer = producer_of(answer).unwrap();
                    assert_eq!(self.world.fact().unwrap().producer, producer);
                    assert!(!self.anonymous.contains(&producer.id));
                    let is_new = self.handed_out.insert((producer.id, producer.epoch));
                    // Only who asks with what it has may be told the same twice.
                    assert!(is_new || matches!(with, Credentials::Own), "{producer:?}");
                    self.producers[who] = Some(producer);
                }
                Asked::Anonymous => {
                    let producer = producer_of(answer).unwrap();
                    assert!(self.handed_out.iter().all(|known| known.0 != producer.id));
                    assert!(self.anonymous.insert(producer.id), "{producer:?}");
                }
                Asked::Write(producer) => self.judge_living(producer),
                Asked::Offsets(producer, offset) => {
                    self.judge_living(producer);
                    assert_eq!(self.sent[&offset], self.begun);
                    self.acknowledged.insert(self.begun, offset);
                }
                Asked::End(producer, decision) => {
                    self.judge_living(producer);
                    assert_eq!(self.decided.get(&self.begun), Some(&decision));
                    self.promised.insert(self.begun, decision);
                }
            }
        }
    }

    /// Only the producer that has the highest epoch succeeds.
    fn judge_living(&self, producer: Producer) {
        assert_eq!(self.world.fact().unwrap().producer, producer);
        let newest = self
            .handed_out
            .iter()
            .filter(|known| known.0 == producer.id);
        assert_eq!(newest.max(), Some(&(producer.id, producer.epoch)));
    }

    /// Lets all end, by timeout if need be, and judges what is left.
    fn finish(mut self) {
        self.step(&Step::Crash(0, 0, 0));
        for _ in 0..4 {
            self.step(&Step::Settle);
            self.step(&Step::Pass(TIMEOUT_MS as u64));
        }
        self.step(&Step::Settle);
        assert!(self.world.stores.is_empty() && self.world.marks.is_empty());
        let state = self.world.state();
        assert!(
            !matches!(
                state,
                Some(State::Ongoing | State::PrepareCommit | State::PrepareAbort)
            ),
            "{state:?}"
        );
        assert!(self.asked.is_empty(), "everyone was answered");
        assert_eq!(
            self.decided.len(),
            self.begun,
            "every transaction has ended"
        );
        for (transaction, decision) in &self.promised {
            assert_eq!(self.decided.get(transaction), Some(decision));
        }
        self.judge_offset();
    }

    fn judge_offset(&mut self) {
        let offset = committed(&mut self.world);
        let commits = |transaction: &usize| self.decided[transaction] == Decision::Commit;
        if offset >= 0 {
            let transaction = self.sent[&offset];
            assert!(commits(&transaction), "an aborted offset was applied");
        }
        let promised = self.acknowledged.iter().rev();
        if let Some((_, least)) = promised.into_iter().find(|(number, _)| commits(number)) {
            assert!(offset >= *least, "a committed offset was lost");
        }
    }
}

fn world(start: Option<i16>) -> World {
    let mut world = World::new();
    if let Some(epoch) = start {
        let producer = world.init();
        let fact = Metadata {
            producer: Producer { epoch, ..producer },
            ..world.fact().unwrap()
        };
        let Pair { key, value } = codec::pair(ID, &fact);
        world.durable.insert(key, value);
        world.crash(0, |_| false, 0);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// No transaction is committed in one partition and aborted in another; a commit that was answered
    /// survives every crash; offsets count if and only if their transaction does; no producer id is
    /// handed out twice; whoever was fenced never succeeds again.
    #[test]
    fn transactions_end_one_way_everywhere_whatever_happens(
        start in prop_oneof![Just(None), (i16::MAX - 4..i16::MAX - 1).prop_map(Some)],
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut run = Run::new(world(start));
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}
