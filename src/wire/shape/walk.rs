//! The walk over a body along its shape.

use crate::wire::api;
use crate::wire::reader::{Malformed, Reader};
use crate::wire::shape::{self, Field, Kind};

/// A decoded request takes at most this many times its body, and [`DECODED_BYTES_FREE`].
///
/// Structures of many short fields are larger in memory than on the wire: a string of one byte is two
/// bytes long and takes 32. With names of five bytes, no request takes more than 17 times its length.
pub const DECODED_BYTES_FACTOR: usize = 24;

/// Bytes that any request may take, however short, so that small ones need not be judged.
pub const DECODED_BYTES_FREE: usize = 64 * 1024;

/// Memory of a string, of bytes, and of an array, in the library's structures.
const STRING_MEMORY: usize = 32;
const ARRAY_MEMORY: usize = 24;

/// Memory of a structure besides its fields: its map of unknown tagged fields, and room for a field
/// that only versions have which are not served.
const STRUCT_MEMORY: usize = 24 + 16;

/// Memory of a map's first node, and of each tagged field in nodes that are half full.
const TAGS_MEMORY: usize = 448;
const TAG_MEMORY: usize = 96;

/// Why a body is not a request of its API and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// There is no shape for the API.
    #[error("API key {0} has no shape")]
    UnknownApi(i16),
    /// The bytes are not what the version says.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Decoded, it would take more memory than a request of its length may.
    #[error("the request decodes to more than {limit} bytes")]
    TooLarge {
        /// What a request of its length may take.
        limit: usize,
    },
}

/// Checks that `body` holds a whole request of that API and version: returns a bound of the memory that
/// it takes decoded, in bytes. Takes time in proportion to the body's length, whatever it says.
///
/// # Errors
/// A field that is cut short or has an impossible value, or a request that would take too much memory.
/// Bytes after the last field are let pass, as Kafka does: librdkafka 2.12 sends one too many with
/// Metadata of version 13.
pub fn check(api_key: i16, version: i16, body: &[u8]) -> Result<usize, ShapeError> {
    let unknown = ShapeError::UnknownApi(api_key);
    let fields = shape::fields(api_key).ok_or(unknown)?;
    let encoding = api::encoding(api_key, version).ok_or(unknown)?;
    let mut walk = Walk {
        reader: Reader::new(body, 0, encoding),
        version,
        memory: 0,
        limit: body
            .len()
            .saturating_mul(DECODED_BYTES_FACTOR)
            .saturating_add(DECODED_BYTES_FREE),
    };
    walk.structure(fields)?;
    Ok(walk.memory)
}

struct Walk<'a> {
    reader: Reader<'a>,
    version: i16,
    /// What the request takes decoded, at most.
    memory: usize,
    limit: usize,
}

impl Walk<'_> {
    fn take_memory(&mut self, bytes: usize) -> Result<(), ShapeError> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > self.limit {
            return Err(ShapeError::TooLarge { limit: self.limit });
        }
        Ok(())
    }

    /// The fields, and the tagged fields that follow them. Depth is that of the shape, which is data
    /// of this program.
    fn structure(&mut self, fields: &'static [Field]) -> Result<(), ShapeError> {
        self.take_memory(STRUCT_MEMORY + fields.iter().map(memory).sum::<usize>())?;
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            self.field(field)?;
        }
        match self.reader.tagged_fields()? {
            0 => Ok(()),
            tags => self.take_memory(TAGS_MEMORY + TAG_MEMORY.saturating_mul(tags as usize)),
        }
    }

    fn field(&mut self, field: &'static Field) -> Result<(), ShapeError> {
        let name = field.name;
        match field.kind {
            Kind::Number(width) => {
                self.reader.skip(width, name)?;
            }
            Kind::String if self.may_be_null(field) => {
                self.reader.nullable_string(name)?;
            }
            Kind::String => {
                self.reader.string(name)?;
            }
            Kind::Bytes if self.may_be_null(field) => {
                self.reader.nullable_bytes(name)?;
            }
            Kind::Bytes => {
                self.reader.bytes(name)?;
            }
            Kind::Numbers(width) => {
                let count = self.count(field)?;
                let bytes = count.saturating_mul(width);
                self.reader.skip(bytes, name)?;
                self.take_memory(bytes)?;
            }
            Kind::Strings => {
                for _ in 0..self.count(field)? {
                    self.reader.string(name)?;
                    self.take_memory(STRING_MEMORY)?;
                }
            }
            Kind::Structs(fields) => {
                for _ in 0..self.count(field)? {
                    self.structure(fields)?;
                }
            }
            Kind::OptionalStruct(fields) => self.optional(fields, name)?,
        }
        Ok(())
    }

    fn may_be_null(&self, field: &Field) -> bool {
        field.nullable_since <= self.version
    }

    fn count(&mut self, field: &Field) -> Result<usize, ShapeError> {
        let count = if self.may_be_null(field) {
            self.reader.nullable_count(field.name)?.unwrap_or(0)
        } else {
            self.reader.count(field.name)?
        };
        Ok(count as usize)
    }

    /// One byte says whether the structure is there: 1, or -1 for null.
    fn optional(&mut self, fields: &'static [Field], name: &'static str) -> Result<(), ShapeError> {
        let at = self.reader.at();
        match self.reader.i8(name)? {
            -1 => Ok(()),
            1 => self.structure(fields),
            _ => Err(Malformed { field: name, at }.into()),
        }
    }
}

/// What a field takes within its structure, room for alignment included.
fn memory(field: &Field) -> usize {
    match field.kind {
        Kind::Number(width) => width.next_multiple_of(size_of::<u64>()),
        Kind::String | Kind::Bytes => STRING_MEMORY,
        Kind::Numbers(_) | Kind::Strings | Kind::Structs(_) => ARRAY_MEMORY,
        // Boxed or in place: no larger than its own fields, which the walk adds when it is there.
        Kind::OptionalStruct(fields) => STRUCT_MEMORY + fields.iter().map(memory).sum::<usize>(),
    }
}
