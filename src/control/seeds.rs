//! From the configuration to what each core is started with.

use std::sync::Arc;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use crate::clock;
use crate::config::{Config, Idle, TraceConfig};
use crate::engine::command::Command;
use crate::engine::core::CoreOptions;
use crate::engine::gateway::GateOptions;
use crate::engine::handler::HandlerFactory;
use crate::engine::idle::IdleStrategy;
use crate::engine::message::{Reply, Request};
use crate::engine::process::{ProcessOptions, Remember};
use crate::engine::status::CoreStatus;
use crate::engine::trace::{Slowest, TraceOptions, traces};
use crate::exactly_once::{Fingerprinter, Window, WindowOptions};
use crate::ids::{CoreId, Nanos};
use crate::limits::{FRAME_BYTES_MAX, GATEWAY_FRAME_BYTES_MAX};
use crate::log::state::RecentId;
use crate::mesh::{Bells, EndpointId, Port};
use crate::telemetry::{counters, stages};

use super::executor::{GuestSeed, PartsSeed, Seed, StorageSeed};
use super::handle::CoreHandle;
use super::places::Places;

/// Commands that a core may have waiting.
const COMMANDS_MAX: usize = 16;

/// A duty cycle longer than this is counted as a stall.
const STALL_NS: u64 = 1_000_000;

/// Transactions that a core takes from each kind of source in one cycle: enough that a cycle's
/// fixed cost is spread, few enough that answers are not kept waiting.
const INTAKE_BUDGET: usize = 512;

/// Batches that a core processes in one cycle.
const BATCHES_PER_CYCLE: usize = 8;

/// How long an executor that waits for the kernel polls it before it parks. Short, because on
/// devices without FUA the flush of this core's own write runs in a kernel worker on the same CPU,
/// which polling keeps from running.
const EXECUTOR_POLL: Duration = Duration::from_micros(20);

/// What one core is given besides what all are.
pub(super) struct Given<M, G> {
    /// Of its storage.
    pub storage: M,
    /// The ids that recovery found in it.
    pub recent: Vec<RecentId>,
    /// Who else uses it.
    pub guest: G,
}

/// What all cores of a node are started with.
pub(super) struct Starting<'a> {
    pub config: &'a Config,
    pub places: &'a Places,
    pub remember: Remember,
    pub cores: u16,
    pub endpoints: u16,
    pub fingerprinter: Fingerprinter,
    pub pulses: Bells,
}

impl Starting<'_> {
    /// What one core is started with, and control's hold on it.
    pub fn core<F: HandlerFactory, M: StorageSeed, G: GuestSeed<M::Storage>>(
        &self,
        core: u16,
        (requests, replies): (Port<Request>, Port<Reply>),
        factory: &Arc<F>,
        given: Given<M, G>,
    ) -> (Seed<F, M, G>, CoreHandle) {
        let Given {
            storage,
            recent,
            guest,
        } = given;
        let config = self.config;
        let status = Arc::new(CoreStatus::default());
        let commands = Arc::new(ArrayQueue::<Command>::new(COMMANDS_MAX));
        let (counter_writer, counters) = counters(self.places.table.shards().len());
        let (stage_writer, stages) = stages();
        let (traces, told) = traces(trace_options(&config.trace));
        let handle = CoreHandle {
            status: Arc::clone(&status),
            commands: Arc::clone(&commands),
            counters,
            stages,
            traces: told,
            thread: None,
        };
        let parts = PartsSeed {
            requests,
            replies,
            table: Arc::clone(&self.places.table),
            window: window(config, recent),
            fingerprinter: self.fingerprinter,
            counters: counter_writer,
            stages: stage_writer,
            traces,
            status,
            commands,
        };
        let idle = match config.node.idle {
            Idle::Adaptive => IdleStrategy::Adaptive {
                spin_ns: u64::from(config.node.spin_us) * 1000,
            },
            Idle::Spin => IdleStrategy::Spin,
        };
        let seed = Seed {
            core: CoreId(core),
            options: self.core_options(core),
            factory: Arc::clone(factory),
            parts,
            storage,
            guest,
            pulses: Arc::clone(&self.pulses),
            gate: self.gate_options(core),
            tcp: Vec::new(),
            // A path can be bound once only, so each belongs to one core.
            unix: config
                .gateway
                .unix
                .iter()
                .enumerate()
                .filter(|(place, _)| place % usize::from(self.cores) == usize::from(core))
                .map(|(_, path)| path.clone())
                .collect(),
            idle,
            preempt_timer: Duration::from_micros(config.node.preempt_timer_us.into()),
            spin_before_park: EXECUTOR_POLL,
        };
        (seed, handle)
    }

    fn core_options(&self, core: u16) -> CoreOptions {
        let config = self.config;
        CoreOptions {
            core: CoreId(core),
            cores: self.cores,
            endpoints: self.endpoints,
            in_flight_max: config.node.in_flight_max as usize,
            intake_budget: INTAKE_BUDGET,
            batches_per_cycle: BATCHES_PER_CYCLE,
            payload_bytes_max: config.transactions.payload_bytes_max as usize,
            stall_ns: STALL_NS,
            process: ProcessOptions {
                batch_records_max: config.processing.batch_records_max as usize,
                retry_backoff_ns: u64::from(config.processing.retry_backoff_ms) * 1_000_000,
                // Outputs, state and position of a batch are one atomic group, so one frame: an
                // eighth of it is left to headers and the position.
                outputs_bytes_max: FRAME_BYTES_MAX - (FRAME_BYTES_MAX >> 3),
                topics: Arc::clone(&self.places.topics),
                dead_letters: Arc::clone(&self.places.dead_letters),
                remember: self.remember,
            },
        }
    }

    fn gate_options(&self, core: u16) -> GateOptions {
        let gateway = &self.config.gateway;
        let payload_bytes_max = self.config.transactions.payload_bytes_max as usize;
        let spare = GATEWAY_FRAME_BYTES_MAX - crate::limits::PAYLOAD_BYTES_MAX;
        GateOptions {
            endpoint: EndpointId(core),
            connections_max: gateway.connections_max as usize,
            in_flight_max: gateway.connection_in_flight_max,
            intake_max: self.config.node.in_flight_max as usize,
            frame_bytes_max: payload_bytes_max + spare,
            node_id: 0,
        }
    }
}

fn trace_options(config: &TraceConfig) -> TraceOptions {
    TraceOptions {
        sample: config.sample,
        slowest: match config.slowest {
            true => Slowest::Told,
            false => Slowest::Kept,
        },
    }
}

/// The duplicate window of one core, with the ids that recovery found.
fn window(config: &Config, mut recent: Vec<RecentId>) -> Window {
    let transactions = &config.transactions;
    let age_max_ns = match transactions.duplicate_window_ms {
        0 => u64::MAX,
        ms => ms.saturating_mul(1_000_000),
    };
    let entries_max = transactions.duplicate_window_records as usize;
    let mut window = Window::new(WindowOptions {
        entries_max,
        age_max_ns,
    });
    // The stripes of a core each come oldest first; together they must as well.
    recent.sort_by_key(|id| id.timestamp);
    let (mono, wall) = (clock::monotonic(), clock::wall().0 / 1000);
    for id in recent {
        let age_ns = wall.saturating_sub(id.timestamp.0).max(0) as u64 * 1_000_000;
        if age_ns > age_max_ns {
            continue;
        }
        let stored_at = Nanos(mono.0.saturating_sub(age_ns));
        window
            .store(
                id.fingerprint,
                id.partition,
                id.offset,
                id.timestamp,
                stored_at,
            )
            .expect("nothing is in flight yet, so there is always room");
    }
    window
}
