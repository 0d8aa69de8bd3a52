//! A core over storage that does what the test says: every answer of a cluster, in any order,
//! without a cluster.

#![allow(dead_code)] // Each test uses its own part of this.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use corelane::clock::Now;
use corelane::engine::core::{Core, CoreOptions, CoreParts};
use corelane::engine::gateway::{Gate, GateOptions, LocalEvent};
use corelane::engine::guest::Alone;
use corelane::engine::handler::HandlerFactory;
use corelane::engine::message::{Answer, Reply, Request};
use corelane::engine::process::{ProcessOptions, Remember};
use corelane::engine::route::{RouteTable, ShardPartitions};
use corelane::engine::status::CoreStatus;
use corelane::engine::submitter::{Entrance, Submitter};
use corelane::engine::trace::{TraceOptions, TraceReader, traces};
use corelane::exactly_once::{Fingerprinter, Window, WindowOptions};
use corelane::frame::Correlation;
use corelane::geo::{ShardManager, ShardSpec};
use corelane::ids::{
    Acks, CoreId, Nanos, Offset, PartitionId, ShardId, TopicId, UnixMicros, UnixMillis,
};
use corelane::location::GeoLocation;
use corelane::mesh::{self, Bells, Doorbell, EndpointId};
use corelane::storage::{
    Ack, Commit, CommitRefusal, Consumer, Hindrances, LaneNews, Offer, Outputs, Producer,
    ReadError, ReadOutcome, Record, Refusal, Storage, StorageCounts, StorageError, StorageEvent,
    StorageMemory, Visit,
};
use corelane::telemetry::{Counter, CounterReader, TraceContext, counters, stages};
use corelane::transaction::{TransactionRef, codec};
use crossbeam::queue::ArrayQueue;

/// Shard 0 (partition 0) and shard 1 (partition 1).
pub const SHARDS: [(f64, f64); 2] = [(50.1109, 8.6821), (35.6764, 139.65)];

/// What storage was told and what it shall say.
pub struct Script {
    /// What was offered and not yet reported on, oldest first.
    pub offers: VecDeque<Offer>,
    /// News for the next poll.
    pub events: VecDeque<StorageEvent>,
    /// By partition: the records that are there, as id and value.
    pub records: [Vec<(Vec<u8>, Bytes)>; 2],
    pub positions: [i64; 2],
    settled: [i64; 2],
    pub available: [bool; 2],
    pub news: VecDeque<LaneNews>,
    /// What a commit comes to.
    pub commit: Commit,
    pub commits: usize,
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    pending: Vec<(Vec<u8>, Vec<u8>)>,
    pub history: Vec<(Vec<u8>, u32, i64)>,
    pub acks_max: Acks,
    ready: VecDeque<u32>,
}

/// The storage over a script.
pub struct Scripted(Rc<RefCell<Script>>);

impl Script {
    /// A record appears in a partition, whoever wrote it. Returns its offset.
    pub fn appear(&mut self, partition: usize, offer: &Offer) -> i64 {
        let start = offer.key_start as usize;
        let key = offer.value[start..start + offer.key_len as usize].to_vec();
        self.records[partition].push((key, offer.value.clone()));
        self.ready.push_back(partition as u32);
        self.records[partition].len() as i64 - 1
    }

    /// The cluster acknowledges a record at this offset.
    pub fn acknowledge(&mut self, token: u32, offset: i64) {
        let ack = Ack {
            token,
            offset: Offset(offset),
            timestamp: UnixMillis(5),
        };
        self.events.push_back(StorageEvent::Appended(ack));
        self.events.push_back(StorageEvent::Durable(ack));
    }

    /// The oldest offer is stored, visible and acknowledged. Returns its partition and offset.
    pub fn take_oldest(&mut self) -> (usize, i64) {
        let offer = self.offers.pop_front().expect("something was offered");
        let partition = offer.partition.index();
        let offset = self.appear(partition, &offer);
        self.acknowledge(offer.token, offset);
        (partition, offset)
    }

    /// Every open commit of both lanes holds.
    pub fn settle(&mut self, lane: usize, commits: usize) {
        self.settled = self.positions;
        self.state.extend(self.pending.drain(..));
        self.news.push_back(LaneNews::Settled { lane, commits });
    }

    /// Every open commit of both lanes is taken back.
    pub fn undo(&mut self, lane: usize) {
        self.positions = self.settled;
        self.pending.clear();
        self.news.push_back(LaneNews::Undone { lane });
        self.ready.push_back(lane as u32);
    }
}

impl Producer for Scripted {
    fn offer(&mut self, offer: Offer) -> Result<(), (Offer, Refusal)> {
        let mut script = self.0.borrow_mut();
        if !script.available[offer.partition.index()] {
            return Err((offer, Refusal::Unavailable));
        }
        script.offers.push_back(offer);
        Ok(())
    }

    fn flush(&mut self, _now: Now, _on: &mut impl FnMut(StorageEvent)) -> usize {
        0
    }

    fn poll(&mut self, _now: Now, on: &mut impl FnMut(StorageEvent)) -> usize {
        let events = std::mem::take(&mut self.0.borrow_mut().events);
        let work = events.len();
        events.into_iter().for_each(on);
        work
    }

    fn is_busy(&self) -> bool {
        !self.0.borrow().offers.is_empty()
    }

    fn is_available(&self, partition: PartitionId) -> bool {
        self.0.borrow().available[partition.index()]
    }

    fn acks_max(&self) -> Acks {
        self.0.borrow().acks_max
    }

    fn error(&self) -> Option<StorageError> {
        None
    }
}

impl Consumer for Scripted {
    fn lanes(&self) -> usize {
        2
    }

    fn lane(&self, partition: PartitionId) -> usize {
        partition.index()
    }

    fn next_ready(&mut self) -> Option<PartitionId> {
        self.0.borrow_mut().ready.pop_front().map(PartitionId)
    }

    fn requeue(&mut self, partition: PartitionId) {
        let mut script = self.0.borrow_mut();
        let place = partition.index();
        if (script.positions[place] as usize) < script.records[place].len() {
            script.ready.push_back(partition.0);
        }
    }

    fn read(
        &mut self,
        partition: PartitionId,
        visit: &mut impl FnMut(Record<'_>) -> Visit,
    ) -> Result<ReadOutcome, ReadError> {
        let script = self.0.borrow();
        let from = script.positions[partition.index()];
        let records = &script.records[partition.index()];
        let mut outcome = ReadOutcome::Empty;
        for (offset, (key, value)) in (0..).zip(records).skip(from as usize) {
            outcome = ReadOutcome::Records(Offset(offset + 1));
            let record = Record {
                offset: Offset(offset),
                timestamp: UnixMillis(5),
                key,
                value,
                trace: None,
                taken: None,
                seat: None,
                visible: None,
            };
            if visit(record) == Visit::Stop {
                break;
            }
        }
        Ok(outcome)
    }

    fn commit(
        &mut self,
        _now: Now,
        partition: PartitionId,
        next: Offset,
        outputs: &Outputs,
    ) -> Result<Commit, CommitRefusal> {
        let mut script = self.0.borrow_mut();
        script.positions[partition.index()] = next.0;
        let changes = outputs.state_changes();
        let changes: Vec<_> = changes.map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
        script.commits += 1;
        match script.commit {
            Commit::Settled => script.state.extend(changes),
            Commit::Open => script.pending.extend(changes),
        }
        Ok(script.commit)
    }

    fn lane_news(&mut self) -> Option<LaneNews> {
        self.0.borrow_mut().news.pop_front()
    }

    fn history(&mut self, seen: &mut impl FnMut(&[u8], PartitionId, Offset, UnixMillis)) -> usize {
        let history = std::mem::take(&mut self.0.borrow_mut().history);
        for (id, partition, offset) in &history {
            seen(id, PartitionId(*partition), Offset(*offset), UnixMillis(5));
        }
        history.len()
    }

    fn position(&self, partition: PartitionId) -> Offset {
        Offset(self.0.borrow().positions[partition.index()])
    }

    fn backlog(&self) -> u64 {
        0
    }

    fn lag(&self, _partition: PartitionId) -> u64 {
        0
    }

    fn state(&self, _lane: usize, visit: &mut dyn FnMut(&[u8], &[u8])) {
        let script = self.0.borrow();
        script
            .state
            .iter()
            .for_each(|(key, value)| visit(key, value));
    }
}

impl Storage for Scripted {
    fn is_prepared(&self) -> bool {
        true
    }

    fn awaits_kernel(&self) -> bool {
        false
    }

    fn awaits_look(&self) -> bool {
        false
    }

    fn has_news(&self) -> bool {
        !self.0.borrow().events.is_empty()
    }

    fn next_wake(&self) -> Option<Nanos> {
        None
    }

    fn take_counts(&mut self) -> StorageCounts {
        StorageCounts::default()
    }

    fn hindrances(&self) -> Hindrances {
        Hindrances::default()
    }

    fn memory(&self) -> StorageMemory {
        StorageMemory::default()
    }

    fn finish(&mut self, _now: Now) -> usize {
        0
    }
}

/// One core over a script, and a port to submit through.
pub struct Rig<F: HandlerFactory> {
    pub core: Core<Scripted, F, Alone>,
    pub script: Rc<RefCell<Script>>,
    pub answers: Vec<(u64, Answer)>,
    port: Submitter,
    counters: CounterReader,
    /// What the core has left about traced transactions.
    pub told: TraceReader,
    now: Now,
}

/// The encoded transaction of this id, from near a shard.
pub fn body(id: &str, shard: usize) -> Bytes {
    let (latitude, longitude) = SHARDS[shard];
    let transaction = TransactionRef {
        id: id.as_bytes(),
        client_location: GeoLocation::new(latitude, longitude).expect("on the Earth"),
        submitted_at: UnixMicros(1),
        amount: Some(1),
        payload: b"payload",
    };
    let mut bytes = Vec::new();
    codec::encode(&transaction, &mut bytes).expect("within bounds");
    bytes.into()
}

impl<F: HandlerFactory> Rig<F> {
    pub fn new(factory: F, acks_max: Acks) -> Rig<F> {
        let bells: Bells = (0..2).map(|_| Doorbell::default()).collect();
        let mut requests = mesh::build::<Request>(2, 64, &bells);
        let mut replies = mesh::build::<Reply>(2, 64, &bells);
        let (port_requests, port_replies) = (requests.remove(1), replies.remove(1));
        let port = Submitter::new(port_requests, port_replies, 1, 64);
        let script = Rc::new(RefCell::new(Script {
            offers: VecDeque::new(),
            events: VecDeque::new(),
            records: [Vec::new(), Vec::new()],
            positions: [0; 2],
            settled: [0; 2],
            available: [true; 2],
            news: VecDeque::new(),
            commit: Commit::Settled,
            commits: 0,
            state: BTreeMap::new(),
            pending: Vec::new(),
            history: Vec::new(),
            acks_max,
            ready: VecDeque::new(),
        }));
        let gate = GateOptions {
            endpoint: EndpointId(0),
            connections_max: 1,
            in_flight_max: 1,
            intake_max: 1,
            frame_bytes_max: 1 << 20,
            node_id: 0,
        };
        let (writer, reader) = counters(table().shards().len());
        let (traces, told) = traces(TraceOptions::default());
        let parts = CoreParts {
            requests: requests.remove(0),
            replies: replies.remove(0),
            table: Arc::new(table()),
            storage: Scripted(Rc::clone(&script)),
            guest: Alone,
            window: Window::new(WindowOptions {
                entries_max: 1024,
                age_max_ns: u64::MAX,
            }),
            fingerprinter: Fingerprinter::with_key([3; 16]),
            gate: Rc::new(Gate::new(gate, Rc::new(LocalEvent::default()))),
            counters: writer,
            stages: stages().0,
            traces,
            status: Arc::new(CoreStatus::default()),
            commands: Arc::new(ArrayQueue::new(4)),
        };
        let dead_letters = (0..2).map(|shard| (ShardId(shard), TopicId(shard.into())));
        let options = CoreOptions {
            core: CoreId(0),
            cores: 1,
            endpoints: 2,
            in_flight_max: 64,
            intake_budget: 16,
            batches_per_cycle: 4,
            payload_bytes_max: 64 << 10,
            stall_ns: u64::MAX,
            process: ProcessOptions {
                batch_records_max: 16,
                retry_backoff_ns: 1_000_000,
                outputs_bytes_max: 16 << 10,
                topics: Arc::new(BTreeMap::new()),
                dead_letters: Arc::new(dead_letters.collect()),
                remember: Remember::All,
            },
        };
        Rig {
            core: Core::new(options, parts, Arc::new(factory)),
            script,
            answers: Vec::new(),
            port,
            counters: reader,
            told,
            now: Now::default(),
        }
    }

    /// Submits through the port; `mark` comes back with the answer.
    pub fn submit(&mut self, mark: u64, body: Bytes, acks: Acks) {
        self.submit_traced(mark, body, acks, None);
    }

    /// The same for a transaction that may belong to a trace.
    pub fn submit_traced(
        &mut self,
        mark: u64,
        body: Bytes,
        acks: Acks,
        trace: Option<TraceContext>,
    ) {
        let (mark, taken) = (Correlation(mark), self.now.mono);
        self.port
            .submit_traced(Entrance::InTurn, body, acks, mark, taken, trace)
            .expect("there is room");
    }

    /// A few duty cycles; the port takes its answers.
    pub fn cycles(&mut self) {
        for _ in 0..4 {
            self.now.mono.0 += 10_000;
            self.core.run_once(self.now);
            let answers = &mut self.answers;
            self.port
                .poll(|mark, answer| answers.push((mark.0, answer)));
        }
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.counters.snapshot().get(counter)
    }
}

fn table() -> RouteTable {
    let specs = (0..2).map(|shard| {
        let (latitude, longitude) = SHARDS[usize::from(shard)];
        ShardSpec {
            id: ShardId(shard),
            location: GeoLocation::new(latitude, longitude).expect("on the Earth"),
        }
    });
    let shards = (0..2).map(|shard| ShardPartitions {
        shard: ShardId(shard),
        partitions: vec![PartitionId(shard.into())],
    });
    let geo = ShardManager::new(specs.collect(), None).expect("two shards");
    RouteTable::new(geo, shards.collect(), vec![CoreId(0); 2])
}
