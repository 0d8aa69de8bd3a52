//! What loopback takes: bytes that come back, by a plain client and by one that is built like
//! librdkafka.
//!
//! Whatever sends here stays on the CPU that a node of one core takes, as the node does: otherwise the
//! scheduler puts both ends on one CPU, where nobody has to be woken up on another.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use corelane::clock;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Moves the calling thread to the CPU that a node of one core takes: the highest that the process
/// may use.
fn be_where_a_node_is() {
    if let Some(last) = core_affinity::get_core_ids().and_then(|ids| ids.last().copied()) {
        // Where it cannot be moved it is where the scheduler wants it.
        core_affinity::set_for_current(last);
    }
}

/// A connection whose other end sends back what it gets, in whole messages of so many bytes. It ends
/// with this one.
fn connect(bytes: usize) -> io::Result<TcpStream> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    std::thread::spawn(move || {
        be_where_a_node_is();
        let mut message = vec![0; bytes];
        while far.read_exact(&mut message).is_ok() && far.write_all(&message).is_ok() {}
    });
    Ok(near)
}

/// A client whose caller sends and receives by itself.
pub struct Plain {
    stream: TcpStream,
    message: Vec<u8>,
}

impl Plain {
    pub fn new(bytes: usize) -> io::Result<Plain> {
        let stream = connect(bytes)?;
        let message = vec![b'x'; bytes];
        Ok(Plain { stream, message })
    }

    /// Nanoseconds of a round trip.
    pub fn once(&mut self) -> io::Result<u64> {
        let start = clock::monotonic();
        self.stream.write_all(&self.message)?;
        self.stream.read_exact(&mut self.message)?;
        Ok(clock::monotonic().since(start))
    }
}

/// A client as librdkafka is built: the caller hands a message to a thread, woken by a byte, that
/// polls the socket, and waits until that thread reports.
pub struct Relayed {
    messages: Sender<Vec<u8>>,
    bell: UnixStream,
    reports: Receiver<Vec<u8>>,
    message: Vec<u8>,
}

impl Relayed {
    pub fn new(bytes: usize) -> io::Result<Relayed> {
        let stream = connect(bytes)?;
        let (bell, rung) = UnixStream::pair()?;
        let (messages, inbox) = channel();
        let (outbox, reports) = channel();
        // It ends when the caller's end of the bell is gone.
        std::thread::spawn(move || relay(stream, rung, &inbox, &outbox));
        let message = vec![b'x'; bytes];
        Ok(Relayed {
            messages,
            bell,
            reports,
            message,
        })
    }

    /// Nanoseconds from a message's handing over to its report.
    pub fn once(&mut self) -> io::Result<u64> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        let start = clock::monotonic();
        let message = std::mem::take(&mut self.message);
        self.messages.send(message).map_err(|_| gone(()))?;
        self.bell.write_all(&[1])?;
        self.message = self.reports.recv().map_err(|_| gone(()))?;
        Ok(clock::monotonic().since(start))
    }
}

fn relay(
    mut stream: TcpStream,
    mut rung: UnixStream,
    inbox: &Receiver<Vec<u8>>,
    outbox: &Sender<Vec<u8>>,
) -> io::Result<()> {
    let mut under_way = None;
    loop {
        let (has_rung, has_come) = {
            let mut ends = [
                PollFd::new(&rung, PollFlags::IN),
                PollFd::new(&stream, PollFlags::IN),
            ];
            match poll(&mut ends, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            (!ends[0].revents().is_empty(), !ends[1].revents().is_empty())
        };
        if has_rung {
            rung.read_exact(&mut [0])?;
            for message in inbox.try_iter() {
                stream.write_all(&message)?;
                under_way = Some(message);
            }
        }
        if has_come && let Some(mut message) = under_way.take() {
            stream.read_exact(&mut message)?;
            if outbox.send(message).is_err() {
                return Ok(());
            }
        }
    }
}

/// Bytes that a thread sends as fast as they are taken, in writes of `piece` bytes.
pub struct Stream {
    stream: TcpStream,
    orders: Sender<usize>,
}

impl Stream {
    pub fn new(piece: usize) -> io::Result<Stream> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        let (mut far, _) = listener.accept()?;
        let (orders, inbox) = channel();
        std::thread::spawn(move || {
            be_where_a_node_is();
            let bytes = vec![b'x'; piece];
            for ordered in inbox {
                let mut left: usize = ordered;
                while left > 0 {
                    let now = left.min(piece);
                    if far.write_all(&bytes[..now]).is_err() {
                        return;
                    }
                    left -= now;
                }
            }
        });
        Ok(Stream { stream, orders })
    }

    /// Orders so many bytes and gives the end at which they come.
    pub fn order(&mut self, bytes: usize) -> &mut TcpStream {
        // Where the thread is gone the reader sees the connection's end.
        let _ = self.orders.send(bytes);
        &mut self.stream
    }
}
