//! What exactly once means, as a third party's client reads it from the cluster: receipts, outputs
//! and the ledger's totals against each other.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::{BTreeMap, BTreeSet};

use corelane::engine::ledger::{Totals, totals_in_state};
use corelane::ids::ShardId;
use corelane::transaction::TxReceipt;

use super::echo::{EchoSetup, OUTPUTS};
use super::kafka::{Isolation, KafkaCluster, Record};
use super::load::{amount, numbers};

/// Everything that must hold once all is answered and processed.
pub fn judge(cluster: &KafkaCluster, receipts: &BTreeMap<String, TxReceipt>) {
    let places = receipts_are_true(cluster, receipts);
    outputs_are_there_once(cluster, receipts);
    let ledger = ledger(cluster);
    assert_eq!(
        sum(ledger.values()),
        sum_of_receipts(receipts),
        "{ledger:?}"
    );
    println!(
        "{} receipts, {} records in the shards, all counted once",
        receipts.len(),
        places
    );
}

/// The transaction of each receipt lies where the receipt says. Returns how many records there are.
fn receipts_are_true(cluster: &KafkaCluster, receipts: &BTreeMap<String, TxReceipt>) -> usize {
    let mut count = 0;
    for (shard, topic) in EchoSetup::shards() {
        let records = cluster.consume_all(topic, Isolation::ReadCommitted);
        count += records.len();
        let by_place: BTreeMap<(u32, i64), &Record> = records
            .iter()
            .map(|record| ((record.partition as u32, record.offset), record))
            .collect();
        for receipt in receipts.values().filter(|receipt| receipt.shard == shard) {
            let place = (receipt.partition.0, receipt.offset.0);
            let key = by_place.get(&place).and_then(|record| record.key.clone());
            let id = receipt.id.as_bytes().to_vec();
            assert_eq!(key, Some(id), "{receipt:?}");
        }
    }
    assert!(count >= receipts.len(), "each receipt has a record");
    count
}

/// What must hold with `at_least_once` in place of `exactly_once`: outputs may be there more often.
pub fn judge_at_least_once(cluster: &KafkaCluster, receipts: &BTreeMap<String, TxReceipt>) {
    receipts_are_true(cluster, receipts);
    let outputs = cluster.consume_all(OUTPUTS, Isolation::ReadCommitted);
    let seen: BTreeSet<Vec<u8>> = outputs.into_iter().filter_map(|o| o.key).collect();
    let is_lost = |id: &&String| !seen.contains(id.as_bytes());
    let lost: Vec<_> = receipts.keys().filter(is_lost).collect();
    assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    assert_eq!(seen.len(), receipts.len(), "outputs of nothing");
}

fn outputs_are_there_once(cluster: &KafkaCluster, receipts: &BTreeMap<String, TxReceipt>) {
    let mut seen = BTreeSet::new();
    let mut twice = Vec::new();
    for record in cluster.consume_all(OUTPUTS, Isolation::ReadCommitted) {
        let place = (record.partition, record.offset);
        let id = String::from_utf8(record.key.expect("the handler sets it")).expect("an id");
        if !seen.insert(id.clone()) {
            twice.push((id, place));
        }
    }
    assert!(twice.is_empty(), "{} twice: {twice:?}", twice.len());
    let lost: Vec<_> = receipts.keys().filter(|id| !seen.contains(*id)).collect();
    assert!(lost.is_empty(), "{} lost: {lost:?}", lost.len());
    assert_eq!(seen.len(), receipts.len(), "outputs of nothing");
}

/// The totals by shard, from the topics of the lanes' state.
fn ledger(cluster: &KafkaCluster) -> BTreeMap<ShardId, Totals> {
    let mut ledger: BTreeMap<ShardId, Totals> = BTreeMap::new();
    for topic in EchoSetup::shards().into_values() {
        let topic = format!("{topic}.state");
        let mut lanes: BTreeMap<i32, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
        // The last value of each key counts.
        for record in cluster.consume_all(&topic, Isolation::ReadCommitted) {
            let lane = lanes.entry(record.partition).or_default();
            let key = record.key.expect("state has keys");
            lane.insert(key, record.value.expect("the ledger removes nothing"));
        }
        for lane in lanes.values() {
            let pairs = lane.iter().map(|(key, value)| (&key[..], &value[..]));
            for (shard, totals) in totals_in_state(pairs) {
                ledger.entry(shard).or_default().add(totals);
            }
        }
    }
    ledger
}

/// What all shards together counted.
pub fn sum<'a>(totals: impl Iterator<Item = &'a Totals>) -> Totals {
    totals.fold(Totals::default(), |mut sum, totals| {
        sum.add(*totals);
        sum
    })
}

/// What the ledger must have counted.
pub fn sum_of_receipts(receipts: &BTreeMap<String, TxReceipt>) -> Totals {
    let mut sum = Totals::default();
    for id in receipts.keys() {
        let (client, seq) = numbers(id);
        sum.add(Totals {
            transactions: 1,
            amount: amount(client, seq).into(),
        });
    }
    sum
}
