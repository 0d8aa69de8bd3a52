//! A port: how a thread that is no core submits transactions in process.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use bytes::Bytes;

use crate::frame::Correlation;
use crate::ids::{Acks, Nanos};
use crate::mesh::{EndpointId, Port, Take};
use crate::telemetry::TraceContext;

use super::message::{Answer, Inbound, Reply, ReplyTo, Request};

/// One thread's way into the engine. Submissions go to the cores in turn, as connections would
/// spread them; the cores route them.
pub struct Submitter {
    requests: Port<Request>,
    replies: Port<Reply>,
    cores: u16,
    next: u16,
    /// By core: submissions without an answer yet.
    outstanding: Vec<usize>,
    /// Answers that surely fit the ring from one core.
    outstanding_max: usize,
    waker: Waker,
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Which core a submission enters at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The next one in turn.
    InTurn,
    /// Always this one: what enters there keeps its order.
    Core(u16),
}

impl Submitter {
    /// The port of the thread that will use it. `outstanding_max` must not exceed the capacity of
    /// the rings.
    pub fn new(
        requests: Port<Request>,
        replies: Port<Reply>,
        cores: u16,
        outstanding_max: usize,
    ) -> Submitter {
        Submitter {
            requests,
            replies,
            cores,
            next: 0,
            outstanding: vec![0; usize::from(cores)],
            outstanding_max,
            waker: Waker::from(Arc::new(Unpark(std::thread::current()))),
        }
    }

    /// Makes it the port of the calling thread, which alone may use it from now on.
    pub fn move_here(&mut self) {
        self.waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    }

    /// Submits an encoded transaction; `taken` is when it was, or should have been, sent. With
    /// [`Acks::None`] no answer comes.
    ///
    /// # Errors
    /// Gives the transaction back if the core has no room now: take answers, then try again.
    pub fn submit(
        &mut self,
        entrance: Entrance,
        body: Bytes,
        acks: Acks,
        correlation: Correlation,
        taken: Nanos,
    ) -> Result<(), Bytes> {
        self.submit_traced(entrance, body, acks, correlation, taken, None)
    }

    /// As [`Submitter::submit`], for a transaction that may belong to a trace.
    ///
    /// # Errors
    /// As [`Submitter::submit`].
    pub fn submit_traced(
        &mut self,
        entrance: Entrance,
        body: Bytes,
        acks: Acks,
        correlation: Correlation,
        taken: Nanos,
        trace: Option<TraceContext>,
    ) -> Result<(), Bytes> {
        let core = match entrance {
            Entrance::InTurn => self.next,
            Entrance::Core(core) => core,
        };
        let place = usize::from(core);
        if acks != Acks::None && self.outstanding[place] >= self.outstanding_max {
            return Err(body);
        }
        let reply_to = ReplyTo {
            endpoint: self.requests.me(),
            // The entrance, so that the answer can be booked to it wherever it comes from.
            connection: u32::from(core),
            generation: 0,
            correlation,
        };
        let inbound = Inbound {
            body,
            reply_to,
            acks,
            taken,
            trace: trace.map(Box::new),
        };
        match self
            .requests
            .send(EndpointId(core), Request::Inbound(inbound))
        {
            Ok(()) => {
                self.outstanding[place] += usize::from(acks != Acks::None);
                self.next = (core + 1) % self.cores;
                Ok(())
            }
            Err(Request::Inbound(inbound)) => Err(inbound.body),
            Err(Request::Routed(_)) => unreachable!("an inbound request was sent"),
        }
    }

    /// Wakes the cores that sleep and were sent something. To be called after a run of submits.
    pub fn ring(&mut self) {
        self.requests.ring();
    }

    /// Takes the answers that have arrived. Returns how many.
    pub fn poll(&mut self, mut each: impl FnMut(Correlation, Answer)) -> usize {
        let outstanding = &mut self.outstanding;
        self.replies.poll(0..self.cores, usize::MAX, |_, reply| {
            outstanding[reply.to.connection as usize] -= 1;
            each(reply.to.correlation, reply.answer);
            Take::More
        })
    }

    /// Submissions without an answer yet.
    pub fn outstanding(&self) -> usize {
        self.outstanding.iter().sum()
    }

    /// Sleeps until an answer has arrived, at most `timeout`. Must be called on the thread that
    /// made the port, or that it was moved to.
    pub fn wait(&mut self, timeout: Duration) {
        self.ring();
        self.replies.bell().announce_sleep(&self.waker);
        if !self.replies.has_mail(0..self.cores) {
            std::thread::park_timeout(timeout);
        }
        self.replies.bell().stay_awake();
    }
}
