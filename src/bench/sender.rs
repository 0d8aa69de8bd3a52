//! One thread's transactions into a node of this process.
//!
//! Owns: their ids and places, and what is recorded of sending them. Runs on: a thread of a load.

use std::sync::Arc;

use bytes::Bytes;

use super::feed::{self, Go, Schedule, Source, Waiting};
use super::meters::{Count, Meter, Span};
use super::target::Stop;
use super::traffic::Values;
use crate::clock;
use crate::config::Config;
use crate::engine::message::Answer;
use crate::engine::submitter::Submitter;
use crate::ids::{Acks, Nanos, UnixMicros};
use crate::location::{GeoLocation, LocationError};
use crate::transaction::{TransactionError, TransactionRef, codec};

/// What transactions are made of, for every thread the same.
#[derive(Clone, Debug)]
pub(super) struct Supply {
    values: Values,
    /// A client at each shard; they take turns.
    clients: Arc<[GeoLocation]>,
}

impl Supply {
    pub fn new(config: &Config, values: &Values) -> Result<Supply, LocationError> {
        let clients = config.shards.iter().map(|shard| shard.location());
        Ok(Supply {
            values: values.clone(),
            clients: clients.collect::<Result<_, _>>()?,
        })
    }
}

/// Why a sender gave up.
#[derive(Debug, thiserror::Error)]
enum SendError {
    /// The node has failed, so no answer may ever come.
    #[error("the node has failed")]
    Died,
    /// A transaction is none.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
}

/// One thread that sends.
pub(super) struct Sender {
    number: u32,
    port: Submitter,
    meter: Meter,
    supply: Supply,
    acks: Acks,
    waiting: Waiting,
    /// Transactions made so far, in all loads: with the sender's number, the next id.
    made: u64,
}

impl Sender {
    pub fn new(
        number: u32,
        port: Submitter,
        meter: Meter,
        supply: Supply,
        acks: Acks,
        waiting: Waiting,
    ) -> Sender {
        Sender {
            number,
            port,
            meter,
            supply,
            acks,
            waiting,
            made: 0,
        }
    }

    /// Sends what the schedule says, or less if `stop` or `died` is asked.
    pub fn send(&mut self, schedule: Schedule, stop: &Stop, died: &Stop) {
        let mut sending = Sending {
            stop,
            died,
            wall: UnixMicros(0),
            number: self.number,
            meter: &mut self.meter,
            supply: &self.supply,
            acks: self.acks,
            made: &mut self.made,
        };
        if let Err(error) = feed::run(
            &mut self.port,
            self.acks,
            schedule,
            self.waiting,
            &mut sending,
        ) {
            tracing::debug!(%error, "a sender ends early");
        }
    }
}

/// A sender under way.
struct Sending<'a> {
    stop: &'a Stop,
    died: &'a Stop,
    /// Read once in a round.
    wall: UnixMicros,
    number: u32,
    meter: &'a mut Meter,
    supply: &'a Supply,
    acks: Acks,
    made: &'a mut u64,
}

impl Source for Sending<'_> {
    type Error = SendError;

    fn round(&mut self, _sent: u64) -> Result<Go, SendError> {
        self.wall = clock::wall();
        if self.died.is_asked() {
            return Err(SendError::Died);
        }
        Ok(match self.stop.is_asked() {
            true => Go::Finish,
            false => Go::On,
        })
    }

    fn encode(&mut self, _number: u64) -> Result<Bytes, SendError> {
        let made = *self.made;
        *self.made += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&u64::from(self.number).to_be_bytes());
        id[8..].copy_from_slice(&made.to_be_bytes());
        let clients = &self.supply.clients;
        let transaction = TransactionRef {
            id: &id,
            client_location: clients[(made % clients.len() as u64) as usize],
            submitted_at: self.wall,
            amount: Some(1),
            payload: self.supply.values.get(made),
        };
        let mut body = Vec::with_capacity(codec::encoded_len(&transaction));
        codec::encode(&transaction, &mut body)?;
        Ok(body.into())
    }

    fn sent(&mut self, intended: Nanos) {
        let now = clock::monotonic();
        let bytes = self.supply.values.bytes_max() as u64;
        self.meter.span(Span::PublishDelay, intended, now);
        self.meter.count(Count::Sent, 1);
        self.meter.count(Count::SentBytes, bytes);
        if self.acks == Acks::None {
            // No answer will come.
            self.meter.span(Span::Produce, intended, now);
            self.meter.count(Count::Acked, 1);
        }
    }

    fn answered(&mut self, intended: Nanos, answer: Answer) {
        match answer {
            Answer::Stored(_) => {
                self.meter.span(Span::Produce, intended, clock::monotonic());
                self.meter.count(Count::Acked, 1);
            }
            Answer::Rejected(_) => self.meter.count(Count::Failed, 1),
        }
    }
}
