//! Why a transaction was not taken, and why a connection ends.

use std::fmt;

use crate::transaction::{CodecError, TransactionError};

/// Why a transaction got no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    /// The bytes are no transaction of a version that the node reads, or its id is empty or too
    /// long.
    MalformedTransaction = 1,
    /// Latitude or longitude is out of range or not a number.
    BadLocation = 2,
    /// The payload exceeds the configured bound.
    PayloadTooLarge = 3,
    /// More is in flight than the connection or the node allows. Wait for answers, then send
    /// again.
    Overloaded = 4,
    /// Storage takes nothing now, e.g. no space is left. Nothing was written.
    StorageUnavailable = 5,
    /// Storage failed after the transaction was taken: whether it is stored shows at the node's
    /// next start.
    StorageFailed = 6,
    /// The node is stopping and takes nothing new.
    ShuttingDown = 7,
}

/// What a rejection says about the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not stored and will not be.
    NotTaken,
    /// It may or may not be stored. Sending it again with the same id settles it.
    Unknown,
}

impl ErrorCode {
    /// Every code, in the order of their numbers.
    pub const ALL: [ErrorCode; 7] = [
        ErrorCode::MalformedTransaction,
        ErrorCode::BadLocation,
        ErrorCode::PayloadTooLarge,
        ErrorCode::Overloaded,
        ErrorCode::StorageUnavailable,
        ErrorCode::StorageFailed,
        ErrorCode::ShuttingDown,
    ];

    /// The code with this number, if there is one.
    pub fn from_wire(code: u16) -> Option<ErrorCode> {
        let index = usize::from(code).checked_sub(1)?;
        ErrorCode::ALL.get(index).copied()
    }

    /// Whether the same transaction may succeed when it is sent again later with the same id.
    pub const fn is_retriable(self) -> bool {
        match self {
            ErrorCode::MalformedTransaction
            | ErrorCode::BadLocation
            | ErrorCode::PayloadTooLarge => false,
            ErrorCode::Overloaded
            | ErrorCode::StorageUnavailable
            | ErrorCode::StorageFailed
            | ErrorCode::ShuttingDown => true,
        }
    }

    /// Whether the transaction may be stored all the same.
    pub const fn outcome(self) -> Outcome {
        match self {
            ErrorCode::MalformedTransaction
            | ErrorCode::BadLocation
            | ErrorCode::PayloadTooLarge
            | ErrorCode::Overloaded
            | ErrorCode::StorageUnavailable
            | ErrorCode::ShuttingDown => Outcome::NotTaken,
            ErrorCode::StorageFailed => Outcome::Unknown,
        }
    }

    /// The name used in documents, logs and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorCode::MalformedTransaction => "malformed_transaction",
            ErrorCode::BadLocation => "bad_location",
            ErrorCode::PayloadTooLarge => "payload_too_large",
            ErrorCode::Overloaded => "overloaded",
            ErrorCode::StorageUnavailable => "storage_unavailable",
            ErrorCode::StorageFailed => "storage_failed",
            ErrorCode::ShuttingDown => "shutting_down",
        }
    }
}

impl From<&CodecError> for ErrorCode {
    fn from(error: &CodecError) -> ErrorCode {
        match error {
            CodecError::Location(_) => ErrorCode::BadLocation,
            CodecError::Bound(TransactionError::PayloadLength { .. }) => ErrorCode::PayloadTooLarge,
            CodecError::Bound(TransactionError::IdLength { .. })
            | CodecError::Version { .. }
            | CodecError::Truncated { .. }
            | CodecError::Malformed { .. }
            | CodecError::NotShortest { .. }
            | CodecError::Trailing { .. } => ErrorCode::MalformedTransaction,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the node ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum GoodbyeReason {
    /// The node is stopping. Everything that it had taken was answered before.
    ServerStopping = 1,
    /// The client broke the protocol; the goodbye says at which byte.
    ProtocolError = 2,
    /// The client speaks a version that the node does not.
    UnsupportedVersion = 3,
    /// The node has as many connections as it may have.
    TooManyConnections = 4,
    /// The client did not read its answers, or said no hello, for too long.
    TimedOut = 5,
}

impl GoodbyeReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [GoodbyeReason; 5] = [
        GoodbyeReason::ServerStopping,
        GoodbyeReason::ProtocolError,
        GoodbyeReason::UnsupportedVersion,
        GoodbyeReason::TooManyConnections,
        GoodbyeReason::TimedOut,
    ];

    /// The reason with this number, if there is one.
    pub fn from_wire(reason: u16) -> Option<GoodbyeReason> {
        let index = usize::from(reason).checked_sub(1)?;
        GoodbyeReason::ALL.get(index).copied()
    }

    /// The name used in documents and logs.
    pub const fn name(self) -> &'static str {
        match self {
            GoodbyeReason::ServerStopping => "server_stopping",
            GoodbyeReason::ProtocolError => "protocol_error",
            GoodbyeReason::UnsupportedVersion => "unsupported_version",
            GoodbyeReason::TooManyConnections => "too_many_connections",
            GoodbyeReason::TimedOut => "timed_out",
        }
    }
}

impl fmt::Display for GoodbyeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
