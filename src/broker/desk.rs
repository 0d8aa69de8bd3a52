//! Where Kafka connections and the duty cycle of one core meet.
//!
//! Owns: requests that were read and not yet taken, answers that were given and not yet sent, the order
//! of both, and the bounds of their bytes. Never does: reading what a request says. Runs on: the core,
//! shared by its connections' tasks and its cycle.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;

use crate::engine::gateway::LocalEvent;

/// Requests of one connection under way. More wait in the socket.
const CALLS_MAX: usize = 128;

/// Bounds of one core's connections.
#[derive(Clone, Copy, Debug)]
pub struct DeskOptions {
    /// Connections at once.
    pub connections_max: usize,
    /// Bytes of requests of one connection under way; one request is always let in.
    pub connection_bytes_max: usize,
    /// Bytes of requests of all connections under way; one request is always let in.
    pub bytes_max: usize,
}

/// Names a request of a connection, for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    place: u32,
    generation: u32,
    number: u64,
}

/// A request that waits for the duty cycle.
#[derive(Debug)]
pub struct Call {
    /// Whom to answer.
    pub origin: Origin,
    /// The listener that its connection came in by.
    pub listener: u16,
    /// The client's address.
    pub host: Rc<str>,
    /// What is asked, as in the request's header.
    pub key: i16,
    /// The version of the request.
    pub version: i16,
    /// The client's own mark.
    pub correlation_id: i32,
    /// The request without its length field.
    pub frame: Bytes,
    /// Where its body starts.
    pub body: usize,
}

/// What a request gets.
#[derive(Debug)]
pub enum Answer {
    /// These bytes, one after the other.
    Frame(Vec<Bytes>),
    /// Nothing: it wanted no answer.
    Silence,
    /// The end of the connection.
    HangUp,
}

impl Answer {
    fn bytes(&self) -> usize {
        match self {
            Answer::Frame(parts) => parts.iter().map(Bytes::len).sum(),
            Answer::Silence | Answer::HangUp => 0,
        }
    }
}

/// How long an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// As long as what is asked about.
    Small,
    /// It holds records: a Fetch.
    Large,
}

/// A request under way.
#[derive(Debug)]
struct Entry {
    /// What it takes of the bound; 0 once it was answered.
    bytes: usize,
    size: Size,
    answer: Option<Answer>,
}

#[derive(Debug, Default)]
struct Place {
    /// Counts the connections that were in this place.
    generation: u32,
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
    bytes: usize,
    /// Bytes of answers that were not sent,
    unsent: usize,
    /// and of those among them that the connection has taken.
    leaving: usize,
    /// Requests with large answers under way.
    fetches: usize,
    dirty: bool,
    task: Option<Waker>,
}

#[derive(Debug, Default)]
struct State {
    places: Vec<Place>,
    free: Vec<u32>,
    open: usize,
    calls: VecDeque<Call>,
    /// Of requests under way.
    bytes: usize,
    /// Of answers that were not sent.
    answer_bytes: usize,
    /// Places whose task must be woken at the end of the cycle.
    dirty: Vec<u32>,
    /// Tasks that wait until others' requests are answered.
    blocked: Vec<Waker>,
    closing_tasks: Vec<Waker>,
}

/// The meeting point.
#[derive(Debug)]
pub struct Desk {
    options: DeskOptions,
    state: RefCell<State>,
    closing: Cell<bool>,
    event: Rc<LocalEvent>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    desk: Rc<Desk>,
    place: u32,
    generation: u32,
}

/// An answer that is next in order.
#[derive(Debug)]
pub(super) enum Next {
    Answer(Answer),
    /// Requests are under way, none answered yet.
    Underway,
    /// No request is under way.
    Nothing,
}

impl Desk {
    /// An empty desk. `event` wakes the core's cycle.
    pub fn new(options: DeskOptions, event: Rc<LocalEvent>) -> Desk {
        Desk {
            options,
            state: RefCell::default(),
            closing: Cell::new(false),
            event,
        }
    }

    /// The next request.
    pub fn next_call(&self) -> Option<Call> {
        self.state.borrow_mut().calls.pop_front()
    }

    /// Whether requests wait.
    pub fn has_calls(&self) -> bool {
        !self.state.borrow().calls.is_empty()
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.state.borrow().open
    }

    /// Bytes of requests under way.
    pub fn request_bytes(&self) -> usize {
        self.state.borrow().bytes
    }

    /// Bytes of answers that were not sent, those included that their clients are slow to read.
    pub fn answer_bytes(&self) -> usize {
        self.state.borrow().answer_bytes
    }

    /// Leaves an answer. It is sent once all earlier requests of its connection have theirs.
    pub fn answer(&self, origin: Origin, answer: Answer) {
        let mut state = self.state.borrow_mut();
        let State {
            places,
            bytes,
            answer_bytes,
            dirty,
            blocked,
            ..
        } = &mut *state;
        let place = &mut places[origin.place as usize];
        if place.generation != origin.generation {
            return;
        }
        let index = (origin.number - place.first) as usize;
        let entry = &mut place.entries[index];
        *answer_bytes += answer.bytes();
        place.unsent += answer.bytes();
        *bytes -= entry.bytes;
        place.bytes -= entry.bytes;
        entry.bytes = 0;
        entry.answer = Some(answer);
        blocked.drain(..).for_each(Waker::wake);
        if !place.dirty {
            place.dirty = true;
            dirty.push(origin.place);
        }
    }

    /// Whether answers came since the last [`Desk::wake_writers`].
    pub fn has_answers(&self) -> bool {
        !self.state.borrow().dirty.is_empty()
    }

    /// Wakes the tasks of the connections that got answers.
    pub fn wake_writers(&self) {
        let mut state = self.state.borrow_mut();
        let State { dirty, places, .. } = &mut *state;
        for number in dirty.drain(..) {
            let place = &mut places[number as usize];
            place.dirty = false;
            if let Some(waker) = place.task.take() {
                waker.wake();
            }
        }
    }

    /// Takes no more requests; each connection ends once what it asked is answered.
    pub fn close(&self) {
        self.closing.set(true);
        let mut state = self.state.borrow_mut();
        state.closing_tasks.drain(..).for_each(Waker::wake);
        for place in &mut state.places {
            if let Some(waker) = place.task.take() {
                waker.wake();
            }
        }
    }

    /// Whether [`Desk::close`] was called.
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Whether [`Desk::close`] was called; if not, `waker` is woken when it is.
    pub(super) fn closing_or_wait(&self, waker: &Waker) -> bool {
        let mut state = self.state.borrow_mut();
        let known = |task: &Waker| task.will_wake(waker);
        if !self.closing.get() && !state.closing_tasks.iter().any(known) {
            state.closing_tasks.push(waker.clone());
        }
        self.closing.get()
    }

    /// Takes a place for a new connection; `None` where all are taken.
    pub(super) fn sit(self: &Rc<Desk>) -> Option<Seat> {
        let mut state = self.state.borrow_mut();
        if state.open >= self.options.connections_max {
            return None;
        }
        let number = state.free.pop().unwrap_or_else(|| {
            state.places.push(Place::default());
            (state.places.len() - 1) as u32
        });
        state.open += 1;
        Some(Seat {
            desk: Rc::clone(self),
            place: number,
            generation: state.places[number as usize].generation,
        })
    }
}

impl Seat {
    /// Reserves room for a request of so many bytes. `None` where there is none
    /// now: `waker` is woken when there may be.
    pub fn reserve(&self, bytes: usize, size: Size, waker: &Waker) -> Option<Origin> {
        let mut state = self.desk.state.borrow_mut();
        let DeskOptions {
            connection_bytes_max,
            bytes_max,
            ..
        } = self.desk.options;
        let all = state.bytes;
        let place = &mut state.places[self.place as usize];
        let many = place.entries.len() >= CALLS_MAX;
        let long = place.bytes > 0 && place.bytes + bytes > connection_bytes_max;
        let full = all > 0 && all + bytes > bytes_max;
        // The next large answer is not made before the one before it has left: who reads slowly
        // has one in memory, however many he asks for.
        let early = size == Size::Large && place.fetches > 0;
        if many || long || full || early {
            place.task = Some(waker.clone());
            if full {
                state.blocked.push(waker.clone());
            }
            return None;
        }
        let number = place.first + place.entries.len() as u64;
        place.fetches += usize::from(size == Size::Large);
        place.entries.push_back(Entry {
            bytes,
            size,
            answer: None,
        });
        place.bytes += bytes;
        state.bytes += bytes;
        Some(Origin {
            place: self.place,
            generation: self.generation,
            number,
        })
    }

    /// Hands a request to the duty cycle.
    pub fn submit(&self, call: Call) {
        self.desk.state.borrow_mut().calls.push_back(call);
        self.desk.event.notify();
    }

    /// Answers a request that needs no duty cycle.
    pub fn answer(&self, origin: Origin, answer: Answer) {
        self.desk.answer(origin, answer);
    }

    /// Takes the answer that is next in order, and leaves `waker` to be woken by the next one.
    pub fn next_answer(&self, waker: &Waker) -> Next {
        let mut state = self.desk.state.borrow_mut();
        let place = &mut state.places[self.place as usize];
        let Some(front) = place.entries.front_mut() else {
            place.task = Some(waker.clone());
            return Next::Nothing;
        };
        let Some(answer) = front.answer.take() else {
            place.task = Some(waker.clone());
            return Next::Underway;
        };
        let size = front.size;
        place.entries.pop_front();
        place.first += 1;
        place.fetches -= usize::from(size == Size::Large);
        place.leaving += answer.bytes();
        Next::Answer(answer)
    }

    /// All answers that were taken have left.
    pub fn sent(&self) {
        let mut state = self.desk.state.borrow_mut();
        let place = &mut state.places[self.place as usize];
        let left = std::mem::take(&mut place.leaving);
        place.unsent -= left;
        state.answer_bytes -= left;
    }

    /// Whether no more requests are taken; if they still are, `waker` is woken when that ends.
    pub fn is_closing(&self) -> bool {
        self.desk.closing.get()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.desk.state.borrow_mut();
        let State {
            places,
            bytes,
            answer_bytes,
            blocked,
            ..
        } = &mut *state;
        let place = &mut places[self.place as usize];
        *bytes -= place.bytes;
        *answer_bytes -= place.unsent;
        place.unsent = 0;
        place.leaving = 0;
        place.fetches = 0;
        place.bytes = 0;
        place.first = 0;
        place.entries = VecDeque::new();
        place.generation = place.generation.wrapping_add(1);
        place.task = None;
        blocked.drain(..).for_each(Waker::wake);
        state.open -= 1;
        state.free.push(self.place);
    }
}
