//! One core: its parts, and what it is made from.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::exactly_once::{Fingerprinter, Window};
use crate::ids::{CoreId, Nanos};
use crate::mesh::Port;
use crate::storage::Storage;
use crate::telemetry::{CounterWriter, Recorder, StageWriter, StallTracker};

use super::command::Command;
use super::gateway::Gate;
use super::gauges::Gauges;
use super::guest::Guest;
use super::handler::HandlerFactory;
use super::intake::{Admission, Intake};
use super::message::{Reply, Request};
use super::pending::Pending;
use super::process::{Process, ProcessOptions};
use super::produce::Produce;
use super::reply::Outbox;
use super::route::RouteTable;
use super::status::CoreStatus;
use super::trace::Traces;

/// Fixed choices of one core.
#[derive(Debug, Clone)]
pub struct CoreOptions {
    /// Which core.
    pub core: CoreId,
    /// Cores of the node.
    pub cores: u16,
    /// Cores and ports of the mesh.
    pub endpoints: u16,
    /// Transactions that this core may have taken in and not yet made durable. The duplicate
    /// window must hold more than this.
    pub in_flight_max: usize,
    /// Transactions taken from each kind of source per cycle.
    pub intake_budget: usize,
    /// Batches processed per cycle.
    pub batches_per_cycle: usize,
    /// Longest payload that is taken, in bytes.
    pub payload_bytes_max: usize,
    /// A cycle longer than this counts as a stall, in nanoseconds.
    pub stall_ns: u64,
    /// How processing works.
    pub process: ProcessOptions,
}

/// What a core is given to work with.
pub struct CoreParts<S, G> {
    /// Rings of transactions.
    pub requests: Port<Request>,
    /// Rings of answers.
    pub replies: Port<Reply>,
    /// Where everything is.
    pub table: Arc<RouteTable>,
    /// What holds the partitions that this core owns.
    pub storage: S,
    /// Who else uses it.
    pub guest: G,
    /// The duplicate window, with what recovery found; [`crate::storage::Consumer::history`] adds
    /// to it.
    pub window: Window,
    /// The hash that the window was filled with.
    pub fingerprinter: Fingerprinter,
    /// Its connections.
    pub gate: Rc<Gate>,
    /// Where it counts.
    pub counters: CounterWriter,
    /// Where it records latencies.
    pub stages: StageWriter,
    /// Which transactions are traced, and where it leaves what is to be told of them.
    pub traces: Traces,
    /// What control sees of it.
    pub status: Arc<CoreStatus>,
    /// What control asks of it.
    pub commands: Arc<ArrayQueue<Command>>,
}

/// Whether a core's loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Run the next cycle.
    On,
    /// Leave the loop.
    Stop,
}

/// One core. [`Core::run_once`] is its duty cycle; whoever calls it owns the loop, which is an
/// executor's task in a node and a plain `for` in tests.
pub struct Core<S, F: HandlerFactory, G> {
    pub(super) options: CoreOptions,
    pub(super) commands: Arc<ArrayQueue<Command>>,
    pub(super) status: Arc<CoreStatus>,
    pub(super) storage: S,
    pub(super) guest: G,
    pub(super) gate: Rc<Gate>,
    pub(super) intake: Intake,
    pub(super) produce: Produce,
    pub(super) process: Process<F>,
    pub(super) outbox: Outbox,
    pub(super) counters: CounterWriter,
    pub(super) stalls: StallTracker,
    pub(super) gauges: Gauges,
    pub(super) flow: Flow,
}

impl<S: Storage, F: HandlerFactory, G: Guest<S>> Core<S, F, G> {
    /// Puts a core together. All memory that its cycles need is taken here.
    ///
    /// # Panics
    /// If the duplicate window cannot hold more than what may be in flight.
    pub fn new(options: CoreOptions, parts: CoreParts<S, G>, factory: Arc<F>) -> Core<S, F, G> {
        assert!(
            parts.window.capacity() > options.in_flight_max,
            "the duplicate window must outlast what is in flight"
        );
        let process = Process::new(options.process.clone(), factory, parts.storage.lanes());
        let intake = Intake {
            requests: parts.requests,
            table: Arc::clone(&parts.table),
            cores: options.cores,
            endpoints: options.endpoints,
            port_first: 0,
            payload_bytes_max: options.payload_bytes_max,
            budget: options.intake_budget,
            held_routed: None,
            held_local: None,
            cores_blocked: false,
            here_blocked: false,
            looked: Nanos(0),
            admission: Admission::Open,
            taken_in: 0,
        };
        let produce = Produce {
            pending: Pending::new(options.in_flight_max),
            window: parts.window,
            fingerprinter: parts.fingerprinter,
            stages: parts.stages,
            recorder: Recorder::new(),
            traces: parts.traces,
            written: Nanos(0),
            is_kept: false,
            flushes: 0,
            offered: false,
            table: parts.table,
            acks_max: parts.storage.acks_max(),
            // Only a cluster hands records back; the memory is taken when one does.
            returned: VecDeque::new(),
            by_distance: Vec::new(),
        };
        Core {
            commands: parts.commands,
            status: parts.status,
            storage: parts.storage,
            guest: parts.guest,
            outbox: Outbox::new(parts.replies, options.in_flight_max, Rc::clone(&parts.gate)),
            gate: parts.gate,
            counters: parts.counters,
            stalls: StallTracker::new(options.stall_ns),
            gauges: Gauges::new(),
            flow: Flow::On,
            intake,
            produce,
            process,
            options,
        }
    }

    /// Lets transactions in, or leaves them where they are.
    pub fn set_admission(&mut self, admission: Admission) {
        self.intake.admission = admission;
    }

    /// Who else uses this core's storage.
    pub fn guest_mut(&mut self) -> &mut G {
        &mut self.guest
    }

    /// The storage of this core.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }
}
