//! Frames that a node sends: welcome, receipt, rejected, pong, goodbye.

use super::body::{BodyReader, FixedWriter, cut, length_field};
use super::code::{ErrorCode, GoodbyeReason};
use super::split::{Frame, Kind, ProtocolError};
use super::{Correlation, HEADER_BYTES, MESSAGE_BYTES_MAX};
use crate::ids::{Acks, Offset, PartitionIndex, ShardId, UnixMillis};
use crate::transaction::{Submission, TransactionId, TxReceipt};

/// Bytes of a welcome frame.
pub const WELCOME_FRAME_BYTES: usize = HEADER_BYTES + 14;

/// Bytes of a receipt frame.
pub const RECEIPT_FRAME_BYTES: usize = HEADER_BYTES + 32;

/// Bytes of a pong frame.
pub const PONG_FRAME_BYTES: usize = HEADER_BYTES + 8;

const FLAG_DUPLICATE: u8 = 1;

/// A goodbye's position where no byte is at fault.
const NO_POSITION: u64 = u64::MAX;

/// The answer to a hello: what the node speaks and allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Version of the protocol that the node speaks.
    pub version: u16,
    /// Transactions that may be without an answer on this connection.
    pub in_flight_max: u32,
    /// Bytes of the longest frame that the node reads, header included.
    pub frame_bytes_max: u32,
    /// The node's number, as configured.
    pub node_id: u32,
}

/// A transaction was taken at the level that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Of the submit that this answers.
    pub correlation: Correlation,
    /// The shard that the transaction went to.
    pub shard: ShardId,
    /// The partition of the shard's topic.
    pub partition: PartitionIndex,
    /// Its offset there.
    pub offset: Offset,
    /// Its timestamp there.
    pub timestamp: UnixMillis,
    /// The level reached: at least what was asked for.
    pub acks: Acks,
    /// Whether this submit put it there.
    pub submission: Submission,
}

/// A transaction got no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected<'a> {
    /// Of the submit that this answers.
    pub correlation: Correlation,
    /// Why.
    pub code: ErrorCode,
    /// Why, in words; cut at [`MESSAGE_BYTES_MAX`] bytes.
    pub message: &'a str,
}

/// The last frame of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye<'a> {
    /// Why the node ends it.
    pub reason: GoodbyeReason,
    /// The byte at fault, counted from the first byte that the client sent; `None` where the
    /// client is not at fault.
    pub position: Option<u64>,
    /// Why, in words; cut at [`MESSAGE_BYTES_MAX`] bytes.
    pub message: &'a str,
}

/// A frame from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerFrame<'a> {
    /// The answer to a hello.
    Welcome(Welcome),
    /// A transaction was taken.
    Receipt(Receipt),
    /// A transaction got no receipt.
    Rejected(Rejected<'a>),
    /// The answer to a ping.
    Pong {
        /// The ping's.
        token: u64,
    },
    /// The last frame of a connection.
    Goodbye(Goodbye<'a>),
}

impl<'a> ServerFrame<'a> {
    /// Reads a frame that [`super::split`] found. Copies nothing.
    ///
    /// # Errors
    /// The frame is one that only a client sends, or a field means nothing.
    pub fn decode(frame: Frame<'a>) -> Result<ServerFrame<'a>, ProtocolError> {
        match frame.kind {
            Kind::Receipt => Receipt::decode(frame).map(ServerFrame::Receipt),
            Kind::Rejected => Rejected::decode(frame).map(ServerFrame::Rejected),
            Kind::Welcome => Welcome::decode(frame).map(ServerFrame::Welcome),
            Kind::Pong => {
                let mut body = BodyReader::new(frame);
                let token = body.u64()?;
                body.end()?;
                Ok(ServerFrame::Pong { token })
            }
            Kind::Goodbye => Goodbye::decode(frame).map(ServerFrame::Goodbye),
            Kind::Hello | Kind::Submit | Kind::SubmitTraced | Kind::Ping => {
                Err(ProtocolError::unexpected(frame.kind))
            }
        }
    }
}

impl Welcome {
    fn decode(frame: Frame<'_>) -> Result<Welcome, ProtocolError> {
        let mut body = BodyReader::new(frame);
        let welcome = Welcome {
            version: body.u16()?,
            in_flight_max: body.u32()?,
            frame_bytes_max: body.u32()?,
            node_id: body.u32()?,
        };
        body.end()?;
        Ok(welcome)
    }

    /// The frame's bytes.
    pub fn encode(&self) -> [u8; WELCOME_FRAME_BYTES] {
        let mut frame = FixedWriter::new(Kind::Welcome);
        frame.put(&self.version.to_le_bytes());
        frame.put(&self.in_flight_max.to_le_bytes());
        frame.put(&self.frame_bytes_max.to_le_bytes());
        frame.put(&self.node_id.to_le_bytes());
        frame.finish()
    }
}

impl Receipt {
    fn decode(frame: Frame<'_>) -> Result<Receipt, ProtocolError> {
        let mut body = BodyReader::new(frame);
        let correlation = Correlation(body.u64()?);
        let shard = ShardId(body.u16()?);
        let partition = PartitionIndex(body.u32()?);
        let offset = Offset(body.i64()?);
        let timestamp = UnixMillis(body.i64()?);
        let acks = body.u8()?;
        let Some(acks) = Acks::from_wire(acks) else {
            return Err(body.value_error("acks", 1, acks.into()));
        };
        let flags = body.u8()?;
        let submission = match flags {
            0 => Submission::First,
            FLAG_DUPLICATE => Submission::Duplicate,
            _ => return Err(body.value_error("flags", 1, flags.into())),
        };
        body.end()?;
        Ok(Receipt {
            correlation,
            shard,
            partition,
            offset,
            timestamp,
            acks,
            submission,
        })
    }

    /// As the submitter of transaction `id` sees it.
    pub fn for_transaction(&self, id: TransactionId) -> TxReceipt {
        TxReceipt {
            id,
            shard: self.shard,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            acks: self.acks,
            submission: self.submission,
        }
    }

    /// The frame's bytes.
    #[inline]
    pub fn encode(&self) -> [u8; RECEIPT_FRAME_BYTES] {
        let mut frame = FixedWriter::new(Kind::Receipt);
        frame.put(&self.correlation.0.to_le_bytes());
        frame.put(&self.shard.0.to_le_bytes());
        frame.put(&self.partition.0.to_le_bytes());
        frame.put(&self.offset.0.to_le_bytes());
        frame.put(&self.timestamp.0.to_le_bytes());
        let flags = match self.submission {
            Submission::First => 0,
            Submission::Duplicate => FLAG_DUPLICATE,
        };
        frame.put(&[self.acks as u8, flags]);
        frame.finish()
    }
}

impl<'a> Rejected<'a> {
    fn decode(frame: Frame<'a>) -> Result<Rejected<'a>, ProtocolError> {
        let mut body = BodyReader::new(frame);
        let correlation = Correlation(body.u64()?);
        let code = body.u16()?;
        let Some(code) = ErrorCode::from_wire(code) else {
            return Err(body.value_error("code", 2, code.into()));
        };
        Ok(Rejected {
            correlation,
            code,
            message: body.text("message")?,
        })
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let message = cut(self.message, MESSAGE_BYTES_MAX);
        out.extend_from_slice(&length_field(10 + message.len()));
        out.push(Kind::Rejected as u8);
        out.extend_from_slice(&self.correlation.0.to_le_bytes());
        out.extend_from_slice(&(self.code as u16).to_le_bytes());
        out.extend_from_slice(message.as_bytes());
    }
}

/// The bytes of a pong.
pub fn encode_pong(token: u64) -> [u8; PONG_FRAME_BYTES] {
    let mut frame = FixedWriter::new(Kind::Pong);
    frame.put(&token.to_le_bytes());
    frame.finish()
}

impl<'a> Goodbye<'a> {
    fn decode(frame: Frame<'a>) -> Result<Goodbye<'a>, ProtocolError> {
        let mut body = BodyReader::new(frame);
        let reason = body.u16()?;
        let Some(reason) = GoodbyeReason::from_wire(reason) else {
            return Err(body.value_error("reason", 2, reason.into()));
        };
        let position = body.u64()?;
        Ok(Goodbye {
            reason,
            position: (position != NO_POSITION).then_some(position),
            message: body.text("message")?,
        })
    }

    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let message = cut(self.message, MESSAGE_BYTES_MAX);
        out.extend_from_slice(&length_field(10 + message.len()));
        out.push(Kind::Goodbye as u8);
        out.extend_from_slice(&(self.reason as u16).to_le_bytes());
        out.extend_from_slice(&self.position.unwrap_or(NO_POSITION).to_le_bytes());
        out.extend_from_slice(message.as_bytes());
    }
}
