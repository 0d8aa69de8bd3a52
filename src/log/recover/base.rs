//! Where recovery starts: the newest usable index file, or the very first frame.
//!
//! Owns: the choice, and rebuilding the index of an earlier segment whose file is lost.

use crate::ids::{FrameSeq, SegmentSeq, StripeId};
use crate::log::files::{Files, StripeFiles, index_path, read_whole, segment_path};
use crate::log::format::SEGMENT_HEADER_BYTES;
use crate::log::index::{INDEX_BYTES_MAX, IndexFile};
use crate::log::rebuild::{History, Rebuild};
use crate::log::state::{RecoveredSegment, SegmentIndex, StripeState};
use crate::log::walk::{Start, Step, Walk};

use super::RecoverError;

/// Where the chain is taken up.
pub(super) struct Base {
    pub start: Start,
    pub rebuild: Rebuild,
    /// The last frame that the start's index file speaks of; 0 without one.
    pub indexed: FrameSeq,
    /// The segments before the start, each with its index, oldest first.
    pub sealed: Vec<RecoveredSegment>,
}

/// Segments have no gap, and none is missing that an index speaks of.
pub(super) fn check_contiguous(stripe: StripeId, found: &StripeFiles) -> Result<(), RecoverError> {
    let missing = |seq: u64, because: String| {
        Err(RecoverError::MissingSegment {
            path: segment_path(stripe, SegmentSeq(seq)),
            because,
        })
    };
    for pair in found.segments.windows(2) {
        if pair[1].0.0 != pair[0].0.0 + 1 {
            let because = format!("segments {} and {} are there", pair[0].0, pair[1].0);
            return missing(pair[0].0.0 + 1, because);
        }
    }
    let last = found.segments.last().map(|(seq, _)| *seq);
    match found.indexes.last() {
        Some(index) if Some(*index) > last => missing(
            index.0,
            format!("its index file {} is there", index_path(stripe, *index)),
        ),
        _ => Ok(()),
    }
}

/// Reads an index file; the reason as text where it is of no use.
pub(in crate::log) fn load<F: Files + ?Sized>(
    files: &F,
    stripe: StripeId,
    directory_id: u128,
    seq: SegmentSeq,
) -> Result<IndexFile, String> {
    let path = index_path(stripe, seq);
    let bytes =
        read_whole(files, &path, INDEX_BYTES_MAX).map_err(|error| format!("{path}: {error}"))?;
    let file = IndexFile::decode(&bytes).map_err(|error| format!("{path}: {error}"))?;
    if (file.stripe, file.segment, file.directory_id) != (stripe, seq, directory_id) {
        return Err(format!(
            "{path}: it belongs to another stripe, segment or directory"
        ));
    }
    Ok(file)
}

/// Finds where to start, and the indexes of all segments before.
pub(super) fn find<F: Files + ?Sized>(
    files: &F,
    stripe: StripeId,
    directory_id: u128,
    found: &StripeFiles,
) -> Result<Base, RecoverError> {
    let first = found.segments[0].0;
    let mut damaged = Vec::new();
    for seq in found.indexes.iter().rev().filter(|seq| **seq >= first) {
        match load(files, stripe, directory_id, *seq) {
            Ok(file) => {
                let sealed = earlier(files, directory_id, found, &file)?;
                return Ok(from_index(file, sealed));
            }
            Err(reason) => {
                tracing::warn!(%reason, "index file not usable, an older one is tried");
                damaged.push(reason);
            }
        }
    }
    if first != SegmentSeq(0) {
        let damaged = match damaged.as_slice() {
            [] => String::new(),
            reasons => format!(" ({})", reasons.join("; ")),
        };
        return Err(RecoverError::NoBase {
            path: segment_path(stripe, first),
            damaged,
        });
    }
    Ok(Base {
        start: Start {
            segment: first,
            position: SEGMENT_HEADER_BYTES as u32,
            frame: Some(FrameSeq(1)),
            epoch: 0,
        },
        rebuild: Rebuild::new(
            StripeState::default(),
            SegmentIndex::default(),
            History::Complete,
        ),
        indexed: FrameSeq(0),
        sealed: Vec::new(),
    })
}

/// Goes on behind the indexed frames, in the same segment: a stripe that found its last segment
/// sealed may have appended to it since.
fn from_index(file: IndexFile, sealed: Vec<RecoveredSegment>) -> Base {
    let position = file.index.end_position.max(SEGMENT_HEADER_BYTES as u32);
    Base {
        start: Start {
            segment: file.segment,
            position,
            frame: Some(FrameSeq(file.index.frame_last.0 + 1)),
            epoch: file.epoch,
        },
        indexed: file.index.frame_last,
        rebuild: Rebuild::new(file.state, file.index, History::Complete),
        sealed,
    }
}

/// The indexes of the segments before `base`, newest first while looking, oldest first in the
/// result. Each must end where the next one begins; one that does not is made anew.
fn earlier<F: Files + ?Sized>(
    files: &F,
    directory_id: u128,
    found: &StripeFiles,
    base: &IndexFile,
) -> Result<Vec<RecoveredSegment>, RecoverError> {
    let mut sealed = Vec::new();
    let mut follower = base.index.frame_first;
    for &(seq, bytes) in found.segments.iter().rev() {
        if seq >= base.segment {
            continue;
        }
        let index = match load(files, base.stripe, directory_id, seq) {
            Ok(file) if file.index.frame_last.0 + 1 == follower.0 => file.index,
            Ok(_) | Err(_) => rescan(files, base.stripe, directory_id, (seq, bytes), follower)?,
        };
        follower = index.frame_first;
        sealed.push(RecoveredSegment { seq, index });
    }
    sealed.reverse();
    Ok(sealed)
}

/// Makes the index of one sealed segment from its frames, which must reach up to `follower`.
fn rescan<F: Files + ?Sized>(
    files: &F,
    stripe: StripeId,
    directory_id: u128,
    segment: (SegmentSeq, u64),
    follower: FrameSeq,
) -> Result<SegmentIndex, RecoverError> {
    let start = Start {
        segment: segment.0,
        position: SEGMENT_HEADER_BYTES as u32,
        frame: None,
        epoch: 0,
    };
    let mut walk = Walk::new(files, stripe, directory_id, vec![segment], start)?;
    let state = StripeState::default();
    let mut rebuild = Rebuild::new(state, SegmentIndex::default(), History::Partial);
    let damaged = |position, frame, reason| RecoverError::Damaged {
        path: segment_path(stripe, segment.0),
        position,
        frame,
        reason,
        witness: format!("frame {follower} at the start of the next segment"),
    };
    loop {
        match walk.step()? {
            Step::Frame(header) => {
                let frame = walk.frame()?;
                rebuild.apply(&frame).map_err(|contradiction| {
                    damaged(
                        contradiction.position,
                        header.seq,
                        contradiction.to_string(),
                    )
                })?;
            }
            Step::End(_) if walk.next_frame() == follower => return Ok(rebuild.index),
            Step::End(_) => {
                let reason = "it is not there".to_owned();
                return Err(damaged(walk.position(), walk.next_frame(), reason));
            }
        }
    }
}
