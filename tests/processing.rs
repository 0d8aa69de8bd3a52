//! Exactly once, and what becomes of a transaction that a handler does not take, held by cores
//! that are driven by hand.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/core_rig.rs"]
mod core_rig;
#[path = "support/random.rs"]
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use corelane::engine::command::Command;
use corelane::engine::handler::{
    BatchContext, HandlerContext, HandlerFactory, ProcessError, TransactionHandler,
};
use corelane::engine::ledger::{Ledger, Totals};
use corelane::engine::submitter::Entrance;
use corelane::ids::{Acks, Offset, PartitionId, StripeId, TopicId};
use corelane::log::files::segment_path;
use corelane::log::format::{
    ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES, FrameHeader,
    SEGMENT_HEADER_BYTES, entry_bytes, frame_bytes,
};
use corelane::log::sim::Pace;
use corelane::storage::{Consumer as _, Outputs, OutputsRefused};
use corelane::telemetry::{Counter, ShardCounter};
use corelane::transaction::TransactionRef;
use corelane::wire::BatchView;

use core_rig::{
    OUTPUTS, Rig, STRIPES, Setup, body, dead_letters, partition_of, partitions_of, receipt,
};
use random::Random;

/// A handler that does what a transaction's payload says: a word, a number.
///
/// | payload | what |
/// |---|---|
/// | (nothing) | counts |
/// | `retry N` | says retry N times, then counts |
/// | `reject`, `stop` | says so |
/// | `panic` | counts, then panics |
/// | `send N` | puts out N bytes, then counts |
/// | `state N` | counts, and writes N bytes of state with its batch |
/// | `late` | counts, and panics when the batch ends |
struct Scripted {
    ledger: Ledger,
    outputs: TopicId,
    shared: Arc<Shared>,
    state_bytes: usize,
    panics_late: bool,
}

#[derive(Default)]
struct Shared {
    /// Ids in the order in which they were counted, runs that did not commit included.
    counted: Mutex<Vec<String>>,
    retries: Mutex<BTreeMap<String, u32>>,
}

#[derive(Clone, Default)]
struct Script(Arc<Shared>);

impl HandlerFactory for Script {
    type Handler = Scripted;

    fn make(&self, context: &HandlerContext<'_>) -> Scripted {
        Scripted {
            ledger: Ledger::new(context),
            outputs: context.topic("outputs").unwrap(),
            shared: Arc::clone(&self.0),
            state_bytes: 0,
            panics_late: false,
        }
    }
}

impl TransactionHandler for Scripted {
    fn begin(&mut self, batch: BatchContext) {
        self.state_bytes = 0;
        self.ledger.begin(batch);
    }

    fn process(&mut self, tx: &TransactionRef<'_>, out: &mut Outputs) -> Result<(), ProcessError> {
        let id = String::from_utf8(tx.id.to_vec()).unwrap();
        let payload = std::str::from_utf8(tx.payload).unwrap();
        let (word, number) = payload.split_once(' ').unwrap_or((payload, "0"));
        let number: usize = number.parse().unwrap();
        match word {
            "retry" => {
                let mut retries = self.shared.retries.lock().unwrap();
                let tried = retries.entry(id.clone()).or_default();
                if (*tried as usize) < number {
                    *tried += 1;
                    return Err(ProcessError::Retry("not yet".into()));
                }
            }
            "reject" => {
                out.send(self.outputs, b"never", b"seen")?;
                return Err(ProcessError::Reject("no good".into()));
            }
            "stop" => return Err(ProcessError::Stop("enough".into())),
            "send" => out.send(self.outputs, tx.id, &vec![b'x'; number])?,
            "state" => self.state_bytes = number,
            "late" => self.panics_late = true,
            _ => {}
        }
        self.shared.counted.lock().unwrap().push(id);
        self.ledger.process(tx, out)?;
        assert!(word != "panic", "as the payload says");
        Ok(())
    }

    fn commit(&mut self, out: &mut Outputs) -> Result<(), OutputsRefused> {
        assert!(!self.panics_late, "as the payload says");
        if self.state_bytes > 0 {
            out.set_state(b"filler", &vec![b'x'; self.state_bytes])?;
        }
        self.ledger.commit(out)
    }
}

fn rig(setup: Setup) -> Rig<Script> {
    Rig::new(setup, Script::default())
}

fn with_cores(cores: u16) -> Setup {
    Setup {
        cores,
        ..Setup::default()
    }
}

/// Submits a transaction of shard 0 with amount 1 for each payload and waits until all of them are
/// durable; those of one partition are then processed in as few batches as possible.
fn submit_all(rig: &mut Rig<Script>, payloads: &[&str]) {
    for (mark, payload) in (0..).zip(payloads) {
        rig.submit(mark, body(&format!("t{mark}"), 0, 1, payload.as_bytes()));
        rig.cycles(1);
    }
}

fn one_partition(ids: u64) -> Vec<String> {
    // Murmur2 decides; found by asking the rig's own route.
    let mut probe = rig(Setup::default());
    let mut found = Vec::new();
    for mark in 0..ids * 8 {
        let id = format!("p{mark}");
        probe.submit(mark, body(&id, 0, 1, b""));
        probe.settle();
        if receipt(&probe.answer(mark)).partition.0 == 1 {
            found.push(id);
        }
    }
    found.truncate(ids as usize);
    assert_eq!(found.len() as u64, ids);
    found
}

/// A dead letter: key, and its three headers in order.
type DeadLetter = (String, String, String, String);

/// The dead letters of shard 0, read from the segments by the format alone.
fn dead_letters_with_headers(rig: &mut Rig<Script>) -> Vec<DeadLetter> {
    let mut found = Vec::new();
    let of_topic = partitions_of(dead_letters(0));
    let files = rig.files.snapshot();
    for stripe in (0..STRIPES).map(StripeId) {
        let bytes = &files[&segment_path(stripe, corelane::ids::SegmentSeq(0))];
        let mut at = SEGMENT_HEADER_BYTES;
        while let Ok(frame) = FrameHeader::decode(&bytes[at..]) {
            let start = at + FRAME_HEADER_BYTES;
            let mut body = &bytes[start..start + frame.body_bytes as usize];
            while !body.is_empty() {
                let entry = EntryHeader::decode(body).unwrap();
                let payload = &body[ENTRY_HEADER_BYTES..];
                if entry.kind == EntryKind::Batch && of_topic.contains(&entry.partition) {
                    for record in BatchView::parse(payload).unwrap().records().unwrap() {
                        let record = record.unwrap();
                        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                        let mut headers = record
                            .headers
                            .clone()
                            .map(|h| (h.name.to_owned(), text(h.value.unwrap())));
                        let mut next = |name: &str| {
                            let (found, value) = headers.next().unwrap();
                            assert_eq!(found, name);
                            value
                        };
                        found.push((
                            text(record.key.unwrap()),
                            next("corelane.reason"),
                            next("corelane.partition"),
                            next("corelane.offset"),
                        ));
                    }
                }
                body = body
                    .get(entry_bytes(entry.payload_bytes as usize)..)
                    .unwrap_or_default();
            }
            at += frame_bytes(frame.body_bytes as usize);
        }
    }
    found.sort();
    found
}

/// Power is lost again and again, at any moment, on one core or two; clients submit again what was
/// not answered. In the end every transaction is stored once, processed once, put out once, in
/// order, and the ledger's totals are theirs.
#[test]
fn every_transaction_counts_once_whenever_the_power_goes() {
    const COUNT: u64 = 300;
    let mut random =
        Random::from_environment("every_transaction_counts_once_whenever_the_power_goes");
    for _ in 0..25 {
        let mut rig = rig(Setup {
            seed: random.next(),
            pace: Pace::Polls(random.within(0..30) as u32),
            batch_records_max: random.within(1..20) as usize,
            ..with_cores(random.within(1..3) as u16)
        });
        let mut receipts: BTreeMap<u64, (PartitionId, Offset)> = BTreeMap::new();
        let mut crashes = 0;
        loop {
            let is_last = receipts.len() as u64 == COUNT;
            if is_last {
                rig.settle();
            } else {
                let mut submitted: BTreeSet<u64> = receipts.keys().copied().collect();
                for _ in 0..random.within(1..150) {
                    for _ in 0..random.within(0..4) {
                        let Some(mark) = (0..COUNT).find(|mark| !submitted.contains(mark)) else {
                            break;
                        };
                        let payload = format!("send {}", mark % 50);
                        // The place may be another one the second time.
                        let shard = random.within(0..2) as usize;
                        let body = body(&format!("t{mark}"), shard, mark, payload.as_bytes());
                        if rig
                            .try_submit(0, Entrance::InTurn, body, Acks::All, mark)
                            .is_ok()
                        {
                            submitted.insert(mark);
                        }
                    }
                    rig.cycle();
                }
            }
            for (mark, answer) in std::mem::take(&mut rig.answers[0]) {
                let stored = receipt(&answer);
                let place = (partition_of(&stored), stored.offset);
                let before = receipts.insert(mark, place);
                assert!(before.is_none_or(|before| before == place), "t{mark} moved");
            }
            if is_last {
                break;
            }
            crashes += 1;
            rig = rig.crash_and_restart(random.within(1..3) as u16);
        }
        assert!(crashes > 0);
        let amount = (0..COUNT).map(u128::from).sum();
        let transactions = COUNT;
        assert_eq!(
            rig.totals(),
            Totals {
                transactions,
                amount
            }
        );
        let mut put_out: Vec<_> = rig.topic(OUTPUTS).into_iter().map(|(key, _)| key).collect();
        put_out.sort();
        put_out.dedup();
        assert_eq!(put_out.len() as u64, COUNT, "each id is put out");
        assert_eq!(rig.topic(OUTPUTS).len() as u64, COUNT, "and once");
        for (mark, (partition, offset)) in receipts {
            assert_eq!(rig.ids(partition)[offset.0 as usize], format!("t{mark}"));
        }
    }
}

/// The partition waits for its retries, also while new transactions arrive in it; the others flow,
/// and it keeps its order.
#[test]
fn a_retried_partition_rests_and_the_others_flow() {
    let ids = one_partition(12);
    let mut rig = rig(Setup {
        pace: Pace::Polls(0),
        retry_backoff_ns: 100_000_000,
        ..Setup::default()
    });
    for (mark, id) in (0..).zip(&ids) {
        let payload: &[u8] = if mark == 3 { b"retry 2" } else { b"" };
        rig.submit(mark, body(id, 0, 1, payload));
        rig.cycles(20);
        rig.submit(100 + mark, body(&format!("other{mark}"), 1, 1, b""));
        rig.cycles(20);
    }
    assert_eq!(
        rig.count(Counter::Retried),
        1,
        "new transactions do not end its rest"
    );
    assert_eq!(rig.totals().transactions, 3 + 12);
    rig.settle();
    assert_eq!(rig.count(Counter::Retried), 2);
    assert!(rig.now.mono.0 > 200_000_000, "it rested twice");
    assert_eq!(rig.totals().transactions, 24);
    let counted = rig.factory().0.counted.lock().unwrap().clone();
    let mine: Vec<_> = counted
        .into_iter()
        .filter(|id| id.starts_with('p'))
        .collect();
    assert_eq!(mine, ids);
}

#[test]
fn a_rejected_transaction_goes_to_the_dead_letters_and_the_rest_flows() {
    for cores in [1, 2] {
        let mut rig = rig(with_cores(cores));
        submit_all(&mut rig, &["", "", "reject", "send 3", "reject", ""]);
        rig.settle();
        assert_eq!(rig.totals().transactions, 4);
        assert_eq!(rig.count(Counter::DeadLettered), 2);
        let expected = |mark: u64| {
            let stored = receipt(&rig.answer(mark));
            let (partition, offset) = (stored.partition.to_string(), stored.offset.to_string());
            (format!("t{mark}"), "no good".to_owned(), partition, offset)
        };
        let expected = vec![expected(2), expected(4)];
        assert_eq!(dead_letters_with_headers(&mut rig), expected);
        assert_eq!(
            rig.topic(OUTPUTS).len(),
            1,
            "what a rejected one put out is dropped"
        );
        let came = body("t2", 0, 1, b"reject").to_vec();
        let letters = rig.topic(dead_letters(0));
        assert!(letters.iter().any(|letter| letter.1 == came), "as it came");
    }
}

#[test]
fn what_a_shard_counts_is_its_own() {
    for cores in [1, 2] {
        let mut rig = rig(with_cores(cores));
        let submitted = [
            ("a", 0, ""),
            ("b", 0, ""),
            ("c", 1, ""),
            ("d", 1, "reject"),
            ("a", 0, ""),
        ];
        for (mark, (id, shard, payload)) in (0..).zip(submitted) {
            rig.submit(mark, body(id, shard, 1, payload.as_bytes()));
        }
        rig.settle();
        let figures = |shard: usize| {
            ShardCounter::ALL.map(|counter| {
                let cores = rig.counters.iter();
                cores.map(|it| it.shards.get(shard, counter)).sum::<u64>()
            })
        };
        // Processed, dead letters, duplicates at intake and in processing.
        assert_eq!(figures(0), [2, 0, 1, 0]);
        assert_eq!(figures(1), [1, 1, 0, 0]);
    }
}

/// Also where nothing is processed any more, so that nobody takes it for idle.
#[test]
fn a_shard_lags_by_what_is_not_processed() {
    let mut rig = rig(Setup::default());
    for (mark, id) in (0..).zip(&one_partition(5)) {
        let payload: &[u8] = if mark == 2 { b"stop" } else { b"" };
        rig.submit(mark, body(id, 0, 1, payload));
    }
    rig.settle();
    // Lags are told now and then.
    rig.pass(1_000_000_000);
    rig.cycles(1);
    let lag = |shard| -> u64 { rig.counters.iter().map(|it| it.shards.lag(shard)).sum() };
    assert_eq!((lag(0), lag(1)), (3, 0));
}

/// The position stays before it, so that it comes again after a restart.
#[test]
fn stop_halts_before_its_transaction() {
    let ids = one_partition(5);
    let mut rig = rig(Setup::default());
    for (mark, id) in (0..).zip(&ids) {
        let payload: &[u8] = if mark == 2 { b"stop" } else { b"" };
        rig.submit(mark, body(id, 0, 1, payload));
    }
    rig.settle();
    let failure = rig.statuses[0].failure().unwrap();
    assert!(
        failure.contains("stop") && failure.contains("enough"),
        "{failure}"
    );
    let stored = receipt(&rig.answer(2));
    let partition = partition_of(&stored);
    assert_eq!(rig.storage(partition).position(partition), stored.offset);
    assert_eq!(rig.totals().transactions, 2);
    // Storage works on: receipts still come, and a stop does not hang.
    rig.submit(100, body("later", 0, 1, b""));
    rig.settle();
    receipt(&rig.answer(100));
    rig.command(|| Command::Drain);
    rig.settle();
    let mut rig = rig.crash_and_restart(1);
    rig.settle();
    assert_eq!(rig.storage(partition).position(partition), stored.offset);
    assert!(rig.statuses[0].has_failed(), "it came again");
}

/// Several in one batch and in several partitions, which must not undo each other's progress.
#[test]
fn a_panic_costs_its_transaction_and_nothing_else() {
    for cores in [1, 2] {
        let mut rig = rig(with_cores(cores));
        let payloads: Vec<&str> = (0..32)
            .map(|mark| if mark % 3 == 0 { "panic" } else { "send 1" })
            .collect();
        for (mark, payload) in (0..).zip(&payloads) {
            rig.submit(mark, body(&format!("t{mark}"), 0, 1, payload.as_bytes()));
        }
        rig.settle();
        assert_eq!(rig.count(Counter::HandlerPanics), 11);
        assert_eq!(rig.count(Counter::DeadLettered), 11);
        assert_eq!(
            rig.totals().transactions,
            21,
            "a broken instance counts nothing"
        );
        assert_eq!(rig.topic(OUTPUTS).len(), 21);
        for (_, reason, ..) in dead_letters_with_headers(&mut rig) {
            assert!(reason.contains("panicked") && reason.contains("as the payload says"));
        }
        assert!(rig.statuses.iter().all(|status| !status.has_failed()));
        // Committed, so a restart does not meet it again.
        let mut rig = rig.crash_and_restart(cores);
        rig.settle();
        assert_eq!(rig.count(Counter::HandlerPanics), 0);
    }
}

/// It belongs to no transaction, so nothing can be rejected for it.
#[test]
fn a_panic_at_the_end_of_a_batch_stops_processing_and_says_so() {
    let mut rig = rig(Setup::default());
    submit_all(&mut rig, &["late"]);
    rig.settle();
    let failure = rig.statuses[0].failure().unwrap();
    assert!(failure.contains("panicked after a batch"), "{failure}");
    assert_eq!(rig.totals().transactions, 0);
    receipt(&rig.answer(0));
}

/// Whatever lies in a shard's topic: nothing stands still because of it.
#[test]
fn what_is_no_transaction_becomes_a_dead_letter() {
    let mut rig = rig(Setup::default());
    submit_all(&mut rig, &["", ""]);
    rig.settle();
    let mut foreign = Outputs::new(4096);
    foreign
        .send(TopicId(0), b"foreign", b"no transaction")
        .unwrap();
    let (now, at) = (rig.now, PartitionId(0));
    let position = rig.storage(at).position(at);
    rig.storage(at).commit(now, at, position, &foreign).unwrap();
    rig.settle();
    rig.submit(9, body("after", 0, 1, b""));
    rig.settle();
    let letters = dead_letters_with_headers(&mut rig);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, "foreign");
    assert!(letters[0].1.contains("version"), "{}", letters[0].1);
    assert_eq!(rig.topic(dead_letters(0))[0].1, b"no transaction");
    assert_eq!(rig.totals().transactions, 3);
}

/// Outputs that only do not fit together are written one batch after another; what does not even
/// fit alone is rejected.
#[test]
fn outputs_that_do_not_fit_end_the_batch_or_are_rejected_alone() {
    let ids = one_partition(12);
    let mut rig = rig(Setup {
        outputs_bytes_max: 4096,
        ..Setup::default()
    });
    // The disk stands still meanwhile, so that they are read as one batch.
    rig.set_pace(Pace::Never);
    for (mark, id) in (0..).zip(&ids) {
        let payload = match mark {
            4 => "send 5000",
            _ => "send 1800",
        };
        rig.submit(mark, body(id, 0, 1, payload.as_bytes()));
    }
    rig.cycles(20);
    rig.set_pace(Pace::Polls(3));
    rig.settle();
    assert_eq!(rig.topic(OUTPUTS).len(), 11);
    assert_eq!(rig.totals().transactions, 11);
    let letters = dead_letters_with_headers(&mut rig);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, ids[4]);
    assert!(letters[0].1.contains("4096"), "{}", letters[0].1);
}

/// The same for state that a handler adds when the batch ends.
#[test]
fn state_that_does_not_fit_beside_the_outputs_narrows_the_batch() {
    let ids = one_partition(6);
    let mut rig = rig(Setup {
        outputs_bytes_max: 4096,
        ..Setup::default()
    });
    rig.set_pace(Pace::Never);
    let payloads = ["send 1500", "state 2500", "", "state 5000", "", "send 10"];
    for ((mark, id), payload) in (0..).zip(&ids).zip(payloads) {
        rig.submit(mark, body(id, 0, 1, payload.as_bytes()));
    }
    rig.cycles(20);
    rig.set_pace(Pace::Polls(3));
    rig.settle();
    assert_eq!(rig.statuses[0].failure(), None);
    assert_eq!(rig.totals().transactions, 5);
    let letters = dead_letters_with_headers(&mut rig);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].0, ids[3]);
    assert_eq!(rig.topic(OUTPUTS).len(), 2);
}
