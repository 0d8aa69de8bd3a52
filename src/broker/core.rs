//! One core's broker: its parts, and its turn in the cycle.
//!
//! Owns: the order of a turn. Never does: what an API says (`api/`), what an owner does (`owner.rs`).
//! Runs on: the core.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::clock::Now;
use crate::engine::gateway::Gate;
use crate::engine::guest::{Guest, GuestMemory};
use crate::ids::{CoreId, Nanos, PartitionId};
use crate::log::disk::Disk;
use crate::log::storage::LogStorage;
use crate::mesh::{EndpointId, Port, Take};

use super::admin::{AdminCall, AdminNews, CoreEnd};
use super::cold;
use super::coordinate::Coordination;
use super::desk::{Answer, Desk};
use super::inlet::Inlet;
use super::message::{Ask, Asker, PartAsk, PartDone, PartOp, ReadAsk, Tell, Ticket};
use super::options::BrokerOptions;
use super::owner::Owner;
use super::underway::{Client, Underway, Work};
use super::view::View;

/// Requests taken from connections in one turn.
const CALLS_PER_TURN: usize = 256;

/// Questions taken from other cores in one turn.
const ASKS_PER_TURN: usize = 1024;

/// The core that owns stripe 0, and with it all groups and transactions.
pub const COORDINATOR: CoreId = CoreId(0);

/// What a broker is given to work with.
pub struct BrokerParts {
    /// Its connections.
    pub desk: Rc<Desk>,
    /// Rings of questions.
    pub asks: Port<Ask>,
    /// Rings of answers.
    pub tells: Port<Tell>,
    /// The line to the administrator.
    pub admin: CoreEnd,
    /// The topics at the start.
    pub view: Arc<View>,
    /// On the coordinator's core.
    pub coordination: Option<Coordination>,
    /// The way into the engine.
    pub inlet: Inlet,
}

/// One core's broker.
pub struct Broker {
    pub(super) options: BrokerOptions,
    pub(super) desk: Rc<Desk>,
    pub(super) view: Arc<View>,
    pub(super) underway: Underway,
    pub(super) owner: Owner,
    pub(super) coordination: Option<Coordination>,
    pub(super) inlet: Inlet,
    asks: Port<Ask>,
    tells: Port<Tell>,
    /// Questions and answers that found their ring full, in order.
    unsent_asks: VecDeque<(EndpointId, Ask)>,
    unsent_tells: VecDeque<(EndpointId, Tell)>,
    admin: CoreEnd,
}

/// What a turn works on besides the broker's own parts.
pub(super) struct Around<'a, D: Disk> {
    pub now: Now,
    pub storage: &'a mut LogStorage<D>,
    pub gate: &'a Gate,
}

impl Broker {
    /// Puts a broker together. `storage` holds what the coordinator knew.
    ///
    /// # Errors
    /// What the coordinator stored cannot be read.
    pub fn new<D: Disk>(
        options: BrokerOptions,
        parts: BrokerParts,
        storage: &LogStorage<D>,
    ) -> Result<Broker, String> {
        let mut coordination = parts.coordination;
        if let Some(coordination) = &mut coordination {
            coordination.restore(storage)?;
        }
        Ok(Broker {
            owner: Owner::new(options.storage_patience_ns),
            options,
            desk: parts.desk,
            view: parts.view,
            underway: Underway::default(),
            coordination,
            inlet: parts.inlet,
            asks: parts.asks,
            tells: parts.tells,
            unsent_asks: VecDeque::new(),
            unsent_tells: VecDeque::new(),
            admin: parts.admin,
        })
    }

    /// This core's own name for a request.
    pub(super) fn asker(&self, ticket: Ticket) -> Asker {
        Asker {
            core: EndpointId(self.options.core.0),
            ticket,
        }
    }

    /// Puts a question to the owner of a partition.
    pub(super) fn ask_part<D: Disk>(
        &mut self,
        owner: CoreId,
        (ticket, index): (Ticket, u32),
        (partition, op): (PartitionId, PartOp),
        around: &mut Around<'_, D>,
    ) {
        let ask = PartAsk {
            asker: self.asker(ticket),
            index,
            partition,
            op,
        };
        self.forward(owner, ask, around);
    }

    /// Hands a question of any core to the owner of a partition.
    pub(super) fn forward<D: Disk>(
        &mut self,
        owner: CoreId,
        ask: PartAsk,
        around: &mut Around<'_, D>,
    ) {
        if owner == self.options.core {
            self.owner.part(ask, around.now, around.storage);
        } else {
            self.send_ask(EndpointId(owner.0), Ask::Part(ask));
        }
    }

    /// Asks an owner for records.
    pub(super) fn ask_read<D: Disk>(
        &mut self,
        owner: CoreId,
        ask: ReadAsk,
        around: &mut Around<'_, D>,
    ) {
        if owner == self.options.core {
            self.owner.read(ask, around.storage);
        } else {
            self.send_ask(EndpointId(owner.0), Ask::Read(ask));
        }
    }

    /// Sends a question to another core.
    pub(super) fn send_ask(&mut self, to: EndpointId, ask: Ask) {
        if !self.unsent_asks.is_empty() {
            self.unsent_asks.push_back((to, ask));
        } else if let Err(ask) = self.asks.send(to, ask) {
            self.unsent_asks.push_back((to, ask));
        }
    }

    /// Hands an answer to whoever asked.
    pub(super) fn send_tell<D: Disk>(
        &mut self,
        to: EndpointId,
        tell: Tell,
        around: &mut Around<'_, D>,
    ) {
        if to.0 == self.options.core.0 {
            self.told(tell, around);
        } else if !self.unsent_tells.is_empty() {
            self.unsent_tells.push_back((to, tell));
        } else if let Err(tell) = self.tells.send(to, tell) {
            self.unsent_tells.push_back((to, tell));
        }
    }

    /// Gives a client its answer.
    pub(super) fn answer(&self, client: &Client, answer: Answer) {
        self.desk.answer(client.origin, answer);
    }

    /// Gives a client an answer in kafka-protocol's words.
    pub(super) fn respond(&self, client: &Client, response: &ResponseKind) {
        let frame = encode(client.key, client.version, client.correlation_id, response);
        self.answer(client, whole(frame));
    }

    /// Hands a request to the administrator; `work` says what becomes of the answer.
    pub(super) fn administer(
        &mut self,
        client: Client,
        request: RequestKind,
        work: impl FnOnce(Client) -> Work,
    ) {
        let ticket = self.underway.insert(work(client));
        let call = AdminCall {
            to: (self.options.core, ticket.to_bits()),
            listener: client.listener.into(),
            version: client.version,
            request: Box::new(request),
        };
        if self.admin.call(call).is_err() {
            // So many wait that this one had better come again later.
            self.underway.remove(ticket);
            self.answer(&client, Answer::HangUp);
        }
    }

    /// Sends what found its ring full. Returns the amount of work done.
    fn send_held(&mut self) -> usize {
        let mut work = 0;
        while let Some((to, tell)) = self.unsent_tells.pop_front() {
            if let Err(tell) = self.tells.send(to, tell) {
                self.unsent_tells.push_front((to, tell));
                break;
            }
            work += 1;
        }
        while let Some((to, ask)) = self.unsent_asks.pop_front() {
            if let Err(ask) = self.asks.send(to, ask) {
                self.unsent_asks.push_front((to, ask));
                break;
            }
            work += 1;
        }
        work
    }

    /// Takes other cores' answers.
    fn take_tells<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        let mut tells = Vec::new();
        self.tells
            .poll(0..self.options.cores, usize::MAX, |_, tell| {
                tells.push(tell);
                Take::More
            });
        let work = tells.len();
        for tell in tells {
            self.told(tell, around);
        }
        work
    }

    /// Takes other cores' questions, as long as they can be answered.
    fn take_asks<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        if !self.unsent_tells.is_empty() {
            return 0;
        }
        let mut asks = Vec::new();
        self.asks
            .poll(0..self.options.cores, ASKS_PER_TURN, |_, ask| {
                asks.push(ask);
                Take::More
            });
        let work = asks.len();
        for ask in asks {
            match ask {
                Ask::Part(ask) => self.owner.part(ask, around.now, around.storage),
                Ask::Read(ask) => self.owner.read(ask, around.storage),
                Ask::Coordinate(ask) => self.coordinate_here(ask, around),
                Ask::Verify(ask) => self.verify_here(*ask, around),
            }
        }
        work
    }

    /// Takes the clients' requests, as long as other cores can be asked.
    fn take_calls<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        let mut work = 0;
        while work < CALLS_PER_TURN && self.unsent_asks.is_empty() {
            let Some(call) = self.desk.next_call() else {
                break;
            };
            self.dispatch(call, around);
            work += 1;
        }
        work
    }

    /// Takes the administrator's news.
    fn take_news<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        let mut work = 0;
        while let Some(news) = self.admin.take() {
            work += 1;
            match news {
                AdminNews::Answer { ticket, response } => {
                    self.administered(Ticket::from_bits(ticket), &response);
                }
                AdminNews::View {
                    view,
                    added,
                    dropped,
                    retention,
                    done,
                } => {
                    let (core, cores) = (self.options.core.0, self.options.cores);
                    for part in added.iter().filter(|p| p.stripe.0 % cores == core) {
                        around.storage.add_partitions(part.stripe, &[part.spec]);
                        let bounds = part.retention;
                        around.storage.set_retention(part.spec.id, bounds);
                    }
                    for &partition in dropped.iter() {
                        if around.storage.owns(partition) {
                            around.storage.drop_partition(partition);
                        }
                    }
                    for &(partition, bounds) in retention.iter() {
                        if around.storage.owns(partition) {
                            around.storage.set_retention(partition, bounds);
                        }
                    }
                    self.forget_topics(&view, around);
                    self.view = view;
                    // The administrator may have given up waiting.
                    let _ = done.try_send(());
                }
            }
        }
        work
    }

    /// The end of what the administrator was asked.
    fn administered(&mut self, ticket: Ticket, response: &ResponseKind) {
        match self.underway.remove(ticket) {
            Some(Work::Administered(client)) => self.respond(&client, response),
            Some(Work::Creation(client, request)) => self.metadata(&client, &request),
            Some(_) | None => {}
        }
    }

    /// Takes an answer to a question of this core.
    pub(super) fn told<D: Disk>(&mut self, tell: Tell, around: &mut Around<'_, D>) {
        match tell {
            Tell::Part {
                ticket,
                index,
                done,
            } => self.part_done(ticket, index, done, around),
            Tell::Read { ticket, done } => self.fetch_read(ticket, done, around),
            Tell::Settled { ticket, mark, end } => self.produce_settled(ticket, mark, end),
            Tell::Woken { ticket } => self.fetch_woken(ticket, around),
            Tell::Frame { ticket, frame } => self.framed(ticket, frame),
        }
    }

    fn framed(&mut self, ticket: Ticket, frame: Option<Bytes>) {
        if let Some(Work::Coordinated(client)) = self.underway.remove(ticket) {
            self.answer(&client, whole(frame));
        }
    }

    fn part_done<D: Disk>(
        &mut self,
        ticket: Ticket,
        index: u32,
        done: PartDone,
        around: &mut Around<'_, D>,
    ) {
        let Some(work) = self.underway.get_mut(ticket) else {
            return;
        };
        match work {
            Work::Produce(_, produce) => {
                if produce.part(index, &done) == 0 {
                    self.finish_produce(ticket);
                }
            }
            Work::Gather(client, gather) => {
                if gather.part(index, done, client.version) == 0 {
                    self.finish_gather(ticket);
                }
            }
            &mut Work::Mark(mark) => {
                self.underway.remove(ticket);
                self.marked(mark, &done, around);
            }
            &mut Work::DeadLetter(mark) => {
                self.underway.remove(ticket);
                self.inlet_done(mark, done.error(), around);
            }
            Work::Fetch(..) | Work::Coordinated(_) | Work::Administered(_) | Work::Creation(..) => {
            }
        }
    }

    /// Passes on the answers that the owner's side has ready.
    fn deliver<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        let mut work = 0;
        while let Some((asker, tell)) = self.owner.next_finished() {
            self.send_tell(asker.core, tell, around);
            work += 1;
        }
        work
    }

    /// Looks at what waits for time to pass.
    fn look_at_clock<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        let mut work = 0;
        while let Some(ticket) = self.underway.due(around.now.mono) {
            self.fetch_due(ticket, around);
            work += 1;
        }
        work
    }
}

/// A response's frame; none where it cannot be said in this version, which is our fault.
pub(super) fn encode(
    key: i16,
    version: i16,
    correlation_id: i32,
    response: &ResponseKind,
) -> Option<Bytes> {
    match cold::encode(key, version, correlation_id, response) {
        Ok(frame) => Some(frame),
        Err(error) => {
            tracing::error!(%error, "a response cannot be encoded");
            None
        }
    }
}

fn whole(frame: Option<Bytes>) -> Answer {
    frame.map_or(Answer::HangUp, |frame| Answer::Frame(vec![frame]))
}

impl<D: Disk> Guest<LogStorage<D>> for Broker {
    fn turn(&mut self, now: Now, storage: &mut LogStorage<D>, gate: &Gate) -> usize {
        let mut around = Around { now, storage, gate };
        let mut work = self.send_held();
        work += self.take_news(&mut around);
        work += self.take_tells(&mut around);
        work += self.owner.turn(now, around.storage);
        work += self.deliver(&mut around);
        // Before any request: the coordinators first go on with what a former run left.
        work += self.coordination_turn(&mut around);
        work += self.take_asks(&mut around);
        work += self.take_calls(&mut around);
        work += self.inlet_turn(&mut around);
        work += self.look_at_clock(&mut around);
        work + self.deliver(&mut around)
    }

    fn ring(&mut self) {
        self.desk.wake_writers();
        self.asks.ring();
        self.tells.ring();
    }

    fn has_answers(&self) -> bool {
        self.desk.has_answers()
    }

    fn has_mail(&self) -> bool {
        let cores = 0..self.options.cores;
        let calls = self.unsent_asks.is_empty();
        let asks = self.unsent_tells.is_empty();
        (calls && self.desk.has_calls())
            || self.tells.has_mail(cores.clone())
            || (asks && self.asks.has_mail(cores))
            || self.admin.has_news()
    }

    fn awaits_kernel(&self) -> bool {
        self.desk.connections() > 0
    }

    fn awaits_ring(&self) -> bool {
        !self.unsent_asks.is_empty() || !self.unsent_tells.is_empty()
    }

    fn next_wake(&self) -> Option<Nanos> {
        let coordination = self.coordination.as_ref();
        let wakes = [
            self.underway.next_wake(),
            self.owner.next_wake(),
            coordination.and_then(Coordination::next_wake),
        ];
        wakes.into_iter().flatten().min()
    }

    fn drain(&mut self) {
        self.desk.close();
        for ticket in self.underway.fetches() {
            self.finish_fetch(ticket);
        }
    }

    fn in_flight(&self) -> usize {
        self.underway.busy() + usize::from(self.owner.is_busy())
    }

    fn close(&mut self) {
        self.desk.close();
    }

    fn connections(&self) -> usize {
        self.desk.connections()
    }

    fn memory(&self) -> GuestMemory {
        GuestMemory {
            requests: self.desk.request_bytes(),
            answers: self.desk.answer_bytes(),
        }
    }
}
