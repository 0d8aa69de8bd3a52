//! Who a client is: the server's side of SASL, for PLAIN and SCRAM.
//!
//! A connection's task holds one [`Gate`] per connection. While [`Gate::principal`] is `None` it reads
//! frames of [`FRAME_BYTES_MAX`] at most and gives up after a time of its own. It asks
//! [`Gate::expects`] what the next frame is: after SaslHandshake v0 the tokens follow bare (a length,
//! then the token), so the frame goes to [`Gate::token`] as it is; otherwise it is a request, of which
//! the task answers ApiVersions itself, hands SaslHandshake and SaslAuthenticate to [`Gate::request`]
//! and closes the connection on every other.
//!
//! Owns: credentials in memory, the order of an exchange. Never does: I/O, reading a clock, saying why a
//! client was refused. Runs on: the connection's core; [`Users`] is shared and never changes.

mod gate;
mod plain;
mod scram;
mod session;
#[cfg(test)]
mod test_client;
mod users;

pub use gate::{Expects, Gate, Turn, refuse};
pub use session::{HandshakeError, Session, Step};
pub use users::{ITERATIONS_MIN, SetUpError, Users};

/// Longest frame of a client that is not authenticated, in bytes. A token carries a name and a
/// password or a proof; no client needs a tenth of it.
pub const FRAME_BYTES_MAX: usize = 16 * 1024;

/// The hash function of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// RFC 7677.
    Sha256,
    /// As Kafka's, by the rules of RFC 5802.
    Sha512,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616: the password itself, so for connections that are encrypted or local.
    Plain,
    /// RFC 5802: a proof that the password is known.
    Scram(Hash),
}

impl Mechanism {
    /// Every one, in the order in which clients are told.
    pub const ALL: [Mechanism; 3] = [
        Mechanism::Plain,
        Mechanism::Scram(Hash::Sha256),
        Mechanism::Scram(Hash::Sha512),
    ];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Mechanism::Scram(Hash::Sha512) => "SCRAM-SHA-512",
        }
    }

    /// The one of this name; case counts, as in Kafka.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }
}

/// Why an exchange ended without a principal. For the node's own log; the client is told
/// [`SaslError::TOLD`] whatever it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The message breaks the mechanism's grammar.
    #[error("not a valid message of this mechanism: {0}")]
    Malformed(&'static str),
    /// Unknown user or wrong password; not told apart anywhere.
    #[error("wrong user name or password")]
    Credentials,
    /// The client wants to act as somebody else.
    #[error("the authorization id is not the user's own")]
    OtherIdentity,
    /// A message that does not belong here.
    #[error("message out of order")]
    OutOfOrder,
    /// No nonce could be made.
    #[error("no random bytes to be had")]
    NoRandom,
}

impl SaslError {
    /// What a refused client reads.
    pub const TOLD: &'static str = "Authentication failed";
}
