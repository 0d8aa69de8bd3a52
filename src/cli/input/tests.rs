//! What users may rely on when a file is read.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::ids::UnixMicros;

const PAYLOAD_BYTES_MAX: usize = 1000;

fn reader(bytes: impl Into<Vec<u8>>, on_error: OnError) -> InputReader {
    let bytes = Cursor::new(bytes.into());
    InputReader::from_reader(bytes, "in.jsonl", PAYLOAD_BYTES_MAX, on_error).expect("opened")
}

/// The error that ends the reading, as users see it.
fn refused(bytes: impl Into<Vec<u8>>) -> String {
    match reader(bytes, OnError::Stop).find_map(Result::err) {
        Some(error) => error.to_string(),
        None => panic!("accepted"),
    }
}

fn ids(reader: &mut InputReader) -> Vec<String> {
    reader
        .map(|read| read.expect("a transaction").id.to_string())
        .collect()
}

fn good(id: &str) -> String {
    format!(r#"{{"id":"{id}","client_location":{{"latitude":1,"longitude":2.5}}}}"#)
}

#[test]
fn every_field_is_read() {
    let line =
        r#" {"payload":"AAECAw==","submitted_at":1700000000000001,"amount":18446744073709551615,
        "client_location":{"longitude":-180.0,"latitude":90},"id":"a\u00e9b",
        "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} "#
            .replace('\n', "");
    let read: Vec<_> = reader(line, OnError::Stop).collect();
    let transaction = read[0].as_ref().expect("valid");
    assert_eq!(read.len(), 1);
    assert_eq!(transaction.line, 1);
    assert_eq!(transaction.id.as_bytes(), "a\u{e9}b".as_bytes());
    assert_eq!(transaction.client_location.latitude(), 90.0);
    assert_eq!(transaction.client_location.longitude(), -180.0);
    assert_eq!(transaction.amount, Some(u64::MAX));
    assert_eq!(transaction.payload, [0, 1, 2, 3]);
    assert_eq!(
        transaction.submitted_at,
        Some(UnixMicros(1_700_000_000_000_001))
    );
    let trace = transaction.trace.expect("given");
    assert_eq!(trace.parent, 0xb7ad_6b71_6920_3331);
}

#[test]
fn optional_fields_may_be_left_out_or_null() {
    let with_null = good("a").replace(
        "}}",
        r#"},"amount":null,"payload":null,"submitted_at":null,"traceparent":null}"#,
    );
    for line in [good("a"), with_null] {
        let transaction = reader(line, OnError::Stop)
            .next()
            .expect("one line")
            .expect("valid");
        assert_eq!(transaction.amount, None);
        assert!(transaction.payload.is_empty());
        assert_eq!(transaction.submitted_at, None);
        assert_eq!(transaction.trace, None);
    }
}

#[test]
fn a_payload_with_escaped_slashes_is_read() {
    let line = good("a").replace("}}", r#"},"payload":"\/\/\/\/"}"#);
    let transaction = reader(line, OnError::Stop)
        .next()
        .expect("one line")
        .expect("valid");
    assert_eq!(transaction.payload, [0xff, 0xff, 0xff]);
}

#[test]
fn a_bad_field_is_named_with_file_line_and_what_is_allowed() {
    let with = |field: &str| good("a").replace("}}", &format!("}},{field}}}"));
    let place = |latitude: &str, longitude: &str| {
        good("a").replace(
            r#""latitude":1,"longitude":2.5"#,
            &format!(r#""latitude":{latitude},"longitude":{longitude}"#),
        )
    };
    let long_id = "x".repeat(65);
    let cases = [
        (good(""), "id: 0 bytes; allowed: text of 1 to 64 bytes"),
        (
            good(&long_id),
            "id: 65 bytes; allowed: text of 1 to 64 bytes",
        ),
        (
            good("a").replace(r#""a""#, "7"),
            "id: invalid type: integer `7`, expected text; allowed: text of 1 to 64 bytes (column 7)",
        ),
        (
            place("90.5", "0"),
            "client_location.latitude: 90.5 is out of range; allowed: -90 to 90 degrees",
        ),
        (
            place("0", "-180.5"),
            "client_location.longitude: -180.5 is out of range; allowed: -180 to 180 degrees",
        ),
        (
            place("\"1\"", "0"),
            "client_location.latitude: invalid type: string \"1\", expected f64; allowed: -90 to 90 degrees",
        ),
        (
            place("1e999", "0"),
            "client_location.latitude: number out of range; allowed: -90 to 90 degrees",
        ),
        (place("NaN", "0"), "client_location.latitude: "),
        (
            place("1,\"latitude\":1", "0"),
            "client_location.latitude: stands twice; allowed: once",
        ),
        (
            place("1,\"altitude\":1", "0"),
            "client_location.altitude: unknown field; allowed: latitude, longitude",
        ),
        (
            r#"{"id":"a","client_location":{"latitude":1}}"#.to_owned(),
            "client_location.longitude: missing; allowed: -180 to 180 degrees",
        ),
        (
            r#"{"id":"a","client_location":[1,2]}"#.to_owned(),
            "client_location: invalid type: sequence",
        ),
        (
            r#"{"id":"a"}"#.to_owned(),
            "client_location: missing; allowed: {latitude, longitude}",
        ),
        (
            r#"{"client_location":{"latitude":1,"longitude":1}}"#.to_owned(),
            "id: missing; allowed: text of 1 to 64 bytes",
        ),
        (
            with(r#""amount":-1"#),
            "amount: invalid value: integer `-1`, expected u64; allowed: an integer from 0 to 18446744073709551615",
        ),
        (
            with(r#""amount":1.5"#),
            "amount: invalid type: floating point `1.5`",
        ),
        (with(r#""amount":18446744073709551616"#), "amount: "),
        (
            with(r#""amount":1,"amount":1"#),
            "amount: stands twice; allowed: once",
        ),
        (with(r#""id":"b""#), "id: stands twice"),
        (
            with(r#""client_location":{}"#),
            "client_location: stands twice",
        ),
        (
            with(r#""payload":"AB!=""#),
            "payload: no base64 (Invalid symbol 33, offset 2.); allowed: base64, standard alphabet with padding",
        ),
        (with(r#""payload":"AAECAw""#), "payload: no base64 ("),
        (
            with(r#""payload":[1]"#),
            "payload: invalid type: sequence, expected text",
        ),
        (
            with(r#""submitted_at":"now""#),
            "submitted_at: invalid type: string \"now\", expected i64; allowed: an integer, microseconds since 1970",
        ),
        (
            with(r#""traceparent":"00-0af7""#),
            "traceparent: it has 7 bytes; version 00 has 55; allowed: a W3C trace context, as ",
        ),
        (
            with(r#""fee":1"#),
            "fee: unknown field; allowed: id, client_location, amount, payload, submitted_at, traceparent",
        ),
        (
            "[1]".to_owned(),
            "invalid type: sequence, expected an object with the fields id, ",
        ),
        ("hello".to_owned(), "expected value (column 1)"),
        (
            format!("{} {}", good("a"), good("b")),
            "trailing characters",
        ),
        (good("a").replace(',', ""), "expected `,` or `}`"),
        (good("a").replace(":1", ":1 "), ""),
    ];
    let (accepted, cases) = cases.split_last().expect("not empty");
    assert_eq!(reader(accepted.0.as_str(), OnError::Stop).count(), 1);
    for (line, expected) in cases {
        let error = refused(format!("{}\n\n{line}\n", good("first")));
        let problem = error
            .strip_prefix("in.jsonl line 3: ")
            .unwrap_or_else(|| panic!("{error}"));
        assert!(
            problem.starts_with(expected),
            "expected {expected}\n     got {problem}"
        );
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let mut line = good("a?").into_bytes();
    let at = line.iter().position(|byte| *byte == b'?').expect("there");
    line[at] = 0xff;
    assert!(refused(line).starts_with("in.jsonl line 1: id: invalid unicode"));
}

#[test]
fn a_payload_may_have_exactly_as_many_bytes_as_allowed() {
    use base64::Engine as _;
    let with = |bytes: usize| {
        let text = base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]);
        good("a").replace("}}", &format!(r#"}},"payload":"{text}"}}"#))
    };
    assert_eq!(reader(with(PAYLOAD_BYTES_MAX), OnError::Stop).count(), 1);
    for bytes in [
        PAYLOAD_BYTES_MAX + 1,
        PAYLOAD_BYTES_MAX + 2,
        2 * PAYLOAD_BYTES_MAX,
    ] {
        let expected = format!("in.jsonl line 1: payload: {bytes} bytes; allowed: 0 to 1000 bytes");
        assert_eq!(refused(with(bytes)), expected);
    }
}

#[test]
fn a_line_without_end_is_not_held_in_memory_and_can_be_skipped() {
    let endless = format!("{}\n{}\n{}\n", good("a"), "x".repeat(3_000_000), good("b"));
    let mut skipping = reader(endless.as_str(), OnError::Skip);
    assert_eq!(ids(&mut skipping), ["a", "b"]);
    assert_eq!(skipping.skipped().count, 1);
    assert_eq!(skipping.skipped().first[0].line, 2);
    assert!(refused(endless).starts_with("in.jsonl line 2: longer than 6768 bytes"));
}

#[test]
fn blank_lines_and_other_line_ends_are_fine() {
    let text = format!("\n{}\r\n  \t\r\n\n{}\n\n", good("a"), good("b"));
    let lines: Vec<u64> = reader(text, OnError::Stop)
        .map(|read| read.expect("valid").line)
        .collect();
    assert_eq!(lines, [2, 5]);
}

#[test]
fn an_empty_file_has_no_transactions() {
    for text in ["", "\n", " \n\n"] {
        assert_eq!(reader(text, OnError::Stop).count(), 0);
    }
}

#[test]
fn a_last_line_without_newline_counts_if_it_is_whole() {
    let text = format!("{}\n{}", good("a"), good("b"));
    assert_eq!(ids(&mut reader(text, OnError::Stop)), ["a", "b"]);
}

/// Wherever a file is cut, its whole lines are read and the line that is cut is named, never
/// taken for something else.
#[test]
fn a_file_cut_at_any_byte_names_the_cut_line() {
    let second = good("b").replace("}}", r#"},"amount":1234,"payload":"AAECAw=="}"#);
    let text = format!("{}\n{second}", good("a"));
    let start = text.len() - second.len();
    for end in start + 1..text.len() {
        let mut reading = reader(&text[..end], OnError::Stop);
        assert!(reading.next().expect("the first line").is_ok());
        let error = reading.next().expect("the cut line").expect_err("cut");
        assert_eq!(
            error.to_string(),
            "in.jsonl line 2: the file ends in the middle of it",
            "cut to {:?}",
            &text[start..end]
        );
        assert!(reading.next().is_none());
    }
}

#[test]
fn a_line_that_stops_early_is_told_from_a_cut_file() {
    let text = format!("{{\"id\":\"a\"\n{}\n", good("b"));
    assert_eq!(
        refused(text),
        "in.jsonl line 1: the line ends before its object does"
    );
}

#[test]
fn skipped_lines_are_counted_and_the_first_twenty_listed() {
    let mut text = String::new();
    for number in 0..50 {
        text += &good(&number.to_string());
        text += "\nnonsense\n";
    }
    let mut reading = reader(text, OnError::Skip);
    assert_eq!(ids(&mut reading).len(), 50);
    let skipped = reading.skipped();
    assert_eq!(skipped.count, 50);
    assert_eq!(skipped.first.len(), Skipped::LISTED_MAX);
    assert_eq!(skipped.first[19].line, 40);
    assert!(skipped.first[19].reason.starts_with("expected ident"));
}

#[test]
fn nothing_is_read_after_an_error() {
    let text = format!("nonsense\n{}\n", good("a"));
    let mut reading = reader(text, OnError::Stop);
    assert!(reading.next().expect("the error").is_err());
    assert!(reading.next().is_none());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn compressed_files_are_recognised_by_their_first_bytes() {
    let text = format!("{}\n{}\n", good("a"), good("b"));
    let more = format!("{}\n", good("c"));
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).expect("in memory");
    // Both formats allow several parts one after the other.
    let gzip_parts = [gzip(text.as_bytes()), gzip(more.as_bytes())].concat();
    let zstd_parts = [zstd(&text), zstd(&more)].concat();
    for bytes in [gzip_parts, zstd_parts] {
        assert_eq!(ids(&mut reader(bytes, OnError::Stop)), ["a", "b", "c"]);
    }
}

#[test]
fn a_cut_compressed_file_is_an_error_that_cannot_be_skipped() {
    let text: String = (0..500).map(|n| good(&n.to_string()) + "\n").collect();
    let zstd = zstd::encode_all(text.as_bytes(), 1).expect("in memory");
    for bytes in [gzip(text.as_bytes()), zstd] {
        let cut = bytes[..bytes.len() - 9].to_vec();
        let error = reader(cut, OnError::Skip)
            .find_map(Result::err)
            .expect("an error")
            .to_string();
        assert!(
            error.starts_with("in.jsonl: cannot be read after line "),
            "{error}"
        );
    }
}

/// A pipe may hand out one byte at a time.
struct Trickle(Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let end = buffer.len().min(1);
        self.0.read(&mut buffer[..end])
    }
}

#[test]
fn bytes_that_trickle_in_are_read_all_the_same() {
    let trickle = Trickle(Cursor::new(gzip(format!("{}\n", good("a")).as_bytes())));
    let mut reading =
        InputReader::from_reader(trickle, "pipe", 100, OnError::Stop).expect("opened");
    assert_eq!(ids(&mut reading), ["a"]);
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    for (path, reason) in [("no/such/file", "No such file"), ("src", "is a directory")] {
        let error = InputReader::open(Path::new(path), 100, OnError::Stop)
            .err()
            .expect("refused")
            .to_string();
        assert!(
            error.starts_with(&format!("{path}: cannot be opened: ")) && error.contains(reason),
            "{error}"
        );
    }
}

#[test]
fn the_example_data_is_read_whole() {
    let reading = InputReader::open(
        Path::new("examples/data/transactions.jsonl"),
        1 << 20,
        OnError::Stop,
    )
    .expect("opened");
    let mut amount_total = 0_u64;
    let mut count = 0;
    for read in reading {
        let transaction = read.expect("valid");
        amount_total += transaction.amount.expect("each has one");
        count += 1;
        assert_eq!(transaction.line, count);
    }
    assert_eq!((count, amount_total), (2_500, 2_883_682_728_990));
}

proptest! {
    /// Whatever the bytes are, each line is either a transaction or skipped with a reason.
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut reading = reader(bytes, OnError::Skip);
        let read = reading.by_ref().filter(Result::is_ok).count() as u64;
        prop_assert!(read + reading.skipped().count <= 401);
    }

    /// A whole line with one byte changed is never misread as another place or amount unless it
    /// still is valid JSON.
    #[test]
    fn a_damaged_line_is_a_transaction_or_an_error(at in 0_usize..60, byte in any::<u8>()) {
        let mut line = good("abc").into_bytes();
        let at = at % line.len();
        line[at] = byte;
        for read in reader(line.clone(), OnError::Stop) {
            match read {
                Ok(_) => prop_assert!(
                    line.split(|byte| *byte == b'\n')
                        .any(|part| serde_json::from_slice::<serde_json::Value>(part).is_ok())
                ),
                Err(error) => prop_assert!(error.to_string().starts_with("in.jsonl line ")),
            }
        }
    }
}
