//! Who may import whom, as the layers of `src/lib.rs` say: arrows point down only.

use crate::code::{is_word, line_of, word_places};

const WORDS: &[&str] = &["clock", "ids", "limits", "location"];

const RULES: &[&str] = &[
    "exactly_once",
    "frame",
    "geo",
    "storage",
    "telemetry",
    "transaction",
    "wire",
];

/// What a module may import besides the words and itself.
enum May {
    Import(&'static [&'static str]),
    ImportRules,
    ImportAllBut(&'static [&'static str]),
}

use May::{Import, ImportAllBut, ImportRules};

/// Every module of the library and what it may import.
const MODULES: &[(&str, May)] = &[
    ("clock", Import(&[])),
    ("ids", Import(&[])),
    ("limits", Import(&[])),
    ("location", Import(&[])),
    ("exactly_once", Import(&["transaction"])),
    ("frame", Import(&["telemetry", "transaction"])),
    ("geo", Import(&[])),
    ("storage", Import(&["telemetry"])),
    ("telemetry", Import(&[])),
    ("transaction", Import(&[])),
    ("wire", Import(&["transaction"])),
    ("cpu", ImportRules),
    ("kafka", ImportRules),
    ("log", ImportRules),
    ("mesh", ImportRules),
    (
        "engine",
        Import(&[
            "exactly_once",
            "frame",
            "geo",
            "mesh",
            "storage",
            "telemetry",
            "transaction",
        ]),
    ),
    (
        "broker",
        Import(&[
            "engine",
            "exactly_once",
            "frame",
            "geo",
            "log",
            "mesh",
            "storage",
            "telemetry",
            "transaction",
            "wire",
        ]),
    ),
    ("config", Import(&["kafka"])),
    ("client", ImportRules),
    ("tuning", Import(&["cpu", "telemetry"])),
    // Nobody but cli, the benchmarks and main sees control.
    ("control", ImportAllBut(&["bench", "cli"])),
    ("bench", ImportAllBut(&["cli"])),
    ("cli", ImportAllBut(&[])),
];

/// Outside crates that belong to few modules, so that each can be replaced. `main` is the program.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("axum", &["control"]),
    ("bincode", &["transaction"]),
    ("clap", &["cli"]),
    ("comfy_table", &["cli"]),
    ("core_affinity", &["cpu"]),
    ("crossbeam", &["mesh", "log", "engine", "broker", "control"]),
    ("futures_rustls", &["broker"]),
    ("glommio", &["log", "engine", "broker", "control"]),
    ("hdrhistogram", &["bench", "telemetry", "tuning"]),
    ("indicatif", &["cli"]),
    ("io_uring", &["log"]),
    ("kafka_protocol", &["broker", "control"]),
    ("lz4_flex", &["wire"]),
    ("mimalloc", &["main"]),
    ("prometheus_client", &["control"]),
    ("ratatui", &["cli"]),
    ("rdkafka", &["kafka"]),
    ("ring", &["broker", "control"]),
    ("serde_saphyr", &["bench"]),
    ("signal_hook", &["control"]),
    ("snap", &["wire"]),
    ("tokio", &["control"]),
    ("toml", &["config", "tuning"]),
    ("ureq", &["cli", "control"]),
];

/// Modules without a row, and rows without a module.
pub fn table_problems(modules: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    for module in modules {
        if !MODULES.iter().any(|(name, _)| name == module) {
            problems.push(format!(
                "src/lib.rs: {module} has no row in the import table"
            ));
        }
    }
    for (name, _) in MODULES {
        if !modules.iter().any(|module| module == name) {
            problems.push(format!(
                "the import table has a row for {name}, which is no module"
            ));
        }
    }
    problems
}

/// What a file imports and may not.
pub fn problems(path: &str, code: &str) -> Vec<String> {
    let Some(module) = module_of(path) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for (imported, at) in own_imports(path, code) {
        if !may_import(&module, &imported) {
            let line = line_of(code, at);
            problems.push(format!("{path}:{line}: {module} may not import {imported}"));
        }
    }
    for (name, allowed) in OUTSIDE {
        if allowed.contains(&module.as_str()) {
            continue;
        }
        for at in word_places(code, name).filter(|at| is_crate_path(code, *at, name)) {
            let line = line_of(code, at);
            problems.push(format!(
                "{path}:{line}: {module} may not use the crate {name}"
            ));
        }
    }
    problems
}

/// The module of the library a file belongs to; `main` for the program, none for the library's root.
fn module_of(path: &str) -> Option<String> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib").then(|| module.to_owned())
}

fn may_import(module: &str, imported: &str) -> bool {
    if module == imported || module == "main" || WORDS.contains(&imported) {
        return true;
    }
    match MODULES.iter().find(|(name, _)| *name == module) {
        Some((_, Import(allowed))) => allowed.contains(&imported),
        Some((_, ImportRules)) => RULES.contains(&imported),
        Some((_, ImportAllBut(forbidden))) => !forbidden.contains(&imported),
        None => false,
    }
}

fn is_crate_path(code: &str, at: usize, name: &str) -> bool {
    let before = code[..at].trim_end();
    let after = code[at + name.len()..].trim_start();
    // `config::toml` is a path of somebody else, `use toml;` and `toml::from_str` are the crate.
    let starts_path = !before.ends_with("::") || before.ends_with(" ::");
    starts_path && (after.starts_with("::") || before.ends_with("use"))
}

/// The library's modules that a file names, and where: after `crate::`, `corelane::`, or as many
/// `super::` as lead to the library's root.
fn own_imports(path: &str, code: &str) -> Vec<(String, usize)> {
    let mut imports = Vec::new();
    for root in ["crate::", "corelane::"] {
        for (at, _) in code.match_indices(root) {
            let starts = at == 0 || !is_word(code.as_bytes()[at - 1]);
            if starts {
                imports.extend(heads(&code[at + root.len()..]).map(|head| (head, at)));
            }
        }
    }
    let up = format!("{}super::", "super::".repeat(depth(path) - 1));
    for (at, _) in code.match_indices(&up) {
        let is_first = !code[..at].ends_with("super::");
        let rest = &code[at + up.len()..];
        if is_first && !rest.starts_with("super") {
            imports.extend(
                heads(rest)
                    .filter(|head| MODULES.iter().any(|(name, _)| name == head))
                    .map(|head| (head, at)),
            );
        }
    }
    imports
}

/// How many `super::` lead from a file to the library's root.
fn depth(path: &str) -> usize {
    let parts = path.matches('/').count();
    if path.ends_with("/mod.rs") {
        parts - 1
    } else {
        parts
    }
}

/// The first names of a path or of each path in a group: `a::b`, `{a, b::{c, d}}`.
fn heads(rest: &str) -> impl Iterator<Item = String> {
    let mut heads = Vec::new();
    if let Some(group) = rest.strip_prefix('{') {
        let mut depth = 1;
        let mut wants_head = true;
        for (at, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => wants_head = true,
                _ if wants_head && is_word(character as u8) => {
                    heads.push(head(&group[at..]));
                    wants_head = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    } else {
        heads.push(head(rest));
    }
    heads.into_iter().filter(|head| !head.is_empty())
}

fn head(rest: &str) -> String {
    rest.chars()
        .take_while(|character| is_word(*character as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, code: &str) -> Vec<String> {
        problems(path, code)
    }

    #[test]
    fn upward_imports_are_found_however_they_are_written() {
        for code in [
            "use crate::engine::Duty;",
            "use crate::{ids, engine::Duty};",
            "use crate::{\n    ids::{self, Offset},\n    engine,\n};",
            "fn f() { crate::engine::go() }",
            "use super::super::engine::Duty;",
        ] {
            let problems = found("src/log/writer.rs", code);
            assert_eq!(problems.len(), 1, "{code}");
            assert!(
                problems[0].contains("log may not import engine"),
                "{problems:?}"
            );
        }
        assert_eq!(found("src/log/mod.rs", "use super::engine::Duty;").len(), 1);
        assert_eq!(
            found("src/log/a/b.rs", "super::super::super::engine::go()").len(),
            1
        );
    }

    #[test]
    fn downward_imports_and_own_parts_are_fine() {
        for code in [
            "use crate::log::format;",
            "use crate::{ids::Offset, wire::{batch, engine}};",
            "use super::engine::Duty;",
            "mycrate::engine::go()",
        ] {
            assert!(found("src/log/writer.rs", code).is_empty(), "{code}");
        }
        assert!(found("src/lib.rs", "use crate::engine;").is_empty());
        assert!(found("src/main.rs", "use corelane::cli::Cli;").is_empty());
    }

    #[test]
    fn rules_and_resources_do_not_import_each_other() {
        assert_eq!(found("src/geo/mod.rs", "use crate::telemetry::X;").len(), 1);
        assert!(found("src/wire/mod.rs", "use crate::transaction::X;").is_empty());
        assert_eq!(
            found("src/transaction/mod.rs", "use crate::wire::X;").len(),
            1
        );
        assert_eq!(found("src/mesh/ring.rs", "use crate::log::X;").len(), 1);
        assert_eq!(found("src/engine/duty.rs", "use crate::log::X;").len(), 1);
        assert_eq!(
            found("src/engine/duty.rs", "use crate::config::X;").len(),
            1
        );
        assert_eq!(found("src/control/start.rs", "use crate::cli::X;").len(), 1);
        assert_eq!(found("src/config/mod.rs", "use crate::geo::X;").len(), 1);
        assert_eq!(
            found("src/client/mod.rs", "use crate::control::X;").len(),
            1
        );
    }

    #[test]
    fn outside_crates_stay_in_their_modules() {
        for code in [
            "use glommio::Task;",
            "use ::glommio::Task;",
            "glommio::spawn()",
            "use glommio;",
        ] {
            assert_eq!(found("src/geo/mod.rs", code).len(), 1, "{code}");
            assert!(found("src/log/disk.rs", code).is_empty(), "{code}");
        }
        assert_eq!(found("src/engine/duty.rs", "use rdkafka::X;").len(), 1);
        assert_eq!(
            found("src/engine/duty.rs", "use core_affinity::X;").len(),
            1
        );
        assert!(found("src/geo/mod.rs", "self.glommio.run(); my::glommio::x()").is_empty());
    }

    #[test]
    fn modules_and_rows_match() {
        let mut modules: Vec<String> = MODULES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(table_problems(&modules).is_empty());
        modules.push("kitchen".to_owned());
        assert_eq!(table_problems(&modules).len(), 1);
        modules.truncate(MODULES.len() - 1);
        assert_eq!(table_problems(&modules).len(), 1);
    }
}
