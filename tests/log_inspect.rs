//! Looking into data directories: sound, damaged, torn, in use; and those of format version 1,
//! which must stay readable for ever.
#![allow(clippy::unwrap_used)] // Also in helpers, which the lint takes for production code.

mod log_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{fs, io};

use corelane::ids::{FrameSeq, Offset, PartitionId, SegmentSeq, StripeId};
use corelane::limits::SEGMENT_BYTES_MIN;
use corelane::log::catalog::Catalog;
use corelane::log::directory::{DataDirectory, Options};
use corelane::log::files::{FileEntry, Files, HeaderBlock, MemoryFiles, index_path, segment_path};
use corelane::log::inspect::*;
use corelane::log::recover::{RecoverOptions, recover};
use log_support::*;
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

/// A data directory with one topic of two partitions on two stripes, and what writes to stripe 0.
struct Place {
    folder: TempDir,
    files: MemoryFiles,
    writer: StripeWriter,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            stripes: 2,
            segment_bytes: SEGMENT_BYTES_MIN,
        };
        let mut directory = DataDirectory::open(folder.path(), &options).unwrap();
        directory.ensure_topic("transactions-tokyo", 2).unwrap();
        let files = MemoryFiles::new();
        let id = directory.meta().directory_id;
        let writer = StripeWriter::of(&files, StripeId(0), id, SEGMENT_BYTES_MIN);
        Place {
            folder,
            files,
            writer,
        }
    }

    /// Three segments with two frames each.
    fn filled() -> Place {
        let mut place = Place::new();
        for frame in 0..6i64 {
            if frame > 0 && frame % 2 == 0 {
                place.writer.start_segment(frame as u64 / 2);
            }
            let key = format!("k{frame}");
            place.writer.write_durable(&[
                Put::Batch(0, frame, &[&key]),
                Put::Position(0, frame),
                Put::State("sum", &key),
            ]);
        }
        place.save();
        place
    }

    fn save(&self) {
        save(&self.files, self.folder.path());
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn segment(&self, seq: u64) -> PathBuf {
        self.path().join(segment_path(StripeId(0), SegmentSeq(seq)))
    }

    /// Recovers, which writes the index files.
    fn recover(&self) {
        let directory = DataDirectory::open_read_only(self.path()).unwrap();
        let options = RecoverOptions {
            directory_id: directory.meta().directory_id,
            ..options()
        };
        recover(&directory.files(), StripeId(0), &options).unwrap();
    }
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

fn problems(path: &Path) -> Vec<(String, u64)> {
    let before = contents(path);
    let report = verify(path).unwrap();
    assert_eq!(contents(path), before, "verify changes nothing");
    report
        .problems()
        .map(|p| (p.path.clone(), p.byte))
        .collect()
}

const SEGMENT_0: &str = "stripe-000/00000000000000000000.log";
const SEGMENT_1: &str = "stripe-000/00000000000000000001.log";

#[test]
fn a_sound_directory_is_read_whole() {
    let place = Place::filled();
    place.recover();
    let report = verify(place.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let stripe = &report.stripes[0];
    assert_eq!((stripe.segments, stripe.frames, stripe.entries), (3, 6, 18));
    assert_eq!(
        (stripe.batches, stripe.records, stripe.bytes),
        (6, 6, 6 * 4096)
    );
    assert_eq!(stripe.torn, None);
    assert_eq!(report.stripes[1].frames, 0);
}

#[test]
fn every_damaged_place_is_named_with_file_and_byte() {
    let place = Place::filled();
    place.recover();
    flip(&place.segment(0), 4096 + 100);
    flip(&place.segment(1), 8192 + 1);
    let expected = [(SEGMENT_0.to_owned(), 4096), (SEGMENT_1.to_owned(), 8192)];
    assert_eq!(problems(place.path()), expected);
}

#[test]
fn a_flipped_bit_anywhere_in_what_counts_is_found() {
    let place = Place::filled();
    place.recover();
    // The last frame has no witness: what is wrong with it counts as torn.
    let files = [place.segment(0), place.segment(1)];
    let indexes = [0, 1].map(|seq| place.path().join(index_path(StripeId(0), SegmentSeq(seq))));
    for path in files.iter().chain(&indexes) {
        let len = fs::metadata(path).unwrap().len() as usize;
        for byte in (0..len).step_by(41) {
            flip(path, byte);
            let report = verify(place.path()).unwrap();
            assert!(!report.is_sound(), "{}, byte {byte}", path.display());
            let named = report.problems().any(|p| path.ends_with(&p.path));
            assert!(named, "{}, byte {byte}: {report:?}", path.display());
            flip(path, byte);
        }
    }
    assert!(verify(place.path()).unwrap().is_sound());
}

#[test]
fn a_torn_tail_is_reported_as_such_and_is_no_damage() {
    let mut place = Place::filled();
    let at = place.writer.write(&[Put::Batch(0, 6, &["torn"])]);
    place.save();
    flip(&place.segment(2), at as usize + 90);
    let report = verify(place.path()).unwrap();
    assert!(report.is_sound());
    let torn = report.stripes[0].torn.as_ref().unwrap();
    assert_eq!((torn.byte, torn.frame), (u64::from(at), 7));
    assert!(torn.path.ends_with("2.log"));
}

#[test]
fn missing_segments_and_wrong_headers_are_named() {
    let place = Place::filled();
    place.recover();
    fs::remove_file(place.segment(1)).unwrap();
    assert_eq!(problems(place.path()), [(SEGMENT_1.to_owned(), 0)]);
    let place = Place::filled();
    flip(&place.segment(1), 17);
    assert_eq!(problems(place.path()), [(SEGMENT_1.to_owned(), 0)]);
    let place = Place::filled();
    place.recover();
    fs::remove_file(place.segment(2)).unwrap();
    fs::remove_file(place.segment(1)).unwrap();
    let index = index_path(StripeId(0), SegmentSeq(1));
    assert_eq!(problems(place.path()), [(index, 0)]);
}

#[test]
fn entries_of_partitions_that_do_not_belong_there_are_named() {
    let mut place = Place::new();
    place
        .writer
        .write(&[Put::Batch(0, 0, &["a"]), Put::Batch(1, 0, &["b"])]);
    let at = place.writer.write(&[Put::Position(77, 0)]);
    place.save();
    let report = verify(place.path()).unwrap();
    let reasons: Vec<_> = report.problems().map(|p| p.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "partition 1 belongs to stripe 1",
            "partition 77 is not in the catalog"
        ]
    );
    assert_eq!(report.problems().last().unwrap().byte, u64::from(at) + 80);
}

#[test]
fn an_index_that_lies_is_named() {
    let place = Place::filled();
    place.recover();
    let path = place.path().join(index_path(StripeId(0), SegmentSeq(1)));
    let mut bytes = fs::read(&path).unwrap();
    // The position of the first batch, below a checksum that matches.
    bytes[80 + 8 + 20] ^= 1;
    let body = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..body]);
    bytes[body..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert_eq!(
        problems(place.path()),
        [(index_path(StripeId(0), SegmentSeq(1)), 0)]
    );
}

/// Files that are written while they are read: after each read of the segment, `later` comes true.
struct InUse {
    now: MemoryFiles,
    later: MemoryFiles,
    reads: Mutex<u32>,
    /// After so many reads.
    changes_at: u32,
}

impl Files for InUse {
    fn read_at(&self, path: &str, position: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut reads = self.reads.lock().unwrap();
        *reads += 1;
        let files = if *reads > self.changes_at {
            &self.later
        } else {
            &self.now
        };
        files.read_at(path, position, out)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<FileEntry>> {
        self.later.list(folder)
    }

    fn write_segment(&self, _: &str, _: u64, _: &HeaderBlock) -> io::Result<()> {
        unreachable!("verify changes nothing")
    }

    fn write_header(&self, _: &str, _: &HeaderBlock) -> io::Result<()> {
        unreachable!("verify changes nothing")
    }

    fn write_atomic(&self, _: &str, _: &[u8]) -> io::Result<()> {
        unreachable!("verify changes nothing")
    }

    fn sync(&self, _: &str) -> io::Result<()> {
        unreachable!("verify changes nothing")
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        unreachable!("verify changes nothing")
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        unreachable!("verify changes nothing")
    }
}

/// At whichever read the writer completes a frame and the one behind it, which says that the
/// first is durable: it is never called damaged.
#[test]
fn a_directory_in_use_is_never_called_damaged() {
    // A frame is longer than one read, so that the two are seen at different times.
    let key = "x".repeat(3 << 20);
    let now = MemoryFiles::new();
    let mut writer = StripeWriter::of(&now, StripeId(0), DIRECTORY_ID, SEGMENT_BYTES_MIN);
    writer.write_durable(&[Put::Batch(0, 0, &["a"])]);
    let later = MemoryFiles::new();
    for (path, bytes) in now.snapshot() {
        later.write_at(&path, 0, &bytes);
    }
    writer.files = later.clone();
    writer.write_durable(&[Put::Batch(0, 1, &[&key])]);
    writer.write_durable(&[Put::Batch(0, 2, &[&key])]);
    let mut catalog = Catalog::default();
    catalog
        .ensure_topic("transactions-tokyo", 1, 1, Uuid::nil())
        .unwrap();
    let mut seen = BTreeSet::new();
    for changes_at in 0..12 {
        let files = InUse {
            now: now.clone(),
            later: later.clone(),
            reads: Mutex::new(0),
            changes_at,
        };
        let report = verify_stripe(&files, StripeId(0), DIRECTORY_ID, &catalog);
        assert_eq!(report.problems, [], "change after {changes_at} reads");
        seen.insert(report.records);
    }
    assert_eq!(seen, [1, 3].into(), "before and after");
}

#[test]
fn stat_gives_the_numbers() {
    let place = Place::filled();
    place.recover();
    let before = contents(place.path());
    let stat = stat(place.path()).unwrap();
    assert_eq!(contents(place.path()), before);
    let stripe = &stat.stripes[0];
    assert_eq!((stripe.segments.len(), stripe.frame_last), (3, 6));
    assert_eq!(
        (stripe.segments[1].frame_first, stripe.segments[1].records),
        (3, 2)
    );
    let partition = &stripe.partitions[0];
    assert_eq!(
        (partition.topic.as_str(), partition.index),
        ("transactions-tokyo", 0)
    );
    assert_eq!(
        (partition.next, partition.position, partition.batches),
        (6, 5, 6)
    );
    assert_eq!(
        (stripe.state[0].key.as_str(), stripe.state[0].value.as_str()),
        ("sum", "k5")
    );
    assert_eq!(
        stat.stripes[1].partitions[0].index, 1,
        "those without records are there too"
    );
}

fn dumped(path: &Path, filter: &DumpFilter) -> String {
    let mut out = Vec::new();
    dump(path, filter, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn dump_prints_what_the_filter_lets_pass() {
    let place = Place::filled();
    let all = dumped(place.path(), &DumpFilter::default());
    assert_eq!(all.lines().count(), 6 * 4, "{all}");
    assert!(
        all.starts_with(&format!("{SEGMENT_0}, byte 4096: frame 1, ")),
        "{all}"
    );
    assert!(all.contains("  state sum = k3\n"), "{all}");
    let filter = DumpFilter {
        partition: Some(PartitionId(0)),
        topic: Some("transactions-tokyo".into()),
        frame_first: Some(FrameSeq(3)),
        frames_max: Some(2),
        detail: Detail::Values,
        format: DumpFormat::JsonLines,
        stripe: Some(StripeId(0)),
    };
    let text = dumped(place.path(), &filter);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    let of_one = ["frame", "batch", "record", "position"];
    assert_eq!(kinds, [of_one, of_one].concat());
    assert_eq!(lines[2]["key"], "k2");
    assert_eq!(lines[2]["value"], "0x736f6d652076616c7565");
    assert_eq!(
        (&lines[0]["frame"], &lines[4]["frame"]),
        (&3.into(), &4.into())
    );
    let filter = DumpFilter {
        topic: Some("transactions-kyoto".into()),
        ..DumpFilter::default()
    };
    let error = dump(place.path(), &filter, &mut Vec::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("it holds: transactions-tokyo"), "{error}");
}

#[test]
fn dump_stops_at_damage_and_says_so() {
    let place = Place::filled();
    flip(&place.segment(1), 4096 + 30);
    let mut out = Vec::new();
    let summary = dump(place.path(), &DumpFilter::default(), &mut out).unwrap();
    assert_eq!((summary.frames, summary.damaged), (2, 1));
    let text = String::from_utf8(out).unwrap();
    let last = text.lines().last().unwrap();
    assert_eq!(
        last.split(':').next(),
        Some(format!("{SEGMENT_1}, byte 4096").as_str())
    );
    assert!(last.contains("DAMAGED, frame 3"), "{last}");
}

// ---- Format version 1, for ever ----

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/log_v1")
        .join(name)
}

const FIXTURE_ID: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

/// What the fixture was made from; `damaged` has one bit flipped.
fn fixture_files(damaged: bool) -> MemoryFiles {
    let files = MemoryFiles::new();
    let mut catalog = Catalog::default();
    catalog
        .ensure_topic("transactions-tokyo", 2, 1, Uuid::nil())
        .unwrap();
    catalog
        .ensure_topic("transactions-tokyo.dlq", 1, 1, Uuid::nil())
        .unwrap();
    files.write_at("catalog.json", 0, catalog.to_json().as_bytes());
    let meta = format!(
        "{{\n  \"format_version\": 1,\n  \"directory_id\": \"{FIXTURE_ID:032x}\",\n  \
         \"stripes\": 1,\n  \"segment_bytes\": {SEGMENT_BYTES_MIN},\n  \"epoch\": 2\n}}\n"
    );
    files.write_at("meta.json", 0, meta.as_bytes());
    let mut writer = StripeWriter::of(&files, StripeId(0), FIXTURE_ID, SEGMENT_BYTES_MIN);
    writer.write_durable(&[Put::Batch(0, 0, &["a", "b"]), Put::Batch(1, 0, &["c"])]);
    writer.write_durable(&[
        Put::Position(0, 2),
        Put::State("sum", "30"),
        Put::State("gone", "1"),
        Put::Batch(2, 0, &["bad"]),
    ]);
    writer.start_segment(1);
    writer.epoch = 2;
    writer.write_durable(&[Put::Batch(1, 1, &["d"]), Put::State("gone", "")]);
    let torn_at = writer.write_durable(&[Put::Marker]);
    writer.write(&[Put::Batch(0, 2, &["torn"])]);
    let options = RecoverOptions {
        directory_id: FIXTURE_ID,
        ..options()
    };
    // Writes the index of segment 0.
    recover(&files, StripeId(0), &options).unwrap();
    let last = torn_at as usize + 4096;
    files.edit(SEGMENT_1, |bytes| bytes[last + 120..last + 4096].fill(0));
    if damaged {
        files.edit(SEGMENT_0, |bytes| bytes[8192 + 70] ^= 4);
    }
    files
}

/// Run with `cargo test --test log_inspect -- --ignored` only to make the fixtures of a new
/// version, in a folder of their own: those of an old version never change.
#[test]
#[ignore = "writes the fixtures"]
fn write_fixtures() {
    assert!(!fixture("").exists(), "fixtures are never written again");
    save(&fixture_files(false), &fixture("sound"));
    save(&fixture_files(true), &fixture("damaged"));
}

#[test]
fn version_1_is_written_as_it_was() {
    for (name, damaged) in [("sound", false), ("damaged", true)] {
        let again = tempfile::tempdir().unwrap();
        save(&fixture_files(damaged), again.path());
        let strip = |root: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
            let files = contents(root).into_iter();
            files
                // It has got fields since; that the old one is read is for other tests.
                .filter(|(path, _)| !path.ends_with("catalog.json"))
                .map(|(p, b)| (p.strip_prefix(root).unwrap().to_owned(), b))
                .collect()
        };
        assert_eq!(strip(again.path()), strip(&fixture(name)), "{name}");
    }
}

#[test]
fn version_1_stays_readable() {
    let report = verify(&fixture("sound")).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let stripe = &report.stripes[0];
    assert_eq!((stripe.frames, stripe.batches, stripe.records), (4, 4, 5));
    let torn = stripe.torn.as_ref().unwrap();
    assert_eq!(
        (torn.path.as_str(), torn.byte, torn.frame),
        (SEGMENT_1, 3 * 4096, 5)
    );
    let directory = DataDirectory::open_read_only(fixture("sound")).unwrap();
    let options = RecoverOptions {
        window_records_max: 3,
        window_partitions: &|partition| partition.0 < 2,
        fingerprint: &fingerprint,
        ..RecoverOptions::read_only(FIXTURE_ID)
    };
    let recovered = recover(&directory.files(), StripeId(0), &options).unwrap();
    let offsets = |partition| {
        let offsets = recovered.state.partitions[&PartitionId(partition)];
        (offsets.next, offsets.position)
    };
    assert_eq!(offsets(0), (Offset(2), Offset(2)));
    assert_eq!(offsets(1), (Offset(2), Offset(0)));
    assert_eq!(
        recovered.state.values,
        [(b"sum".to_vec(), b"30".to_vec())].into()
    );
    let ids: Vec<_> = recovered.recent.iter().map(|id| id.fingerprint).collect();
    assert_eq!(ids, [b"b", b"c", b"d"].map(|key| fingerprint(key)));
    assert_eq!(recovered.torn.unwrap().frame, FrameSeq(5));
}

#[test]
fn version_1_can_be_opened_for_writing() {
    let copy = tempfile::tempdir().unwrap();
    save(&fixture_files(false), copy.path());
    let options = Options {
        stripes: 1,
        segment_bytes: SEGMENT_BYTES_MIN,
    };
    let directory = DataDirectory::open(copy.path(), &options).unwrap();
    assert_eq!(
        (directory.meta().epoch, directory.meta().directory_id),
        (3, FIXTURE_ID)
    );
    assert_eq!(directory.catalog().topics().len(), 2);
}

#[test]
fn damage_in_version_1_is_found_where_it_is() {
    let path = fixture("damaged");
    assert_eq!(problems(&path), [(SEGMENT_0.to_owned(), 8192)]);
}
