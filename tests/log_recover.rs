//! Recovery of a stripe: what survives, what is cut, what stops it.

#![allow(clippy::unwrap_used)] // Also in helpers, which the lint takes for production code.

mod log_support;

use corelane::ids::{FrameSeq, Offset, PartitionId, SegmentSeq, StripeId};
use corelane::log::files::{Files, MemoryFiles, StripeFiles, index_path, segment_path};
use corelane::log::index::IndexFile;
use corelane::log::recover::{Access, RecoverError, RecoverOptions, recover};
use corelane::log::state::{PartitionOffsets, Recovered};
use log_support::*;

const STRIPE: StripeId = StripeId(0);

fn run(files: &MemoryFiles) -> Result<Recovered, RecoverError> {
    recover(files, STRIPE, &options())
}

fn path(seq: u64) -> String {
    segment_path(STRIPE, SegmentSeq(seq))
}

fn next(recovered: &Recovered, partition: u32) -> i64 {
    let offsets = recovered.state.partitions.get(&PartitionId(partition));
    offsets.map_or(0, |offsets| offsets.next.0)
}

fn damaged(result: Result<Recovered, RecoverError>) -> (String, u32, u64) {
    match result {
        Err(RecoverError::Damaged {
            path,
            position,
            frame,
            ..
        }) => (path, position, frame.0),
        other => panic!("not damage: {other:?}"),
    }
}

/// Three segments with three frames each, one record of partition 1 a frame; the last segment is
/// open.
fn three_segments(files: &MemoryFiles) -> StripeWriter {
    let mut writer = StripeWriter::new(files);
    for frame in 0..9i64 {
        if frame > 0 && frame % 3 == 0 {
            writer.start_segment(frame as u64 / 3);
        }
        let key = format!("k{frame}");
        writer.write_durable(&[
            Put::Batch(1, frame, &[&key]),
            Put::Position(1, frame),
            Put::State("sum", &key),
        ]);
    }
    writer
}

#[test]
fn an_empty_stripe_recovers_to_nothing() {
    let files = MemoryFiles::new();
    let recovered = run(&files).unwrap();
    assert!(recovered.segments.is_empty() && recovered.torn.is_none());
    StripeWriter::new(&files);
    let recovered = run(&files).unwrap();
    assert_eq!(
        (recovered.frame_last, recovered.segments.len()),
        (FrameSeq(0), 0)
    );
    assert!(
        files.snapshot().contains_key(&path(0)),
        "a prepared segment is kept"
    );
}

#[test]
fn everything_written_is_found_again() {
    let files = MemoryFiles::new();
    let mut writer = StripeWriter::new(&files);
    let first = writer.write_durable(&[
        Put::Batch(1, 0, &["a", "b"]),
        Put::Batch(7, 0, &["c"]),
        Put::State("sum", "10"),
        Put::State("gone", "1"),
    ]);
    let second = writer.write(&[
        Put::Batch(1, 2, &["d"]),
        Put::Position(1, 2),
        Put::State("sum", "11"),
        Put::State("gone", ""),
        Put::Marker,
    ]);
    let recovered = run(&files).unwrap();
    assert_eq!(recovered.frame_last, FrameSeq(2));
    assert_eq!(recovered.torn, None);
    let offsets = PartitionOffsets {
        log_start: Offset(0),
        next: Offset(3),
        position: Offset(2),
    };
    assert_eq!(recovered.state.partitions[&PartitionId(1)], offsets);
    assert_eq!(next(&recovered, 7), 1);
    assert_eq!(
        recovered.state.values,
        [(b"sum".to_vec(), b"11".to_vec())].into()
    );
    let index = &recovered.segments[0].index;
    assert_eq!(
        (index.frame_first, index.frame_last),
        (FrameSeq(1), FrameSeq(2))
    );
    assert_eq!(index.end_position, writer.position);
    let batches = &index.partitions[&PartitionId(1)];
    assert_eq!(
        (batches[0].position, batches[1].position),
        (first + 80, second + 80)
    );
    assert_eq!((batches[0].records, batches[1].base_offset), (2, Offset(2)));
    let bytes = batch_bytes(0, &["a", "b"]);
    let mut stored = vec![0; batches[0].bytes as usize];
    files
        .read_at(&path(0), batches[0].position.into(), &mut stored)
        .unwrap();
    assert_eq!(
        stored, bytes,
        "the index points at the batch, byte for byte"
    );
}

#[test]
fn every_way_through_the_indexes_gives_the_same_result() {
    let files = MemoryFiles::new();
    three_segments(&files);
    let whole = run(&files).unwrap();
    assert_eq!((whole.segments.len(), whole.frame_last), (3, FrameSeq(9)));
    assert_eq!(next(&whole, 1), 9);
    let found = StripeFiles::list(&files, STRIPE).unwrap();
    assert_eq!(
        found.indexes,
        [SegmentSeq(0), SegmentSeq(1)],
        "made by recovery"
    );
    let snapshot = files.snapshot();
    let same = |what: &str| {
        let again = run(&files).unwrap();
        assert_eq!(format!("{again:?}"), format!("{whole:?}"), "{what}");
        assert_eq!(files.snapshot(), snapshot, "{what}");
    };
    same("from the newest index");
    files.edit(&index_path(STRIPE, SegmentSeq(1)), |bytes| bytes[50] ^= 1);
    same("from an older index");
    files.edit(&index_path(STRIPE, SegmentSeq(0)), |bytes| {
        bytes.truncate(90)
    });
    files.edit(&index_path(STRIPE, SegmentSeq(1)), |bytes| bytes.clear());
    same("from the first frame");
    // One in the middle is read again, but its state is not known and so it is not written.
    files.remove(&index_path(STRIPE, SegmentSeq(0))).unwrap();
    let again = run(&files).unwrap();
    assert_eq!(format!("{again:?}"), format!("{whole:?}"));
}

#[test]
fn frames_appended_after_the_index_was_written_are_found() {
    let files = MemoryFiles::new();
    let mut writer = three_segments(&files);
    // As if the open segment had been sealed, then reopened with room left.
    let recovered = run(&files).unwrap();
    let index = IndexFile {
        stripe: STRIPE,
        segment: SegmentSeq(2),
        directory_id: DIRECTORY_ID,
        epoch: 1,
        index: recovered.segments[2].index.clone(),
        state: recovered.state,
    };
    files
        .write_atomic(&index_path(STRIPE, SegmentSeq(2)), &index.encode())
        .unwrap();
    writer.write_durable(&[Put::Batch(1, 9, &["later"])]);
    writer.start_segment(3);
    writer.write(&[Put::Batch(1, 10, &["last"])]);
    let recovered = run(&files).unwrap();
    assert_eq!((next(&recovered, 1), recovered.segments.len()), (11, 4));
    assert_eq!(recovered.segments[2].index.frame_last, FrameSeq(10));
    let read_again = run(&files).unwrap();
    assert_eq!(
        format!("{read_again:?}"),
        format!("{recovered:?}"),
        "its index was renewed"
    );
}

#[test]
fn a_write_torn_at_any_byte_is_cut_and_what_was_durable_stays() {
    let files = MemoryFiles::new();
    let mut writer = StripeWriter::new(&files);
    writer.write_durable(&[Put::Batch(1, 0, &["a"])]);
    let before = writer.clone();
    let snapshot = files.snapshot()[&path(0)].clone();
    let key = "x".repeat(3000);
    let last = writer.frame(&[Put::Batch(1, 1, &[&key, &key]), Put::Position(1, 1)]);
    let content_end = last.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    for torn_at in 0..last.len() {
        files.edit(&path(0), |bytes| {
            bytes.copy_from_slice(&snapshot);
            bytes[before.position as usize..][..torn_at].copy_from_slice(&last[..torn_at]);
        });
        let recovered = run(&files).unwrap();
        if torn_at >= content_end {
            assert_eq!(
                (next(&recovered, 1), recovered.torn),
                (3, None),
                "byte {torn_at}"
            );
            continue;
        }
        assert_eq!(next(&recovered, 1), 1, "byte {torn_at}");
        assert_eq!(recovered.torn.is_some(), torn_at > 0, "byte {torn_at}");
        if let Some(torn) = recovered.torn {
            assert_eq!((torn.segment, torn.frame), (SegmentSeq(0), FrameSeq(2)));
            assert_eq!(torn.position, before.position);
        }
    }
}

#[test]
fn any_flipped_bit_of_a_durable_frame_is_damage_and_changes_nothing() {
    let files = MemoryFiles::new();
    let mut writer = StripeWriter::new(&files);
    writer.write_durable(&[Put::Batch(1, 0, &["a"])]);
    let at = writer.write_durable(&[Put::Batch(1, 1, &["b"]), Put::State("k", "v")]);
    writer.write(&[Put::Marker]);
    let len = writer.position - at - 4096;
    for bit in 0..len * 8 {
        let byte = (at + bit / 8) as usize;
        files.edit(&path(0), |bytes| bytes[byte] ^= 1 << (bit % 8));
        let before = files.snapshot();
        assert_eq!(damaged(run(&files)), (path(0), at, 2), "bit {bit}");
        assert_eq!(files.snapshot(), before);
        files.edit(&path(0), |bytes| bytes[byte] ^= 1 << (bit % 8));
    }
    assert_eq!(run(&files).unwrap().frame_last, FrameSeq(3));
}

#[test]
fn damage_in_an_earlier_segment_is_witnessed_by_a_later_one() {
    let files = MemoryFiles::new();
    let mut writer = three_segments(&files);
    writer.write(&[Put::Marker]);
    // All that is left of the frames of segments 1 and 2 but the last one is gone.
    files.edit(&path(1), |bytes| bytes[4096 + 2 * 4096..].fill(0));
    files.edit(&path(2), |bytes| bytes[4096..4096 + 3 * 4096].fill(0));
    let error = run(&files).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("segment 2, byte 16384"), "{text}");
    assert_eq!(damaged(Err(error)), (path(1), 3 * 4096, 6));
}

#[test]
fn later_frames_without_a_witness_are_a_torn_tail_and_never_come_back() {
    let files = MemoryFiles::new();
    let mut writer = StripeWriter::new(&files);
    writer.write_durable(&[Put::Batch(1, 0, &["a"])]);
    // Three frames in flight at the crash; the first one never reached the device.
    let at = writer.write(&[Put::Batch(1, 1, &["lost"])]);
    writer.write(&[Put::Batch(1, 2, &["b"])]);
    writer.prepare_segment(1);
    writer.start_segment(1);
    writer.write(&[Put::Batch(1, 3, &["c"])]);
    files.edit(&path(0), |bytes| {
        bytes[at as usize..at as usize + 4096].fill(0)
    });
    let recovered = run(&files).unwrap();
    assert_eq!(
        (next(&recovered, 1), recovered.frame_last),
        (1, FrameSeq(1))
    );
    let torn = recovered.torn.unwrap();
    assert_eq!((torn.position, torn.frame), (at, FrameSeq(2)));
    assert!(!files.snapshot().contains_key(&path(1)), "beyond the cut");
    // The next life writes one frame of the same size over the cut: what follows it in the file
    // would line up, but is of an older epoch.
    let mut writer = StripeWriter {
        segment: 0,
        position: at,
        seq: 2,
        epoch: 2,
        durable: 1,
        ..writer
    };
    writer.write_durable(&[Put::Batch(1, 1, &["new"])]);
    let recovered = run(&files).unwrap();
    assert_eq!(
        (next(&recovered, 1), recovered.frame_last),
        (2, FrameSeq(2))
    );
}

#[test]
fn a_former_life_of_a_recycled_file_is_a_clean_end() {
    let files = MemoryFiles::new();
    let mut old = StripeWriter::new(&files);
    old.segment = 17;
    for frame in 0..20 {
        old.seq = 1 + frame;
        old.files = files.clone();
        let bytes = old.frame(&[Put::Batch(1, frame as i64, &["old"])]);
        files.write_at(&path(0), old.position.into(), &bytes);
        old.position += bytes.len() as u32;
    }
    let mut writer = StripeWriter::new(&files);
    writer.write_durable(&[Put::Batch(1, 0, &["a"])]);
    writer.write(&[Put::Batch(1, 1, &["b"])]);
    let recovered = run(&files).unwrap();
    assert_eq!((next(&recovered, 1), recovered.torn), (2, None));
}

#[test]
fn a_copy_of_frames_inside_a_torn_payload_is_no_witness() {
    let files = MemoryFiles::new();
    let mut writer = StripeWriter::new(&files);
    writer.write_durable(&[Put::Batch(1, 0, &["a"])]);
    // The client's payload holds, at a block's start, a forged later frame of this very place.
    let forged = StripeWriter {
        seq: 9,
        durable: 8,
        position: writer.position + 4096,
        ..writer.clone()
    };
    let forged = forged.frame(&[Put::Marker]);
    let at = writer.position as usize;
    let key = "x".repeat(12_000);
    writer.write(&[Put::Batch(1, 1, &[&key])]);
    files.edit(&path(0), |bytes| {
        bytes[at + 4096..at + 8192].copy_from_slice(&forged)
    });
    let recovered = run(&files).unwrap();
    assert_eq!((next(&recovered, 1), recovered.torn.is_some()), (1, true));
}

#[test]
fn missing_foreign_and_damaged_files_are_told_apart() {
    let whole = MemoryFiles::new();
    three_segments(&whole);
    let broken = |change: &dyn Fn(&MemoryFiles)| {
        let files = MemoryFiles::new();
        for (path, bytes) in whole.snapshot() {
            files.write_at(&path, 0, &bytes);
        }
        change(&files);
        let before = files.snapshot();
        let text = run(&files).unwrap_err().to_string();
        assert_eq!(files.snapshot(), before, "nothing changes");
        text
    };
    let text = broken(&|files| files.remove(&path(1)).unwrap());
    assert!(text.contains("00001.log is missing"), "{text}");
    let text = broken(&|files| files.edit(&path(1), |bytes| bytes[20] ^= 1));
    assert!(
        text.contains("00001.log, byte 0: checksum of the segment header"),
        "{text}"
    );
    let text = broken(&|files| {
        let bytes = files.snapshot()[&path(1)].clone();
        files.write_at(&path(2), 0, &bytes[..4096]);
    });
    assert!(text.contains("belongs to segment 1, not 2"), "{text}");
    let text = broken(&|files| {
        files.edit(&path(0), |bytes| {
            bytes[8..10].copy_from_slice(&9u16.to_le_bytes());
            let checksum = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        });
    });
    assert!(
        text.contains("format version 9; this program reads 1"),
        "{text}"
    );
    let text = broken(&|files| files.remove(&path(0)).unwrap());
    assert!(
        text.contains("00001.log is the first segment that is left"),
        "{text}"
    );
    let other = RecoverOptions {
        directory_id: 5,
        ..options()
    };
    let text = recover(&whole, STRIPE, &other).unwrap_err().to_string();
    assert!(text.contains("data directory c0de"), "{text}");
}

#[test]
fn without_its_first_segments_a_stripe_needs_an_index() {
    let files = MemoryFiles::new();
    three_segments(&files);
    run(&files).unwrap();
    files.remove(&path(0)).unwrap();
    let recovered = run(&files).unwrap();
    let offsets = recovered.state.partitions[&PartitionId(1)];
    assert_eq!((offsets.log_start, offsets.next), (Offset(3), Offset(9)));
    assert!(
        !files
            .snapshot()
            .contains_key(&index_path(STRIPE, SegmentSeq(0))),
        "orphan"
    );
    files.edit(&index_path(STRIPE, SegmentSeq(1)), |bytes| bytes[100] ^= 1);
    let text = run(&files).unwrap_err().to_string();
    assert!(text.contains("no usable index file"), "{text}");
    assert!(
        text.contains("checksum of the index file does not match"),
        "{text}"
    );
}

#[test]
fn a_sealed_segment_whose_index_and_frames_are_damaged_stops_recovery() {
    let files = MemoryFiles::new();
    three_segments(&files);
    run(&files).unwrap();
    files.remove(&index_path(STRIPE, SegmentSeq(0))).unwrap();
    files.edit(&path(0), |bytes| bytes[4096 + 200] ^= 1);
    assert_eq!(damaged(run(&files)), (path(0), 4096, 1));
}

#[test]
fn offsets_that_do_not_follow_each_other_are_damage() {
    let files = MemoryFiles::new();
    let mut writer = StripeWriter::new(&files);
    writer.write(&[Put::Batch(1, 0, &["a"])]);
    writer.write(&[Put::Batch(1, 5, &["b"])]);
    let text = run(&files).unwrap_err().to_string();
    assert!(
        text.contains("starts at offset 5, the one before it ended at 1"),
        "{text}"
    );
}

#[test]
fn looking_only_changes_nothing_whatever_is_found() {
    let files = MemoryFiles::new();
    let mut writer = three_segments(&files);
    let at = writer.write(&[Put::Batch(1, 9, &["torn"])]);
    writer.start_segment(3);
    writer.seq += 1;
    writer.write(&[Put::Marker]);
    files.edit(&path(2), |bytes| bytes[at as usize + 100] ^= 1);
    let before = files.snapshot();
    let recovered = recover(&files, STRIPE, &RecoverOptions::read_only(DIRECTORY_ID)).unwrap();
    assert!(recovered.torn.is_some());
    assert_eq!(files.snapshot(), before);
}

fn ids(files: &MemoryFiles, max: usize, wanted: &dyn Fn(PartitionId) -> bool) -> Vec<(i64, u128)> {
    let window = RecoverOptions {
        window_records_max: max,
        window_partitions: wanted,
        access: Access::ReadOnly,
        ..options()
    };
    let recovered = recover(files, STRIPE, &window).unwrap();
    recovered
        .recent
        .iter()
        .map(|id| (id.offset.0, id.fingerprint.0))
        .collect()
}

#[test]
fn the_window_holds_the_newest_ids_of_the_wanted_partitions_oldest_first() {
    let files = MemoryFiles::new();
    let mut writer = three_segments(&files);
    writer.write(&[
        Put::Batch(1, 9, &["x", "y", "z"]),
        Put::Batch(2, 0, &["other"]),
    ]);
    let key = |offset: i64| match offset {
        9 => "x".into(),
        10 => "y".into(),
        11 => "z".into(),
        older => format!("k{older}"),
    };
    let expected = |from: i64| -> Vec<(i64, u128)> {
        (from..12)
            .map(|n| (n, fingerprint(key(n).as_bytes()).0))
            .collect()
    };
    let one = |partition: PartitionId| partition == PartitionId(1);
    assert_eq!(ids(&files, 2, &one), expected(10), "inside a batch");
    assert_eq!(ids(&files, 7, &one), expected(5), "across segments");
    assert_eq!(ids(&files, 1000, &one), expected(0), "all there are");
    assert_eq!(ids(&files, 0, &one), []);
    assert_eq!(ids(&files, 1, &|_| true), [(0, fingerprint(b"other").0)]);
}

#[test]
fn a_damaged_batch_in_the_window_is_named() {
    let files = MemoryFiles::new();
    three_segments(&files);
    run(&files).unwrap();
    files.edit(&path(0), |bytes| bytes[4096 + 80 + 3] ^= 1);
    let window = RecoverOptions {
        window_records_max: 100,
        ..options()
    };
    let text = recover(&files, STRIPE, &window).unwrap_err().to_string();
    assert!(
        text.contains("00000.log, byte 4176: the batch of partition 1 at offset 0"),
        "{text}"
    );
}

#[test]
fn a_lost_first_frame_of_a_segment_is_placed_there() {
    let files = MemoryFiles::new();
    three_segments(&files);
    files.edit(&path(1), |bytes| bytes[4096..8192].fill(0));
    assert_eq!(damaged(run(&files)), (path(1), 4096, 4));
    let files = MemoryFiles::new();
    let mut writer = three_segments(&files);
    writer.start_segment(3);
    let at = writer.write(&[Put::Batch(1, 9, &["torn"])]);
    files.edit(&path(3), |bytes| bytes[at as usize + 100] ^= 1);
    let torn = run(&files).unwrap().torn.unwrap();
    assert_eq!((torn.segment, torn.position), (SegmentSeq(3), 4096));
    assert!(!files.snapshot().contains_key(&path(3)));
}
