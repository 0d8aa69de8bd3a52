//! A trace goes through a served node: from the client's context to the header of the record, to the
//! records that a handler puts out, to dead letters, and to the log lines that tell of it.

#![allow(clippy::unwrap_used)] // Helpers of a test fail like the test itself.

#[path = "support/broker_node.rs"]
mod broker_node;
#[path = "support/kafka_peer.rs"]
mod kafka_peer;
#[path = "support/node.rs"]
mod node;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use corelane::client::{Client, ClientOptions};
use corelane::config::Config;
use corelane::control::{Node, NodeOptions};
use corelane::engine::handler::{HandlerContext, ProcessError, TransactionHandler};
use corelane::ids::{TopicId, UnixMicros};
use corelane::location::GeoLocation;
use corelane::storage::{Outputs, OutputsRefused};
use corelane::telemetry::TraceContext;
use corelane::transaction::{Transaction, TransactionId};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use tempfile::TempDir;

use broker_node::{BrokerNode, own_address};

const PATIENCE: Duration = Duration::from_secs(30);

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Puts every transaction out to a topic; rejects those without an amount.
struct Echo(TopicId);

impl TransactionHandler for Echo {
    fn process(
        &mut self,
        transaction: &corelane::transaction::TransactionRef<'_>,
        out: &mut Outputs,
    ) -> Result<(), ProcessError> {
        if transaction.amount.is_none() {
            return Err(ProcessError::Reject("nothing to echo".into()));
        }
        out.send(self.0, transaction.id, transaction.payload)?;
        Ok(())
    }

    fn commit(&mut self, _: &mut Outputs) -> Result<(), OutputsRefused> {
        Ok(())
    }
}

fn transaction(id: &str, amount: Option<u64>) -> Transaction {
    Transaction {
        id: TransactionId::new(id.as_bytes()).unwrap(),
        // Frankfurt: shard 1 of the shipped table lies there.
        client_location: GeoLocation::new(50.11, 8.68).unwrap(),
        submitted_at: UnixMicros(1),
        amount,
        payload: b"payload".to_vec(),
    }
}

/// A record that was read: its key, and its header `traceparent`.
type Read = (String, Option<TraceContext>);

/// Reads every partition of a topic until so many records have come.
fn read(brokers: &str, topic: &str, count: usize) -> Vec<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "readers")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let start = Instant::now();
    let mut records = Vec::new();
    while records.len() < count {
        assert!(start.elapsed() < PATIENCE, "only {records:?} came");
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let key = String::from_utf8(message.key().unwrap_or_default().to_vec()).unwrap();
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let trace = headers
            .filter(|header| header.key == "traceparent")
            .filter_map(|header| TraceContext::parse(header.value?).ok());
        records.push((key, trace.last()));
    }
    records.sort_by(|one, other| one.0.cmp(&other.0));
    records
}

fn given() -> TraceContext {
    TRACEPARENT.parse().unwrap()
}

/// The trace is the client's, and the span before it somebody else's.
fn goes_on(from: TraceContext, to: Option<TraceContext>) -> TraceContext {
    let to = to.expect("the header is there");
    assert_eq!(to.trace_id, from.trace_id);
    assert_ne!(to.parent, from.parent);
    assert!(to.is_sampled());
    to
}

#[test]
fn a_clients_trace_is_in_the_header_of_its_record_and_of_what_a_handler_puts_out() {
    let files = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let brokers = own_address();
    let config = format!(
        "[node]\ncores = 2\noversubscribe = true\nlayout = 'none'\n\
         [gateway]\ntcp = ['127.0.0.1:0']\n[broker]\nlisten = ['{brokers}']\n\
         [control]\nhttp = ''\n\
         [log]\ndirectory = {:?}\nsegment_bytes = 16777216\n[[topics]]\nname = 'echoes'\n",
        files.path().join("log")
    );
    let config = Config::parse(&config, "node.toml").unwrap();
    let echo = |context: &HandlerContext<'_>| Echo(context.topic("echoes").unwrap());
    let node = Node::start(&config, NodeOptions::default(), echo).unwrap();
    let address = node.addresses()[0].to_string();
    let mut client = Client::connect(&address, ClientOptions::default()).unwrap();
    client.set_trace(Some(given()));
    client
        .send_transaction(&transaction("a-traced", Some(1)))
        .unwrap();
    client
        .send_transaction(&transaction("b-rejected", None))
        .unwrap();
    let mut unsampled = given();
    unsampled.flags = 0;
    client.set_trace(Some(unsampled));
    client
        .send_transaction(&transaction("c-unsampled", Some(1)))
        .unwrap();
    client.set_trace(None);
    client
        .send_transaction(&transaction("d-plain", Some(1)))
        .unwrap();

    let brokers = brokers.to_string();
    let stored = read(&brokers, "transactions-frankfurt", 4);
    let echoes = read(&brokers, "echoes", 3);
    let dead = read(&brokers, "transactions-frankfurt.dlq", 1);
    let record = |records: &[Read], id: &str| {
        let found = records.iter().find(|(key, _)| key == id);
        found.unwrap_or_else(|| panic!("{id} is not there")).1
    };
    let sent = goes_on(given(), record(&stored, "a-traced"));
    goes_on(sent, record(&echoes, "a-traced"));
    let sent = goes_on(given(), record(&stored, "b-rejected"));
    goes_on(sent, record(&dead, "b-rejected"));
    // Nobody tells of it, so that no span of ours may stand there.
    assert_eq!(record(&stored, "c-unsampled"), Some(unsampled));
    assert_eq!(record(&echoes, "c-unsampled"), Some(unsampled));
    assert_eq!(record(&stored, "d-plain"), None);
    assert_eq!(record(&echoes, "d-plain"), None);
    node.stop().unwrap();
}

/// The lines about legs with this value in a field, by the name of their span, once there are so many.
fn told(broker: &BrokerNode, field: &str, value: &str, count: usize) -> Vec<(String, Value)> {
    let start = Instant::now();
    loop {
        let stderr = broker.node.stderr();
        let lines = stderr.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let is_meant = line["span"][field] == value;
            is_meant.then(|| (line["span"]["name"].as_str().unwrap().to_owned(), line))
        });
        let mut lines: Vec<_> = lines.collect();
        if lines.len() >= count {
            lines.sort_by(|one, other| one.0.cmp(&other.0));
            return lines;
        }
        assert!(start.elapsed() < PATIENCE, "only {lines:?}\n{stderr}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn submit(broker: &BrokerNode, lines: &str, more: &[&str]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["submit", "--to", &broker.node.address(), "--input"])
        .arg(file.path())
        .args(more)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn a_served_node_tells_of_a_traced_transaction_in_json() {
    let broker = BrokerNode::start_with("", "[logging]\nformat = 'json'");
    let place = r#""client_location":{"latitude":50.1,"longitude":8.7}"#;
    let own = "00-11111111111111111111111111111111-2222222222222222-01";
    let lines = format!(
        "{{\"id\":\"of-the-file\",{place}}}\n\
         {{\"id\":\"of-the-line\",{place},\"traceparent\":\"{own}\"}}\n"
    );
    submit(&broker, &lines, &["--traceparent", TRACEPARENT]);
    let stored = read(&broker.address.to_string(), "transactions-frankfurt", 2);
    let of_the_file = goes_on(given(), stored[0].1);
    goes_on(own.parse().unwrap(), stored[1].1);

    let legs = told(&broker, "trace_id", "0af7651916cd43dd8448eb211c80319c", 2);
    let [(processing, process), (sending, send)] = &legs[..] else {
        panic!("{legs:?}");
    };
    assert_eq!(
        (&processing[..], &sending[..]),
        ("process_transaction", "send_transaction")
    );
    let (process, send) = (&process["span"], &send["span"]);
    let span_id = format!("{:016x}", of_the_file.parent);
    assert_eq!(send["parent_id"], "b7ad6b7169203331");
    assert_eq!(send["span_id"], span_id, "the span that the record names");
    assert_eq!(process["parent_id"], span_id);
    for span in [process, send] {
        assert_eq!(span["shard"], 3);
        for field in ["partition", "offset", "core", "duration_us"] {
            assert!(span[field].is_u64(), "{field}: {span}");
        }
    }
    for stage in ["intake_us", "hop_us", "queue_us", "group_us", "sync_us"] {
        assert!(legs[1].1[stage].is_u64(), "{stage}: {}", legs[1].1);
    }
    assert!(legs[0].1["process_us"].is_u64());
}

/// Also what the node draws itself, and what comes by way of Kafka.
#[test]
fn sampling_at_intake_begins_traces_and_leaves_those_of_clients_alone() {
    let sections = "[logging]\nformat = 'json'\n[trace]\nsample = 1.0\n";
    let broker = BrokerNode::start_with("", sections);
    let address = broker.address.to_string();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &address)
        .set("acks", "all")
        .create()
        .unwrap();
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    for (id, trace) in [
        ("a", Some(TRACEPARENT)),
        ("b", None),
        ("c", Some("rubbish")),
    ] {
        let mut headers = OwnedHeaders::new()
            .insert(header("latitude", "50.1"))
            .insert(header("longitude", "8.7"));
        if let Some(trace) = trace {
            headers = headers.insert(header("traceparent", trace));
        }
        let record = BaseRecord::to("transactions")
            .key(id)
            .payload("x")
            .headers(headers);
        assert!(producer.send(record).is_ok());
    }
    producer.flush(PATIENCE).unwrap();
    let stored = read(&address, "transactions-frankfurt", 3);
    goes_on(given(), stored[0].1);
    let traces: BTreeSet<u128> = stored
        .iter()
        .map(|(_, trace)| trace.unwrap().trace_id)
        .collect();
    assert_eq!(traces.len(), 3, "each has a trace of its own");
    for trace_id in traces {
        told(&broker, "trace_id", &format!("{trace_id:032x}"), 2);
    }
}

#[test]
fn the_slowest_are_told_and_their_records_have_no_header() {
    let sections = "[logging]\nformat = 'json'\n[trace]\nslowest = true\n";
    let broker = BrokerNode::start_with("", sections);
    let line = r#"{"id":"a","client_location":{"latitude":50.1,"longitude":8.7}}"#;
    submit(&broker, line, &[]);
    let stored = read(&broker.address.to_string(), "transactions-frankfurt", 1);
    assert_eq!(stored, [("a".to_owned(), None)]);
    let slow = told(&broker, "name", "slow_transaction", 1).remove(0).1;
    assert_eq!(
        (&slow["span"]["shard"], &slow["span"]["offset"]),
        (&3.into(), &0.into())
    );
    assert!(
        slow["span"]["parent_id"].is_null(),
        "it begins a trace: {slow}"
    );
    assert!(slow["sync_us"].is_u64(), "{slow}");
}
