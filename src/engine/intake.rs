//! Frames and rings to routed transactions, in bounded batches.
//!
//! Two kinds of sources, held apart so that no circle of waiting cores can form: what other cores
//! have routed here waits only for this core's storage; what came in here may also wait for
//! another core's ring.

use std::sync::Arc;

use crate::clock;
use crate::frame::ErrorCode;
use crate::ids::{Acks, Nanos};
use crate::mesh::{EndpointId, Port, Take};
use crate::storage::Producer;
use crate::telemetry::{Counter, CounterWriter, Stage};
use crate::transaction::codec;

use super::gateway::Gate;
use super::message::{Answer, Inbound, Request, Routed};
use super::produce::{Accepted, Produce};
use super::reply::Outbox;
use super::route::RouteTable;

/// Whether new transactions are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Not yet: they stay where they are.
    NotYet,
    /// Yes.
    Open,
    /// No: they are answered with [`ErrorCode::ShuttingDown`].
    Closed,
}

/// The taking-in side of a core.
pub(super) struct Intake {
    pub requests: Port<Request>,
    pub table: Arc<RouteTable>,
    /// Cores of the node; the endpoints after them are ports.
    pub cores: u16,
    pub endpoints: u16,
    /// The port, counted from the first one, that is looked at first next time. Not left to the
    /// mesh's own rotation: the cycle's other polls turn that too, always by the same amount, and a
    /// port could starve beside a busy one.
    pub port_first: u16,
    pub payload_bytes_max: usize,
    /// Transactions taken from each kind of source per cycle.
    pub budget: usize,
    /// Taken from another core, but storage was full.
    pub held_routed: Option<Routed>,
    /// Taken in here, but the way on was full.
    pub held_local: Option<Routed>,
    /// Whether no more could be taken from other cores in the last cycle.
    pub cores_blocked: bool,
    /// Whether no more could be taken from here in the last cycle.
    pub here_blocked: bool,
    /// When that cycle began.
    pub looked: Nanos,
    pub admission: Admission,
    /// Transactions taken in, to look closer at one of many.
    pub taken_in: u32,
}

/// One of this many transactions is timed while it is decoded and routed: a reading of the clock costs
/// a few per cent of that.
const ROUTE_TIMED: u32 = 64;

/// Of one of this many transactions it is noted where it came from, for as many. A prime, so that a load
/// that goes round some places is seen from all of them.
const FLOW_NOTED: u32 = 13;

/// What intake works on besides its own parts.
pub(super) struct Surroundings<'a, S> {
    /// When the cycle began.
    pub now: Nanos,
    pub storage: &'a mut S,
    pub produce: &'a mut Produce,
    pub outbox: &'a mut Outbox,
    pub counters: &'a mut CounterWriter,
}

impl Intake {
    /// Takes what other cores have routed here. Returns the amount of work done.
    pub fn take_from_cores<S: Producer>(&mut self, around: &mut Surroundings<'_, S>) -> usize {
        let mut work = 0;
        if self.held_routed.is_some() {
            around.accept(&mut self.held_routed);
            if self.held_routed.is_some() {
                self.cores_blocked = true;
                return 0;
            }
            work += 1;
        }
        let budget = self.budget.min(around.room());
        let held = &mut self.held_routed;
        work += self.requests.poll(0..self.cores, budget, |_, request| {
            around.counters.increment(Counter::MeshReceived);
            let Request::Routed(routed) = request else {
                unreachable!("cores route before they send");
            };
            let hop_ns = around.now.since(routed.routed);
            around.produce.stages.record(Stage::Hop, hop_ns);
            *held = Some(routed);
            around.accept(held);
            if held.is_some() {
                Take::Stop
            } else {
                Take::More
            }
        });
        self.cores_blocked = self.held_routed.is_some() || around.room() == 0;
        work
    }

    /// Takes what came in on this core's connections and from ports, and routes it. Returns the
    /// amount of work done.
    pub fn take_from_here<S: Producer>(
        &mut self,
        gate: &Gate,
        around: &mut Surroundings<'_, S>,
    ) -> usize {
        let mut work = 0;
        let looked = std::mem::replace(&mut self.looked, around.now);
        if self.here_blocked {
            let blocked_ns = around.now.since(looked);
            around.counters.add(Counter::BackPressureNs, blocked_ns);
        }
        if self.held_local.is_some() {
            self.forward(around);
            if self.held_local.is_some() {
                self.here_blocked = true;
                return 0;
            }
            work += 1;
        }
        let mut left = self.budget.min(around.room());
        while left > 0 && self.held_local.is_none() {
            let Some(inbound) = gate.next_inbound().or_else(|| self.take_from_port()) else {
                break;
            };
            self.taken_in = self.taken_in.wrapping_add(1);
            let is_timed = self.taken_in.is_multiple_of(ROUTE_TIMED);
            #[allow(clippy::disallowed_methods)]
            let start = is_timed.then(clock::monotonic);
            self.take_in(inbound, around);
            if let Some(start) = start {
                #[allow(clippy::disallowed_methods)]
                let took_ns = clock::monotonic().since(start);
                around.produce.stages.record(Stage::Route, took_ns);
            }
            left -= 1;
            work += 1;
        }
        self.here_blocked = self.held_local.is_some() || around.room() == 0;
        if self.here_blocked {
            around.counters.increment(Counter::BackPressure);
        }
        work
    }

    fn take_from_port(&mut self) -> Option<Inbound> {
        let ports = self.endpoints - self.cores;
        for step in 0..ports {
            let port = (self.port_first + step) % ports;
            match self.requests.take(EndpointId(self.cores + port)) {
                Some(Request::Inbound(inbound)) => {
                    self.port_first = (port + 1) % ports;
                    return Some(inbound);
                }
                Some(Request::Routed(_)) => unreachable!("only cores route"),
                None => {}
            }
        }
        None
    }

    /// Decodes and routes one transaction. Holds it if its way is full.
    fn take_in<S: Producer>(&mut self, mut inbound: Inbound, around: &mut Surroundings<'_, S>) {
        let refused = match self.admission {
            Admission::Closed => Err(ErrorCode::ShuttingDown),
            Admission::NotYet | Admission::Open => {
                codec::decode_bounded(&inbound.body, self.payload_bytes_max)
                    .map_err(|error| ErrorCode::from(&error))
            }
        };
        match refused {
            Ok(transaction) => {
                around.counters.increment(Counter::Submitted);
                around
                    .counters
                    .add(Counter::SubmittedBytes, inbound.body.len() as u64);
                let waited_ns = around.now.since(inbound.taken);
                around.produce.stages.record(Stage::Intake, waited_ns);
                let key = codec::key_range(&transaction);
                let destination = self
                    .table
                    .route(transaction.client_location, transaction.id);
                if self.taken_in.is_multiple_of(FLOW_NOTED) {
                    let shard = self.table.shard_place(destination.partition);
                    let shard = shard.expect("the route table has the shard's partitions");
                    let flows = &mut around.counters.flows;
                    flows.add(transaction.client_location, shard, FLOW_NOTED.into());
                }
                around.produce.traces.sample(&mut inbound.trace);
                self.held_local = Some(Routed {
                    inbound,
                    key,
                    destination,
                    routed: around.now,
                });
                self.forward(around);
            }
            Err(code) => {
                around.counters.increment(Counter::Rejected);
                // Who asked for no answer gets none, and none is counted as in flight.
                if inbound.acks != Acks::None {
                    around.outbox.send(inbound.reply_to, Answer::Rejected(code));
                }
            }
        }
    }

    /// Hands the transaction that is held to the owner of its partition; holds it further if the way
    /// is full.
    fn forward<S: Producer>(&mut self, around: &mut Surroundings<'_, S>) {
        let Some(routed) = &self.held_local else {
            return;
        };
        let owner: EndpointId = self.table.owner(routed.destination.partition);
        if owner == self.requests.me() {
            return around.accept(&mut self.held_local);
        }
        let Some(routed) = self.held_local.take() else {
            return;
        };
        match self.requests.send(owner, Request::Routed(routed)) {
            Ok(()) => around.counters.increment(Counter::MeshSent),
            Err(Request::Routed(routed)) => {
                around.counters.increment(Counter::MeshFull);
                self.held_local = Some(routed);
            }
            Err(Request::Inbound(_)) => unreachable!("a routed request was sent"),
        }
    }

    /// Whether a transaction waits for its way on.
    pub fn is_holding(&self) -> bool {
        self.held_routed.is_some() || self.held_local.is_some()
    }

    /// Whether a transaction waits for room in another core's ring. Nobody rings when there is
    /// some, so this core must look.
    pub fn awaits_ring(&self) -> bool {
        let me = self.requests.me();
        let held = self.held_local.as_ref();
        held.is_some_and(|routed| self.table.owner(routed.destination.partition) != me)
    }

    /// Whether there is something to take that the last cycle had not left because it was blocked.
    pub fn has_mail(&self, gate: &Gate) -> bool {
        if self.admission == Admission::NotYet {
            return false;
        }
        let from_cores = !self.cores_blocked && self.requests.has_mail(0..self.cores);
        let ports = self.cores..self.endpoints;
        let from_here = !self.here_blocked && (gate.has_inbound() || self.requests.has_mail(ports));
        from_cores || from_here
    }

    /// Whether anything waits to be taken, blocked or not.
    pub fn has_any_mail(&self, gate: &Gate) -> bool {
        gate.has_inbound() || self.requests.has_mail(0..self.endpoints)
    }
}

impl<S: Producer> Surroundings<'_, S> {
    /// How many more transactions can be in flight and answered.
    fn room(&self) -> usize {
        self.produce.pending.room().min(self.outbox.room())
    }

    /// Takes the transaction that is held, if there is room. It stays in its place until it is taken:
    /// moving it from call to call would cost more than most of what is done with it.
    fn accept(&mut self, held: &mut Option<Routed>) {
        let Some(routed) = held.as_mut().filter(|_| self.room() > 0) else {
            return;
        };
        match self
            .produce
            .accept(routed, self.now, self.storage, self.outbox, self.counters)
        {
            Accepted::Done => *held = None,
            Accepted::Later => {}
        }
    }
}
