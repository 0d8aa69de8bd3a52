//! The repository's files, and which of them belong to the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::code::{item_end, without_comments_and_literals, without_tests, word_places};
use crate::documents::has_function;

/// What a source file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Part of the library or the program.
    Program,
    /// Compiled for tests only.
    Test,
    /// A benchmark, an example or a fuzz target.
    Other,
}

/// A text file.
pub struct File {
    pub path: String,
    pub text: String,
}

/// A Rust file.
pub struct Source {
    pub path: String,
    pub text: String,
    /// The text without comments and literals.
    pub code: String,
    pub kind: Kind,
}

impl Source {
    /// The code without what is compiled for tests only.
    pub fn shipped_code(&self) -> String {
        without_tests(&self.code)
    }
}

/// Everything that is checked.
pub struct Repository {
    root: PathBuf,
    sources: Vec<Source>,
    modules: Vec<String>,
    orphans: Vec<String>,
}

impl Repository {
    pub fn read() -> Repository {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut texts = BTreeMap::new();
        for folder in ["src", "tests", "benches", "examples", "fuzz"] {
            for path in files_under(&root, folder, "rs") {
                let text = read(&root, &path);
                texts.insert(path, text);
            }
        }
        let mut reached = BTreeMap::new();
        let mut modules = Vec::new();
        for start in ["src/lib.rs", "src/main.rs"] {
            let children = walk(&texts, start, Kind::Program, &mut reached);
            if start == "src/lib.rs" {
                modules = children;
            }
        }
        let mut orphans = Vec::new();
        let mut sources = Vec::new();
        for (path, text) in texts {
            let kind = match reached.get(&path) {
                Some(kind) => *kind,
                None if path.starts_with("tests/") => Kind::Test,
                None if path.starts_with("src/") => {
                    orphans.push(format!("{path}: no module declares it"));
                    Kind::Program
                }
                None => Kind::Other,
            };
            sources.push(Source {
                code: without_comments_and_literals(&text),
                path,
                text,
                kind,
            });
        }
        Repository {
            root,
            sources,
            modules,
            orphans,
        }
    }

    pub fn all_sources(&self) -> &[Source] {
        &self.sources
    }

    pub fn sources(&self, kind: Kind) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(move |source| source.kind == kind)
    }

    /// The modules that `src/lib.rs` declares.
    pub fn modules(&self) -> Vec<String> {
        self.modules.clone()
    }

    /// Source files that nothing includes.
    pub fn orphans(&self) -> Vec<String> {
        self.orphans.clone()
    }

    pub fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    pub fn text(&self, path: &str) -> String {
        read(&self.root, path)
    }

    pub fn documents(&self) -> Vec<File> {
        let mut paths = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
        for folder in ["docs", "examples", "config", "tuning", "fuzz"] {
            paths.extend(files_under(&self.root, folder, "md"));
        }
        self.files(paths)
    }

    pub fn scripts(&self) -> Vec<File> {
        let mut paths = Vec::new();
        for folder in ["scripts", ".ci", "config", "tuning"] {
            paths.extend(files_under(&self.root, folder, ""));
        }
        self.files(paths)
    }

    fn files(&self, paths: Vec<String>) -> Vec<File> {
        paths
            .into_iter()
            .map(|path| File {
                text: read(&self.root, &path),
                path,
            })
            .collect()
    }

    /// Why a name in a document leads nowhere; none where it does.
    pub fn missing(&self, name: &str) -> Option<String> {
        let (path, function) = match name.split_once("::") {
            Some((path, function)) => (path, Some(function)),
            None => (name, None),
        };
        if !self.has(path) {
            return Some("there is no such file".to_owned());
        }
        let function = function?;
        let is_there = has_function(&read(&self.root, path), function);
        (!is_there).then(|| format!("{path} has no function {function}"))
    }
}

fn read(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder whose name ends in `.extension`; all of them for an empty extension.
fn files_under(root: &Path, folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path
                .file_name()
                .expect("not the root")
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                // Build products and a fuzzer's findings.
                if !matches!(
                    name.as_str(),
                    "target" | "corpus" | "artifacts" | "coverage"
                ) {
                    folders.push(path);
                }
            } else if extension.is_empty() || name.ends_with(&format!(".{extension}")) {
                let inside = path.strip_prefix(root).expect("below the root");
                found.push(inside.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Follows `mod name;` from a file on; returns the names that the file itself declares.
fn walk(
    texts: &BTreeMap<String, String>,
    path: &str,
    kind: Kind,
    reached: &mut BTreeMap<String, Kind>,
) -> Vec<String> {
    let Some(text) = texts.get(path) else {
        return Vec::new();
    };
    reached.insert(path.to_owned(), kind);
    let folder = match path.rsplit_once('/') {
        Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    };
    let declared = declared_modules(&without_comments_and_literals(text));
    for (name, is_test) in &declared {
        let kind = if *is_test { Kind::Test } else { kind };
        for child in [
            format!("{folder}/{name}.rs"),
            format!("{folder}/{name}/mod.rs"),
        ] {
            walk(texts, &child, kind, reached);
        }
    }
    declared.into_iter().map(|(name, _)| name).collect()
}

/// Names of `mod name;` in a file, and whether each is compiled for tests only.
fn declared_modules(code: &str) -> Vec<(String, bool)> {
    let shipped = without_tests(code);
    word_places(code, "mod")
        .filter_map(|at| {
            let name = code[at + 3..item_end(code, at)]
                .trim()
                .strip_suffix(';')?
                .trim();
            let is_test = shipped[at..].starts_with("   ");
            Some((name.to_owned(), is_test))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn files_are_reached_through_declarations_only() {
        let texts = texts(&[
            (
                "src/lib.rs",
                "pub mod a;\nmod b;\n// mod d;\nmod inline { fn f() {} }",
            ),
            ("src/a/mod.rs", "mod c;\n#[cfg(test)]\nmod tests;"),
            ("src/a/c.rs", ""),
            ("src/a/tests.rs", "mod helper;"),
            ("src/a/tests/helper.rs", ""),
            ("src/b.rs", ""),
            ("src/d.rs", ""),
        ]);
        let mut reached = BTreeMap::new();
        let modules = walk(&texts, "src/lib.rs", Kind::Program, &mut reached);
        assert_eq!(modules, ["a", "b"]);
        assert_eq!(reached.get("src/a/c.rs"), Some(&Kind::Program));
        assert_eq!(reached.get("src/b.rs"), Some(&Kind::Program));
        assert_eq!(reached.get("src/a/tests.rs"), Some(&Kind::Test));
        assert_eq!(reached.get("src/a/tests/helper.rs"), Some(&Kind::Test));
        assert_eq!(reached.get("src/d.rs"), None, "only a comment names it");
    }

    #[test]
    fn missing_files_and_functions_are_found() {
        let repository = Repository::read();
        assert!(repository.missing("tests/none.rs").is_some());
        assert!(repository.missing("tests/tidy.rs::no_such_test").is_some());
        assert!(
            repository
                .missing("tests/tidy.rs::files_and_functions_stay_small")
                .is_none()
        );
        assert!(repository.missing("src/").is_none());
    }
}
