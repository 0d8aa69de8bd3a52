//! What a connection answers itself: which versions are served, and who the client is.
//!
//! Owns: the state of authentication. Never does: reading or writing the socket. Runs on: the
//! connection's core.

use std::sync::Arc;

use bytes::Bytes;

use crate::wire::api;
use crate::wire::request::RequestHeader;

use super::sasl::{self, Expects, Gate, Turn, Users};
use super::versions;

/// What a request that needs no duty cycle gets.
pub(super) enum Greeted {
    /// This frame.
    Answer(Bytes),
    /// This frame, and then the end.
    LastAnswer(Bytes),
    /// The end.
    HangUp,
}

impl From<Turn> for Greeted {
    fn from(turn: Turn) -> Greeted {
        match turn {
            Turn::Answer(frame) => Greeted::Answer(frame),
            Turn::Refuse { answer, why } => {
                tracing::debug!(%why, "a Kafka client was refused");
                Greeted::LastAnswer(answer)
            }
            Turn::Close { why } => {
                tracing::debug!(%why, "a Kafka client was cut off");
                Greeted::HangUp
            }
        }
    }
}

/// What stands between a connection and the broker.
pub(super) struct Greeting {
    gate: Option<Gate>,
}

impl Greeting {
    /// Everybody is let in without users.
    pub fn new(users: Option<Arc<Users>>) -> Greeting {
        Greeting {
            gate: users.map(Gate::new),
        }
    }

    /// The longest frame that may come next; somebody unknown cannot send much.
    pub fn frame_bytes_max(&self, known: usize) -> usize {
        match &self.gate {
            Some(gate) if gate.principal().is_none() => known.min(sasl::FRAME_BYTES_MAX),
            Some(_) | None => known,
        }
    }

    /// A frame that has no header, as SASL's tokens once had none; `None` if it has one.
    pub fn raw_token(&mut self, frame: &[u8]) -> Option<Greeted> {
        let gate = self.gate.as_mut()?;
        match gate.expects() {
            Expects::Token => Some(gate.token(frame).into()),
            Expects::Request => None,
        }
    }

    /// Answers what belongs here, and cuts off what may not be asked; `None` for the rest.
    pub fn answer(&mut self, header: &RequestHeader<'_>, body: Bytes) -> Option<Greeted> {
        let (key, version) = (header.api_key, header.version);
        let to = header.correlation_id;
        if key == api::API_VERSIONS {
            let mut frame = Vec::new();
            versions::put_api_versions(&mut frame, version, to);
            return Some(Greeted::Answer(frame.into()));
        }
        if !versions::find(key).is_some_and(|api| api.has(version)) {
            return Some(Greeted::HangUp);
        }
        if key == api::SASL_HANDSHAKE || key == api::SASL_AUTHENTICATE {
            return Some(match &mut self.gate {
                Some(gate) => gate.request(key, version, to, body).into(),
                None => sasl::refuse(key, version, to).map_or(Greeted::HangUp, Greeted::Answer),
            });
        }
        let stranger = self
            .gate
            .as_ref()
            .is_some_and(|gate| gate.principal().is_none());
        stranger.then_some(Greeted::HangUp)
    }
}
