//! Cores driven by hand: one or two on simulated disks, without an executor and without threads.
//! Time, the keeper and what the disks do are the test's.

#![allow(dead_code)] // Each test uses its own part of this.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use corelane::clock::Now;
use corelane::engine::command::Command;
use corelane::engine::core::{Core, CoreOptions, CoreParts};
use corelane::engine::gateway::{Gate, GateOptions, LocalEvent};
use corelane::engine::guest::Alone;
use corelane::engine::handler::HandlerFactory;
use corelane::engine::ledger::{Totals, totals_in_state};
use corelane::engine::message::{Answer, Reply, Request, Stored};
use corelane::engine::process::{ProcessOptions, Remember};
use corelane::engine::route::{RouteTable, ShardPartitions};
use corelane::engine::status::CoreStatus;
use corelane::engine::submitter::{Entrance, Submitter};
use corelane::engine::trace::{TraceOptions, traces};
use corelane::exactly_once::{Fingerprinter, Window, WindowOptions};
use corelane::frame::{Correlation, ErrorCode};
use corelane::geo::{ShardManager, ShardSpec};
use corelane::ids::UnixMicros;
use corelane::ids::{Acks, CoreId, Nanos, Offset, PartitionId, ShardId, StripeId, TopicId};
use corelane::location::GeoLocation;
use corelane::log::files::MemoryFiles;
use corelane::log::keeper::{Keeper, KeeperOptions};
use corelane::log::recover::{Access, RecoverOptions, recover};
use corelane::log::sim::{Pace, SimDisk};
use corelane::log::state::RecentId;
use corelane::log::storage::{LogStorage, StripeStart};
use corelane::log::stripe::{PartitionSpec, Processing, ReadAt, StripeOptions};
use corelane::mesh::{self, Bells, Doorbell, EndpointId, Port};
use corelane::storage::{Consumer as _, Producer as _, ReadOutcome, Visit};
use corelane::telemetry::{Counter, CounterReader, counters, stages};
use corelane::transaction::{TransactionRef, codec};
use crossbeam::queue::ArrayQueue;

/// Stripes, on however many cores: partition p lies in stripe p mod 2.
pub const STRIPES: u16 = 2;
/// Partitions of each shard's topic.
pub const SHARD_PARTITIONS: u32 = 4;
/// Partitions of all other topics: the dead letters of both shards, then the outputs.
const OTHER_PARTITIONS: u32 = 2;
/// The topic that handlers send to, known to them as `outputs`.
pub const OUTPUTS: TopicId = TopicId(4);
/// Shard 0 and shard 1.
pub const SHARDS: [(f64, f64); 2] = [(50.1109, 8.6821), (35.6764, 139.65)];

const DIRECTORY: u128 = 7;
/// What a duty cycle takes.
pub const CYCLE_NS: u64 = 10_000;

/// What may differ from rig to rig.
#[derive(Clone, Debug)]
pub struct Setup {
    pub cores: u16,
    pub ports: u16,
    pub ring: usize,
    pub in_flight_max: usize,
    /// Of a port, for each entrance.
    pub outstanding_max: usize,
    pub intake_budget: usize,
    pub batch_records_max: usize,
    pub outputs_bytes_max: usize,
    pub retry_backoff_ns: u64,
    pub window: usize,
    pub segment_bytes: u32,
    pub tail_bytes: usize,
    pub pace: Pace,
    pub seed: u64,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            cores: 1,
            ports: 1,
            ring: 64,
            in_flight_max: 64,
            outstanding_max: 32,
            intake_budget: 16,
            batch_records_max: 16,
            outputs_bytes_max: 16 << 10,
            retry_backoff_ns: 1_000_000,
            window: 4096,
            segment_bytes: 256 << 10,
            tail_bytes: 1 << 20,
            pace: Pace::Polls(3),
            seed: 1,
        }
    }
}

/// The cores and everything around them.
pub struct Rig<F: HandlerFactory> {
    pub setup: Setup,
    pub files: MemoryFiles,
    pub cores: Vec<Core<LogStorage<SimDisk>, F, Alone>>,
    pub ports: Vec<Submitter>,
    pub statuses: Vec<Arc<CoreStatus>>,
    pub now: Now,
    /// By port: the answers in the order of their arrival.
    pub answers: Vec<Vec<(u64, Answer)>>,
    commands: Vec<Arc<ArrayQueue<Command>>>,
    pub counters: Vec<CounterReader>,
    keeper: Keeper<MemoryFiles>,
    factory: Arc<F>,
    epoch: u32,
}

/// The encoded transaction of this id, from near a shard.
pub fn body(id: &str, shard: usize, amount: u64, payload: &[u8]) -> Bytes {
    let (latitude, longitude) = SHARDS[shard];
    let transaction = TransactionRef {
        id: id.as_bytes(),
        client_location: GeoLocation::new(latitude, longitude).unwrap(),
        submitted_at: UnixMicros(1),
        amount: Some(amount),
        payload,
    };
    let mut bytes = Vec::new();
    codec::encode(&transaction, &mut bytes).unwrap();
    bytes.into()
}

/// The receipt in an answer.
pub fn receipt(answer: &Answer) -> Stored {
    match answer {
        Answer::Stored(stored) => *stored,
        Answer::Rejected(code) => panic!("rejected: {code:?}"),
    }
}

/// The error in an answer.
pub fn refusal(answer: &Answer) -> ErrorCode {
    match answer {
        Answer::Rejected(code) => *code,
        Answer::Stored(stored) => panic!("stored: {stored:?}"),
    }
}

/// The partition that a receipt names.
pub fn partition_of(stored: &Stored) -> PartitionId {
    PartitionId(u32::from(stored.shard.0) * SHARD_PARTITIONS + stored.partition.0)
}

/// Partitions of topic `topic`: 0 and 1 the shards', 2 and 3 their dead letters, 4 the outputs.
pub fn partitions_of(topic: TopicId) -> Vec<PartitionId> {
    let (start, count) = match topic.0 {
        shard @ 0..2 => (shard * SHARD_PARTITIONS, SHARD_PARTITIONS),
        other => (
            2 * SHARD_PARTITIONS + (other - 2) * OTHER_PARTITIONS,
            OTHER_PARTITIONS,
        ),
    };
    (start..start + count).map(PartitionId).collect()
}

/// The dead letter topic of a shard.
pub fn dead_letters(shard: u16) -> TopicId {
    TopicId(2 + u32::from(shard))
}

fn route_table(cores: u16) -> RouteTable {
    let specs = (0u16..).zip(SHARDS).map(|(id, (latitude, longitude))| {
        let location = GeoLocation::new(latitude, longitude).unwrap();
        let id = ShardId(id);
        ShardSpec { id, location }
    });
    let shards = (0..2u16)
        .map(|shard| ShardPartitions {
            shard: ShardId(shard),
            partitions: partitions_of(TopicId(shard.into())),
        })
        .collect();
    let partitions = 2 * SHARD_PARTITIONS + 3 * OTHER_PARTITIONS;
    let owners = (0..partitions).map(|p| CoreId(p as u16 % STRIPES % cores));
    let manager = ShardManager::new(specs.collect(), None).unwrap();
    RouteTable::new(manager, shards, owners.collect())
}

fn specs(stripe: StripeId) -> Vec<PartitionSpec> {
    let of_topic = |topic: TopicId| {
        let processing = match topic.0 {
            0..2 => Processing::Handler,
            _ => Processing::None,
        };
        let mine = move |p: &PartitionId| p.0 as u16 % STRIPES == stripe.0;
        let spec = move |id| PartitionSpec {
            id,
            topic,
            processing,
            read_at: ReadAt::Durable,
        };
        partitions_of(topic).into_iter().filter(mine).map(spec)
    };
    (0..5).map(TopicId).flat_map(of_topic).collect()
}

fn window(setup: &Setup, recent: &[RecentId], now: Now) -> Window {
    let mut window = Window::new(WindowOptions {
        entries_max: setup.window,
        age_max_ns: u64::MAX,
    });
    for id in recent {
        window
            .store(
                id.fingerprint,
                id.partition,
                id.offset,
                id.timestamp,
                now.mono,
            )
            .unwrap();
    }
    window
}

impl<F: HandlerFactory> Rig<F> {
    /// Cores on empty disks.
    pub fn new(setup: Setup, factory: F) -> Rig<F> {
        let now = Now {
            mono: Nanos(1),
            wall: UnixMicros(1_700_000_000_000_000),
        };
        Rig::open(setup, MemoryFiles::new(), Arc::new(factory), now, 1)
    }

    fn open(setup: Setup, files: MemoryFiles, factory: Arc<F>, now: Now, epoch: u32) -> Rig<F> {
        let endpoints = setup.cores + setup.ports;
        let bells: Bells = (0..endpoints).map(|_| Doorbell::default()).collect();
        let mut requests = mesh::build::<Request>(endpoints, setup.ring, &bells);
        let mut replies = mesh::build::<Reply>(endpoints, setup.ring, &bells);
        let ports: Vec<_> = requests
            .split_off(setup.cores.into())
            .into_iter()
            .zip(replies.split_off(setup.cores.into()))
            .map(|(requests, replies)| {
                Submitter::new(requests, replies, setup.cores, setup.outstanding_max)
            })
            .collect();
        let stripes = (0..STRIPES).map(StripeId).collect();
        let options = KeeperOptions {
            directory_id: DIRECTORY,
            epoch,
            segment_bytes: setup.segment_bytes.into(),
            stripes,
            spares_max: 2,
        };
        let (keeper, handles) = Keeper::new(files.clone(), options, Arc::new(|_| {})).unwrap();
        let fingerprinter = Fingerprinter::with_key([3; 16]);
        let mut starts: Vec<(Vec<StripeStart>, Vec<RecentId>)> =
            (0..setup.cores).map(|_| Default::default()).collect();
        for (stripe, keeper) in (0..STRIPES).map(StripeId).zip(handles) {
            let options = RecoverOptions {
                directory_id: DIRECTORY,
                access: Access::Repair,
                window_records_max: setup.window,
                window_partitions: &|p| p.0 < 2 * SHARD_PARTITIONS,
                fingerprint: &|key| fingerprinter.of(key),
            };
            let mut recovered = recover(&files, stripe, &options).expect("nothing is damaged");
            let (of_core, recent) = &mut starts[usize::from(stripe.0 % setup.cores)];
            recent.append(&mut recovered.recent);
            of_core.push(StripeStart {
                recovered,
                partitions: specs(stripe),
                options: StripeOptions {
                    tail_bytes: setup.tail_bytes,
                    ..StripeOptions::new(setup.segment_bytes, epoch)
                },
                keeper,
            });
        }
        let mut rig = Rig {
            answers: ports.iter().map(|_| Vec::new()).collect(),
            cores: Vec::new(),
            statuses: Vec::new(),
            commands: Vec::new(),
            counters: Vec::new(),
            ports,
            keeper,
            setup,
            files,
            factory,
            now,
            epoch,
        };
        let table = Arc::new(route_table(rig.setup.cores));
        let ends = requests.into_iter().zip(replies).zip(starts);
        for (core, ((requests, replies), (starts, recent))) in (0..).map(CoreId).zip(ends) {
            let ends = (requests, replies);
            let window = window(&rig.setup, &recent, now);
            let seeded = (starts, window, fingerprinter);
            rig.add_core(core, ends, seeded, Arc::clone(&table));
        }
        rig
    }

    fn add_core(
        &mut self,
        core: CoreId,
        (requests, replies): (Port<Request>, Port<Reply>),
        (starts, window, fingerprinter): (Vec<StripeStart>, Window, Fingerprinter),
        table: Arc<RouteTable>,
    ) {
        let setup = &self.setup;
        let gate = GateOptions {
            endpoint: EndpointId(core.0),
            connections_max: 1,
            in_flight_max: 1,
            intake_max: 1,
            frame_bytes_max: 1 << 20,
            node_id: 0,
        };
        let (writer, reader) = counters(table.shards().len());
        let status = Arc::new(CoreStatus::default());
        let commands = Arc::new(ArrayQueue::new(4));
        let seed = setup.seed + u64::from(core.0);
        let disk = SimDisk::new(self.files.clone(), seed, setup.pace);
        let parts = CoreParts {
            requests,
            replies,
            table,
            storage: LogStorage::new(starts, disk),
            guest: Alone,
            window,
            fingerprinter,
            gate: Rc::new(Gate::new(gate, Rc::new(LocalEvent::default()))),
            counters: writer,
            stages: stages().0,
            traces: traces(TraceOptions::default()).0,
            status: Arc::clone(&status),
            commands: Arc::clone(&commands),
        };
        let topics = BTreeMap::from([("outputs".to_owned(), OUTPUTS)]);
        let dead_letters = (0..2).map(|shard| (ShardId(shard), dead_letters(shard)));
        let options = CoreOptions {
            core,
            cores: setup.cores,
            endpoints: setup.cores + setup.ports,
            in_flight_max: setup.in_flight_max,
            intake_budget: setup.intake_budget,
            batches_per_cycle: 4,
            payload_bytes_max: 64 << 10,
            stall_ns: u64::MAX,
            process: ProcessOptions {
                batch_records_max: setup.batch_records_max,
                retry_backoff_ns: setup.retry_backoff_ns,
                outputs_bytes_max: setup.outputs_bytes_max,
                topics: Arc::new(topics),
                dead_letters: Arc::new(dead_letters.collect()),
                remember: Remember::Own,
            },
        };
        let core = Core::new(options, parts, Arc::clone(&self.factory));
        self.cores.push(core);
        self.statuses.push(status);
        self.commands.push(commands);
        self.counters.push(reader);
    }

    /// What makes the handlers.
    pub fn factory(&self) -> &F {
        &self.factory
    }

    /// Submits through a port; gives the body back where there is no room.
    pub fn try_submit(
        &mut self,
        port: usize,
        entrance: Entrance,
        body: Bytes,
        acks: Acks,
        mark: u64,
    ) -> Result<(), Bytes> {
        let taken = self.now.mono;
        self.ports[port].submit(entrance, body, acks, Correlation(mark), taken)
    }

    /// Submits through port 0, in turn, with `all`; there must be room.
    pub fn submit(&mut self, mark: u64, body: Bytes) {
        self.try_submit(0, Entrance::InTurn, body, Acks::All, mark)
            .expect("the test asks for no more than fits");
    }

    /// One duty cycle of every core and one step of the keeper; ports take their answers.
    pub fn cycle(&mut self) -> usize {
        let work = self.cycle_without_ports();
        (0..self.ports.len()).for_each(|port| self.take_answers(port));
        work
    }

    /// The same, but no port takes an answer.
    pub fn cycle_without_ports(&mut self) -> usize {
        self.pass(CYCLE_NS);
        let now = self.now;
        let work: usize = self.cores.iter_mut().map(|core| core.run_once(now)).sum();
        work + self.step_keeper()
    }

    /// What the keeper's thread would do meanwhile.
    pub fn step_keeper(&mut self) -> usize {
        self.keeper.step(self.now.mono)
    }

    /// Takes the answers that have arrived at a port.
    pub fn take_answers(&mut self, port: usize) {
        let answers = &mut self.answers[port];
        self.ports[port].poll(|mark, answer| answers.push((mark.0, answer)));
    }

    /// Lets time pass.
    pub fn pass(&mut self, ns: u64) {
        self.now.mono.0 += ns;
        self.now.wall.0 += (ns / 1000) as i64;
    }

    pub fn cycles(&mut self, count: usize) {
        for _ in 0..count {
            self.cycle();
        }
    }

    /// Runs until `done`, for 100,000 cycles at the most.
    pub fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..100_000 {
            if done(self) {
                return;
            }
            self.cycle();
        }
        panic!("it never comes to this: {what}");
    }

    /// Runs until nothing is in flight, everything is answered and processed.
    pub fn settle(&mut self) {
        // Two looks, as what was on its way between cores at the first has arrived at the second.
        let mut quiet = 0;
        self.run_until("quiet", |rig| {
            let unanswered: usize = rig.ports.iter().map(Submitter::outstanding).sum();
            let is_quiet = rig.statuses.iter().all(|status| status.is_quiet());
            quiet = if is_quiet && unanswered == 0 {
                quiet + 1
            } else {
                0
            };
            quiet == 3
        });
    }

    pub fn command(&mut self, command: impl Fn() -> Command) {
        for commands in &self.commands {
            commands.push(command()).expect("few are sent");
        }
    }

    /// The only answer with this mark.
    pub fn answer(&self, mark: u64) -> Answer {
        let mut found = self.answers.iter().flatten().filter(|(m, _)| *m == mark);
        let (_, answer) = found.next().expect("it was answered");
        assert_eq!(found.next(), None, "it was answered once");
        *answer
    }

    /// Whether there is an answer with this mark.
    pub fn is_answered(&self, mark: u64) -> bool {
        self.answers.iter().flatten().any(|(m, _)| *m == mark)
    }

    /// A counter, summed over the cores.
    pub fn count(&self, counter: Counter) -> u64 {
        self.counters.iter().map(|reader| reader.get(counter)).sum()
    }

    pub fn storage(&mut self, partition: PartitionId) -> &mut LogStorage<SimDisk> {
        let core = partition.0 as u16 % STRIPES % self.setup.cores;
        self.cores[usize::from(core)].storage_mut()
    }

    pub fn disk(&mut self, core: usize) -> &mut SimDisk {
        self.cores[core].storage_mut().disk_mut()
    }

    pub fn set_pace(&mut self, pace: Pace) {
        for core in 0..self.cores.len() {
            self.disk(core).set_pace(pace);
        }
    }

    /// What a partition's visible records are: key and value, in order.
    pub fn records(&mut self, partition: PartitionId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut records = Vec::new();
        let mut from = Offset::ZERO;
        loop {
            let mut keep = |record: corelane::storage::Record<'_>| {
                records.push((record.key.to_vec(), record.value.to_vec()));
                Visit::Continue
            };
            let outcome = self
                .storage(partition)
                .read_from(partition, from, &mut keep);
            match outcome.expect("nothing is damaged") {
                ReadOutcome::Records(next) => from = next,
                ReadOutcome::Empty => return records,
                ReadOutcome::Pending => drop(self.cycle()),
            }
        }
    }

    /// The records of a topic, over all its partitions.
    pub fn topic(&mut self, topic: TopicId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let partitions = partitions_of(topic);
        partitions
            .into_iter()
            .flat_map(|p| self.records(p))
            .collect()
    }

    /// The ids in a partition, in order.
    pub fn ids(&mut self, partition: PartitionId) -> Vec<String> {
        let id = |(key, _): (Vec<u8>, _)| String::from_utf8(key).unwrap();
        self.records(partition).into_iter().map(id).collect()
    }

    /// The ledger's committed totals, of both shards together.
    pub fn totals(&mut self) -> Totals {
        let mut totals = Totals::default();
        for core in &mut self.cores {
            let storage = core.storage_mut();
            for lane in 0..storage.lanes() {
                let mut pairs = Vec::new();
                storage.state(lane, &mut |key, value| {
                    pairs.push((key.to_vec(), value.to_vec()));
                });
                let pairs = pairs.iter().map(|(key, value)| (&key[..], &value[..]));
                for of_shard in totals_in_state(pairs).into_values() {
                    totals.add(of_shard);
                }
            }
        }
        totals
    }

    /// Power is lost; what is left of the writes under way is up to the seed. The cores start
    /// again, `cores` of them.
    pub fn crash_and_restart(self, cores: u16) -> Rig<F> {
        let Rig {
            mut setup,
            files,
            cores: dead,
            factory,
            now,
            epoch,
            ..
        } = self;
        for mut core in dead {
            let empty = SimDisk::new(MemoryFiles::new(), 0, Pace::Never);
            std::mem::replace(core.storage_mut().disk_mut(), empty).crash_at_random();
        }
        setup.cores = cores;
        setup.seed = setup.seed.wrapping_mul(31).wrapping_add(7);
        Rig::open(setup, files, factory, now, epoch + 1)
    }

    /// Whether a core's storage still has something to make durable.
    pub fn is_busy(&mut self) -> bool {
        let mut cores = self.cores.iter_mut();
        cores.any(|core| core.storage_mut().is_busy())
    }
}
