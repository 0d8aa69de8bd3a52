//! SASL in Kafka's messages: SaslHandshake 0-1, SaslAuthenticate 0-2 and the bare tokens that follow a
//! handshake of version 0 (KIP-43, KIP-152).
//!
//! Owns: those messages' encoding. Never does: read or write a socket. Runs on: the connection's core.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ResponseHeader, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};

use super::{HandshakeError, SaslError, Session, Step, Users};

/// What the next frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// A request with its header.
    Request,
    /// A bare token, for [`Gate::token`].
    Token,
}

/// What to do with the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send this, length included, and go on.
    Answer(Bytes),
    /// Send this, length included, and close.
    Refuse {
        /// What to send.
        answer: Bytes,
        /// Why, for our own log.
        why: SaslError,
    },
    /// Close without a word.
    Close {
        /// Why, for our own log.
        why: SaslError,
    },
}

/// What stands before a connection until its client has proved who it is.
#[derive(Debug)]
pub struct Gate {
    session: Session,
    expects: Expects,
}

impl Gate {
    /// A gate that is shut.
    pub fn new(users: Arc<Users>) -> Gate {
        Gate {
            session: Session::new(users),
            expects: Expects::Request,
        }
    }

    /// Who came through; until then nothing but ApiVersions may be answered.
    pub fn principal(&self) -> Option<&Arc<str>> {
        self.session.principal()
    }

    /// What the next frame is.
    pub fn expects(&self) -> Expects {
        self.expects
    }

    /// A frame without its length while [`Expects::Token`] holds.
    pub fn token(&mut self, token: &[u8]) -> Turn {
        match self.session.step(token) {
            Ok(Step::Challenge(token)) => Turn::Answer(bare(&token)),
            Ok(Step::Done { token, .. }) => {
                self.expects = Expects::Request;
                Turn::Answer(bare(&token))
            }
            // There is no word for "no" without SaslAuthenticate.
            Err(why) => Turn::Close { why },
        }
    }

    /// SaslHandshake or SaslAuthenticate, before or after the client came through; `body` is what
    /// follows the request's header. Other requests close the connection.
    pub fn request(
        &mut self,
        api_key: i16,
        version: i16,
        correlation_id: i32,
        body: Bytes,
    ) -> Turn {
        let to = Caller {
            version,
            correlation_id,
        };
        match ApiKey::try_from(api_key) {
            Ok(ApiKey::SaslHandshake) => match whole::<SaslHandshakeRequest>(body, version) {
                Ok(request) => self.handshake(to, &request.mechanism),
                Err(why) => Turn::Close { why },
            },
            Ok(ApiKey::SaslAuthenticate) => match whole::<SaslAuthenticateRequest>(body, version) {
                Ok(request) => self.authenticate(to, &request.auth_bytes),
                Err(why) => Turn::Close { why },
            },
            Ok(_) | Err(()) => Turn::Close {
                why: SaslError::OutOfOrder,
            },
        }
    }

    fn handshake(&mut self, to: Caller, mechanism: &str) -> Turn {
        let chosen = self.session.handshake(mechanism);
        if chosen.is_ok() && to.version == 0 {
            self.expects = Expects::Token;
        }
        let error = chosen.err().map(|error| match error {
            HandshakeError::Unsupported => ResponseError::UnsupportedSaslMechanism,
            HandshakeError::OutOfOrder => ResponseError::IllegalSaslState,
        });
        let names = self.session.mechanisms().iter();
        let names = names.map(|mechanism| StrBytes::from_static_str(mechanism.name()));
        let response = SaslHandshakeResponse::default()
            .with_error_code(code(error))
            .with_mechanisms(names.collect());
        let answer = to.frame(&response);
        match chosen {
            // One that is not offered may be followed by one that is.
            Ok(()) | Err(HandshakeError::Unsupported) => Turn::Answer(answer),
            Err(HandshakeError::OutOfOrder) => self.out_of_order(answer),
        }
    }

    fn authenticate(&mut self, to: Caller, token: &[u8]) -> Turn {
        let response = SaslAuthenticateResponse::default().with_error_message(None);
        let why = match self.session.step(token) {
            Ok(Step::Challenge(token) | Step::Done { token, .. }) => {
                return Turn::Answer(to.frame(&response.with_auth_bytes(token.into())));
            }
            Err(why) => why,
        };
        let response =
            response.with_error_message(Some(StrBytes::from_static_str(SaslError::TOLD)));
        let answer = |error| to.frame(&response.clone().with_error_code(code(Some(error))));
        match why {
            SaslError::OutOfOrder => self.out_of_order(answer(ResponseError::IllegalSaslState)),
            SaslError::Malformed(_)
            | SaslError::Credentials
            | SaslError::OtherIdentity
            | SaslError::NoRandom => Turn::Refuse {
                answer: answer(ResponseError::SaslAuthenticationFailed),
                why,
            },
        }
    }

    /// What comes after all is done is a mistake, but nobody has to go for it, as in Kafka.
    fn out_of_order(&self, answer: Bytes) -> Turn {
        match self.principal() {
            Some(_) => Turn::Answer(answer),
            None => Turn::Refuse {
                answer,
                why: SaslError::OutOfOrder,
            },
        }
    }
}

/// Answers SaslHandshake or SaslAuthenticate on a listener that asks nobody who he is
/// (ILLEGAL_SASL_STATE, as Kafka does); `None` for other requests and versions.
pub fn refuse(api_key: i16, version: i16, correlation_id: i32) -> Option<Bytes> {
    let to = Caller {
        version,
        correlation_id,
    };
    let error = code(Some(ResponseError::IllegalSaslState));
    match (ApiKey::try_from(api_key), version) {
        (Ok(ApiKey::SaslHandshake), 0..=1) => {
            Some(to.frame(&SaslHandshakeResponse::default().with_error_code(error)))
        }
        (Ok(ApiKey::SaslAuthenticate), 0..=2) => Some(
            to.frame(
                &SaslAuthenticateResponse::default()
                    .with_error_code(error)
                    .with_error_message(None),
            ),
        ),
        (Ok(_) | Err(()), _) => None,
    }
}

/// Whom to answer.
#[derive(Clone, Copy)]
struct Caller {
    version: i16,
    correlation_id: i32,
}

impl Caller {
    /// A response with its header and its length.
    fn frame<R: Encodable + HeaderVersion>(self, response: &R) -> Bytes {
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        ResponseHeader::default()
            .with_correlation_id(self.correlation_id)
            .encode(&mut frame, R::header_version(self.version))
            .expect("a response header of a version that the request was decoded with");
        response
            .encode(&mut frame, self.version)
            .expect("a version that the request was decoded with, and strings of our own");
        let length = frame.len() - size_of::<i32>();
        let length = i32::try_from(length).expect("tokens are as short as frames");
        frame[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
        frame.freeze()
    }
}

/// A request that fills its frame.
fn whole<R: Decodable>(mut body: Bytes, version: i16) -> Result<R, SaslError> {
    let request = R::decode(&mut body, version).map_err(|_| SaslError::Malformed("request"))?;
    match body.is_empty() {
        true => Ok(request),
        false => Err(SaslError::Malformed("bytes after the request")),
    }
}

/// A token with its length.
fn bare(token: &[u8]) -> Bytes {
    let length = i32::try_from(token.len()).expect("tokens are as short as frames");
    let mut frame = BytesMut::with_capacity(size_of::<i32>() + token.len());
    frame.put_i32(length);
    frame.put_slice(token);
    frame.freeze()
}

fn code(error: Option<ResponseError>) -> i16 {
    error.map_or(0, |error| error.code())
}

#[cfg(test)]
mod tests;
