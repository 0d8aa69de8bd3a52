//! Follows the chain of frames through a stripe's segments and says how it ends.
//!
//! Owns: which frame is the next one, and the difference between a clean end, a torn tail and
//! damage. Never does: changes. Runs on: housekeeping threads.
//!
//! Rules, with their reasons:
//! - The next frame has the next number, its segment's number and its own place in its header.
//!   A recycled file still holds frames of its former life; these fields tell them apart.
//! - Its epoch is not below that of the frame before it. What a recovery has cut off stays in the
//!   file and may line up with what is written later; it is of an older epoch.
//! - Where there is none, all that follows is searched for a *witness*: a valid frame, not of an
//!   older epoch, which says that the missing frame was durable. With one it is damage: something
//!   acknowledged is gone. Without one it is a torn tail (or a clean end): frames are written
//!   several at a time and complete in any order, and nobody was promised what comes after the
//!   last durable one.

use std::io;

use crate::ids::{FrameSeq, SegmentSeq, StripeId};
use crate::limits::BLOCK_BYTES;
use crate::log::files::{Files, segment_path};
use crate::log::format::{
    FRAME_HEADER_BYTES, FormatError, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, frame_bytes,
};
use crate::log::scan::{Frame, FrameFault, SegmentReader};

/// Bytes of a segment's header block that hold something; zeros follow.
const SEGMENT_FIELDS_BYTES: usize = 64;

/// Why a stripe's files cannot be followed at all.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A file is missing or unreadable.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What the device said.
        source: io::Error,
    },
    /// A segment's header block is damaged or of another version.
    #[error("{path}, byte 0: {source}")]
    Header {
        /// Which file.
        path: String,
        /// What is wrong.
        source: FormatError,
    },
    /// A segment's file belongs elsewhere.
    #[error("{path} belongs to {field} {found}, not {expected}")]
    Foreign {
        /// Which file.
        path: String,
        /// What tells.
        field: &'static str,
        /// What its header says.
        found: String,
        /// What it should say.
        expected: String,
    },
}

/// Where to start.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// In which segment.
    pub segment: SegmentSeq,
    /// At which byte of it.
    pub position: u32,
    /// The frame expected there; none takes any number.
    pub frame: Option<FrameSeq>,
    /// The epoch that frames must at least have.
    pub epoch: u32,
}

/// How the chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing of the next frame is there.
    Clean,
    /// Something is there, but not the whole next frame, and nothing says that it was durable.
    Torn(FrameFault),
    /// The next frame is missing or invalid although it was durable.
    Damaged {
        /// What is there instead.
        fault: FrameFault,
        /// The later frame that says so.
        witness: FrameSeq,
        /// The segment in which that lies.
        witness_segment: SegmentSeq,
        /// The byte at which it starts.
        witness_position: u32,
    },
}

/// One step along the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next frame is valid; [`Walk::frame`] gives it.
    Frame(FrameHeader),
    /// There is no further frame. Where: [`Walk::segment`], [`Walk::position`].
    End(Ending),
}

/// What lies at a place.
enum Look {
    Valid(FrameHeader),
    Bad {
        fault: FrameFault,
        /// Whether it is (part of) the frame looked for or a later one, as far as one can tell.
        ours: bool,
        /// Where the search for a witness starts.
        resume: u32,
    },
}

/// What the search for a witness came to.
#[derive(Default)]
struct Search {
    /// Seq, segment and byte of a frame that says that the missing one was durable.
    witness: Option<(FrameSeq, SegmentSeq, u32)>,
    /// Whether any later frame was found.
    later: bool,
}

/// Follows the chain.
#[derive(Debug)]
pub struct Walk<'f, F: ?Sized> {
    reader: SegmentReader<'f, F>,
    stripe: StripeId,
    directory_id: u128,
    /// Numbers, file sizes; contiguous.
    segments: Vec<(SegmentSeq, u64)>,
    at: usize,
    /// Which of the segments the reader has open.
    opened: Option<usize>,
    position: u32,
    next: Option<FrameSeq>,
    epoch: u32,
    frame: Option<FrameHeader>,
    /// The first segment behind the end in which anything bears its number.
    written_beyond: Option<SegmentSeq>,
}

impl<'f, F: Files + ?Sized> Walk<'f, F> {
    /// A walk along `segments` (contiguous, ascending, with the sizes of their files), from
    /// `start` on, whose segment is one of them.
    ///
    /// # Errors
    /// The first segment cannot be read, or its header is damaged, of another version or place.
    ///
    /// # Panics
    /// `start` lies in none of the segments.
    pub fn new(
        files: &'f F,
        stripe: StripeId,
        directory_id: u128,
        segments: Vec<(SegmentSeq, u64)>,
        start: Start,
    ) -> Result<Walk<'f, F>, WalkError> {
        let at = segments.iter().position(|(seq, _)| *seq == start.segment);
        let mut walk = Walk {
            reader: SegmentReader::new(files),
            stripe,
            directory_id,
            segments,
            at: at.expect("documented: the start lies in one of the segments"),
            opened: None,
            position: start.position,
            next: start.frame,
            epoch: start.epoch,
            frame: None,
            written_beyond: None,
        };
        walk.check_header(walk.at)?;
        Ok(walk)
    }

    /// The segment of the last frame, or of the end.
    pub fn segment(&self) -> SegmentSeq {
        self.segments[self.at].0
    }

    /// The byte after the last frame: where the next one starts, or the end is.
    pub const fn position(&self) -> u32 {
        self.position
    }

    /// The number of the next frame; 1 where nothing is known.
    pub fn next_frame(&self) -> FrameSeq {
        self.next.unwrap_or(FrameSeq(1))
    }

    /// The epoch of the last frame.
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// After the end: the first later segment in which anything was ever written under its
    /// present number. It and those after it hold nothing that counts.
    pub const fn written_beyond(&self) -> Option<SegmentSeq> {
        self.written_beyond
    }

    /// The file of the last frame, or of the end.
    pub fn path(&self) -> String {
        segment_path(self.stripe, self.segment())
    }

    /// Reads from the files again what may have been written since.
    pub fn refresh(&mut self) {
        self.reader.forget();
        self.written_beyond = None;
    }

    /// Looks for the next frame.
    ///
    /// # Errors
    /// A file cannot be read, or a segment's header is damaged, of another version or place.
    pub fn step(&mut self) -> Result<Step, WalkError> {
        let here = self.look(self.at, self.position)?;
        let (fault, ours, resume) = match here {
            Look::Valid(header) => return Ok(self.accept(self.at, header)),
            Look::Bad {
                fault,
                ours,
                resume,
            } => (fault, ours, resume),
        };
        let following = self.at + 1;
        if following < self.segments.len() {
            self.check_header(following)?;
            if let Look::Valid(header) = self.look(following, SEGMENT_HEADER_BYTES as u32)? {
                return Ok(self.accept(following, header));
            }
        }
        let search = self.search(resume)?;
        Ok(Step::End(match search.witness {
            Some((witness, witness_segment, witness_position)) => Ending::Damaged {
                fault,
                witness,
                witness_segment,
                witness_position,
            },
            None if ours || search.later => Ending::Torn(fault),
            None => Ending::Clean,
        }))
    }

    /// The frame of the last step.
    ///
    /// # Errors
    /// The file can no longer be read.
    ///
    /// # Panics
    /// The last step found none.
    pub fn frame(&mut self) -> Result<Frame<'_>, WalkError> {
        let header = self.frame.expect("documented: the last step found a frame");
        let len = frame_bytes(header.body_bytes as usize);
        // Still in the buffer: nothing was read since it was checked.
        let bytes = self.bytes(self.at, header.position, len)?;
        Ok(Frame::checked(header, bytes))
    }

    fn accept(&mut self, at: usize, header: FrameHeader) -> Step {
        self.at = at;
        self.position = header.position + frame_bytes(header.body_bytes as usize) as u32;
        self.next = Some(FrameSeq(header.seq.0 + 1));
        self.epoch = header.epoch;
        self.frame = Some(header);
        Step::Frame(header)
    }

    fn check_header(&mut self, at: usize) -> Result<(), WalkError> {
        let seq = self.segments[at].0;
        let block = self.bytes(at, 0, SEGMENT_HEADER_BYTES)?;
        let decoded = SegmentHeader::decode(block).and_then(|header| {
            let padding = block[SEGMENT_FIELDS_BYTES..].iter();
            match padding.copied().find(|&byte| byte != 0) {
                None => Ok(header),
                Some(byte) => Err(FormatError::Field {
                    field: "padding of the segment header",
                    value: byte.into(),
                }),
            }
        });
        let path = segment_path(self.stripe, seq);
        let header = decoded.map_err(|source| WalkError::Header {
            path: path.clone(),
            source,
        })?;
        let foreign = |field, found, expected| {
            Err(WalkError::Foreign {
                path,
                field,
                found,
                expected,
            })
        };
        if header.directory_id != self.directory_id {
            let hex = |id: u128| format!("{id:032x}");
            return foreign(
                "data directory",
                hex(header.directory_id),
                hex(self.directory_id),
            );
        }
        if header.stripe != self.stripe {
            return foreign("stripe", header.stripe.to_string(), self.stripe.to_string());
        }
        if header.seq != seq {
            return foreign("segment", header.seq.to_string(), seq.to_string());
        }
        Ok(())
    }

    fn bytes(&mut self, at: usize, position: u32, len: usize) -> Result<&[u8], WalkError> {
        let segment = self.segments[at].0;
        if self.opened != Some(at) {
            self.reader.open(segment_path(self.stripe, segment));
            self.opened = Some(at);
        }
        self.reader
            .bytes(position.into(), len)
            .map_err(|source| WalkError::Io {
                path: segment_path(self.stripe, segment),
                source,
            })
    }

    /// What lies at a place, measured against the frame that is next.
    fn look(&mut self, at: usize, position: u32) -> Result<Look, WalkError> {
        let (next, epoch, segment) = (self.next, self.epoch, self.segments[at].0);
        let head = self.bytes(at, position, FRAME_HEADER_BYTES)?;
        let header = match FrameHeader::decode(head) {
            Ok(header) => header,
            Err(error) => {
                let ours = resembles(head, segment, next);
                return Ok(Look::Bad {
                    fault: FrameFault::Header(error),
                    ours,
                    resume: position + BLOCK_BYTES as u32,
                });
            }
        };
        let stale = stale(&header, self.stripe, segment, position, epoch);
        let (fault, ours, resume) = match (stale, next) {
            (Some(fault), _) => (fault, false, position),
            (None, Some(next)) if header.seq > next => {
                let found = header.seq.0;
                (FrameFault::Skipped { found }, true, position)
            }
            (None, Some(next)) if header.seq < next => {
                let (found, expected) = (header.seq.0, next.0);
                let field = "number";
                let fault = FrameFault::Stale {
                    field,
                    found,
                    expected,
                };
                (fault, false, position)
            }
            (None, _) => {
                let len = frame_bytes(header.body_bytes as usize);
                let bytes = self.bytes(at, position, len)?;
                match Frame::check(header, bytes) {
                    Ok(_) => return Ok(Look::Valid(header)),
                    // Behind its body, which may hold anything, even a copy of another frame.
                    Err(fault) => (fault, true, position.saturating_add(len as u32)),
                }
            }
        };
        Ok(Look::Bad {
            fault,
            ours,
            resume,
        })
    }

    /// Searches all that lies behind the missing frame for a later one.
    fn search(&mut self, resume: u32) -> Result<Search, WalkError> {
        let mut search = Search::default();
        let first = self.at;
        for at in first..self.segments.len() {
            let mut start = resume;
            if at > first {
                self.check_header(at)?;
                start = SEGMENT_HEADER_BYTES as u32;
            }
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
                    search.later = true;
                    step = len as u32;
                    if header.durable >= missing {
                        search.witness = Some((header.seq, segment, position));
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
fn stale(
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
fn resembles(head: &[u8], segment: SegmentSeq, next: Option<FrameSeq>) -> bool {
    const MAGIC: &[u8] = b"CLFR";
    let holds = |at: usize, value: u64| {
        value != 0 && head.get(at..at + 8) == Some(value.to_le_bytes().as_slice())
    };
    let torn_magic = (1..=MAGIC.len()).any(|len| {
        head.starts_with(&MAGIC[..len]) && (len == 4 || head[len..].iter().all(|&byte| byte == 0))
    });
    torn_magic || holds(24, segment.0) || next.is_some_and(|next| holds(16, next.0))
}
