use bincode::de::BorrowDecode;
use bincode::error::DecodeError;
use proptest::prelude::*;

use super::codec::{
    CONFIG, CodecError, FORMAT_VERSION, Field, decode, decode_bounded, encode, encoded_len,
    encoded_len_max, key_range,
};
use super::{Transaction, TransactionError, TransactionId, TransactionRef};
use crate::ids::UnixMicros;
use crate::limits::{PAYLOAD_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_ID_BYTES_MAX};
use crate::location::{GeoLocation, LocationError};

fn place(latitude: f64, longitude: f64) -> GeoLocation {
    GeoLocation::new(latitude, longitude).unwrap()
}

fn example() -> TransactionRef<'static> {
    TransactionRef {
        id: b"tx-1",
        client_location: place(51.5, -0.125),
        submitted_at: UnixMicros(1_700_000_000_000_000),
        amount: Some(1250),
        payload: b"hello",
    }
}

fn encoded(transaction: &TransactionRef<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(transaction, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_bytes_of_version_1_never_change() {
    let id: Vec<u8> = (192..=255).collect();
    let payload: Vec<u8> = (0..300_u32).map(|place| place as u8).collect();
    let smallest = TransactionRef {
        id: b"a",
        client_location: place(0.0, 0.0),
        submitted_at: UnixMicros(0),
        amount: None,
        payload: b"",
    };
    let extremes = TransactionRef {
        id: &id,
        client_location: place(-90.0, 180.0),
        submitted_at: UnixMicros(i64::MIN),
        amount: Some(u64::MAX),
        payload: &payload,
    };
    let golden: [(&[u8], TransactionRef<'_>); 3] = [
        (
            include_bytes!("../../tests/fixtures/transaction_v1/smallest.bin"),
            smallest,
        ),
        (
            include_bytes!("../../tests/fixtures/transaction_v1/example.bin"),
            example(),
        ),
        (
            include_bytes!("../../tests/fixtures/transaction_v1/extremes.bin"),
            extremes,
        ),
    ];
    for (bytes, transaction) in golden {
        assert_eq!(encoded(&transaction), bytes);
        assert_eq!(decode(bytes), Ok(transaction));
        assert_eq!(encoded_len(&transaction), bytes.len());
    }
}

#[test]
fn decoded_id_and_payload_point_into_the_buffer() {
    let bytes = encoded(&example());
    let buffer = bytes.as_ptr_range();
    let transaction = decode(&bytes).unwrap();
    for part in [transaction.id, transaction.payload] {
        let part = part.as_ptr_range();
        assert!(buffer.start <= part.start && part.end <= buffer.end);
    }
}

#[test]
fn the_key_range_is_where_the_id_lies() {
    for id in [&b"a"[..], &[7; TRANSACTION_ID_BYTES_MAX]] {
        let bytes = encoded(&TransactionRef { id, ..example() });
        let key = key_range(&decode(&bytes).unwrap());
        assert_eq!(&bytes[key.start as usize..][..key.len as usize], id);
    }
}

#[test]
fn the_largest_transaction_fits_the_stated_limit() {
    let payload = vec![1; PAYLOAD_BYTES_MAX];
    let largest = TransactionRef {
        id: &[1; TRANSACTION_ID_BYTES_MAX],
        client_location: place(1.0, 1.0),
        submitted_at: UnixMicros(i64::MIN),
        amount: Some(u64::MAX),
        payload: &payload,
    };
    let bytes = encoded(&largest);
    assert!(bytes.len() <= encoded_len_max(payload.len()));
    assert_eq!(encoded_len_max(PAYLOAD_BYTES_MAX), TRANSACTION_BYTES_MAX);
    assert_eq!(decode(&bytes), Ok(largest));
}

#[test]
fn encoding_refuses_what_decoding_would() {
    let too_long = [0; TRANSACTION_ID_BYTES_MAX + 1];
    let payload = vec![0; PAYLOAD_BYTES_MAX + 1];
    let mut out = vec![9];
    for (id, payload, error) in [
        (&b""[..], &b""[..], TransactionError::IdLength { bytes: 0 }),
        (&too_long, b"", TransactionError::IdLength { bytes: 65 }),
        (
            b"a",
            &payload,
            TransactionError::PayloadLength {
                bytes: PAYLOAD_BYTES_MAX + 1,
                bytes_max: PAYLOAD_BYTES_MAX,
            },
        ),
    ] {
        let transaction = TransactionRef {
            id,
            payload,
            ..example()
        };
        assert_eq!(encode(&transaction, &mut out), Err(error));
        assert_eq!(out, [9], "nothing was appended");
    }
}

/// Takes one field after the other by bincode.
struct Oracle<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Oracle<'a> {
    fn take<T: BorrowDecode<'a, ()>>(&mut self, field: Field) -> Result<T, CodecError> {
        let at = self.at;
        match bincode::borrow_decode_from_slice(&self.bytes[at..], CONFIG) {
            Ok((value, consumed)) => {
                self.at += consumed;
                Ok(value)
            }
            Err(DecodeError::UnexpectedEnd { .. }) => {
                let end = self.bytes.len();
                Err(CodecError::Truncated { field, at, end })
            }
            Err(_) => Err(CodecError::Malformed { field, at }),
        }
    }
}

/// What bincode and the rules of the format make of any bytes, in the order of the fields.
fn decode_by_bincode(
    bytes: &[u8],
    payload_bytes_max: usize,
) -> Result<TransactionRef<'_>, CodecError> {
    let mut fields = Oracle { bytes, at: 0 };
    let found: u8 = fields.take(Field::Version)?;
    if found != FORMAT_VERSION {
        return Err(CodecError::Version { found });
    }
    let id: &[u8] = fields.take(Field::Id)?;
    TransactionId::new(id)?;
    let latitude: f64 = fields.take(Field::Latitude)?;
    let longitude: f64 = fields.take(Field::Longitude)?;
    let client_location = GeoLocation::new(latitude, longitude)?;
    let submitted_at = UnixMicros(fields.take(Field::SubmittedAt)?);
    let amount: Option<u64> = fields.take(Field::Amount)?;
    let payload: &[u8] = fields.take(Field::Payload)?;
    if payload.len() > payload_bytes_max {
        return Err(CodecError::Bound(TransactionError::PayloadLength {
            bytes: payload.len(),
            bytes_max: payload_bytes_max,
        }));
    }
    let (at, end) = (fields.at, bytes.len());
    if at != end {
        let bytes = end - at;
        return Err(CodecError::Trailing { at, bytes });
    }
    let transaction = TransactionRef {
        id,
        client_location,
        submitted_at,
        amount,
        payload,
    };
    let shortest = encoded_len(&transaction);
    if shortest != end {
        return Err(CodecError::NotShortest {
            bytes: end,
            shortest,
        });
    }
    Ok(transaction)
}

/// A NaN in an error is not equal to itself; its text is.
fn assert_as_bincode(bytes: &[u8], payload_bytes_max: usize) {
    let found = decode_bounded(bytes, payload_bytes_max);
    let expected = decode_by_bincode(bytes, payload_bytes_max);
    assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{bytes:?}");
}

/// The example with the bytes at `at` replaced by `with`.
fn patched(at: std::ops::Range<usize>, with: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(&example());
    bytes.splice(at, with.iter().copied());
    bytes
}

#[test]
fn bad_input_is_refused_with_the_field_or_the_byte() {
    let no_id = TransactionError::IdLength { bytes: 0 };
    // A length of 65 needs 65 bytes to be there before its bound is looked at.
    let long_id = [&[65][..], &[b'x'; 65]].concat();
    let cases: Vec<(Vec<u8>, CodecError)> = vec![
        (patched(0..1, &[2]), CodecError::Version { found: 2 }),
        (patched(1..6, &[0]), CodecError::Bound(no_id)),
        (
            patched(1..6, &long_id),
            CodecError::Bound(TransactionError::IdLength { bytes: 65 }),
        ),
        (
            patched(6..14, &90.5_f64.to_le_bytes()),
            CodecError::Location(LocationError::Latitude(90.5)),
        ),
        (
            patched(14..22, &f64::INFINITY.to_le_bytes()),
            CodecError::Location(LocationError::Longitude(f64::INFINITY)),
        ),
        (
            patched(31..32, &[2]),
            CodecError::Malformed {
                field: Field::Amount,
                at: 31,
            },
        ),
        (
            patched(35..36, &[6]),
            CodecError::Truncated {
                field: Field::Payload,
                at: 35,
                end: 41,
            },
        ),
        (
            patched(35..36, &[253, 255, 255, 255, 255, 255, 255, 255, 255]),
            CodecError::Truncated {
                field: Field::Payload,
                at: 35,
                end: 49,
            },
        ),
        (
            patched(35..36, &[4]),
            CodecError::Trailing { at: 40, bytes: 1 },
        ),
        (
            patched(35..36, &[251, 5, 0]),
            CodecError::NotShortest {
                bytes: 43,
                shortest: 41,
            },
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(decode(&bytes), Err(error));
        assert_as_bincode(&bytes, PAYLOAD_BYTES_MAX);
    }
    let nan = patched(6..14, &f64::NAN.to_le_bytes());
    let error = decode(&nan).unwrap_err().to_string();
    assert!(error.starts_with("latitude NaN"), "{error}");
}

#[test]
fn the_payload_bound_is_the_callers() {
    let bytes = encoded(&example());
    assert_eq!(decode_bounded(&bytes, 5), Ok(example()));
    let error = TransactionError::PayloadLength {
        bytes: 5,
        bytes_max: 4,
    };
    assert_eq!(decode_bounded(&bytes, 4), Err(CodecError::Bound(error)));
}

#[test]
fn an_id_is_shown_as_text_or_as_hexadecimal() {
    let shown = |id: &[u8]| TransactionId::new(id).unwrap().to_string();
    assert_eq!(shown(b"order 7/a~"), "order 7/a~");
    assert_eq!(shown(b"\x00\xff"), "0x00ff");
    assert_eq!(shown("\u{e9}".as_bytes()), "0xc3a9");
    assert_eq!(shown(b"line\n"), "0x6c696e650a");
}

#[test]
fn ids_of_different_length_differ_even_where_the_rest_is_zero() {
    let short = TransactionId::new(b"a").unwrap();
    let long = TransactionId::new(b"a\0").unwrap();
    assert_ne!(short, long);
    assert!(short < long);
    assert!(TransactionId::new(b"").is_err());
    assert!(TransactionId::new(&[0; TRANSACTION_ID_BYTES_MAX]).is_ok());
}

prop_compose! {
    fn transactions()(
        id in prop::collection::vec(any::<u8>(), 1..=TRANSACTION_ID_BYTES_MAX),
        latitude in -90.0..=90.0_f64,
        longitude in -180.0..=180.0_f64,
        submitted_at in prop_oneof![any::<i64>(), -300..300_i64],
        amount in prop_oneof![Just(None), any::<u64>().prop_map(Some), (0..300_u64).prop_map(Some)],
        payload in prop::collection::vec(any::<u8>(), 0..600),
    ) -> Transaction {
        Transaction {
            id: TransactionId::new(&id).unwrap(),
            client_location: place(latitude, longitude),
            submitted_at: UnixMicros(submitted_at),
            amount,
            payload,
        }
    }
}

proptest! {
    #[test]
    fn what_was_encoded_comes_back(transaction in transactions()) {
        let bytes = encoded(&transaction.borrowed());
        prop_assert_eq!(bytes.len(), encoded_len(&transaction.borrowed()));
        let decoded = decode(&bytes).unwrap();
        prop_assert_eq!(decoded, transaction.borrowed());
        prop_assert_eq!(decoded.to_transaction(), Ok(transaction));
    }

    #[test]
    fn every_truncation_is_refused(transaction in transactions()) {
        let bytes = encoded(&transaction.borrowed());
        for len in 0..bytes.len() {
            prop_assert!(
                matches!(decode(&bytes[..len]), Err(CodecError::Truncated { .. })),
                "the first {} of {} bytes", len, bytes.len()
            );
        }
    }

    #[test]
    fn random_bytes_never_panic_and_decode_only_to_what_encodes_to_them(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        version in prop_oneof![Just(1), any::<u8>()],
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = version;
        }
        assert_as_bincode(&bytes, PAYLOAD_BYTES_MAX);
        if let Ok(transaction) = decode(&bytes) {
            prop_assert_eq!(encoded(&transaction), bytes);
        }
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_gives_a_second_encoding(
        transaction in transactions(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = encoded(&transaction.borrowed());
        let at = at.index(bytes.len());
        bytes[at] = to;
        assert_as_bincode(&bytes, PAYLOAD_BYTES_MAX);
        if let Ok(decoded) = decode(&bytes) {
            prop_assert_eq!(encoded(&decoded), bytes);
        }
    }

    /// Every integer in every form, every tag, cut or drawn out anywhere, under any bound: hand and
    /// bincode agree on what is a transaction, and on what is wrong with it.
    #[test]
    fn decoding_is_what_bincode_does(
        parts in (integer(), place_bytes(), place_bytes(), integer(), 0..4_u8, integer(), integer()),
        after in prop_oneof![4 => Just(0), 1 => 1..3_usize],
        cut in 0..80_usize,
        bound in prop_oneof![Just(PAYLOAD_BYTES_MAX), 0..300_usize],
    ) {
        let (id, latitude, longitude, (_, submitted_at), tag, (_, amount), payload) = parts;
        let mut bytes = vec![FORMAT_VERSION];
        let field = |(length, form): (u64, Vec<u8>)| [form, vec![b'x'; length.min(400) as usize]];
        bytes.extend(field(id).concat());
        bytes.extend(latitude);
        bytes.extend(longitude);
        bytes.extend(submitted_at);
        bytes.push(tag);
        if tag == 1 {
            bytes.extend(amount);
        }
        bytes.extend(field(payload).concat());
        bytes.extend(vec![b'x'; after]);
        assert_as_bincode(&bytes, bound);
        bytes.truncate(bytes.len().saturating_sub(cut));
        assert_as_bincode(&bytes, bound);
    }
}

/// An integer, mostly one that is a length, in any form that has room for it, or behind a tag that
/// means nothing.
fn integer() -> impl Strategy<Value = (u64, Vec<u8>)> {
    let value = prop_oneof![6 => 1..65_u64, 1 => 0..300_u64, 1 => any::<u64>()];
    (value, 0..10_u8).prop_map(|(value, form)| {
        let (tag, len) = match (form, value) {
            (0..6, 0..=250) => return (value, vec![value as u8]),
            (6, 0..=0xffff) => (251, 2),
            (7, 0..=0xffff_ffff) => (252, 4),
            (0..9, _) => (253, 8),
            (_, _) => (254 + (value & 1) as u8, 8),
        };
        let bytes = [&[tag][..], &value.to_le_bytes()[..len]].concat();
        (value, bytes)
    })
}

/// A coordinate, now and then none.
fn place_bytes() -> impl Strategy<Value = [u8; 8]> {
    prop_oneof![
        8 => (-90.0..=90.0_f64).prop_map(f64::to_le_bytes),
        1 => any::<[u8; 8]>(),
    ]
}
