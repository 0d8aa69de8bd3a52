//! A handler of one's own: takes a fee of every transaction and sends it to a topic, rejects what
//! is below a limit, and keeps what it has taken as state. Run it twice: all are duplicates then.

#[path = "support/feed.rs"]
mod feed;

use corelane::config::Config;
use corelane::control::{Node, NodeOptions};
use corelane::engine::handler::{HandlerContext, ProcessError, TransactionHandler};
use corelane::ids::TopicId;
use corelane::storage::{Outputs, OutputsRefused};
use corelane::telemetry::Counter;
use corelane::transaction::TransactionRef;

const CONFIG: &str = "log.directory = 'target/custom-handler'\n[[topics]]\nname = 'fees'";
const FEE: u64 = 25;
const LIMIT: u64 = 10_000;

struct Fees {
    topic: TopicId,
    taken: u64,
}

fn fees(context: &HandlerContext<'_>) -> Fees {
    let stored = context.state.get(&b"taken"[..]);
    let number = |bytes: &Vec<u8>| u64::from_le_bytes(bytes[..].try_into().expect("8 bytes"));
    Fees {
        topic: context.topic("fees").expect("it is in CONFIG"),
        taken: stored.map_or(0, number),
    }
}

impl TransactionHandler for Fees {
    fn process(&mut self, tx: &TransactionRef<'_>, out: &mut Outputs) -> Result<(), ProcessError> {
        if tx.amount.unwrap_or(0) < LIMIT {
            return Err(ProcessError::Reject("below the limit".into()));
        }
        out.send(self.topic, tx.id, &FEE.to_le_bytes())?;
        self.taken += FEE; // Last, so that an error has changed nothing.
        Ok(())
    }
    fn commit(&mut self, out: &mut Outputs) -> Result<(), OutputsRefused> {
        out.set_state(b"taken", &self.taken.to_le_bytes())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::parse(CONFIG, "CONFIG")?;
    let mut node = Node::start(&config, NodeOptions { ports: 1 }, fees)?;
    feed::feed(&mut node, "examples/data/transactions.jsonl".as_ref())?;
    for counter in [
        Counter::Processed,
        Counter::DeadLettered,
        Counter::Duplicates,
    ] {
        println!("{}: {}", counter.name(), node.counters().get(counter));
    }
    Ok(node.stop()?)
}
