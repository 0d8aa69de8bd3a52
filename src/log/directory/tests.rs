//! What a data directory promises to those who open it.

use super::*;

const OPTIONS: Options = Options {
    stripes: 2,
    segment_bytes: SEGMENT_BYTES_MIN,
};

fn edit(file: PathBuf, from: &str, to: &str) {
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn each_opening_for_writing_has_an_epoch_of_its_own_and_all_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/data");
    let first = *DataDirectory::open(&path, &OPTIONS).unwrap().meta();
    assert_eq!((first.epoch, first.stripes), (1, 2));
    let other = Options {
        stripes: 7,
        segment_bytes: SEGMENT_BYTES_MAX,
    };
    let second = *DataDirectory::open(&path, &other).unwrap().meta();
    assert_eq!(second, Meta { epoch: 2, ..first });
    let read = *DataDirectory::open_read_only(&path).unwrap().meta();
    assert_eq!(read, second, "reading is no opening");
    for stripe in ["stripe-000", "stripe-001"] {
        assert!(path.join(stripe).is_dir());
    }
}

#[test]
fn a_directory_has_one_writer_and_any_number_of_readers() {
    let folder = tempfile::tempdir().unwrap();
    let writer = DataDirectory::open(folder.path(), &OPTIONS).unwrap();
    let error = DataDirectory::open(folder.path(), &OPTIONS).unwrap_err();
    assert!(matches!(error, DirectoryError::InUse { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("in use by another process (process "),
        "{text}"
    );
    DataDirectory::open_read_only(folder.path()).unwrap();
    drop(writer);
    DataDirectory::open(folder.path(), &OPTIONS).unwrap();
}

#[test]
fn topics_survive_and_a_refused_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut directory = DataDirectory::open(folder.path(), &OPTIONS).unwrap();
    assert_eq!(directory.ensure_topic("a", 3).unwrap(), TopicId(0));
    assert_eq!(directory.ensure_topic("b", 1).unwrap(), TopicId(1));
    let before = fs::read(folder.path().join(CATALOG)).unwrap();
    let error = directory.ensure_topic("a", 4).unwrap_err().to_string();
    assert!(error.contains("has 3 partitions, not 4"), "{error}");
    assert!(directory.ensure_topic("no/slash", 1).is_err());
    assert_eq!(fs::read(folder.path().join(CATALOG)).unwrap(), before);
    let catalog = directory.catalog();
    drop(directory);
    let again = DataDirectory::open_read_only(folder.path()).unwrap();
    assert_eq!(again.catalog(), catalog);
}

#[test]
fn another_version_is_refused_with_both_versions_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(DataDirectory::open(folder.path(), &OPTIONS).unwrap());
    edit(
        folder.path().join(META),
        "\"format_version\": 1",
        "\"format_version\": 2",
    );
    for error in [
        DataDirectory::open(folder.path(), &OPTIONS).unwrap_err(),
        DataDirectory::open_read_only(folder.path()).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(
            text.contains("version 2; this program reads and writes 1"),
            "{text}"
        );
    }
}

#[test]
fn a_folder_with_other_things_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "important").unwrap();
    let error = DataDirectory::open(folder.path(), &OPTIONS)
        .unwrap_err()
        .to_string();
    assert!(error.contains("thesis.txt"), "{error}");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing was added"
    );
    let error = DataDirectory::open_read_only(folder.path()).unwrap_err();
    assert!(matches!(error, DirectoryError::Missing { .. }), "{error}");
}

#[test]
fn a_creation_that_was_interrupted_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    drop(DataDirectory::open(folder.path(), &OPTIONS).unwrap());
    fs::remove_file(folder.path().join(META)).unwrap();
    fs::write(folder.path().join("meta.json.tmp"), "{").unwrap();
    let directory = DataDirectory::open(folder.path(), &OPTIONS).unwrap();
    assert_eq!(directory.meta().epoch, 1);
}

#[test]
fn data_without_its_meta_file_is_never_taken_for_an_empty_directory() {
    let folder = tempfile::tempdir().unwrap();
    drop(DataDirectory::open(folder.path(), &OPTIONS).unwrap());
    fs::write(
        folder.path().join("stripe-001/00000000000000000000.log"),
        "data",
    )
    .unwrap();
    fs::remove_file(folder.path().join(META)).unwrap();
    let error = DataDirectory::open(folder.path(), &OPTIONS)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("stripe-001/00000000000000000000.log"),
        "{error}"
    );
}

#[test]
fn options_and_meta_out_of_range_name_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let open = |stripes, segment_bytes| {
        let options = Options {
            stripes,
            segment_bytes,
        };
        DataDirectory::open(folder.path(), &options)
            .unwrap_err()
            .to_string()
    };
    assert!(open(0, SEGMENT_BYTES_MIN).contains("stripes = 0"));
    assert!(open(257, SEGMENT_BYTES_MIN).contains("1 to 256"));
    assert!(open(1, SEGMENT_BYTES_MIN - 4096).contains("segment_bytes"));
    assert!(open(1, SEGMENT_BYTES_MIN + 1).contains("multiple of 4096"));
    drop(DataDirectory::open(folder.path(), &OPTIONS).unwrap());
    let meta = folder.path().join(META);
    edit(meta.clone(), "\"stripes\": 2", "\"stripes\": 0");
    let error = DataDirectory::open_read_only(folder.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("meta.json") && error.contains("stripes = 0"),
        "{error}"
    );
    edit(meta, "\"stripes\": 0", "\"lanes\": 2");
    let error = DataDirectory::open_read_only(folder.path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("lanes"), "{error}");
}

/// Clients keep the ids that they were told, so they are made once and are durable before.
#[test]
fn topics_of_an_earlier_program_get_ids_at_the_first_opening() {
    let folder = tempfile::tempdir().unwrap();
    let mut directory = DataDirectory::open(folder.path(), &OPTIONS).unwrap();
    directory.ensure_topic("a", 1).unwrap();
    directory.ensure_topic("b", 1).unwrap();
    drop(directory);
    let path = folder.path().join(CATALOG);
    let text = fs::read_to_string(&path).unwrap();
    let old: Vec<&str> = text
        .lines()
        .filter(|line| !["uuid", "next_"].iter().any(|key| line.contains(key)))
        .collect();
    fs::write(&path, old.join("\n")).unwrap();
    let uuids = |directory: &DataDirectory| -> Vec<Uuid> {
        let catalog = directory.catalog();
        catalog.topics().iter().map(|topic| topic.uuid).collect()
    };
    let read = DataDirectory::open_read_only(folder.path()).unwrap();
    assert!(uuids(&read).iter().all(Uuid::is_nil), "reading makes none");
    let first = uuids(&DataDirectory::open(folder.path(), &OPTIONS).unwrap());
    assert!(!first[0].is_nil() && !first[1].is_nil() && first[0] != first[1]);
    let again = uuids(&DataDirectory::open(folder.path(), &OPTIONS).unwrap());
    assert_eq!(again, first);
}

#[test]
fn a_catalog_is_replaced_durably() {
    let folder = tempfile::tempdir().unwrap();
    let mut directory = DataDirectory::open(folder.path(), &OPTIONS).unwrap();
    let topic = directory.ensure_topic("a", 2).unwrap();
    let mut catalog = (*directory.catalog()).clone();
    catalog.delete_topic(topic).unwrap();
    directory.replace_catalog(catalog.clone()).unwrap();
    drop(directory);
    let read = DataDirectory::open_read_only(folder.path()).unwrap();
    assert_eq!(*read.catalog(), catalog);
}
