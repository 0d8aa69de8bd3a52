//! The coordinators on the core that owns stripe 0: what they want done is done here.
//!
//! Owns: the order of what they store. Never does: deciding anything about groups or transactions. Runs
//! on: that core; other cores send requests there.

use std::collections::VecDeque;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::clock::Now;
use crate::ids::{Nanos, StripeId};
use crate::log::disk::Disk;
use crate::log::storage::{AppendError, Fate, LogStorage, Mark};
use crate::mesh::EndpointId;

use super::coordinator::group::{self, Groups, TICKET_BIT};
use super::coordinator::txn::Transactions;
use super::coordinator::{Call, Caller, Effect, Outcome, Pair, ids, txn};
use super::core::{Around, Broker, COORDINATOR, encode};
use super::message::{Ask, CoordinateAsk, PartDone, PartOp, ReplyTo, Tell};
use super::underway::{Client, Work};
use super::verify::Claim;
use super::view::View;

/// Where all of it is stored.
const STRIPE: StripeId = StripeId(0);

/// The coordinators, and what of theirs is not durable yet.
pub struct Coordination {
    groups: Groups<ReplyTo>,
    transactions: Transactions<ReplyTo>,
    effects: Vec<Effect<ReplyTo>>,
    /// Not appended yet, for want of room, and until when they may wait for space on the device.
    unstored: VecDeque<(Nanos, u64, Vec<Pair>)>,
    /// Appended and not durable, in order.
    stored: VecDeque<(Mark, u64)>,
    resumed: bool,
}

impl Coordination {
    /// Coordinators that know nothing yet.
    pub fn new(groups: Groups<ReplyTo>, transactions: Transactions<ReplyTo>) -> Coordination {
        Coordination {
            groups,
            transactions,
            effects: Vec::new(),
            unstored: VecDeque::new(),
            stored: VecDeque::new(),
            resumed: false,
        }
    }

    /// Takes in what was stored before.
    pub(super) fn restore<D: Disk>(&mut self, storage: &LogStorage<D>) -> Result<(), String> {
        let mut failed = None;
        let Coordination {
            groups,
            transactions,
            ..
        } = self;
        storage.values(STRIPE, group::PREFIX, &mut |key, value| {
            if let Err(error) = groups.restore(key, value) {
                failed.get_or_insert(error.to_string());
            }
        });
        for prefix in [txn::PREFIX, ids::PREFIX] {
            storage.values(STRIPE, prefix, &mut |key, value| {
                if let Err(error) = transactions.restore(key, value) {
                    failed.get_or_insert(error.to_string());
                }
            });
        }
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn next_wake(&self) -> Option<Nanos> {
        let wakes = [
            self.groups.next_deadline(),
            self.transactions.next_deadline(),
            self.unstored.front().map(|(until, ..)| *until),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Whether a batch may be appended.
    pub(super) fn may_write(&self, claim: &Claim) -> Result<(), ResponseError> {
        let Claim {
            transactional_id,
            author,
            place,
        } = claim;
        let transactions = &self.transactions;
        transactions.may_write(transactional_id, *author, *place)
    }

    /// What became of a store.
    fn settled(&mut self, ticket: u64, outcome: Outcome, now: Now) {
        let Coordination {
            groups,
            transactions,
            effects,
            ..
        } = self;
        if ticket & TICKET_BIT == 0 {
            transactions.stored(ticket, outcome, now, groups, effects);
        } else {
            groups.stored(ticket, outcome, now, effects);
        }
    }

    /// Appends what is to be stored, in order, as far as there is room.
    fn store<D: Disk>(&mut self, now: Now, storage: &mut LogStorage<D>) {
        while let Some((until, ticket, pairs)) = self.unstored.pop_front() {
            let each = pairs.iter().map(|pair| (&pair.key[..], &pair.value[..]));
            match storage.put(now, STRIPE, each) {
                Ok(mark) => self.stored.push_back((mark, ticket)),
                // The next segment may only be a moment away.
                Err(AppendError::Full) if now.mono < until || !storage.is_blocked() => {
                    return self.unstored.push_front((until, ticket, pairs));
                }
                Err(AppendError::Poisoned) => self.settled(ticket, Outcome::Lost, now),
                // No space is left on the device, or it is more than a frame holds.
                Err(_) => self.settled(ticket, Outcome::Refused, now),
            }
        }
    }

    /// Takes note of what has become durable. Returns how much.
    fn settle<D: Disk>(&mut self, now: Now, storage: &LogStorage<D>) -> usize {
        let mut work = 0;
        while let Some(&(mark, ticket)) = self.stored.front() {
            let outcome = match storage.fate(mark) {
                Fate::Underway => break,
                Fate::Durable => Outcome::Durable,
                Fate::Lost => Outcome::Lost,
            };
            self.stored.pop_front();
            self.settled(ticket, outcome, now);
            work += 1;
        }
        work
    }
}

impl Broker {
    /// Hands a request to the coordinator.
    pub(super) fn coordinate<D: Disk>(
        &mut self,
        client: Client,
        caller: Caller,
        request: RequestKind,
        around: &mut Around<'_, D>,
    ) {
        let ticket = self.underway.insert(Work::Coordinated(client));
        let ask = CoordinateAsk {
            to: ReplyTo {
                asker: self.asker(ticket),
                key: client.key,
                version: client.version,
                correlation_id: client.correlation_id,
            },
            caller,
            request: Box::new(request),
        };
        if self.options.core == COORDINATOR {
            self.coordinate_here(ask, around);
        } else {
            self.send_ask(EndpointId(COORDINATOR.0), Ask::Coordinate(ask));
        }
    }

    /// Executes a request of any core.
    pub(super) fn coordinate_here<D: Disk>(
        &mut self,
        ask: CoordinateAsk,
        around: &mut Around<'_, D>,
    ) {
        let coordination = self.coordination.as_mut();
        let Coordination {
            groups,
            transactions,
            effects,
            ..
        } = coordination.expect("requests are sent to the core that coordinates");
        let call = Call {
            now: around.now,
            caller: &ask.caller,
            version: ask.to.version,
            to: ask.to,
            topics: &*self.view,
        };
        if is_of_groups(&ask.request) {
            groups.handle(&call, *ask.request, effects);
        } else {
            transactions.handle(&call, *ask.request, groups, effects);
        }
        self.carry_out(around);
    }

    /// The coordinators' part of a turn. Returns the amount of work done.
    pub(super) fn coordination_turn<D: Disk>(&mut self, around: &mut Around<'_, D>) -> usize {
        let now = around.now;
        let Some(coordination) = &mut self.coordination else {
            return 0;
        };
        if !coordination.resumed {
            coordination.resumed = true;
            let Coordination {
                groups,
                transactions,
                effects,
                ..
            } = coordination;
            transactions.resume(now, groups, effects);
        }
        let work = coordination.settle(now, around.storage);
        if coordination.next_wake().is_some_and(|at| at <= now.mono) {
            let Coordination {
                groups,
                transactions,
                effects,
                ..
            } = coordination;
            groups.tick(now, effects);
            transactions.tick(now, groups, effects);
        }
        let work = work + coordination.effects.len();
        self.carry_out(around);
        work
    }

    /// The end of a transaction in one partition.
    pub(super) fn marked<D: Disk>(
        &mut self,
        ticket: u64,
        done: &PartDone,
        around: &mut Around<'_, D>,
    ) {
        let outcome = match (done, done.error()) {
            // A partition that was deleted meanwhile has nothing to be ended.
            (PartDone::Gone(_), _) | (_, 0) => Outcome::Durable,
            (_, _) => Outcome::Refused,
        };
        if let Some(coordination) = &mut self.coordination {
            let Coordination {
                groups,
                transactions,
                effects,
                ..
            } = coordination;
            transactions.marked(ticket, outcome, around.now, groups, effects);
        }
        self.carry_out(around);
    }

    /// Tells the coordinators of topics that are gone.
    pub(super) fn forget_topics<D: Disk>(&mut self, next: &View, around: &mut Around<'_, D>) {
        let Some(coordination) = &mut self.coordination else {
            return;
        };
        for topic in self.view.topics() {
            if next.topic_by_id(topic.id).is_none() {
                let effects = &mut coordination.effects;
                coordination.groups.forget_topic(&topic.name, effects);
            }
        }
        self.carry_out(around);
    }

    /// Does what the coordinators want done, until they want nothing more.
    fn carry_out<D: Disk>(&mut self, around: &mut Around<'_, D>) {
        loop {
            let Some(coordination) = &mut self.coordination else {
                return;
            };
            if coordination.effects.is_empty() && coordination.unstored.is_empty() {
                return;
            }
            for effect in std::mem::take(&mut coordination.effects) {
                self.carry_out_one(effect, around);
            }
            let Some(coordination) = &mut self.coordination else {
                return;
            };
            coordination.store(around.now, around.storage);
            if coordination.effects.is_empty() {
                return;
            }
        }
    }

    fn carry_out_one<D: Disk>(&mut self, effect: Effect<ReplyTo>, around: &mut Around<'_, D>) {
        match effect {
            Effect::Answer { to, response } => self.reply(to, &response, around),
            Effect::Store { ticket, pairs } => {
                let until = around.now.mono.after(self.options.storage_patience_ns);
                if let Some(coordination) = &mut self.coordination {
                    coordination.unstored.push_back((until, ticket, pairs));
                }
            }
            Effect::Mark {
                ticket,
                topic,
                partition,
                producer_id,
                producer_epoch,
                decision,
            } => match self.view.home(topic, partition) {
                None => self.marked_gone(ticket, around),
                Some(home) => {
                    let work = self.underway.insert(Work::Mark(ticket));
                    let op = PartOp::Mark {
                        producer_id,
                        producer_epoch,
                        decision,
                    };
                    self.ask_part(home.owner, (work, 0), (home.id, op), around);
                }
            },
        }
    }

    /// The partition is gone, and nothing is to be marked in it.
    fn marked_gone<D: Disk>(&mut self, ticket: u64, around: &Around<'_, D>) {
        if let Some(coordination) = &mut self.coordination {
            let Coordination {
                groups,
                transactions,
                effects,
                ..
            } = coordination;
            transactions.marked(ticket, Outcome::Durable, around.now, groups, effects);
        }
    }

    fn reply<D: Disk>(&mut self, to: ReplyTo, response: &ResponseKind, around: &mut Around<'_, D>) {
        let frame = encode(to.key, to.version, to.correlation_id, response);
        let ticket = to.asker.ticket;
        self.send_tell(to.asker.core, Tell::Frame { ticket, frame }, around);
    }
}

/// Whether a request is about groups, and not about transactions.
#[allow(clippy::wildcard_enum_match_arm)] // The enum of all of Kafka's requests.
fn is_of_groups(request: &RequestKind) -> bool {
    use RequestKind as R;
    matches!(
        request,
        R::JoinGroup(_)
            | R::SyncGroup(_)
            | R::Heartbeat(_)
            | R::LeaveGroup(_)
            | R::OffsetCommit(_)
            | R::OffsetFetch(_)
            | R::OffsetDelete(_)
            | R::ListGroups(_)
            | R::DescribeGroups(_)
            | R::DeleteGroups(_)
    )
}
