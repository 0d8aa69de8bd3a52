//! One endpoint's end of the mesh.

use std::ops::Range;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use super::doorbell::{Bells, Doorbell};

/// An end of the mesh: first the cores, in order of their [`crate::ids::CoreId`], then threads
/// that are no cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u16);

impl EndpointId {
    /// The number as an index into a table.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// All rings from and to one endpoint. Belongs to one thread.
#[derive(Debug)]
pub struct Port<T> {
    me: EndpointId,
    /// By sender. `None` at our own place.
    inboxes: Vec<Option<Arc<ArrayQueue<T>>>>,
    /// By receiver. `None` at our own place.
    outboxes: Vec<Option<Arc<ArrayQueue<T>>>>,
    bells: Bells,
    /// Receivers that were sent something since the last [`Port::ring`].
    touched: Vec<EndpointId>,
    /// Where the next [`Port::poll`] starts, so that no sender is always last.
    first: usize,
}

/// Builds a full mesh between `endpoints` endpoints: a ring of `capacity` messages for every
/// ordered pair, one port for each endpoint. Several meshes may share the same bells, also one of fewer
/// endpoints: endpoint i has bell i.
///
/// Memory: `endpoints` × (`endpoints` - 1) × `capacity` × size of `T`.
///
/// # Panics
/// If `capacity` is 0 or there are fewer bells than endpoints.
pub fn build<T>(endpoints: u16, capacity: usize, bells: &Bells) -> Vec<Port<T>> {
    assert!(
        bells.len() >= usize::from(endpoints),
        "documented: one bell per endpoint"
    );
    let ring = |from: u16, to: u16| (from != to).then(|| Arc::new(ArrayQueue::new(capacity)));
    let rings: Vec<Vec<_>> = (0..endpoints)
        .map(|from| (0..endpoints).map(|to| ring(from, to)).collect())
        .collect();
    (0..endpoints)
        .map(|me| Port {
            me: EndpointId(me),
            inboxes: rings.iter().map(|to| to[usize::from(me)].clone()).collect(),
            outboxes: rings[usize::from(me)].clone(),
            bells: Arc::clone(bells),
            touched: Vec::with_capacity(usize::from(endpoints)),
            first: 0,
        })
        .collect()
}

impl<T> Port<T> {
    /// Bytes of the rings to this endpoint, whatever is in them.
    pub fn ring_bytes(&self) -> usize {
        let messages: usize = self.inboxes.iter().flatten().map(|it| it.capacity()).sum();
        // Each message has a stamp beside it.
        messages * (size_of::<T>() + size_of::<usize>())
    }

    /// Which endpoint this is.
    pub fn me(&self) -> EndpointId {
        self.me
    }

    /// Puts a message into the ring to `to`. The receiver sees it when it next polls; one that
    /// sleeps is woken by [`Port::ring`].
    ///
    /// # Errors
    /// Gives the message back if the ring is full.
    ///
    /// # Panics
    /// If `to` is this endpoint itself.
    #[inline]
    pub fn send(&mut self, to: EndpointId, message: T) -> Result<(), T> {
        let ring = self.outboxes[to.index()]
            .as_ref()
            .expect("nobody sends to himself");
        ring.push(message)?;
        if !self.touched.contains(&to) {
            self.touched.push(to);
        }
        Ok(())
    }

    /// Wakes those that were sent something since the last call and sleep. Returns how many did.
    #[inline]
    pub fn ring(&mut self) -> usize {
        let mut woken = 0;
        while let Some(to) = self.touched.pop() {
            woken += usize::from(self.bells[to.index()].ring());
        }
        woken
    }

    /// Takes the next message from one sender, if there is one.
    #[inline]
    pub fn take(&mut self, from: EndpointId) -> Option<T> {
        self.inboxes[from.index()].as_ref()?.pop()
    }

    /// Takes up to `budget` messages from the senders in `from`, calling `each` for every one
    /// until it says [`Take::Stop`]. Starts at another sender each time. Returns how many were
    /// taken.
    #[inline]
    pub fn poll(
        &mut self,
        from: Range<u16>,
        budget: usize,
        mut each: impl FnMut(EndpointId, T) -> Take,
    ) -> usize {
        let senders = from.len();
        if senders == 0 {
            return 0;
        }
        // Steps by the golden ratio: several polls of a cycle, each of another range, share the
        // counter, and a step of 1 could give one of them the same start for ever.
        self.first = self.first.wrapping_add(0x9e37_79b9);
        let first = (self.first >> 16) % senders;
        let mut taken = 0;
        for step in 0..senders {
            let sender = from.start as usize + (first + step) % senders;
            let Some(inbox) = &self.inboxes[sender] else {
                continue;
            };
            while taken < budget {
                let Some(message) = inbox.pop() else { break };
                taken += 1;
                if each(EndpointId(sender as u16), message) == Take::Stop {
                    return taken;
                }
            }
        }
        taken
    }

    /// Whether a ring from one of the senders in `from` holds a message.
    pub fn has_mail(&self, from: Range<u16>) -> bool {
        let senders = from.start.into()..from.end.into();
        self.inboxes[senders]
            .iter()
            .flatten()
            .any(|inbox| !inbox.is_empty())
    }

    /// Messages waiting in the rings to this endpoint.
    pub fn depth(&self) -> usize {
        self.inboxes.iter().flatten().map(|inbox| inbox.len()).sum()
    }

    /// This endpoint's own doorbell.
    pub fn bell(&self) -> &Doorbell {
        &self.bells[self.me.index()]
    }
}

/// Whether a poll goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Give me the next message.
    More,
    /// No more now; the rest stays in the rings.
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use proptest::prelude::*;

    fn bells(count: usize) -> Bells {
        (0..count).map(|_| Doorbell::default()).collect()
    }

    #[derive(Debug, Clone)]
    enum Op {
        Send { from: u16, to: u16 },
        Poll { at: u16, budget: usize },
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..3u16, 0..3u16).prop_map(|(from, to)| Op::Send { from, to }),
            (0..3u16, 0..5usize).prop_map(|(at, budget)| Op::Poll { at, budget }),
        ]
    }

    proptest! {
        /// Against a `VecDeque` per pair: nothing is lost, doubled, reordered within a pair, or
        /// accepted beyond the capacity.
        #[test]
        fn rings_behave_like_bounded_queues(ops in prop::collection::vec(op(), 0..200)) {
            const CAPACITY: usize = 4;
            let mut ports = build::<u32>(3, CAPACITY, &bells(3));
            let mut model: Vec<VecDeque<u32>> = vec![VecDeque::new(); 9];
            for (number, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Send { from, to } if from != to => {
                        let sent = ports[from as usize].send(EndpointId(to), number as u32);
                        let queue = &mut model[(from * 3 + to) as usize];
                        prop_assert_eq!(sent.is_ok(), queue.len() < CAPACITY);
                        if sent.is_ok() {
                            queue.push_back(number as u32);
                        }
                    }
                    Op::Send { .. } => {}
                    Op::Poll { at, budget } => {
                        let mut got = Vec::new();
                        let port = &mut ports[at as usize];
                        let taken = port.poll(0..3, budget, |from, message| {
                            got.push((from, message));
                            Take::More
                        });
                        prop_assert_eq!(taken, got.len());
                        prop_assert!(taken <= budget);
                        for (from, message) in got {
                            let expected = model[(from.0 * 3 + at) as usize].pop_front();
                            prop_assert_eq!(expected, Some(message));
                        }
                    }
                }
            }
            for (at, port) in ports.iter().enumerate() {
                let waiting: usize = (0..3).map(|from| model[from * 3 + at].len()).sum();
                prop_assert_eq!(port.depth(), waiting);
                prop_assert_eq!(port.has_mail(0..3), waiting > 0);
            }
        }
    }

    #[test]
    fn a_poll_that_stops_leaves_the_rest_in_order() {
        let mut ports = build::<u32>(2, 8, &bells(2));
        for number in 0..4 {
            ports[0].send(EndpointId(1), number).unwrap();
        }
        let mut got = Vec::new();
        let taken = ports[1].poll(0..1, 10, |_, number| {
            got.push(number);
            if number == 1 { Take::Stop } else { Take::More }
        });
        assert_eq!(taken, 2);
        ports[1].poll(0..1, 10, |_, number| {
            got.push(number);
            Take::More
        });
        assert_eq!(got, [0, 1, 2, 3]);
    }
}
