//! `corelane log` on sound, damaged and foreign directories: exit codes, the place of damage, and
//! that nothing is ever changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corelane::ids::{SegmentSeq, StripeId};
use corelane::log::directory::{DataDirectory, Options};
use corelane::log::files::segment_path;
use tempfile::TempDir;

/// A data directory without records, that nobody has open.
fn data_directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = Options {
        stripes: 2,
        segment_bytes: 16 << 20,
    };
    DataDirectory::open(directory.path(), &options).expect("a new data directory");
    directory
}

fn log(command: &str, directory: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["log", command])
        .arg(directory)
        .args(more)
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Every file with its bytes.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(path).expect("readable"));
        }
    }
    found
}

#[test]
fn a_sound_directory_is_told_and_left_alone() {
    let directory = data_directory();
    let before = contents(directory.path());
    for command in ["verify", "stat", "dump"] {
        for more in [&[][..], &["--json"]] {
            let output = log(command, directory.path(), more);
            assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
            assert!(output.stderr.is_empty(), "{command}: {output:?}");
        }
    }
    let output = log("verify", directory.path(), &[]);
    assert!(text(&output.stdout).ends_with(": sound\n"));
    let output = log("stat", directory.path(), &["--json"]);
    let stat: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(stat["stripes"].as_array().map(Vec::len), Some(2));
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn a_damaged_directory_fails_with_file_and_byte_and_is_left_alone() {
    let directory = data_directory();
    let segment = segment_path(StripeId(1), SegmentSeq(0));
    let path = directory.path().join(&segment);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(&path, [0x5a; 8192]).expect("written");
    let before = contents(directory.path());

    let output = log("verify", directory.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let place = format!("{segment}, byte 0: ");
    assert!(text(&output.stdout).contains(&place), "{output:?}");
    assert!(
        text(&output.stderr).contains("not sound; problems: 1,"),
        "{output:?}"
    );

    let output = log("verify", directory.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let problem = &report["stripes"][1]["problems"][0];
    assert_eq!(problem["path"], segment.as_str());
    assert_eq!(problem["byte"], 0);

    assert_eq!(log("stat", directory.path(), &[]).status.code(), Some(1));
    assert_eq!(contents(directory.path()), before);
}

#[test]
fn what_is_no_data_directory_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let missing = directory.path().join("none");
    for command in ["verify", "stat", "dump"] {
        for path in [directory.path(), &missing] {
            let output = log(command, path, &[]);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
            let error = text(&output.stderr);
            assert!(error.contains("is no data directory"), "{error}");
        }
    }
    assert!(!missing.exists());
}

#[test]
fn a_directory_of_another_version_is_refused() {
    let directory = data_directory();
    let meta = directory.path().join("meta.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(&meta).expect("readable")).expect("JSON");
    json["format_version"] = 99.into();
    fs::write(&meta, json.to_string()).expect("written");
    for command in ["verify", "stat", "dump"] {
        let output = log(command, directory.path(), &[]);
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(error.contains("has format version 99"), "{error}");
    }
}

#[test]
fn wrong_usage_is_told_with_exit_code_2() {
    let directory = data_directory();
    for (command, more) in [
        ("repair", &[][..]),
        ("dump", &["--stripe", "x"]),
        ("dump", &["--detail", "all"]),
        ("verify", &["--stripe", "1"]),
    ] {
        let output = log(command, directory.path(), more);
        assert_eq!(output.status.code(), Some(2), "{command} {more:?}");
    }
}

#[test]
fn a_topic_that_is_not_there_is_told() {
    let directory = data_directory();
    let output = log("dump", directory.path(), &["--topic", "nothing"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("topic 'nothing'"),
        "{output:?}"
    );
}
