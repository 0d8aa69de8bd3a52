//! Frames out of a segment's bytes, with everything in them checked.
//!
//! Owns: what makes a frame valid on its own. Never does: deciding what an invalid one means
//! (that is [`crate::log::walk`]); changes. Runs on: housekeeping threads.

use std::io;

use crate::ids::Offset;
use crate::log::files::Files;
use crate::log::format::{
    ENTRY_HEADER_BYTES, EntryHeader, EntryKind, FRAME_HEADER_BYTES, FormatError, FrameHeader,
    entry_bytes, entry_checksum, frame_bytes,
};
use crate::wire::{BatchError, BatchView};

/// Least number of bytes asked of the device at once.
pub const READ_BYTES: usize = 2 << 20;

/// The one byte of an entry's header that holds nothing.
const RESERVED_AT: usize = 13;

/// Reads a file in large steps and hands out pieces of the buffer.
#[derive(Debug)]
pub struct SegmentReader<'f, F: ?Sized> {
    files: &'f F,
    path: String,
    buffer: Vec<u8>,
    start: u64,
    filled: usize,
}

impl<'f, F: Files + ?Sized> SegmentReader<'f, F> {
    /// A reader with no file open.
    pub fn new(files: &'f F) -> SegmentReader<'f, F> {
        SegmentReader {
            files,
            path: String::new(),
            buffer: Vec::new(),
            start: 0,
            filled: 0,
        }
    }

    /// Reads from `path` from now on.
    pub fn open(&mut self, path: String) {
        self.path = path;
        self.forget();
    }

    /// Drops what was read, so that the next piece comes from the file as it is then.
    pub fn forget(&mut self) {
        self.filled = 0;
    }

    /// `len` bytes from `position` on; fewer where the file ends.
    ///
    /// # Errors
    /// The file is missing or cannot be read.
    pub fn bytes(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let inside =
            position >= self.start && position + len as u64 <= self.start + self.filled as u64;
        if !inside {
            let want = len.max(READ_BYTES);
            if self.buffer.len() < want {
                self.buffer.resize(want, 0);
            }
            self.filled = 0;
            self.start = position;
            self.filled = self
                .files
                .read_at(&self.path, position, &mut self.buffer[..want])?;
        }
        let at = (position - self.start) as usize;
        let end = self.filled.min(at + len);
        Ok(&self.buffer[at..end])
    }
}

/// Why bytes are not the frame that should be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// No header, or a damaged one.
    #[error("{0}")]
    Header(FormatError),
    /// A frame written for another place or by an earlier life of the file.
    #[error("a frame with {field} {found} instead of {expected} lies there")]
    Stale {
        /// What tells.
        field: &'static str,
        /// What it says.
        found: u64,
        /// What it should say.
        expected: u64,
    },
    /// A later frame of the same segment lies there.
    #[error("frame {found} lies there instead")]
    Skipped {
        /// Its number.
        found: u64,
    },
    /// The segment or file ends before the frame does.
    #[error("the frame needs {need} bytes, {have} are left")]
    Short {
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
    /// An entry's header, length or payload is impossible.
    #[error("entry {entry}: {reason}")]
    Entry {
        /// Its place in the frame, from 0.
        entry: u32,
        /// What is wrong.
        reason: String,
    },
    /// The entries' checksums do not give the frame's digest.
    #[error("the digest of {entries} entries does not match")]
    Digest {
        /// How many there are.
        entries: u32,
    },
    /// Bytes that must be zero are not.
    #[error("padding is not zero")]
    Padding,
}

/// A frame whose every byte has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    body: &'a [u8],
}

/// What an entry says.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// A record batch.
    Batch(BatchView<'a>),
    /// The partition's committed position.
    Position(Offset),
    /// A state pair; an empty value removes the key.
    State {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// Nothing.
    Marker,
}

/// A checked entry.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// Its header.
    pub header: EntryHeader,
    /// What it says.
    pub payload: Payload<'a>,
    /// Byte in the segment where the payload starts.
    pub position: u32,
}

impl<'a> Frame<'a> {
    /// Checks a frame: `bytes` are those of the whole frame, its padding included, or as many as
    /// there are.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(header: FrameHeader, bytes: &'a [u8]) -> Result<Frame<'a>, FrameFault> {
        let need = frame_bytes(header.body_bytes as usize);
        let have = bytes.len();
        if have < need {
            return Err(FrameFault::Short { have, need });
        }
        let (body, padding) = bytes[FRAME_HEADER_BYTES..need].split_at(header.body_bytes as usize);
        let mut rest = body;
        let mut digest = 0;
        for entry in 0..header.entries {
            let checksum = take_entry(&mut rest)
                .and_then(|(header, payload)| {
                    check_payload(&header, payload).map(|_| header.checksum)
                })
                .map_err(|reason| FrameFault::Entry { entry, reason })?;
            digest = crc32c::crc32c_append(digest, &checksum.to_le_bytes());
        }
        if digest != header.digest || !rest.is_empty() {
            return Err(FrameFault::Digest {
                entries: header.entries,
            });
        }
        if padding.iter().any(|&byte| byte != 0) {
            return Err(FrameFault::Padding);
        }
        Ok(Frame { header, body })
    }

    /// The frame again, of bytes that [`Frame::check`] has accepted.
    pub(super) fn checked(header: FrameHeader, bytes: &'a [u8]) -> Frame<'a> {
        let body = &bytes[FRAME_HEADER_BYTES..][..header.body_bytes as usize];
        Frame { header, body }
    }

    /// Its entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let body = self.body;
        let start = self.header.position + FRAME_HEADER_BYTES as u32;
        let mut rest = body;
        std::iter::from_fn(move || {
            let at = body.len() - rest.len();
            // Cannot fail on checked bytes; ends after the last entry.
            let (header, bytes) = take_entry(&mut rest).ok()?;
            Some(Entry {
                header,
                payload: payload(&header, bytes, BatchView::parse_trusted).ok()?,
                position: start + (at + ENTRY_HEADER_BYTES) as u32,
            })
        })
    }

    /// Bytes that it takes on the device.
    pub const fn bytes(&self) -> u32 {
        frame_bytes(self.header.body_bytes as usize) as u32
    }
}

/// Splits the entry at the start of `rest` off it.
fn take_entry<'a>(rest: &mut &'a [u8]) -> Result<(EntryHeader, &'a [u8]), String> {
    let header = EntryHeader::decode(rest).map_err(|error| error.to_string())?;
    let need = entry_bytes(header.payload_bytes as usize);
    let Some((entry, tail)) = rest.split_at_checked(need) else {
        return Err(format!("it needs {need} bytes, {} are left", rest.len()));
    };
    let (payload, padding) = entry[ENTRY_HEADER_BYTES..].split_at(header.payload_bytes as usize);
    // The checksum is over the header's fields, and this byte is in none of them.
    if entry[RESERVED_AT] != 0 || padding.iter().any(|&byte| byte != 0) {
        return Err("padding is not zero".into());
    }
    *rest = tail;
    Ok((header, payload))
}

/// Checks an entry's checksum and all that its kind asks for.
pub(super) fn check_payload<'a>(
    header: &EntryHeader,
    bytes: &'a [u8],
) -> Result<Payload<'a>, String> {
    if entry_checksum(header, bytes) != header.checksum {
        return Err("checksum does not match".into());
    }
    payload(header, bytes, BatchView::parse)
}

fn payload<'a>(
    header: &EntryHeader,
    bytes: &'a [u8],
    parse: fn(&'a [u8]) -> Result<BatchView<'a>, BatchError>,
) -> Result<Payload<'a>, String> {
    match header.kind {
        EntryKind::Batch => {
            let view = parse(bytes).map_err(|error| error.to_string())?;
            if view.bytes().len() != bytes.len() {
                return Err("its batch is shorter than its payload".into());
            }
            Ok(Payload::Batch(view))
        }
        EntryKind::Position => {
            let position = bytes.try_into().map(i64::from_le_bytes);
            match position {
                Ok(position) if position >= 0 => Ok(Payload::Position(Offset(position))),
                Ok(position) => Err(format!("position {position} is negative")),
                Err(_) => Err(format!("a position of {} bytes", bytes.len())),
            }
        }
        EntryKind::State => {
            let (key, value) =
                bytes
                    .split_at_checked(header.key_bytes.into())
                    .ok_or_else(|| {
                        format!("a key of {} bytes in a shorter payload", header.key_bytes)
                    })?;
            Ok(Payload::State { key, value })
        }
        EntryKind::Marker => Ok(Payload::Marker),
    }
}
