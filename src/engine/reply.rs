//! Answers back to where their transactions came in.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::mesh::{EndpointId, Port, Take};

use super::gateway::Gate;
use super::message::{Answer, Reply, ReplyTo};

/// Answers that leave a core, and those that arrive for its connections.
pub(super) struct Outbox {
    me: EndpointId,
    port: Port<Reply>,
    /// Answers that found their ring full; sent before any later one, so that order is kept.
    unsent: VecDeque<Reply>,
    unsent_max: usize,
    gate: Rc<Gate>,
}

impl Outbox {
    pub fn new(port: Port<Reply>, unsent_max: usize, gate: Rc<Gate>) -> Outbox {
        Outbox {
            me: port.me(),
            port,
            unsent: VecDeque::with_capacity(unsent_max),
            unsent_max,
            gate,
        }
    }

    /// How many more answers can be held back. Intake stops at 0.
    pub fn room(&self) -> usize {
        self.unsent_max.saturating_sub(self.unsent.len())
    }

    /// Sends an answer: to a connection of this core at once, else through the mesh.
    pub fn send(&mut self, to: ReplyTo, answer: Answer) {
        let reply = Reply { to, answer };
        if to.endpoint == self.me {
            self.gate.deliver(&reply);
        } else if !self.unsent.is_empty() {
            self.unsent.push_back(reply);
        } else if let Err(reply) = self.port.send(to.endpoint, reply) {
            self.unsent.push_back(reply);
        }
    }

    /// Delivers what other cores sent to this core's connections, and sends what was held back.
    /// Returns the amount of work done.
    pub fn turn(&mut self, endpoints: u16) -> usize {
        let gate = &self.gate;
        let mut work = self.port.poll(0..endpoints, usize::MAX, |_, reply| {
            gate.deliver(&reply);
            Take::More
        });
        while let Some(reply) = self.unsent.pop_front() {
            if let Err(reply) = self.port.send(reply.to.endpoint, reply) {
                self.unsent.push_front(reply);
                break;
            }
            work += 1;
        }
        work
    }

    /// Whether answers wait in a ring to this core.
    pub fn has_mail(&self, endpoints: u16) -> bool {
        self.port.has_mail(0..endpoints)
    }

    /// Bytes of the rings to this core.
    pub fn ring_bytes(&self) -> usize {
        self.port.ring_bytes()
    }

    /// Whether answers are held back.
    pub fn is_empty(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Wakes the receivers that sleep.
    pub fn ring(&mut self) {
        self.port.ring();
    }
}
