//! The control port's sockets, and what one client may take of the node: connections, bytes, time.
//!
//! Owns: the bounds. Never does: HTTP. A client that sends nothing, reads nothing or sends for ever
//! is cut off after [`CONNECTION_MAX`]; nobody else notices it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Connections at once; one more is closed at once. A scrape takes milliseconds.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// From a connection's start to its end, header and answer included.
pub(super) const CONNECTION_MAX: Duration = Duration::from_secs(10);

/// Bytes that a client may send. A scrape sends some hundred.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// Pause after an error of the system, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A listener whose connections are bounded.
#[derive(Debug)]
pub(super) struct Bounded {
    listener: TcpListener,
    slots: Arc<Semaphore>,
}

impl Bounded {
    /// Takes over a listener that does not block.
    pub fn new(listener: std::net::TcpListener) -> io::Result<Bounded> {
        Ok(Bounded {
            listener: TcpListener::from_std(listener)?,
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // Without a slot the stream is dropped here, and so closed.
                    if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                        return (Connection::new(stream, slot), from);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the control port cannot accept");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    bytes_left: usize,
    end: Pin<Box<Sleep>>,
    /// Given back when the connection is closed.
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, slot: OwnedSemaphorePermit) -> Connection {
        Connection {
            stream,
            bytes_left: REQUEST_BYTES_MAX,
            end: Box::pin(sleep(CONNECTION_MAX)),
            _slot: slot,
        }
    }

    /// Whether its time is over. Looked at before every wait, so that the wait ends with it.
    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_time(cx)?;
        let before = out.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, out);
        let read = out.filled().len() - before;
        match self.bytes_left.checked_sub(read) {
            Some(left) => self.bytes_left = left,
            None => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_time(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_time(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_time(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
