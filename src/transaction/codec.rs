//! The byte format of a transaction, version 1.
//!
//! One byte of format version, then the fields in order as bincode 2 writes them with its standard
//! configuration: little endian, integers as varints. `docs/transactions.md` has it byte by byte,
//! and the files in `tests/fixtures/transaction_v1/` pin it: what was written once is readable for
//! ever.
//!
//! Every transaction is decoded twice, by the core that takes it in and by the one that processes
//! it, so decoding is written by hand, field by field, at a fifth of the instructions that bincode
//! takes for it. The tests hold it to bincode's own verdict on any bytes.
//!
//! Owns: the only use of bincode. Never does: allocate while decoding, trust a length. An encoding
//! is unique: decoding refuses integers that are not in their shortest form, so equal transactions
//! have equal bytes.

use bincode::config::Configuration;
use bincode::enc::write::Writer;
use bincode::error::EncodeError;

use super::{TransactionError, TransactionRef, id};
use crate::ids::UnixMicros;
use crate::limits::{PAYLOAD_BYTES_MAX, TRANSACTION_ID_BYTES_MAX, TRANSACTION_OVERHEAD_BYTES_MAX};
use crate::location::{GeoLocation, LocationError};

/// The version that is written, and the only one that is read.
pub const FORMAT_VERSION: u8 = 1;

/// The most bytes that a transaction with a payload of this length takes.
pub const fn encoded_len_max(payload_bytes: usize) -> usize {
    TRANSACTION_OVERHEAD_BYTES_MAX + TRANSACTION_ID_BYTES_MAX + payload_bytes
}

/// Fixed: little endian, varints, and no limit of bincode's own (every length is checked against
/// the input, and nothing is allocated).
pub(super) const CONFIG: Configuration = bincode::config::standard();

/// First bytes of an integer that does not fit one: so many bytes follow. Smaller ones are the
/// integer itself, larger ones mean nothing.
const TWO_FOLLOW: u8 = 251;
const FOUR_FOLLOW: u8 = 252;
const EIGHT_FOLLOW: u8 = 253;

/// Where the id starts: after the version and the id's length, which is below 251 and therefore
/// one byte in its shortest form.
const ID_START: u32 = 2;
const _: () = assert!(TRANSACTION_ID_BYTES_MAX < 251);

/// A field of the format, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The format version.
    Version,
    /// Length and bytes of the id.
    Id,
    /// Degrees north.
    Latitude,
    /// Degrees east.
    Longitude,
    /// Microseconds since the Unix epoch.
    SubmittedAt,
    /// Whether there is an amount, and the amount.
    Amount,
    /// Length and bytes of the payload.
    Payload,
}

impl Field {
    /// The name used in JSON, documents and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Version => "version",
            Field::Id => "id",
            Field::Latitude => "latitude",
            Field::Longitude => "longitude",
            Field::SubmittedAt => "submitted_at",
            Field::Amount => "amount",
            Field::Payload => "payload",
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes are no transaction.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum CodecError {
    /// Written by another version.
    #[error("format version {found} is unknown; allowed: {FORMAT_VERSION}")]
    Version {
        /// The first byte.
        found: u8,
    },
    /// The input ends before the field does.
    #[error("{field}, which starts at byte {at}, runs past the end of the input at byte {end}")]
    Truncated {
        /// The field.
        field: Field,
        /// Where it starts.
        at: usize,
        /// Length of the input.
        end: usize,
    },
    /// The field is not what the format allows there.
    #[error("{field} at byte {at} is not encoded as the format says")]
    Malformed {
        /// The field.
        field: Field,
        /// Where it starts.
        at: usize,
    },
    /// Some integer takes more bytes than it needs.
    #[error("encoded in {bytes} bytes where {shortest} suffice; allowed: the shortest form")]
    NotShortest {
        /// Length of the input.
        bytes: usize,
        /// Length of the same transaction in its one valid encoding.
        shortest: usize,
    },
    /// Bytes follow the last field.
    #[error("{bytes} bytes follow the end of the transaction at byte {at}")]
    Trailing {
        /// Where the transaction ends.
        at: usize,
        /// How many follow.
        bytes: usize,
    },
    /// A coordinate is no coordinate; names the field.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Id or payload break a bound; names the field.
    #[error(transparent)]
    Bound(#[from] TransactionError),
}

/// Where the id lies within the bytes of its encoded transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange {
    /// Its first byte.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
}

/// Where the id of `transaction` lies in the bytes that it was decoded from or encoded to.
#[inline]
pub fn key_range(transaction: &TransactionRef<'_>) -> KeyRange {
    debug_assert!(id::check_length(transaction.id).is_ok());
    KeyRange {
        start: ID_START,
        // Below 251 in everything that was decoded or encoded.
        len: transaction.id.len() as u32,
    }
}

/// Bytes that bincode's varint takes for `value`, in its shortest form.
const fn varint_len(value: u64) -> usize {
    match value {
        0..=250 => 1,
        251..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        0x1_0000_0000..=u64::MAX => 9,
    }
}

/// The exact length of the encoded transaction.
#[inline]
pub fn encoded_len(transaction: &TransactionRef<'_>) -> usize {
    let submitted_at = transaction.submitted_at.0;
    // Signed integers are written in zigzag order: 0, -1, 1, -2, ...
    let zigzag = ((submitted_at << 1) ^ (submitted_at >> 63)) as u64;
    1 + varint_len(transaction.id.len() as u64)
        + transaction.id.len()
        + 2 * size_of::<f64>()
        + varint_len(zigzag)
        + 1
        + transaction.amount.map_or(0, varint_len)
        + varint_len(transaction.payload.len() as u64)
        + transaction.payload.len()
}

/// Appends to a vector. bincode's own writer for `std::io::Write` wraps errors that cannot occur.
struct Append<'a>(&'a mut Vec<u8>);

impl Writer for Append<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends the encoded transaction to `out`. Allocates only where `out` has less than
/// [`encoded_len`] bytes of room.
///
/// # Errors
/// The id's or the payload's length is out of bounds; `out` is unchanged.
#[inline]
pub fn encode(transaction: &TransactionRef<'_>, out: &mut Vec<u8>) -> Result<(), TransactionError> {
    id::check_length(transaction.id)?;
    check_payload(transaction.payload, PAYLOAD_BYTES_MAX)?;
    out.reserve(encoded_len(transaction));
    let fields = (
        FORMAT_VERSION,
        transaction.id,
        transaction.client_location.latitude(),
        transaction.client_location.longitude(),
        transaction.submitted_at.0,
        transaction.amount,
        transaction.payload,
    );
    bincode::encode_into_writer(fields, Append(out), CONFIG)
        .expect("numbers and byte slices always encode, and appending to a vector never fails");
    Ok(())
}

/// Decodes bytes that hold exactly one transaction, whose payload may have up to
/// [`PAYLOAD_BYTES_MAX`] bytes. The result borrows from `bytes`; nothing is copied or allocated.
///
/// # Errors
/// Any input that [`encode`] does not produce; names the field or the byte.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<TransactionRef<'_>, CodecError> {
    decode_bounded(bytes, PAYLOAD_BYTES_MAX)
}

/// As [`decode`], with the payload bounded by `payload_bytes_max`.
///
/// # Errors
/// As [`decode`]; [`TransactionError::PayloadLength`] for a payload above the bound.
#[inline]
pub fn decode_bounded(
    bytes: &[u8],
    payload_bytes_max: usize,
) -> Result<TransactionRef<'_>, CodecError> {
    let mut fields = Fields {
        rest: bytes,
        end: bytes.len(),
        excess: 0,
    };
    let version = fields.byte(Field::Version)?;
    if version != FORMAT_VERSION {
        return Err(CodecError::Version { found: version });
    }
    let id = fields.bytes(Field::Id)?;
    id::check_length(id)?;
    let latitude = fields.float(Field::Latitude)?;
    let longitude = fields.float(Field::Longitude)?;
    let client_location = GeoLocation::new(latitude, longitude)?;
    let submitted_at = UnixMicros(fields.signed(Field::SubmittedAt)?);
    let amount = fields.optional(Field::Amount)?;
    let payload = fields.bytes(Field::Payload)?;
    check_payload(payload, payload_bytes_max)?;
    if !fields.rest.is_empty() {
        return Err(CodecError::Trailing {
            at: fields.at(),
            bytes: fields.rest.len(),
        });
    }
    if fields.excess > 0 {
        return Err(CodecError::NotShortest {
            bytes: bytes.len(),
            shortest: bytes.len() - fields.excess,
        });
    }
    Ok(TransactionRef {
        id,
        client_location,
        submitted_at,
        amount,
        payload,
    })
}

#[inline]
fn check_payload(payload: &[u8], bytes_max: usize) -> Result<(), TransactionError> {
    if payload.len() > bytes_max {
        return Err(TransactionError::PayloadLength {
            bytes: payload.len(),
            bytes_max,
        });
    }
    Ok(())
}

/// Takes one field after the other, so that an error can name the field and its place. All of it is
/// inlined by force: what a call costs is more than most fields do.
struct Fields<'a> {
    /// What is not taken yet.
    rest: &'a [u8],
    /// Length of the input.
    end: usize,
    /// Bytes by which the integers so far are longer than their shortest forms.
    excess: usize,
}

impl<'a> Fields<'a> {
    /// Where `rest` starts.
    #[inline(always)]
    fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    /// So many bytes of the field that starts at `at`.
    #[inline(always)]
    fn array<const N: usize>(&mut self, field: Field, at: usize) -> Result<[u8; N], CodecError> {
        let Some((array, rest)) = self.rest.split_first_chunk() else {
            return Err(self.truncated(field, at));
        };
        self.rest = rest;
        Ok(*array)
    }

    #[inline(always)]
    fn byte(&mut self, field: Field) -> Result<u8, CodecError> {
        self.array(field, self.at()).map(|[byte]| byte)
    }

    #[inline(always)]
    fn float(&mut self, field: Field) -> Result<f64, CodecError> {
        self.array(field, self.at()).map(f64::from_le_bytes)
    }

    /// The integer in the field that starts at `at`.
    #[inline(always)]
    fn integer(&mut self, field: Field, at: usize) -> Result<u64, CodecError> {
        let [first] = self.array(field, at)?;
        let (value, len) = match first {
            0..TWO_FOLLOW => return Ok(first.into()),
            TWO_FOLLOW => (u16::from_le_bytes(self.array(field, at)?).into(), 3),
            FOUR_FOLLOW => (u32::from_le_bytes(self.array(field, at)?).into(), 5),
            EIGHT_FOLLOW => (u64::from_le_bytes(self.array(field, at)?), 9),
            254..=u8::MAX => return Err(malformed(field, at)),
        };
        self.excess += len - varint_len(value);
        Ok(value)
    }

    /// From zigzag order.
    #[inline(always)]
    fn signed(&mut self, field: Field) -> Result<i64, CodecError> {
        let zigzag = self.integer(field, self.at())?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    #[inline(always)]
    fn optional(&mut self, field: Field) -> Result<Option<u64>, CodecError> {
        let at = self.at();
        match self.byte(field)? {
            0 => Ok(None),
            1 => self.integer(field, at).map(Some),
            2..=u8::MAX => Err(malformed(field, at)),
        }
    }

    /// A length, then as many bytes.
    #[inline(always)]
    fn bytes(&mut self, field: Field) -> Result<&'a [u8], CodecError> {
        let at = self.at();
        let len = self.integer(field, at)?;
        let len = usize::try_from(len).map_err(|_| malformed(field, at))?;
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(field, at));
        };
        self.rest = rest;
        Ok(bytes)
    }

    #[cold]
    fn truncated(&self, field: Field, at: usize) -> CodecError {
        let end = self.end;
        CodecError::Truncated { field, at, end }
    }
}

#[cold]
fn malformed(field: Field, at: usize) -> CodecError {
    CodecError::Malformed { field, at }
}
