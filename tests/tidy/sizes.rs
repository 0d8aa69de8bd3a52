//! How long files and functions may be.

use crate::code::{item_end, line_of, word_places};

const FILE_LINES_MAX: usize = 600;
const MOD_FILE_LINES_MAX: usize = 150;
const FUNCTION_LINES_MAX: usize = 70;

/// A function that is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct LongFunction<P = &'static str> {
    pub path: P,
    pub name: P,
    pub lines: usize,
}

pub fn file_problems(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    // A front door declares, re-exports and explains; the shared part of tests is none.
    let lines_max = if path.starts_with("src/") && path.ends_with("/mod.rs") {
        MOD_FILE_LINES_MAX
    } else {
        FILE_LINES_MAX
    };
    if lines <= lines_max {
        return Vec::new();
    }
    vec![format!("{path}: {lines} lines; allowed: {lines_max}")]
}

/// Functions over the limit, from the line with `fn` to the closing brace.
pub fn long_functions(path: &str, code: &str) -> Vec<LongFunction<String>> {
    let mut long = Vec::new();
    for at in word_places(code, "fn") {
        let name: String = code[at + 2..]
            .trim_start()
            .chars()
            .take_while(|character| character.is_alphanumeric() || *character == '_')
            .collect();
        // `fn(u8) -> u8` is a type.
        if name.is_empty() {
            continue;
        }
        let lines = line_of(code, item_end(code, at)) - line_of(code, at) + 1;
        if lines > FUNCTION_LINES_MAX {
            long.push(LongFunction {
                path: path.to_owned(),
                name,
                lines,
            });
        }
    }
    long
}

/// Holds the found functions to the list, and the list to what was found.
pub fn ratchet_problems(found: &[LongFunction<String>], listed: &[LongFunction]) -> Vec<String> {
    let mut problems = Vec::new();
    for long in found {
        let entry = listed
            .iter()
            .find(|entry| entry.path == long.path && entry.name == long.name);
        let lines_max = entry.map_or(FUNCTION_LINES_MAX, |entry| entry.lines);
        if long.lines > lines_max {
            problems.push(format!(
                "{}: fn {} has {} lines; allowed: {lines_max}",
                long.path, long.name, long.lines
            ));
        }
    }
    for entry in listed {
        let now = found
            .iter()
            .find(|long| entry.path == long.path && entry.name == long.name);
        if now.is_none_or(|long| long.lines < entry.lines) {
            problems.push(format!(
                "{}: fn {} is shorter than {} lines now: lower or remove its exception",
                entry.path, entry.name, entry.lines
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> String {
        format!(
            "pub fn long(x: [u8; 2]) -> u8 {{\n{}}}\nfn short() {{}}",
            "x;\n".repeat(lines - 2)
        )
    }

    #[test]
    fn long_files_are_found() {
        assert_eq!(file_problems("a.rs", &"\n".repeat(601)).len(), 1);
        assert!(file_problems("a.rs", &"\n".repeat(600)).is_empty());
        assert_eq!(file_problems("src/a/mod.rs", &"\n".repeat(151)).len(), 1);
        assert!(file_problems("src/a/mod.rs", &"\n".repeat(150)).is_empty());
    }

    #[test]
    fn long_functions_are_found() {
        assert!(long_functions("a.rs", &function(70)).is_empty());
        let long = long_functions("a.rs", &function(71));
        assert_eq!(long.len(), 1);
        assert_eq!((long[0].name.as_str(), long[0].lines), ("long", 71));
        assert!(long_functions("a.rs", "type F = fn(u8) -> u8;").is_empty());
    }

    #[test]
    fn exceptions_may_only_shrink() {
        let listed = |lines| {
            [LongFunction {
                path: "a.rs",
                name: "long",
                lines,
            }]
        };
        let found = long_functions("a.rs", &function(80));
        assert!(ratchet_problems(&found, &listed(80)).is_empty());
        assert_eq!(ratchet_problems(&found, &[]).len(), 1, "not listed");
        assert_eq!(ratchet_problems(&found, &listed(79)).len(), 1, "it grew");
        assert_eq!(ratchet_problems(&found, &listed(90)).len(), 1, "it shrank");
        assert_eq!(ratchet_problems(&[], &listed(80)).len(), 1, "it is gone");
    }
}
