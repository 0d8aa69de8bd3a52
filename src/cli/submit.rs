//! `corelane submit`: a file of transactions to a running node.
//!
//! Owns: its arguments and the report. Never does: frames (that is [`crate::client`]).

mod send;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::send::{Senders, Sent};
use super::input::{InputError, InputReader, InputTransaction, OnError};
use super::outcome;
use super::progress::Progress;
use super::report::{RunReport, ShardReport};
use crate::client::{Address, Client, ClientError, ClientOptions};
use crate::clock;
use crate::ids::Acks;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::telemetry::{Stage, TraceContext};
use crate::transaction::Transaction;

/// Arguments of `corelane submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The node: HOST:PORT, or the path of its Unix socket
    #[arg(long, value_name = "ADDR")]
    pub to: String,
    /// Transactions: JSON Lines, plain, .gz or .zst; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Connections to open; the same id always takes the same one
    #[arg(long, value_name = "N", default_value = "1")]
    pub connections: NonZeroU16,
    /// Transactions that may be unanswered on each connection
    #[arg(long, value_name = "N", default_value = "256")]
    pub in_flight: NonZeroU32,
    /// What a receipt promises: none, leader (in memory) or all (durable)
    #[arg(long, value_name = "LEVEL", default_value = "all")]
    pub acks: Acks,
    /// Transactions per second, whatever the answers; as fast as they are taken without it
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU64>,
    /// W3C trace context of every transaction whose line has none of its own
    #[arg(long, value_name = "CONTEXT")]
    pub traceparent: Option<TraceContext>,
    /// What to do about a line that is no transaction
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub on_error: OnError,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

impl SubmitArgs {
    /// The transactions of the file. The node's own bound of a payload is the node's to enforce.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn transactions(&self) -> Result<InputReader, InputError> {
        InputReader::open(&self.input, PAYLOAD_BYTES_MAX, self.on_error)
    }

    fn connect(&self) -> Result<Vec<Client>, ClientError> {
        let address: Address = self.to.parse().map_err(ClientError::Address)?;
        let options = ClientOptions {
            name: "corelane-submit".to_owned(),
            in_flight_max: self.in_flight.get() as usize,
            ..ClientOptions::default()
        };
        (0..self.connections.get())
            .map(|_| Client::connect_to(&address, &options))
            .collect()
    }
}

/// Submits the file. Exit code 1 where anything was lost or rejected, or could not be submitted.
pub fn submit(args: SubmitArgs) -> ExitCode {
    match submit_file(&args) {
        Ok(done) => done.print(args.json),
        Err(error) => outcome::failed(error),
    }
}

/// What came of the file, and everything that went wrong on the way.
struct Done {
    report: RunReport,
    problems: Vec<String>,
}

impl Done {
    fn print(self, json: bool) -> ExitCode {
        let printed = if json {
            outcome::print(self.report.to_json())
        } else {
            outcome::print(&self.report)
        };
        if self.problems.is_empty() {
            return printed;
        }
        outcome::failed(self.problems.join("\nerror: "))
    }
}

/// Connects before it reads, so that a wrong address costs nothing.
fn submit_file(args: &SubmitArgs) -> Result<Done, Box<dyn Error>> {
    let mut input = args.transactions()?;
    let clients = args.connect()?;
    let started = clock::monotonic();
    let mut senders = Senders::start(clients, args.acks, args.rate.map(NonZeroU64::get));
    let progress = Progress::start(None);
    let mut stopped = None;
    for next in input.by_ref() {
        match next {
            Ok(transaction) => {
                let trace = transaction.trace.or(args.traceparent);
                if !senders.send(from_input(transaction), trace) {
                    // Its connection says why.
                    break;
                }
            }
            Err(error) => {
                stopped = Some(error.to_string());
                break;
            }
        }
        progress.set(senders.answered());
    }
    let sent = senders.finish();
    let elapsed_ns = clock::monotonic().since(started);
    drop(progress);
    let mut problems = problems(&sent);
    problems.extend(stopped);
    if sent.submitted == 0 && problems.is_empty() {
        problems.push(format!("no transactions in {}", input.file()));
    }
    let mut report = report(&sent);
    report.note_skipped(input.skipped());
    report.set_elapsed(elapsed_ns as f64 / 1e9);
    Ok(Done { report, problems })
}

fn from_input(input: InputTransaction) -> Transaction {
    Transaction {
        id: input.id,
        client_location: input.client_location,
        submitted_at: input.submitted_at.unwrap_or_else(clock::wall),
        amount: input.amount,
        payload: input.payload,
    }
}

/// What receipts tell: what was processed is not known to a client.
fn report(sent: &Sent) -> RunReport {
    let mut report = RunReport {
        submitted: sent.submitted,
        acknowledged: sent.acknowledged,
        duplicates: sent.duplicates,
        rejected: sent.rejected,
        lost: sent.lost,
        ..RunReport::default()
    };
    report.latency.produce = sent.latency.summary(Stage::Produce).into();
    let shards = sent.shards.iter().map(|(&id, sum)| ShardReport {
        id,
        // A receipt carries the number alone.
        name: String::new(),
        transactions: sum.transactions,
        amount_total: sum.amount,
    });
    report.set_shards(shards.collect());
    report
}

/// In the order of what a reader wants to know first. Connections to one node mostly end for one
/// reason, which is said once.
fn problems(sent: &Sent) -> Vec<String> {
    let mut problems: Vec<String> = Vec::new();
    if sent.lost > 0 {
        problems.push(format!(
            "{} submitted transactions got no answer",
            sent.lost
        ));
    }
    if let Some(first) = &sent.first_rejection {
        let rejected = sent.rejected;
        problems.push(format!(
            "{rejected} transactions were rejected; the first: {first}"
        ));
    }
    for error in &sent.errors {
        let text = error.to_string();
        if !problems.contains(&text) {
            problems.push(text);
        }
    }
    problems
}
