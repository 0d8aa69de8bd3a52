//! A node: its cores, its keeper, its data directory, from start to stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::{Config, HttpChoice, StorageKind};
use crate::cpu::{Oversubscribe, Plan};
use crate::engine::command::{Command, CoreReport};
use crate::engine::handler::HandlerFactory;
use crate::engine::ledger::{Totals, totals_in_state};
use crate::engine::message::{Reply, Request};
use crate::engine::process::Remember;
use crate::engine::status::{CoreStatus, Phase};
use crate::engine::submitter::Submitter;
use crate::exactly_once::Fingerprinter;
use crate::ids::{CoreId, CpuId, ShardId, StripeId};
use crate::log::state::TornTail;
use crate::mesh::{self, Bells, Doorbell, Port};
use crate::telemetry::{CounterSnapshot, StageHistograms};

use super::broker::{Brokers, Doors};
use super::clusters::{self, Clusters};
use super::embedded::{Embedded, Kept};
use super::error::StartError;
use super::executor::{GuestSeed, Seed, StorageSeed, spawn};
use super::free::{check_addresses, prepare_unix};
use super::handle::CoreHandle;
use super::housekeeping::{self, Housekeeping};
use super::http::{Addresses, Board, Holder, Http, Running, ShardView, TopicCounts};
use super::layout::Layout;
use super::placement::Ground;
use super::places::Places;
use super::readings::Readings;
use super::seeds::{Given, Starting};
use super::slow::{self, Recorders, Slowest};
use super::tracer::Tracer;
use super::watch::Watch;

/// What a node is besides its configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct NodeOptions {
    /// Threads of this process that will submit: see [`Node::submitter`].
    pub ports: u16,
}

/// A running node. Dropping it stops it without draining.
pub struct Node {
    cores: Vec<CoreHandle>,
    bells: Bells,
    ports: Vec<(Port<Request>, Port<Reply>)>,
    port_outstanding_max: usize,
    addresses: Vec<SocketAddr>,
    /// On which the broker listens.
    kafka_addresses: Vec<SocketAddr>,
    unix: Vec<PathBuf>,
    /// Outlives the cores, whose last waits it may have to end.
    watch: Option<Watch>,
    /// The embedded log's; none on clusters. Outlives the cores, too.
    kept: Option<Kept>,
    /// Tells of what the cores leave; outlives them, too.
    tracer: Option<Tracer>,
    housekeeping: Vec<CpuId>,
    board: Arc<Board>,
    /// The control port; none where it is off. Answers until the cores have ended.
    http: Option<Http>,
}

/// What a node is put together in, whatever holds its partitions.
struct Frame<'a> {
    config: &'a Config,
    plan: Plan,
    cores: u16,
    endpoints: u16,
    bells: Bells,
    watch: Watch,
    fingerprinter: Fingerprinter,
    board: Arc<Board>,
    http: Option<Http>,
}

impl<'a> Frame<'a> {
    fn new(config: &'a Config, plan: Plan, options: NodeOptions) -> Result<Frame<'a>, StartError> {
        // Before anything else: whoever asks is to hear that the node starts.
        let board = Arc::new(Board::new(match config.storage() {
            StorageKind::Embedded => Holder::Embedded(config.log.directory.clone()),
            StorageKind::Clusters => Holder::Clusters(config.clusters.keys().cloned().collect()),
        }));
        let http = match config.control.http {
            HttpChoice::Off => None,
            HttpChoice::At(address) => Some(Http::spawn(address, Arc::clone(&board))?),
        };
        let cores = plan.shard_cpus.len() as u16;
        let endpoints = cores + options.ports;
        let watch = Watch::spawn(cores).map_err(|error| StartError::System {
            what: "starting the watch",
            reason: error.to_string(),
        })?;
        Ok(Frame {
            config,
            plan,
            cores,
            endpoints,
            bells: (0..endpoints).map(|_| Doorbell::default()).collect(),
            watch,
            fingerprinter: Fingerprinter::new(),
            board,
            http,
        })
    }

    fn starting<'b>(&'b self, places: &'b Places, remember: Remember) -> Starting<'b> {
        Starting {
            config: self.config,
            places,
            remember,
            cores: self.cores,
            endpoints: self.endpoints,
            fingerprinter: self.fingerprinter,
            pulses: self.watch.pulses(),
        }
    }

    /// What the cores are started with, and control's hold on each, and the ports.
    fn cores<F: HandlerFactory, M: StorageSeed, G: GuestSeed<M::Storage>>(
        &self,
        starting: &Starting<'_>,
        given: Vec<Given<M, G>>,
        factory: F,
    ) -> (Vec<Seed<F, M, G>>, Held) {
        let capacity = self.config.node.mesh_capacity as usize;
        let mut requests = mesh::build::<Request>(self.endpoints, capacity, &self.bells);
        let mut replies = mesh::build::<Reply>(self.endpoints, capacity, &self.bells);
        let ports = requests.split_off(self.cores.into());
        let ports = ports.into_iter().zip(replies.split_off(self.cores.into()));
        let factory = Arc::new(factory);
        let (mut seeds, mut cores) = (Vec::new(), Vec::new());
        let rings = requests.into_iter().zip(replies);
        for ((core, rings), given) in (0..).zip(rings).zip(given) {
            let (seed, handle) = starting.core(core, rings, &factory, given);
            seeds.push(seed);
            cores.push(handle);
        }
        let ports = ports.collect();
        (seeds, Held { cores, ports })
    }

    fn launch<F: HandlerFactory, M: StorageSeed, G: GuestSeed<M::Storage>>(
        self,
        seeds: Vec<Seed<F, M, G>>,
        held: Held,
        kept: Option<Kept>,
        topics: Arc<TopicCounts>,
        kafka: Vec<SocketAddr>,
    ) -> Result<Node, StartError> {
        let cores = held.cores.iter().map(CoreHandle::view).collect();
        let commands = held.cores.iter().map(|it| Arc::clone(&it.commands));
        let recorders = Recorders {
            commands: commands.collect(),
            bells: Arc::clone(&self.bells),
        };
        let mut shards: Vec<_> = self.config.shards.iter().collect();
        // As the route table has them.
        shards.sort_by_key(|shard| shard.id);
        let shards = shards.into_iter().map(ShardView::from).collect();
        self.board.show(Running {
            cores,
            topics,
            shards,
            recorders,
        });
        let traces = held.cores.iter().map(|core| core.traces.clone());
        let tracer = Tracer::spawn(
            traces.collect(),
            &self.config.trace,
            Arc::clone(&self.board.spans),
        );
        let tracer = tracer.map_err(|error| StartError::System {
            what: "starting the tracer",
            reason: error.to_string(),
        })?;
        let capacity = self.config.node.mesh_capacity as usize;
        let mut node = Node {
            cores: held.cores,
            bells: self.bells,
            ports: held.ports,
            // Answers to one entrance may all come from one core.
            port_outstanding_max: (capacity / usize::from(self.cores)).max(1),
            addresses: self.config.gateway.tcp.clone(),
            kafka_addresses: Vec::new(),
            unix: self.config.gateway.unix.clone(),
            watch: Some(self.watch),
            kept,
            tracer: Some(tracer),
            housekeeping: self.plan.housekeeping.clone(),
            board: self.board,
            http: self.http,
        };
        for seed in seeds {
            node.launch(seed, &self.plan)?;
        }
        node.kafka_addresses = kafka;
        node.board.show_addresses(Addresses {
            gateway: node.addresses.clone(),
            unix: node.unix.clone(),
            kafka: node.kafka_addresses.clone(),
        });
        Ok(node)
    }
}

/// Control's hold on what the cores are started with.
struct Held {
    cores: Vec<CoreHandle>,
    ports: Vec<(Port<Request>, Port<Reply>)>,
}

/// What all cores together have done since they started.
#[derive(Debug, Clone, Default)]
pub struct NodeReport {
    /// Counters, summed.
    pub counters: CounterSnapshot,
    /// Latencies, merged.
    pub histograms: StageHistograms,
    /// The ledger's totals in the data directory, of all its life.
    pub ledger: BTreeMap<ShardId, Totals>,
}

/// Why a node did not stop as it should.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// What was taken in was not finished within the time.
    #[error(
        "not drained after {seconds} s: {in_flight} transactions in flight, {backlog} unprocessed"
    )]
    NotDrained {
        /// How long was waited.
        seconds: u64,
        /// Taken in, not yet durable.
        in_flight: u64,
        /// Durable, not yet processed.
        backlog: u64,
    },
    /// A core failed.
    #[error("core {core}: {reason}")]
    Failed {
        /// Which.
        core: CoreId,
        /// Why.
        reason: String,
    },
}

impl Node {
    /// Starts a node and returns when every core takes transactions. `factory` makes a handler for
    /// each lane. The calling thread runs on housekeeping CPUs meanwhile, so that every thread that
    /// is started and does not say where it belongs is there and not beside a core.
    ///
    /// # Errors
    /// Anything that keeps the node from starting; nothing runs on then.
    pub fn start<F: HandlerFactory>(
        config: &Config,
        options: NodeOptions,
        factory: F,
    ) -> Result<Node, StartError> {
        let ground = Ground::find(&config.node)?;
        let kind = config.storage();
        let cores = match kind {
            StorageKind::Embedded => config.node.cores,
            StorageKind::Clusters => clusters::cores_of(config, ground.cores_max())?,
        };
        let oversubscribe = match config.node.oversubscribe {
            true => Oversubscribe::Allow,
            false => Oversubscribe::Refuse,
        };
        let plan = ground.plan(cores.into(), oversubscribe)?;
        let _caller = housekeeping::visit(&plan.housekeeping);
        check_addresses(&config.gateway.tcp)?;
        prepare_unix(&config.gateway.unix)?;
        let frame = Frame::new(config, plan, options)?;
        match kind {
            StorageKind::Embedded => {
                let doors = Doors::new(config)?;
                let kafka = doors.addresses();
                check_addresses(&kafka)?;
                let layout = Layout::open(config, frame.cores)?;
                let (hash, bells) = (&frame.fingerprinter, &frame.bells);
                let mut embedded = Embedded::open(config, layout, hash, bells, frame.cores)?;
                let places = embedded.places().clone();
                let brokers = Brokers::new(doors, config, &places, &frame.bells, frame.cores);
                let storages: Vec<_> = (0..frame.cores).map(|core| embedded.seed(core)).collect();
                let endpoints = brokers.endpoints(&config.broker.advertised);
                let (kept, administered) = embedded.keep(frame.cores, endpoints, &frame.bells)?;
                let given = storages.into_iter().zip(brokers.seeds(administered));
                let given = given.map(|((storage, recent), guest)| Given {
                    storage,
                    recent,
                    guest,
                });
                let starting = frame.starting(&places, Remember::Own);
                let (seeds, held) = frame.cores(&starting, given.collect(), factory);
                let topics = Arc::clone(&kept.topics);
                frame.launch(seeds, held, Some(kept), topics, kafka)
            }
            StorageKind::Clusters => {
                let clusters = Clusters::open(config, &frame.plan, &frame.bells)?;
                let storages = clusters.seeds()?;
                let starting = frame.starting(clusters.places(), Remember::All);
                let (seeds, held) = frame.cores(&starting, storages, factory);
                frame.launch(seeds, held, None, clusters.topics(), Vec::new())
            }
        }
    }

    /// Starts one core's thread and waits until it is ready.
    fn launch<F: HandlerFactory, M: StorageSeed, G: GuestSeed<M::Storage>>(
        &mut self,
        mut seed: Seed<F, M, G>,
        plan: &Plan,
    ) -> Result<(), StartError> {
        let core = seed.core;
        seed.tcp = self.addresses.clone();
        let (ready, report) = mpsc::channel();
        let thread = spawn(seed, plan, ready)?;
        self.cores[core.index()].thread = Some(thread);
        let failed = |reason: String| StartError::System {
            what: "starting a core",
            reason,
        };
        match report.recv() {
            Ok(Ok(addresses)) => {
                // The first core has turned a port 0 into a number; the others share it.
                self.addresses = addresses;
                Ok(())
            }
            Ok(Err(reason)) => Err(failed(reason)),
            Err(_) => Err(failed(format!("core {core} ended before it was ready"))),
        }
    }

    /// Keeps the calling thread, and those that it starts from now on, on the housekeeping CPUs.
    pub fn stay_with_housekeeping(&self) {
        housekeeping::move_to(&self.housekeeping);
    }

    /// The CPUs on which threads do the cores no harm.
    pub fn housekeeping(&self) -> Housekeeping {
        Housekeeping(self.housekeeping.clone())
    }

    /// Counters and latencies of the cores, for a thread that does not hold the node.
    pub fn readings(&self) -> Readings {
        let cores = self.cores.iter();
        Readings(
            cores
                .map(|core| (core.counters.clone(), core.stages.clone()))
                .collect(),
        )
    }

    /// The TCP addresses on which the gateway listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The TCP addresses on which the Kafka listener accepts, first the plain ones.
    pub fn kafka_addresses(&self) -> &[SocketAddr] {
        &self.kafka_addresses
    }

    /// Where metrics and health are served; none where that is turned off.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Http::address)
    }

    /// Torn tails that the start cut off.
    pub fn torn_tails(&self) -> &[(StripeId, TornTail)] {
        self.kept.as_ref().map_or(&[], |kept| &kept.torn)
    }

    /// Number of cores.
    pub fn cores(&self) -> u16 {
        self.cores.len() as u16
    }

    /// A port for the calling thread; `None` once all of [`NodeOptions::ports`] are given out.
    pub fn submitter(&mut self) -> Option<Submitter> {
        let (requests, replies) = self.ports.pop()?;
        Some(Submitter::new(
            requests,
            replies,
            self.cores(),
            self.port_outstanding_max,
        ))
    }

    /// Counters of all cores, summed.
    pub fn counters(&self) -> CounterSnapshot {
        self.readings().counters()
    }

    /// Latencies of all cores since they started, merged. Read beside them: they lose no time.
    pub fn latencies(&self) -> StageHistograms {
        self.readings().latencies()
    }

    /// The first failure of a core, if there is one: storage is poisoned, a handler said stop.
    pub fn failure(&self) -> Option<StopError> {
        self.cores.iter().enumerate().find_map(|(core, handle)| {
            let died = handle.thread.as_ref().is_some_and(JoinHandle::is_finished)
                && handle.status.phase() != Phase::Stopped;
            let panicked = || died.then(|| "its thread has died".to_owned());
            let reason = handle.status.failure().or_else(panicked)?;
            Some(StopError::Failed {
                core: CoreId(core as u16),
                reason,
            })
        })
    }

    /// Refuses new transactions and waits until what was taken in is durable and processed.
    ///
    /// # Errors
    /// A core failed, or `timeout` passed first.
    pub fn drain(&self, timeout: Duration) -> Result<(), StopError> {
        let start = Instant::now();
        self.command(|| Command::Drain);
        loop {
            // Two rounds of reports: each core has run a whole cycle between them, so what was on
            // its way between cores at the first look has arrived at the second.
            let round = || self.reports().is_some();
            if self.is_quiet() && round() && round() && self.is_quiet() {
                return Ok(());
            }
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            if start.elapsed() > timeout {
                return Err(StopError::NotDrained {
                    seconds: timeout.as_secs(),
                    in_flight: self.sum(CoreStatus::in_flight),
                    backlog: self.lag(),
                });
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Records that are in the partitions of this node and not yet processed: its consumer lag.
    pub fn lag(&self) -> u64 {
        self.sum(CoreStatus::backlog)
    }

    fn sum(&self, of: fn(&CoreStatus) -> u64) -> u64 {
        self.cores.iter().map(|core| of(&core.status)).sum()
    }

    /// What the cores have done so far; `None` if one of them does not answer.
    pub fn report(&self) -> Option<NodeReport> {
        let mut report = NodeReport::default();
        for core in self.reports()? {
            for lane in &core.state {
                let pairs = lane.iter().map(|(key, value)| (&key[..], &value[..]));
                for (shard, totals) in totals_in_state(pairs) {
                    report.ledger.entry(shard).or_default().add(totals);
                }
            }
        }
        report.counters = self.counters();
        report.histograms = self.latencies();
        Some(report)
    }

    /// The slowest transactions of the last minutes, of the cores that answer at once.
    pub fn slowest(&self) -> Slowest {
        let mut asked = slow::ask(&self.board);
        asked.wait(slow::PATIENCE);
        asked.told(self.board.shards(), crate::clock::monotonic())
    }

    /// Ends every core after its last frames are durable and witnessed, or what it has open on
    /// clusters is at its end. Does not drain.
    ///
    /// # Errors
    /// A core has failed, or a cluster did not answer in time.
    pub fn stop(mut self) -> Result<(), StopError> {
        let before = self.failure();
        self.end();
        before.or_else(|| self.failure()).map_or(Ok(()), Err)
    }

    fn end(&mut self) {
        self.command(|| Command::Stop);
        for core in &mut self.cores {
            if let Some(thread) = core.thread.take() {
                // A panic on a core was printed when it happened; the status tells of it.
                let _ = thread.join();
            }
        }
        drop(self.tracer.take());
        drop(self.http.take());
        drop(self.watch.take());
        drop(self.kept.take());
        for path in &self.unix {
            let _ = std::fs::remove_file(path);
        }
    }

    fn is_quiet(&self) -> bool {
        self.cores
            .iter()
            .all(|c| c.status.phase() != Phase::Running && c.status.is_quiet())
    }

    fn command(&self, make: impl Fn() -> Command) {
        for (core, handle) in self.cores.iter().enumerate() {
            let mut command = make();
            while let Err(back) = handle.commands.push(command) {
                // Full only while the core is starting or gone.
                if handle.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                    break;
                }
                command = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            self.bells[core].ring();
        }
    }

    /// A report of every core, or `None` if one does not answer within seconds.
    fn reports(&self) -> Option<Vec<CoreReport>> {
        let (to, reports) = mpsc::sync_channel(self.cores.len());
        self.command(|| Command::Report(to.clone()));
        let each = |_| reports.recv_timeout(Duration::from_secs(10)).ok();
        (0..self.cores.len()).map(each).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("cores", &self.cores.len())
            .finish_non_exhaustive()
    }
}
