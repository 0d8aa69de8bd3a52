//! The handler that corelane ships: how many transactions each shard had, and of what sum.

use std::collections::BTreeMap;

use crate::ids::ShardId;
use crate::storage::{Outputs, OutputsRefused};
use crate::transaction::TransactionRef;

use super::handler::{BatchContext, HandlerContext, ProcessError, TransactionHandler};

/// First bytes of the ledger's state keys; the shard's number (2 bytes, little endian) follows.
const KEY_PREFIX: &[u8] = b"ledger/";

/// Count and sum of one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Transactions processed.
    pub transactions: u64,
    /// Sum of their amounts, in minor units. Transactions without an amount add nothing.
    pub amount: u128,
}

impl Totals {
    /// Adds what another lane counted.
    pub fn add(&mut self, other: Totals) {
        self.transactions += other.transactions;
        self.amount += other.amount;
    }

    fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.transactions.to_le_bytes());
        bytes[8..].copy_from_slice(&self.amount.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Totals> {
        let (transactions, amount) = bytes.split_at_checked(8)?;
        Some(Totals {
            transactions: u64::from_le_bytes(transactions.try_into().ok()?),
            amount: u128::from_le_bytes(amount.try_into().ok()?),
        })
    }
}

/// Counts and sums per shard; the totals are state and survive restarts.
#[derive(Debug, Default)]
pub struct Ledger {
    totals: BTreeMap<ShardId, Totals>,
    /// The shard of the batch under way, and what it stands at.
    shard: ShardId,
    current: Totals,
}

impl Ledger {
    /// A ledger that goes on from the lane's state.
    pub fn new(context: &HandlerContext<'_>) -> Ledger {
        let pairs = context
            .state
            .iter()
            .map(|(key, value)| (&key[..], &value[..]));
        Ledger {
            totals: totals_in_state(pairs),
            ..Ledger::default()
        }
    }
}

/// Reads the ledger's totals out of a lane's state; other keys are passed over.
pub fn totals_in_state<'a>(
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> BTreeMap<ShardId, Totals> {
    pairs
        .filter_map(|(key, value)| {
            let shard: [u8; 2] = key.strip_prefix(KEY_PREFIX)?.try_into().ok()?;
            Some((ShardId(u16::from_le_bytes(shard)), Totals::decode(value)?))
        })
        .collect()
}

impl TransactionHandler for Ledger {
    fn begin(&mut self, batch: BatchContext) {
        self.shard = batch.shard;
        self.current = self.totals.get(&batch.shard).copied().unwrap_or_default();
    }

    fn process(
        &mut self,
        transaction: &TransactionRef<'_>,
        _out: &mut Outputs,
    ) -> Result<(), ProcessError> {
        self.current.transactions += 1;
        self.current.amount += u128::from(transaction.amount.unwrap_or(0));
        Ok(())
    }

    fn commit(&mut self, out: &mut Outputs) -> Result<(), OutputsRefused> {
        self.totals.insert(self.shard, self.current);
        let mut key = [0; KEY_PREFIX.len() + 2];
        key[..KEY_PREFIX.len()].copy_from_slice(KEY_PREFIX);
        key[KEY_PREFIX.len()..].copy_from_slice(&self.shard.0.to_le_bytes());
        out.set_state(&key, &self.current.encode())
    }
}
