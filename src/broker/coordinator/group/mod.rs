//! Consumer groups by Kafka's classic protocol: who is a member, who assigns what, which offsets are
//! committed.
//!
//! Owns: groups, their members, their offsets. Never does: I/O, reading a clock, deciding what a member
//! is assigned. Runs on: the core that owns stripe 0.

mod options;

use kafka_protocol::messages::{RequestKind, TxnOffsetCommitRequest};

pub use options::GroupOptions;

use super::{Call, Decision, Effect, Outcome, Pair};
use crate::clock::Now;
use crate::ids::Nanos;

/// What all keys of groups begin with.
pub const PREFIX: &[u8] = b"\xffg";

/// Set in every ticket of [`Groups`] and in no other coordinator's.
pub const TICKET_BIT: u64 = 1 << 63;

/// A stored pair that this program did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Its key has no form that is known.
    #[error("the key of a stored fact about a group is not understood")]
    Key,
    /// Its value has not.
    #[error("the value of a stored fact about a group is not understood")]
    Value,
}

/// All groups. `R` says whom to answer.
#[derive(Debug)]
pub struct Groups<R> {
    options: GroupOptions,
    marker: std::marker::PhantomData<R>,
}

#[allow(unused_variables, missing_docs)]
impl<R: Copy> Groups<R> {
    /// `seed`: random, another one for each start of the node; makes member ids unique.
    pub fn new(options: GroupOptions, seed: u64) -> Groups<R> {
        Groups {
            options,
            marker: std::marker::PhantomData,
        }
    }
    /// One stored pair whose key begins with [`PREFIX`], before anything else is called.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        Ok(())
    }
    /// JoinGroup SyncGroup Heartbeat LeaveGroup OffsetCommit OffsetFetch OffsetDelete ListGroups DescribeGroups DeleteGroups.
    /// Every request is answered with exactly one `Effect::Answer`, now or later.
    pub fn handle(
        &mut self,
        call: &Call<'_, R>,
        request: RequestKind,
        effects: &mut Vec<Effect<R>>,
    ) {
    }
    /// The end of an `Effect::Store` whose ticket has `TICKET_BIT`.
    pub fn stored(
        &mut self,
        ticket: u64,
        outcome: Outcome,
        now: Now,
        effects: &mut Vec<Effect<R>>,
    ) {
    }
    /// Does what is due.
    pub fn tick(&mut self, now: Now, effects: &mut Vec<Effect<R>>) {}
    pub fn next_deadline(&self) -> Option<Nanos> {
        None
    }
    /// A topic was deleted: its offsets go.
    pub fn forget_topic(&mut self, name: &str, effects: &mut Vec<Effect<R>>) {}
    /// TxnOffsetCommit, after the transaction coordinator has checked the transaction: checks the member, stores, answers.
    pub fn txn_offset_commit(
        &mut self,
        call: &Call<'_, R>,
        request: TxnOffsetCommitRequest,
        effects: &mut Vec<Effect<R>>,
    ) {
    }
    /// What ends the transaction's offsets: to be stored with the fact that the transaction has ended. Changes nothing yet.
    pub fn end_transaction(&self, producer_id: i64, group: &str, decision: Decision) -> Vec<Pair> {
        Vec::new()
    }
    /// The pairs of `end_transaction` are durable.
    pub fn applied(&mut self, producer_id: i64, group: &str, decision: Decision) {}
}
