//! Kafka's primitive types, read from bytes that nobody has checked.
//!
//! Owns: the layout of numbers, strings, bytes, counts and tagged fields. Never does: allocation; a
//! panic, whatever the bytes. Runs on: any thread; the hot path, per request.

use uuid::Uuid;

use crate::wire::api::Encoding;

/// The longest string of Kafka's, in bytes, however its length is written.
pub(super) const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Why bytes are not what their API and version say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad {field} at byte {at}")]
pub struct Malformed {
    /// Which field.
    pub field: &'static str,
    /// Where it begins, in bytes from the start of what was read.
    pub at: usize,
}

/// Reads one field after another. Each read names its field, for the error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from `at` on; positions count from the start of `bytes`.
    #[inline]
    pub(super) const fn new(bytes: &'a [u8], at: usize, encoding: Encoding) -> Reader<'a> {
        Reader {
            bytes,
            at,
            encoding,
        }
    }

    /// Bytes read, and those before the start.
    #[inline]
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// The next `length` bytes, whatever they are.
    #[inline]
    pub(super) fn skip(
        &mut self,
        length: usize,
        field: &'static str,
    ) -> Result<&'a [u8], Malformed> {
        let bytes = self
            .bytes
            .get(self.at..)
            .and_then(|rest| rest.get(..length))
            .ok_or(Malformed { field, at: self.at })?;
        self.at += length;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let bytes = self.skip(N, field)?;
        Ok(bytes
            .try_into()
            .expect("a slice of N bytes is an array of N bytes"))
    }

    #[inline]
    pub(super) fn i8(&mut self, field: &'static str) -> Result<i8, Malformed> {
        self.array(field).map(i8::from_be_bytes)
    }

    #[inline]
    pub(super) fn i16(&mut self, field: &'static str) -> Result<i16, Malformed> {
        self.array(field).map(i16::from_be_bytes)
    }

    #[inline]
    pub(super) fn i32(&mut self, field: &'static str) -> Result<i32, Malformed> {
        self.array(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, Malformed> {
        self.array(field).map(i64::from_be_bytes)
    }

    #[inline]
    pub(super) fn uuid(&mut self, field: &'static str) -> Result<Uuid, Malformed> {
        self.array(field).map(Uuid::from_bytes)
    }

    /// An unsigned number of variable length: 7 bits a byte, low bits first, 32 bits at the most.
    #[inline]
    pub(super) fn unsigned(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let at = self.at;
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array(field)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| Malformed { field, at });
            }
        }
        Err(Malformed { field, at })
    }

    /// A length or count that is not null.
    #[inline]
    fn present<T>(length: Option<T>, field: &'static str, at: usize) -> Result<T, Malformed> {
        length.ok_or(Malformed { field, at })
    }

    /// A length as the encoding has it; nothing for null. `fixed` reads one of fixed width.
    #[inline]
    fn length(
        &mut self,
        field: &'static str,
        fixed: impl FnOnce(&mut Reader<'a>) -> Result<i32, Malformed>,
    ) -> Result<Option<usize>, Malformed> {
        let at = self.at;
        match self.encoding {
            Encoding::Flexible => Ok(self
                .unsigned(field)?
                .checked_sub(1)
                .map(|length| length as usize)),
            Encoding::Fixed => match fixed(self)? {
                -1 => Ok(None),
                length => usize::try_from(length)
                    .map(Some)
                    .map_err(|_| Malformed { field, at }),
            },
        }
    }

    /// A string that may be null.
    #[inline]
    pub(super) fn nullable_string(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'a str>, Malformed> {
        let at = self.at;
        let Some(length) = self.length(field, |reader| reader.i16(field).map(i32::from))? else {
            return Ok(None);
        };
        if length > STRING_BYTES_MAX {
            return Err(Malformed { field, at });
        }
        let bytes = self.skip(length, field)?;
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Malformed { field, at })
    }

    /// A string.
    #[inline]
    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a str, Malformed> {
        let at = self.at;
        Self::present(self.nullable_string(field)?, field, at)
    }

    /// Bytes that may be null.
    #[inline]
    pub(super) fn nullable_bytes(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        match self.length(field, |reader| reader.i32(field))? {
            None => Ok(None),
            Some(length) => self.skip(length, field).map(Some),
        }
    }

    /// Bytes.
    #[inline]
    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let at = self.at;
        Self::present(self.nullable_bytes(field)?, field, at)
    }

    /// How many elements an array has, if it is not null. Every element takes a byte at least, so a
    /// count beyond the bytes that are left is refused here, before anybody relies on it.
    #[inline]
    pub(super) fn nullable_count(&mut self, field: &'static str) -> Result<Option<u32>, Malformed> {
        let at = self.at;
        let Some(count) = self.length(field, |reader| reader.i32(field))? else {
            return Ok(None);
        };
        if count > self.bytes.len() - self.at {
            return Err(Malformed { field, at });
        }
        u32::try_from(count)
            .map(Some)
            .map_err(|_| Malformed { field, at })
    }

    /// How many elements an array has.
    #[inline]
    pub(super) fn count(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let at = self.at;
        Self::present(self.nullable_count(field)?, field, at)
    }

    /// Skips the tagged fields that end a structure, if its encoding has them: how many there were.
    #[inline]
    pub(super) fn tagged_fields(&mut self) -> Result<u32, Malformed> {
        const FIELD: &str = "tagged fields";
        if self.encoding == Encoding::Fixed {
            return Ok(0);
        }
        let count = self.unsigned(FIELD)?;
        for _ in 0..count {
            let at = self.at;
            // Tags are signed numbers that are not negative, in Kafka's own code too.
            if i32::try_from(self.unsigned(FIELD)?).is_err() {
                return Err(Malformed { field: FIELD, at });
            }
            let length = self.unsigned(FIELD)?;
            self.skip(length as usize, FIELD)?;
        }
        Ok(count)
    }

    /// Checks that nothing is left.
    #[inline]
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(Malformed {
            field: "end of the request",
            at: self.at,
        })
    }
}
