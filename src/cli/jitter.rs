//! `corelane jitter`: how long and how often CPUs are taken away from work that spins on them.
//!
//! Owns: its arguments, which CPUs are measured, where results go. Never does: measuring
//! ([`crate::tuning::jitter`]).

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::outcome;
use crate::cpu::{CpuSet, HostSys, Layout, Sys as _, allowed_cpus};
use crate::telemetry::hgrm;
use crate::tuning::exit::Exit;
use crate::tuning::jitter::diff::JitterDiff;
use crate::tuning::jitter::report::{JitterReport, SCHEMA};
use crate::tuning::jitter::stress::Stress;
use crate::tuning::jitter::{self, JitterOptions};
use crate::tuning::running::engines;

/// CPUs that run.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// A day.
const SECONDS_MAX: u64 = 86_400;

/// Arguments of `corelane jitter`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct JitterArgs {
    #[command(subcommand)]
    command: Option<JitterCommand>,
    /// How long to measure, 1 to 86400 seconds
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// CPUs to measure, as in 2-5,8; those of the layout's shards, or else all, without it
    #[arg(long, value_name = "LIST")]
    cpus: Option<CpuSet>,
    /// Make noise on the other CPUs meanwhile
    #[arg(long, value_name = "MODE")]
    stress: Option<StressArg>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Write the gaps of all CPUs as a percentile table for HdrHistogram's tools
    #[arg(long, value_name = "FILE")]
    hgrm: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum JitterCommand {
    /// Compare two results of --json; exit code 2 where one grew by more than a fifth
    Diff(DiffArgs),
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// The earlier result
    #[arg(value_name = "A.json")]
    before: PathBuf,
    /// The later result
    #[arg(value_name = "B.json")]
    after: PathBuf,
    /// Print the comparison as one JSON object
    #[arg(long)]
    json: bool,
}

/// [`Stress`], as it is named on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StressArg {
    /// Shootdowns of address translations
    Tlb,
    /// Memory barriers in every running thread
    Membarrier,
    /// Timers, wake-ups, datagrams
    Irq,
    /// Computing and memory bandwidth
    Cpu,
}

impl From<StressArg> for Stress {
    fn from(argument: StressArg) -> Stress {
        match argument {
            StressArg::Tlb => Stress::Tlb,
            StressArg::Membarrier => Stress::Membarrier,
            StressArg::Irq => Stress::Irq,
            StressArg::Cpu => Stress::Cpu,
        }
    }
}

/// Measures or compares.
pub fn jitter(args: &JitterArgs) -> ExitCode {
    match &args.command {
        Some(JitterCommand::Diff(args)) => diff(args),
        None => measure(args),
    }
}

fn measure(args: &JitterArgs) -> ExitCode {
    let sys = HostSys::new("/");
    let options = match options(args, &sys) {
        Ok(options) => options,
        Err(reason) => return usage(reason),
    };
    for engine in engines(&sys) {
        eprintln!("note: {engine} runs: on the CPUs of its cores, its work shows as gaps");
    }
    let report = match jitter::run(&sys, &options) {
        Ok(report) => report,
        Err(error) => return outcome::failed(error),
    };
    if let (Some(path), Some(histogram)) = (&args.hgrm, &report.histogram)
        && let Err(error) = fs::write(path, hgrm::table(histogram))
    {
        return outcome::failed(format_args!(
            "{}: cannot be written: {error}",
            path.display()
        ));
    }
    print(&report, args.json)
}

/// Which CPUs are measured, and where noise is made; or what is wrong with what was asked for.
///
/// What this process inherited is no bound: where shards' CPUs are isolated, no process inherits
/// them, and every one may ask for them. Whether it gets one is seen when a thread is put there.
fn options(args: &JitterArgs, sys: &HostSys) -> Result<JitterOptions, String> {
    let inherited = || -> Result<CpuSet, String> {
        let cpus = allowed_cpus().map_err(|error| error.to_string())?;
        Ok(cpus.into_iter().collect())
    };
    let layout = Layout::read(sys).ok();
    let cpus = match (&args.cpus, &layout) {
        (Some(cpus), _) => cpus.clone(),
        (None, Some(layout)) => layout.shard_cpus(),
        (None, None) => inherited()?,
    };
    if cpus.is_empty() {
        return Err("--cpus: no CPU is named".to_owned());
    }
    // Where the kernel does not tell, a thread that cannot be put there does.
    let online = sys.read(ONLINE).ok();
    let online = online.and_then(|list| CpuSet::parse_list(&list).ok());
    if let Some(online) = &online {
        let refused = cpus.difference(online);
        if !refused.is_empty() {
            return Err(format!(
                "--cpus: the CPUs {refused} are not online; allowed: {online}"
            ));
        }
    }
    let stress = match args.stress {
        None => None,
        Some(stress) => {
            let others = match &layout {
                Some(layout) => layout.others(),
                None => inherited()?,
            };
            let off = online.map(|online| others.difference(&online));
            let others = others
                .difference(&cpus)
                .difference(&off.unwrap_or_default());
            if others.is_empty() {
                return Err(format!(
                    "--stress: no CPU is left for noise beside {cpus}; leave some out with --cpus"
                ));
            }
            Some((stress.into(), others))
        }
    };
    Ok(JitterOptions {
        cpus,
        span: Duration::from_secs(args.seconds),
        stress,
    })
}

fn diff(args: &DiffArgs) -> ExitCode {
    let both = read(&args.before).and_then(|before| Ok((before, read(&args.after)?)));
    let (before, after) = match both {
        Ok(both) => both,
        Err(error) => return outcome::failed(error),
    };
    let diff = JitterDiff::of(&before, &after);
    let printed = print(&diff, args.json);
    if printed == ExitCode::SUCCESS && diff.regressions > 0 {
        return Exit::Must.into();
    }
    printed
}

fn read(path: &Path) -> Result<JitterReport, String> {
    let name = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let report: JitterReport = serde_json::from_str(&text)
        .map_err(|error| format!("{name}: no result of 'corelane jitter --json': {error}"))?;
    if report.schema != SCHEMA {
        let found = report.schema;
        return Err(format!(
            "{name}: field schema is {found}; allowed: {SCHEMA}"
        ));
    }
    Ok(report)
}

/// Prints a result as a table or as JSON.
pub(super) fn print(result: &(impl Display + serde::Serialize), json: bool) -> ExitCode {
    if json {
        outcome::print(serde_json::to_string(result).expect("text, lists and numbers only"))
    } else {
        outcome::print(result)
    }
}

/// Says on standard error how the command was called wrongly.
pub(super) fn usage(reason: impl Display) -> ExitCode {
    eprintln!("error: {reason}\n\nFor more information, try '--help'.");
    Exit::Usage.into()
}
