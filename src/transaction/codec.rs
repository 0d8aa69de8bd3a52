//! The byte format of a transaction, version 1.
//!
//! One byte of format version, then the fields in order as bincode 2 writes them with its standard
//! configuration: little endian, integers as varints. `docs/transactions.md` has it byte by byte,
//! and the files in `tests/fixtures/transaction_v1/` pin it: what was written once is readable for
//! ever.
//!
//! Owns: the only use of bincode. Never does: allocate while decoding, trust a length. An encoding
//! is unique: decoding refuses integers that are not in their shortest form, so equal transactions
//! have equal bytes.

use bincode::config::Configuration;
use bincode::de::BorrowDecode;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};

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
const CONFIG: Configuration = bincode::config::standard();

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
    let mut fields = Fields { bytes, at: 0 };
    let version: u8 = fields.take(Field::Version)?;
    if version != FORMAT_VERSION {
        return Err(CodecError::Version { found: version });
    }
    let id: &[u8] = fields.take(Field::Id)?;
    id::check_length(id)?;
    let latitude: f64 = fields.take(Field::Latitude)?;
    let longitude: f64 = fields.take(Field::Longitude)?;
    let client_location = GeoLocation::new(latitude, longitude)?;
    let submitted_at = UnixMicros(fields.take(Field::SubmittedAt)?);
    let amount: Option<u64> = fields.take(Field::Amount)?;
    let payload: &[u8] = fields.take(Field::Payload)?;
    check_payload(payload, payload_bytes_max)?;
    if fields.at != bytes.len() {
        return Err(CodecError::Trailing {
            at: fields.at,
            bytes: bytes.len() - fields.at,
        });
    }
    let transaction = TransactionRef {
        id,
        client_location,
        submitted_at,
        amount,
        payload,
    };
    // Every longer form of an integer shows in the total, so one comparison covers all of them.
    let shortest = encoded_len(&transaction);
    if shortest != bytes.len() {
        return Err(CodecError::NotShortest {
            bytes: bytes.len(),
            shortest,
        });
    }
    Ok(transaction)
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

/// Takes one field after the other, so that an error can name the field and its place.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    #[inline]
    fn take<T: BorrowDecode<'a, ()>>(&mut self, field: Field) -> Result<T, CodecError> {
        // `at` never passes the end: it only advances by what bincode consumed of the rest.
        match bincode::borrow_decode_from_slice(&self.bytes[self.at..], CONFIG) {
            Ok((value, consumed)) => {
                self.at += consumed;
                Ok(value)
            }
            Err(error) => Err(self.explain(field, &error)),
        }
    }

    #[cold]
    fn explain(&self, field: Field, error: &DecodeError) -> CodecError {
        if matches!(error, DecodeError::UnexpectedEnd { .. }) {
            return CodecError::Truncated {
                field,
                at: self.at,
                end: self.bytes.len(),
            };
        }
        CodecError::Malformed { field, at: self.at }
    }
}
