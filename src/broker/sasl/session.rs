//! One client's exchange, whatever carries its messages.
//!
//! Owns: the order of messages. Never does: Kafka's encoding (see [`super::Gate`]). Runs on: the
//! connection's core.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::scram::{ClientFirst, Exchange};
use super::{Hash, Mechanism, SaslError, Users, plain};

/// Random bytes in our part of a nonce.
const NONCE_BYTES: usize = 18;

/// Why a mechanism was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// It is not offered; the client may ask for another one.
    Unsupported,
    /// An exchange is under way or over.
    OutOfOrder,
}

/// What follows from a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this; another message follows.
    Challenge(Vec<u8>),
    /// Send the last message (it may be empty); the client is who it says.
    Done {
        /// The user's name.
        principal: Arc<str>,
        /// What to send.
        token: Vec<u8>,
    },
}

#[derive(Debug)]
enum State {
    /// No mechanism yet.
    Open,
    /// The first message is to come.
    Chosen(Mechanism),
    /// The proof is to come.
    Challenged {
        user: String,
        // Boxed: connections that are through keep a state too.
        exchange: Box<Exchange>,
    },
    Authenticated(Arc<str>),
    Failed,
}

/// The exchange.
#[derive(Debug)]
pub struct Session {
    users: Arc<Users>,
    state: State,
}

impl Session {
    /// An exchange in which nothing was said yet.
    pub fn new(users: Arc<Users>) -> Session {
        Session {
            users,
            state: State::Open,
        }
    }

    /// Whom the exchange proved.
    pub fn principal(&self) -> Option<&Arc<str>> {
        match &self.state {
            State::Authenticated(principal) => Some(principal),
            State::Open | State::Chosen(_) | State::Challenged { .. } | State::Failed => None,
        }
    }

    /// What clients may choose from.
    pub fn mechanisms(&self) -> &[Mechanism] {
        self.users.mechanisms()
    }

    /// The client chooses. Where this fails, the session is what it was before.
    pub fn handshake(&mut self, mechanism: &str) -> Result<(), HandshakeError> {
        match self.state {
            State::Open => {}
            State::Chosen(_)
            | State::Challenged { .. }
            | State::Authenticated(_)
            | State::Failed => return Err(HandshakeError::OutOfOrder),
        }
        let mechanism = Mechanism::from_name(mechanism)
            .filter(|mechanism| self.users.mechanisms().contains(mechanism))
            .ok_or(HandshakeError::Unsupported)?;
        self.state = State::Chosen(mechanism);
        Ok(())
    }

    /// The client's next message. After an error the session is over, but that a message which comes
    /// when all is done changes nothing.
    pub fn step(&mut self, token: &[u8]) -> Result<Step, SaslError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Chosen(Mechanism::Plain) => self.plain(token),
            State::Chosen(Mechanism::Scram(hash)) => self.challenge(hash, token),
            State::Challenged { user, exchange } => {
                let token = exchange.finish(token, self.users.seal())?;
                Ok(self.done(Arc::from(user), token.into_bytes()))
            }
            State::Authenticated(principal) => {
                self.state = State::Authenticated(principal);
                Err(SaslError::OutOfOrder)
            }
            State::Open | State::Failed => Err(SaslError::OutOfOrder),
        }
    }

    fn plain(&mut self, token: &[u8]) -> Result<Step, SaslError> {
        let message = plain::parse(token)?;
        let principal = self.users.check_plain(message.user, message.password)?;
        Ok(self.done(principal, Vec::new()))
    }

    fn challenge(&mut self, hash: Hash, token: &[u8]) -> Result<Step, SaslError> {
        let first = ClientFirst::parse(token)?;
        let credential = self.users.credential(hash, &first.user);
        let nonce = BASE64.encode(self.users.random::<NONCE_BYTES>()?);
        let (exchange, challenge) = Exchange::start(&first, credential, &nonce);
        self.state = State::Challenged {
            user: first.user,
            exchange: Box::new(exchange),
        };
        Ok(Step::Challenge(challenge.into_bytes()))
    }

    fn done(&mut self, principal: Arc<str>, token: Vec<u8>) -> Step {
        self.state = State::Authenticated(Arc::clone(&principal));
        Step::Done { principal, token }
    }
}

#[cfg(test)]
mod tests;
