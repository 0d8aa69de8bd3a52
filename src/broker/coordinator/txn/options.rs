//! Bounds of transactions.
//!
//! Owns: their defaults. Never does: read the configuration. Runs on: any thread.

/// Bounds of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnOptions {
    /// Longest timeout that a producer may ask for, in milliseconds. Kafka's
    /// `transaction.max.timeout.ms`, 15 minutes.
    pub timeout_max_ms: i32,
    /// After how much idle time a transactional id is forgotten, in milliseconds. Kafka's
    /// `transactional.id.expiration.ms`, 7 days.
    pub expiration_ms: u64,
    /// After how long something that was refused for want of space is tried again, in milliseconds.
    pub retry_ms: u64,
    /// Most bytes that the partitions and groups of one transaction may take in storage. Kafka has no
    /// such limit, but what does not fit one write of the log could never be stored.
    pub content_bytes_max: usize,
    /// Most bytes of groups' offsets in one store of a transaction's end; those of one group are never
    /// divided. Together with the fact they have to fit one write of the log.
    pub end_bytes_max: usize,
}

impl Default for TxnOptions {
    fn default() -> TxnOptions {
        TxnOptions {
            timeout_max_ms: 900_000,
            expiration_ms: 7 * 24 * 60 * 60 * 1000,
            retry_ms: 500,
            content_bytes_max: 2 << 20,
            end_bytes_max: 2 << 20,
        }
    }
}
