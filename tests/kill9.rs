//! kill -9, a hundred times and more, under load.
//!
//! Invariants, looked at in the files while the node is dead, and once more after a graceful stop:
//! - every receipt's transaction lies at its place, with its id, timestamp and amount;
//! - every id is stored once;
//! - the transactions of a client are in the order of its submitting, per partition;
//! - offsets have no gaps;
//! - the ledger counts exactly the transactions before the committed positions;
//! - in the end, the ledger's totals equal the sum over all receipts.
//!
//! `CORELANE_TEST_SEED` repeats a run's choices (not its timing), `CORELANE_KILL9_ROUNDS` sets the
//! number of rounds.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/load.rs"]
mod load;
#[path = "support/node.rs"]
mod node;
#[path = "support/random.rs"]
mod random;
#[path = "support/stored.rs"]
mod stored;

use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::time::{Duration, Instant};

use corelane::ids::{Offset, PartitionId, PartitionIndex, ShardId};
use corelane::transaction::TxReceipt;
use load::{Load, amount, numbers};
use node::{Node, Setup};
use random::Random;
use stored::{Contents, Stored, Totals};

const CLIENTS: u16 = 4;
const ROUNDS: u32 = 100;
const ROUNDS_PER_CHECK: u32 = 10;

type Receipts = Vec<BTreeMap<u64, TxReceipt>>;

#[test]
fn what_a_receipt_promises_survives_kill_9() {
    let mut random = Random::from_environment("kill9");
    let rounds = std::env::var("CORELANE_KILL9_ROUNDS")
        .map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let started = Instant::now();
    let mut node = Node::start(Setup::with_cores(2));
    let address = node.address();
    let loads: Vec<Load> = (0..CLIENTS).map(|_| Load::default()).collect();
    let duplicates: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .zip(&loads)
            .map(|(client, load)| {
                let (random, address) = (random.fork(), address.as_str());
                scope.spawn(move || load.run(client, address, random))
            })
            .collect();
        let stop_on_panic = StopAll(&loads);
        for round in 1..=rounds {
            die(&mut node, &mut random, round);
            if round % ROUNDS_PER_CHECK == 0 {
                // Before the files are read: every receipt that is out now must be in them.
                let receipts = snapshot(&loads);
                check(&Contents::read(&node.data_dir()), &receipts);
            }
            revive(&mut node, &mut random, round);
        }
        drop(stop_on_panic);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum()
    });
    let status = node.terminate();
    assert!(status.success(), "{status}\n{}", node.stderr());

    let receipts = snapshot(&loads);
    let contents = Contents::read(&node.data_dir());
    check(&contents, &receipts);
    check_end(&contents, &receipts);
    check_verify(&node);
    println!(
        "{rounds} rounds, {} transactions, {duplicates} answered as duplicates, {:.1} s",
        receipts.iter().map(BTreeMap::len).sum::<usize>(),
        started.elapsed().as_secs_f64()
    );
}

/// Lets the clients end, also where the test fails, which would otherwise wait for them.
struct StopAll<'a>(&'a [Load]);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        for load in self.0 {
            load.stop();
        }
    }
}

/// Kills a node that answers, some time into its life.
fn die(node: &mut Node, random: &mut Random, round: u32) {
    let lived = Duration::from_micros(random.within(1_000..250_000));
    std::thread::sleep(lived);
    node.kill9();
    node.note(&format!("round {round}: killed after {lived:?}"));
}

/// Starts the node again, now and then only after it was killed in the middle of its start.
fn revive(node: &mut Node, random: &mut Random, round: u32) {
    node.set_cores(random.within(1..3) as u16);
    while random.within(0..4) == 0 {
        let lived = Duration::from_micros(random.within(1_000..60_000));
        node.spawn();
        std::thread::sleep(lived);
        node.kill9();
        node.note(&format!(
            "round {round}: killed at its start after {lived:?}"
        ));
    }
    node.restart();
}

fn snapshot(loads: &[Load]) -> Receipts {
    loads
        .iter()
        .map(|load| load.receipts.lock().unwrap().clone())
        .collect()
}

/// What holds at any moment.
fn check(contents: &Contents, receipts: &Receipts) {
    let mut by_id: HashMap<&str, &Stored> = HashMap::new();
    for record in contents.records.values().flatten() {
        let twice = by_id.insert(&record.id, record);
        assert_eq!(twice, None, "{} is stored once", record.id);
        let (client, seq) = numbers(&record.id);
        assert_eq!(record.amount, amount(client, seq), "{}", record.id);
    }
    let shards = check_receipts(&by_id, receipts);
    check_order(contents);
    check_ledger(contents, &shards);
}

/// Every receipt tells the truth. Returns the shard of each partition, as the receipts tell it.
fn check_receipts(
    by_id: &HashMap<&str, &Stored>,
    receipts: &Receipts,
) -> BTreeMap<PartitionId, ShardId> {
    let mut places: BTreeMap<PartitionId, (ShardId, PartitionIndex)> = BTreeMap::new();
    for receipt in receipts.iter().flat_map(BTreeMap::values) {
        let id = receipt.id.to_string();
        let Some(stored) = by_id.get(id.as_str()) else {
            panic!("the transaction of {receipt:?} is gone");
        };
        assert_eq!(
            (stored.offset, stored.timestamp),
            (receipt.offset, receipt.timestamp),
            "{receipt:?}"
        );
        let place = (receipt.shard, receipt.partition);
        let first = *places.entry(stored.partition).or_insert(place);
        assert_eq!(first, place, "a partition is of one shard: {receipt:?}");
    }
    let mut named: Vec<_> = places.values().collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), places.len(), "two partitions bear one name");
    places
        .into_iter()
        .map(|(id, (shard, _))| (id, shard))
        .collect()
}

fn check_order(contents: &Contents) {
    for (partition, records) in &contents.records {
        let mut seq_last: BTreeMap<u16, u64> = BTreeMap::new();
        for (at, record) in records.iter().enumerate() {
            assert_eq!(record.offset, Offset(at as i64), "a gap in {partition}");
            let (client, seq) = numbers(&record.id);
            let before = seq_last.insert(client, seq);
            assert!(
                before.is_none_or(|before| before < seq),
                "{} lies behind {before:?} in {partition}",
                record.id
            );
        }
    }
}

/// State and position are one: the ledger has counted what lies before the positions.
fn check_ledger(contents: &Contents, shards: &BTreeMap<PartitionId, ShardId>) {
    let mut expected: BTreeMap<ShardId, Totals> = BTreeMap::new();
    for (partition, records) in &contents.records {
        let position = contents
            .positions
            .get(partition)
            .copied()
            .unwrap_or_default();
        let processed = records.iter().take_while(|record| record.offset < position);
        for record in processed {
            // A partition whose receipts all got lost on the way has no name yet.
            let Some(&shard) = shards.get(partition) else {
                return;
            };
            expected.entry(shard).or_default().add(record.amount);
        }
    }
    assert_eq!(contents.ledger(), expected);
}

/// What holds once everything was answered and processed.
fn check_end(contents: &Contents, receipts: &Receipts) {
    let stored: usize = contents.records.values().map(Vec::len).sum();
    let acknowledged: usize = receipts.iter().map(BTreeMap::len).sum();
    assert_eq!(stored, acknowledged, "all that is stored was acknowledged");
    let mut expected: BTreeMap<ShardId, Totals> = BTreeMap::new();
    for (client, receipts) in (0..).zip(receipts) {
        for (&seq, receipt) in receipts {
            let totals = expected.entry(receipt.shard).or_default();
            totals.add(amount(client, seq));
        }
    }
    assert_eq!(
        contents.ledger(),
        expected,
        "the ledger equals the receipts"
    );
}

/// The command agrees that nothing is wrong.
fn check_verify(node: &Node) {
    let output = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["log", "verify"])
        .arg(node.data_dir())
        .output()
        .expect("the binary was built");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
