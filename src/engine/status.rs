//! What control can read of a core at any time, without asking it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::telemetry::Owner;

/// How far a core is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Not in its loop yet.
    Starting = 0,
    /// Takes transactions.
    Running = 1,
    /// Refuses new ones; finishes what it has.
    Draining = 2,
    /// Has left its loop.
    Stopped = 3,
}

/// How a core stands at the end of a cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Transactions taken in and not yet answered or durable.
    pub in_flight: u64,
    /// Visible records not yet processed.
    pub backlog: u64,
    /// Connections of the gateway that are open.
    pub gateway_connections: u64,
    /// Connections of Kafka clients that are open.
    pub kafka_connections: u64,
    /// Stripes whose device has no space for the file that they need next.
    pub stripes_without_space: u64,
    /// Clusters that count as unreachable.
    pub clusters_unreachable: u64,
    /// The longest duty cycle so far, in nanoseconds.
    pub cycle_ns_max: u64,
    /// Transactions in the rings to this core.
    pub mesh_depth: u64,
    /// The most that there were at the end of a cycle.
    pub mesh_depth_max: u64,
}

/// Written by the core, read by control.
#[derive(Debug, Default)]
pub struct CoreStatus {
    phase: AtomicU8,
    in_flight: AtomicU64,
    backlog: AtomicU64,
    gateway_connections: AtomicU64,
    kafka_connections: AtomicU64,
    stripes_without_space: AtomicU64,
    clusters_unreachable: AtomicU64,
    cycle_ns_max: AtomicU64,
    mesh_depth: AtomicU64,
    mesh_depth_max: AtomicU64,
    memory: [AtomicU64; Owner::COUNT],
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl CoreStatus {
    /// How far the core is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            2 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Whether nothing was in flight and nothing unprocessed when the core last looked.
    pub fn is_quiet(&self) -> bool {
        self.in_flight() == 0 && self.backlog() == 0
    }

    /// Transactions taken in and not yet answered or durable.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Visible records not yet processed.
    pub fn backlog(&self) -> u64 {
        self.backlog.load(Ordering::Acquire)
    }

    /// Why the core cannot go on as it should: storage failed, or a handler said stop.
    #[allow(clippy::disallowed_methods)] // Read by control.
    pub fn failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sets the phase.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// How the core stood at the end of its last cycle. Read one after the other, so that two of them
    /// may be a cycle apart.
    pub fn load(&self) -> Load {
        let relaxed = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Load {
            in_flight: self.in_flight(),
            backlog: self.backlog(),
            gateway_connections: relaxed(&self.gateway_connections),
            kafka_connections: relaxed(&self.kafka_connections),
            stripes_without_space: relaxed(&self.stripes_without_space),
            clusters_unreachable: relaxed(&self.clusters_unreachable),
            cycle_ns_max: relaxed(&self.cycle_ns_max),
            mesh_depth: relaxed(&self.mesh_depth),
            mesh_depth_max: relaxed(&self.mesh_depth_max),
        }
    }

    /// Tells how the core stands.
    pub fn set_load(&self, load: Load) {
        let Load {
            in_flight,
            backlog,
            gateway_connections,
            kafka_connections,
            stripes_without_space,
            clusters_unreachable,
            cycle_ns_max,
            mesh_depth,
            mesh_depth_max,
        } = load;
        let relaxed = |cell: &AtomicU64, value| cell.store(value, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Release);
        self.backlog.store(backlog, Ordering::Release);
        relaxed(&self.gateway_connections, gateway_connections);
        relaxed(&self.kafka_connections, kafka_connections);
        relaxed(&self.stripes_without_space, stripes_without_space);
        relaxed(&self.clusters_unreachable, clusters_unreachable);
        relaxed(&self.cycle_ns_max, cycle_ns_max);
        relaxed(&self.mesh_depth, mesh_depth);
        relaxed(&self.mesh_depth_max, mesh_depth_max);
    }

    /// Bytes of memory that the owner had when the core last told of it.
    pub fn memory(&self, owner: Owner) -> u64 {
        self.memory[owner.index()].load(Ordering::Relaxed)
    }

    /// Tells what each owner has, in bytes.
    pub fn set_memory(&self, of: impl Fn(Owner) -> usize) {
        for owner in Owner::ALL {
            self.memory[owner.index()].store(of(owner) as u64, Ordering::Relaxed);
        }
    }

    /// Whether there is a [`CoreStatus::failure`].
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Notes a failure; the first one stays and later calls cost one load.
    #[allow(clippy::disallowed_methods)] // Once in a core's life.
    pub fn fail_once(&self, reason: &str) {
        if self.has_failed() {
            return;
        }
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        self.failed.store(true, Ordering::Relaxed);
    }
}
