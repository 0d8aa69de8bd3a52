//! Rare requests whose answer is put together from parts that partitions' owners give: ListOffsets,
//! OffsetForLeaderEpoch, DeleteRecords, DescribeProducers, DescribeLogDirs.
//!
//! Owns: the answer while it is incomplete. Never does: reading a partition. Runs on: the connection's
//! core.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ResponseKind;
use kafka_protocol::messages::describe_producers_response::ProducerState;

use crate::ids::{CoreId, PartitionId};
use crate::log::disk::Disk;

use super::super::core::{Around, Broker};
use super::super::message::{FoundOffset, PartDone, PartOp, Ticket};
use super::super::underway::{Client, Work};

/// The first version of ListOffsets that tells an offset's epoch.
const LIST_OFFSETS_EPOCH: i16 = 4;

/// One part to ask for.
pub(in crate::broker) struct Part {
    /// The topic's and the partition's place in the answer.
    pub at: (usize, usize),
    pub owner: CoreId,
    pub partition: PartitionId,
    pub op: PartOp,
}

/// An answer under way.
#[derive(Debug)]
pub(in crate::broker) struct Gather {
    response: Box<ResponseKind>,
    places: Vec<(usize, usize)>,
    left: usize,
}

impl Gather {
    /// Enters a part of an answer in this version. Returns how many are missing.
    pub fn part(&mut self, index: u32, done: PartDone, version: i16) -> usize {
        let (topic, partition) = self.places[index as usize];
        enter(&mut self.response, (topic, partition), done, version);
        self.left -= 1;
        self.left
    }
}

impl Broker {
    /// Asks for the parts of an answer, in which everything else is entered already.
    pub(in crate::broker) fn gather<D: Disk>(
        &mut self,
        client: Client,
        response: ResponseKind,
        parts: Vec<Part>,
        around: &mut Around<'_, D>,
    ) {
        if parts.is_empty() {
            return self.respond(&client, &response);
        }
        let gather = Gather {
            response: Box::new(response),
            places: parts.iter().map(|part| part.at).collect(),
            left: parts.len(),
        };
        let ticket = self.underway.insert(Work::Gather(client, gather));
        for (index, part) in (0u32..).zip(parts) {
            let what = (part.partition, part.op);
            self.ask_part(part.owner, (ticket, index), what, around);
        }
    }

    /// Every part is there.
    pub(in crate::broker) fn finish_gather(&mut self, ticket: Ticket) {
        if let Some(Work::Gather(client, gather)) = self.underway.remove(ticket) {
            self.respond(&client, &gather.response);
        }
    }
}

fn enter(
    response: &mut ResponseKind,
    (topic, partition): (usize, usize),
    done: PartDone,
    version: i16,
) {
    #[allow(clippy::wildcard_enum_match_arm)] // The enum of all of Kafka's responses.
    match response {
        ResponseKind::ListOffsets(all) => {
            let entry = &mut all.topics[topic].partitions[partition];
            let found = offset_of(done);
            entry.error_code = found.error;
            entry.offset = found.offset;
            entry.timestamp = found.timestamp;
            // No record, no epoch.
            if found.offset >= 0 && version >= LIST_OFFSETS_EPOCH {
                entry.leader_epoch = 0;
            }
        }
        ResponseKind::OffsetForLeaderEpoch(all) => {
            let entry = &mut all.topics[topic].partitions[partition];
            let found = offset_of(done);
            entry.error_code = found.error;
            entry.end_offset = found.offset;
            entry.leader_epoch = if found.error == 0 { 0 } else { -1 };
        }
        ResponseKind::DeleteRecords(all) => {
            let entry = &mut all.topics[topic].partitions[partition];
            let found = offset_of(done);
            entry.error_code = found.error;
            entry.low_watermark = found.offset;
        }
        ResponseKind::DescribeProducers(all) => {
            let entry = &mut all.topics[topic].partitions[partition];
            match done {
                PartDone::Producers(producers) => {
                    entry.active_producers = producers.iter().map(producer).collect();
                }
                other => entry.error_code = other.error(),
            }
        }
        ResponseKind::DescribeLogDirs(all) => {
            let entry = &mut all.results[0].topics[topic].partitions[partition];
            if let PartDone::Size(bytes) = done {
                entry.partition_size = i64::try_from(bytes).unwrap_or(i64::MAX);
            }
        }
        other => unreachable!("{other:?} is not put together from parts"),
    }
}

fn producer(summary: &crate::exactly_once::producers::ProducerSummary) -> ProducerState {
    ProducerState::default()
        .with_producer_id(summary.producer_id.into())
        .with_producer_epoch(summary.epoch.into())
        .with_last_sequence(summary.last_sequence)
        .with_last_timestamp(summary.timestamp.0)
        .with_coordinator_epoch(0)
        .with_current_txn_start_offset(summary.transaction.map_or(-1, |offset| offset.0))
}

fn offset_of(done: PartDone) -> FoundOffset {
    if let PartDone::Offset(found) = done {
        return found;
    }
    FoundOffset {
        error: match done.error() {
            0 => ResponseError::UnknownServerError.code(),
            error => error,
        },
        offset: -1,
        timestamp: -1,
    }
}
