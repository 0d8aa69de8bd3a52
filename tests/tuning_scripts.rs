//! The scripts beside the program: they find it and each other wherever they are started from, and
//! the one that compares leaves a host as it was.
//!
//! By themselves, because processes that start beside a test hold its locks for a moment.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A program by the name of corelane that says what it was asked, and otherwise only knows whether
/// one knob is applied: whether there is a file `applied` in its folder.
const STUB: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$*" in
*diff*) echo "no regression" ;;
jitter*) echo "{}" ;;
"tune revert"*)
    if rm "$here/applied" 2>/dev/null; then
        echo "reverted     vm.stat  /proc/sys/vm/stat_interval"
    fi
    echo "0 left  exit 0"
    ;;
"tune apply"*) : >"$here/applied" ;;
*) echo "asked: $*" ;;
esac
"#;

/// A folder with the stub in it.
fn stub() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("corelane");
    fs::write(&program, STUB).expect("a temporary folder");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    folder
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning")
}

/// A script, run by the smallest shell there is; the stub comes first where programs are looked for.
fn script(
    stub: &TempDir,
    folder: &Path,
    script: &str,
    arguments: &[&str],
) -> (Option<i32>, String) {
    let path = std::env::var("PATH").expect("tests have one");
    let ran = Command::new("sh")
        .arg(script)
        .args(arguments)
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", stub.path().display()))
        .env_remove("CORELANE")
        .output()
        .expect("there is a shell");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    (
        ran.status.code(),
        said + &String::from_utf8_lossy(&ran.stderr),
    )
}

#[test]
fn scripts_find_their_parts_from_inside_and_outside_their_folder() {
    let stub = stub();
    let folder = scripts();
    for name in ["check", "plan", "apply", "revert", "verify"] {
        let file = format!("{name}.sh");
        let full = folder.join(&file);
        let places: [(&Path, &str); 4] = [
            (&folder, &file),
            (&folder, &format!("./{file}")),
            (folder.parent().unwrap(), &format!("tuning/{file}")),
            (stub.path(), full.to_str().unwrap()),
        ];
        for (from, path) in places {
            let (code, said) = script(&stub, from, path, &["--only", "two words"]);
            assert_eq!(code, Some(0), "{path}: {said}");
            let is_told = match name {
                "apply" => said.is_empty() && stub.path().join("applied").exists(),
                "revert" => said.contains("exit 0"),
                _ => said == format!("asked: tune {name} --only two words\n"),
            };
            assert!(is_told, "{path}: {said}");
        }
    }
}

/// A knob that was applied before is applied afterwards, and only such a one; also where the command
/// that is measured fails.
#[test]
fn a_comparison_leaves_the_host_as_it_was() {
    for was_applied in [false, true] {
        for (command, expected) in [("true", 0), ("false", 1)] {
            let stub = stub();
            let applied = stub.path().join("applied");
            if was_applied {
                fs::write(&applied, "").unwrap();
            }
            let results = stub.path().join("results");
            let arguments = ["vm.stat", "2", results.to_str().unwrap(), command];
            let (code, said) = script(&stub, &scripts(), "bench-ab.sh", &arguments);
            assert_eq!(code, Some(expected), "{said}");
            assert_eq!(applied.exists(), was_applied, "{command}: {said}");
            assert_eq!(said.contains("pair 2 of 2"), expected == 0, "{said}");
        }
    }
}

#[test]
fn shellcheck_finds_nothing_in_the_scripts() {
    let files = fs::read_dir(scripts()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "sh"));
    let ran = Command::new("shellcheck")
        .args(["-s", "sh", "-x"])
        .args(files)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let Ok(ran) = ran else {
        eprintln!("shellcheck is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
}
