//! The half of a connection that takes answers.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ClientError, Rejection};
use super::stream::Stream;
use super::window::{Pending, Window};
use crate::frame::{
    Correlation, HEADER_BYTES, MESSAGE_BYTES_MAX, ProtocolError, Receipt, ServerFrame, Split,
    Welcome, split,
};
use crate::transaction::{TransactionId, TxReceipt};

/// The longest frame that a node sends: a rejection or goodbye with the longest message.
const FRAME_BYTES_MAX: usize = HEADER_BYTES + 10 + MESSAGE_BYTES_MAX;

const BUFFER_BYTES: usize = 64 << 10;

const _: () = assert!(BUFFER_BYTES >= 2 * FRAME_BYTES_MAX);

/// The answer to one submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// As in the submit's [`super::Ticket`].
    pub correlation: Correlation,
    /// The transaction.
    pub id: TransactionId,
    /// As given to [`super::Sender::submit_tagged`]; 0 where none was given.
    pub tag: u64,
    /// Its receipt, or why there is none.
    pub outcome: Result<TxReceipt, Rejection>,
}

/// What arrived.
#[derive(Debug)]
pub(super) enum Incoming {
    Reply(Reply),
    Pong(u64),
}

/// The half of a connection that takes answers; made by [`super::Client::split`].
#[derive(Debug)]
pub struct Receiver {
    stream: Stream,
    window: Arc<Window>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes of the connection before `buffer[start]`.
    consumed: u64,
}

/// A frame's meaning without the borrow of the buffer it lies in.
enum Decoded {
    Welcome(Welcome),
    Receipt(Receipt),
    Rejected(Correlation, Rejection),
    Pong(u64),
}

impl Receiver {
    pub(super) fn new(stream: Stream, window: Arc<Window>) -> Receiver {
        Receiver {
            stream,
            window,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            consumed: 0,
        }
    }

    /// Exchanges the window for one of the size that the node allows.
    pub(super) fn set_window(&mut self, window: Arc<Window>) {
        self.window = window;
    }

    /// Waits for the next answer.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`] leaves everything as it was; after any other error no more
    /// answers come.
    pub fn recv(&mut self) -> Result<Reply, ClientError> {
        loop {
            if let Incoming::Reply(reply) = self.recv_any()? {
                return Ok(reply);
            }
        }
    }

    /// How long [`Receiver::recv`] waits; `None` = for ever.
    ///
    /// # Errors
    /// A timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        self.stream
            .set_read_timeout(timeout)
            .map_err(|error| ClientError::from_io("setting a timeout", error))
    }

    /// Submits without an answer.
    pub fn unanswered(&self) -> usize {
        self.window.unanswered()
    }

    pub(super) fn recv_welcome(&mut self) -> Result<Welcome, ClientError> {
        match self.next_frame()? {
            Decoded::Welcome(welcome) => Ok(welcome),
            Decoded::Receipt(Receipt { correlation, .. }) | Decoded::Rejected(correlation, _) => {
                Err(ClientError::UnknownCorrelation(correlation))
            }
            Decoded::Pong(token) => Err(ClientError::UnknownCorrelation(Correlation(token))),
        }
    }

    pub(super) fn recv_any(&mut self) -> Result<Incoming, ClientError> {
        let result = self.next_frame().and_then(|frame| self.incoming(frame));
        if let Err(error) = &result
            && !matches!(error, ClientError::TimedOut { .. })
        {
            self.window.close();
        }
        result
    }

    fn incoming(&mut self, frame: Decoded) -> Result<Incoming, ClientError> {
        match frame {
            Decoded::Receipt(receipt) => {
                let Pending { id, tag } = self.answered(receipt.correlation)?;
                Ok(Incoming::Reply(Reply {
                    correlation: receipt.correlation,
                    id,
                    tag,
                    outcome: Ok(receipt.for_transaction(id)),
                }))
            }
            Decoded::Rejected(correlation, rejection) => {
                let Pending { id, tag } = self.answered(correlation)?;
                Ok(Incoming::Reply(Reply {
                    correlation,
                    id,
                    tag,
                    outcome: Err(rejection),
                }))
            }
            Decoded::Pong(token) => Ok(Incoming::Pong(token)),
            Decoded::Welcome(_) => {
                Err(self.protocol_error(ProtocolError::unexpected(crate::frame::Kind::Welcome)))
            }
        }
    }

    fn answered(&self, correlation: Correlation) -> Result<Pending, ClientError> {
        self.window
            .take(correlation)
            .ok_or(ClientError::UnknownCorrelation(correlation))
    }

    fn next_frame(&mut self) -> Result<Decoded, ClientError> {
        loop {
            let bytes = &self.buffer[self.start..self.end];
            let frame = match split(bytes, FRAME_BYTES_MAX) {
                Ok(Split::Frame(frame)) => frame,
                Ok(Split::Incomplete { .. }) => {
                    self.fill()?;
                    continue;
                }
                Err(error) => return Err(self.protocol_error(error)),
            };
            let frame_bytes = frame.bytes.len();
            let decoded = match ServerFrame::decode(frame) {
                Ok(ServerFrame::Welcome(welcome)) => Decoded::Welcome(welcome),
                Ok(ServerFrame::Receipt(receipt)) => Decoded::Receipt(receipt),
                Ok(ServerFrame::Rejected(rejected)) => {
                    let rejection = Rejection {
                        code: rejected.code,
                        message: rejected.message.to_owned(),
                    };
                    Decoded::Rejected(rejected.correlation, rejection)
                }
                Ok(ServerFrame::Pong { token }) => Decoded::Pong(token),
                Ok(ServerFrame::Goodbye(goodbye)) => {
                    return Err(ClientError::Goodbye {
                        reason: goodbye.reason,
                        position: goodbye.position,
                        message: goodbye.message.to_owned(),
                    });
                }
                Err(error) => return Err(self.protocol_error(error)),
            };
            self.start += frame_bytes;
            self.consumed += frame_bytes as u64;
            return Ok(decoded);
        }
    }

    /// Reads once. There is always room: a frame is far shorter than the buffer.
    fn fill(&mut self) -> Result<(), ClientError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(ClientError::Closed {
                unanswered: self.window.unanswered(),
            }),
            Ok(bytes) => {
                self.end += bytes;
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(ClientError::from_io("waiting for an answer", error)),
        }
    }

    fn protocol_error(&self, error: ProtocolError) -> ClientError {
        ClientError::Protocol {
            position: self.consumed + error.position as u64,
            error,
        }
    }
}

impl Drop for Receiver {
    /// Whoever waits for room would wait for ever.
    fn drop(&mut self) {
        self.window.close();
    }
}
