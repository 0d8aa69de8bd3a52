//! What an index file says of Kafka's producers: its last section, in version 2.
//!
//! Owns: the bytes of the section. Never does: I/O. Runs on: housekeeping threads.
//!
//! ```text
//! partitions u32, then for each: id u32, producers u32, aborted transactions u32,
//!   producers: id i64, epoch i16, batches u16 (0 to 5), first offset of the open transaction i64
//!              (-1 for none), last timestamp i64, written at i64 (milliseconds), then for each
//!              batch, oldest first: first sequence i32, last sequence i32, base offset i64
//!   aborted transactions: producer i64, first offset i64, last offset i64, last stable offset i64
//! ```

use std::collections::BTreeMap;

use super::{Fields, put_count};
use crate::exactly_once::producers::{
    AbortedTransaction, BATCHES_REMEMBERED, ProducerState, Producers, SequencedBatch,
};
use crate::ids::{Offset, PartitionId, UnixMillis};
use crate::log::format::FormatError;

pub(super) fn encode(producers: &BTreeMap<PartitionId, Producers>, out: &mut Vec<u8>) {
    put_count(out, producers.len());
    for (partition, producers) in producers {
        out.extend_from_slice(&partition.0.to_le_bytes());
        put_count(out, producers.states().len());
        put_count(out, producers.aborted_transactions().len());
        for (id, state) in producers.states() {
            put_state(out, id, state);
        }
        for aborted in producers.aborted_transactions() {
            out.extend_from_slice(&aborted.producer_id.to_le_bytes());
            for offset in [aborted.first, aborted.last, aborted.stable] {
                out.extend_from_slice(&offset.0.to_le_bytes());
            }
        }
    }
}

fn put_state(out: &mut Vec<u8>, id: i64, state: &ProducerState) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&state.epoch.to_le_bytes());
    out.extend_from_slice(&(state.batches().len() as u16).to_le_bytes());
    let transaction = state.transaction.map_or(-1, |offset| offset.0);
    out.extend_from_slice(&transaction.to_le_bytes());
    out.extend_from_slice(&state.timestamp.0.to_le_bytes());
    out.extend_from_slice(&state.written_at.0.to_le_bytes());
    for batch in state.batches() {
        out.extend_from_slice(&batch.first_sequence.to_le_bytes());
        out.extend_from_slice(&batch.last_sequence.to_le_bytes());
        out.extend_from_slice(&batch.base_offset.0.to_le_bytes());
    }
}

pub(super) fn decode(
    fields: &mut Fields<'_>,
) -> Result<BTreeMap<PartitionId, Producers>, FormatError> {
    let mut found = BTreeMap::new();
    for _ in 0..fields.u32()? {
        let partition = PartitionId(fields.u32()?);
        let (producers, aborted) = (fields.u32()?, fields.u32()?);
        // Collected one by one: memory only for what is there.
        let states = (0..producers)
            .map(|_| take_state(fields))
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        let mut ended = Vec::new();
        for _ in 0..aborted {
            ended.push(AbortedTransaction {
                producer_id: fields.i64()?,
                first: Offset(fields.i64()?),
                last: Offset(fields.i64()?),
                stable: Offset(fields.i64()?),
            });
        }
        found.insert(partition, Producers::restore(states, ended));
    }
    Ok(found)
}

fn take_state(fields: &mut Fields<'_>) -> Result<(i64, ProducerState), FormatError> {
    let id = fields.i64()?;
    let mut state = ProducerState::new(fields.i16()?);
    let batches = fields.u16()?;
    if usize::from(batches) > BATCHES_REMEMBERED {
        return Err(FormatError::Field {
            field: "batches of a producer",
            value: batches.into(),
        });
    }
    let transaction = fields.i64()?;
    state.transaction = (transaction >= 0).then_some(Offset(transaction));
    state.timestamp = UnixMillis(fields.i64()?);
    state.written_at = UnixMillis(fields.i64()?);
    for _ in 0..batches {
        state.remember(SequencedBatch {
            first_sequence: fields.i32()?,
            last_sequence: fields.i32()?,
            base_offset: Offset(fields.i64()?),
        });
    }
    Ok((id, state))
}

/// Producers of every kind, for tests.
#[cfg(test)]
pub(super) fn sample() -> Producers {
    let state = |batches: i32, transaction: Option<i64>| {
        let mut state = ProducerState::new(3);
        state.transaction = transaction.map(Offset);
        state.timestamp = UnixMillis(1_700_000_000_000);
        state.written_at = UnixMillis(1_700_000_000_001);
        for n in 0..batches {
            state.remember(SequencedBatch {
                first_sequence: n * 10,
                last_sequence: n * 10 + 9,
                base_offset: Offset(i64::from(n) * 100),
            });
        }
        state
    };
    let aborted = AbortedTransaction {
        producer_id: 7,
        first: Offset(3),
        last: Offset(9),
        stable: Offset(10),
    };
    let states = [
        (7, state(5, Some(30))),
        (8, state(0, None)),
        (9, state(1, Some(20))),
    ];
    Producers::restore(states, [aborted])
}
