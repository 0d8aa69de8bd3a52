//! Sends transactions to the shards of a cluster and prints where each of them is. Try it with
//! `scripts/kafka up`, then `cargo run --example producer -- --brokers HOST:PORT`, then the example
//! `consumer`.

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use corelane::clock::wall;
use corelane::geo::{GeoLocation, ShardManager, ShardSpec};
use corelane::ids::ShardId;
use corelane::kafka::admin::{Create, TopicAdmin, TopicSpec};
use corelane::kafka::client::{ClientOptions, ShardTopic, ShardTopics, TransactionProducer};
use corelane::kafka::properties::{ProducerConfig, admin_properties};
use corelane::transaction::{Transaction, TransactionId};
use futures_lite::future::block_on;

const PARTITIONS: u32 = 4;
const SHARDS: [(u16, f64, f64); 2] = [(1, 50.11, 8.68), (2, 1.35, 103.82)]; // Frankfurt, Singapore
const CLIENTS: [(f64, f64); 2] = [(48.86, 2.35), (35.68, 139.69)]; // Paris, Tokyo

#[derive(Parser)]
struct Arguments {
    /// Brokers to begin with, as HOST:PORT, several with commas between them.
    #[arg(long, value_delimiter = ',', required = true)]
    brokers: Vec<String>,
    /// What the topics are called: PREFIX-1 and PREFIX-2. They are made if they are missing.
    #[arg(long, default_value = "transactions")]
    topics: String,
    /// How many transactions to send.
    #[arg(long, default_value_t = 10)]
    count: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let options = ClientOptions::default();
    let admin = TopicAdmin::new(&admin_properties(&arguments.brokers, &options.settings)?)?;
    let (mut specs, mut topics) = (Vec::new(), Vec::new());
    for (number, latitude, longitude) in SHARDS {
        let topic = format!("{}-{number}", arguments.topics);
        let spec = TopicSpec {
            name: &topic,
            partitions: Some(PARTITIONS),
            replication: None,
            config: &[],
        };
        let partitions = admin.ensure(&spec, Create::Allowed, Duration::from_secs(30))?;
        let id = ShardId(number);
        specs.push(ShardSpec {
            id,
            location: GeoLocation::new(latitude, longitude)?,
        });
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
    for (number, (latitude, longitude)) in (1..=arguments.count).zip(CLIENTS.iter().cycle()) {
        let transaction = Transaction {
            id: TransactionId::new(format!("example-{number}").as_bytes())?,
            client_location: GeoLocation::new(*latitude, *longitude)?,
            submitted_at: wall(),
            amount: Some(number * 100),
            payload: b"a payload".to_vec(),
        };
        // Any executor will do; this is the smallest one.
        println!("{:?}", block_on(producer.send_transaction(&transaction))?);
    }
    println!("{} sent", arguments.count);
    Ok(producer.close(Duration::from_secs(10))?)
}
