//! What documents say: names of files and tests, and no paths of somebody's machine.

/// Folders at the top; a word that starts with one of them names something in the repository.
const FOLDERS: &[&str] = &[
    ".ci/",
    "benches/",
    "config/",
    "docs/",
    "examples/",
    "fuzz/",
    "scripts/",
    "src/",
    "tests/",
    "tuning/",
];

/// Folders that are made by running something and are not kept.
const MADE: &[&str] = &[
    "fuzz/artifacts",
    "fuzz/corpus",
    "fuzz/coverage",
    "fuzz/target",
];

/// Starts of paths that exist on one machine only.
const MACHINE: &[&str] = &[
    "/home/", "/root/", "/Users/", "/srv/", "/tmp/", "/mnt/", "/opt/",
];

pub fn machine_problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for start in MACHINE {
            for (at, _) in line.match_indices(start) {
                // `docs/home/` is no path from the root.
                let before = line[..at].chars().next_back();
                if before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '-' | '_')) {
                    problems.push(format!(
                        "{path}:{}: names the machine path {start}",
                        number + 1
                    ));
                }
            }
        }
    }
    problems
}

/// Files, folders and tests (`tests/a.rs::name`) that a document names.
pub fn names(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || "`()[]\"'|,;".contains(c))
        .map(|word| {
            word.trim_end_matches(['.', ':', '!', '?'])
                .trim_start_matches("./")
        })
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !MADE.iter().any(|made| word.starts_with(made)))
        // `docs/decisions/NNNN-title.md` and `tests/*.rs` stand for many.
        .filter(|word| !word.contains("NNNN") && !word.contains(['*', '<', '{', '$']))
        .map(|word| word.split('#').next().unwrap_or(word).to_owned())
        .collect()
}

/// Whether `text` has a function with this name.
pub fn has_function(text: &str, name: &str) -> bool {
    text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<"))
}

/// Names of the packages that a manifest depends on, for tests included, in the sections whose
/// names end in `section`.
pub fn dependencies<'a>(manifest: &'a str, section: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut is_inside = false;
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            is_inside = header.trim_end_matches(']').ends_with(section);
        } else if is_inside && let Some((name, _)) = line.split_once(" = ") {
            names.push(name.trim_matches('"'));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_paths_are_found() {
        for text in ["see /home/me/x", "`/tmp/a`", "cd=/root/x", "/srv/x"] {
            assert_eq!(machine_problems("a.md", text).len(), 1, "{text}");
        }
        assert!(machine_problems("a.md", "docs/srv/x and https://a.b/home/c").is_empty());
    }

    #[test]
    fn named_files_are_found_wherever_they_stand() {
        let text = "See `src/a.rs`, [b](docs/b.md#part) and ./scripts/run.\n| tests/c.rs::name |\n\
                    docs/decisions/NNNN-title.md tests/*.rs other/x.rs";
        assert_eq!(
            names(text),
            ["src/a.rs", "docs/b.md", "scripts/run", "tests/c.rs::name"]
        );
    }

    #[test]
    fn dependencies_are_listed_by_section() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\na-b = \"1\"\n\
                        [dev-dependencies]\nc = { version = \"1\" }\n[lints.rust]\nd = \"deny\"\n";
        assert_eq!(dependencies(manifest, "dependencies"), ["a-b", "c"]);
        assert_eq!(dependencies(manifest, "dev-dependencies"), ["c"]);
    }

    #[test]
    fn functions_are_found_by_their_whole_name() {
        assert!(has_function("fn holds() {}", "holds"));
        assert!(has_function("fn holds<T>() {}", "holds"));
        assert!(!has_function("fn holds_more() {}", "holds"));
    }
}
