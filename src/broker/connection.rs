//! One Kafka connection: its bytes, its frames, its task.
//!
//! Owns: what it has received and what it has to send. Never does: executing a request; what needs no
//! storage (ApiVersions, authentication) is answered in `greeting.rs`, the rest by the duty cycle. Runs
//! on: the core that accepted it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes};
use futures_lite::{AsyncRead, AsyncWrite};

use crate::wire::api;
use crate::wire::request::RequestHeader;

use super::desk::{Answer, Call, Next, Origin, Seat, Size};
use super::greeting::{Greeted, Greeting};
use super::listen::House;
use super::receive::Received;

/// Bytes of a frame's length field.
const LENGTH_BYTES: usize = 4;

/// Parts of answers shorter than this are put together, so that they leave in one packet.
const GATHER_BYTES: usize = 16 << 10;

/// Where a connection came in.
pub(super) struct Surroundings {
    pub listener: u16,
    pub host: Rc<str>,
    pub house: Rc<House>,
    /// Set once the client may ask for anything.
    pub admitted: Rc<Cell<bool>>,
}

/// Why parsing pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parsed {
    /// More bytes are needed: at least this many in the buffer.
    Need(usize),
    /// Requests under way must be answered first.
    Blocked,
    /// What came is no request.
    Bad,
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// Nothing more is read; what is under way is answered.
    Finishing,
}

pub(super) struct Connection<S> {
    stream: S,
    seat: Seat,
    around: Surroundings,
    greeting: Greeting,
    stage: Stage,
    received: Received,
    /// Bytes that must have been received before parsing can go on.
    need: usize,
    /// Small parts, put together.
    small: Vec<u8>,
    small_written: usize,
    /// Sent after `small`.
    large: VecDeque<Bytes>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn new(stream: S, seat: Seat, around: Surroundings) -> Connection<S> {
        let greeting = Greeting::new(around.house.users.clone());
        Connection {
            stream,
            seat,
            around,
            greeting,
            stage: Stage::Open,
            received: Received::default(),
            need: LENGTH_BYTES,
            small: Vec::new(),
            small_written: 0,
            large: VecDeque::new(),
        }
    }

    /// Serves the connection until it ends.
    pub async fn run(mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if ready!(self.poll_answers(cx))? == Left::Close {
                return self.poll_close(cx);
            }
            if self.seat.is_closing() {
                self.stage = Stage::Finishing;
            }
            if self.stage == Stage::Finishing {
                return match self.seat.next_answer(cx.waker()) {
                    Next::Nothing => self.poll_close(cx),
                    Next::Underway => Poll::Pending,
                    Next::Answer(answer) => {
                        if self.take(answer) == Left::Close {
                            return self.poll_close(cx);
                        }
                        continue;
                    }
                };
            }
            match self.parse(cx.waker()) {
                Parsed::Need(need) => self.need = need,
                Parsed::Blocked => return Poll::Pending,
                Parsed::Bad => return self.poll_close(cx),
            }
            // What was answered at once goes out before more is read.
            match self.seat.next_answer(cx.waker()) {
                Next::Answer(answer) => {
                    if self.take(answer) == Left::Close {
                        return self.poll_close(cx);
                    }
                    continue;
                }
                Next::Nothing | Next::Underway => {}
            }
            if ready!(self.poll_read(cx))? == 0 {
                // The client has shut down its sending half: what is under way is answered.
                self.stage = Stage::Finishing;
            }
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    /// Sends the answers that are ready, in order. Ready when none is left.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Left>> {
        loop {
            ready!(self.poll_write(cx))?;
            self.seat.sent();
            match self.seat.next_answer(cx.waker()) {
                Next::Answer(answer) => {
                    if self.take(answer) == Left::Close {
                        return Poll::Ready(Ok(Left::Close));
                    }
                }
                Next::Nothing | Next::Underway => return Poll::Ready(Ok(Left::Nothing)),
            }
        }
    }

    /// Puts an answer where it is written from.
    fn take(&mut self, answer: Answer) -> Left {
        match answer {
            Answer::Silence => {}
            Answer::HangUp => return Left::Close,
            Answer::Frame(parts) => {
                for part in parts {
                    if self.large.is_empty() && part.len() < GATHER_BYTES {
                        self.small.extend_from_slice(&part);
                    } else if !part.is_empty() {
                        self.large.push_back(part);
                    }
                }
            }
        }
        Left::Nothing
    }

    /// Writes what waits. Ready when all of it is out.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Encrypted streams keep bytes back until they are flushed.
        let wrote = !self.small.is_empty() || !self.large.is_empty();
        while self.small_written < self.small.len() {
            let bytes = &self.small[self.small_written..];
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
            self.small_written += written(count)?;
        }
        if self.small.capacity() > GATHER_BYTES * 4 {
            self.small = Vec::new();
        }
        self.small.clear();
        self.small_written = 0;
        while let Some(front) = self.large.front_mut() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, front))?;
            front.advance(written(count)?);
            if front.is_empty() {
                self.large.pop_front();
            }
        }
        if wrote {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let shelf = &self.around.house.shelf;
        let room = self.received.room(self.need, shelf);
        match Pin::new(&mut self.stream).poll_read(cx, room) {
            Poll::Ready(result) => {
                let count = result?;
                self.received.read(count);
                Poll::Ready(Ok(count))
            }
            Poll::Pending => {
                self.received.pause(shelf);
                Poll::Pending
            }
        }
    }

    /// Takes whole requests out of the buffer.
    fn parse(&mut self, waker: &Waker) -> Parsed {
        loop {
            let bytes_max = self.around.house.request_bytes_max;
            let bytes_max = self.greeting.frame_bytes_max(bytes_max);
            let received = self.received.bytes();
            let Some((length, frame)) = received.split_first_chunk() else {
                return Parsed::Need(LENGTH_BYTES);
            };
            let length = i32::from_be_bytes(*length);
            let bytes = match usize::try_from(length) {
                Ok(bytes) if bytes <= bytes_max => bytes,
                Ok(_) | Err(_) => return Parsed::Bad,
            };
            if frame.len() < bytes {
                return Parsed::Need(LENGTH_BYTES + bytes);
            }
            // Not before it is there: what was only announced takes no room from others.
            let size = match frame[..bytes].first_chunk() {
                Some(key) if i16::from_be_bytes(*key) == api::FETCH => Size::Large,
                Some(_) | None => Size::Small,
            };
            let Some(origin) = self.seat.reserve(bytes, size, waker) else {
                return Parsed::Blocked;
            };
            let mut frame = self.received.take(LENGTH_BYTES + bytes);
            frame.advance(LENGTH_BYTES);
            if self.request(origin, frame) == Left::Close {
                return Parsed::Bad;
            }
        }
    }

    /// Answers a request, or hands it to the duty cycle.
    fn request(&mut self, origin: Origin, frame: Bytes) -> Left {
        if let Some(token) = self.greeting.raw_token(&frame) {
            return self.greeted(origin, token);
        }
        let Ok(header) = RequestHeader::parse(&frame) else {
            return Left::Close;
        };
        if let Some(greeted) = self.greeting.answer(&header, frame.slice(header.body_at..)) {
            return self.greeted(origin, greeted);
        }
        self.around.admitted.set(true);
        let call = Call {
            origin,
            listener: self.around.listener,
            host: Rc::clone(&self.around.host),
            key: header.api_key,
            version: header.version,
            correlation_id: header.correlation_id,
            body: header.body_at,
            frame: frame.clone(),
        };
        self.seat.submit(call);
        Left::Nothing
    }

    fn greeted(&mut self, origin: Origin, greeted: Greeted) -> Left {
        match greeted {
            Greeted::Answer(frame) => {
                self.seat.answer(origin, Answer::Frame(vec![frame]));
                Left::Nothing
            }
            Greeted::LastAnswer(frame) => {
                self.seat.answer(origin, Answer::Frame(vec![frame]));
                self.stage = Stage::Finishing;
                Left::Nothing
            }
            Greeted::HangUp => Left::Close,
        }
    }
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Close,
}

fn written(count: usize) -> io::Result<usize> {
    match count {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}
