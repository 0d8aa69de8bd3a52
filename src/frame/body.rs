//! Reading and writing the fields of a body.

use super::HEADER_BYTES;
use super::split::{Fault, Frame, Kind, ProtocolError};

/// Reads a frame's body field by field. A body may be shorter than its kind demands where the
/// frame was not made by [`super::split`]: that is an error here too.
pub(super) struct BodyReader<'a> {
    frame: Frame<'a>,
    at: usize,
}

impl<'a> BodyReader<'a> {
    #[inline]
    pub(super) fn new(frame: Frame<'a>) -> BodyReader<'a> {
        BodyReader {
            frame,
            at: HEADER_BYTES.min(frame.bytes.len()),
        }
    }

    /// The byte that is read next, counted from the frame's start.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let Some(field) = self.frame.bytes[self.at..].first_chunk::<N>() else {
            return Err(self.length_error());
        };
        self.at += N;
        Ok(*field)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, ProtocolError> {
        Ok(self.array::<1>()?[0])
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, ProtocolError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, ProtocolError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, ProtocolError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(super) fn i64(&mut self) -> Result<i64, ProtocolError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Everything that is left, as text.
    pub(super) fn text(self, field: &'static str) -> Result<&'a str, ProtocolError> {
        match std::str::from_utf8(&self.frame.bytes[self.at..]) {
            Ok(text) => Ok(text),
            Err(error) => Err(ProtocolError {
                position: self.at + error.valid_up_to(),
                fault: Fault::Utf8(field),
            }),
        }
    }

    /// The value just read, `bytes` long, means nothing.
    pub(super) fn value_error(
        &self,
        field: &'static str,
        bytes: usize,
        value: u64,
    ) -> ProtocolError {
        ProtocolError {
            position: self.at - bytes,
            fault: Fault::Value { field, value },
        }
    }

    /// Nothing may follow a body of fixed length.
    #[inline]
    pub(super) fn end(self) -> Result<(), ProtocolError> {
        if self.at == self.frame.bytes.len() {
            Ok(())
        } else {
            Err(self.length_error())
        }
    }

    #[cold]
    fn length_error(&self) -> ProtocolError {
        let allowed = self.frame.kind.body_bytes();
        ProtocolError {
            position: self.at,
            fault: Fault::BodyLength {
                kind: self.frame.kind,
                body_bytes: self.frame.bytes.len().saturating_sub(HEADER_BYTES),
                min: *allowed.start(),
                max: *allowed.end(),
            },
        }
    }
}

/// Fills a frame of fixed length from its start.
pub(super) struct FixedWriter<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> FixedWriter<N> {
    #[inline]
    pub(super) fn new(kind: Kind) -> FixedWriter<N> {
        let mut writer = FixedWriter {
            bytes: [0; N],
            at: 0,
        };
        writer.put(&length_field(N - HEADER_BYTES));
        writer.put(&[kind as u8]);
        writer
    }

    #[inline]
    pub(super) fn put(&mut self, field: &[u8]) {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
    }

    #[inline]
    pub(super) fn finish(self) -> [u8; N] {
        debug_assert_eq!(self.at, N, "every byte of a fixed frame is written");
        self.bytes
    }
}

/// A frame's length field for a body of this many bytes.
#[inline]
pub(super) fn length_field(body_bytes: usize) -> [u8; 4] {
    let length = u32::try_from(body_bytes + 1).expect("bodies are bounded far below 4 GiB");
    length.to_le_bytes()
}

/// Cuts a text to at most `bytes_max` bytes, at a character's end.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
