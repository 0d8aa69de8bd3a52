//! What a user writes: the processing of a transaction.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::ids::{PartitionId, ShardId, TopicId};
use crate::storage::{Outputs, OutputsRefused};
use crate::transaction::TransactionRef;

/// Why a transaction was not processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessError {
    /// Not now: the same transaction comes again after `processing.retry_backoff_ms`, and its
    /// partition waits until then; others flow on.
    Retry(Cow<'static, str>),
    /// Never: it goes to `transactions-{shard}.dlq` with this reason, and the rest flows on.
    Reject(Cow<'static, str>),
    /// The node must not go on: nothing of this transaction is written and the node stops.
    Stop(Cow<'static, str>),
}

impl From<OutputsRefused> for ProcessError {
    /// A transaction whose outputs do not fit one atomic group is rejected. Where they only do
    /// not fit beside those of the transactions before it, the engine ends the batch there and
    /// comes back with it as the first of the next one.
    fn from(refused: OutputsRefused) -> ProcessError {
        ProcessError::Reject(refused.to_string().into())
    }
}

/// What the transactions that follow have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchContext {
    /// Their shard.
    pub shard: ShardId,
    /// Their partition.
    pub partition: PartitionId,
}

/// Processes transactions, one after another, in order per partition.
///
/// There is one instance per lane (a stripe of the embedded log; normally one per core). An
/// instance is only ever used by its core. Calls come as `begin`, then `process` for each
/// transaction of a batch, then `commit`.
///
/// What is put out by `process` and `commit`, state included, becomes durable together with the
/// position, in one atomic group: after a crash a batch counts entirely or not at all. A handler
/// that keeps its state through [`Outputs::set_state`] therefore counts every transaction once.
/// If `process` panics, the transaction is rejected, and since the instance may be half-changed, a
/// new one is made from the last committed state and the batch is run again without it. The same
/// happens to a transaction after which the state of `commit` no longer fits the group. A panic in
/// `begin` or `commit`, which belongs to no transaction, stops the node.
pub trait TransactionHandler: 'static {
    /// A batch begins.
    fn begin(&mut self, _batch: BatchContext) {}

    /// Processes one transaction. What it put out before it failed is dropped; what it changed in
    /// `self` is not, so change that last. An error of `out` must be handed on.
    ///
    /// # Errors
    /// Says what shall become of the transaction.
    fn process(
        &mut self,
        transaction: &TransactionRef<'_>,
        out: &mut Outputs,
    ) -> Result<(), ProcessError>;

    /// The batch ends: the place to write the state that it changed.
    ///
    /// # Errors
    /// The state does not fit the group beside the batch's outputs. The batch is run again with one
    /// transaction; one that is too much by itself is rejected. The node stops where not even a
    /// dead letter leaves enough room.
    fn commit(&mut self, _out: &mut Outputs) -> Result<(), OutputsRefused> {
        Ok(())
    }
}

/// What a handler is made from.
#[derive(Debug)]
pub struct HandlerContext<'a> {
    /// The configured topics that a handler may send to, by name.
    pub topics: &'a BTreeMap<String, TopicId>,
    /// The lane's state, as of the last commit.
    pub state: &'a BTreeMap<Vec<u8>, Vec<u8>>,
}

impl HandlerContext<'_> {
    /// The topic of this name, if it is configured.
    pub fn topic(&self, name: &str) -> Option<TopicId> {
        self.topics.get(name).copied()
    }
}

/// Makes a handler for each lane, at start and after a panic. Any `Fn(&HandlerContext) -> H` is
/// one.
pub trait HandlerFactory: Send + Sync + 'static {
    /// What it makes.
    type Handler: TransactionHandler;

    /// Makes an instance from the lane's state.
    fn make(&self, context: &HandlerContext<'_>) -> Self::Handler;
}

impl<H: TransactionHandler, F> HandlerFactory for F
where
    F: Fn(&HandlerContext<'_>) -> H + Send + Sync + 'static,
{
    type Handler = H;

    fn make(&self, context: &HandlerContext<'_>) -> H {
        self(context)
    }
}
