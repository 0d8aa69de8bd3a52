//! The header of a request.
//!
//! Owns: its three layouts. Never does: judge the version; the broker's table says what is served.
//! Runs on: any thread; the hot path, per request.
//!
//! ```text
//! v1: api key i16 | version i16 | correlation id i32 | client id: length i16 (-1: null), UTF-8
//! v2: v1, then tagged fields. The client id keeps its length of fixed width (KIP-482).
//! ```
//! v0 lacks the client id. Only ControlledShutdown v0 had it, which no client sends.

use crate::wire::api::{self, Encoding};
use crate::wire::reader::{Malformed, Reader};

/// What a request says before its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API; one that is served.
    pub api_key: i16,
    /// Which version of it; any number.
    pub version: i16,
    /// What the response has to carry.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
    /// Where the body begins, in bytes from the start of the frame.
    pub body_at: usize,
}

/// Why a frame is no request that can be answered. Kafka closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The API is unknown, so that the rest of the header has no known layout either.
    #[error("unknown API key {0}")]
    UnknownApi(i16),
    /// The header is cut short or has an impossible value.
    #[error("bad request header: {0}")]
    Malformed(#[from] Malformed),
}

impl<'a> RequestHeader<'a> {
    /// Reads the header at the start of `frame`, which is a request without its length.
    ///
    /// # Errors
    /// An API that is not served, or a header that is cut short or malformed.
    #[inline]
    pub fn parse(frame: &'a [u8]) -> Result<RequestHeader<'a>, HeaderError> {
        let mut reader = Reader::new(frame, 0, Encoding::Fixed);
        let api_key = reader.i16("api key")?;
        let version = reader.i16("api version")?;
        let encoding = api::encoding(api_key, version).ok_or(HeaderError::UnknownApi(api_key))?;
        let correlation_id = reader.i32("correlation id")?;
        let client_id = reader.nullable_string("client id")?;
        let mut rest = Reader::new(frame, reader.at(), encoding);
        rest.tagged_fields()?;
        Ok(RequestHeader {
            api_key,
            version,
            correlation_id,
            client_id,
            body_at: rest.at(),
        })
    }
}
