//! A blocking client for a node's gateway, on plain threads.
//!
//! [`Client`] is one connection. It is pipelined: [`Client::submit`] does not wait for the answer,
//! [`Client::recv`] takes the next one. [`Client::split`] gives the two halves to two threads.
//! [`RetryingClient`] reconnects and submits again what was not answered, under the same ids, so
//! that the node takes each transaction once.
//!
//! ```no_run
//! use corelane::client::{Client, ClientOptions};
//! use corelane::ids::{Acks, UnixMicros};
//! use corelane::location::GeoLocation;
//! use corelane::transaction::{Transaction, TransactionId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = Client::connect("127.0.0.1:7171", ClientOptions::default())?;
//! let transaction = Transaction {
//!     id: TransactionId::new(b"order-1")?,
//!     client_location: GeoLocation::new(35.68, 139.69)?,
//!     submitted_at: UnixMicros(1_700_000_000_000_000),
//!     amount: Some(1_250),
//!     payload: b"two coffees".to_vec(),
//! };
//! let receipt = client.send_transaction(&transaction)?;
//! println!("shard {} offset {}", receipt.shard, receipt.offset);
//!
//! // Pipelined: submit first, take the answers later.
//! client.submit(&transaction.borrowed(), Acks::All)?;
//! let reply = client.recv()?;
//! assert_eq!(reply.id, transaction.id);
//! # Ok(())
//! # }
//! ```
//!
//! Owns: one socket, and what is unanswered on it. Never does: reconnect behind the caller's back
//! (only [`RetryingClient`] does), guess the fate of a transaction. Runs on: any thread but a core.

mod connect;
mod error;
mod receiver;
mod retry;
mod sender;
mod stream;
mod window;

#[cfg(test)]
pub(crate) mod played;
#[cfg(test)]
mod tests;

pub use connect::{Client, ClientOptions};
pub use error::{ClientError, Rejection};
pub use receiver::{Receiver, Reply};
pub use retry::{RetryOptions, RetryingClient};
pub use sender::{Sender, Ticket};
pub use stream::Address;
