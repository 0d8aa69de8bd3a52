//! A transaction's trace context, as W3C Trace Context writes it down, and who decides to trace.
//!
//! Owns: the header `traceparent` (version 00), ids of traces and spans, the sampling rate. Never
//! does: emit a span; I/O. Runs on: any thread, on the cores only for what is traced.

mod ids;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub use ids::{IdSource, Sampler};

use super::Flight;

/// Name of the record header that carries a [`Traceparent`].
pub const TRACE_HEADER: &str = "traceparent";

/// Length of a `traceparent` of version 00.
pub const TRACEPARENT_BYTES: usize = 55;

/// Length of a context in binary form.
pub const TRACE_CONTEXT_BYTES: usize = 25;

/// The flag *sampled*: whoever made the context traces, and asks the others to.
const SAMPLED: u8 = 0x01;

/// The flags that have a meaning; the others are not passed on.
const KNOWN_FLAGS: u8 = 0x03;

/// Where each field of a `traceparent` begins.
const TRACE_AT: usize = 3;
const PARENT_AT: usize = 36;
const FLAGS_AT: usize = 53;

/// The trace that a transaction belongs to, and the span that sent it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The span that caused what comes next; 0 only where a trace begins here.
    pub parent: u64,
    /// Flags of version 00: sampled (1), random trace id (2).
    pub flags: u8,
}

/// A context as the value of the header [`TRACE_HEADER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent([u8; TRACEPARENT_BYTES]);

/// A leg of a traced transaction's way that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Its trace, and the span that caused it.
    pub context: TraceContext,
    /// The span of this leg.
    pub span: u64,
    /// Which.
    pub leg: Leg,
    /// Where, and when its stages were.
    pub flight: Flight,
}

/// What a [`Traced`] tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// From intake to durable, which is when it is answered under acks = all.
    Send,
    /// From durable through the handler.
    Process,
    /// All of it, as far as it was seen: it is one of the slowest.
    Slow,
}

/// Why a text is no `traceparent`. It is then ignored, as the standard demands, but for texts that
/// users give to commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceparentError {
    /// Too short, or too long for its version.
    #[error("it has {bytes} bytes; version 00 has {TRACEPARENT_BYTES}")]
    Length {
        /// How many it has.
        bytes: usize,
    },
    /// A byte that cannot stand there.
    #[error("byte {at} is neither a digit nor a to f, or no dash where one belongs")]
    Byte {
        /// Which, from 0.
        at: usize,
    },
    /// Version ff is forbidden.
    #[error("version ff is none")]
    Version,
    /// An id of nothing but zeros.
    #[error("{field} is all zeros")]
    Zero {
        /// Which id.
        field: &'static str,
    },
}

impl TraceContext {
    /// Reads a `traceparent`. Of a later version what version 00 knows of it is read.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &[u8]) -> Result<TraceContext, TraceparentError> {
        let length = TraceparentError::Length { bytes: text.len() };
        if text.len() < TRACEPARENT_BYTES {
            return Err(length);
        }
        let version = hex(text, 0..2)?;
        if version == 0xff {
            return Err(TraceparentError::Version);
        }
        match text.get(TRACEPARENT_BYTES) {
            None => {}
            Some(b'-') if version != 0 => {}
            Some(_) => return Err(length),
        }
        for at in [TRACE_AT - 1, PARENT_AT - 1, FLAGS_AT - 1] {
            if text[at] != b'-' {
                return Err(TraceparentError::Byte { at });
            }
        }
        let trace_id = hex(text, TRACE_AT..PARENT_AT - 1)?;
        let parent = hex(text, PARENT_AT..FLAGS_AT - 1)? as u64; // 16 digits.
        let flags = hex(text, FLAGS_AT..TRACEPARENT_BYTES)? as u8; // 2 digits.
        let zero = |field| Err(TraceparentError::Zero { field });
        if trace_id == 0 {
            return zero("the trace id");
        }
        if parent == 0 {
            return zero("the parent id");
        }
        Ok(TraceContext {
            trace_id,
            parent,
            flags: flags & KNOWN_FLAGS,
        })
    }

    /// A trace that begins here.
    pub fn root(trace_id: u128) -> TraceContext {
        TraceContext {
            trace_id,
            parent: 0,
            flags: SAMPLED,
        }
    }

    /// Whether spans are to be recorded.
    #[inline]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// What goes on from here, caused by this span.
    pub const fn caused_by(self, span: u64) -> TraceContext {
        TraceContext {
            parent: span,
            ..self
        }
    }

    /// The context in [`TRACE_CONTEXT_BYTES`]: trace, parent, flags, as the text has them.
    pub fn to_bytes(self) -> [u8; TRACE_CONTEXT_BYTES] {
        let mut bytes = [0; TRACE_CONTEXT_BYTES];
        bytes[..16].copy_from_slice(&self.trace_id.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.parent.to_be_bytes());
        bytes[24] = self.flags;
        bytes
    }

    /// Reads [`TraceContext::to_bytes`]; none where an id is 0.
    pub fn from_bytes(bytes: &[u8; TRACE_CONTEXT_BYTES]) -> Option<TraceContext> {
        let (trace_id, rest) = bytes.split_first_chunk().expect("16 of 25 bytes");
        let (parent, flags) = rest.split_first_chunk().expect("8 of 9 bytes");
        let context = TraceContext {
            trace_id: u128::from_be_bytes(*trace_id),
            parent: u64::from_be_bytes(*parent),
            flags: flags[0] & KNOWN_FLAGS,
        };
        (context.trace_id != 0 && context.parent != 0).then_some(context)
    }

    /// The header's value.
    pub fn to_header(self) -> Traceparent {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put_hex(&mut text[TRACE_AT..PARENT_AT - 1], self.trace_id);
        put_hex(&mut text[PARENT_AT..FLAGS_AT - 1], self.parent.into());
        put_hex(&mut text[FLAGS_AT..], self.flags.into());
        Traceparent(text)
    }
}

impl FromStr for TraceContext {
    type Err = TraceparentError;

    fn from_str(text: &str) -> Result<TraceContext, TraceparentError> {
        TraceContext::parse(text.as_bytes())
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceContext {
            trace_id,
            parent,
            flags,
        } = self;
        write!(f, "00-{trace_id:032x}-{parent:016x}-{flags:02x}")
    }
}

impl Traceparent {
    /// The header's value.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The number that these lowercase digits write.
fn hex(text: &[u8], range: std::ops::Range<usize>) -> Result<u128, TraceparentError> {
    let mut number = 0;
    for at in range {
        let digit = match text[at] {
            byte @ b'0'..=b'9' => byte - b'0',
            byte @ b'a'..=b'f' => byte - b'a' + 10,
            _ => return Err(TraceparentError::Byte { at }),
        };
        number = number << 4 | u128::from(digit);
    }
    Ok(number)
}

fn put_hex(out: &mut [u8], mut number: u128) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}
