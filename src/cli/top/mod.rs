//! `corelane top`: a running node, live in the terminal, or once for scripts.
//!
//! Owns: its arguments, and which way they are shown. Never does: measuring: all figures come from the
//! node's control port (`client.rs`). Runs on: the main thread, and one that asks the node.

mod client;
mod flights;
mod live;
mod model;
mod page;
mod view;

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::outcome;
use client::Node;

/// Arguments of `corelane top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Where the node's control port is
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9644")]
    control: SocketAddr,
    /// How often to look, 0.1 to 60 seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Print the figures once and end
    #[arg(long)]
    once: bool,
    /// With --once: print the node's status as one JSON object
    #[arg(long, requires = "once")]
    json: bool,
}

/// Shows the node until it is told to stop, or once.
pub fn top(args: &TopArgs) -> ExitCode {
    let is_live = !args.once;
    if is_live && !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return outcome::wrong_usage("the live view needs a terminal; --once prints the figures");
    }
    let node = Node::new(args.control);
    let (status, whole) = match node.told() {
        Ok(told) => told,
        Err(error) => return outcome::failed(error),
    };
    if is_live {
        return match live::run(node, args.interval, status) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => outcome::failed(format_args!("the terminal: {error}")),
        };
    }
    // As the node has it, so that scripts see keys that this program does not know.
    match args.json {
        true => outcome::print(whole),
        false => outcome::print(page::plain(args.control, &status)),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    match (0.1..=60.0).contains(&seconds) {
        true => Ok(Duration::from_secs_f64(seconds)),
        false => Err("it is not from 0.1 to 60".to_owned()),
    }
}
