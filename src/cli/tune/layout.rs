//! `corelane tune layout`: which CPU is for what. Changes nothing but the layout's file, and that
//! only if asked to.
//!
//! Owns: its arguments, and how a layout is printed. Never does: the rules ([`crate::cpu`]).

use std::fmt;

use clap::{Args, ValueEnum};

use super::table::{plain, trimmed};
use super::{Exit, GlobalArgs};
use crate::cli::outcome;
use crate::cpu::{CpuSet, LAYOUT_PATH, Layout, LayoutError, LayoutOptions, NetMode, Sys, Topology};

/// Arguments of `corelane tune layout`.
#[derive(Debug, Args)]
pub struct LayoutArgs {
    /// Write the layout to /run/corelane/layout.json, where the engine finds it
    #[arg(long)]
    write: bool,
    /// The most shards; as many as there is room for without
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_shards: Option<u16>,
    /// Interface to clusters and clients; that of the default route without
    #[arg(long, value_name = "NAME")]
    nic: Option<String>,
    /// Where the data lies; every NVMe controller counts without
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Who answers the network
    #[arg(long, value_enum)]
    net_mode: Option<NetModeArg>,
    /// Brokers times clients of clusters; one core does I/O for four
    #[arg(long, value_name = "N", default_value_t = 0)]
    broker_connections: u16,
}

/// [`NetMode`] as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetModeArg {
    /// librdkafka, on the CPUs for I/O
    ClientIo,
    /// Each shard its own queue
    PerShard,
}

impl LayoutArgs {
    fn options(&self) -> LayoutOptions {
        LayoutOptions {
            max_shards: self.max_shards,
            nic: self.nic.clone(),
            data_dir: self.data_dir.clone(),
            net_mode: match self.net_mode {
                None | Some(NetModeArg::ClientIo) => NetMode::ClientIo,
                Some(NetModeArg::PerShard) => NetMode::PerShard,
            },
            broker_connections: self.broker_connections,
        }
    }
}

/// Computes a layout, prints it, and writes it if asked to.
pub fn layout(args: &LayoutArgs, global: &GlobalArgs, sys: &dyn Sys) -> Exit {
    let topology = match Topology::read(sys) {
        Ok(topology) => topology,
        Err(error) => return Exit::Error.saying(error),
    };
    let layout = match Layout::compute(&topology, &args.options()) {
        Ok(layout) => layout,
        Err(error) => return end_of(&error).saying(error),
    };
    if args.write
        && let Err(error) = layout.write(sys)
    {
        return Exit::Error.saying(error);
    }
    let printed = if global.json {
        outcome::print(layout.to_json().trim_end())
    } else {
        outcome::print(Shown {
            layout: &layout,
            topology: &topology,
            quiet: global.quiet,
        })
    };
    if printed != std::process::ExitCode::SUCCESS {
        return Exit::Error;
    }
    if args.write && !global.quiet {
        eprintln!("written to {LAYOUT_PATH}");
    }
    Exit::Ok
}

fn end_of(error: &LayoutError) -> Exit {
    match error {
        LayoutError::TooFewCores { .. } | LayoutError::NoRoom => Exit::Refused,
        LayoutError::UnknownNic { .. } | LayoutError::Invalid { .. } => Exit::Usage,
    }
}

/// A layout for people.
struct Shown<'a> {
    layout: &'a Layout,
    topology: &'a Topology,
    quiet: bool,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Layout { hash, .. } = self.layout;
        let hash = hash.as_deref().unwrap_or("by hand");
        writeln!(
            f,
            "layout {hash}  cores {}, CPUs {}, nodes {}",
            self.topology.cores.len(),
            self.topology.online.len(),
            self.topology.nodes.len()
        )?;
        let mut table = plain(&["USE", "NUMBER", "CPUS"]);
        for (name, set) in [
            ("shards", &self.layout.shard_cpus()),
            ("io", &self.layout.io),
            ("housekeeping", &self.layout.housekeeping),
            ("parked", &self.layout.parked),
        ] {
            table.add_row([name, &set.len().to_string(), &list(set)]);
        }
        write!(f, "{}", trimmed(&table))?;
        if !self.quiet {
            self.fmt_places(f)?;
        }
        for note in &self.layout.notes {
            write!(f, "\nnote: {note}")?;
        }
        Ok(())
    }
}

impl Shown<'_> {
    fn fmt_places(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shards = plain(&["SHARD", "CPU", "NODE", "L3", "SIBLING"]);
        for shard in &self.layout.shards {
            let l3 = shard.l3.map_or("-".to_owned(), |l3| l3.to_string());
            shards.add_row([
                shard.id.to_string(),
                shard.cpu.to_string(),
                shard.node.to_string(),
                l3,
                list(&shard.sibling),
            ]);
        }
        write!(f, "\n\n{}", trimmed(&shards))?;
        if !self.layout.nvme.is_empty() {
            let mut devices = plain(&["NVME", "NODE", "POLLED"]);
            for nvme in &self.layout.nvme {
                let node = nvme.node.map_or("-".to_owned(), |node| node.to_string());
                let polled = if nvme.poll { "yes" } else { "no" };
                devices.add_row([&nvme.dev, &node, polled]);
            }
            write!(f, "\n\n{}", trimmed(&devices))?;
        }
        if !self.layout.nic_queues.is_empty() {
            let mut queues = plain(&["NIC", "QUEUE", "IRQ", "CPU"]);
            for queue in &self.layout.nic_queues {
                queues.add_row([
                    queue.nic.clone(),
                    queue.queue.to_string(),
                    queue.irq.to_string(),
                    queue.cpu.to_string(),
                ]);
            }
            write!(f, "\n\n{}", trimmed(&queues))?;
        }
        Ok(())
    }
}

/// A list of CPUs, or a word for none.
fn list(set: &CpuSet) -> String {
    if set.is_empty() {
        "-".to_owned()
    } else {
        set.to_string()
    }
}
