//! `corelane group`: consumer groups of a node or a cluster.
//!
//! Owns: its arguments, and the look of the results. Never does: the work
//! ([`crate::kafka::operator`]). Runs on: the main thread.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::kafka::{BrokerArgs, json};
use super::outcome;
use super::report::new_table;
use crate::kafka::operator::{GroupDetails, GroupSummary, OperatorError};

/// Arguments of `corelane group`.
#[derive(Debug, Args)]
pub struct GroupArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the consumer groups
    List {
        #[command(flatten)]
        broker: BrokerArgs,
    },
    /// Show a group's members, committed offsets and lag
    Describe {
        /// Name of the group
        name: String,
        #[command(flatten)]
        broker: BrokerArgs,
    },
}

/// Does what the arguments ask for.
pub fn group(args: &GroupArgs) -> ExitCode {
    match execute(&args.command) {
        Ok(text) => outcome::print(text),
        Err(error) => outcome::failed(error),
    }
}

fn execute(command: &Command) -> Result<String, OperatorError> {
    match command {
        Command::List { broker } => {
            let groups = broker.operator()?.groups()?;
            Ok(match broker.json {
                true => json(&groups),
                false => listed(&groups),
            })
        }
        Command::Describe { name, broker } => {
            let group = broker.operator()?.group(name)?;
            Ok(match broker.json {
                true => json(&group),
                false => described(&group),
            })
        }
    }
}

fn listed(groups: &[GroupSummary]) -> String {
    let mut table = new_table(&["group", "state", "members"], 2);
    for group in groups {
        table.add_row([
            group.name.clone(),
            group.state.clone(),
            group.members.to_string(),
        ]);
    }
    table.to_string()
}

fn described(group: &GroupDetails) -> String {
    let mut offsets = new_table(&["topic", "partition", "committed", "end", "lag"], 1);
    for offset in &group.offsets {
        offsets.add_row([
            offset.topic.clone(),
            offset.partition.to_string(),
            offset.committed.to_string(),
            offset.end.to_string(),
            offset.lag.to_string(),
        ]);
    }
    let mut members = new_table(&["member", "client", "host"], 3);
    for member in &group.members {
        members.add_row([&member.id, &member.client_id, &member.host]);
    }
    let assigned = match group.assignor.as_str() {
        "" => String::new(),
        assignor => format!(", assigned by {assignor}"),
    };
    let (name, state) = (&group.name, &group.state);
    format!("group {name}: {state}{assigned}\n{members}\n{offsets}")
}
