//! Requests under way on the core that took them: what each still waits for.
//!
//! Owns: a slab of fixed-size places, and deadlines. Never does: deciding when a request is done; its
//! kind does. Runs on: the core.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kafka_protocol::messages::MetadataRequest;

use crate::frame::Correlation;
use crate::ids::Nanos;

use super::api::fetch::Fetch;
use super::api::gather::Gather;
use super::api::produce::Produce;
use super::desk::Origin;
use super::message::Ticket;

/// Whom a request's answer goes to, and in which words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub origin: Origin,
    pub listener: u16,
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
}

/// What is waited for.
#[derive(Debug)]
pub(super) enum Work {
    Produce(Client, Produce),
    Fetch(Client, Fetch),
    /// Parts of a rare request, from several owners.
    Gather(Client, Gather),
    /// The coordinator's whole answer.
    Coordinated(Client),
    /// The administrator's whole answer.
    Administered(Client),
    /// The administrator makes missing topics; then the request is answered from the view.
    Creation(Client, Box<MetadataRequest>),
    /// The coordinator of this core waits for the end of a transaction in a partition.
    Mark(u64),
    /// A transaction that came in by the inlet and could not be routed, on its way to the dead
    /// letters; the inlet knows it by this mark.
    DeadLetter(Correlation),
}

impl Work {
    /// 1 where it waits for something of this node, and not only for time to pass.
    fn is_busy(&self) -> usize {
        match self {
            Work::Produce(..)
            | Work::Gather(..)
            | Work::Mark(_)
            | Work::DeadLetter(_)
            | Work::Administered(_)
            | Work::Creation(..) => 1,
            Work::Fetch(..) | Work::Coordinated(_) => 0,
        }
    }
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    work: Option<Work>,
}

/// Requests by ticket.
#[derive(Debug, Default)]
pub(super) struct Underway {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Requests that wait for something of this node, and not only for time to pass.
    busy: usize,
    deadlines: BinaryHeap<Reverse<(Nanos, Ticket)>>,
}

impl Underway {
    /// Takes a place.
    pub fn insert(&mut self, work: Work) -> Ticket {
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        self.busy += work.is_busy();
        let place = &mut self.places[number as usize];
        place.work = Some(work);
        Ticket {
            place: number,
            generation: place.generation,
        }
    }

    /// The request, unless it has ended.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Work> {
        let place = self.places.get_mut(ticket.place as usize)?;
        match place.generation == ticket.generation {
            true => place.work.as_mut(),
            false => None,
        }
    }

    /// Ends a request.
    pub fn remove(&mut self, ticket: Ticket) -> Option<Work> {
        let place = self.places.get_mut(ticket.place as usize)?;
        if place.generation != ticket.generation {
            return None;
        }
        let work = place.work.take()?;
        self.busy -= work.is_busy();
        place.generation = place.generation.wrapping_add(1);
        self.free.push(ticket.place);
        Some(work)
    }

    /// Requests that wait for something of this node, and not only for time to pass.
    pub fn busy(&self) -> usize {
        self.busy
    }

    /// All requests that wait for records.
    pub fn fetches(&self) -> Vec<Ticket> {
        let places = (0u32..).zip(&self.places);
        places
            .filter(|(_, place)| matches!(place.work, Some(Work::Fetch(..))))
            .map(|(number, place)| Ticket {
                place: number,
                generation: place.generation,
            })
            .collect()
    }

    /// Notes when a request must be looked at again.
    pub fn remind(&mut self, at: Nanos, ticket: Ticket) {
        self.deadlines.push(Reverse((at, ticket)));
    }

    /// The next request whose time has come.
    pub fn due(&mut self, now: Nanos) -> Option<Ticket> {
        while let Some(&Reverse((at, ticket))) = self.deadlines.peek() {
            let over = self.get_mut(ticket).is_none();
            if at > now && !over {
                return None;
            }
            self.deadlines.pop();
            if !over {
                return Some(ticket);
            }
        }
        None
    }

    /// When [`Underway::due`] has something to give.
    pub fn next_wake(&self) -> Option<Nanos> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }
}
