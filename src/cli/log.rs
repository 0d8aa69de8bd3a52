//! `corelane log`: looking into a data directory, in use or not. Changes nothing.
//!
//! Owns: its arguments and exit codes. Never does: reading the log (that is
//! [`crate::log::inspect`]).

mod show;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::outcome;
use crate::ids::{FrameSeq, PartitionId, StripeId};
use crate::log::inspect::{self, Detail, DumpFilter, DumpFormat, InspectError};

/// Arguments of `corelane log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    #[command(subcommand)]
    command: LogCommand,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Read and check everything; exit code 1 names file and byte of whatever is wrong
    Verify(LookArgs),
    /// Print what is stored, in the order it lies in
    Dump(DumpArgs),
    /// Print what the directory holds, in numbers
    Stat(LookArgs),
}

#[derive(Debug, Args)]
struct LookArgs {
    /// The data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DumpArgs {
    /// The data directory
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Only this stripe
    #[arg(long, value_name = "N")]
    stripe: Option<u16>,
    /// Only what belongs to this topic
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Only what belongs to this partition, by its number in the directory
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Only this frame and later ones
    #[arg(long, value_name = "FRAME")]
    from: Option<u64>,
    /// At most so many frames of each stripe
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// How much is printed
    #[arg(long, value_enum, value_name = "WHAT", default_value = "entries")]
    detail: DetailArg,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DetailArg {
    /// A line per frame
    Frames,
    /// And one per entry
    Entries,
    /// And one per record, with its key
    Records,
    /// And the records' values, in hexadecimal
    Values,
}

impl From<DetailArg> for Detail {
    fn from(detail: DetailArg) -> Detail {
        match detail {
            DetailArg::Frames => Detail::Frames,
            DetailArg::Entries => Detail::Entries,
            DetailArg::Records => Detail::Records,
            DetailArg::Values => Detail::Values,
        }
    }
}

/// Looks and prints.
pub fn log(args: &LogArgs) -> ExitCode {
    match &args.command {
        LogCommand::Verify(args) => verify(args),
        LogCommand::Dump(args) => dump(args),
        LogCommand::Stat(args) => stat(args),
    }
}

fn verify(args: &LookArgs) -> ExitCode {
    let report = match inspect::verify(&args.directory) {
        Ok(report) => report,
        Err(error) => return outcome::failed(error),
    };
    let printed = if args.json {
        outcome::print(json(&report))
    } else {
        outcome::print(show::Verified(&report))
    };
    if report.is_sound() {
        return printed;
    }
    let problems = report.problems().count();
    outcome::failed(format_args!(
        "{}: not sound; problems: {problems}, each named above with its file and byte",
        args.directory.display()
    ))
}

fn dump(args: &DumpArgs) -> ExitCode {
    let filter = DumpFilter {
        stripe: args.stripe.map(StripeId),
        topic: args.topic.clone(),
        partition: args.partition.map(PartitionId),
        frame_first: args.from.map(FrameSeq),
        frames_max: args.frames,
        detail: args.detail.into(),
        format: if args.json {
            DumpFormat::JsonLines
        } else {
            DumpFormat::Human
        },
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let dumped = inspect::dump(&args.directory, &filter, &mut out)
        .and_then(|summary| out.flush().map(|()| summary).map_err(InspectError::Output));
    match dumped {
        Ok(summary) if summary.damaged == 0 => ExitCode::SUCCESS,
        Ok(summary) => outcome::failed(format_args!(
            "{}: {} stripes end in damage; `corelane log verify` tells all of it",
            args.directory.display(),
            summary.damaged
        )),
        // The reader (`| head`) has seen enough.
        Err(InspectError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => outcome::failed(error),
    }
}

fn stat(args: &LookArgs) -> ExitCode {
    match inspect::stat(&args.directory) {
        Ok(stat) if args.json => outcome::print(json(&stat)),
        Ok(stat) => outcome::print(show::Counted(&stat)),
        Err(error) => outcome::failed(error),
    }
}

fn json(result: &impl Serialize) -> String {
    serde_json::to_string(result).expect("numbers, text and lists only")
}
