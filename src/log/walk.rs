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

mod search;

use std::io;

use crate::ids::{FrameSeq, SegmentSeq, StripeId};
use crate::limits::BLOCK_BYTES;
use crate::log::files::{Files, segment_path};
use crate::log::format::{
    FRAME_HEADER_BYTES, FormatError, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader, frame_bytes,
};
use crate::log::scan::{Frame, FrameFault, SegmentReader};

use search::{Search, resembles, stale};

/// Where a segment's first frame starts.
const FIRST_FRAME: u32 = SEGMENT_HEADER_BYTES as u32;

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
    Torn {
        /// The frame, and where it should start.
        at: Place,
        /// What is there instead.
        fault: FrameFault,
    },
    /// The next frame is missing or invalid although it was durable.
    Damaged {
        /// The frame, and where it should start.
        at: Place,
        /// What is there instead.
        fault: FrameFault,
        /// The later frame that says so.
        witness: Place,
        /// The first later frame that is valid, whatever it says.
        resume: Place,
    },
}

/// A frame and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub frame: FrameSeq,
    /// Its segment.
    pub segment: SegmentSeq,
    /// Its first byte there.
    pub position: u32,
}

/// One step along the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next frame is valid; [`Walk::frame`] gives it.
    Frame(FrameHeader),
    /// There is no further frame.
    End(Ending),
}

/// What lies at a place.
enum Look {
    Valid(FrameHeader),
    Bad(Bad),
}

/// Something else than the next frame.
struct Bad {
    fault: FrameFault,
    /// Whether it is (part of) the frame looked for or a later one, as far as one can tell.
    ours: bool,
    /// Where the search for later frames starts.
    resume: u32,
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
        let here = match self.look(self.at, self.position)? {
            Look::Valid(header) => return Ok(self.accept(self.at, header)),
            Look::Bad(bad) => bad,
        };
        let following = self.at + 1;
        let mut there = None;
        if following < self.segments.len() {
            self.check_header(following)?;
            there = match self.look(following, FIRST_FRAME)? {
                Look::Valid(header) => return Ok(self.accept(following, header)),
                Look::Bad(bad) => Some(bad),
            };
        }
        if there.as_ref().is_some_and(|bad| bad.ours) {
            self.written_beyond = Some(self.segments[following].0);
        }
        let starts = [
            here.resume,
            there.as_ref().map_or(FIRST_FRAME, |bad| bad.resume),
        ];
        let search = self.search(starts)?;
        Ok(Step::End(self.ending(here, there, &search)))
    }

    fn ending(&self, here: Bad, there: Option<Bad>, search: &Search) -> Ending {
        let mut place = Place {
            frame: self.next_frame(),
            segment: self.segment(),
            position: self.position,
        };
        let mut bad = here;
        if let Some(there) = there
            && !bad.ours
            && starts_following(place, &there, search)
        {
            place.segment = SegmentSeq(place.segment.0 + 1);
            place.position = FIRST_FRAME;
            bad = there;
        }
        let (at, fault) = (place, bad.fault);
        match (search.witness, search.later) {
            (Some(witness), later) => Ending::Damaged {
                at,
                fault,
                witness,
                resume: later.unwrap_or(witness),
            },
            (None, later) if bad.ours || later.is_some() => Ending::Torn { at, fault },
            (None, _) => Ending::Clean,
        }
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
                return Ok(Look::Bad(Bad {
                    fault: FrameFault::Header(error),
                    ours,
                    resume: position + BLOCK_BYTES as u32,
                }));
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
        Ok(Look::Bad(Bad {
            fault,
            ours,
            resume,
        }))
    }
}

/// Whether the missing frame, of which nothing is left at `place`, must have been the first one of
/// the following segment: something of it is there, or there is just the room for it.
fn starts_following(place: Place, there: &Bad, search: &Search) -> bool {
    match search.later {
        None => there.ours,
        Some(later) => {
            let missing = later.frame.0 - place.frame.0;
            let blocks = u64::from(later.position - FIRST_FRAME) / BLOCK_BYTES as u64;
            later.segment.0 == place.segment.0 + 1 && missing <= blocks
        }
    }
}
