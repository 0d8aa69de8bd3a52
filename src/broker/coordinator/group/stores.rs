//! What is on its way to storage, and the answers that wait for it.
//!
//! Owns: tickets, the order of changes. Never does: applying a change, see [`super::stored`]. Runs on:
//! the core that owns stripe 0.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    DeleteGroupsResponse, OffsetCommitResponse, OffsetDeleteResponse, ResponseKind,
    TxnOffsetCommitResponse,
};

use super::{Name, TICKET_BIT};
use crate::broker::coordinator::offsets::{Entry, Origin, Place};
use crate::broker::coordinator::{Effect, Outcome, Pair};

/// An answer as it is if all goes well.
#[derive(Debug)]
pub(super) enum Reply {
    OffsetCommit(OffsetCommitResponse),
    TxnOffsetCommit(TxnOffsetCommitResponse),
    OffsetDelete(OffsetDeleteResponse),
    DeleteGroups(DeleteGroupsResponse),
}

impl Reply {
    /// Says of each part that was to succeed that it failed.
    fn fail(&mut self, error: ResponseError) {
        let spoil = |code: &mut i16| {
            if *code == 0 {
                *code = error.code();
            }
        };
        match self {
            Reply::OffsetCommit(response) => {
                let topics = response.topics.iter_mut();
                topics
                    .flat_map(|topic| &mut topic.partitions)
                    .for_each(|partition| spoil(&mut partition.error_code));
            }
            Reply::TxnOffsetCommit(response) => {
                let topics = response.topics.iter_mut();
                topics
                    .flat_map(|topic| &mut topic.partitions)
                    .for_each(|partition| spoil(&mut partition.error_code));
            }
            Reply::OffsetDelete(response) => {
                let topics = response.topics.iter_mut();
                topics
                    .flat_map(|topic| &mut topic.partitions)
                    .for_each(|partition| spoil(&mut partition.error_code));
            }
            Reply::DeleteGroups(response) => {
                let results = response.results.iter_mut();
                results.for_each(|result| spoil(&mut result.error_code));
            }
        }
    }

    /// As it is sent.
    pub(super) fn response(self) -> ResponseKind {
        match self {
            Reply::OffsetCommit(response) => ResponseKind::OffsetCommit(response),
            Reply::TxnOffsetCommit(response) => ResponseKind::TxnOffsetCommit(response),
            Reply::OffsetDelete(response) => ResponseKind::OffsetDelete(response),
            Reply::DeleteGroups(response) => ResponseKind::DeleteGroups(response),
        }
    }
}

/// What happens to a group once a store is durable.
#[derive(Debug)]
pub(super) enum Change {
    /// Offsets count, or wait for the end of their transaction.
    Commit(Name, Origin, Vec<(Place, Entry)>),
    /// Offsets committed before this order are gone.
    Delete(Name, u64, Vec<Place>),
    /// The group is gone, if it still has nothing.
    Drop(Name),
    /// Nothing: its members came or went.
    Record(Name),
}

#[derive(Debug)]
struct Owed<R> {
    to: R,
    reply: Reply,
    stores: usize,
}

#[derive(Debug)]
struct Store {
    change: Change,
    owed: Option<u64>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Stores<R> {
    tickets: u64,
    orders: u64,
    under_way: BTreeMap<u64, Store>,
    owed: BTreeMap<u64, Owed<R>>,
}

impl<R> Default for Stores<R> {
    fn default() -> Stores<R> {
        Stores {
            tickets: 0,
            orders: 0,
            under_way: BTreeMap::new(),
            owed: BTreeMap::new(),
        }
    }
}

impl<R: Copy> Stores<R> {
    /// The next place in the order of commits and deletions.
    pub(super) fn order(&mut self) -> u64 {
        self.orders += 1;
        self.orders
    }

    /// Continues after an order that was found stored.
    pub(super) fn order_seen(&mut self, order: u64) {
        self.orders = self.orders.max(order);
    }

    /// Stores each change with its pairs, then sends the reply; at once if there are none.
    pub(super) fn begin(
        &mut self,
        changes: Vec<(Change, Vec<Pair>)>,
        reply: Option<(R, Reply)>,
        effects: &mut Vec<Effect<R>>,
    ) {
        let stores = changes.len();
        let owed = match reply {
            Some((to, reply)) if stores == 0 => {
                super::answers::answer(effects, to, reply.response());
                None
            }
            Some((to, reply)) => {
                // Tickets only grow, so the one that comes next names no other reply.
                let id = self.tickets;
                self.owed.insert(id, Owed { to, reply, stores });
                Some(id)
            }
            None => None,
        };
        for (change, pairs) in changes {
            let ticket = self.tickets | TICKET_BIT;
            self.tickets += 1;
            self.under_way.insert(ticket, Store { change, owed });
            effects.push(Effect::Store { ticket, pairs });
        }
    }

    /// The end of a store: gives back its change and sends the answer that waited for it alone, or for
    /// it last. `None` if the ticket is not known.
    pub(super) fn end(
        &mut self,
        ticket: u64,
        outcome: Outcome,
        effects: &mut Vec<Effect<R>>,
    ) -> Option<Change> {
        let Store { change, owed } = self.under_way.remove(&ticket)?;
        let Some(id) = owed else {
            return Some(change);
        };
        let owed = self.owed.get_mut(&id)?;
        match outcome {
            Outcome::Durable => {}
            // Clients try again.
            Outcome::Refused => owed.reply.fail(ResponseError::CoordinatorNotAvailable),
            Outcome::Lost => owed.reply.fail(ResponseError::KafkaStorageError),
        }
        owed.stores -= 1;
        if owed.stores == 0
            && let Some(owed) = self.owed.remove(&id)
        {
            super::answers::answer(effects, owed.to, owed.reply.response());
        }
        Some(change)
    }
}
