//! Records whose nearest shard cannot be reached, to the next nearest one that can.
//!
//! The id's hash alone decides the core, whatever the shard (see [`super::super::route`]), so the
//! other shard's partition belongs to this core too: nothing crosses the mesh, and this core's
//! window goes on to see every submission of the id.

use crate::ids::PartitionId;
use crate::storage::{Offer, Producer, Refusal};
use crate::telemetry::{Counter, CounterWriter};
use crate::transaction::codec;

use super::super::message::{Destination, Routed};
use super::super::reply::Outbox;
use super::{Produce, fail};

impl Produce {
    /// Where a transaction goes now: to its nearest shard, or to the next nearest one that can be
    /// reached.
    pub(super) fn place(
        &mut self,
        routed: &Routed,
        storage: &impl Producer,
    ) -> Option<Destination> {
        if storage.is_available(routed.destination.partition) {
            return Some(routed.destination);
        }
        self.place_elsewhere(&routed.inbound.body, storage)
    }

    /// The nearest shard that takes this transaction now, and its partition there.
    fn place_elsewhere(&mut self, body: &[u8], storage: &impl Producer) -> Option<Destination> {
        let transaction = codec::decode(body).expect("decoded before, when it was routed");
        let available = |partition: PartitionId| storage.is_available(partition);
        self.table.route_where(
            transaction.client_location,
            transaction.id,
            &mut self.by_distance,
            available,
        )
    }

    /// Offers what came back unstored again, where a shard takes it. Returns the amount of work
    /// done. Goes before anything new is taken in, so that the oldest wait least.
    pub fn place_returned(
        &mut self,
        storage: &mut impl Producer,
        outbox: &mut Outbox,
        counters: &mut CounterWriter,
    ) -> usize {
        let mut work = 0;
        while let Some(offer) = self.returned.pop_front() {
            let token = offer.token;
            let Some(destination) = self.place_elsewhere(&offer.value, storage) else {
                self.returned.push_front(offer);
                return work;
            };
            let offer = Offer {
                partition: destination.partition,
                ..offer
            };
            match storage.offer(offer) {
                Ok(()) => {
                    let slot = self.pending.get_mut(token);
                    if slot.destination != destination {
                        counters.increment(Counter::Failovers);
                    }
                    slot.destination = destination;
                }
                Err((offer, Refusal::Full | Refusal::Unavailable)) => {
                    self.returned.push_front(offer);
                    return work;
                }
                Err((_, Refusal::Poisoned | Refusal::TooLarge)) => {
                    let slot = self.pending.remove(token);
                    self.traces.forget(slot.trace);
                    self.window.forget(slot.seat, token);
                    fail(&slot, outbox, counters);
                    self.release_chain(slot.next, |_, later| fail(later, outbox, counters));
                }
            }
            work += 1;
        }
        work
    }
}
