//! A YAML file as a typed value, with errors that name the line.
//!
//! Owns: reading it. Never does: know its keys.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::bench::error::BenchError;

/// Bytes of a file at the most: stock files have a few hundred.
const BYTES_MAX: u64 = 1 << 20;

/// Reads and parses a file.
///
/// # Errors
/// It cannot be read, or says what its type does not; named with its line and key.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, String), BenchError> {
    let unreadable = |source| BenchError::File {
        path: path.to_path_buf(),
        source,
    };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > BYTES_MAX {
        let problem = format!("it has {bytes} bytes; allowed: up to {BYTES_MAX}");
        return Err(content(path, problem));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let parsed = parse(&text).map_err(|problem| content(path, problem))?;
    Ok((parsed, text))
}

/// Parses a text; what is wrong with it otherwise, with its line.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| {
        let told = error.without_snippet().to_string();
        let line = error.location().map(|location| location.line());
        let found = line.and_then(|line| {
            let shown = text
                .lines()
                .nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
            // The parser's own words for the place say less.
            let problem = told.split(" at line ").next().unwrap_or(&told);
            Some(format!("line {line}: '{}': {problem}", shown.trim()))
        });
        found.unwrap_or(told)
    })
}

/// The line of a key at the top of a text, from 1; none if it is not there.
pub fn line_of(text: &str, key: &str) -> Option<usize> {
    let has_key = |line: &str| {
        let rest = line.strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    text.lines().position(has_key).map(|line| line + 1)
}

/// A file that says what cannot be done.
pub fn content(path: &Path, problem: String) -> BenchError {
    BenchError::Content {
        path: path.to_path_buf(),
        problem,
    }
}
