//! The program called wrongly or with bad input: a clear error on standard error, nothing on
//! standard output, exit code 2 for wrong usage and 1 for everything else, and nothing changed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const GOOD: &str = r#"{"id":"a","client_location":{"latitude":1,"longitude":2}}"#;

struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    fn path(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        path
    }

    /// Runs the program in the directory and expects it to refuse.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = corelane(arguments, self.directory.path());
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(error.starts_with("error: "), "{arguments:?}: {error}");
        error
    }
}

fn corelane(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the program starts")
}

#[test]
fn wrong_usage_is_told_with_exit_code_2() {
    let place = Place::new();
    let cases: [(&[&str], &str); 11] = [
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["run"], "--input <FILE>"),
        (
            &["run", "--input", "f", "--cores", "0"],
            "allowed: 1 to 256 cores",
        ),
        (
            &["run", "--input", "f", "--cores", "257"],
            "allowed: 1 to 256 cores",
        ),
        (
            &["run", "--input", "f", "--acks", "some"],
            "allowed: none, leader, all",
        ),
        (&["run", "--input", "f", "--rate", "0"], "--rate <N>"),
        (&["run", "--input", "f", "--repeat", "0"], "--repeat <N>"),
        (
            &["run", "--input", "f", "--on-error", "cry"],
            "possible values: stop, skip",
        ),
        (
            &["run", "--input", "f", "--speed"],
            "unexpected argument '--speed'",
        ),
        (&["serve", "--tcp", "here"], "--tcp <IP:PORT>"),
        (&["submit", "--input", "f"], "--to <ADDR>"),
    ];
    for (arguments, expected) in cases {
        let error = place.refused(arguments, 2);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

#[test]
fn help_and_version_are_results() {
    let place = Place::new();
    for arguments in [["--help"], ["--version"]] {
        let output = corelane(&arguments, place.directory.path());
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("corelane"));
    }
}

#[test]
fn a_bad_line_stops_the_run_before_anything_is_made() {
    let place = Place::new();
    let bad = GOOD.replace("1,", "91,");
    let input = place.file("bad.jsonl", &format!("{GOOD}\n{bad}\n"));
    let data = place.path("data");
    let error = place.refused(&["run", "--input", &input, "--data-dir", &data], 1);
    let expected = format!(
        "error: {input} line 2: client_location.latitude: 91 is out of range; allowed: -90 to 90"
    );
    assert!(error.starts_with(&expected), "{error}");
    assert!(!Path::new(&data).exists());
}

#[test]
fn a_file_that_ends_in_mid_line_is_told_with_the_line() {
    let place = Place::new();
    let input = place.file("cut.jsonl", &format!("{GOOD}\n{}", &GOOD[..30]));
    let data = place.path("data");
    let error = place.refused(&["run", "--input", &input, "--data-dir", &data], 1);
    let expected = format!("error: {input} line 2: the file ends in the middle of it\n");
    assert_eq!(error, expected);
}

#[test]
fn a_file_without_transactions_is_an_error() {
    let place = Place::new();
    let data = place.path("data");
    for (name, text) in [("empty.jsonl", ""), ("blank.jsonl", "\n\n")] {
        let input = place.file(name, text);
        let error = place.refused(&["run", "--input", &input, "--data-dir", &data], 1);
        assert_eq!(error, format!("error: no transactions in {input}\n"));
    }
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::new();
    let error = place.refused(&["run", "--input", "none.jsonl"], 1);
    assert!(
        error.starts_with("error: none.jsonl: cannot be opened: "),
        "{error}"
    );
    let input = place.file("good.jsonl", GOOD);
    let error = place.refused(&["run", "--input", &input, "--config", "none.toml"], 1);
    assert!(
        error.contains("configuration none.toml cannot be read: "),
        "{error}"
    );
}

#[test]
fn a_bad_configuration_is_told_with_line_key_and_range() {
    let place = Place::new();
    let input = place.file("good.jsonl", GOOD);
    let cases = [
        (
            "[node]\nspin = 5\n",
            "line 2: node.spin: unknown field `spin`",
        ),
        (
            "[node]\nspin_us = 1000001\n",
            "line 2: node.spin_us: 1000001 is out of range; allowed: 0 to 1000000 microseconds",
        ),
        (
            "[gateway]\ntcp = [\"0.0.0.0:0\"]\n",
            "line 2: gateway.tcp[0]: 0.0.0.0:0 can be reached from other machines",
        ),
    ];
    for (text, expected) in cases {
        let config = place.file("node.toml", text);
        let data = place.path("data");
        for arguments in [
            vec![
                "run",
                "--input",
                &input,
                "--config",
                &config,
                "--data-dir",
                &data,
            ],
            vec!["serve", "--config", &config, "--data-dir", &data],
        ] {
            let error = place.refused(&arguments, 1);
            let expected = format!("error: {config} {expected}");
            assert!(error.starts_with(&expected), "{arguments:?}: {error}");
        }
        assert!(!Path::new(&data).exists());
    }
}

#[test]
fn serving_other_machines_has_to_be_allowed() {
    let place = Place::new();
    let error = place.refused(&["serve", "--tcp", "0.0.0.0:0", "--data-dir", "data"], 1);
    assert!(
        error.contains("unless gateway.allow_remote = true"),
        "{error}"
    );
    assert!(!place.directory.path().join("data").exists());
}
