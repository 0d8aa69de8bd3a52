//! `corelane bench floor`: what this host can do without us.
//!
//! Owns: its arguments and its table. Never does: measuring ([`crate::bench::floor`]).

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::options;
use crate::bench::floor::{self, Floor, FloorOptions, Timing};
use crate::bench::report::machine::Machine;
use crate::cli::{jitter, outcome};
use crate::tuning::doctor::disk::Access;

/// The 99th percentile is shown of at least so many samples.
const P99_COUNT_MIN: u64 = 1_000;

/// Arguments of `corelane bench floor`.
#[derive(Debug, Args)]
pub(super) struct FloorArgs {
    /// Directory whose device is measured; it must be there, and nothing is left in it
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Bytes of a message over loopback
    #[arg(long, value_name = "BYTES", default_value = "100", value_parser = options::size)]
    size: usize,
    /// How long to measure, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "8", value_parser = options::duration)]
    duration: Duration,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures.
pub(super) fn floor(args: &FloorArgs) -> ExitCode {
    let machine = Machine::read(&args.dir);
    let options = FloorOptions {
        directory: &args.dir,
        record_bytes: args.size,
        span: args.duration,
    };
    match floor::measure(&options) {
        Ok(floor) => jitter::print(&FloorReport { machine, floor }, args.json),
        Err(error) => outcome::failed(error),
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
struct FloorReport {
    machine: Machine,
    #[serde(flatten)]
    floor: Floor,
}

impl fmt::Display for FloorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let floor = &self.floor;
        let machine = &self.machine;
        writeln!(
            f,
            "{}, {}, kernel {}",
            machine.cpu, machine.standing, machine.kernel
        )?;
        writeln!(f, "{}: {}", machine.device, machine.file_system)?;
        if floor.access == Access::Cached {
            writeln!(
                f,
                "This file system has no O_DIRECT: writes go through the page cache."
            )?;
        }
        writeln!(f, "{}", timings(floor))?;
        writeln!(
            f,
            "sequential writes: {:.0} MB/s",
            floor.write_bytes_per_s / 1e6
        )?;
        writeln!(f, "loopback: {:.0} MB/s", floor.loopback_bytes_per_s / 1e6)?;
        if floor.hop.is_none() {
            writeln!(f, "core to core: this process has one CPU")?;
        }
        write!(f, "{}", gaps(floor))
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn timings(floor: &Floor) -> Table {
    let mut table = table(&["µs", "samples", "p50", "p99", "p99.9", "max"]);
    let mut row = |name: &str, of: &Timing| {
        let p99 = if of.count < P99_COUNT_MIN {
            "-".to_owned()
        } else {
            format!("{:.2}", of.p99_us)
        };
        let p999 = of.p999_us.map_or("-".to_owned(), |us| format!("{us:.2}"));
        table.add_row([
            name.to_owned(),
            of.count.to_string(),
            format!("{:.2}", of.p50_us),
            p99,
            p999,
            format!("{:.2}", of.max_us),
        ]);
    };
    row("write 4 KiB, fdatasync", &floor.write_sync);
    row("write 4 KiB, O_DSYNC", &floor.dsync);
    row("loopback, there and back", &floor.loopback);
    if let Some(hop) = &floor.hop {
        row("core to core and back", hop);
    }
    table
}

fn gaps(floor: &Floor) -> Table {
    let mut table = table(&["CPU", "time lost, %", "longest gap, µs", "wait p99.99, µs"]);
    for of in &floor.jitter {
        table.add_row([
            of.cpu.to_string(),
            format!("{:.3}", of.lost * 100.0),
            format!("{:.1}", of.max_us),
            format!("{:.1}", of.wait_p9999_us),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_told() {
        let mut report = FloorReport {
            machine: Machine::default(),
            floor: Floor::default(),
        };
        let text = report.to_string();
        assert!(text.contains("this process has one CPU"), "{text}");
        assert!(!text.contains("no O_DIRECT") && !text.contains("core to core and back"));
        assert!(text.contains(" - "), "too few samples: {text}");
        report.floor.access = Access::Cached;
        assert!(report.to_string().contains("no O_DIRECT"));
    }
}
