//! Listening sockets of the Kafka protocol, and the accept loops of one core.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite, FutureExt};
use glommio::net::{TcpListener, TcpStream};

use super::connection::{Connection, Surroundings};
use super::desk::Desk;
use super::receive::Shelf;
use super::sasl::Users;
use super::tls::TlsAcceptor;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a client may take until its first request after it has proved who it is.
const AUTHENTICATION_MAX: Duration = Duration::from_secs(30);

/// What a listener asks of those who connect.
#[derive(Clone)]
pub struct Entrance {
    /// Where it listens.
    pub address: SocketAddr,
    /// Encryption, where it has some.
    pub tls: Option<TlsAcceptor>,
}

/// What all connections of a core share.
pub struct House {
    /// Where requests go.
    pub desk: Rc<Desk>,
    /// Who may come in; without users everybody may.
    pub users: Option<Arc<Users>>,
    /// Longest request, in bytes.
    pub request_bytes_max: usize,
    pub(super) shelf: Shelf,
}

impl House {
    /// What the connections of one core share.
    pub fn new(desk: Rc<Desk>, users: Option<Arc<Users>>, request_bytes_max: usize) -> House {
        House {
            desk,
            users,
            request_bytes_max,
            shelf: Shelf::default(),
        }
    }
}

/// Binds this core's sockets and accepts on them until the desk closes; each accept loop and each
/// connection is a task of its own on this executor. Every core binds the same addresses
/// (SO_REUSEPORT), so the kernel spreads the connections.
///
/// # Errors
/// Names the address; nothing was bound.
pub fn serve(entrances: Vec<Entrance>, house: &Rc<House>) -> io::Result<()> {
    let mut bound = Vec::new();
    for entrance in entrances {
        let listener = TcpListener::bind(entrance.address).map_err(|error| {
            io::Error::other(format!("cannot listen on {}: {error}", entrance.address))
        })?;
        bound.push((listener, entrance));
    }
    for (number, (listener, entrance)) in (0u16..).zip(bound) {
        let house = Rc::clone(house);
        glommio::spawn_local(async move {
            while let Some(stream) = until_closed(&house.desk, listener.accept()).await {
                if let Ok(stream) = stream {
                    admit(stream, number, &entrance, &house);
                }
            }
        })
        .detach();
    }
    Ok(())
}

/// The future's output, or `None` when the desk closes first.
async fn until_closed<T>(desk: &Desk, future: impl Future<Output = T>) -> Option<T> {
    let closed = poll_fn(|cx| match desk.closing_or_wait(cx.waker()) {
        true => Poll::Ready(None),
        false => Poll::Pending,
    });
    closed.or(async { Some(future.await) }).await
}

/// A connection beyond the bound is closed without a word: Kafka's protocol has none for it.
fn admit(stream: TcpStream, listener: u16, entrance: &Entrance, house: &Rc<House>) {
    let Some(seat) = house.desk.sit() else {
        return;
    };
    // An answer must not wait for a fuller packet.
    let _ = stream.set_nodelay(true);
    let host = stream.peer_addr().map(|peer| format!("/{}", peer.ip()));
    let admitted = Rc::new(Cell::new(house.users.is_none()));
    let around = Surroundings {
        listener,
        host: host.unwrap_or_default().into(),
        house: Rc::clone(house),
        admitted: Rc::clone(&admitted),
    };
    let tls = entrance.tls.clone();
    glommio::spawn_local(async move {
        // A connection that breaks concerns its client alone, who sees it break.
        let _ = match tls {
            Some(tls) => match handshake(&tls, stream).await {
                Ok(stream) => run(Connection::new(stream, seat, around), &admitted).await,
                Err(error) => Err(error),
            },
            None => run(Connection::new(stream, seat, around), &admitted).await,
        };
    })
    .detach();
}

/// Serves a connection; who does not prove in time who he is loses it.
async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    connection: Connection<S>,
    admitted: &Cell<bool>,
) -> io::Result<()> {
    if admitted.get() {
        return connection.run().await;
    }
    let late = async {
        glommio::timer::sleep(AUTHENTICATION_MAX).await;
        if admitted.get() {
            std::future::pending::<()>().await;
        }
        Err(io::ErrorKind::TimedOut.into())
    };
    connection.run().or(late).await
}

async fn handshake(
    tls: &TlsAcceptor,
    stream: TcpStream,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + 'static> {
    let late = async {
        glommio::timer::sleep(HANDSHAKE_MAX).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    tls.accept(stream).or(late).await
}
