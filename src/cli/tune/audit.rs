//! `corelane tune audit`: which threads of a running node may run where they should not.
//!
//! Owns: its arguments, and how the result is printed. Never does: the verdict
//! ([`crate::tuning::audit`]).

use std::fmt;
use std::process::ExitCode;

use clap::Args;

use super::table::{plain, trimmed};
use super::{Exit, GlobalArgs};
use crate::cli::outcome;
use crate::cpu::{LAYOUT_PATH, Layout, LayoutFileError, Sys, Topology};
use crate::tuning::audit::{Audit, Source, Verdict};

/// Arguments of `corelane tune audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The running node
    #[arg(long, value_name = "PID")]
    pid: u32,
}

/// Looks and prints.
pub fn audit(args: &AuditArgs, global: &GlobalArgs, sys: &dyn Sys) -> Exit {
    let topology = match Topology::read(sys) {
        Ok(topology) => topology,
        Err(error) => return Exit::Error.saying(error),
    };
    let layout = match layout(global, sys, &topology) {
        Ok(layout) => layout,
        Err(error) => return Exit::Error.saying(error),
    };
    let audit = match Audit::of(sys, args.pid, layout.as_ref(), &topology) {
        Ok(audit) => audit,
        Err(error) => return Exit::Error.saying(error),
    };
    let printed = if global.json {
        outcome::print(serde_json::to_string(&audit).expect("text, lists and numbers only"))
    } else {
        outcome::print(Shown {
            audit: &audit,
            quiet: global.quiet,
        })
    };
    if printed != ExitCode::SUCCESS {
        return Exit::Error;
    }
    match audit.verdict {
        Verdict::Clean | Verdict::Unproven => Exit::Ok,
        Verdict::Strays => Exit::Must,
    }
}

/// The layout that was asked for, or the one in its place. One there that does not hold is no help,
/// and a node that runs does not go by it either.
fn layout(
    global: &GlobalArgs,
    sys: &dyn Sys,
    topology: &Topology,
) -> Result<Option<Layout>, LayoutFileError> {
    if let Some(path) = &global.layout {
        return Layout::read_current(sys, path, topology).map(Some);
    }
    match Layout::read_current(sys, LAYOUT_PATH, topology) {
        Ok(layout) => Ok(Some(layout)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => {
            eprintln!("note: {error}; threads are judged by where the node's executors are");
            Ok(None)
        }
    }
}

/// An audit for people.
struct Shown<'a> {
    audit: &'a Audit,
    quiet: bool,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let audit = self.audit;
        let expected = &audit.expected;
        let source = match expected.source {
            Source::Layout => "the layout",
            Source::Executors => "the node's executors",
        };
        let shards: Vec<String> = expected.shards.iter().map(ToString::to_string).collect();
        writeln!(
            f,
            "{} {}  by {source}: shards on {}, housekeeping {}, io {}",
            audit.comm,
            audit.pid,
            shards.join(","),
            or_none(&expected.housekeeping.to_string()),
            or_none(&expected.io.to_string()),
        )?;
        let mut table = plain(&[
            "TID",
            "NAME",
            "STATE",
            "LAST",
            "ALLOWED",
            "PREEMPTED",
            "VERDICT",
        ]);
        let shown = audit
            .threads
            .iter()
            .filter(|thread| !self.quiet || thread.wrong.is_some());
        for thread in shown {
            let facts = &thread.facts;
            table.add_row([
                facts.tid.to_string(),
                facts.comm.clone(),
                facts.state.to_string(),
                facts.last_cpu.map_or("-".to_owned(), |cpu| cpu.to_string()),
                facts.allowed.to_string(),
                facts.nonvoluntary_switches.to_string(),
                thread.wrong.clone().unwrap_or_else(|| "ok".to_owned()),
            ]);
        }
        if table.row_count() > 0 {
            writeln!(f, "{}", trimmed(&table))?;
        }
        for unproven in &audit.unproven {
            writeln!(f, "note: {unproven}")?;
        }
        let (strays, threads) = (audit.strays().count(), audit.threads.len());
        match audit.verdict {
            Verdict::Clean => write!(f, "clean: {threads} threads, none where it should not be"),
            Verdict::Unproven => write!(f, "not proven: {threads} threads, see the note"),
            Verdict::Strays => write!(
                f,
                "{strays} of {threads} threads may run where they should not"
            ),
        }
    }
}

fn or_none(list: &str) -> &str {
    if list.is_empty() { "nowhere" } else { list }
}
