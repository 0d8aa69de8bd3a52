//! Instructions per transaction, and per stage of its way, counted under callgrind.
//!
//! A count is the same on a busy machine as on a quiet one, so it tells a change of some percent
//! where time cannot. It says nothing about caches, the kernel and waiting.
//!
//! Each stage is a program run of its own under `valgrind --tool=callgrind`, which collects only while
//! [`counted`] runs: what prepares the stage is left out. Cores run by hand on simulated disks, as in
//! tests/hot_no_alloc.rs, so the whole transaction has its submission and its answer in it, and no
//! executor and no system call.
//!
//! What is committed in `expected.toml` holds for the compiler and the lock file of this repository.
//! `scripts/bench instructions` fails where a stage costs more than 3 % more, or less, than stated.
//!
//! `--update` writes the counts down; `--json` prints JSON. Without `--bench`, which `cargo bench` adds,
//! every stage runs a few times, without valgrind.

#![allow(clippy::unwrap_used)] // Of the rig of the tests.

#[path = "../../tests/support/core_rig.rs"]
mod core_rig;
mod count;
mod stages;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the bench cannot go on.
type Failure = Box<dyn std::error::Error>;

/// How far a count may be from the one that is written down: per cent.
const TOLERANCE_PERCENT: f64 = 3.0;

/// Instructions per transaction and stage, under callgrind.
#[derive(Debug, Parser)]
struct Arguments {
    /// Stages; all without
    stages: Vec<String>,
    /// Write the counts down instead of comparing them
    #[arg(long)]
    update: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Run one stage so many times, and nothing else: what runs under callgrind
    #[arg(long, hide = true, value_name = "TIMES")]
    run: Option<u64>,
    /// Count; added by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Run every stage a few times all the same
    #[arg(long)]
    test: bool,
}

/// What callgrind collects: the stage, and nothing that prepares it.
#[inline(never)]
pub fn counted(stage: &mut dyn FnMut()) {
    stage();
    std::hint::black_box(());
}

fn expected_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/expected.toml")
}

type Counts = BTreeMap<String, f64>;

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let chosen = stages::chosen(&arguments.stages)?;
    if let Some(times) = arguments.run {
        chosen.iter().for_each(|stage| (stage.run)(times));
        return Ok(());
    }
    if !arguments.bench || arguments.test {
        chosen.iter().for_each(|stage| (stage.run)(20));
        return Ok(());
    }
    let mut counts = Counts::new();
    for stage in &chosen {
        let count = count::per_time(stage)?;
        counts.insert(stage.name.to_owned(), (count * 10.0).round() / 10.0);
    }
    let file = expected_file();
    let mut expected: Counts = match std::fs::read_to_string(&file) {
        Ok(text) => toml::from_str(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Counts::new(),
        Err(error) => return Err(format!("{}: {error}", file.display()).into()),
    };
    if arguments.update {
        expected.extend(counts.clone());
        std::fs::write(&file, toml::to_string(&expected)?)?;
    }
    report(arguments, &chosen, &counts, &expected)
}

fn report(
    arguments: &Arguments,
    chosen: &[&stages::Stage],
    counts: &Counts,
    expected: &Counts,
) -> Result<(), Failure> {
    if arguments.json {
        println!(
            "{}",
            serde_json::json!({ "bench": "instructions", "counts": counts, "expected": expected })
        );
    } else {
        println!(
            "{:<24} {:>10} {:>10}  of what",
            "stage", "counted", "expected"
        );
    }
    let mut off = Vec::new();
    for stage in chosen {
        let count = counts[stage.name];
        let stated = expected.get(stage.name).copied();
        if !arguments.json {
            let stated = stated.map_or("-".to_owned(), |stated| format!("{stated:.1}"));
            println!(
                "{:<24} {count:>10.1} {stated:>10}  {}",
                stage.name, stage.what
            );
        }
        match stated {
            Some(stated) => {
                let percent = 100.0 * (count / stated - 1.0);
                if percent.abs() > TOLERANCE_PERCENT {
                    off.push(format!("{}: {percent:+.1} %", stage.name));
                }
            }
            None => off.push(format!("{}: nothing is written down", stage.name)),
        }
    }
    match off.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "not within {TOLERANCE_PERCENT} %: {}; where that is meant, run with --update and say in \
             the commit why",
            off.join(", ")
        )
        .into()),
    }
}

fn main() {
    if let Err(error) = run(&Arguments::parse()) {
        eprintln!("instructions: {error}");
        std::process::exit(1);
    }
}
