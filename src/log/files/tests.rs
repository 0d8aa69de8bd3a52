//! What both implementations of [`Files`] promise.

use super::*;

fn promises(files: &impl Files) {
    let stripe = StripeId(0);
    let path = segment_path(stripe, SegmentSeq(3));
    let mut header = [7u8; SEGMENT_HEADER_BYTES];
    files.write_segment(&path, 3 << 20, &header).unwrap();
    let mut read = vec![9u8; 5 << 20];
    assert_eq!(files.read_at(&path, 0, &mut read).unwrap(), 3 << 20);
    assert_eq!(read[..header.len()], header);
    assert!(read[header.len()..3 << 20].iter().all(|&byte| byte == 0));

    header.fill(8);
    let spare = spare_path(stripe, SegmentSeq(3));
    files.rename(&path, &spare).unwrap();
    files.write_header(&spare, &header).unwrap();
    assert_eq!(files.read_at(&spare, 1, &mut read[..4]).unwrap(), 4);
    assert_eq!(read[..4], [8; 4]);
    assert!(files.read_at(&path, 0, &mut read).is_err());
    files.sync(&spare).unwrap();
    assert!(files.sync(&path).is_err());

    let index = index_path(stripe, SegmentSeq(2));
    files.write_atomic(&index, b"old").unwrap();
    files.write_atomic(&index, b"newer").unwrap();
    assert_eq!(read_whole(files, &index, 100).unwrap(), b"newer");
    let long = vec![5; 200_000];
    files.write_atomic(&index, &long).unwrap();
    assert_eq!(read_whole(files, &index, 200_000).unwrap(), long);
    assert!(read_whole(files, &index, 100_000).is_err());

    let found = StripeFiles::list(files, stripe).unwrap();
    assert_eq!(found.segments, []);
    assert_eq!(found.indexes, [SegmentSeq(2)]);
    assert_eq!(found.spares, [(SegmentSeq(3), 3 << 20)]);
    assert!(found.leftovers.is_empty(), "nothing temporary stays");
    files.remove(&spare).unwrap();
    files.remove(&spare).unwrap();
    assert_eq!(StripeFiles::list(files, stripe).unwrap().spares, []);
}

#[test]
fn files_of_the_file_system_do_as_promised() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("stripe-000")).unwrap();
    promises(&StdFiles::new(folder.path()));
}

#[test]
fn files_in_memory_do_as_promised_and_know_a_full_disk() {
    let files = MemoryFiles::new();
    promises(&files);
    files.set_capacity(Some(300_000));
    let error = files
        .write_atomic("stripe-000/x", &[0; 200_000])
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    files.set_capacity(None);
    files.write_atomic("stripe-000/x", &[0; 200_000]).unwrap();
}

#[test]
fn leftovers_of_a_crash_are_found() {
    let files = MemoryFiles::new();
    files.write_at("stripe-000/00000000000000000001.log.tmp", 0, b"half");
    files.write_at("stripe-000/notes.txt", 0, b"not ours");
    let found = StripeFiles::list(&files, StripeId(0)).unwrap();
    assert_eq!(found.leftovers, ["00000000000000000001.log.tmp"]);
    assert_eq!(found.segments, []);
}
