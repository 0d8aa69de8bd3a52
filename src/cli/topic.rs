//! `corelane topic`: topics of a node or a cluster.
//!
//! Owns: its arguments, and the look of the results. Never does: the work
//! ([`crate::kafka::operator`]). Runs on: the main thread.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::kafka::{BrokerArgs, json, pair};
use super::outcome;
use super::report::new_table;
use crate::kafka::operator::{OperatorError, TopicDetails, TopicSummary};

/// Arguments of `corelane topic`.
#[derive(Debug, Args)]
pub struct TopicArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the topics
    List {
        #[command(flatten)]
        broker: BrokerArgs,
    },
    /// Create a topic
    Create {
        /// Name of the topic
        name: String,
        /// Partitions; the broker's default without it
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        partitions: Option<u32>,
        /// Copies of each partition; the broker's default without it
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32767))]
        replication: Option<u16>,
        /// Setting of the topic, as retention.ms=60000; may be repeated
        #[arg(long = "config", value_name = "KEY=VALUE", value_parser = pair)]
        configs: Vec<(String, String)>,
        #[command(flatten)]
        broker: BrokerArgs,
    },
    /// Show a topic's partitions, offsets and settings
    Describe {
        /// Name of the topic
        name: String,
        #[command(flatten)]
        broker: BrokerArgs,
    },
    /// Delete a topic with all that is in it
    Delete {
        /// Name of the topic
        name: String,
        #[command(flatten)]
        broker: BrokerArgs,
    },
}

/// Does what the arguments ask for.
pub fn topic(args: &TopicArgs) -> ExitCode {
    match execute(&args.command) {
        Ok(text) => outcome::print(text),
        Err(error) => outcome::failed(error),
    }
}

fn execute(command: &Command) -> Result<String, OperatorError> {
    match command {
        Command::List { broker } => {
            let topics = broker.operator()?.topics()?;
            Ok(match broker.json {
                true => json(&topics),
                false => listed(&topics),
            })
        }
        Command::Create {
            name,
            partitions,
            replication,
            configs,
            broker,
        } => {
            let operator = broker.operator()?;
            operator.create(name, *partitions, *replication, configs)?;
            Ok(done(broker, name, "created"))
        }
        Command::Describe { name, broker } => {
            let topic = broker.operator()?.topic(name)?;
            Ok(match broker.json {
                true => json(&topic),
                false => described(&topic),
            })
        }
        Command::Delete { name, broker } => {
            broker.operator()?.delete(name)?;
            Ok(done(broker, name, "deleted"))
        }
    }
}

fn done(broker: &BrokerArgs, name: &str, what: &str) -> String {
    match broker.json {
        true => json(&serde_json::json!({"topic": name, "result": what})),
        false => format!("topic '{name}' {what}"),
    }
}

fn listed(topics: &[TopicSummary]) -> String {
    let mut table = new_table(&["topic", "partitions", "replication"], 1);
    for topic in topics {
        table.add_row([
            topic.name.clone(),
            topic.partitions.to_string(),
            topic.replication.to_string(),
        ]);
    }
    table.to_string()
}

fn described(topic: &TopicDetails) -> String {
    let header = ["partition", "leader", "replicas", "in sync", "start", "end"];
    let mut table = new_table(&header, 0);
    for partition in &topic.partitions {
        table.add_row([
            partition.partition.to_string(),
            partition.leader.to_string(),
            joined(&partition.replicas),
            joined(&partition.in_sync),
            partition.start.to_string(),
            partition.end.to_string(),
        ]);
    }
    let mut text = format!("topic {}\n{table}", topic.name);
    for (key, value) in &topic.configs {
        text.push_str(&format!("\n{key} = {value}"));
    }
    text
}

fn joined(brokers: &[i32]) -> String {
    let brokers: Vec<String> = brokers.iter().map(i32::to_string).collect();
    brokers.join(",")
}
