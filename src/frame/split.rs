//! From a stream of bytes to single frames.

use std::ops::RangeInclusive;

use super::code::GoodbyeReason;
use super::{CLIENT_NAME_BYTES_MAX, HEADER_BYTES, MESSAGE_BYTES_MAX, VERSION};
use crate::limits::GATEWAY_FRAME_BYTES_MAX;
use crate::telemetry::TRACE_CONTEXT_BYTES;

/// What a frame is. The highest bit tells the direction: clear from the client, set from the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client: the first frame of a connection.
    Hello = 0x01,
    /// Client: one transaction.
    Submit = 0x02,
    /// Client: are you there?
    Ping = 0x03,
    /// Client: one transaction, with the context of its trace.
    SubmitTraced = 0x04,
    /// Node: the answer to a hello.
    Welcome = 0x81,
    /// Node: a transaction was taken at the level asked for.
    Receipt = 0x82,
    /// Node: a transaction was not taken, or its fate is unknown.
    Rejected = 0x83,
    /// Node: the answer to a ping.
    Pong = 0x84,
    /// Node: the last frame of a connection.
    Goodbye = 0x85,
}

impl Kind {
    /// The kind with this number, if there is one.
    #[inline]
    pub const fn from_wire(byte: u8) -> Option<Kind> {
        match byte {
            0x01 => Some(Kind::Hello),
            0x02 => Some(Kind::Submit),
            0x03 => Some(Kind::Ping),
            0x04 => Some(Kind::SubmitTraced),
            0x81 => Some(Kind::Welcome),
            0x82 => Some(Kind::Receipt),
            0x83 => Some(Kind::Rejected),
            0x84 => Some(Kind::Pong),
            0x85 => Some(Kind::Goodbye),
            _ => None,
        }
    }

    /// Bytes that a body of this kind may have.
    #[inline]
    pub const fn body_bytes(self) -> RangeInclusive<usize> {
        match self {
            Kind::Hello => 6..=6 + CLIENT_NAME_BYTES_MAX,
            // An empty transaction is a bad transaction, not a bad frame.
            Kind::Submit => 9..=GATEWAY_FRAME_BYTES_MAX - HEADER_BYTES,
            Kind::SubmitTraced => 9 + TRACE_CONTEXT_BYTES..=GATEWAY_FRAME_BYTES_MAX - HEADER_BYTES,
            Kind::Ping | Kind::Pong => 8..=8,
            Kind::Welcome => 14..=14,
            Kind::Receipt => 32..=32,
            Kind::Rejected => 10..=10 + MESSAGE_BYTES_MAX,
            Kind::Goodbye => 10..=10 + MESSAGE_BYTES_MAX,
        }
    }
}

/// One whole frame, borrowed from the buffer it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// All of its bytes, from the first of its length to the last of its body. The next frame
    /// starts this many bytes further.
    pub bytes: &'a [u8],
}

/// What the bytes that have arrived so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A frame that is not all there yet.
    Incomplete {
        /// Bytes of the frame as far as it is known: of its header until that has arrived, of the
        /// whole frame from then on. Always more than were given, never more than the bound.
        need: usize,
    },
    /// The first frame of the bytes.
    Frame(Frame<'a>),
}

/// A breach of the protocol. The connection cannot go on: where the next frame starts is unknown,
/// or the peer is not what it seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (byte {position} of the frame)")]
pub struct ProtocolError {
    /// The byte at fault, counted from the first byte of the frame's length.
    pub position: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The frame claims more bytes than are allowed.
    #[error("a frame of {frame_bytes} bytes is announced; allowed: up to {frame_bytes_max}")]
    Oversize {
        /// Bytes of the whole frame by its own account.
        frame_bytes: u64,
        /// The bound.
        frame_bytes_max: usize,
    },
    /// The frame has no kind.
    #[error("a frame of length 0 is announced; allowed: 1 and more")]
    Empty,
    /// No kind has this number.
    #[error("frame kind {0:#04x} is unknown")]
    UnknownKind(u8),
    /// A known kind, but not in this direction or not at this point.
    #[error("a {0:?} frame may not come here")]
    Unexpected(Kind),
    /// The body is shorter or longer than its kind allows.
    #[error("a {kind:?} body of {body_bytes} bytes is announced; allowed: {min} to {max}")]
    BodyLength {
        /// The frame's kind.
        kind: Kind,
        /// Bytes of the body by the frame's own account.
        body_bytes: usize,
        /// Bytes that it must have at least.
        min: usize,
        /// Bytes that it may have at most.
        max: usize,
    },
    /// The first frame does not start with `CLGW`.
    #[error("the magic bytes are wrong: this is no gateway client")]
    Magic,
    /// Another version of the protocol.
    #[error("protocol version {0} is not spoken here; allowed: {VERSION}")]
    Version(u16),
    /// A text that is not UTF-8.
    #[error("field {0} is not valid UTF-8")]
    Utf8(&'static str),
    /// A number without a meaning in its field.
    #[error("field {field} has the unknown value {value}")]
    Value {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

impl ProtocolError {
    /// A frame of a kind that may not come at this point of the conversation.
    pub const fn unexpected(kind: Kind) -> ProtocolError {
        ProtocolError {
            position: HEADER_BYTES - 1,
            fault: Fault::Unexpected(kind),
        }
    }

    /// The reason to give the peer in a [`super::Goodbye`].
    pub const fn reason(&self) -> GoodbyeReason {
        match self.fault {
            Fault::Version(_) => GoodbyeReason::UnsupportedVersion,
            Fault::Oversize { .. }
            | Fault::Empty
            | Fault::UnknownKind(_)
            | Fault::Unexpected(_)
            | Fault::BodyLength { .. }
            | Fault::Magic
            | Fault::Utf8(_)
            | Fault::Value { .. } => GoodbyeReason::ProtocolError,
        }
    }
}

/// Finds the first frame in `bytes`, which start where a frame starts. A length or kind that
/// cannot be is refused as soon as its own bytes are there, before any of the body.
///
/// `frame_bytes_max` bounds the whole frame, header included; it is lowered to
/// [`GATEWAY_FRAME_BYTES_MAX`] where it is above that.
///
/// # Errors
/// The length exceeds the bound or does not fit the kind, or the kind is unknown.
#[inline]
pub fn split(bytes: &[u8], frame_bytes_max: usize) -> Result<Split<'_>, ProtocolError> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(Split::Incomplete { need: HEADER_BYTES });
    };
    let length = u32::from_le_bytes(*length);
    let frame_bytes_max = frame_bytes_max.min(GATEWAY_FRAME_BYTES_MAX);
    let frame_bytes = u64::from(length) + 4;
    if frame_bytes > frame_bytes_max as u64 {
        let fault = Fault::Oversize {
            frame_bytes,
            frame_bytes_max,
        };
        return Err(ProtocolError { position: 0, fault });
    }
    let Some(body_bytes) = (length as usize).checked_sub(1) else {
        let fault = Fault::Empty;
        return Err(ProtocolError { position: 0, fault });
    };
    let Some(&kind) = rest.first() else {
        return Ok(Split::Incomplete { need: HEADER_BYTES });
    };
    let Some(kind) = Kind::from_wire(kind) else {
        let fault = Fault::UnknownKind(kind);
        return Err(ProtocolError { position: 4, fault });
    };
    let allowed = kind.body_bytes();
    if !allowed.contains(&body_bytes) {
        let fault = Fault::BodyLength {
            kind,
            body_bytes,
            min: *allowed.start(),
            max: *allowed.end(),
        };
        return Err(ProtocolError { position: 0, fault });
    }
    let need = HEADER_BYTES + body_bytes;
    match bytes.get(..need) {
        Some(bytes) => Ok(Split::Frame(Frame { kind, bytes })),
        None => Ok(Split::Incomplete { need }),
    }
}
