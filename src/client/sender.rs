//! The half of a connection that submits.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use super::error::ClientError;
use super::stream::Stream;
use super::window::{Pending, Room, Window};
use crate::frame::{Correlation, begin_submit, begin_submit_traced, encode_ping, finish_submit};
use crate::ids::Acks;
use crate::telemetry::TraceContext;
use crate::transaction::{TransactionRef, codec};

/// Frames are collected up to this many bytes before they are sent unasked.
const BUFFER_BYTES: usize = 64 << 10;

/// A submit, to be recognised in its [`super::Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// What the answer will carry.
    pub correlation: Correlation,
}

/// The half of a connection that submits; made by [`super::Client::split`].
#[derive(Debug)]
pub struct Sender {
    stream: Stream,
    window: Arc<Window>,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that were written by a flush that timed out.
    written: usize,
    correlation_next: u64,
    frame_bytes_max: usize,
    wait_max: Option<Duration>,
    trace: Option<TraceContext>,
}

impl Sender {
    pub(super) fn new(
        stream: Stream,
        window: Arc<Window>,
        frame_bytes_max: usize,
        wait_max: Option<Duration>,
    ) -> Sender {
        Sender {
            stream,
            window,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            written: 0,
            correlation_next: 0,
            frame_bytes_max,
            wait_max,
            trace: None,
        }
    }

    /// What is submitted from now on belongs to this trace, or to none of the caller's. The node must
    /// know the frame for it (`docs/gateway.md`, SubmitTraced).
    pub fn set_trace(&mut self, trace: Option<TraceContext>) {
        self.trace = trace;
    }

    /// Submits a transaction; where as much as may be is unanswered, sends what is buffered and
    /// waits until the other half has taken an answer. See [`Sender::submit_tagged`].
    ///
    /// # Errors
    /// As [`Sender::submit_tagged`].
    pub fn submit(
        &mut self,
        transaction: &TransactionRef<'_>,
        acks: Acks,
    ) -> Result<Ticket, ClientError> {
        self.submit_tagged(transaction, acks, 0)
    }

    /// Submits a transaction with a number of the caller's that comes back in the reply (e.g. the
    /// time at which it was meant to be sent). It is buffered: [`Sender::flush`] sends it.
    ///
    /// # Errors
    /// The transaction breaks a bound, no answer made room in time, or the connection failed.
    pub fn submit_tagged(
        &mut self,
        transaction: &TransactionRef<'_>,
        acks: Acks,
        tag: u64,
    ) -> Result<Ticket, ClientError> {
        if acks != Acks::None {
            self.wait_for_room()?;
        }
        self.try_submit(transaction, acks, tag)
    }

    /// Where as much as may be is unanswered, sends what is buffered and waits until the other
    /// half has taken an answer.
    ///
    /// # Errors
    /// No answer made room in time, or the connection failed.
    pub fn wait_for_room(&mut self) -> Result<(), ClientError> {
        if self.window.room() == Room::Full {
            self.flush()?;
            if self.window.wait_for_room(self.wait_max) == Room::Full {
                let stage = "waiting for answers to make room";
                return Err(ClientError::TimedOut { stage });
            }
        }
        Ok(())
    }

    /// As [`Sender::submit_tagged`], but never waits for room.
    ///
    /// # Errors
    /// [`ClientError::WindowFull`], beside those of [`Sender::submit_tagged`].
    pub fn try_submit(
        &mut self,
        transaction: &TransactionRef<'_>,
        acks: Acks,
        tag: u64,
    ) -> Result<Ticket, ClientError> {
        let id = transaction.transaction_id()?;
        match self.window.room() {
            Room::Closed => {
                let unanswered = self.window.unanswered();
                return Err(ClientError::Closed { unanswered });
            }
            // A submit that gets no answer takes no room.
            Room::Full if acks != Acks::None => {
                let in_flight_max = self.window.in_flight_max();
                return Err(ClientError::WindowFull { in_flight_max });
            }
            Room::Full | Room::Free => {}
        }
        // Before the frame is begun, so that a timeout here leaves no half of one behind.
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        let correlation = Correlation(self.correlation_next);
        let start = match &self.trace {
            None => begin_submit(&mut self.buffer, correlation, acks),
            Some(trace) => begin_submit_traced(&mut self.buffer, correlation, acks, trace),
        };
        let encoded = codec::encode(transaction, &mut self.buffer);
        if let Err(error) = encoded {
            start.undo(&mut self.buffer);
            return Err(ClientError::Transaction(error));
        }
        finish_submit(&mut self.buffer, start, self.frame_bytes_max)
            .map_err(ClientError::TooLong)?;
        self.correlation_next += 1;
        if acks != Acks::None {
            self.window.insert(correlation, Pending { id, tag });
        }
        Ok(Ticket { correlation })
    }

    /// Sends what is buffered.
    ///
    /// # Errors
    /// The connection failed; or it timed out, then another flush goes on where this one stopped.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        let stage = "sending";
        while self.written < self.buffer.len() {
            match self.stream.write(&self.buffer[self.written..]) {
                Ok(0) => {
                    let source = std::io::ErrorKind::WriteZero.into();
                    return Err(ClientError::Io { stage, source });
                }
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ClientError::from_io(stage, error)),
            }
        }
        self.buffer.clear();
        self.written = 0;
        Ok(())
    }

    /// Submits without an answer, those that are still buffered included.
    pub fn unanswered(&self) -> usize {
        self.window.unanswered()
    }

    /// Sends what is buffered and tells the node that no more will come. The node answers what is
    /// in flight, then closes; the other half sees [`ClientError::Closed`].
    ///
    /// # Errors
    /// The connection failed.
    pub fn finish(mut self) -> Result<(), ClientError> {
        // Also where not all could be sent: the node then still answers what it has.
        let flushed = self.flush();
        let ended = self.stream.shutdown(Shutdown::Write);
        flushed.and(ended.map_err(|error| ClientError::from_io("ending", error)))
    }

    pub(super) fn buffer_ping(&mut self, token: u64) {
        encode_ping(&mut self.buffer, token);
    }
}
