//! The shapes of the requests that are decoded by a library: what is checked before it sees them.
//!
//! Owns: the description of each request, and the walk that checks bytes against it. Never does:
//! allocation; a panic, whatever the bytes; judge what a field says. Runs on: any thread.
//!
//! A decoder that reserves memory for as many elements as a count says can be made to reserve
//! gigabytes by a few bytes. So no body reaches it before [`check`] has walked all of it: every length
//! and count fits the bytes, strings are UTF-8, nothing follows the last field, and what the decoded
//! request takes is bounded by what was sent. A shape is data, one line per field, as in Kafka's
//! message definitions.

mod groups;
mod node;
mod topics;
mod transactions;
mod walk;

pub use walk::{DECODED_BYTES_FACTOR, DECODED_BYTES_FREE, ShapeError, check};

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number of that many bytes, a boolean, or a UUID.
    Number(usize),
    /// A string.
    String,
    /// Bytes.
    Bytes,
    /// An array of numbers of that many bytes each.
    Numbers(usize),
    /// An array of strings.
    Strings,
    /// An array of structures.
    Structs(&'static [Field]),
    /// A structure that may be missing.
    OptionalStruct(&'static [Field]),
}

/// A field of a request or of a structure in it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in Kafka's definition.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The first version that has it.
    pub since: i16,
    /// The last version that has it.
    pub until: i16,
    /// The first version in which it may be null.
    pub nullable_since: i16,
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        since: 0,
        until: i16::MAX,
        nullable_since: i16::MAX,
    }
}

const fn boolean(name: &'static str) -> Field {
    field(name, Kind::Number(1))
}

const fn int8(name: &'static str) -> Field {
    field(name, Kind::Number(1))
}

const fn int16(name: &'static str) -> Field {
    field(name, Kind::Number(2))
}

const fn int32(name: &'static str) -> Field {
    field(name, Kind::Number(4))
}

const fn int64(name: &'static str) -> Field {
    field(name, Kind::Number(8))
}

const fn uuid(name: &'static str) -> Field {
    field(name, Kind::Number(16))
}

const fn string(name: &'static str) -> Field {
    field(name, Kind::String)
}

const fn bytes(name: &'static str) -> Field {
    field(name, Kind::Bytes)
}

const fn int32s(name: &'static str) -> Field {
    field(name, Kind::Numbers(4))
}

const fn int64s(name: &'static str) -> Field {
    field(name, Kind::Numbers(8))
}

const fn strings(name: &'static str) -> Field {
    field(name, Kind::Strings)
}

const fn structs(name: &'static str, fields: &'static [Field]) -> Field {
    field(name, Kind::Structs(fields))
}

const fn optional_struct(name: &'static str, fields: &'static [Field]) -> Field {
    field(name, Kind::OptionalStruct(fields))
}

impl Field {
    const fn since(mut self, version: i16) -> Field {
        self.since = version;
        self
    }

    const fn until(mut self, version: i16) -> Field {
        self.until = version;
        self
    }

    const fn nullable_since(mut self, version: i16) -> Field {
        self.nullable_since = version;
        self
    }

    /// Whether that version has the field.
    pub const fn is_in(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }
}

/// The fields of a request; nothing for an API that is not decoded by shape.
pub fn fields(api_key: i16) -> Option<&'static [Field]> {
    groups::fields(api_key)
        .or_else(|| topics::fields(api_key))
        .or_else(|| transactions::fields(api_key))
        .or_else(|| node::fields(api_key))
}
