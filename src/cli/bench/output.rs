//! Where the results of a benchmark go, and how it ends.
//!
//! Owns: files that were asked for, exit codes. Never does: their formats.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::options::OutputArgs;
use super::table;
use crate::bench::error::BenchError;
use crate::bench::meters::Span;
use crate::bench::report::hdr_log::HdrLog;
use crate::bench::report::html;
use crate::bench::trial::{Context, Outcome, WithFloor};
use crate::cli::outcome;
use crate::control::signals::StopSignal;
use crate::telemetry::hgrm;

/// Measures and tells. A run that ended early is told as far as it went, and fails.
pub(super) fn measure(
    output: &OutputArgs,
    bench: impl FnOnce(&Context<'_>) -> Result<Outcome, BenchError>,
) -> ExitCode {
    let signal = match StopSignal::listen() {
        Ok(signal) => signal,
        Err(error) => return outcome::failed(format_args!("signals: {error}")),
    };
    let context = Context {
        signal: &signal,
        note: &|text| eprintln!("{text}"),
    };
    match bench(&context).and_then(|found| tell(output, &found).map(|printed| (printed, found))) {
        Ok((printed, found)) => match found
            .report
            .runs
            .iter()
            .find_map(|run| run.partial.as_ref())
        {
            Some(reason) => outcome::failed(format_args!("the result is partial: {reason}")),
            None => printed,
        },
        Err(error) => refused(&error),
    }
}

/// An option that cannot be used is wrong usage; everything else has failed.
pub(super) fn refused(error: &BenchError) -> ExitCode {
    match error {
        BenchError::Option { .. } => outcome::wrong_usage(error),
        BenchError::Clock(_)
        | BenchError::Target { .. }
        | BenchError::File { .. }
        | BenchError::Content { .. }
        | BenchError::Disk(_)
        | BenchError::System { .. } => outcome::failed(error),
    }
}

fn tell(output: &OutputArgs, found: &Outcome) -> Result<ExitCode, BenchError> {
    if let Some(path) = &output.report {
        save(path, |file| {
            file.write_all(html::page(&found.report).as_bytes())
        })?;
    }
    if let Some(path) = &output.hgrm {
        let latencies = found.recorded.span(Span::EndToEnd);
        save(path, |file| {
            file.write_all(hgrm::table(latencies).as_bytes())
        })?;
    }
    if let Some(path) = &output.hdr_log {
        save(path, |file| {
            let mut log = HdrLog::begin(file, found.started)?;
            found.intervals.iter().try_for_each(|interval| {
                log.interval(interval.start, interval.length, &interval.recorded)
            })
        })?;
    }
    Ok(if output.json {
        let json = serde_json::to_string(&found.report).expect("text, lists and numbers only");
        outcome::print(json)
    } else {
        outcome::print(table::show(&found.report))
    })
}

/// Writes a file.
fn save(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), BenchError> {
    let saved = File::create(path).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    saved.map_err(|source| BenchError::File {
        path: path.to_owned(),
        source,
    })
}

impl OutputArgs {
    /// Whether the host's floor is measured.
    pub fn floor(&self) -> WithFloor {
        match self.no_floor {
            true => WithFloor::LeftOut,
            false => WithFloor::Measured,
        }
    }
}
