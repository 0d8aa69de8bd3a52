//! Reads transactions from the topics of a cluster's shards and adds their amounts up. Started
//! twice at the same time, both share the partitions; started again, it goes on where it stopped.

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use corelane::kafka::client::{ClientOptions, OnMalformed, Partitions, TransactionConsumer};
use corelane::kafka::properties::ConsumerConfig;

#[derive(Parser)]
struct Arguments {
    /// Brokers to begin with, as HOST:PORT, several with commas between them.
    #[arg(long, value_delimiter = ',', required = true)]
    brokers: Vec<String>,
    /// The topics, with commas between them.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "transactions-1,transactions-2"
    )]
    topics: Vec<String>,
    /// The group whose positions count.
    #[arg(long, default_value = "example")]
    group: String,
    /// After how many transactions to stop; without it, at Ctrl-C, which may repeat the last few.
    #[arg(long)]
    count: Option<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let config = ConsumerConfig {
        brokers: arguments.brokers,
        topics: arguments.topics,
        group_id: arguments.group,
        ..ConsumerConfig::default()
    };
    let options = ClientOptions::default();
    let mut consumer = TransactionConsumer::connect(&config, &options, Partitions::OfGroup)?;
    consumer.on_malformed(|record| {
        eprintln!("passed over at {:?}: {}", record.place, record.error);
        OnMalformed::Skip
    });
    let stop = consumer.stop_handle();
    let (mut processed, mut total) = (0, 0);
    consumer.process_transactions(|transaction, place| {
        total += transaction.amount.unwrap_or(0);
        processed += 1;
        println!(
            "{} bytes at {}/{}, offset {}",
            transaction.payload.len(),
            place.topic,
            place.partition,
            place.offset
        );
        if arguments.count == Some(processed) {
            stop.stop();
        }
        Ok::<(), std::convert::Infallible>(())
    })?;
    println!("{processed} processed, amounts {total}");
    Ok(consumer.close(Duration::from_secs(10))?)
}
