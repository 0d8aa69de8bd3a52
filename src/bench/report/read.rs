//! A report that `corelane bench --json` wrote before.
//!
//! Owns: reading it, and saying what is wrong with it. Never does: judging its figures.

use std::fs;
use std::path::Path;

use super::model::Report;
use crate::bench::error::BenchError;

/// Reads it.
///
/// # Errors
/// The file cannot be read, or is no such report: names the line and the key.
pub fn read(path: &Path) -> Result<Report, BenchError> {
    let bytes = fs::read(path).map_err(|source| BenchError::File {
        path: path.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    serde_json::from_str(&text).map_err(|error| BenchError::Content {
        path: path.to_owned(),
        problem: format!(
            "no report of 'corelane bench --json': {}",
            told(&text, &error)
        ),
    })
}

/// The parser's words, with the key where it stopped; it names the key only where that is missing.
fn told(text: &str, error: &serde_json::Error) -> String {
    let mut lines = text.split_inclusive('\n');
    let above: usize = lines
        .by_ref()
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let at = above.saturating_add(error.column()).min(text.len());
    // Columns are counted in bytes, and may lie inside of a letter.
    let end = (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    match last_key(&text[..end]) {
        Some(key) => format!("{error}, near key \"{key}\""),
        None => error.to_string(),
    }
}

/// The last `"key":` of a text. A colon inside of a text that ends in a quotation mark may mislead
/// it, which costs no more than a wrong hint.
fn last_key(text: &str) -> Option<&str> {
    text.rmatch_indices(':').find_map(|(at, _)| {
        let before = text[..at].trim_end().strip_suffix('"')?;
        before.rsplit_once('"').map(|(_, key)| key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, text).unwrap();
        read(&path).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_report_is_told_with_its_line_and_key() {
        let found = problem("{\n \"bench\": \"latency\",\n \"corelane\": 7\n}");
        assert!(found.contains("report.json: "), "{found}");
        assert!(
            found.contains("line 3") && found.contains("\"corelane\""),
            "{found}"
        );
        let found = problem("{\"bench\": \"latency\"}");
        assert!(found.contains("missing field `corelane`"), "{found}");
        let found = problem("{\"schema\": 1, \"tool\": \"another\"}");
        assert!(
            found.contains("missing field `bench`") && found.contains("line 1"),
            "{found}"
        );
        for text in [
            "",
            "{",
            "[]",
            "é",
            "\u{0}",
            "{\"bench\": \"of another kind\"}",
        ] {
            assert!(problem(text).contains("no report"), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        fs::write(&path, [b'{', 0xff, 0xfe, b'"']).unwrap();
        assert!(matches!(read(&path), Err(BenchError::Content { .. })));
        assert!(matches!(read(folder.path()), Err(BenchError::File { .. })));
    }
}
