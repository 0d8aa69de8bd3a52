//! A file's transactions into a node of this process: as fast as they are taken, or open loop.
//!
//! Owns: the ids of repetitions, and counting. Never does: pacing ([`crate::bench::feed`]). Runs on:
//! the main thread, which submits and takes the answers in turn.

use std::borrow::Cow;
use std::error::Error;

use bytes::Bytes;

use super::input::InputTransaction;
use super::progress::Progress;
use super::run::RunArgs;
use crate::bench::feed::{self, Go, Schedule, Source, Waiting};
use crate::bench::pace::Pace;
use crate::clock;
use crate::control::Node;
use crate::control::signals::StopSignal;
use crate::engine::message::Answer;
use crate::engine::submitter::Submitter;
use crate::ids::{Acks, Nanos};
use crate::limits::TRANSACTION_ID_BYTES_MAX;
use crate::telemetry::TraceContext;
use crate::transaction::{TransactionRef, codec};

/// What was submitted and answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub submitted: u64,
    /// With a receipt, duplicates included.
    pub acknowledged: u64,
    pub rejected: u64,
}

/// The submitting side of a run.
pub(super) struct Feed<'a> {
    pub node: &'a Node,
    pub stop: &'a StopSignal,
    pub progress: &'a Progress,
    pub transactions: &'a [InputTransaction],
    pub tally: Tally,
}

impl Feed<'_> {
    /// Submits everything and takes all answers. A signal ends it early: what was submitted by
    /// then is still answered.
    pub fn run(
        mut self,
        args: &RunArgs,
        acks: Acks,
        mut submitter: Submitter,
    ) -> Result<Tally, Box<dyn Error>> {
        let count = self.transactions.len() as u64 * u64::from(args.repeat.get());
        let schedule = match args.rate {
            Some(rate) => Schedule::Open(Pace::counted(clock::monotonic(), rate, count)),
            None => Schedule::Closed {
                count,
                until: Nanos(u64::MAX),
            },
        };
        feed::run(&mut submitter, acks, schedule, Waiting::Asleep, &mut self)?;
        Ok(self.tally)
    }
}

impl Source for Feed<'_> {
    type Error = Box<dyn Error>;

    fn round(&mut self, sent: u64) -> Result<Go, Box<dyn Error>> {
        self.progress.set(sent);
        if let Some(failure) = self.node.failure() {
            return Err(failure.into());
        }
        Ok(match self.stop.is_asked() {
            true => Go::Finish,
            false => Go::On,
        })
    }

    fn encode(&mut self, number: u64) -> Result<Bytes, Box<dyn Error>> {
        let count = self.transactions.len() as u64;
        let input = &self.transactions[(number % count) as usize];
        let id = id_of_repetition(input.id.as_bytes(), number / count);
        let transaction = TransactionRef {
            id: &id,
            client_location: input.client_location,
            submitted_at: input.submitted_at.unwrap_or_else(clock::wall),
            amount: input.amount,
            payload: &input.payload,
        };
        let mut body = Vec::with_capacity(codec::encoded_len(&transaction));
        codec::encode(&transaction, &mut body)?;
        Ok(body.into())
    }

    fn trace(&self, number: u64) -> Option<TraceContext> {
        let count = self.transactions.len() as u64;
        self.transactions[(number % count) as usize].trace
    }

    fn sent(&mut self, _intended: Nanos) {
        self.tally.submitted += 1;
    }

    fn answered(&mut self, _intended: Nanos, answer: Answer) {
        match answer {
            Answer::Stored(_) => self.tally.acknowledged += 1,
            Answer::Rejected(_) => self.tally.rejected += 1,
        }
    }
}
/// The id of a transaction's `repetition`: the first time its own, then its own with a mark at the
/// end, in place of its last bytes where there is no room.
fn id_of_repetition(id: &[u8], repetition: u64) -> Cow<'_, [u8]> {
    if repetition == 0 {
        return Cow::Borrowed(id);
    }
    let mark = format!("~{repetition:x}");
    let kept = id.len().min(TRANSACTION_ID_BYTES_MAX - mark.len());
    Cow::Owned([&id[..kept], mark.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_have_ids_of_their_own_within_the_bound() {
        assert_eq!(&*id_of_repetition(b"abc", 0), b"abc");
        assert_eq!(&*id_of_repetition(b"abc", 255), b"abc~ff");
        let long = [b'f'; TRANSACTION_ID_BYTES_MAX];
        let repeated = id_of_repetition(&long, 1);
        assert_eq!(repeated.len(), TRANSACTION_ID_BYTES_MAX);
        assert!(repeated.ends_with(b"f~1"));
    }
}
