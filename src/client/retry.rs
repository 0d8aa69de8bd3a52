//! A client that survives the node's restarts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::connect::{Client, ClientOptions};
use super::error::{ClientError, Rejection};
use super::receiver::Reply;
use super::sender::Ticket;
use super::stream::Address;
use crate::frame::{Correlation, ErrorCode, Outcome};
use crate::ids::Acks;
use crate::telemetry::TraceContext;
use crate::transaction::{Transaction, TransactionRef, TxReceipt};

/// How a [`RetryingClient`] tries again.
#[derive(Clone, Copy, Debug)]
pub struct RetryOptions {
    /// The first wait; each further one without an answer in between is twice as long.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Attempts without an answer in between, at the most, before it gives up. At least 1.
    pub attempts_max: u32,
}

impl Default for RetryOptions {
    /// From 10 ms to 2 s, 30 attempts: about 45 seconds.
    fn default() -> RetryOptions {
        RetryOptions {
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(2),
            attempts_max: 30,
        }
    }
}

/// A client that reconnects when the connection ends and submits again, in the old order and with
/// the same ids, what was not answered. The node takes each id once, so this is safe as long as
/// the id is in the node's duplicate window. What the node rejects as worth another try is
/// submitted again as well, after what was submitted behind it: where the order within a key
/// matters, keep one transaction in flight per key.
///
/// A copy of every unanswered transaction is kept, at most [`ClientOptions::in_flight_max`].
/// Submits with [`Acks::None`] are forgotten once they are on their way. A transaction that can
/// never be submitted is named by the error and dropped; what follows goes on.
#[derive(Debug)]
pub struct RetryingClient {
    address: Address,
    options: ClientOptions,
    retry: RetryOptions,
    connection: Option<Client>,
    /// By the order of submitting, which is also the tag in the connection's replies.
    unanswered: BTreeMap<u64, Held>,
    /// Those of `unanswered` that are yet to be submitted on this connection, in order.
    queue: VecDeque<u64>,
    /// Answers that arrived while another one was waited for.
    ready: VecDeque<Reply>,
    order_next: u64,
    /// Attempts since the last answer.
    attempts: u32,
    trace: Option<TraceContext>,
}

#[derive(Debug)]
struct Held {
    transaction: Transaction,
    acks: Acks,
    trace: Option<TraceContext>,
}

impl RetryingClient {
    /// A client that will connect to `host:port` or `unix:/path` at its first use.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(
        address: &str,
        options: ClientOptions,
        retry: RetryOptions,
    ) -> Result<RetryingClient, ClientError> {
        Ok(RetryingClient {
            address: address.parse().map_err(ClientError::Address)?,
            options,
            retry,
            connection: None,
            unanswered: BTreeMap::new(),
            queue: VecDeque::new(),
            ready: VecDeque::new(),
            order_next: 0,
            attempts: 0,
            trace: None,
        })
    }

    /// As [`super::Sender::set_trace`]. An attempt that is made later keeps its transaction's trace.
    pub fn set_trace(&mut self, trace: Option<TraceContext>) {
        self.trace = trace;
    }

    /// Submits a transaction; does not wait for the answer. The ticket's correlation is this
    /// client's own and stays the same over all attempts.
    ///
    /// # Errors
    /// [`ClientError::WindowFull`]: take an answer first. [`ClientError::Transaction`] and
    /// [`ClientError::TooLong`]: it can never be submitted. [`ClientError::GaveUp`].
    pub fn submit(
        &mut self,
        transaction: &TransactionRef<'_>,
        acks: Acks,
    ) -> Result<Ticket, ClientError> {
        let in_flight_max = self.options.in_flight_max.max(1);
        if self.unanswered.len() >= in_flight_max {
            return Err(ClientError::WindowFull { in_flight_max });
        }
        let transaction = transaction.to_transaction()?;
        let order = self.order_next;
        self.order_next += 1;
        let trace = self.trace;
        let held = Held {
            transaction,
            acks,
            trace,
        };
        self.unanswered.insert(order, held);
        self.queue.push_back(order);
        self.connected()?;
        let correlation = Correlation(order);
        Ok(Ticket { correlation })
    }

    /// Sends what is buffered and waits for the next answer, over as many attempts as it takes.
    ///
    /// # Errors
    /// [`ClientError::Closed`] where nothing is unanswered; [`ClientError::GaveUp`]; a node that
    /// breaks the protocol.
    pub fn recv(&mut self) -> Result<Reply, ClientError> {
        match self.ready.pop_front() {
            Some(reply) => Ok(reply),
            None => self.recv_next(),
        }
    }

    fn recv_next(&mut self) -> Result<Reply, ClientError> {
        loop {
            if self.unanswered.is_empty() {
                return Err(ClientError::Closed { unanswered: 0 });
            }
            match self.connected()?.recv() {
                Ok(reply) => {
                    if let Some(reply) = self.settle(reply)? {
                        return Ok(reply);
                    }
                }
                Err(error) if error.is_retriable() => {
                    self.connection = None;
                    self.back_off(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Submits a transaction with `acks` all and waits until it is durable. Answers to other
    /// submits that arrive meanwhile are kept for [`RetryingClient::recv`].
    ///
    /// # Errors
    /// [`ClientError::Rejected`] where another try cannot help; else as
    /// [`RetryingClient::submit`] and [`RetryingClient::recv`].
    pub fn send_transaction(
        &mut self,
        transaction: &Transaction,
    ) -> Result<TxReceipt, ClientError> {
        let ticket = self.submit(&transaction.borrowed(), Acks::All)?;
        loop {
            let reply = self.recv_next()?;
            if reply.correlation == ticket.correlation {
                return Ok(reply.outcome?);
            }
            self.ready.push_back(reply);
        }
    }

    /// The transactions without an answer, in the order of submitting.
    pub fn unanswered(&self) -> impl Iterator<Item = &Transaction> {
        self.unanswered.values().map(|held| &held.transaction)
    }

    /// Hands a final answer out under the caller's correlation; submits again what was rejected
    /// for now.
    fn settle(&mut self, reply: Reply) -> Result<Option<Reply>, ClientError> {
        let order = reply.tag;
        if let Err(rejection) = &reply.outcome
            && rejection.code.is_retriable()
        {
            self.again(order, rejection.clone())?;
            return Ok(None);
        }
        self.attempts = 0;
        self.unanswered.remove(&order);
        Ok(Some(Reply {
            correlation: Correlation(order),
            ..reply
        }))
    }

    fn again(&mut self, order: u64, rejection: Rejection) -> Result<(), ClientError> {
        // A node that is stopping, or whose storage failed, answers the same until it is started
        // anew.
        let needs_restart = match rejection.code.outcome() {
            Outcome::Unknown => true,
            Outcome::NotTaken => rejection.code == ErrorCode::ShuttingDown,
        };
        if needs_restart {
            self.connection = None;
        } else {
            self.queue.push_back(order);
        }
        self.back_off(ClientError::Rejected(rejection))
    }

    /// The connection, made anew where there is none, with as much submitted on it as may be.
    fn connected(&mut self) -> Result<&mut Client, ClientError> {
        loop {
            match self.connect_and_submit() {
                Ok(()) => return Ok(self.connection.as_mut().expect("made just above")),
                Err(error) if error.is_retriable() => {
                    self.connection = None;
                    self.back_off(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn connect_and_submit(&mut self) -> Result<(), ClientError> {
        let client = match &mut self.connection {
            Some(client) => client,
            none => {
                self.queue = self.unanswered.keys().copied().collect();
                none.insert(Client::connect_to(&self.address, &self.options)?)
            }
        };
        while let Some(&order) = self.queue.front() {
            let Some(held) = self.unanswered.get(&order) else {
                self.queue.pop_front();
                continue;
            };
            client.set_trace(held.trace);
            match client.submit_tagged(&held.transaction.borrowed(), held.acks, order) {
                Ok(_) if held.acks == Acks::None => drop(self.unanswered.remove(&order)),
                Ok(_) => {}
                Err(ClientError::WindowFull { .. }) => return Ok(()),
                Err(error) if error.is_retriable() => return Err(error),
                Err(error) => {
                    self.unanswered.remove(&order);
                    self.queue.pop_front();
                    return Err(error);
                }
            }
            self.queue.pop_front();
        }
        Ok(())
    }

    fn back_off(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.attempts += 1;
        if self.attempts >= self.retry.attempts_max {
            return Err(ClientError::GaveUp {
                attempts: self.attempts,
                last: Box::new(error),
            });
        }
        let doublings = (self.attempts - 1).min(20);
        let wait = self.retry.backoff_min * (1 << doublings);
        std::thread::sleep(wait.min(self.retry.backoff_max));
        Ok(())
    }
}
