//! Transactions: what a client submits, what comes back, and how one is stored.
//!
//! Owns: [`Transaction`] and its borrowed form [`TransactionRef`], [`TransactionId`],
//! [`TxReceipt`], and the one byte format of a transaction ([`codec`]). Never does: I/O, routing,
//! deciding what is a duplicate. Runs on: any thread.

pub mod codec;
mod id;
mod receipt;

#[cfg(test)]
mod tests;

pub use codec::CodecError;
pub use id::TransactionId;
pub use receipt::{Submission, TxReceipt};

use crate::ids::UnixMicros;
use crate::limits::TRANSACTION_ID_BYTES_MAX;
use crate::location::GeoLocation;

/// A transaction that owns its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// Names the transaction: submitted again under the same id, it is a duplicate.
    pub id: TransactionId,
    /// Where the client is; decides the shard.
    pub client_location: GeoLocation,
    /// When the client submitted it, by the client's clock. Shown, never trusted.
    pub submitted_at: UnixMicros,
    /// Count of minor units (cents, satoshi), where the transaction has one.
    pub amount: Option<u64>,
    /// Opaque to the engine; at most [`crate::limits::PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Vec<u8>,
}

/// A transaction whose id and payload point into a buffer that someone else owns.
///
/// The id is 1 to [`TRANSACTION_ID_BYTES_MAX`] bytes in everything that [`codec`] decodes; one
/// put together by hand is checked when it is encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransactionRef<'a> {
    /// As [`Transaction::id`].
    pub id: &'a [u8],
    /// As [`Transaction::client_location`].
    pub client_location: GeoLocation,
    /// As [`Transaction::submitted_at`].
    pub submitted_at: UnixMicros,
    /// As [`Transaction::amount`].
    pub amount: Option<u64>,
    /// As [`Transaction::payload`].
    pub payload: &'a [u8],
}

/// Why something is no transaction: a bound is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The id has no bytes or too many.
    #[error("id has {bytes} bytes; allowed: 1 to {TRANSACTION_ID_BYTES_MAX}")]
    IdLength {
        /// Its length.
        bytes: usize,
    },
    /// The payload is longer than the bound that applies.
    #[error("payload has {bytes} bytes; allowed: 0 to {bytes_max}")]
    PayloadLength {
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
}

impl Transaction {
    /// The same transaction, borrowed.
    #[inline]
    pub fn borrowed(&self) -> TransactionRef<'_> {
        TransactionRef {
            id: self.id.as_bytes(),
            client_location: self.client_location,
            submitted_at: self.submitted_at,
            amount: self.amount,
            payload: &self.payload,
        }
    }
}

impl TransactionRef<'_> {
    /// The id as a value of its own.
    ///
    /// # Errors
    /// The id is empty or too long. Never for what [`codec`] decoded.
    #[inline]
    pub fn transaction_id(&self) -> Result<TransactionId, TransactionError> {
        TransactionId::new(self.id)
    }

    /// The same transaction with bytes of its own. Allocates for the payload.
    ///
    /// # Errors
    /// The id is empty or too long. Never for what [`codec`] decoded.
    pub fn to_transaction(&self) -> Result<Transaction, TransactionError> {
        Ok(Transaction {
            id: self.transaction_id()?,
            client_location: self.client_location,
            submitted_at: self.submitted_at,
            amount: self.amount,
            payload: self.payload.to_vec(),
        })
    }
}

impl<'a> From<&'a Transaction> for TransactionRef<'a> {
    fn from(transaction: &'a Transaction) -> TransactionRef<'a> {
        transaction.borrowed()
    }
}

impl TryFrom<TransactionRef<'_>> for Transaction {
    type Error = TransactionError;

    fn try_from(transaction: TransactionRef<'_>) -> Result<Transaction, TransactionError> {
        transaction.to_transaction()
    }
}
