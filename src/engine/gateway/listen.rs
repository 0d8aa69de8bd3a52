//! Listening sockets and the accept loops of one core.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Poll;

use futures_lite::{AsyncRead, AsyncWrite, AsyncWriteExt, FutureExt};
use glommio::net::{TcpListener, UnixListener};

use crate::frame::{Goodbye, GoodbyeReason};

use super::connection::Connection;
use super::gate::Gate;

/// The sockets on which one core accepts.
#[derive(Debug, Default)]
pub struct Listeners {
    tcp: Vec<TcpListener>,
    unix: Vec<UnixListener>,
}

/// Binds this core's sockets, on its executor. Every core binds the same TCP addresses
/// (SO_REUSEPORT), so the kernel spreads the connections; a Unix socket is bound by one core only.
///
/// # Errors
/// Names the address.
pub fn bind(tcp: &[SocketAddr], unix: &[PathBuf]) -> io::Result<Listeners> {
    let mut listeners = Listeners::default();
    for address in tcp {
        let listener = TcpListener::bind(address).map_err(|error| named(address, &error))?;
        listeners.tcp.push(listener);
    }
    for path in unix {
        let listener = UnixListener::bind(path).map_err(|error| named(&path.display(), &error))?;
        listeners.unix.push(listener);
    }
    Ok(listeners)
}

#[allow(clippy::disallowed_macros)] // At start only.
fn named(address: &dyn std::fmt::Display, error: &glommio::GlommioError<()>) -> io::Error {
    io::Error::other(format!("cannot listen on {address}: {error}"))
}

impl Listeners {
    /// The TCP addresses really bound (a configured port 0 becomes a number).
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn tcp_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let address = |listener: &TcpListener| {
            // The executor's error is no `Sync` type; its text is all that is needed.
            listener
                .local_addr()
                .map_err(|error| io::Error::other(error.to_string()))
        };
        self.tcp.iter().map(address).collect()
    }

    /// Accepts on all sockets until the gate closes; each accept loop and each connection is a
    /// task of its own on this executor.
    pub fn serve(self, gate: &Rc<Gate>) {
        for listener in self.tcp {
            let gate = Rc::clone(gate);
            glommio::spawn_local(async move {
                while let Some(stream) = until_closed(&gate, listener.accept()).await {
                    if let Ok(stream) = stream {
                        // A receipt must not wait for a fuller packet.
                        let _ = stream.set_nodelay(true);
                        admit(stream, &gate);
                    }
                }
            })
            .detach();
        }
        for listener in self.unix {
            let gate = Rc::clone(gate);
            glommio::spawn_local(async move {
                while let Some(stream) = until_closed(&gate, listener.accept()).await {
                    if let Ok(stream) = stream {
                        admit(stream, &gate);
                    }
                }
            })
            .detach();
        }
    }
}

/// The future's output, or `None` when the gate closes first.
async fn until_closed<T>(gate: &Gate, future: impl Future<Output = T>) -> Option<T> {
    let closed = poll_fn(|cx| match gate.closing_or_wait(cx.waker()) {
        true => Poll::Ready(None),
        false => Poll::Pending,
    });
    closed.or(async { Some(future.await) }).await
}

fn admit<S>(mut stream: S, gate: &Rc<Gate>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let seat = gate.sit();
    glommio::spawn_local(async move {
        // A connection that breaks concerns its client alone, who sees it break.
        let _ = match seat {
            Some(seat) => Connection::new(stream, seat).run().await,
            None => refuse(&mut stream).await,
        };
    })
    .detach();
}

async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut out = Vec::new();
    let message = "the node has all the connections that it allows";
    Goodbye {
        reason: GoodbyeReason::TooManyConnections,
        position: None,
        message,
    }
    .encode(&mut out);
    stream.write_all(&out).await?;
    stream.close().await
}
