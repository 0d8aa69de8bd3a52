//! Looks behind the place where the chain ends: is there proof that something is missing?

use super::{FIRST_FRAME, Place, Walk, WalkError};
use crate::ids::{FrameSeq, SegmentSeq, StripeId};
use crate::limits::BLOCK_BYTES;
use crate::log::files::Files;
use crate::log::format::{FRAME_HEADER_BYTES, FrameHeader, frame_bytes};
use crate::log::scan::{Frame, FrameFault};

/// What the search for a witness came to.
#[derive(Default)]
pub(super) struct Search {
    /// A frame that says that the missing one was durable.
    pub witness: Option<Place>,
    /// The first later frame, if there is any.
    pub later: Option<Place>,
}

impl<F: Files + ?Sized> Walk<'_, F> {
    /// Searches all that lies behind the missing frame for a later one.
    ///
    /// `starts`: where in the present segment, and where in the one after it.
    pub(super) fn search(&mut self, starts: [u32; 2]) -> Result<Search, WalkError> {
        let mut search = Search::default();
        let first = self.at;
        for at in first..self.segments.len() {
            if at > first {
                self.check_header(at)?;
            }
            let start = starts.get(at - first).copied().unwrap_or(FIRST_FRAME);
            self.search_segment(at, start, &mut search)?;
            if search.witness.is_some() {
                break;
            }
        }
        Ok(search)
    }

    fn search_segment(
        &mut self,
        at: usize,
        start: u32,
        search: &mut Search,
    ) -> Result<(), WalkError> {
        let (segment, file_bytes) = self.segments[at];
        let missing = self.next_frame();
        let end = u32::try_from(file_bytes).unwrap_or(u32::MAX);
        let mut position = start;
        while position < end {
            let head = self.bytes(at, position, FRAME_HEADER_BYTES)?;
            let header = FrameHeader::decode(head).ok();
            let mut step = BLOCK_BYTES as u32;
            if let Some(header) = header
                && header.segment == segment
            {
                if at > self.at && self.written_beyond.is_none() {
                    self.written_beyond = Some(segment);
                }
                let stale = stale(&header, self.stripe, segment, position, self.epoch);
                let len = frame_bytes(header.body_bytes as usize);
                if stale.is_none()
                    && header.seq > missing
                    && header.durable < header.seq
                    && Frame::check(header, self.bytes(at, position, len)?).is_ok()
                {
                    let place = Place {
                        frame: header.seq,
                        segment,
                        position,
                    };
                    search.later.get_or_insert(place);
                    step = len as u32;
                    if header.durable >= missing {
                        search.witness = Some(place);
                        return Ok(());
                    }
                }
            }
            position = position.saturating_add(step);
        }
        Ok(())
    }
}

/// Why a frame cannot be part of the chain at this place, if it cannot.
pub(super) fn stale(
    header: &FrameHeader,
    stripe: StripeId,
    segment: SegmentSeq,
    position: u32,
    epoch: u32,
) -> Option<FrameFault> {
    let fields = [
        ("stripe", header.stripe.0.into(), stripe.0.into()),
        ("segment", header.segment.0, segment.0),
        ("position", header.position.into(), position.into()),
    ];
    for (field, found, expected) in fields {
        if found != expected {
            return Some(FrameFault::Stale {
                field,
                found,
                expected,
            });
        }
    }
    (header.epoch < epoch).then(|| FrameFault::Stale {
        field: "epoch",
        found: header.epoch.into(),
        expected: epoch.into(),
    })
}

/// Whether bytes without a valid frame header look like a damaged header of the frame that should
/// be there, rather than like nothing or the middle of a former frame. Only decides whether a cut
/// is worth telling.
pub(super) fn resembles(head: &[u8], segment: SegmentSeq, next: Option<FrameSeq>) -> bool {
    const MAGIC: &[u8] = b"CLFR";
    let holds = |at: usize, value: u64| {
        value != 0 && head.get(at..at + 8) == Some(value.to_le_bytes().as_slice())
    };
    let torn_magic = (1..=MAGIC.len()).any(|len| {
        head.starts_with(&MAGIC[..len]) && (len == 4 || head[len..].iter().all(|&byte| byte == 0))
    });
    torn_magic || holds(24, segment.0) || next.is_some_and(|next| holds(16, next.0))
}
