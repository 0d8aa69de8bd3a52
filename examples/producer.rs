//! Sends transactions to the shards of a cluster and prints where each of them is. Try it with
//! `scripts/kafka up`, `cargo run --example producer -- --brokers HOST:PORT`, and then the example
//! `consumer`.

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use corelane::clock::wall;
use corelane::geo::{GeoLocation, ShardManager, ShardSpec};
use corelane::ids::ShardId;
use corelane::kafka::admin::{Create, TopicSpec, ensure_topic};
use corelane::kafka::client::{ClientOptions, ShardTopic, ShardTopics, TransactionProducer};
use corelane::kafka::properties::{ProducerConfig, admin_properties};
use corelane::transaction::{Transaction, TransactionId};
use futures_lite::future::block_on;

#[derive(Parser)]
struct Arguments {
    /// Brokers to begin with, as HOST:PORT, several with commas between them.
    #[arg(long, value_delimiter = ',', required = true)]
    brokers: Vec<String>,
    /// What the shards' topics are called: PREFIX-1 for Frankfurt, PREFIX-2 for Singapore.
    #[arg(long, default_value = "transactions")]
    prefix: String,
    /// Partitions of each topic, where it is created.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// How many transactions to send.
    #[arg(long, default_value_t = 10)]
    count: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let options = ClientOptions::default();
    let places = [(1, 50.11, 8.68), (2, 1.35, 103.82)];
    let (mut specs, mut topics) = (Vec::new(), Vec::new());
    for (number, latitude, longitude) in places {
        let (id, topic) = (ShardId(number), format!("{}-{number}", arguments.prefix));
        let location = GeoLocation::new(latitude, longitude)?;
        let partitions = make_topic(&arguments, &options, &topic)?;
        specs.push(ShardSpec { id, location });
        topics.push(ShardTopic {
            shard: id,
            topic,
            partitions,
        });
    }
    let shards = ShardTopics::new(ShardManager::new(specs, None)?, topics)?;
    let config = ProducerConfig {
        brokers: arguments.brokers,
        ..ProducerConfig::latency()
    };
    let producer = TransactionProducer::connect(&config, &options, shards)?;
    for number in 1..=arguments.count {
        // One client in Paris, the next one in Tokyo.
        let (latitude, longitude) = if number % 2 == 0 {
            (48.86, 2.35)
        } else {
            (35.68, 139.69)
        };
        let transaction = Transaction {
            id: TransactionId::new(format!("example-{number}").as_bytes())?,
            client_location: GeoLocation::new(latitude, longitude)?,
            submitted_at: wall(),
            amount: Some(number * 100),
            payload: b"a payload".to_vec(),
        };
        // Any executor will do; this is the smallest one.
        let receipt = block_on(producer.send_transaction(&transaction))?;
        let (shard, partition, offset) = (receipt.shard, receipt.partition, receipt.offset);
        println!(
            "{}: shard {shard}, partition {partition}, offset {offset}",
            receipt.id
        );
    }
    println!("{} sent", arguments.count);
    Ok(producer.close(Duration::from_secs(10))?)
}

/// The topic's partitions; it is created where it is missing.
fn make_topic(to: &Arguments, options: &ClientOptions, name: &str) -> Result<u32, Box<dyn Error>> {
    let properties = admin_properties(&to.brokers, &options.settings)?;
    let spec = TopicSpec {
        name,
        partitions: Some(to.partitions),
        replication: None,
        config: &[],
    };
    Ok(ensure_topic(
        &properties,
        &spec,
        Create::Allowed,
        Duration::from_secs(30),
    )?)
}
