//! A file's transactions into a node of this process: as fast as they are taken, or open loop.
//!
//! Owns: pacing, and the ids of repetitions. Runs on: the main thread, which submits and takes the
//! answers in turn.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;

use super::input::InputTransaction;
use super::progress::Progress;
use super::run::RunArgs;
use crate::clock;
use crate::control::Node;
use crate::control::signals::StopSignal;
use crate::engine::message::Answer;
use crate::engine::submitter::{Entrance, Submitter};
use crate::frame::Correlation;
use crate::ids::{Acks, Nanos};
use crate::limits::TRANSACTION_ID_BYTES_MAX;
use crate::transaction::{TransactionRef, codec};

/// Submissions between two looks at the answers.
const BURST: u64 = 64;

/// Longest sleep while waiting for answers: bounds how late a signal or a failure is seen.
const NAP: Duration = Duration::from_millis(20);

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
    transactions: &'a [InputTransaction],
    total: u64,
    /// Transactions per second; none for as fast as they are taken.
    rate: Option<u64>,
    acks: Acks,
    submitter: Submitter,
    tally: Tally,
    /// Encoded, but its core had no room yet.
    held: Option<(Bytes, Nanos)>,
}

impl<'a> Feed<'a> {
    pub fn new(
        transactions: &'a [InputTransaction],
        args: &RunArgs,
        acks: Acks,
        submitter: Submitter,
    ) -> Feed<'a> {
        Feed {
            transactions,
            total: transactions.len() as u64 * u64::from(args.repeat.get()),
            rate: args.rate.map(|rate| rate.get()),
            acks,
            submitter,
            tally: Tally::default(),
            held: None,
        }
    }

    /// Submits everything and takes all answers. A signal ends it early: what was submitted by
    /// then is still answered.
    pub fn run(
        mut self,
        node: &Node,
        stop: &StopSignal,
        progress: &Progress,
    ) -> Result<Tally, Box<dyn Error>> {
        let start = clock::monotonic();
        loop {
            let mut work = 0;
            if self.tally.submitted < self.total && !stop.is_asked() {
                work += self.submit_burst(start)?;
                self.submitter.ring();
            }
            work += self.take_answers();
            progress.set(self.tally.submitted);
            let is_over = self.tally.submitted == self.total || stop.is_asked();
            if is_over && self.submitter.outstanding() == 0 {
                return Ok(self.tally);
            }
            if work == 0 {
                if let Some(failure) = node.failure() {
                    return Err(failure.into());
                }
                let nap = self.until_next(start).map_or(NAP, |next| next.min(NAP));
                self.submitter.wait(nap);
            }
        }
    }

    /// When the `number`th transaction is meant to be sent.
    fn intended(&self, start: Nanos, number: u64) -> Option<Nanos> {
        let rate = u128::from(self.rate?);
        Some(start.after((u128::from(number) * 1_000_000_000 / rate) as u64))
    }

    /// How long until the next transaction is due; `None` where only room is waited for.
    fn until_next(&self, start: Nanos) -> Option<Duration> {
        if self.held.is_some() || self.tally.submitted == self.total {
            return None;
        }
        let due = self.intended(start, self.tally.submitted)?;
        Some(Duration::from_nanos(due.since(clock::monotonic())))
    }

    fn submit_burst(&mut self, start: Nanos) -> Result<u64, Box<dyn Error>> {
        let mut done = 0;
        while done < BURST && self.tally.submitted < self.total {
            let number = self.tally.submitted;
            let (body, taken) = match self.held.take() {
                Some(held) => held,
                None => {
                    let now = clock::monotonic();
                    // Latency counts from the intended moment, so that a stall is charged to
                    // everything that it delays.
                    let taken = self.intended(start, number).unwrap_or(now);
                    if taken > now {
                        break;
                    }
                    (self.encode(number)?, taken)
                }
            };
            let correlation = Correlation(number);
            let entrance = Entrance::InTurn;
            if let Err(body) = self
                .submitter
                .submit(entrance, body, self.acks, correlation, taken)
            {
                self.held = Some((body, taken));
                break;
            }
            self.tally.submitted += 1;
            done += 1;
        }
        Ok(done)
    }

    fn take_answers(&mut self) -> u64 {
        let tally = &mut self.tally;
        self.submitter.poll(|_, answer| match answer {
            Answer::Stored(_) => tally.acknowledged += 1,
            Answer::Rejected(_) => tally.rejected += 1,
        }) as u64
    }

    fn encode(&self, number: u64) -> Result<Bytes, Box<dyn Error>> {
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
