//! Connecting, and both halves in one hand.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::receiver::{Incoming, Receiver, Reply};
use super::sender::{Sender, Ticket};
use super::stream::{Address, Stream};
use super::window::Window;
use crate::frame::{Hello, VERSION, Welcome};
use crate::ids::Acks;
use crate::telemetry::TraceContext;
use crate::transaction::{Transaction, TransactionRef, TxReceipt};

/// How a client connects and waits.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// What the client calls itself in the node's logs; cut at 64 bytes.
    pub name: String,
    /// Submits that may be unanswered; lowered to what the node allows. At least 1.
    pub in_flight_max: usize,
    /// How long connecting may take for each address, and the handshake after it.
    pub connect_timeout: Duration,
    /// How long one wait for an answer, or for room, may take; `None` = for ever.
    pub read_timeout: Option<Duration>,
    /// How long one write may take; `None` = for ever.
    pub write_timeout: Option<Duration>,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            name: "corelane-client".to_owned(),
            in_flight_max: 1024,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Some(Duration::from_secs(30)),
            write_timeout: Some(Duration::from_secs(30)),
        }
    }
}

/// One connection to a node.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
    receiver: Receiver,
    welcome: Welcome,
    /// Answers that arrived while another one was waited for.
    ready: VecDeque<Reply>,
}

impl Client {
    /// Connects to `host:port` or `unix:/path` and says hello.
    ///
    /// # Errors
    /// The address is none, nobody listens there, or who listens is no node of this version.
    pub fn connect(address: &str, options: ClientOptions) -> Result<Client, ClientError> {
        let address: Address = address.parse().map_err(ClientError::Address)?;
        Client::connect_to(&address, &options)
    }

    /// As [`Client::connect`], with an address that was parsed before.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_to(address: &Address, options: &ClientOptions) -> Result<Client, ClientError> {
        let stream = Stream::connect(address, options.connect_timeout).map_err(|source| {
            let address = address.clone();
            ClientError::Connect { address, source }
        })?;
        let io = |error| ClientError::from_io("connecting", error);
        stream
            .set_write_timeout(options.write_timeout)
            .map_err(io)?;
        stream
            .set_read_timeout(Some(options.connect_timeout))
            .map_err(io)?;
        let mut receiver = Receiver::new(stream.try_clone().map_err(io)?, Arc::new(Window::new(0)));
        let sent = send_hello(stream.try_clone().map_err(io)?, &options.name).map_err(io);
        // A node that refuses the connection may have closed it already: its goodbye says more
        // than the broken pipe.
        let welcome = match (sent, receiver.recv_welcome()) {
            (Ok(()), answer) => answer?,
            (Err(_), Err(goodbye @ ClientError::Goodbye { .. })) => return Err(goodbye),
            (Err(error), _) => return Err(error),
        };
        let in_flight_max = options.in_flight_max.min(welcome.in_flight_max as usize);
        let window = Arc::new(Window::new(in_flight_max.max(1)));
        receiver.set_window(Arc::clone(&window));
        receiver.set_read_timeout(options.read_timeout)?;
        let frame_bytes_max = welcome.frame_bytes_max as usize;
        Ok(Client {
            sender: Sender::new(stream, window, frame_bytes_max, options.read_timeout),
            receiver,
            welcome,
            ready: VecDeque::new(),
        })
    }

    /// What the node said it allows.
    pub fn welcome(&self) -> Welcome {
        self.welcome
    }

    /// Submits a transaction; does not wait for the answer. It is buffered: [`Client::flush`] and
    /// [`Client::recv`] send it.
    ///
    /// # Errors
    /// [`ClientError::WindowFull`] where as much as may be is unanswered: take an answer first.
    /// Else the transaction breaks a bound, or the connection failed.
    pub fn submit(
        &mut self,
        transaction: &TransactionRef<'_>,
        acks: Acks,
    ) -> Result<Ticket, ClientError> {
        self.sender.try_submit(transaction, acks, 0)
    }

    /// As [`Client::submit`], with a number of the caller's that comes back in the reply.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub fn submit_tagged(
        &mut self,
        transaction: &TransactionRef<'_>,
        acks: Acks,
        tag: u64,
    ) -> Result<Ticket, ClientError> {
        self.sender.try_submit(transaction, acks, tag)
    }

    /// As [`Sender::set_trace`].
    pub fn set_trace(&mut self, trace: Option<TraceContext>) {
        self.sender.set_trace(trace);
    }

    /// Sends what is buffered.
    ///
    /// # Errors
    /// As [`Sender::flush`].
    pub fn flush(&mut self) -> Result<(), ClientError> {
        self.sender.flush()
    }

    /// Sends what is buffered and waits for the next answer.
    ///
    /// # Errors
    /// As [`Sender::flush`] and [`Receiver::recv`].
    pub fn recv(&mut self) -> Result<Reply, ClientError> {
        if let Some(reply) = self.ready.pop_front() {
            return Ok(reply);
        }
        match self.sender.flush() {
            Ok(()) => self.receiver.recv(),
            Err(error @ ClientError::TimedOut { .. }) => Err(error),
            // The node has closed; what it said before can still be read, and says why.
            Err(_) => self.receiver.recv(),
        }
    }

    /// Submits a transaction with `acks` all and waits until it is durable. Answers to other
    /// submits that arrive meanwhile are kept for [`Client::recv`].
    ///
    /// # Errors
    /// [`ClientError::Rejected`] with the node's reason; else as [`Client::submit`] and
    /// [`Client::recv`]. After a timeout the answer may still come, from [`Client::recv`].
    pub fn send_transaction(
        &mut self,
        transaction: &Transaction,
    ) -> Result<TxReceipt, ClientError> {
        let ticket = self.submit(&transaction.borrowed(), Acks::All)?;
        self.sender.flush()?;
        loop {
            let reply = self.receiver.recv()?;
            if reply.correlation == ticket.correlation {
                return Ok(reply.outcome?);
            }
            self.ready.push_back(reply);
        }
    }

    /// Sends a ping and waits for its pong. Answers that arrive meanwhile are kept for
    /// [`Client::recv`]. Returns how long it took.
    ///
    /// # Errors
    /// As [`Sender::flush`] and [`Receiver::recv`].
    pub fn ping(&mut self, token: u64) -> Result<Duration, ClientError> {
        let sent_at = Instant::now();
        self.sender.buffer_ping(token);
        self.sender.flush()?;
        loop {
            match self.receiver.recv_any()? {
                Incoming::Pong(pong) if pong == token => return Ok(sent_at.elapsed()),
                Incoming::Pong(_) => {}
                Incoming::Reply(reply) => self.ready.push_back(reply),
            }
        }
    }

    /// Submits whose answer was not taken yet.
    pub fn unanswered(&self) -> usize {
        self.sender.unanswered() + self.ready.len()
    }

    /// As [`Receiver::set_read_timeout`].
    ///
    /// # Errors
    /// A timeout of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        self.receiver.set_read_timeout(timeout)
    }

    /// Gives the two halves to two threads. Answers that already arrived are lost to the caller
    /// unless they were taken before; so split a connection before it is used.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

fn send_hello(mut stream: Stream, name: &str) -> std::io::Result<()> {
    let mut hello = Vec::new();
    Hello {
        version: VERSION,
        client: name,
    }
    .encode(&mut hello);
    std::io::Write::write_all(&mut stream, &hello)
}
