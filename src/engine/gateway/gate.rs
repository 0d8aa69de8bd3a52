//! Where connections and the duty cycle of one core meet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;

use crate::clock;
use crate::frame::{Correlation, ErrorCode, Receipt, Rejected};
use crate::ids::{Acks, Nanos};
use crate::mesh::EndpointId;
use crate::telemetry::TraceContext;

use super::super::message::{Answer, Inbound, Reply, ReplyTo};

/// Stands for the core's guest where a connection's place is named: transactions that came in by its
/// way, and their answers.
pub const GUEST: u32 = u32::MAX;

/// Bounds of one core's connections.
#[derive(Debug, Clone, Copy)]
pub struct GateOptions {
    /// This core's endpoint.
    pub endpoint: EndpointId,
    /// Connections at once.
    pub connections_max: usize,
    /// Transactions of one connection without an answer.
    pub in_flight_max: u32,
    /// Transactions decoded from frames and not yet taken by the duty cycle.
    pub intake_max: usize,
    /// Longest frame that is read, in bytes.
    pub frame_bytes_max: usize,
    /// The node's number, told to clients.
    pub node_id: u32,
}

/// Something on the same core happened; wakes the duty cycle where it waits.
#[derive(Debug, Default)]
pub struct LocalEvent {
    happened: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl LocalEvent {
    /// It happened.
    pub fn notify(&self) {
        self.happened.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether it happened since the last call. If not, `waker` is woken when it does.
    pub fn take_or_wait(&self, waker: &Waker) -> bool {
        if self.happened.take() {
            return true;
        }
        self.waker.replace(Some(waker.clone()));
        false
    }
}

/// A place for a connection.
#[derive(Debug, Default)]
struct Place {
    /// Counts the connections that were in this place, so that an answer for an earlier one is
    /// not given to a later one.
    generation: u32,
    open: bool,
    in_flight: u32,
    /// Encoded answers that the connection's task has not taken yet.
    out: Vec<u8>,
    /// The start of the cycle that brought the first of them.
    answered: Nanos,
    /// Bytes of the connection's own buffers, as its task last said.
    buffers: usize,
    dirty: bool,
    task: Option<Waker>,
}

impl Place {
    /// Leaves an answer. Returns by how many bytes that took more memory.
    fn answer(&mut self, reply: &Reply) -> usize {
        let before = self.out.capacity();
        encode(reply, &mut self.out);
        self.out.capacity() - before
    }
}

#[derive(Debug, Default)]
struct State {
    places: Vec<Place>,
    free: Vec<u32>,
    open: usize,
    /// Of all places: what their answers and buffers take.
    bytes: usize,
    /// Connections accepted since [`Gate::take_accepted`] last asked.
    accepted: u64,
    intake: VecDeque<Inbound>,
    /// Places whose task must be woken at the end of the cycle.
    dirty: Vec<u32>,
    /// Tasks that wait for room in `intake`.
    blocked: Vec<Waker>,
    closing: bool,
    closing_tasks: Vec<Waker>,
    /// Answers for the guest.
    guests: VecDeque<Reply>,
    /// When the duty cycle under way began.
    cycle: Nanos,
    /// How long answers took from the duty cycle to the kernel, since the core last asked.
    replied: Vec<u64>,
}

/// Measurements of replies that wait for the core to take them; more are left out.
const REPLIED_MAX: usize = 1024;

/// The meeting point.
#[derive(Debug)]
pub struct Gate {
    options: GateOptions,
    state: RefCell<State>,
    event: Rc<LocalEvent>,
}

/// A connection's place at the gate; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    gate: Rc<Gate>,
    place: u32,
    generation: u32,
}

/// What comes with a frame's transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub correlation: Correlation,
    pub acks: Acks,
    pub trace: Option<TraceContext>,
    /// When it was read.
    pub taken: Nanos,
}

/// What became of a frame's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Taken; an answer will come if one was asked for.
    Taken,
    /// More is in flight on this connection than it may: answered at once.
    Overloaded,
    /// No room now: the task is woken when there is.
    Blocked,
}

impl Gate {
    /// An empty gate. `event` wakes the core's duty cycle.
    pub fn new(options: GateOptions, event: Rc<LocalEvent>) -> Gate {
        let state = State {
            intake: VecDeque::with_capacity(options.intake_max),
            replied: Vec::with_capacity(REPLIED_MAX),
            ..State::default()
        };
        Gate {
            options,
            state: RefCell::new(state),
            event,
        }
    }

    /// The bounds.
    pub fn options(&self) -> &GateOptions {
        &self.options
    }

    /// A duty cycle begins.
    pub fn start_cycle(&self, now: Nanos) {
        self.state.borrow_mut().cycle = now;
    }

    /// Visits how long answers took from the duty cycle that gave them until the kernel had them, in
    /// nanoseconds: one figure for each time that a connection had written all it had.
    pub fn take_replied(&self, each: impl FnMut(u64)) {
        self.state.borrow_mut().replied.drain(..).for_each(each);
    }

    /// The next transaction that a connection brought.
    pub fn next_inbound(&self) -> Option<Inbound> {
        let mut state = self.state.borrow_mut();
        let inbound = state.intake.pop_front()?;
        for waker in state.blocked.drain(..) {
            waker.wake();
        }
        Some(inbound)
    }

    /// Whether connections brought transactions that were not taken yet.
    pub fn has_inbound(&self) -> bool {
        !self.state.borrow().intake.is_empty()
    }

    /// Takes a transaction from the core's guest.
    ///
    /// # Errors
    /// Gives it back where there is no room now.
    #[allow(clippy::result_large_err)] // Moved back, not boxed: no allocation here.
    pub fn take_from_guest(&self, inbound: Inbound) -> Result<(), Inbound> {
        let mut state = self.state.borrow_mut();
        if state.intake.len() >= self.options.intake_max {
            return Err(inbound);
        }
        state.intake.push_back(inbound);
        Ok(())
    }

    /// The next answer for the core's guest.
    pub fn next_for_guest(&self) -> Option<Reply> {
        self.state.borrow_mut().guests.pop_front()
    }

    /// Leaves an answer for its connection; one that has gone gets none.
    pub fn deliver(&self, reply: &Reply) {
        let mut state = self.state.borrow_mut();
        let cycle = state.cycle;
        if reply.to.connection == GUEST {
            state.guests.push_back(*reply);
            return;
        }
        let Some(place) = state.places.get_mut(reply.to.connection as usize) else {
            return;
        };
        if !place.open || place.generation != reply.to.generation {
            return;
        }
        place.in_flight -= 1;
        if place.out.is_empty() {
            place.answered = cycle;
        }
        let grown = place.answer(reply);
        if !place.dirty {
            place.dirty = true;
            state.dirty.push(reply.to.connection);
        }
        state.bytes += grown;
    }

    /// Whether connections have answers to write.
    pub fn has_answers(&self) -> bool {
        !self.state.borrow().dirty.is_empty()
    }

    /// Wakes the tasks of the connections that have answers to write.
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

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.state.borrow().open
    }

    /// Bytes of the queue of transactions, of answers that were not sent and of the connections' buffers.
    pub fn bytes(&self) -> usize {
        let state = self.state.borrow();
        state.intake.capacity() * size_of::<Inbound>() + state.bytes
    }

    /// Tells every connection that the node stops; each says goodbye once its answers are out.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closing = true;
        for waker in state.closing_tasks.drain(..) {
            waker.wake();
        }
        for place in &mut state.places {
            if let Some(waker) = place.task.take() {
                waker.wake();
            }
        }
    }

    /// Whether [`Gate::close`] was called; if not, `waker` is woken when it is.
    pub(super) fn closing_or_wait(&self, waker: &Waker) -> bool {
        let mut state = self.state.borrow_mut();
        let known = |task: &Waker| task.will_wake(waker);
        if !state.closing && !state.closing_tasks.iter().any(known) {
            state.closing_tasks.push(waker.clone());
        }
        state.closing
    }

    /// Connections accepted since the last call, refused ones included.
    pub fn take_accepted(&self) -> u64 {
        std::mem::take(&mut self.state.borrow_mut().accepted)
    }

    /// Takes a place for a new connection; `None` where all are taken.
    pub(super) fn sit(self: &Rc<Gate>) -> Option<Seat> {
        let mut state = self.state.borrow_mut();
        state.accepted += 1;
        if state.open >= self.options.connections_max {
            return None;
        }
        let number = state.free.pop().unwrap_or_else(|| {
            state.places.push(Place::default());
            (state.places.len() - 1) as u32
        });
        state.open += 1;
        let place = &mut state.places[number as usize];
        place.open = true;
        place.in_flight = 0;
        place.out.clear();
        Some(Seat {
            gate: Rc::clone(self),
            place: number,
            generation: place.generation,
        })
    }
}

impl Seat {
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Hands a frame's transaction to the duty cycle.
    pub fn admit(&self, body: impl FnOnce() -> Bytes, arrival: Arrival, waker: &Waker) -> Admitted {
        let Arrival {
            correlation,
            acks,
            trace,
            taken,
        } = arrival;
        let mut state = self.gate.state.borrow_mut();
        if state.intake.len() >= self.gate.options.intake_max {
            state.blocked.push(waker.clone());
            return Admitted::Blocked;
        }
        let place = &mut state.places[self.place as usize];
        let reply_to = ReplyTo {
            endpoint: self.gate.options.endpoint,
            connection: self.place,
            generation: self.generation,
            correlation,
        };
        if acks != Acks::None {
            if place.in_flight >= self.gate.options.in_flight_max {
                let answer = Answer::Rejected(ErrorCode::Overloaded);
                let grown = place.answer(&Reply {
                    to: reply_to,
                    answer,
                });
                state.bytes += grown;
                return Admitted::Overloaded;
            }
            place.in_flight += 1;
        }
        state.intake.push_back(Inbound {
            body: body(),
            reply_to,
            acks,
            taken,
            // Only a traced one takes memory of its own.
            trace: trace.map(Box::new),
        });
        drop(state);
        self.gate.event.notify();
        Admitted::Taken
    }

    /// Moves the encoded answers to the end of `out`, and leaves `waker` to be woken by the next
    /// ones. Returns when the oldest of them were given, if there are any.
    pub fn take_answers(&self, out: &mut Vec<u8>, waker: &Waker) -> Option<Nanos> {
        let mut state = self.gate.state.borrow_mut();
        let place = &mut state.places[self.place as usize];
        let answered = (!place.out.is_empty()).then_some(place.answered);
        out.append(&mut place.out);
        place.task = Some(waker.clone());
        answered
    }

    /// All answers are with the kernel, of which the oldest were given at `answered`.
    pub fn note_replied(&self, answered: Nanos) {
        // Once for all answers of a write.
        #[allow(clippy::disallowed_methods)]
        let took_ns = clock::monotonic().since(answered);
        let replied = &mut self.gate.state.borrow_mut().replied;
        if replied.len() < REPLIED_MAX {
            replied.push(took_ns);
        }
    }

    /// The connection's own buffers take so many bytes now.
    pub fn note_buffers(&self, bytes: usize) {
        let mut state = self.gate.state.borrow_mut();
        let place = &mut state.places[self.place as usize];
        let before = std::mem::replace(&mut place.buffers, bytes);
        state.bytes = state.bytes - before + bytes;
    }

    /// Transactions without an answer.
    pub fn in_flight(&self) -> u32 {
        self.gate.state.borrow().places[self.place as usize].in_flight
    }

    /// Whether the node stops.
    pub fn is_closing(&self) -> bool {
        self.gate.state.borrow().closing
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.gate.state.borrow_mut();
        let place = &mut state.places[self.place as usize];
        place.open = false;
        place.generation = place.generation.wrapping_add(1);
        place.task = None;
        let answers = std::mem::take(&mut place.out);
        let buffers = std::mem::take(&mut place.buffers);
        state.bytes -= answers.capacity() + buffers;
        state.open -= 1;
        state.free.push(self.place);
    }
}

fn encode(reply: &Reply, out: &mut Vec<u8>) {
    let correlation = reply.to.correlation;
    match reply.answer {
        Answer::Stored(stored) => {
            let receipt = Receipt {
                correlation,
                shard: stored.shard,
                partition: stored.partition,
                offset: stored.offset,
                timestamp: stored.timestamp,
                acks: stored.acks,
                submission: stored.submission,
            };
            out.extend_from_slice(&receipt.encode());
        }
        Answer::Rejected(code) => {
            Rejected {
                correlation,
                code,
                message: code.name(),
            }
            .encode(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_connection_go_with_it() {
        let options = GateOptions {
            endpoint: EndpointId(0),
            connections_max: 2,
            in_flight_max: 1,
            intake_max: 8,
            frame_bytes_max: 1024,
            node_id: 0,
        };
        let gate = Rc::new(Gate::new(options, Rc::default()));
        let empty = gate.bytes();
        assert!(empty >= 8 * size_of::<Inbound>());
        let [first, second] = [(); 2].map(|()| gate.sit().expect("there is a place"));
        first.note_buffers(5_000);
        first.note_buffers(3_000);
        second.note_buffers(100);
        assert_eq!(gate.bytes(), empty + 3_100);
        let arrival = Arrival {
            correlation: Correlation(1),
            acks: Acks::All,
            trace: None,
            taken: Nanos(1),
        };
        let admit = || first.admit(Bytes::new, arrival, Waker::noop());
        assert_eq!(admit(), Admitted::Taken);
        assert_eq!(admit(), Admitted::Overloaded);
        let refused = gate.bytes();
        assert!(refused > empty + 3_100, "its answer waits");
        let to = gate.next_inbound().expect("one was taken").reply_to;
        for _ in 0..100 {
            // As many as it takes for the answers to need more memory.
            gate.state.borrow_mut().places[0].in_flight = 1;
            let answer = Answer::Rejected(ErrorCode::ShuttingDown);
            gate.deliver(&Reply { to, answer });
        }
        assert!(gate.bytes() > refused);
        drop(first);
        assert_eq!(gate.bytes(), empty + 100);
        drop(second);
        assert_eq!(gate.bytes(), empty);
    }
}
