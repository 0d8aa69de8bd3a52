//! Recovery: from the files of a stripe to everything it needs to go on.
//!
//! Owns: which index is the base, what is cut, what is removed. Never does: repairing damage, or
//! any change where it finds some. Runs on: a housekeeping thread, before the stripe's owner gets
//! the result.

mod base;

pub(super) use base::load as load_index;

use std::io;

use crate::exactly_once::Fingerprint;
use crate::ids::{FrameSeq, Offset, PartitionId, SegmentSeq, StripeId};
use crate::log::files::{Files, StripeFiles, index_path, segment_path, stripe_folder};
use crate::log::index::IndexFile;
use crate::log::rebuild::Rebuild;
use crate::log::state::{Recovered, RecoveredSegment, StripeState, TornTail, log_start_key};
use crate::log::walk::{Ending, Step, Walk, WalkError};
use crate::log::window;

/// Whether recovery may change the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Cut a torn tail, remove what lies beyond it, write missing index files. Needs the lock.
    Repair,
    /// Only look.
    ReadOnly,
}

/// What recovery is told.
#[derive(Clone, Copy)]
pub struct RecoverOptions<'a> {
    /// Identifies the data directory.
    pub directory_id: u128,
    /// Whether it may change anything.
    pub access: Access,
    /// Newest records whose ids are wanted for the duplicate window; 0 for none.
    pub window_records_max: usize,
    /// The partitions whose records count for it.
    pub window_partitions: &'a dyn Fn(PartitionId) -> bool,
    /// The id's fingerprint, of a record's key.
    pub fingerprint: &'a dyn Fn(&[u8]) -> Fingerprint,
}

impl RecoverOptions<'_> {
    /// Only look, and no ids are wanted.
    pub fn read_only(directory_id: u128) -> RecoverOptions<'static> {
        RecoverOptions {
            directory_id,
            access: Access::ReadOnly,
            window_records_max: 0,
            window_partitions: &|_| false,
            fingerprint: &|_| Fingerprint(0),
        }
    }
}

impl std::fmt::Debug for RecoverOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecoverOptions")
            .field("access", &self.access)
            .field("window_records_max", &self.window_records_max)
            .finish_non_exhaustive()
    }
}

/// Why a stripe cannot be recovered. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A file is missing or unreadable, or its header is not what it should be.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// What the device said.
        source: io::Error,
    },
    /// Acknowledged data is damaged.
    #[error(
        "{path}, byte {position}: frame {frame} is damaged: {reason}; it was durable, as \
         {witness} says. Nothing was changed"
    )]
    Damaged {
        /// The segment.
        path: String,
        /// Where in it.
        position: u32,
        /// The frame that should be there.
        frame: FrameSeq,
        /// What is wrong.
        reason: String,
        /// What proves that it was durable.
        witness: String,
    },
    /// A batch in a sealed segment is damaged.
    #[error(
        "{path}, byte {position}: the batch of partition {partition} at offset {offset} is \
         damaged: {reason}. Nothing was changed"
    )]
    DamagedBatch {
        /// The segment.
        path: String,
        /// Where in it.
        position: u32,
        /// Whose.
        partition: PartitionId,
        /// Its base offset.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
    /// A segment between two others, or one that an index speaks of, is not there.
    #[error("{path} is missing, while {because}. Nothing was changed")]
    MissingSegment {
        /// Its file.
        path: String,
        /// What shows that it should be there.
        because: String,
    },
    /// Earlier segments are recycled and no index holds the state at their end.
    #[error(
        "{path} is the first segment that is left, and no usable index file holds the state \
         before it or later{damaged}. Nothing was changed"
    )]
    NoBase {
        /// The first segment.
        path: String,
        /// The index files that are there but damaged, each with its reason.
        damaged: String,
    },
}

impl RecoverError {
    pub(super) fn io(path: impl Into<String>) -> impl FnOnce(io::Error) -> RecoverError {
        let path = path.into();
        move |source| RecoverError::Io { path, source }
    }
}

/// An index file to be written once nothing can go wrong any more.
type PendingIndex = (SegmentSeq, Vec<u8>);

/// Recovers a stripe; the rules are in [`crate::log::walk`] and `docs/log-format.md`.
///
/// # Errors
/// Damage, missing or foreign files: nothing was changed. A failure to write leaves a directory
/// that recovers the same way.
pub fn recover<F: Files + ?Sized>(
    files: &F,
    stripe: StripeId,
    options: &RecoverOptions<'_>,
) -> Result<Recovered, RecoverError> {
    let found =
        StripeFiles::list(files, stripe).map_err(RecoverError::io(stripe_folder(stripe)))?;
    base::check_contiguous(stripe, &found)?;
    if found.segments.is_empty() {
        return Ok(empty(stripe));
    }
    let base = base::find(files, stripe, options.directory_id, &found)?;
    let mut walk = Walk::new(
        files,
        stripe,
        options.directory_id,
        found.segments.clone(),
        base.start,
    )?;
    let mut chain = Chain {
        stripe,
        directory_id: options.directory_id,
        rebuild: base.rebuild,
        current: base.start.segment,
        indexed: base.indexed,
        segments: base.sealed,
        pending: Vec::new(),
    };
    let torn = chain.follow(&mut walk)?;
    let (mut state, segments) = (chain.rebuild.state, chain.segments);
    set_log_starts(&mut state, &segments);
    let recent = window::recent_ids(files, stripe, &segments, options)?;
    match options.access {
        Access::Repair => {
            make_durable(files, stripe, base.start.segment, walk.segment())?;
            repair(files, stripe, &found, walk.written_beyond(), &chain.pending)?;
        }
        Access::ReadOnly => {}
    }
    Ok(Recovered {
        stripe,
        state,
        segments,
        frame_last: FrameSeq(walk.next_frame().0 - 1),
        recent,
        torn,
    })
}

fn empty(stripe: StripeId) -> Recovered {
    Recovered {
        stripe,
        state: StripeState::default(),
        segments: Vec::new(),
        frame_last: FrameSeq(0),
        recent: Vec::new(),
        torn: None,
    }
}

/// What is built while the chain is followed.
struct Chain {
    stripe: StripeId,
    directory_id: u128,
    rebuild: Rebuild,
    current: SegmentSeq,
    /// The last frame that an index file already speaks of; 0 without one.
    indexed: FrameSeq,
    segments: Vec<RecoveredSegment>,
    pending: Vec<PendingIndex>,
}

impl Chain {
    /// Follows the chain to its end; what was torn off there, if anything.
    fn follow<F: Files + ?Sized>(
        &mut self,
        walk: &mut Walk<'_, F>,
    ) -> Result<Option<TornTail>, RecoverError> {
        loop {
            let epoch = walk.epoch();
            let ending = match walk.step()? {
                Step::Frame(header) => {
                    if header.segment != self.current {
                        self.finish_segment(epoch);
                        self.current = header.segment;
                    }
                    let path = walk.path();
                    let frame = walk.frame()?;
                    self.rebuild
                        .apply(&frame)
                        .map_err(|contradiction| RecoverError::Damaged {
                            path,
                            position: contradiction.position,
                            frame: header.seq,
                            reason: contradiction.to_string(),
                            witness: "its valid checksum".into(),
                        })?;
                    continue;
                }
                Step::End(ending) => ending,
            };
            self.end_segment();
            return torn_tail(self.stripe, ending);
        }
    }

    /// The segment got no more frames: a later one follows it.
    fn finish_segment(&mut self, epoch: u32) {
        let index = self.rebuild.finish_segment();
        if index.frame_first == FrameSeq(0) {
            return;
        }
        let mut segment = RecoveredSegment {
            seq: self.current,
            index,
        };
        if segment.index.frame_last > self.indexed {
            let file = IndexFile {
                stripe: self.stripe,
                segment: self.current,
                directory_id: self.directory_id,
                epoch,
                index: segment.index,
                state: self.rebuild.state.clone(),
            };
            self.pending.push((self.current, file.encode()));
            segment.index = file.index;
        }
        self.segments.push(segment);
    }

    /// The segment in which the chain ends; it stays open.
    fn end_segment(&mut self) {
        let index = self.rebuild.finish_segment();
        if index.frame_first != FrameSeq(0) {
            self.segments.push(RecoveredSegment {
                seq: self.current,
                index,
            });
        }
    }
}

fn torn_tail(stripe: StripeId, ending: Ending) -> Result<Option<TornTail>, RecoverError> {
    match ending {
        Ending::Clean => Ok(None),
        Ending::Torn { at, fault } => Ok(Some(TornTail {
            segment: at.segment,
            position: at.position,
            frame: at.frame,
            reason: fault.to_string(),
        })),
        Ending::Damaged {
            at, fault, witness, ..
        } => Err(RecoverError::Damaged {
            path: segment_path(stripe, at.segment),
            position: at.position,
            frame: at.frame,
            reason: fault.to_string(),
            witness: format!(
                "frame {} in segment {}, byte {}",
                witness.frame, witness.segment, witness.position
            ),
        }),
    }
}

/// Retention has left what lies in the segments: a partition starts with its first batch there,
/// and one without batches is empty. It starts later where its own bounds, as of the last sealed
/// segment, or a request to delete records say so.
fn set_log_starts(state: &mut StripeState, segments: &[RecoveredSegment]) {
    for (partition, offsets) in &mut state.partitions {
        let first = segments
            .iter()
            .find_map(|segment| segment.index.partitions.get(partition)?.first());
        let first = first.map_or(offsets.next, |batch| batch.base_offset);
        let asked = state.values.get(&log_start_key(*partition)[..]);
        let asked = asked.and_then(|value| value.as_slice().try_into().ok());
        let asked = asked.map_or(Offset::ZERO, |value| Offset(i64::from_le_bytes(value)));
        let start = first.max(offsets.log_start).max(asked);
        // A pair cannot be newer than the batches before it; damage is not taken at its word.
        offsets.log_start = start.min(offsets.next);
        if let Some(producers) = state.producers.get_mut(partition) {
            producers.forget_before(offsets.log_start);
        }
    }
}

/// What was read may still be on its way to the device: a process that died left it to the kernel.
/// From here on it counts as durable, so now it must be.
fn make_durable<F: Files + ?Sized>(
    files: &F,
    stripe: StripeId,
    first: SegmentSeq,
    last: SegmentSeq,
) -> Result<(), RecoverError> {
    for seq in (first.0..=last.0).map(SegmentSeq) {
        let path = segment_path(stripe, seq);
        files.sync(&path).map_err(RecoverError::io(path))?;
    }
    Ok(())
}

/// Makes the directory what recovery has found. Each step leaves one that recovers the same way.
fn repair<F: Files + ?Sized>(
    files: &F,
    stripe: StripeId,
    found: &StripeFiles,
    written_beyond: Option<SegmentSeq>,
    pending: &[PendingIndex],
) -> Result<(), RecoverError> {
    if let Some(first) = written_beyond {
        // Newest first, or a crash in between would leave a gap.
        for (seq, _) in found
            .segments
            .iter()
            .rev()
            .take_while(|(seq, _)| *seq >= first)
        {
            let path = segment_path(stripe, *seq);
            files.remove(&path).map_err(RecoverError::io(path))?;
        }
    }
    let first = found.segments.first().map(|(seq, _)| *seq);
    for seq in found.indexes.iter().filter(|seq| Some(**seq) < first) {
        let path = index_path(stripe, *seq);
        files.remove(&path).map_err(RecoverError::io(path))?;
    }
    for (seq, bytes) in pending {
        let path = index_path(stripe, *seq);
        if let Err(error) = files.write_atomic(&path, bytes) {
            // Only makes the next start slower; a full device must not prevent this one.
            tracing::warn!(%path, %error, "index file not written");
        }
    }
    Ok(())
}
