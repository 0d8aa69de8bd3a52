//! The rules of this repository that no compiler checks: who may import whom, sizes, leftovers,
//! files that nothing includes, and documents that name what is not there.
//!
//! Each rule is a function over text, tested on small texts next to it, so that each was seen to
//! fail; the tests in this file apply them to the repository.

#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/sizes.rs"]
mod sizes;

use files::{Kind, Repository};

/// Files that may opt out of the lint against unsafe code, each with a justification in it.
const UNSAFE_FILES: &[&str] = &[
    "benches/support/bare.rs",
    "src/control/iowq.rs",
    "src/kafka/native/client.rs",
    "src/kafka/native/conf.rs",
    "src/kafka/native/consumer.rs",
    "src/kafka/native/control.rs",
    "src/kafka/native/error.rs",
    "src/kafka/native/event.rs",
    "src/kafka/native/group.rs",
    "src/kafka/native/list.rs",
    "src/kafka/native/membership.rs",
    "src/kafka/native/message.rs",
    "src/kafka/native/producer.rs",
    "src/kafka/native/record.rs",
    "src/kafka/native/topics.rs",
    "src/log/ring.rs",
    "src/tuning/doctor/ring.rs",
    "src/tuning/jitter/pages.rs",
    "src/tuning/jitter/tsc.rs",
    "tests/hot_no_alloc.rs",
    "tests/wire_memory.rs",
];

/// Functions over the limit, with their length. This list may only shrink: a function that is no
/// longer too long, or shorter than stated, has to leave it or to be lowered.
const LONG_FUNCTIONS: &[sizes::LongFunction] = &[];

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn modules_import_downwards_only() {
    let repository = Repository::read();
    let mut problems = imports::table_problems(&repository.modules());
    for source in repository.sources(Kind::Program) {
        problems.extend(imports::problems(&source.path, &source.shipped_code()));
    }
    assert_none(&problems);
}

#[test]
fn every_source_file_belongs_to_the_program() {
    assert_none(&Repository::read().orphans());
}

#[test]
fn unsafe_code_stays_in_the_listed_files() {
    let repository = Repository::read();
    let mut problems = Vec::new();
    for source in repository.all_sources() {
        if !UNSAFE_FILES.contains(&source.path.as_str()) {
            problems.extend(code::unsafe_problems(&source.path, &source.code));
        }
    }
    for listed in UNSAFE_FILES {
        if !repository.has(listed) {
            problems.push(format!("{listed} is listed as unsafe but is not there"));
        }
    }
    assert_none(&problems);
}

#[test]
fn files_and_functions_stay_small() {
    let repository = Repository::read();
    let mut problems = Vec::new();
    let mut long = Vec::new();
    for source in repository.all_sources() {
        problems.extend(sizes::file_problems(&source.path, &source.text));
        // A test's table of cases may be as long as it needs to be.
        if source.kind != Kind::Test {
            long.extend(sizes::long_functions(&source.path, &source.shipped_code()));
        }
    }
    problems.extend(sizes::ratchet_problems(&long, LONG_FUNCTIONS));
    assert_none(&problems);
}

#[test]
fn nothing_is_left_over_or_unwrapped() {
    let repository = Repository::read();
    let mut problems = Vec::new();
    for source in repository.all_sources() {
        // The checker and its examples have to spell what they forbid.
        if !source.path.starts_with("tests/tidy") {
            problems.extend(code::leftover_problems(&source.path, &source.text));
        }
        if source.kind != Kind::Test {
            problems.extend(code::unwrap_problems(&source.path, &source.shipped_code()));
        }
    }
    for document in repository.documents() {
        problems.extend(code::leftover_problems(&document.path, &document.text));
    }
    assert_none(&problems);
}

#[test]
fn documents_name_what_is_there_and_no_machine() {
    let repository = Repository::read();
    let mut problems = Vec::new();
    for document in repository.documents() {
        problems.extend(documents::machine_problems(&document.path, &document.text));
        for name in documents::names(&document.text) {
            if let Some(reason) = repository.missing(&name) {
                problems.push(format!("{}: `{name}`: {reason}", document.path));
            }
        }
    }
    for script in repository.scripts() {
        problems.extend(documents::machine_problems(&script.path, &script.text));
    }
    assert_none(&problems);
}

#[test]
fn every_dependency_is_used_and_explained() {
    let repository = Repository::read();
    let manifest = repository.text("Cargo.toml");
    let document = repository.text("docs/dependencies.md");
    let mut problems = Vec::new();
    for name in documents::dependencies(&manifest, "dependencies") {
        let in_code = name.replace('-', "_");
        let is_used = repository
            .all_sources()
            .iter()
            .any(|source| code::word_places(&source.code, &in_code).next().is_some());
        if !is_used {
            problems.push(format!("Cargo.toml: {name} is used nowhere"));
        }
        if code::word_places(&document, name).next().is_none() {
            problems.push(format!("docs/dependencies.md: {name} is missing"));
        }
    }
    assert_none(&problems);
}
