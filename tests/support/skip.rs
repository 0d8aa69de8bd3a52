//! Tests that leave themselves out.

use std::fs::File;
use std::io::Write as _;

/// Notes for the summary of `scripts/test` that the running test is left out, and why. Where nothing
/// may be left out, as in `.ci/run`, the test fails.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let forbidden = std::env::var_os("CORELANE_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!forbidden, "{test} {why}, and nothing may be skipped");
    eprintln!("skipped: {test} {why}");
    if let Some(file) = std::env::var_os("CORELANE_SKIPPED") {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(file)
            .expect("the file can be opened");
        writeln!(file, "{test} {why}").expect("the file can be written");
    }
}
