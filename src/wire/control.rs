//! Control batches: the markers that end a transaction in a partition (KIP-98).
//!
//! Owns: the layout of their one record. Never does: allocation; a panic, whatever the bytes. Runs
//! on: any thread.
//!
//! ```text
//! key:   version i16 = 0, type i16 (0 abort, 1 commit)
//! value: version i16 = 0, coordinator epoch i32
//! ```

use crate::ids::{Offset, UnixMillis};
use crate::wire::batch::{BATCH_HEADER_BYTES, BatchView, CONTROL, TRANSACTIONAL};
use crate::wire::write::{Author, BatchSpec, RecordSource, put_header, put_record};

/// Bytes of a control batch as [`write_control`] writes it.
pub const CONTROL_BATCH_BYTES: usize = BATCH_HEADER_BYTES + 17;

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// Its records do not count.
    Abort,
    /// They do.
    Commit,
}

/// What a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlBatch {
    /// Its offset.
    pub base_offset: Offset,
    /// When it was written.
    pub timestamp: UnixMillis,
    /// Whose transaction ends.
    pub producer_id: i64,
    /// The producer's epoch from here on.
    pub producer_epoch: i16,
    /// How it ends.
    pub kind: ControlKind,
}

/// Writes a control batch at the start of `out` and returns its length,
/// [`CONTROL_BATCH_BYTES`]. The coordinator's epoch is 0: there is one coordinator.
///
/// # Panics
/// `out` is shorter.
pub fn write_control(out: &mut [u8], batch: &ControlBatch) -> usize {
    let kind = match batch.kind {
        ControlKind::Abort => 0,
        ControlKind::Commit => 1,
    };
    let key = [0, 0, 0, kind];
    let record = RecordSource::new(Some(&key), Some(&[0; 6]));
    let end = put_record(out, BATCH_HEADER_BYTES, &record, 0);
    let spec = BatchSpec {
        base_offset: batch.base_offset,
        base_timestamp: batch.timestamp,
        max_timestamp: batch.timestamp,
    };
    let author = Author {
        attributes: TRANSACTIONAL | CONTROL,
        producer_id: batch.producer_id,
        producer_epoch: batch.producer_epoch,
        base_sequence: -1,
    };
    put_header(out, end, &spec, 1, &author);
    end
}

/// How a control batch ends its transaction; none for other batches, and for control records of
/// other types.
pub fn control_kind(batch: &BatchView<'_>) -> Option<ControlKind> {
    if !batch.is_control() {
        return None;
    }
    let record = batch.records().ok()?.next()?.ok()?;
    match record.key? {
        [_, _, 0, 0] => Some(ControlKind::Abort),
        [_, _, 0, 1] => Some(ControlKind::Commit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_batch_comes_back_as_written() {
        for kind in [ControlKind::Abort, ControlKind::Commit] {
            let batch = ControlBatch {
                base_offset: Offset(7),
                timestamp: UnixMillis(1_700_000_000_000),
                producer_id: 9,
                producer_epoch: 3,
                kind,
            };
            let mut out = [0; CONTROL_BATCH_BYTES];
            assert_eq!(write_control(&mut out, &batch), out.len());
            let view = BatchView::parse(&out).unwrap();
            assert_eq!(view.bytes().len(), out.len());
            assert_eq!(control_kind(&view), Some(kind));
            assert_eq!(view.next_offset(), Offset(8));
            assert_eq!((view.producer_id(), view.producer_epoch()), (9, 3));
            assert!(view.is_transactional() && view.base_sequence() == -1);
            let record = view.records().unwrap().next().unwrap().unwrap();
            assert_eq!(record.value, Some(&[0; 6][..]));
        }
    }
}
