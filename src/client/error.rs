//! What can go wrong for a client.

use std::io;

use super::stream::Address;
use crate::frame::{Correlation, ErrorCode, Fault, GoodbyeReason, ProtocolError};
use crate::transaction::TransactionError;

/// The node's answer where a transaction got no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Rejection {
    /// Why; tells whether another try may help and whether the transaction may be stored.
    pub code: ErrorCode,
    /// Why, in the node's words.
    pub message: String,
}

/// Why a call of the client failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none.
    #[error("{0}")]
    Address(String),
    /// No connection came about.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The socket failed. What was unanswered is unknown.
    #[error("the connection failed while {stage}: {source}")]
    Io {
        /// What was being done.
        stage: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Nothing happened for the configured time. The connection can go on being used.
    #[error("timed out while {stage}")]
    TimedOut {
        /// What was being waited for.
        stage: &'static str,
    },
    /// The node sent something that is not the protocol.
    #[error("the node broke the protocol at byte {position} of the connection: {error}")]
    Protocol {
        /// The byte at fault, counted from the first that the node sent.
        position: u64,
        /// What is wrong.
        error: ProtocolError,
    },
    /// The node answered what was not asked.
    #[error("the node answered correlation {0}, which is not in flight")]
    UnknownCorrelation(Correlation),
    /// The node ended the connection. What was unanswered is unknown.
    #[error("the node ended the connection: {reason}{}: {message}", at_byte(*.position))]
    Goodbye {
        /// Why.
        reason: GoodbyeReason,
        /// The byte at fault, counted from the first that this client sent, if it was at fault.
        position: Option<u64>,
        /// Why, in the node's words.
        message: String,
    },
    /// The connection is closed. Where `unanswered` is 0, nothing is lost by it.
    #[error("the connection is closed; {unanswered} submitted transactions are unanswered")]
    Closed {
        /// Submits that got no answer.
        unanswered: usize,
    },
    /// As much is unanswered as may be: take an answer first. Nothing was submitted.
    #[error("{in_flight_max} transactions are unanswered, as many as may be")]
    WindowFull {
        /// The bound.
        in_flight_max: usize,
    },
    /// The transaction breaks a bound. Nothing was submitted.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The transaction exceeds what the node reads. Nothing was submitted.
    #[error("the transaction is too long for this node: {0}")]
    TooLong(Fault),
    /// The node gave a transaction no receipt.
    #[error("the transaction was rejected: {0}")]
    Rejected(#[from] Rejection),
    /// Every attempt failed. What was unanswered is unknown.
    #[error("gave up after {attempts} attempts: {last}")]
    GaveUp {
        /// How many.
        attempts: u32,
        /// How the last one failed.
        last: Box<ClientError>,
    },
}

fn at_byte(position: Option<u64>) -> String {
    position.map_or_else(String::new, |position| format!(" at byte {position}"))
}

impl ClientError {
    /// Whether a new connection may get further.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Connect { .. }
            | ClientError::Io { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Closed { .. } => true,
            ClientError::Goodbye { reason, .. } => match reason {
                GoodbyeReason::ServerStopping
                | GoodbyeReason::TooManyConnections
                | GoodbyeReason::TimedOut => true,
                GoodbyeReason::ProtocolError | GoodbyeReason::UnsupportedVersion => false,
            },
            ClientError::Rejected(rejection) => rejection.code.is_retriable(),
            ClientError::Address(_)
            | ClientError::Protocol { .. }
            | ClientError::UnknownCorrelation(_)
            | ClientError::WindowFull { .. }
            | ClientError::Transaction(_)
            | ClientError::TooLong(_)
            | ClientError::GaveUp { .. } => false,
        }
    }

    /// What an I/O error means: a timeout of ours, or a broken connection.
    pub(super) fn from_io(stage: &'static str, source: io::Error) -> ClientError {
        if matches!(
            source.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ) {
            ClientError::TimedOut { stage }
        } else {
            ClientError::Io { stage, source }
        }
    }
}
