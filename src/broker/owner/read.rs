//! One partition's share of a Fetch.
//!
//! Owns: nothing. Never does: waiting; it says that the device must read first. Runs on: the core that
//! owns the partition.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use crate::broker::message::{Read, ReadDone};
use crate::log::disk::Disk;
use crate::log::storage::{AtLeastOne, BatchesRead, LogStorage, ReadBounds, ReadEnd};
use crate::wire::fetch::Aborted;

/// What a read waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Nothing,
    Device,
}

/// Reads one partition. `whole` says that nothing was found yet, so that a first batch counts
/// whatever its length.
pub(super) fn read_one<D: Disk>(
    read: &Read,
    left: usize,
    whole: bool,
    end: ReadEnd,
    storage: &mut LogStorage<D>,
) -> (ReadDone, Waits) {
    let mut done = ReadDone {
        index: read.index,
        error: 0,
        high_watermark: -1,
        stable: -1,
        log_start: -1,
        aborted: Vec::new(),
        records: Bytes::new(),
    };
    if !storage.owns(read.partition) {
        done.error = ResponseError::UnknownTopicOrPartition.code();
        return (done, Waits::Nothing);
    }
    let ends = storage.ends(read.partition);
    done.high_watermark = ends.visible.0;
    done.stable = ends.stable.0;
    done.log_start = ends.start.0;
    if read.from < ends.start || read.from > ends.next {
        done.error = ResponseError::OffsetOutOfRange.code();
        return (done, Waits::Nothing);
    }
    let bounds = ReadBounds {
        bytes_max: read.bytes_max.min(left),
        end,
        at_least_one: match whole {
            true => AtLeastOne::Yes,
            false => AtLeastOne::No,
        },
    };
    let mut records = Vec::new();
    match storage.read_batches(read.partition, read.from, bounds, &mut records) {
        Ok(BatchesRead::Batches { next }) => {
            if end == ReadEnd::Stable {
                storage.aborted(read.partition, read.from, next, &mut |producer, first| {
                    done.aborted.push(Aborted {
                        producer_id: producer,
                        first_offset: first.0,
                    });
                });
            }
            done.records = records.into();
            (done, Waits::Nothing)
        }
        Ok(BatchesRead::Empty) => (done, Waits::Nothing),
        Ok(BatchesRead::Pending) => (done, Waits::Device),
        Err(error) => {
            tracing::error!(partition = %read.partition, %error, "a read failed");
            done.error = ResponseError::KafkaStorageError.code();
            (done, Waits::Nothing)
        }
    }
}
