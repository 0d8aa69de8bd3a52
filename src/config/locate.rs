//! Finding a key in TOML text: from a place to its path, from a path to its line.
//!
//! Owns: walking the parsed document with its spans. Never does: judging a value.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line (from 1) in which byte `at` lies.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The path of the deepest key or value that holds `span`; none where the text is no TOML.
pub(super) fn key_at(text: &str, span: &Range<usize>) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let mut found = None;
    walk_table("", document.get_ref(), &mut |path, place| {
        let inside = place.start <= span.start && span.end <= place.end;
        // Later visits are deeper or equal, so the last hit is the most exact.
        if inside {
            found = Some(path.to_owned());
        }
    });
    found
}

/// The line on which the key with this path stands; of its closest ancestor if it is not there.
pub(super) fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut best: Option<(usize, usize)> = None;
    walk_table("", document.get_ref(), &mut |path, place| {
        let is_ancestor = key
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        if is_ancestor && best.is_none_or(|(length, _)| path.len() > length) {
            best = Some((path.len(), place.start));
        }
    });
    best.map(|(_, at)| line_at(text, at))
}

/// Calls `visit` with each key's path and place, then with its value's place, parents first.
fn walk_table(prefix: &str, table: &DeTable<'_>, visit: &mut dyn FnMut(&str, Range<usize>)) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{prefix}.{}", key.get_ref())
        };
        visit(&path, key.span());
        walk_value(&path, value, visit);
    }
}

fn walk_value(path: &str, value: &Spanned<DeValue<'_>>, visit: &mut dyn FnMut(&str, Range<usize>)) {
    visit(path, value.span());
    if let Some(table) = value.get_ref().as_table() {
        walk_table(path, table, visit);
    }
    if let Some(array) = value.get_ref().as_array() {
        for (index, element) in array.iter().enumerate() {
            walk_value(&format!("{path}[{index}]"), element, visit);
        }
    }
}
