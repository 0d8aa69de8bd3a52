//! Transactions sent to a cluster and read from it, by programs without an engine.
//!
//! Owns: the clients' table of topics, receipts, and positions. Never does: know duplicates, route
//! between clusters, process exactly once; that is the engine's. Runs on: threads of the program
//! and, for [`TransactionProducer`], one thread of its own; never on a shard's core.
//!
//! What is written is what the engine writes, byte for byte and in the same place: the shard
//! nearest to the client, the partition that Kafka's own producers choose for the id, the id as
//! key, the transaction as `docs/transactions.md` says. So both can share topics.
//!
//! - [`TransactionProducer`]: `send_transaction(&tx).await` gives a receipt, on any executor. See
//!   `examples/producer.rs`.
//! - [`PolledProducer`]: the same for a loop that polls and never waits.
//! - [`TransactionConsumer`]: `process_transactions(handler)`, at least once. See
//!   `examples/consumer.rs`.
//! - [`ShardTopics`]: the topics of a [`crate::geo::ShardManager`]'s shards;
//!   [`crate::kafka::admin`] creates them.

mod bell;
mod consumer;
mod exchange;
mod options;
mod polled;
mod positions;
mod producer;
mod records;
mod shards;
mod slots;

pub use crate::kafka::native::Persisted;
pub use consumer::{StopHandle, TransactionConsumer};
pub use options::{ClientOptions, ConnectError};
pub use polled::{PolledProducer, Report, SendError, TrySendError};
pub use producer::{Delivery, FlushTimeout, TransactionProducer};
pub use records::{ConsumeError, Malformed, OnMalformed, Partitions, Place};
pub use shards::{ShardTopic, ShardTopics, ShardTopicsError};
