//! Batches of transactions on their way to a partition's owner: by way of the coordinator, which lets them
//! pass only while the partition is part of their producer's transaction.
//!
//! Owns: that way. Never does: reading records. Runs on: the connection's core, then the coordinator's.
//!
//! Without it a batch that comes late, after its transaction has ended, would open another one that
//! nobody ends, and hold readers of committed records for ever (KIP-890). The batch and the marker that
//! ends its transaction reach the owner by the same ring, in the order in which the coordinator sent
//! them: what it lets pass is there before the marker.

use std::sync::Arc;

use kafka_protocol::error::ResponseError;

use crate::ids::{CoreId, PartitionIndex, TopicId};
use crate::log::disk::Disk;
use crate::mesh::EndpointId;
use crate::wire::BatchView;

use super::coordinator::txn::Producer;
use super::core::{Around, Broker, COORDINATOR};
use super::message::{Appended, Ask, PartAsk, PartDone, Tell, VerifyAsk};

/// Who writes the batch, if it belongs to a transaction. A batch that cannot be read belongs to none:
/// its owner says what is wrong with it.
pub(super) fn author(batch: &[u8]) -> Option<Producer> {
    let view = BatchView::parse_trusted(batch).ok()?;
    view.is_transactional().then(|| Producer {
        id: view.producer_id(),
        epoch: view.producer_epoch(),
    })
}

/// What the batch claims to be part of.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub transactional_id: Arc<str>,
    pub author: Producer,
    pub place: (TopicId, PartitionIndex),
}

impl Broker {
    /// Hands a batch of a transaction to its partition's owner, by way of the coordinator.
    pub(super) fn ask_verified<D: Disk>(
        &mut self,
        owner: CoreId,
        claim: Claim,
        part: PartAsk,
        around: &mut Around<'_, D>,
    ) {
        let ask = VerifyAsk { owner, claim, part };
        if self.options.core == COORDINATOR {
            self.verify_here(ask, around);
        } else {
            self.send_ask(EndpointId(COORDINATOR.0), Ask::Verify(Box::new(ask)));
        }
    }

    /// Lets a batch of any core pass, or refuses it.
    pub(super) fn verify_here<D: Disk>(&mut self, ask: VerifyAsk, around: &mut Around<'_, D>) {
        let VerifyAsk { owner, claim, part } = ask;
        let coordination = self.coordination.as_ref();
        let verdict = coordination
            .expect("requests are sent to the core that coordinates")
            .may_write(&claim);
        match verdict {
            Ok(()) => self.forward(owner, part, around),
            Err(error) => {
                let tell = Tell::Part {
                    ticket: part.asker.ticket,
                    index: part.index,
                    done: PartDone::Appended(Appended::refused(code(error))),
                };
                self.send_tell(part.asker.core, tell, around);
            }
        }
    }
}

/// Produce has no PRODUCER_FENCED: as in Kafka, it is an epoch that is over.
fn code(error: ResponseError) -> i16 {
    match error == ResponseError::ProducerFenced {
        true => ResponseError::InvalidProducerEpoch.code(),
        false => error.code(),
    }
}
