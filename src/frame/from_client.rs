//! Frames that a client sends: hello, submit, traced or not, ping.

use std::ops::Range;

use super::body::{BodyReader, cut, length_field};
use super::split::{Fault, Frame, Kind, ProtocolError};
use super::{CLIENT_NAME_BYTES_MAX, Correlation, HEADER_BYTES, MAGIC, VERSION};
use crate::ids::Acks;
use crate::limits::GATEWAY_FRAME_BYTES_MAX;
use crate::telemetry::{TRACE_CONTEXT_BYTES, TraceContext};

/// Where the encoded transaction starts in a submit, counted from the frame's first byte.
pub const SUBMIT_TRANSACTION_START: usize = HEADER_BYTES + 9;

/// The same in a submit with the context of a trace.
pub const SUBMIT_TRACED_TRANSACTION_START: usize = SUBMIT_TRANSACTION_START + TRACE_CONTEXT_BYTES;

const SUBMIT_ACKS_AT: usize = SUBMIT_TRANSACTION_START - 1;

/// The first frame of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Version of the protocol that the client speaks.
    pub version: u16,
    /// What the client calls itself, for logs; at most [`CLIENT_NAME_BYTES_MAX`] bytes, may be
    /// empty.
    pub client: &'a str,
}

/// One transaction on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// Handed back in the answer.
    pub correlation: Correlation,
    /// The promise that the answer shall carry; [`Acks::None`] gets no answer at all.
    pub acks: Acks,
    /// The trace that it belongs to; none also where the context's bytes are none.
    pub trace: Option<TraceContext>,
    /// Where the encoded transaction lies, counted from the frame's first byte. The bytes are
    /// stored as they are.
    pub transaction: Range<usize>,
}

/// A frame from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFrame<'a> {
    /// The first frame of a connection.
    Hello(Hello<'a>),
    /// One transaction.
    Submit(Submit),
    /// To be answered with a pong that carries the same token.
    Ping {
        /// Any number.
        token: u64,
    },
}

impl<'a> ClientFrame<'a> {
    /// Reads a frame that [`super::split`] found. Copies nothing.
    ///
    /// # Errors
    /// The frame is one that only a node sends, or a field means nothing.
    #[inline]
    pub fn decode(frame: Frame<'a>) -> Result<ClientFrame<'a>, ProtocolError> {
        match frame.kind {
            Kind::Submit | Kind::SubmitTraced => Submit::decode(frame).map(ClientFrame::Submit),
            Kind::Hello => Hello::decode(frame).map(ClientFrame::Hello),
            Kind::Ping => {
                let mut body = BodyReader::new(frame);
                let token = body.u64()?;
                body.end()?;
                Ok(ClientFrame::Ping { token })
            }
            Kind::Welcome | Kind::Receipt | Kind::Rejected | Kind::Pong | Kind::Goodbye => {
                Err(ProtocolError::unexpected(frame.kind))
            }
        }
    }
}

impl<'a> Hello<'a> {
    fn decode(frame: Frame<'a>) -> Result<Hello<'a>, ProtocolError> {
        let mut body = BodyReader::new(frame);
        let position = body.position();
        if body.array::<4>()? != MAGIC {
            let fault = Fault::Magic;
            return Err(ProtocolError { position, fault });
        }
        let position = body.position();
        let version = body.u16()?;
        if version != VERSION {
            let fault = Fault::Version(version);
            return Err(ProtocolError { position, fault });
        }
        let client = body.text("client")?;
        Ok(Hello { version, client })
    }

    /// Appends the frame. A longer name is cut at [`CLIENT_NAME_BYTES_MAX`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let name = cut(self.client, CLIENT_NAME_BYTES_MAX);
        out.extend_from_slice(&length_field(6 + name.len()));
        out.push(Kind::Hello as u8);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
}

impl Submit {
    #[inline]
    fn decode(frame: Frame<'_>) -> Result<Submit, ProtocolError> {
        let mut body = BodyReader::new(frame);
        let correlation = Correlation(body.u64()?);
        let acks = body.u8()?;
        let Some(acks) = Acks::from_wire(acks) else {
            return Err(body.value_error("acks", 1, acks.into()));
        };
        let trace = if frame.kind == Kind::SubmitTraced {
            TraceContext::from_bytes(&body.array()?)
        } else {
            None
        };
        Ok(Submit {
            correlation,
            acks,
            trace,
            transaction: body.position()..frame.bytes.len(),
        })
    }
}

/// A submit that is being written: its transaction comes next, then [`finish_submit`].
#[derive(Debug)]
#[must_use = "the frame's length is only written by finish_submit"]
pub struct SubmitStart {
    at: usize,
}

impl SubmitStart {
    /// Takes the frame off `out` again, with what was appended since.
    pub fn undo(self, out: &mut Vec<u8>) {
        out.truncate(self.at);
    }
}

/// Appends the start of a submit to `out`. The encoded transaction is to be appended by the
/// caller, so that it can be encoded in place.
pub fn begin_submit(out: &mut Vec<u8>, correlation: Correlation, acks: Acks) -> SubmitStart {
    begin(out, Kind::Submit, correlation, acks)
}

/// As [`begin_submit`], for a transaction that belongs to a trace. A node older than this kind of
/// frame ends the connection.
pub fn begin_submit_traced(
    out: &mut Vec<u8>,
    correlation: Correlation,
    acks: Acks,
    trace: &TraceContext,
) -> SubmitStart {
    let start = begin(out, Kind::SubmitTraced, correlation, acks);
    out.extend_from_slice(&trace.to_bytes());
    start
}

fn begin(out: &mut Vec<u8>, kind: Kind, correlation: Correlation, acks: Acks) -> SubmitStart {
    let at = out.len();
    let mut start = [0u8; SUBMIT_TRANSACTION_START];
    start[HEADER_BYTES - 1] = kind as u8;
    start[HEADER_BYTES..SUBMIT_ACKS_AT].copy_from_slice(&correlation.0.to_le_bytes());
    start[SUBMIT_ACKS_AT] = acks as u8;
    out.extend_from_slice(&start);
    SubmitStart { at }
}

/// Ends a submit after its transaction was appended.
///
/// # Errors
/// The frame exceeds `frame_bytes_max` or [`GATEWAY_FRAME_BYTES_MAX`]; all of it is taken off
/// `out` again.
pub fn finish_submit(
    out: &mut Vec<u8>,
    start: SubmitStart,
    frame_bytes_max: usize,
) -> Result<(), Fault> {
    let frame_bytes = out.len() - start.at;
    let frame_bytes_max = frame_bytes_max.min(GATEWAY_FRAME_BYTES_MAX);
    if frame_bytes > frame_bytes_max {
        out.truncate(start.at);
        return Err(Fault::Oversize {
            frame_bytes: frame_bytes as u64,
            frame_bytes_max,
        });
    }
    let length = length_field(frame_bytes - HEADER_BYTES);
    out[start.at..start.at + 4].copy_from_slice(&length);
    Ok(())
}

/// Appends a ping.
pub fn encode_ping(out: &mut Vec<u8>, token: u64) {
    out.extend_from_slice(&length_field(8));
    out.push(Kind::Ping as u8);
    out.extend_from_slice(&token.to_le_bytes());
}
