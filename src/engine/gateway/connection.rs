//! One connection: its protocol, its buffers, its task.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, BytesMut};
use futures_lite::{AsyncRead, AsyncWrite};

use crate::clock;
use crate::frame::{
    self, ClientFrame, Goodbye, GoodbyeReason, ProtocolError, Split, Welcome, encode_pong,
};
use crate::ids::Nanos;

use super::gate::{Admitted, Arrival, Seat};

/// Bytes of one receive buffer. Frames are slices of it; it is freed when the last of them is.
const CHUNK_BYTES: usize = 64 << 10;

/// A client that does not read its answers is not read either once this many bytes wait for it.
const OUT_BYTES_MAX: usize = 256 << 10;

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The hello has not come yet.
    Greeting,
    /// Transactions flow.
    Open,
    /// Nothing more is read; what is in flight is answered, then the connection ends.
    Finishing,
}

/// Why reading pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parsed {
    /// More bytes are needed: at least this many in the buffer.
    Need(usize),
    /// The core or the client must catch up first.
    Blocked,
}

pub(super) struct Connection<S> {
    stream: S,
    seat: Seat,
    stage: Stage,
    /// `chunk[..filled]` came from the socket and was not parsed yet; the rest is free.
    chunk: BytesMut,
    /// What was allocated for it, of which frames may be cut off.
    chunk_bytes: usize,
    filled: usize,
    /// Bytes that the buffer must hold before parsing can go on.
    need: usize,
    /// Bytes parsed so far: where the next frame starts in the client's stream.
    parsed: u64,
    out: Vec<u8>,
    /// When the oldest answer in `out` was given.
    answered: Option<Nanos>,
    written: usize,
    /// Said when everything in flight was answered: nothing may follow it.
    goodbye: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn new(stream: S, seat: Seat) -> Connection<S> {
        Connection {
            stream,
            seat,
            stage: Stage::Greeting,
            chunk: BytesMut::new(),
            chunk_bytes: 0,
            filled: 0,
            need: 1,
            parsed: 0,
            out: Vec::new(),
            answered: None,
            written: 0,
            goodbye: Vec::new(),
        }
    }

    /// Serves the connection until it ends.
    pub async fn run(mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let polled = self.poll(cx);
            let bytes = self.chunk_bytes + self.out.capacity();
            self.seat.note_buffers(bytes);
            polled
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let answered = self.seat.take_answers(&mut self.out, cx.waker());
            self.answered = self.answered.or(answered);
            if self.seat.is_closing() && self.stage != Stage::Finishing {
                self.say_goodbye(GoodbyeReason::ServerStopping, None, "the node stops");
            }
            let written = self.poll_write(cx)?;
            if self.stage == Stage::Finishing {
                if written.is_ready() && self.seat.in_flight() == 0 && self.out.is_empty() {
                    if !self.goodbye.is_empty() {
                        self.out.append(&mut self.goodbye);
                        continue;
                    }
                    let _ = ready!(Pin::new(&mut self.stream).poll_close(cx));
                    return Poll::Ready(Ok(()));
                }
                return Poll::Pending;
            }
            match self.parse(cx.waker()) {
                Ok(Parsed::Blocked) => {
                    if self.out.len() - self.written > OUT_BYTES_MAX && written.is_ready() {
                        continue;
                    }
                    return Poll::Pending;
                }
                Ok(Parsed::Need(need)) => self.need = need,
                Err(error) => {
                    let position = self.parsed + error.position as u64;
                    self.say_goodbye(error.reason(), Some(position), &error.fault.to_string());
                    continue;
                }
            }
            if self.out.len() > self.written && written.is_ready() {
                // Parsing answered something at once: write it before waiting for more.
                continue;
            }
            if ready!(self.poll_read(cx))? == 0 {
                // The client has shut down its sending half: what is in flight is answered.
                self.stage = Stage::Finishing;
            }
        }
    }

    /// Writes what waits. Ready when all of it is out.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while self.written < self.out.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        self.out.clear();
        self.written = 0;
        if let Some(answered) = self.answered.take() {
            self.seat.note_replied(answered);
        }
        Ok(Poll::Ready(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.make_room();
        let free = &mut self.chunk[self.filled..];
        let count = ready!(Pin::new(&mut self.stream).poll_read(cx, free))?;
        self.filled += count;
        Poll::Ready(Ok(count))
    }

    /// Makes sure that the frame under way fits the buffer, and that a read is worth its call.
    fn make_room(&mut self) {
        let worthwhile = self.need.max(self.filled + CHUNK_BYTES / 16);
        if self.chunk.len() >= worthwhile {
            return;
        }
        // `need` is bounded by the longest frame, which `split` checks before it is trusted.
        let mut fresh = BytesMut::zeroed(self.need.max(CHUNK_BYTES));
        fresh[..self.filled].copy_from_slice(&self.chunk[..self.filled]);
        self.chunk_bytes = fresh.len();
        self.chunk = fresh;
    }

    /// Takes whole frames out of the buffer.
    fn parse(&mut self, waker: &Waker) -> Result<Parsed, ProtocolError> {
        // Once for all frames of a read, and not the cycle's: latency counts from their arrival.
        #[allow(clippy::disallowed_methods)]
        let taken = clock::monotonic();
        let frame_bytes_max = self.seat.gate().options().frame_bytes_max;
        loop {
            if self.out.len() - self.written > OUT_BYTES_MAX {
                return Ok(Parsed::Blocked);
            }
            let frame = match frame::split(&self.chunk[..self.filled], frame_bytes_max)? {
                Split::Incomplete { need } => return Ok(Parsed::Need(need)),
                Split::Frame(frame) => frame,
            };
            let (bytes, kind) = (frame.bytes.len(), frame.kind);
            let frame = ClientFrame::decode(frame)?;
            match (self.stage, frame) {
                (Stage::Greeting, ClientFrame::Hello(_)) => self.welcome(),
                (Stage::Greeting, ClientFrame::Submit(_) | ClientFrame::Ping { .. })
                | (_, ClientFrame::Hello(_)) => return Err(ProtocolError::unexpected(kind)),
                (_, ClientFrame::Ping { token }) => {
                    self.out.extend_from_slice(&encode_pong(token));
                }
                (_, ClientFrame::Submit(submit)) => {
                    if self.submit(submit, bytes, taken, waker) == Admitted::Blocked {
                        return Ok(Parsed::Blocked);
                    }
                    continue;
                }
            }
            self.advance(bytes);
        }
    }

    /// Hands over a transaction, and with it the bytes of its frame.
    fn submit(
        &mut self,
        submit: frame::Submit,
        bytes: usize,
        taken: Nanos,
        waker: &Waker,
    ) -> Admitted {
        let (chunk, filled, parsed) = (&mut self.chunk, &mut self.filled, &mut self.parsed);
        let body = || {
            *filled -= bytes;
            *parsed += bytes as u64;
            chunk.split_to(bytes).freeze().slice(submit.transaction)
        };
        let arrival = Arrival {
            correlation: submit.correlation,
            acks: submit.acks,
            trace: submit.trace,
            taken,
        };
        let admitted = self.seat.admit(body, arrival, waker);
        if admitted == Admitted::Overloaded {
            self.advance(bytes);
        }
        admitted
    }

    /// Takes a frame's bytes off the buffer.
    fn advance(&mut self, bytes: usize) {
        self.filled -= bytes;
        self.parsed += bytes as u64;
        self.chunk.advance(bytes);
    }

    fn welcome(&mut self) {
        self.stage = Stage::Open;
        let options = self.seat.gate().options();
        let welcome = Welcome {
            version: frame::VERSION,
            in_flight_max: options.in_flight_max,
            frame_bytes_max: options.frame_bytes_max as u32,
            node_id: options.node_id,
        };
        self.out.extend_from_slice(&welcome.encode());
    }

    fn say_goodbye(&mut self, reason: GoodbyeReason, position: Option<u64>, message: &str) {
        Goodbye {
            reason,
            position,
            message,
        }
        .encode(&mut self.goodbye);
        self.stage = Stage::Finishing;
    }
}
