//! One core's thread: a pinned executor, the core made on it, and the loop around its duty cycle.

use std::ffi::CString;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::{CpuSet, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::clock::{self, Clock};
use crate::cpu::Plan;
use crate::engine::core::{Core, CoreOptions, CoreParts, Flow};
use crate::engine::gateway::{self, Gate, GateOptions, LocalEvent};
use crate::engine::guest::{Alone, Guest};
use crate::engine::handler::HandlerFactory;
use crate::engine::idle::{Awaited, Idle, IdleStrategy, Step};
use crate::engine::intake::Admission;
use crate::engine::status::{CoreStatus, Phase};
use crate::ids::CoreId;
use crate::mesh::Bells;
use crate::storage::Storage;

use super::error::StartError;
use super::iowq::keep_workers_on;
use super::watch::beat;

/// How long a core that found nothing looks away the first time: within it, idle stripes write
/// their markers.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// How long it looks away after that. Bounds how late time-driven work (retention) starts.
const LATER_LOOK: Duration = Duration::from_millis(500);

/// How long it looks away while a write takes longer than it should: nobody tells of its end.
const DOZE: Duration = Duration::from_micros(100);

/// After so many nanoseconds with a write under way a core that always finds work lets the kernel's
/// threads on its CPU go first: on devices without FUA one of them has to flush, and the scheduler would
/// leave it waiting for a whole tick.
const GIVE_WAY_NS: u64 = 20_000;

/// The executor hands requests to the kernel and takes its answers only when no task is runnable.
/// A core that always finds work must therefore step aside now and then while reads or connections
/// are under way: after this many nanoseconds,
const TURN_NS: u64 = 50_000;

/// after this many while it only looks for the end of a write, so that a request that comes meanwhile
/// does not wait for it,
const TURN_LOOK_NS: u64 = 5_000;

/// after this many while nothing is under way but a first connection or an opened file may come,
const TURN_IDLE_NS: u64 = 1_000_000;

/// for this long. It costs about 10 µs.
const TURN: Duration = Duration::from_micros(1);

/// Wakes the core's loop from a task of the same executor.
pub(super) type WakeLoop = Rc<dyn Fn()>;

/// What a core's storage is made from, on the core's own thread.
pub(super) trait StorageSeed: Send + 'static {
    /// What is made.
    type Storage: Storage;

    /// Makes it.
    ///
    /// # Errors
    /// Says what the system refuses.
    fn make(self, wake: WakeLoop) -> Result<Self::Storage, String>;

    /// How long the core waits until its storage is prepared, and what if it is not by then.
    fn patience(&self) -> Patience;
}

/// What a core's guest is made from, on the core's own thread.
pub(super) trait GuestSeed<S>: Send + 'static {
    /// What is made.
    type Guest: Guest<S>;

    /// Makes it; its sockets are bound then. `event` wakes the core's cycle.
    fn make(self, event: &Rc<LocalEvent>, storage: &mut S) -> Result<Self::Guest, String>;
}

impl<S> GuestSeed<S> for Alone {
    type Guest = Alone;

    fn make(self, _: &Rc<LocalEvent>, _: &mut S) -> Result<Alone, String> {
        Ok(self)
    }
}

/// How a core waits for its storage before it takes transactions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Transactions are taken from the start; the node counts as ready after this at the latest.
    Ready(Duration),
    /// No transaction is taken before, and the node does not start if it takes longer.
    Needed(Duration),
}

/// What a core's thread is started with.
pub(super) struct Seed<F, M, G> {
    pub core: CoreId,
    pub options: CoreOptions,
    pub factory: Arc<F>,
    /// Made on the thread: storage and gate are not `Send`.
    pub parts: PartsSeed,
    pub storage: M,
    pub guest: G,
    pub pulses: Bells,
    pub gate: GateOptions,
    pub tcp: Vec<SocketAddr>,
    pub unix: Vec<PathBuf>,
    pub idle: IdleStrategy,
    pub preempt_timer: Duration,
    /// How long the executor itself polls the kernel before it parks.
    pub spin_before_park: Duration,
}

/// The parts of a core that are made before its thread starts.
pub(super) struct PartsSeed {
    pub requests: crate::mesh::Port<crate::engine::message::Request>,
    pub replies: crate::mesh::Port<crate::engine::message::Reply>,
    pub table: Arc<crate::engine::route::RouteTable>,
    pub window: crate::exactly_once::Window,
    pub fingerprinter: crate::exactly_once::Fingerprinter,
    pub counters: crate::telemetry::CounterWriter,
    pub stages: crate::telemetry::StageWriter,
    pub traces: crate::engine::trace::Traces,
    pub status: Arc<CoreStatus>,
    pub commands: Arc<crossbeam::queue::ArrayQueue<crate::engine::command::Command>>,
}

/// Starts a core's thread. `ready` gets its bound TCP addresses, or why it does not start.
pub(super) fn spawn<F: HandlerFactory, M: StorageSeed, G: GuestSeed<M::Storage>>(
    seed: Seed<F, M, G>,
    plan: &Plan,
    ready: Sender<Result<Vec<SocketAddr>, String>>,
) -> Result<JoinHandle<()>, StartError> {
    let cpu = plan.shard_cpus[seed.core.index()].index();
    let builder = LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .name("corelane-core")
        .preempt_timer(seed.preempt_timer)
        .spin_before_park(seed.spin_before_park)
        .blocking_thread_pool_placement(housekeeping(plan));
    let system = |reason: String| StartError::System {
        what: "starting a core's thread",
        reason,
    };
    let others = plan.housekeeping.clone();
    std::thread::Builder::new()
        .name(format!("core-{}", seed.core))
        .spawn(move || {
            let status = Arc::clone(&seed.parts.status);
            let bell_of_failure = ready.clone();
            match named(format!("block-{}", seed.core), || builder.make()) {
                Ok(executor) => {
                    keep_workers_on(&others);
                    executor.run(live(seed, ready));
                }
                // Control may have given up already; then nobody needs to know.
                Err(error) => drop(bell_of_failure.send(Err(error.to_string()))),
            }
            status.set_phase(Phase::Stopped);
        })
        .map_err(|error| system(error.to_string()))
}

/// Does something while the calling thread has another name, which threads that are started
/// meanwhile and get none of their own keep: the executor's pool for blocking calls. The kernel cuts
/// names off after 15 bytes.
fn named<R>(name: String, work: impl FnOnce() -> R) -> R {
    let own = rustix::thread::name().ok();
    let _ = CString::new(name).map(|name| rustix::thread::set_name(&name));
    let result = work();
    // A thread that has lost its name works as well; only people who look for it are misled.
    let _ = own.map(|own| rustix::thread::set_name(&own));
    result
}

/// Where the executor's blocking calls run: never on a shard CPU while there are others.
fn housekeeping(plan: &Plan) -> PoolPlacement {
    let numbers: Vec<usize> = plan.housekeeping.iter().map(|cpu| cpu.index()).collect();
    match CpuSet::online() {
        Ok(online) => {
            PoolPlacement::Fenced(1, online.filter(|location| numbers.contains(&location.cpu)))
        }
        Err(_) => PoolPlacement::Unbound(1),
    }
}

/// A core's whole life on its executor.
async fn live<F: HandlerFactory, M: StorageSeed, G: GuestSeed<M::Storage>>(
    seed: Seed<F, M, G>,
    ready: Sender<Result<Vec<SocketAddr>, String>>,
) {
    glommio::spawn_local(beat(seed.pulses, seed.core.index())).detach();
    let event = Rc::new(LocalEvent::default());
    let wake = {
        let event = Rc::clone(&event);
        Rc::new(move || event.notify()) as WakeLoop
    };
    let listeners = match gateway::bind(&seed.tcp, &seed.unix) {
        Ok(listeners) => listeners,
        Err(error) => return drop(ready.send(Err(error.to_string()))),
    };
    let addresses = listeners.tcp_addresses().map_err(|error| error.to_string());
    let gate = Rc::new(Gate::new(seed.gate, Rc::clone(&event)));
    listeners.serve(&gate);
    let patience = seed.storage.patience();
    let mut storage = match seed.storage.make(wake) {
        Ok(storage) => storage,
        Err(reason) => return drop(ready.send(Err(reason))),
    };
    let guest = match seed.guest.make(&event, &mut storage) {
        Ok(guest) => guest,
        Err(reason) => return drop(ready.send(Err(reason))),
    };
    let parts = CoreParts {
        requests: seed.parts.requests,
        replies: seed.parts.replies,
        table: seed.parts.table,
        storage,
        guest,
        window: seed.parts.window,
        fingerprinter: seed.parts.fingerprinter,
        gate: Rc::clone(&gate),
        counters: seed.parts.counters,
        stages: seed.parts.stages,
        traces: seed.parts.traces,
        status: Arc::clone(&seed.parts.status),
        commands: seed.parts.commands,
    };
    let mut core = Core::new(seed.options, parts, seed.factory);
    if let Err(reason) = warm_up(&mut core, &event, patience).await {
        return drop(ready.send(Err(reason)));
    }
    seed.parts.status.set_phase(Phase::Running);
    if ready.send(addresses).is_err() {
        return;
    }
    let idle = Idle::new(seed.idle);
    cycle(&mut core, &event, &gate, idle).await;
    finish(&mut core, &event).await;
    gate.close();
    core.guest_mut().close();
    farewell(&mut core, &gate).await;
}

/// Runs cycles until storage is prepared.
async fn warm_up<S: Storage, F: HandlerFactory, G: Guest<S>>(
    core: &mut Core<S, F, G>,
    event: &LocalEvent,
    patience: Patience,
) -> Result<(), String> {
    let (Patience::Ready(time_max) | Patience::Needed(time_max)) = patience;
    if matches!(patience, Patience::Needed(_)) {
        core.set_admission(Admission::NotYet);
    }
    let start = clock::monotonic();
    let mut clock = Clock::new();
    loop {
        let now = clock.now();
        core.run_once(now);
        let storage = core.storage_mut();
        if storage.is_prepared() {
            core.set_admission(Admission::Open);
            return Ok(());
        }
        if let Some(error) = storage.error() {
            return Err(error.to_string());
        }
        if now.mono.since(start) > time_max.as_nanos() as u64 {
            return match patience {
                Patience::Ready(_) => Ok(()),
                Patience::Needed(_) => Err(format!("not ready after {} s", time_max.as_secs())),
            };
        }
        wait(core, event, Duration::from_millis(1)).await;
    }
}

/// The loop around the duty cycle.
async fn cycle<S: Storage, F: HandlerFactory, G: Guest<S>>(
    core: &mut Core<S, F, G>,
    event: &LocalEvent,
    gate: &Gate,
    mut idle: Idle,
) {
    let mut clock = Clock::new();
    let mut looks_idle = 0;
    let mut last_turn = clock.now().mono;
    let mut gave_way = last_turn;
    loop {
        let now = clock.now();
        let work = core.run_once(now);
        if core.flow() == Flow::Stop {
            return;
        }
        let kernel_busy = core.awaits_kernel() || gate.connections() > 0;
        let is_writing = core.awaits_look();
        let awaited = if core.awaits_ring() {
            Awaited::Ring
        } else if is_writing {
            Awaited::Look
        } else if kernel_busy {
            Awaited::Kernel
        } else {
            Awaited::Nothing
        };
        let step = idle.step(now.mono, work, awaited);
        let turn_ns = match (kernel_busy, step) {
            (true, Step::Look) => TURN_LOOK_NS,
            (true, Step::Again | Step::Doze | Step::Wait) => TURN_NS,
            (false, _) => TURN_IDLE_NS,
        };
        if step == Step::Look || (is_writing && now.mono.since(gave_way) > GIVE_WAY_NS) {
            gave_way = now.mono;
            rustix::thread::sched_yield();
        }
        match step {
            Step::Again | Step::Look if now.mono.since(last_turn) > turn_ns => {
                last_turn = now.mono;
                glommio::timer::sleep(TURN).await;
            }
            Step::Doze => {
                core.note_park();
                last_turn = now.mono;
                wait(core, event, DOZE).await;
            }
            Step::Again | Step::Look => {
                looks_idle = 0;
                // To the back of the executor's queue: connections with bytes go first.
                glommio::executor().yield_now().await;
            }
            Step::Wait => {
                let look = if looks_idle == 0 {
                    FIRST_LOOK
                } else {
                    LATER_LOOK
                };
                looks_idle += 1;
                let resting = core
                    .next_wake()
                    .map(|at| Duration::from_nanos(at.since(now.mono)));
                let timeout = resting.map_or(look, |rest| rest.min(look));
                core.note_park();
                last_turn = now.mono;
                wait(core, event, timeout).await;
            }
        }
    }
}

/// Waits for mail, for something on this core, or for `timeout`.
async fn wait<S: Storage, F: HandlerFactory, G: Guest<S>>(
    core: &Core<S, F, G>,
    event: &LocalEvent,
    timeout: Duration,
) {
    let mut announced = false;
    let woken = poll_fn(|cx| {
        if announced || event.take_or_wait(cx.waker()) {
            return Poll::Ready(());
        }
        announced = true;
        core.bell().announce_sleep(cx.waker());
        if core.has_mail() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    let timer = async {
        glommio::timer::sleep(timeout).await;
    };
    woken.or(timer).await;
    core.bell().stay_awake();
}

/// Brings what storage has open to its end: in the log, the last frames durable and witnessed.
async fn finish<S: Storage, F: HandlerFactory, G: Guest<S>>(
    core: &mut Core<S, F, G>,
    event: &LocalEvent,
) {
    let mut clock = Clock::new();
    loop {
        let now = clock.now();
        core.run_once(now);
        let storage = core.storage_mut();
        let written = storage.finish(now);
        if written == 0 && (!storage.is_busy() || storage.error().is_some()) {
            return;
        }
        wait(core, event, Duration::from_millis(1)).await;
    }
}

/// Lets connections write their last answers and goodbyes, for a moment.
async fn farewell<S: Storage, F: HandlerFactory, G: Guest<S>>(
    core: &mut Core<S, F, G>,
    gate: &Gate,
) {
    for _ in 0..100 {
        if gate.connections() == 0 && core.guest_mut().connections() == 0 {
            return;
        }
        glommio::timer::sleep(Duration::from_millis(1)).await;
    }
}
