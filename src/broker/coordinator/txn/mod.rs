//! Kafka's transaction coordinator: which producer of a transactional id is the living one, what its
//! transaction has written to, how it ends.
//!
//! Owns: transactional ids and their states, the blocks of producer ids. Never does: I/O, reading a
//! clock, appending markers; that leaves as effects. Runs on: the core that owns stripe 0.
//!
//! It follows Kafka's `TransactionCoordinator` with `transaction.version` 1: producers name each
//! partition before they write to it (AddPartitionsToTxn), and an epoch is bumped by InitProducerId and
//! by fencing only.
//!
//! ```text
//!            InitProducerId            Add...                  EndTxn
//!   (new) ------------------> Empty ----------> Ongoing ------------------> PrepareCommit | PrepareAbort
//!                               ^                 ^ | timeout, or a new producer: Abort,   | marked in
//!                               | InitProducerId  | | the epoch is bumped                  | every partition
//!                               |                 | Add...                                 v
//!                               +-------------- CompleteCommit | CompleteAbort <-----------+
//! ```
//!
//! A state changes in memory only once it is durable. While a change is under way, other requests for
//! this id are told CONCURRENT_TRANSACTIONS, which clients take as "ask again"; one that only adds to
//! the next transaction waits instead, since clients would wait longer (20 ms) than the change takes.
//! A decision is durable before its first marker is appended and before it is answered. The end, once
//! all markers are durable, is stored together with the offsets of the groups in the transaction, or
//! with the last of them where they do not fit one store.
//!
//! A batch is let in only while its partition is part of its producer's transaction (KIP-890): one that
//! comes late would open a transaction that nobody ends.
//!
//! | module | what |
//! |---|---|
//! | `coordinator` | the front: requests in, ends of effects in |
//! | `slot` | one transactional id: its fact, the change under way, when something is due |
//! | `metadata`, `codec` | the durable fact and its transitions; its bytes |
//! | `initialize`, `add`, `end`, `list` | the requests |
//! | `answer` | responses |

mod add;
mod answer;
mod codec;
mod coordinator;
mod end;
mod initialize;
mod list;
mod metadata;
mod options;
mod slot;

#[cfg(test)]
mod tests;

pub use codec::PREFIX;
pub use coordinator::{RestoreError, Transactions};
pub use metadata::Producer;
pub use options::TxnOptions;
